/* CompleteMultipartUpload: parts become an object by reference; not a byte of data moves. The references that
 * the parts' records held go over to the object's part table; those of parts that the list leaves out are
 * dropped. */
#include "base/bytes.h"
#include "object/sweeper.h"
#include "object/upload_int.h"
#include "rt/rt.h"
#include "sys/sys.h"

#define LIST_LINES_MAX (2 * OBJ_PART_MAX_NUMBER)

struct completion {
    struct objects *o;
    struct arena *a; /* the caller's */
    const struct upload_complete_in *in;
    struct upload_complete_part *list; /* the client's, each part once; in a */
    size_t n;
    err list_error;   /* told after the upload is known to exist */
    struct rec stamp; /* id and time of the object */
    struct str made;  /* the record, or the mark of an earlier Complete; in a */
    uint64_t seq;     /* of an earlier Complete */
    enum versioning versioning;
};

/* ---- the list ---- */

/* A client that sent a part twice may list it twice; as the last upload of a number wins, so does its last
 * line. */
static err compact_list(struct completion *c)
{
    const struct upload_complete_in *in = c->in;
    if (in->n == 0 || in->n > LIST_LINES_MAX) return ERR_MALFORMED_XML;
    c->list = ARENA_ARRAY(c->a, struct upload_complete_part, in->n);
    if (!c->list) return ERR_NO_MEMORY;
    for (size_t i = 0; i < in->n; i++) {
        if (i > 0 && in->parts[i].number < in->parts[i - 1].number) return ERR_INVALID_PART_ORDER;
        if (i + 1 < in->n && in->parts[i + 1].number == in->parts[i].number) continue;
        c->list[c->n++] = in->parts[i];
    }
    return c->n > OBJ_PART_MAX_NUMBER ? ERR_MALFORMED_XML : ERR_OK;
}

static err check_part(const struct upload_complete_part *want, const struct part *have)
{
    char text[ETAG_TEXT];
    struct obj_checksums sums;
    if (!etag_same(want->etag, str_of(text, etag_text(have->md5, 0, text)))) return ERR_INVALID_PART;
    err e = sums_decode(have->sums, &sums);
    return !e && !sums_same(&sums, &want->sums) ? ERR_INVALID_PART : e;
}

static err at_part(const struct completion *c, size_t i, uint64_t size, err e)
{
    if (c->in->fault)
        *c->in->fault = (struct upload_fault){c->list[i].number, c->list[i].etag, size, c->o->min_part_size};
    return e;
}

/* Both lists ascend: matches the client's against what is there; picked gets the parts, keep marks them. */
static err pick(const struct completion *c, const struct part *have, size_t n, struct part *picked,
                bool *keep)
{
    size_t h = 0;
    for (size_t i = 0; i < c->n; i++) {
        while (h < n && have[h].number < c->list[i].number) h++;
        if (h == n || have[h].number != c->list[i].number) return at_part(c, i, 0, ERR_INVALID_PART);
        err e = check_part(&c->list[i], &have[h]);
        if (e) return at_part(c, i, have[h].size, e);
        picked[i] = have[h];
        keep[h] = true;
    }
    for (size_t i = 0; i + 1 < c->n; i++)
        if (picked[i].size < c->o->min_part_size) return at_part(c, i, picked[i].size, ERR_ENTITY_TOO_SMALL);
    return ERR_OK;
}

/* ---- sizes and sums of the whole ---- */

static err measure(const struct part *v, size_t n, struct rec *r)
{
    size_t pieces = 0;
    struct hash_value crc, next;
    struct hash_set *md5 = hash_set_new(HASH_BIT(HASH_MD5));
    if (!md5) return ERR_NO_MEMORY;
    r->parts = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        put_be64(next.b, v[i].crc64xz);
        if (i == 0)
            crc = next;
        else
            hash_combine(HASH_CRC64XZ, &crc, &next, v[i].size);
        r->size += v[i].size;
        pieces += v[i].npieces;
        hash_set_update(md5, v[i].md5, sizeof v[i].md5);
    }
    hash_set_final(md5, HASH_MD5, &next);
    hash_set_free(md5);
    memcpy(r->md5, next.b, sizeof r->md5);
    r->crc64xz = get_be64(crc.b);
    if (r->size > OBJ_MAX_SIZE) return ERR_ENTITY_TOO_LARGE;
    return pieces > TABLE_PIECES_MAX ? ERR_INVALID_REQUEST : ERR_OK;
}

/* A composite is the digest of the parts' digests; a full-object one combines from theirs. */
static err sum_parts(const struct part *v, size_t n, enum hash_alg alg, enum checksum_type type,
                     struct hash_value *out)
{
    struct hash_set *h = hash_set_new(HASH_BIT(alg));
    if (!h) return ERR_NO_MEMORY;
    err e = ERR_OK;
    for (size_t i = 0; !e && i < n; i++) {
        struct obj_checksums s;
        e = sums_decode(v[i].sums, &s);
        if (!e && !(s.bits & HASH_BIT(alg))) e = ERR_INVALID_PART;
        if (e) break;
        if (type == CHECKSUM_COMPOSITE)
            hash_set_update(h, s.value[alg].b, hash_size(alg));
        else if (i == 0)
            *out = s.value[alg];
        else
            hash_combine(alg, out, &s.value[alg], v[i].size);
    }
    if (!e && type == CHECKSUM_COMPOSITE) hash_set_final(h, alg, out);
    hash_set_free(h);
    return e;
}

static err sum_whole(const struct upload *u, const struct completion *c, const struct part *v,
                     struct obj_checksums *out)
{
    const struct upload_complete_in *in = c->in;
    enum hash_alg alg = u->has_checksum ? u->checksum : HASH_CRC64NVME;
    enum checksum_type type = u->has_checksum ? u->type : CHECKSUM_FULL_OBJECT;
    *out = (struct obj_checksums){.bits = HASH_BIT(alg)};
    out->type[alg] = type;
    if (type == CHECKSUM_COMPOSITE) out->parts = (unsigned)c->n;
    if (in->has_type && in->type != type) return ERR_INVALID_REQUEST;
    if (in->expect_bits & ~out->bits) return ERR_INVALID_REQUEST;
    err e = sum_parts(v, c->n, alg, type, &out->value[alg]);
    if (e) return e;
    bool wrong = in->expect_bits && memcmp(out->value[alg].b, in->expect[alg].b, hash_size(alg)) != 0;
    return wrong ? ERR_BAD_DIGEST : ERR_OK;
}

/* ---- the transaction ---- */

/* The object's record: what the upload said it would be, with its parts' measures. */
static err make_record(struct mut *m, struct completion *c, const struct upload *u, const struct part *v,
                       struct rec *r)
{
    struct obj_checksums sums;
    *r = u->rec;
    r->kind = REC_OBJECT;
    r->flags = 0;
    r->vid = c->stamp.vid;
    r->modified_ms = c->stamp.modified_ms;
    r->f[REC_UPLOAD_SUM] = r->f[REC_INITIATOR] = STR_NONE;
    err e = measure(v, c->n, r);
    if (!e && c->in->has_size && c->in->size != r->size) {
        if (c->in->fault) c->in->fault->size = r->size;
        return ERR_INVALID_REQUEST;
    }
    if (!e) e = sum_whole(u, c, v, &sums);
    if (!e) r->f[REC_SUMS] = sums_encode(m->a, &sums);
    return e;
}

static err put_table(struct mut *m, const struct vid *id, const struct part *v, size_t n, struct rec *r)
{
    struct str *chunks;
    unsigned count;
    struct key k;
    err e = table_encode(m->a, id, v, n, &chunks, &count, &r->f[REC_TABLE]);
    for (unsigned i = 0; !e && i < count; i++) {
        key_of_table(&k, m->bucket, id, i);
        mut_put(m, &k, chunks[i]);
    }
    return e;
}

/* So that a repeated Complete gets the same answer for a day. */
static void put_mark(struct mut *m, const struct completion *c, const struct vid *id, const struct rec *r)
{
    struct key k;
    struct rec mark = *r;
    mark.kind = REC_DONE;
    for (unsigned t = 1; t < REC_TAG_END; t++)
        if (t != REC_SUMS && t != REC_OWNER) mark.f[t] = STR_NONE;
    mark.tail = STR_NONE;
    mark.f[REC_DONE_KEY] = c->in->key;
    key_of_mark(&k, m->bucket, id);
    mut_put(m, &k, rec_encode(m->a, &mark));
    key_of_time(&k, m->bucket, (uint64_t)(sys->real_ms() + SWEEP_MARK_MS), id);
    mut_put(m, &k, STR(""));
}

static err repeat(struct mut *m, struct completion *c)
{
    struct key k;
    struct vid id;
    struct rec r;
    if (!vid_parse(c->in->upload_id, &id)) return ERR_NO_SUCH_UPLOAD;
    key_of_mark(&k, m->bucket, &id);
    err e = idx_get(m->o->idx, c->a, key_str(&k), &c->made, &c->seq);
    if (e) return e == ERR_NOT_FOUND ? ERR_NO_SUCH_UPLOAD : e;
    e = rec_decode(c->made, &r);
    if (!e && (r.kind != REC_DONE || !str_eq(r.f[REC_DONE_KEY], c->in->key))) e = ERR_NO_SUCH_UPLOAD;
    m->nothing = true;
    return e;
}

/* Matching, summing and encoding 10,000 parts takes a tenth of a second: work for a worker. */
struct assembly {
    struct mut *m;
    struct completion *c;
    struct upload upload;
    struct part *have, *picked;
    bool *keep;
    size_t n;
    struct rec rec;
    err e;
};

static void assemble(void *arg)
{
    struct assembly *as = arg;
    struct completion *c = as->c;
    as->e = pick(c, as->have, as->n, as->picked, as->keep);
    if (!as->e) as->e = make_record(as->m, c, &as->upload, as->picked, &as->rec);
    if (!as->e) as->e = put_table(as->m, &as->upload.id, as->picked, c->n, &as->rec);
}

static err build(struct mut *m, void *arg)
{
    struct completion *c = arg;
    struct assembly as = {.m = m, .c = c};
    struct found cur;
    c->versioning = m->guard.versioning;
    err e = upload_check(m, c->in->key, c->in->upload_id, &as.upload);
    if (e == ERR_NO_SUCH_UPLOAD) return repeat(m, c);
    if (!e) e = c->list_error;
    if (!e) e = upload_scan_parts(m->o, m->a, m->bucket, &as.upload.id, 0, SIZE_MAX, &as.have, &as.n);
    if (!e) e = version_current(m, c->in->key, &cur);
    if (!e) e = cond_write(&c->in->cond, cur.value.p && cur.rec.kind == REC_OBJECT ? &cur.rec : NULL);
    if (e) return e;
    as.picked = ARENA_ARRAY(m->a, struct part, c->n);
    as.keep = ARENA_ARRAY(m->a, bool, as.n + 1);
    if (!as.picked || !as.keep) return ERR_NO_MEMORY;
    rt_work("complete", assemble, &as);
    if (as.e) return as.e;
    e = upload_end(m, c->in->key, &as.upload.id, as.have, as.n, as.keep);
    if (!e) e = version_push(m, c->in->key, &cur, &as.rec);
    if (e) return e;
    put_mark(m, c, &as.upload.id, &as.rec);
    c->made = arena_dup(c->a, rec_encode(m->a, &as.rec));
    return c->made.p ? ERR_OK : ERR_NO_MEMORY;
}

err upload_complete(struct objects *o, struct arena *a, const struct upload_complete_in *in,
                    struct obj_info *out)
{
    struct completion c = {.o = o, .a = a, .in = in};
    struct found f = {.current = true};
    uint64_t seq = 0;
    version_stamp(&c.stamp);
    c.list_error = compact_list(&c);
    err e = mut_run(o, in->bucket, build, &c, &seq);
    if (!e) e = rec_decode(c.made, &f.rec);
    if (e) return e;
    f.seq = c.seq ? c.seq : seq;
    return info_fill(a, in->bucket, in->key, &f, c.versioning, out);
}
