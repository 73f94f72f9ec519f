/* Signing keys, cached: four HMACs a day, region and service instead of four a request.
 *
 * SIGNING_SETS sets of two entries, chosen by a hash of the scope, each under its own lock, which nobody
 * waits for: while another holds it the key is made anew. Bounded by construction; the older entry of a set
 * gives way.
 */
#include "auth/internal.h"
#include "base/assert.h"

#include <openssl/crypto.h>
#include <pthread.h>

#define WAYS 2

struct entry {
    const struct auth_key *key; /* keys live as long as the cache */
    char day[8];
    char scope[AUTH_REGION_MAX + 16]; /* region/service */
    size_t scope_n;
    uint8_t signing[32];
};
struct set {
    pthread_mutex_t lock;
    unsigned newest;
    struct entry e[WAYS];
};
struct signing_cache {
    struct set sets[SIGNING_SETS];
};

struct signing_cache *signing_cache_new(void)
{
    struct signing_cache *c = calloc(1, sizeof *c);
    for (size_t i = 0; c && i < SIGNING_SETS; i++) ASSERT(pthread_mutex_init(&c->sets[i].lock, NULL) == 0);
    return c;
}

void signing_cache_free(struct signing_cache *c)
{
    if (!c) return;
    for (size_t i = 0; i < SIGNING_SETS; i++) pthread_mutex_destroy(&c->sets[i].lock);
    OPENSSL_cleanse(c, sizeof *c);
    free(c);
}

static void derive(struct str secret, struct str day, struct str region, struct str service, uint8_t out[32])
{
    char first[4 + 128];
    ASSERT(secret.n <= sizeof first - 4); /* auth_new refuses longer ones */
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, secret.p, secret.n);
    uint8_t k[32];
    struct str ks = str_of((char *)k, sizeof k);
    hmac_sha256(str_of(first, 4 + secret.n), day, k);
    hmac_sha256(ks, region, k);
    hmac_sha256(ks, service, k);
    hmac_sha256(ks, STR("aws4_request"), out);
    OPENSSL_cleanse(first, sizeof first);
    OPENSSL_cleanse(k, sizeof k);
}

static bool holds(const struct entry *e, const struct auth_key *key, struct str day, struct str scope)
{
    return e->key == key && memcmp(e->day, day.p, sizeof e->day) == 0 &&
           str_eq(str_of(e->scope, e->scope_n), scope);
}

static bool look_up(struct set *s, const struct auth_key *key, struct str day, struct str scope,
                    uint8_t out[32])
{
    if (pthread_mutex_trylock(&s->lock) != 0) return false;
    bool found = false;
    for (unsigned i = 0; i < WAYS && !found; i++)
        if ((found = holds(&s->e[i], key, day, scope))) memcpy(out, s->e[i].signing, 32);
    pthread_mutex_unlock(&s->lock);
    return found;
}

void signing_key(struct signing_cache *c, const struct auth_key *key, struct str day, struct str region,
                 struct str service, uint8_t out[32])
{
    char text[AUTH_REGION_MAX + 16];
    struct entry fresh = {.key = key};
    ASSERT(day.n == sizeof fresh.day && region.n + service.n < sizeof text);
    memcpy(text, region.p, region.n);
    text[region.n] = '/';
    memcpy(text + region.n + 1, service.p, service.n);
    struct str scope = str_of(text, region.n + 1 + service.n);
    uint32_t h = crc32c(crc32c((uint32_t)((uintptr_t)key >> 4), day.p, day.n), scope.p, scope.n);
    struct set *s = &c->sets[h % SIGNING_SETS];

    if (look_up(s, key, day, scope, out)) return;
    derive(key->secret_key, day, region, service, out);
    memcpy(fresh.day, day.p, day.n);
    memcpy(fresh.scope, scope.p, scope.n);
    fresh.scope_n = scope.n;
    memcpy(fresh.signing, out, 32);
    if (pthread_mutex_trylock(&s->lock) == 0) {
        s->newest = (s->newest + 1) % WAYS;
        s->e[s->newest] = fresh;
        pthread_mutex_unlock(&s->lock);
    }
    OPENSSL_cleanse(&fresh, sizeof fresh);
}
