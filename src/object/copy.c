/* CopyObject: the new record refers to the source's bytes. The source is read at a moment of its own (it may
 * live in another shard); bytes never change, so all that a commit needs of it is that the bytes still exist,
 * which taking the reference checks. */
#include "object/internal.h"
#include "base/log.h"

#define ROUNDS_MAX 16 /* of a source that changes while we hash it */

err copy_source(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str version_id,
                const struct obj_cond *cond, struct source *out)
{
    char text[ETAG_TEXT];
    *out = (struct source){.found = {.current = false}};
    err e = bucket_find(o, bucket, &out->bucket);
    if (!e) e = key_check(key);
    if (!e) e = version_find(o, a, out->bucket.id, key, version_id, &out->found);
    if (e) return e;
    const struct rec *r = &out->found.rec;
    if (r->kind == REC_MARKER) return version_id.n ? ERR_INVALID_REQUEST : ERR_NO_SUCH_KEY;
    return cond_source(cond, str_of(text, etag_text(r->md5, r->parts, text)), r->modified_ms);
}

err copy_source_whole(struct objects *o, struct arena *a, struct str key, struct str version_id,
                      const struct source *src)
{
    const struct rec *r = &src->found.rec;
    struct piece *v;
    size_t n;
    struct body *b;
    struct found now;
    err e = data_pieces(o, a, src->bucket.id, r, 0, r->size, &v, &n);
    if (!e) e = data_open(o, a, v, n, &b);
    if (!e) body_close(b);
    if (e != ERR_NOT_FOUND) return e;
    /* Bytes go after their record does: one that is still there should have them. */
    e = version_find(o, a, src->bucket.id, key, version_id, &now);
    if (e || !vid_eq(&now.rec.vid, &r->vid)) return ERR_OK;
    LOG_ERROR("the bytes of a copy's source are missing", LF_U("bucket-id", src->bucket.id), LF_S("key", key),
              LF_U("seq", src->found.seq));
    return ERR_CORRUPT;
}

struct copying {
    struct objects *o;
    struct arena *a; /* the caller's */
    const struct obj_copy_in *in;
    struct source src;
    struct obj_checksums sums; /* of the copy */
    struct rec meta;           /* its replaced fields */
    struct vid table;          /* id of its part table */
    struct str made;
    struct rec stamp;
    enum versioning versioning;
};

/* A self-copy that would change nothing. */
static bool pointless(const struct obj_copy_in *in)
{
    return str_eq(in->src_bucket, in->bucket) && str_eq(in->src_key, in->key) && in->src_version_id.n == 0 &&
           !in->changes_something && !in->replace_meta;
}

/* The checksums asked for, read from the data where the source has none of the whole object. */
static err choose_sums(struct copying *c)
{
    const struct rec *r = &c->src.found.rec;
    struct obj_checksums have;
    err e = sums_decode(r->f[REC_SUMS], &have);
    if (e) return e;
    c->sums = have;
    unsigned want = c->in->want_sums & HASH_S3_SUMS, lacking = 0;
    if (!want) return ERR_OK;
    c->sums = (struct obj_checksums){.bits = want};
    for (unsigned alg = 0; alg < HASH_ALGS; alg++) {
        if (!(want & HASH_BIT(alg))) continue;
        if ((have.bits & HASH_BIT(alg)) && have.type[alg] == CHECKSUM_FULL_OBJECT)
            c->sums.value[alg] = have.value[alg];
        else
            lacking |= HASH_BIT(alg);
    }
    if (!lacking) return ERR_OK;
    struct piece *v;
    size_t n;
    struct hash_value got[HASH_ALGS];
    e = data_pieces(c->o, c->a, c->src.bucket.id, r, 0, r->size, &v, &n);
    if (!e) e = data_hash(c->o, v, n, lacking, got);
    for (unsigned alg = 0; !e && alg < HASH_ALGS; alg++)
        if (lacking & HASH_BIT(alg)) c->sums.value[alg] = got[alg];
    return e;
}

/* What describes the bytes goes along; what is the old object's own (who may read it, holds, replication)
 * does not, and neither does what this program does not know. */
static err make_record(struct mut *m, const struct copying *c, const struct rec *from, struct rec *r)
{
    static const uint8_t own[] = {
        REC_SEQ,        REC_ACL,         REC_OLD_NULL,    REC_RESTORE,          REC_RETENTION,
        REC_LEGAL_HOLD, REC_REPLICATION, REC_ORIGIN_SITE, REC_WEBSITE_REDIRECT, REC_STORAGE_CLASS};
    static const uint8_t meta[] = {REC_CONTENT_TYPE,     REC_CACHE_CONTROL,    REC_CONTENT_DISPOSITION,
                                   REC_CONTENT_ENCODING, REC_CONTENT_LANGUAGE, REC_EXPIRES,
                                   REC_USER_META};
    *r = *from;
    r->flags = 0;
    r->tail = STR_NONE;
    r->vid = c->stamp.vid;
    r->modified_ms = c->stamp.modified_ms;
    for (size_t i = 0; i < sizeof own; i++) r->f[own[i]] = STR_NONE;
    for (size_t i = 0; c->in->replace_meta && i < sizeof meta; i++) r->f[meta[i]] = c->meta.f[meta[i]];
    if (c->in->replace_tags) r->f[REC_TAGS] = c->meta.f[REC_TAGS];
    r->f[REC_STORAGE_CLASS] = c->meta.f[REC_STORAGE_CLASS];
    r->f[REC_WEBSITE_REDIRECT] = c->meta.f[REC_WEBSITE_REDIRECT];
    r->f[REC_OWNER] = c->in->owner.n ? c->in->owner : STR_NONE;
    r->f[REC_SUMS] = sums_encode(m->a, &c->sums);
    return ERR_OK;
}

/* The copy's own references and part table. */
static err share_data(struct mut *m, const struct copying *c, struct rec *r)
{
    struct piece *v;
    struct part *parts;
    struct str *chunks;
    struct key k;
    size_t n;
    unsigned count;
    if (!r->f[REC_TABLE].n) {
        err e = pieces_decode(m->a, r->f[REC_PIECES], &v, &n);
        for (size_t i = 0; !e && i < n; i++) mut_ref(m, v[i].blob, 1);
        return e;
    }
    err e = data_parts(m->o, m->a, c->src.bucket.id, r, &parts, &n);
    if (!e) e = table_encode(m->a, &c->table, parts, n, &chunks, &count, &r->f[REC_TABLE]);
    for (unsigned i = 0; !e && i < count; i++) {
        key_of_table(&k, m->bucket, &c->table, i);
        mut_put(m, &k, chunks[i]);
    }
    for (size_t i = 0; !e && i < n; i++)
        for (size_t p = 0; p < parts[i].npieces; p++) mut_ref(m, parts[i].pieces[p].blob, 1);
    return e;
}

/* ERR_NOT_FOUND: the source is another version by now; look at it again. */
static err build(struct mut *m, void *arg)
{
    struct copying *c = arg;
    const struct obj_copy_in *in = c->in;
    struct source src;
    struct found cur;
    struct rec r;
    err e = version_current(m, in->key, &cur);
    if (!e) e = cond_write(&in->cond, cur.value.p && cur.rec.kind == REC_OBJECT ? &cur.rec : NULL);
    if (!e) e = copy_source(m->o, m->a, in->src_bucket, in->src_key, in->src_version_id, &in->src_cond, &src);
    if (!e && !vid_eq(&src.found.rec.vid, &c->src.found.rec.vid)) return ERR_NOT_FOUND;
    if (!e && m->attempt == COPY_DOUBT)
        e = copy_source_whole(m->o, m->a, in->src_key, in->src_version_id, &src);
    if (!e) e = make_record(m, c, &src.found.rec, &r);
    if (!e) e = share_data(m, c, &r);
    if (!e) e = version_push(m, in->key, &cur, &r);
    if (e) return e;
    c->versioning = m->guard.versioning;
    c->made = arena_dup(c->a, rec_encode(m->a, &r));
    return c->made.p ? ERR_OK : ERR_NO_MEMORY;
}

static err copy_once(struct copying *c, uint64_t *seq)
{
    const struct obj_copy_in *in = c->in;
    err e = copy_source(c->o, c->a, in->src_bucket, in->src_key, in->src_version_id, &in->src_cond, &c->src);
    if (e) return e;
    if (c->src.found.rec.size > OBJ_PUT_MAX_SIZE) return ERR_ENTITY_TOO_LARGE;
    e = choose_sums(c);
    return e ? e : mut_run(c->o, in->bucket, build, c, seq);
}

static err finish(struct copying *c, struct found *f, struct obj_copy_out *out)
{
    err e = rec_decode(c->made, &f->rec);
    if (e) return e;
    if (c->src.bucket.versioning != VERSIONING_OFF)
        out->src_version_id = version_text(c->a, &c->src.found.rec);
    return info_fill(c->a, c->in->bucket, c->in->key, f, c->versioning, &out->info);
}

err obj_copy(struct objects *o, struct arena *a, const struct obj_copy_in *in, struct obj_copy_out *out)
{
    struct obj_put_in bounds = {.key = in->key};
    struct copying c = {.o = o, .a = a, .in = in, .table = vid_new(0)};
    struct found f = {.current = true};
    struct bref b;
    *out = (struct obj_copy_out){0};
    if (in->replace_meta) bounds.meta = in->meta;
    err e = bucket_find(o, in->bucket, &b);
    if (!e) e = put_check(&bounds);
    if (!e) e = rec_set_meta(a, &c.meta, &in->meta);
    if (!e && pointless(in)) e = ERR_INVALID_REQUEST;
    if (e) return e;
    version_stamp(&c.stamp);
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        e = copy_once(&c, &f.seq);
        if (!e) return finish(&c, &f, out);
        if (e == ERR_NOT_FOUND) e = copy_source_whole(o, a, in->src_key, in->src_version_id, &c.src);
        if (e) return e;
    }
    return ERR_SLOW_DOWN;
}
