/* The values of the record's fields. */
#include "base/assert.h"
#include "base/bytes.h"
#include "object/record.h"

#define PIECE_MAX 30 /* bytes of one encoded piece at most */

/* buf made of arena memory: fields are sized before they are written. */
static struct buf field(struct arena *a, size_t max)
{
    struct buf b = {.p = arena_alloc_raw(a, max), .cap = max, .max = max};
    if (!b.p) b.cap = b.max = 0, b.overflow = true;
    return b;
}

static struct str done(const struct buf *b)
{
    return b->overflow ? STR_NONE : buf_view(b);
}

struct str pairs_encode(struct arena *a, const struct obj_pair *v, size_t n)
{
    if (n == 0) return STR_NONE;
    size_t size = 10;
    for (size_t i = 0; i < n; i++) size += v[i].name.n + v[i].value.n + 20;
    struct buf b = field(a, size);
    buf_varint(&b, n);
    for (size_t i = 0; i < n; i++) {
        buf_lenstr(&b, v[i].name);
        buf_lenstr(&b, v[i].value);
    }
    return done(&b);
}

err pairs_decode(struct arena *a, struct str in, struct obj_pair **v, size_t *n)
{
    *v = NULL;
    *n = 0;
    if (in.n == 0) return ERR_OK;
    struct rd rd = rd_of(in);
    uint64_t count = rd_varint(&rd);
    if (rd.bad || count > rd_left(&rd) / 2) return ERR_CORRUPT; /* a pair takes two bytes at least */
    struct obj_pair *p = ARENA_ARRAY(a, struct obj_pair, count);
    if (!p) return ERR_NO_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        p[i].name = rd_lenstr(&rd);
        p[i].value = rd_lenstr(&rd);
    }
    if (rd.bad || rd_left(&rd) > 0) return ERR_CORRUPT;
    *v = p;
    *n = count;
    return ERR_OK;
}

/* Algorithms on disk have numbers of their own, so that the enum may change. */
static const struct {
    uint8_t number;
    enum hash_alg alg;
} sum_numbers[] = {
    {1, HASH_CRC32}, {2, HASH_CRC32C}, {3, HASH_CRC64NVME}, {4, HASH_SHA1}, {5, HASH_SHA256},
};
#define N_SUMS (sizeof sum_numbers / sizeof *sum_numbers)

struct str sums_encode(struct arena *a, const struct obj_checksums *s)
{
    if (s->bits == 0) return STR_NONE;
    struct buf b = field(a, 5 + N_SUMS * (2 + HASH_MAX_SIZE));
    buf_varint(&b, s->parts);
    for (unsigned i = 0; i < N_SUMS; i++) {
        enum hash_alg alg = sum_numbers[i].alg;
        if (!(s->bits & HASH_BIT(alg))) continue;
        buf_char(&b, (char)sum_numbers[i].number);
        buf_char(&b, s->type[alg] == CHECKSUM_COMPOSITE);
        buf_add(&b, s->value[alg].b, hash_size(alg));
    }
    return done(&b);
}

static bool sum_by_number(uint8_t number, enum hash_alg *alg)
{
    for (unsigned i = 0; i < N_SUMS; i++) {
        if (sum_numbers[i].number != number) continue;
        *alg = sum_numbers[i].alg;
        return true;
    }
    return false;
}

err sums_decode(struct str in, struct obj_checksums *out)
{
    *out = (struct obj_checksums){0};
    if (in.n == 0) return ERR_OK;
    struct rd rd = rd_of(in);
    uint64_t parts = rd_varint(&rd);
    if (parts > OBJ_PART_MAX_NUMBER) return ERR_CORRUPT;
    out->parts = (unsigned)parts;
    while (rd_left(&rd) > 0) {
        enum hash_alg alg;
        uint8_t number = rd_u8(&rd), type = rd_u8(&rd);
        if (rd.bad) return ERR_CORRUPT;
        if (!sum_by_number(number, &alg) || type > 1) return ERR_UNSUPPORTED_FORMAT;
        struct str value = rd_bytes(&rd, hash_size(alg));
        if (rd.bad || (out->bits & HASH_BIT(alg))) return ERR_CORRUPT;
        out->bits |= HASH_BIT(alg);
        out->type[alg] = type ? CHECKSUM_COMPOSITE : CHECKSUM_FULL_OBJECT;
        memcpy(out->value[alg].b, value.p, value.n);
    }
    return rd.bad ? ERR_CORRUPT : ERR_OK;
}

struct str upload_sum_encode(struct arena *a, enum hash_alg alg, enum checksum_type type)
{
    char *p = arena_alloc_raw(a, 2);
    if (!p) return STR_NONE;
    for (unsigned i = 0; i < N_SUMS; i++)
        if (sum_numbers[i].alg == alg) p[0] = (char)sum_numbers[i].number;
    p[1] = type == CHECKSUM_COMPOSITE;
    return str_of(p, 2);
}

err upload_sum_decode(struct str in, enum hash_alg *alg, enum checksum_type *type)
{
    if (in.n != 2) return ERR_CORRUPT;
    if (!sum_by_number((uint8_t)in.p[0], alg) || (uint8_t)in.p[1] > 1) return ERR_UNSUPPORTED_FORMAT;
    *type = in.p[1] ? CHECKSUM_COMPOSITE : CHECKSUM_FULL_OBJECT;
    return ERR_OK;
}

bool sums_same(const struct obj_checksums *have, const struct obj_checksums *given)
{
    for (unsigned alg = 0; alg < HASH_ALGS; alg++) {
        if (!(given->bits & HASH_BIT(alg))) continue;
        if (!(have->bits & HASH_BIT(alg))) return false;
        if (memcmp(have->value[alg].b, given->value[alg].b, hash_size(alg)) != 0) return false;
    }
    return true;
}

struct str pieces_encode(struct arena *a, const struct piece *v, size_t n)
{
    if (n == 0) return STR_NONE;
    struct buf b = field(a, 10 + n * PIECE_MAX);
    buf_varint(&b, n);
    for (size_t i = 0; i < n; i++) {
        buf_varint(&b, v[i].blob);
        buf_varint(&b, v[i].off);
        buf_varint(&b, v[i].len);
    }
    return done(&b);
}

err pieces_decode(struct arena *a, struct str in, struct piece **v, size_t *n)
{
    *v = NULL;
    *n = 0;
    if (in.n == 0) return ERR_OK;
    struct rd rd = rd_of(in);
    uint64_t count = rd_varint(&rd);
    if (rd.bad || count == 0 || count > rd_left(&rd) / 3) return ERR_CORRUPT;
    struct piece *p = ARENA_ARRAY(a, struct piece, count);
    if (!p) return ERR_NO_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        p[i].blob = rd_varint(&rd);
        p[i].off = rd_varint(&rd);
        p[i].len = rd_varint(&rd);
        if (p[i].len == 0 || p[i].len > OBJ_MAX_SIZE || p[i].off > OBJ_MAX_SIZE) return ERR_CORRUPT;
    }
    if (rd.bad || rd_left(&rd) > 0) return ERR_CORRUPT;
    *v = p;
    *n = count;
    return ERR_OK;
}

struct str vid_encode(struct arena *a, const struct vid *v)
{
    char *p = arena_alloc_raw(a, VID_SIZE);
    if (!p) return STR_NONE;
    vid_put(v, p);
    return str_of(p, VID_SIZE);
}

err vid_decode(struct str in, struct vid *out)
{
    *out = (struct vid){0};
    if (in.n == 0) return ERR_OK;
    if (in.n != VID_SIZE) return ERR_CORRUPT;
    *out = vid_get(in.p);
    return ERR_OK;
}

static struct str or_none(struct str s)
{
    return s.n ? s : STR_NONE;
}

err rec_set_meta(struct arena *a, struct rec *r, const struct obj_meta *m)
{
    r->f[REC_CONTENT_TYPE] = or_none(m->content_type);
    r->f[REC_CACHE_CONTROL] = or_none(m->cache_control);
    r->f[REC_CONTENT_DISPOSITION] = or_none(m->content_disposition);
    r->f[REC_CONTENT_ENCODING] = or_none(m->content_encoding);
    r->f[REC_CONTENT_LANGUAGE] = or_none(m->content_language);
    r->f[REC_EXPIRES] = or_none(m->expires);
    r->f[REC_WEBSITE_REDIRECT] = or_none(m->website_redirect);
    r->f[REC_STORAGE_CLASS] =
        str_eq(m->storage_class, STR("STANDARD")) ? STR_NONE : or_none(m->storage_class);
    r->f[REC_USER_META] = pairs_encode(a, m->user, m->nuser);
    r->f[REC_TAGS] = pairs_encode(a, m->tags, m->ntags);
    return arena_overflowed(a) ? ERR_NO_MEMORY : ERR_OK;
}

err rec_get_meta(struct arena *a, const struct rec *r, struct obj_meta *m)
{
    *m = (struct obj_meta){
        .content_type = r->f[REC_CONTENT_TYPE],
        .cache_control = r->f[REC_CACHE_CONTROL],
        .content_disposition = r->f[REC_CONTENT_DISPOSITION],
        .content_encoding = r->f[REC_CONTENT_ENCODING],
        .content_language = r->f[REC_CONTENT_LANGUAGE],
        .expires = r->f[REC_EXPIRES],
        .website_redirect = r->f[REC_WEBSITE_REDIRECT],
        .storage_class = r->f[REC_STORAGE_CLASS],
    };
    err e = pairs_decode(a, r->f[REC_USER_META], &m->user, &m->nuser);
    return e ? e : pairs_decode(a, r->f[REC_TAGS], &m->tags, &m->ntags);
}
