/* Filters that pass bytes on unchanged and watch them: digests. */
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

static const struct body_ops hashed_ops = {"hashed", hashed_next, NULL, NULL};

struct body *body_hashed(struct arena *a, struct body *inner, struct hash_set *set)
{
    struct body_hashed *f = ARENA_NEW(a, struct body_hashed);
    if (!f) return NULL;
    f->b = (struct body){.ops = &hashed_ops, .inner = inner, .length = inner->length};
    f->set = set;
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
    struct hash_value got;
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
    hash_set_final(f->set, f->alg, &f->got);
    hash_set_free(f->set);
    f->set = NULL;
    size_t n = hash_size(f->alg);
    bool same = str_eq(str_of((char *)f->got.b, n), str_of((char *)f->want.b, n));
    f->verdict = same ? ERR_OK : f->wrong;
    return f->verdict;
}

static void verified_close(struct body *b)
{
    struct body_verified *f = CONTAINER(b, struct body_verified, b);
    if (f->set) hash_set_free(f->set);
    f->set = NULL;
}

static const struct body_ops verified_ops = {"verified", verified_next, verified_close, NULL};

bool body_verified_got(const struct body *b, struct hash_value *got)
{
    if (b->ops != &verified_ops) return false;
    const struct body_verified *f = CONTAINER(b, struct body_verified, b);
    if (f->set || !f->verdict) return false;
    *got = f->got;
    return true;
}

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
