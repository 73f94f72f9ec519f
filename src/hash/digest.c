/* SHA-1, SHA-256 and HMAC by OpenSSL.
 *
 * Through its low-level calls: EVP of OpenSSL 3.0 allocates a new state at each start of a digest, and a
 * signature takes several of few hundred bytes each.
 */
#include "hash/internal.h"
#include "base/assert.h"

#include <openssl/crypto.h>

void digest_begin(enum hash_alg alg, struct digest *d)
{
    ASSERT(alg == HASH_SHA1 || alg == HASH_SHA256);
    d->alg = alg;
    int ok = alg == HASH_SHA1 ? SHA1_Init(&d->sha1) : SHA256_Init(&d->sha256);
    ASSERT(ok);
}

void digest_feed(struct digest *d, const void *p, size_t n)
{
    int ok = d->alg == HASH_SHA1 ? SHA1_Update(&d->sha1, p, n) : SHA256_Update(&d->sha256, p, n);
    ASSERT(ok);
}

void digest_end(struct digest *d, uint8_t *out)
{
    int ok = d->alg == HASH_SHA1 ? SHA1_Final(out, &d->sha1) : SHA256_Final(out, &d->sha256);
    ASSERT(ok);
}

/* SHA-256 or SHA-1 of a block of 64 bytes and a message. */
static void digest_pair(enum hash_alg alg, const uint8_t block[64], struct str msg, uint8_t *out)
{
    struct digest d;
    digest_begin(alg, &d);
    digest_feed(&d, block, 64);
    digest_feed(&d, msg.p, msg.n);
    digest_end(&d, out);
    OPENSSL_cleanse(&d, sizeof d);
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
