/* The four CRCs behind one convention (a running value that starts at 0), and the CRC of a concatenation. */
#include "hash/internal.h"
#include "base/assert.h"
#include "base/bytes.h"

#include <isa-l/crc.h>
#include <isa-l/crc64.h>

#define ISCSI_MAX ((size_t)1 << 30) /* its length is an int */

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    const uint8_t *at = p;
    uint32_t state = ~crc;
    while (n > 0) {
        size_t len = n < ISCSI_MAX ? n : ISCSI_MAX;
        /* ISA-L's prototype lacks const; it only reads. */
        state = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)len, state);
        at += len;
        n -= len;
    }
    return ~state;
}

uint64_t crc64xz_by_isal(uint64_t crc, const void *p, size_t n)
{
    return n ? crc64_ecma_refl(crc, p, n) : crc;
}

uint64_t crc64xz(uint64_t crc, const void *p, size_t n)
{
    if (n < CRC64_WIDE_MIN || !crc64_wide()) return crc64xz_by_isal(crc, p, n);
    uint8_t rest[16];
    size_t done = crc64xz_fold(~crc, p, n, rest);
    uint64_t folded = crc64xz_by_isal(~UINT64_C(0), rest, sizeof rest);
    return crc64xz_by_isal(folded, (const uint8_t *)p + done, n - done);
}

bool hash_is_crc(enum hash_alg alg)
{
    return alg == HASH_CRC32 || alg == HASH_CRC32C || alg == HASH_CRC64NVME || alg == HASH_CRC64XZ;
}

uint64_t crc_update(enum hash_alg alg, uint64_t crc, const void *p, size_t n)
{
    switch (alg) {
    case HASH_CRC32:
        return n ? crc32_gzip_refl((uint32_t)crc, p, n) : crc;
    case HASH_CRC32C:
        return crc32c((uint32_t)crc, p, n);
    case HASH_CRC64NVME:
        return crc64nvme(crc, p, n);
    case HASH_CRC64XZ:
        return crc64xz(crc, p, n);
    default:
        UNREACHABLE();
    }
}

void crc_store(enum hash_alg alg, uint64_t crc, struct hash_value *out)
{
    if (hash_size(alg) == 4)
        put_be32(out->b, (uint32_t)crc);
    else
        put_be64(out->b, crc);
}

uint64_t crc_load(enum hash_alg alg, const struct hash_value *v)
{
    return hash_size(alg) == 4 ? get_be32(v->b) : get_be64(v->b);
}

/* Polynomials over GF(2) modulo a CRC's, reflected: the top of `bits` bits is x^0. */
struct field {
    uint64_t poly;
    unsigned bits;
};

static struct field field_of(enum hash_alg alg)
{
    switch (alg) {
    case HASH_CRC32:
        return (struct field){0xedb88320, 32};
    case HASH_CRC32C:
        return (struct field){0x82f63b78, 32};
    case HASH_CRC64NVME:
        return (struct field){UINT64_C(0x9a6c9329ac4bc9b5), 64};
    case HASH_CRC64XZ:
        return (struct field){UINT64_C(0xc96c5795d7870f42), 64};
    default:
        UNREACHABLE();
    }
}

static uint64_t multiply(struct field f, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = UINT64_C(1) << (f.bits - 1); bit; bit >>= 1) {
        if (a & bit) product ^= b;
        b = b & 1 ? b >> 1 ^ f.poly : b >> 1; /* b times x */
    }
    return product;
}

/* x^(8n): what n zero bytes behind a message multiply it by. */
static uint64_t shift_by_bytes(struct field f, uint64_t n)
{
    uint64_t one = UINT64_C(1) << (f.bits - 1), power = one, square = one >> 8;
    for (; n; n >>= 1) {
        if (n & 1) power = multiply(f, power, square);
        square = multiply(f, square, square);
    }
    return power;
}

void hash_combine(enum hash_alg alg, struct hash_value *a, const struct hash_value *b, uint64_t b_len)
{
    ASSERT(hash_is_crc(alg));
    struct field f = field_of(alg);
    /* The inversions at the ends of a and b cancel: all of them are ones. */
    uint64_t moved = multiply(f, crc_load(alg, a), shift_by_bytes(f, b_len));
    crc_store(alg, moved ^ crc_load(alg, b), a);
}
