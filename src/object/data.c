/* Where an object's bytes are, and a body that gives them: views of pinned blobs, nothing copied. */
#include "object/internal.h"
#include "rt/rt.h"

#define VIEW_MAX ((size_t)1 << 20)

static err load_all(struct objects *o, struct arena *a, uint64_t bucket, const struct table *t,
                    struct part *v, size_t max, size_t *n)
{
    *n = 0;
    for (unsigned c = 0; c < t->nchunks; c++) {
        struct part *some;
        size_t count;
        err e = table_load(o->idx, a, bucket, t, c, &some, &count);
        table_breathe(c);
        if (e) return e;
        if (count > max - *n) return ERR_CORRUPT;
        memcpy(v + *n, some, count * sizeof *v);
        *n += count;
    }
    return ERR_OK;
}

err data_parts(struct objects *o, struct arena *a, uint64_t bucket, const struct rec *r, struct part **parts,
               size_t *n)
{
    struct table t;
    err e = table_decode(a, r->f[REC_TABLE], &t);
    if (e) return e;
    if (r->parts > OBJ_PART_MAX_NUMBER) return ERR_CORRUPT;
    struct part *v = ARENA_ARRAY(a, struct part, (size_t)r->parts);
    if (!v) return ERR_NO_MEMORY;
    *parts = v;
    e = load_all(o, a, bucket, &t, v, r->parts, n);
    return !e && *n != r->parts ? ERR_CORRUPT : e;
}

struct cut { /* gathers what of a run of pieces lies in [from, to) */
    struct arena *a;
    struct piece *v;
    size_t n, cap;
    uint64_t at, from, to;
};

static err cut_piece(struct cut *c, const struct piece *p)
{
    uint64_t start = c->at, end = c->at + p->len;
    c->at = end;
    if (end <= c->from || start >= c->to) return ERR_OK;
    uint64_t skip = start < c->from ? c->from - start : 0;
    uint64_t drop = end > c->to ? end - c->to : 0;
    if (c->n == c->cap) {
        if (c->n >= TABLE_PIECES_MAX) return ERR_CORRUPT;
        size_t cap = c->cap ? c->cap * 2 : 4;
        struct piece *v = arena_alloc_raw(c->a, cap * sizeof *v);
        if (!v) return ERR_NO_MEMORY;
        if (c->n) memcpy(v, c->v, c->n * sizeof *v);
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n++] = (struct piece){p->blob, p->off + skip, p->len - skip - drop};
    return ERR_OK;
}

static err cut_table(struct objects *o, uint64_t bucket, const struct rec *r, struct cut *c)
{
    struct table t;
    err e = table_decode(c->a, r->f[REC_TABLE], &t);
    if (e) return e;
    unsigned first = table_chunk_at(&t, c->from);
    c->at = t.first_off[first];
    for (unsigned chunk = first; !e && chunk < t.nchunks && c->at < c->to; chunk++) {
        struct part *parts;
        size_t n;
        if (c->at != t.first_off[chunk]) return ERR_CORRUPT;
        e = table_load(o->idx, c->a, bucket, &t, chunk, &parts, &n);
        table_breathe(chunk - first);
        for (size_t i = 0; !e && i < n; i++)
            for (size_t p = 0; !e && p < parts[i].npieces; p++) e = cut_piece(c, &parts[i].pieces[p]);
    }
    return e;
}

err data_pieces(struct objects *o, struct arena *a, uint64_t bucket, const struct rec *r, uint64_t first,
                uint64_t length, struct piece **pieces, size_t *n)
{
    struct cut c = {.a = a, .from = first, .to = first + length};
    err e = ERR_OK;
    if (r->f[REC_TABLE].n) {
        e = cut_table(o, bucket, r, &c);
    } else {
        struct piece *v;
        size_t count;
        e = pieces_decode(a, r->f[REC_PIECES], &v, &count);
        for (size_t i = 0; !e && i < count; i++) e = cut_piece(&c, &v[i]);
    }
    if (!e && c.at < c.to) e = ERR_CORRUPT;
    *pieces = c.v;
    *n = c.n;
    return e;
}

/* ---- the body ---- */

struct data_body {
    struct body b;
    const struct piece *v;
    struct blob_reader **readers; /* all opened at once: what we promised to send stays */
    size_t n, i;
    uint64_t at; /* in piece i */
};

static err data_next(struct body *b, struct str *out)
{
    struct data_body *d = (struct data_body *)b;
    *out = STR_NONE;
    while (d->i < d->n && d->at == d->v[d->i].len) {
        blob_close(d->readers[d->i]);
        d->readers[d->i++] = NULL;
        d->at = 0;
    }
    if (d->i == d->n) return ERR_OK;
    const struct piece *p = &d->v[d->i];
    uint64_t left = p->len - d->at;
    err e = blob_view(d->readers[d->i], p->off + d->at, left < VIEW_MAX ? (size_t)left : VIEW_MAX, out);
    if (!e) d->at += out->n;
    return e;
}

static void data_close(struct body *b)
{
    struct data_body *d = (struct data_body *)b;
    for (size_t i = d->i; i < d->n; i++) blob_close(d->readers[i]);
    d->n = d->i = 0;
}

static const struct body_ops data_ops = {"object", data_next, data_close, NULL};

err data_open(struct objects *o, struct arena *a, const struct piece *pieces, size_t n, struct body **out)
{
    struct data_body *d = arena_alloc(a, sizeof *d + n * sizeof(struct blob_reader *));
    if (!d) return ERR_NO_MEMORY;
    *d = (struct data_body){.b = {.ops = &data_ops}, .v = pieces, .readers = (struct blob_reader **)(d + 1)};
    for (; d->n < n; d->n++) {
        const struct piece *p = &pieces[d->n];
        err e = blob_open(o->blobs, p->blob, &d->readers[d->n]);
        if (!e && p->off + p->len > blob_size(d->readers[d->n])) {
            d->n++;
            e = ERR_CORRUPT;
        }
        if (e) {
            data_close(&d->b);
            return e;
        }
        d->b.length += (int64_t)p->len;
    }
    *out = &d->b;
    return ERR_OK;
}

/* ---- digests of what is stored ---- */

struct slice {
    struct hash_set *h;
    struct str v;
};

static void hash_slice(void *arg)
{
    const struct slice *s = arg;
    hash_set_update(s->h, s->v.p, s->v.n);
}

static err hash_body(struct body *b, struct hash_set *h)
{
    for (;;) {
        struct slice s = {.h = h};
        err e = body_next(b, &s.v);
        if (e || s.v.n == 0) return e;
        rt_work("hash", hash_slice, &s); /* a long run of data that is always ready must not hold the loop */
    }
}

err data_hash(struct objects *o, const struct piece *pieces, size_t n, unsigned bits,
              struct hash_value out[HASH_ALGS])
{
    struct body *b;
    struct arena *a = arena_new(0);
    if (!a) return ERR_NO_MEMORY;
    struct hash_set *h = hash_set_new(bits);
    err e = h ? data_open(o, a, pieces, n, &b) : ERR_NO_MEMORY;
    if (!e) {
        e = hash_body(b, h);
        body_close(b);
    }
    for (unsigned alg = 0; !e && alg < HASH_ALGS; alg++)
        if (bits & HASH_BIT(alg)) hash_set_final(h, alg, &out[alg]);
    if (h) hash_set_free(h);
    arena_free(a);
    return e;
}
