/* SHA-1, SHA-256 and HMAC by OpenSSL.
 *
 * The algorithms are fetched once: EVP_sha256() would look the provider up at each start of a digest, which
 * costs more than hashing a short string. A context that starts again with the algorithm it had allocates
 * nothing, so each thread keeps one spare context for each algorithm.
 */
#include "hash/internal.h"
#include "base/assert.h"

#include <openssl/crypto.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *algorithms[HASH_ALGS];
static pthread_key_t spare_key;

struct spares {
    EVP_MD_CTX *ctx[HASH_ALGS];
};

static void free_spares(void *arg)
{
    struct spares *s = arg;
    for (int i = 0; i < HASH_ALGS; i++) EVP_MD_CTX_free(s->ctx[i]);
    free(s);
}

static void fetch(void)
{
    algorithms[HASH_SHA1] = EVP_MD_fetch(NULL, "SHA1", NULL);
    algorithms[HASH_SHA256] = EVP_MD_fetch(NULL, "SHA256", NULL);
    ASSERT(algorithms[HASH_SHA1] && algorithms[HASH_SHA256]);
    ASSERT(pthread_key_create(&spare_key, free_spares) == 0);
}

EVP_MD_CTX *digest_begin(enum hash_alg alg)
{
    pthread_once(&once, fetch);
    ASSERT(algorithms[alg] != NULL);
    struct spares *s = pthread_getspecific(spare_key);
    EVP_MD_CTX *ctx = s ? s->ctx[alg] : NULL;
    if (ctx)
        s->ctx[alg] = NULL;
    else
        ctx = EVP_MD_CTX_new();
    if (ctx && !EVP_DigestInit_ex2(ctx, algorithms[alg], NULL)) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

void digest_feed(EVP_MD_CTX *ctx, const void *p, size_t n)
{
    int ok = EVP_DigestUpdate(ctx, p, n);
    ASSERT(ok);
}

void digest_end(EVP_MD_CTX *ctx, uint8_t *out)
{
    int ok = EVP_DigestFinal_ex(ctx, out, NULL);
    ASSERT(ok);
}

void digest_give_back(enum hash_alg alg, EVP_MD_CTX *ctx)
{
    if (!ctx) return;
    struct spares *s = pthread_getspecific(spare_key);
    if (!s) {
        s = calloc(1, sizeof *s);
        if (s && pthread_setspecific(spare_key, s) != 0) {
            free(s);
            s = NULL;
        }
    }
    if (s && !s->ctx[alg])
        s->ctx[alg] = ctx;
    else
        EVP_MD_CTX_free(ctx);
}

/* SHA-256 or SHA-1 of a block of 64 bytes and a message. */
static void digest_pair(enum hash_alg alg, const uint8_t block[64], struct str msg, uint8_t *out)
{
    EVP_MD_CTX *ctx = digest_begin(alg);
    ASSERT(ctx != NULL); /* some hundred bytes; a signature cannot be left out */
    digest_feed(ctx, block, 64);
    digest_feed(ctx, msg.p, msg.n);
    digest_end(ctx, out);
    digest_give_back(alg, ctx);
}

/* RFC 2104. Both hashes have blocks of 64 bytes. */
static void hmac(enum hash_alg alg, struct str key, struct str msg, uint8_t *out)
{
    uint8_t block[64] = {0};
    struct hash_value inner;
    if (key.n > sizeof block) {
        hash_once(alg, key.p, key.n, &inner);
        memcpy(block, inner.b, hash_size(alg));
    } else if (key.n) {
        memcpy(block, key.p, key.n);
    }
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36;
    digest_pair(alg, block, msg, inner.b);
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36 ^ 0x5c;
    digest_pair(alg, block, str_of((char *)inner.b, hash_size(alg)), out);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(&inner, sizeof inner);
}

void hmac_sha256(struct str key, struct str msg, uint8_t out[32])
{
    hmac(HASH_SHA256, key, msg, out);
}

void hmac_sha1(struct str key, struct str msg, uint8_t out[20])
{
    hmac(HASH_SHA1, key, msg, out);
}
