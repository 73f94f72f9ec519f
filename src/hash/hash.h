/* Streaming digests and checksums of bodies, one pass, several at once.
 *
 * CRC32 (ISO-HDLC), CRC32C (iSCSI), CRC64NVME, CRC64XZ (COS's crc64ecma) by ISA-L and PCLMUL; SHA-1, SHA-256
 * by OpenSSL; MD5 of several messages side by side. CRC values are plain integers;
 * their header form is base64 of big-endian bytes (COS: decimal). No function here blocks except by CPU; none
 * allocates per byte. Contexts: one thread at a time.
 */
#ifndef HASH_HASH_H
#define HASH_HASH_H

#include "base/str.h"

enum hash_alg {
    HASH_CRC32,
    HASH_CRC32C,
    HASH_CRC64NVME,
    HASH_SHA1,
    HASH_SHA256,
    HASH_MD5,
    HASH_CRC64XZ,
    HASH_ALGS
};
#define HASH_BIT(alg) (1u << (alg))
#define HASH_MAX_SIZE 32

size_t hash_size(enum hash_alg alg);      /* bytes of the digest */
const char *hash_name(enum hash_alg alg); /* "CRC32C"… as in x-amz-checksum-algorithm; NULL-safe for all */
bool hash_by_name(struct str name, enum hash_alg *alg); /* case-insensitive; S3's five only */

struct hash_value {
    uint8_t b[HASH_MAX_SIZE]; /* CRCs big-endian, as their base64 form wants them */
};

struct hash_set; /* any subset of the algorithms, fed together in ~64 KiB slices */
struct hash_set *hash_set_new(unsigned bits); /* NULL when memory is out; freed by hash_set_free */
void hash_set_free(struct hash_set *h);
void hash_set_update(struct hash_set *h, const void *p, size_t n);
/* The same for several sets, each once: their MD5s are computed side by side, eight in little more than the
 * time of one. Uses v. */
struct hash_feed {
    struct hash_set *set;
    struct str bytes;
};
#define HASH_FEEDS 8u
void hash_set_update_many(struct hash_feed *v, size_t n); /* n <= HASH_FEEDS */
/* The digest of what was fed so far; may be asked once per algorithm, at the end. */
void hash_set_final(struct hash_set *h, enum hash_alg alg, struct hash_value *out);

/* One-shot forms. */
void hash_once(enum hash_alg alg, const void *p, size_t n, struct hash_value *out);
uint32_t crc32c(uint32_t crc, const void *p, size_t n); /* running value, start with 0 */
uint64_t crc64xz(uint64_t crc, const void *p, size_t n);
uint64_t crc64nvme(uint64_t crc, const void *p, size_t n);

/* CRC of a ++ b from their CRCs and b's length: CRC32, CRC32C, CRC64NVME, CRC64XZ only. */
void hash_combine(enum hash_alg alg, struct hash_value *a, const struct hash_value *b, uint64_t b_len);

/* HMAC-SHA256 and -SHA1; key and message of any length. */
void hmac_sha256(struct str key, struct str msg, uint8_t out[32]);
void hmac_sha1(struct str key, struct str msg, uint8_t out[20]);

#endif
