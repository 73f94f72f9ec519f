/* The dispatcher: which kind of signature a request carries, and the credentials that are known. A further
 * dialect's signature is one more branch of auth_who.
 */
#include "auth/internal.h"
#include "base/assert.h"

#include <openssl/crypto.h>

#define AUTH_MAGIC 0x0a074a07u
#define SECRET_MAX 128

struct auth {
    unsigned magic;
    struct arena *arena;
    struct auth_key *keys;
    size_t nkeys;
    struct str region;
    bool many_accounts;
    struct signing_cache *cache;
};

static const struct auth_identity anonymous = {.anonymous = true};

static struct auth_key copy_key(struct arena *a, const struct auth_key *k)
{
    return (struct auth_key){
        .access_key = arena_dup(a, k->access_key),
        .secret_key = arena_dup(a, k->secret_key),
        .who = {.access_key = arena_dup(a, k->access_key),
                .canonical_id = arena_dup(a, k->who.canonical_id),
                .display_name = arena_dup(a, k->who.display_name),
                .account = arena_dup(a, k->who.account),
                .root = k->who.root},
    };
}

err auth_new(const struct auth_options *o, struct auth **out)
{
    if (o->region.n == 0 || o->region.n > AUTH_REGION_MAX) return ERR_INVALID_SETTING;
    for (size_t i = 0; i < o->nkeys; i++) {
        const struct auth_key *k = &o->keys[i];
        if (k->access_key.n == 0 || k->secret_key.n == 0 || k->secret_key.n > SECRET_MAX)
            return ERR_INVALID_SETTING;
    }
    struct arena *arena = arena_new(0);
    struct auth *a = arena ? ARENA_NEW(arena, struct auth) : NULL;
    if (!a) {
        if (arena) arena_free(arena);
        return ERR_NO_MEMORY;
    }
    *a = (struct auth){.magic = AUTH_MAGIC, .arena = arena, .nkeys = o->nkeys};
    a->region = arena_dup(arena, o->region);
    a->keys = ARENA_ARRAY(arena, struct auth_key, o->nkeys + 1);
    for (size_t i = 0; a->keys && i < o->nkeys; i++) a->keys[i] = copy_key(arena, &o->keys[i]);
    for (size_t i = 1; a->keys && i < a->nkeys; i++)
        if (!str_eq(a->keys[i].who.canonical_id, a->keys[0].who.canonical_id)) a->many_accounts = true;
    a->cache = signing_cache_new();
    if (!a->cache || arena_overflowed(arena)) {
        auth_free(a);
        return ERR_NO_MEMORY;
    }
    *out = a;
    return ERR_OK;
}

void auth_free(struct auth *a)
{
    if (!a) return;
    CHECK_MAGIC(a, AUTH_MAGIC);
    for (size_t i = 0; a->keys && i < a->nkeys; i++)
        if (a->keys[i].secret_key.p)
            OPENSSL_cleanse((char *)a->keys[i].secret_key.p, a->keys[i].secret_key.n);
    signing_cache_free(a->cache);
    a->magic = 0;
    arena_free(a->arena);
}

const struct auth_key *auth_find_key(const struct auth *a, struct str access_key)
{
    for (size_t i = 0; i < a->nkeys; i++)
        if (str_eq(a->keys[i].access_key, access_key)) return &a->keys[i];
    return NULL;
}

const struct auth_identity *auth_identity_of(const struct auth *a, struct str canonical_id)
{
    for (size_t i = 0; i < a->nkeys; i++)
        if (str_eq(a->keys[i].who.canonical_id, canonical_id)) return &a->keys[i].who;
    return NULL;
}

bool auth_many_accounts(const struct auth *a)
{
    return a->many_accounts;
}

struct signing_cache *auth_signing_cache(const struct auth *a)
{
    return a->cache;
}

/* ---- which kind ---- */

static err two_mechanisms(struct api_request *rq)
{
    return api_bad_argument(
        rq, "Authorization", STR_NONE,
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
        "string parameter or the Authorization header should be specified");
}

static err old_signature(struct api_request *rq)
{
    return api_error(
        rq, ERR_INVALID_REQUEST,
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
}

static bool is_sigv4(struct str v)
{
    size_t n = sizeof SIGV4_ALGORITHM - 1;
    return str_starts(v, STR(SIGV4_ALGORITHM)) && (v.n == n || v.p[n] == ' ' || v.p[n] == '\t');
}

static err by_sigv4(struct auth *a, struct api_request *rq, struct str authorization)
{
    struct sigv4 s = {.here = a->region};
    err e = authorization.p ? sigv4_from_header(rq, authorization, &s) : sigv4_from_query(rq, &s);
    if (!e) e = sigv4_verify(a, rq, &s);
    if (!e) e = auth_payload_setup(rq, &s, s.payload);
    OPENSSL_cleanse(s.key, sizeof s.key);
    return e;
}

static bool authorized_twice(const struct http_exchange *x)
{
    unsigned n = 0;
    for (size_t i = 0; i < x->nheaders; i++) n += str_eq(x->headers[i].name, STR("authorization"));
    return n > 1;
}

err auth_who(struct auth *a, struct api_request *rq)
{
    CHECK_MAGIC(a, AUTH_MAGIC);
    if (authorized_twice(rq->x)) return two_mechanisms(rq);
    struct str authorization = http_header(rq->x, "authorization");
    bool sigv2_query = api_param(rq, "AWSAccessKeyId", NULL) || api_param(rq, "Signature", NULL);
    if ((authorization.p ? 1 : 0) + (rq->query_auth ? 1 : 0) + (sigv2_query ? 1 : 0) > 1)
        return two_mechanisms(rq);
    if (rq->query_auth) return by_sigv4(a, rq, STR_NONE);
    if (sigv2_query) return old_signature(rq);
    if (!authorization.p) {
        rq->who = &anonymous;
        return auth_payload_setup(rq, NULL, http_header(rq->x, "x-amz-content-sha256"));
    }
    if (is_sigv4(authorization)) return by_sigv4(a, rq, authorization);
    if (str_starts(authorization, STR("AWS "))) return old_signature(rq);
    return api_bad_argument(rq, "Authorization", STR_NONE, "Unsupported Authorization Type");
}
