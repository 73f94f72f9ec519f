/* Shared by the files of hash alone, and by its tests. */
#ifndef HASH_INTERNAL_H
#define HASH_INTERNAL_H

#include "hash/hash.h"

#include <openssl/evp.h>

/* A context ready to be fed, for SHA-1 or SHA-256; from this thread's spare ones when there is one.
 * NULL when memory is out. */
EVP_MD_CTX *digest_begin(enum hash_alg alg);
void digest_feed(EVP_MD_CTX *ctx, const void *p, size_t n);
/* The digest; the context stays the caller's, to give back. */
void digest_end(EVP_MD_CTX *ctx, uint8_t *out);
void digest_give_back(enum hash_alg alg, EVP_MD_CTX *ctx); /* NULL: nothing */

/* Running CRC of any of the four, start with 0; the 32-bit ones in the low half. */
uint64_t crc_update(enum hash_alg alg, uint64_t crc, const void *p, size_t n);
bool hash_is_crc(enum hash_alg alg);
void crc_store(enum hash_alg alg, uint64_t crc, struct hash_value *out);
uint64_t crc_load(enum hash_alg alg, const struct hash_value *v);

/* The two ways to compute CRC64NVME: by table anywhere, by carry-less multiplication where the CPU has it. */
uint64_t crc64nvme_by_table(uint64_t crc, const void *p, size_t n);
bool crc64nvme_folds(void);

bool md5_wide(void); /* several messages at once are quicker than one after the other */

#endif
