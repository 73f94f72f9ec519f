/* Taking a body in: one pass that stores and hashes. Nothing of it is visible, and nothing of it is left
 * after a failure, until a transaction publishes the blob. */
#include "base/bytes.h"
#include "object/internal.h"
#include "object/lane.h"

#define ALWAYS (HASH_BIT(HASH_MD5) | HASH_BIT(HASH_CRC64XZ))

/* AWS gives a CRC64NVME to every object that comes without a checksum. It costs 0.1 ns a byte, MD5 alone 15
 * times that. */
static unsigned sums_to_keep(const struct obj_put_in *in)
{
    unsigned bits = (in->want_sums | in->expect_bits) & HASH_S3_SUMS;
    return bits ? bits : HASH_BIT(HASH_CRC64NVME);
}

struct intake {
    struct objects *o;
    const struct obj_put_in *in;
    struct ingest *g;
    struct hash_set *h;
    struct lane *lane; /* NULL: hash as it comes */
    uint64_t max;
};

static err need_writer(struct intake *t)
{
    return t->g->writer ? ERR_OK : blob_create(t->o->blobs, t->in->size, &t->g->writer);
}

static err store(struct intake *t, struct str v)
{
    if (v.n == 0) return ERR_OK;
    err e = need_writer(t);
    return e ? e : blob_write(t->g->writer, v.p, v.n);
}

/* n bytes more have come. */
static err count(struct intake *t, size_t n)
{
    struct ingest *g = t->g;
    if (n > t->max - g->size) return ERR_ENTITY_TOO_LARGE;
    if (t->in->size >= 0 && g->size + n > (uint64_t)t->in->size) return ERR_INCOMPLETE_BODY;
    g->size += n;
    return ERR_OK;
}

/* Where the next bytes are stored, and hashed in their place. */
static err lane_place(struct intake *t, char **p, size_t *n)
{
    err e = blob_room(t->g->writer, p, n);
    if (!e) *n = lane_room(t->lane, *p, *n);
    return e;
}

static err lane_took(struct intake *t, size_t n)
{
    lane_filled(t->lane, n);
    return blob_filled(t->g->writer, n);
}

static err take_view(struct intake *t, struct str v)
{
    err e = count(t, v.n);
    if (e) return e;
    if (!t->lane) {
        mill_feed(t->o->mill, t->h, v);
        return store(t, v);
    }
    while (!e && v.n > 0) {
        char *p;
        size_t n;
        e = lane_place(t, &p, &n);
        if (e) break;
        if (n > v.n) n = v.n;
        memcpy(p, v.p, n);
        e = lane_took(t, n);
        v = str_slice(v, n, v.n);
    }
    return e;
}

/* The next bytes, to where they are stored if there is a way; *n: how many, 0 at the end. */
static err take_some(struct intake *t, struct body *body, size_t *n)
{
    struct str v;
    if (t->lane && body_reads(body) && t->g->size < (uint64_t)t->in->size) {
        size_t room;
        char *p;
        err e = lane_place(t, &p, &room);
        if (!e) e = body_read(body, p, room, n);
        if (!e) e = count(t, *n);
        return e ? e : lane_took(t, *n);
    }
    err e = body_next(body, &v);
    *n = v.n;
    return !e && v.n > 0 ? take_view(t, v) : e;
}

static err take_all(struct intake *t, struct body *body)
{
    for (size_t n = 1; n > 0;) {
        err e = take_some(t, body, &n);
        if (e) return e;
    }
    if (t->in->size >= 0 && t->g->size != (uint64_t)t->in->size) return ERR_INCOMPLETE_BODY;
    return ERR_OK;
}

/* Whether the writer has room of its own. */
static err has_room(struct intake *t, bool *has)
{
    char *p;
    size_t n;
    err e = need_writer(t);
    if (!e) e = blob_room(t->g->writer, &p, &n);
    *has = !e && p;
    return e;
}

static err take_by_lane(struct intake *t, struct body *body)
{
    struct lane lane;
    lane_open(&lane, t->o->mill, t->h);
    t->lane = &lane;
    err e = take_all(t, body);
    t->lane = NULL;
    lane_close(&lane);
    return e;
}

static err take(struct intake *t, struct body *body)
{
    if (t->in->size < LANE_MINIMUM || !rt_fiber_self()) return take_all(t, body);
    int *left = &t->o->lanes;
    bool lane = __atomic_fetch_sub(left, 1, __ATOMIC_RELAXED) > 0;
    err e = lane ? has_room(t, &lane) : ERR_OK;
    if (!e) e = lane ? take_by_lane(t, body) : take_all(t, body);
    __atomic_fetch_add(left, 1, __ATOMIC_RELAXED);
    return e;
}

static err finish(struct obj_put_in *in, struct ingest *g, struct hash_set *h, unsigned computed)
{
    struct hash_value v[HASH_ALGS] = {0};
    if (in->at_end) {
        err e = in->at_end(in->arg, in);
        if (e) return e;
    }
    if (in->expect_bits & ~computed) return ERR_INVALID_REQUEST;
    for (unsigned alg = 0; alg < HASH_ALGS; alg++) {
        if (!(computed & HASH_BIT(alg))) continue;
        hash_set_final(h, alg, &v[alg]);
        if ((in->expect_bits & HASH_BIT(alg)) && memcmp(v[alg].b, in->expect[alg].b, hash_size(alg)) != 0) {
            in->mismatch = true;
            in->wrong = (enum hash_alg)alg;
            in->got = v[alg];
            return ERR_BAD_DIGEST;
        }
        if (!(HASH_S3_SUMS & HASH_BIT(alg))) continue;
        g->sums.bits |= HASH_BIT(alg);
        g->sums.type[alg] = CHECKSUM_FULL_OBJECT;
        g->sums.value[alg] = v[alg];
    }
    memcpy(g->md5, v[HASH_MD5].b, sizeof g->md5);
    g->crc64xz = get_be64(v[HASH_CRC64XZ].b);
    return ERR_OK;
}

err ingest(struct objects *o, struct obj_put_in *in, struct body *body, uint64_t max, struct ingest *out)
{
    *out = (struct ingest){0};
    if (in->size >= 0 && (uint64_t)in->size > max) return ERR_ENTITY_TOO_LARGE;
    unsigned bits = ALWAYS | sums_to_keep(in);
    struct hash_set *h = hash_set_new(bits);
    if (!h) return ERR_NO_MEMORY;
    struct intake t = {.o = o, .in = in, .g = out, .h = h, .max = max};
    err e = take(&t, body);
    if (!e) e = finish(in, out, h, bits);
    hash_set_free(h);
    if (e) ingest_drop(out);
    return e;
}

void ingest_drop(struct ingest *g)
{
    blob_abandon(g->writer);
    g->writer = NULL;
}

err ingest_record(struct arena *a, enum rec_kind kind, const struct ingest *g, struct rec *r)
{
    *r = (struct rec){.kind = kind, .size = g->size, .crc64xz = g->crc64xz};
    memcpy(r->md5, g->md5, sizeof r->md5);
    r->f[REC_SUMS] = sums_encode(a, &g->sums);
    if (g->writer) {
        struct piece whole = {.blob = blob_writer_id(g->writer), .off = 0, .len = g->size};
        r->f[REC_PIECES] = pieces_encode(a, &whole, 1);
    }
    version_stamp(r);
    return arena_overflowed(a) ? ERR_NO_MEMORY : ERR_OK;
}

#define OWNER_FORMAT 1
#define OWNER_MAX    65536u

/* Too long a record (it cannot happen with today's bounds on headers) is left out rather than cut. */
struct str owner_bytes(struct arena *a, const struct key *k, struct str value)
{
    size_t max = 1 + 20 + k->n + value.n;
    if (!value.p || max > OWNER_MAX) return STR_NONE;
    struct buf b = {.p = arena_alloc_raw(a, max), .cap = max, .max = max};
    if (!b.p) return STR_NONE;
    buf_char(&b, OWNER_FORMAT);
    buf_lenstr(&b, key_str(k));
    buf_lenstr(&b, value);
    return buf_view(&b);
}
