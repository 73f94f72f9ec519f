/* UploadPartCopy: a part that refers to a range of an object. Its bytes are read only for digests that nobody
 * knows yet. */
#include "base/bytes.h"
#include "object/upload_int.h"

#define ROUNDS_MAX 16 /* of a source that changes while we hash it */

struct part_copy {
    struct objects *o;
    struct arena *a; /* the caller's */
    const struct upload_copy_in *in;
    struct source src;
    struct piece *pieces;
    size_t npieces;
    uint64_t first, length;
    struct rec rec; /* of the part */
};

static err choose_range(struct part_copy *c)
{
    uint64_t size = c->src.found.rec.size;
    c->first = 0;
    c->length = size;
    if (c->in->has_range) {
        if (c->in->first > c->in->last || c->in->last >= size) return ERR_INVALID_RANGE;
        c->first = c->in->first;
        c->length = c->in->last - c->in->first + 1;
    }
    return c->length > OBJ_PART_MAX_SIZE ? ERR_ENTITY_TOO_LARGE : ERR_OK;
}

/* Digests of the whole that the source's record holds already. */
static bool known(const struct part_copy *c, unsigned sums, struct hash_value v[HASH_ALGS])
{
    const struct rec *r = &c->src.found.rec;
    struct obj_checksums have;
    if (c->length != r->size || r->parts > 0 || sums_decode(r->f[REC_SUMS], &have) != ERR_OK) return false;
    if ((have.bits & sums) != sums) return false;
    for (unsigned alg = 0; alg < HASH_ALGS; alg++)
        if (sums & HASH_BIT(alg)) v[alg] = have.value[alg];
    memcpy(v[HASH_MD5].b, r->md5, sizeof r->md5);
    put_be64(v[HASH_CRC64XZ].b, r->crc64xz);
    return true;
}

static err make_record(struct part_copy *c, unsigned sums)
{
    struct hash_value v[HASH_ALGS];
    struct obj_checksums keep = {.bits = sums};
    struct rec *r = &c->rec;
    err e = ERR_OK;
    if (!known(c, sums, v))
        e = data_hash(c->o, c->pieces, c->npieces, sums | HASH_BIT(HASH_MD5) | HASH_BIT(HASH_CRC64XZ), v);
    if (e) return e;
    for (unsigned alg = 0; alg < HASH_ALGS; alg++)
        if (sums & HASH_BIT(alg)) keep.value[alg] = v[alg];
    *r = (struct rec){.kind = REC_PART, .size = c->length, .crc64xz = get_be64(v[HASH_CRC64XZ].b)};
    memcpy(r->md5, v[HASH_MD5].b, sizeof r->md5);
    version_stamp(r);
    r->f[REC_SUMS] = sums_encode(c->a, &keep);
    r->f[REC_PIECES] = pieces_encode(c->a, c->pieces, c->npieces);
    return arena_overflowed(c->a) ? ERR_NO_MEMORY : ERR_OK;
}

/* ERR_NOT_FOUND: the source is another version by now. */
static err build(struct mut *m, void *arg)
{
    struct part_copy *c = arg;
    const struct upload_copy_in *in = c->in;
    struct upload u;
    struct source src;
    err e = upload_check(m, in->key, in->upload_id, &u);
    if (!e) e = copy_source(m->o, m->a, in->src_bucket, in->src_key, in->src_version_id, &in->src_cond, &src);
    if (e) return e;
    if (!vid_eq(&src.found.rec.vid, &c->src.found.rec.vid)) return ERR_NOT_FOUND;
    if (m->attempt == COPY_DOUBT) e = copy_source_whole(m->o, m->a, in->src_key, in->src_version_id, &src);
    if (e) return e;
    for (size_t i = 0; i < c->npieces; i++) mut_ref(m, c->pieces[i].blob, 1);
    return upload_put_part(m, &u.id, in->number, &c->rec);
}

static err copy_once(struct part_copy *c)
{
    const struct upload_copy_in *in = c->in;
    struct bref b;
    struct upload u;
    err e = bucket_find(c->o, in->bucket, &b);
    if (!e) e = upload_read(c->o, c->a, b.id, in->key, in->upload_id, &u);
    if (!e)
        e = copy_source(c->o, c->a, in->src_bucket, in->src_key, in->src_version_id, &in->src_cond, &c->src);
    if (!e) e = choose_range(c);
    if (!e)
        e = data_pieces(c->o, c->a, c->src.bucket.id, &c->src.found.rec, c->first, c->length, &c->pieces,
                        &c->npieces);
    if (!e && c->npieces > PART_PIECES_MAX) e = ERR_INVALID_REQUEST;
    if (!e) e = make_record(c, upload_part_sums(&u));
    return e ? e : mut_run(c->o, in->bucket, build, c, NULL);
}

static err finish(const struct part_copy *c, struct obj_part_info *out, struct str *src_version_id)
{
    struct part p = {.number = c->in->number,
                     .size = c->length,
                     .modified_ms = c->rec.modified_ms,
                     .sums = c->rec.f[REC_SUMS]};
    memcpy(p.md5, c->rec.md5, sizeof p.md5);
    *src_version_id = STR_NONE;
    if (c->src.bucket.versioning != VERSIONING_OFF) *src_version_id = version_text(c->a, &c->src.found.rec);
    return part_info(c->a, &p, out);
}

err upload_part_copy(struct objects *o, struct arena *a, const struct upload_copy_in *in,
                     struct obj_part_info *out, struct str *src_version_id)
{
    struct part_copy c = {.o = o, .a = a, .in = in};
    if (in->number < 1 || in->number > OBJ_PART_MAX_NUMBER) return ERR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        err e = copy_once(&c);
        if (!e) return finish(&c, out, src_version_id);
        if (e == ERR_NOT_FOUND) e = copy_source_whole(o, a, in->src_key, in->src_version_id, &c.src);
        if (e) return e;
    }
    return ERR_SLOW_DOWN;
}
