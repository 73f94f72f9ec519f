/* Filters that pass bytes on unchanged and watch them: digests and lengths. */
#include "body/body.h"
#include "base/list.h"

/* ---- hashed ---- */
struct body_hashed {
    struct body b;
    struct hash_set *set;
};

static err hashed_next(struct body *b, struct str *out)
{
    struct body_hashed *f = CONTAINER(b, struct body_hashed, b);
    err e = body_next(b->inner, out);
    if (!e && out->n > 0) hash_set_update(f->set, out->p, out->n);
    return e;
}

static const struct body_ops hashed_ops = {"hashed", hashed_next, NULL};

struct body *body_hashed(struct arena *a, struct body *inner, struct hash_set *set)
{
    struct body_hashed *f = ARENA_NEW(a, struct body_hashed);
    if (!f) return NULL;
    f->b = (struct body){.ops = &hashed_ops, .inner = inner, .length = inner->length};
    f->set = set;
    return &f->b;
}

/* ---- exact and capped: both count; exact also minds the end ---- */
struct body_counted {
    struct body b;
    uint64_t left; /* bytes that may still come */
    bool exact;
    err over;
    err failed;
};

static err counted_next(struct body *b, struct str *out)
{
    struct body_counted *f = CONTAINER(b, struct body_counted, b);
    if (f->failed) return f->failed;
    err e = body_next(b->inner, out);
    if (!e && out->n > f->left) e = f->over;
    if (!e && out->n == 0 && f->exact && f->left > 0) e = ERR_INCOMPLETE_BODY;
    if (e) {
        *out = STR_NONE;
        return f->failed = e;
    }
    f->left -= out->n;
    return ERR_OK;
}

static const struct body_ops exact_ops = {"exact", counted_next, NULL};
static const struct body_ops capped_ops = {"capped", counted_next, NULL};

static struct body_counted *counted_new(struct arena *a, struct body *inner, uint64_t n, err over)
{
    struct body_counted *f = ARENA_NEW(a, struct body_counted);
    if (!f) return NULL;
    f->b = (struct body){.ops = &capped_ops, .inner = inner, .length = inner->length};
    f->left = n;
    f->over = over;
    /* What announces itself as too long is refused before its first byte. */
    if (inner->length >= 0 && (uint64_t)inner->length > n) f->failed = over;
    return f;
}

struct body *body_capped(struct arena *a, struct body *inner, uint64_t n, err over)
{
    struct body_counted *f = counted_new(a, inner, n, over);
    return f ? &f->b : NULL;
}

struct body *body_exact(struct arena *a, struct body *inner, uint64_t n, err over)
{
    struct body_counted *f = counted_new(a, inner, n, over);
    if (!f) return NULL;
    f->b.ops = &exact_ops;
    f->b.length = n <= INT64_MAX ? (int64_t)n : -1;
    f->exact = true;
    return &f->b;
}

/* ---- verified ---- */
struct body_verified {
    struct body b;
    struct hash_set *set; /* NULL after the verdict */
    enum hash_alg alg;
    struct hash_value want;
    err wrong;
    err verdict; /* of the digest, once the end came */
};

static err verified_next(struct body *b, struct str *out)
{
    struct body_verified *f = CONTAINER(b, struct body_verified, b);
    if (!f->set) return f->verdict;
    err e = body_next(b->inner, out);
    if (e) return e;
    if (out->n > 0) {
        hash_set_update(f->set, out->p, out->n);
        return ERR_OK;
    }
    struct hash_value got;
    hash_set_final(f->set, f->alg, &got);
    hash_set_free(f->set);
    f->set = NULL;
    size_t n = hash_size(f->alg);
    bool same = str_eq(str_of((char *)got.b, n), str_of((char *)f->want.b, n));
    f->verdict = same ? ERR_OK : f->wrong;
    return f->verdict;
}

static void verified_close(struct body *b)
{
    struct body_verified *f = CONTAINER(b, struct body_verified, b);
    if (f->set) hash_set_free(f->set);
    f->set = NULL;
}

static const struct body_ops verified_ops = {"verified", verified_next, verified_close};

struct body *body_verified(struct arena *a, struct body *inner, enum hash_alg alg,
                           const struct hash_value *want, err wrong)
{
    struct body_verified *f = ARENA_NEW(a, struct body_verified);
    if (!f) return NULL;
    f->set = hash_set_new(HASH_BIT(alg));
    if (!f->set) return NULL;
    f->b = (struct body){.ops = &verified_ops, .inner = inner, .length = inner->length};
    f->alg = alg;
    f->want = *want;
    f->wrong = wrong;
    return &f->b;
}
