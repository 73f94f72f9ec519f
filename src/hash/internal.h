/* Shared by the files of hash alone, and by its tests. */
#ifndef HASH_INTERNAL_H
#define HASH_INTERNAL_H

#include "hash/hash.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* digest.c says why */
#include <openssl/sha.h>

/* SHA-1 or SHA-256: begun, fed, ended once. */
struct digest {
    enum hash_alg alg;
    union {
        SHA_CTX sha1;
        SHA256_CTX sha256;
    };
};
void digest_begin(enum hash_alg alg, struct digest *d);
void digest_feed(struct digest *d, const void *p, size_t n);
void digest_end(struct digest *d, uint8_t *out);

/* Running CRC of any of the four, start with 0; the 32-bit ones in the low half. */
uint64_t crc_update(enum hash_alg alg, uint64_t crc, const void *p, size_t n);
bool hash_is_crc(enum hash_alg alg);
void crc_store(enum hash_alg alg, uint64_t crc, struct hash_value *out);
uint64_t crc_load(enum hash_alg alg, const struct hash_value *v);

/* The ways to compute CRC64NVME: by table anywhere, by carry-less multiplication where the CPU has it. */
uint64_t crc64nvme_by_table(uint64_t crc, const void *p, size_t n);
uint64_t crc64nvme_by_fold(uint64_t crc, const void *p, size_t n);
bool crc64nvme_folds(void);
uint64_t crc64xz_by_isal(uint64_t crc, const void *p, size_t n);

/* Where crc64_wide(): the CRC of state and then p[0..returned) is that of 0 and then rest. A state is the
 * register itself, without the inversions at both ends. */
#define CRC64_WIDE_MIN 256u
bool crc64_wide(void);
size_t crc64nvme_fold(uint64_t state, const uint8_t *p, size_t n, uint8_t rest[16]);
size_t crc64xz_fold(uint64_t state, const uint8_t *p, size_t n, uint8_t rest[16]);

bool md5_wide(void); /* several messages at once are quicker than one after the other */

#endif
