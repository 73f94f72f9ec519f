/* GetObject and HeadObject. */
#include "base/log.h"
#include "object/internal.h"

#define READS_MAX 16 /* of a record whose bytes went while we looked */

/* A part as ?partNumber= asks for it. Parts of an object that was put whole: one, number 1, without a count.
 */
static err select_part(struct objects *o, struct arena *a, uint64_t bucket, const struct rec *r,
                       unsigned number, struct obj_get_out *out)
{
    if (r->parts == 0) {
        out->partial = r->size > 0;
        out->part_sums = out->info.sums;
        return number == 1 ? ERR_OK : ERR_INVALID_PART_NUMBER;
    }
    struct table t;
    struct part *v;
    size_t n;
    err e = table_decode(a, r->f[REC_TABLE], &t);
    if (e) return e;
    unsigned chunk = table_chunk_of(&t, number);
    e = table_load(o->idx, a, bucket, &t, chunk, &v, &n);
    uint64_t off = t.first_off[chunk];
    for (size_t i = 0; !e && i < n; off += v[i++].size) {
        if (v[i].number != number) continue;
        out->partial = true;
        out->first = off;
        out->length = v[i].size;
        out->part_count = r->parts;
        e = sums_decode(v[i].sums, &out->part_sums);
        /* The value is the part's, the type says what the object's is. */
        memcpy(out->part_sums.type, out->info.sums.type, sizeof out->part_sums.type);
        return e;
    }
    return e ? e : ERR_INVALID_PART_NUMBER;
}

static err select_bytes(struct objects *o, struct arena *a, uint64_t bucket, const struct obj_get_in *in,
                        const struct rec *r, struct obj_get_out *out)
{
    out->first = 0;
    out->length = r->size;
    if (in->part_number) return select_part(o, a, bucket, r, in->part_number, out);
    if (in->range.n && (!in->if_range.n || cond_if_range(in->if_range, out->info.etag, r->modified_ms)))
        return range_parse(in->range, r->size, &out->partial, &out->first, &out->length);
    return ERR_OK;
}

static err open_data(struct objects *o, struct arena *a, uint64_t bucket, const struct rec *r,
                     struct obj_get_out *out)
{
    struct piece *v;
    size_t n;
    err e = data_pieces(o, a, bucket, r, out->first, out->length, &v, &n);
    return e ? e : data_open(o, a, v, n, &out->body);
}

static err marker_error(const struct obj_get_in *in)
{
    return in->version_id.n ? ERR_METHOD_NOT_ALLOWED : ERR_NO_SUCH_KEY;
}

/* One look. ERR_NOT_FOUND: the record's data went meanwhile. */
static err look(struct objects *o, struct arena *a, const struct bref *b, const struct obj_get_in *in,
                struct obj_get_out *out, uint64_t *seq)
{
    struct found f;
    *out = (struct obj_get_out){0};
    err e = version_find(o, a, b->id, in->key, in->version_id, &f);
    if (e) return e;
    *seq = f.seq;
    e = info_fill(a, in->bucket, in->key, &f, b->versioning, &out->info);
    if (e) return e;
    if (f.rec.kind == REC_MARKER) return marker_error(in);
    e = cond_read(&in->cond, out->info.etag, f.rec.modified_ms);
    if (!e) e = select_bytes(o, a, b->id, in, &f.rec, out);
    if (!e && !in->head) e = open_data(o, a, b->id, &f.rec, out);
    return e;
}

err obj_get(struct objects *o, struct arena *a, const struct obj_get_in *in, struct obj_get_out *out)
{
    struct bref b;
    uint64_t seq = 0, last = 0;
    *out = (struct obj_get_out){0};
    err e = bucket_find(o, in->bucket, &b);
    if (!e) e = key_check(in->key);
    if (!e && in->range.n && in->part_number) e = ERR_INVALID_REQUEST;
    if (e) return e;
    for (unsigned i = 0; i < READS_MAX; i++) {
        e = look(o, a, &b, in, out, &seq);
        if (e != ERR_NOT_FOUND) return e;
        if (seq == last) break; /* the same version twice: its bytes are lost, not replaced */
        last = seq;
    }
    LOG_ERROR("an object's bytes are missing", LF_S("bucket", in->bucket), LF_S("key", in->key),
              LF_U("seq", seq));
    return ERR_CORRUPT;
}

static err fill_part(const struct part *p, struct arena *a, struct obj_part_info *out)
{
    struct rec r = {.kind = REC_PART};
    memcpy(r.md5, p->md5, sizeof r.md5);
    *out = (struct obj_part_info){
        .number = p->number, .size = p->size, .modified_ms = p->modified_ms, .etag = etag_dup(a, &r)};
    return sums_decode(p->sums, &out->sums);
}

static err fill_parts(struct objects *o, struct arena *a, uint64_t bucket, const struct rec *r,
                      unsigned after, unsigned max, struct obj_part_info **parts, size_t *n, bool *truncated)
{
    struct table t;
    err e = table_decode(a, r->f[REC_TABLE], &t);
    struct obj_part_info *v = arena_alloc_raw(a, (max < r->parts ? max : r->parts) * sizeof *v);
    if (!e && !v) e = ERR_NO_MEMORY;
    *parts = v;
    for (unsigned c = e ? 0 : table_chunk_of(&t, after); !e && c < t.nchunks; c++) {
        struct part *some;
        size_t count;
        e = table_load(o->idx, a, bucket, &t, c, &some, &count);
        for (size_t i = 0; !e && i < count; i++) {
            if (some[i].number <= after) continue;
            if (*n == max) {
                *truncated = max > 0;
                return ERR_OK;
            }
            if (*n == r->parts) return ERR_CORRUPT;
            e = fill_part(&some[i], a, &v[(*n)++]);
        }
    }
    return e;
}

err obj_parts(struct objects *o, struct arena *a, const struct obj_get_in *in, unsigned after, unsigned max,
              struct obj_info *info, struct obj_part_info **parts, size_t *n, bool *truncated)
{
    struct bref b;
    struct found f;
    err e = bucket_find(o, in->bucket, &b);
    if (!e) e = key_check(in->key);
    for (unsigned i = 0; !e && i < READS_MAX; i++) {
        *parts = NULL;
        *n = 0;
        *truncated = false;
        e = version_find(o, a, b.id, in->key, in->version_id, &f);
        if (!e) e = info_fill(a, in->bucket, in->key, &f, b.versioning, info);
        if (!e && f.rec.kind == REC_MARKER) return marker_error(in);
        if (!e) e = cond_read(&in->cond, info->etag, f.rec.modified_ms);
        if (e || f.rec.parts == 0) return e;
        e = fill_parts(o, a, b.id, &f.rec, after, max, parts, n, truncated);
        if (e != ERR_NOT_FOUND) return e;
        e = ERR_OK;
    }
    return e ? e : ERR_CORRUPT;
}
