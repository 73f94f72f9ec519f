/* CRC64NVME: reflected polynomial 9A6C9329AC4BC9B5, all ones in and out. ISA-L in Debian 12 does not have it.
 *
 * Long inputs are folded 64 bytes at a time by carry-less multiplication (Gopal et al., "Fast CRC Computation
 * for Generic Polynomials Using PCLMULQDQ", Intel 2009): four 16-byte accumulators are multiplied by x^512
 * modulo the polynomial and added to the next 64 bytes. What remains is 16 bytes that have the CRC of all
 * that was folded; the table does those and the tail.
 */
#include "hash/internal.h"
#include "base/bytes.h"

#define POLY UINT64_C(0x9a6c9329ac4bc9b5)

static uint64_t table[8][256]; /* table[k][b]: byte b followed by k zero bytes */

__attribute__((constructor)) static void fill_table(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint64_t v = b;
        for (int i = 0; i < 8; i++) v = v & 1 ? v >> 1 ^ POLY : v >> 1;
        table[0][b] = v;
    }
    for (unsigned b = 0; b < 256; b++)
        for (int k = 1; k < 8; k++) table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

/* The state here is the register itself, without the inversions at both ends. */
static uint64_t step_table(uint64_t state, const uint8_t *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v = state ^ get_le64(p);
        state = table[7][v & 0xff] ^ table[6][v >> 8 & 0xff] ^ table[5][v >> 16 & 0xff] ^
                table[4][v >> 24 & 0xff] ^ table[3][v >> 32 & 0xff] ^ table[2][v >> 40 & 0xff] ^
                table[1][v >> 48 & 0xff] ^ table[0][v >> 56];
    }
    for (; n > 0; n--) state = state >> 8 ^ table[0][(state ^ *p++) & 0xff];
    return state;
}

uint64_t crc64nvme_by_table(uint64_t crc, const void *p, size_t n)
{
    return ~step_table(~crc, p, n);
}

#if defined(__x86_64__)
#include <immintrin.h>

#define FOLDING __attribute__((target("pclmul,sse2")))

FOLDING static inline __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

FOLDING static inline __m128i fold(__m128i x, __m128i k, __m128i next)
{
    __m128i lo = _mm_clmulepi64_si128(x, k, 0x00), hi = _mm_clmulepi64_si128(x, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(lo, hi), next);
}

/* n >= 64 */
FOLDING static uint64_t step_fold(uint64_t state, const uint8_t *p, size_t n)
{
    const __m128i k512 = _mm_set_epi64x(INT64_C(0x62242240ace5045a), INT64_C(0x0c32cdb31e18a84a));
    const __m128i k128 = _mm_set_epi64x(INT64_C(0x21e9761e252621ac), (int64_t)UINT64_C(0xeadc41fd2ba3d420));
    __m128i a = _mm_xor_si128(load(p), _mm_cvtsi64_si128((int64_t)state));
    __m128i b = load(p + 16), c = load(p + 32), d = load(p + 48);
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
        a = fold(a, k512, load(p));
        b = fold(b, k512, load(p + 16));
        c = fold(c, k512, load(p + 32));
        d = fold(d, k512, load(p + 48));
    }
    a = fold(fold(fold(a, k128, b), k128, c), k128, d);
    for (; n >= 16; p += 16, n -= 16) a = fold(a, k128, load(p));
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)(void *)rest, a);
    return step_table(step_table(0, rest, sizeof rest), p, n);
}

bool crc64nvme_folds(void)
{
    return __builtin_cpu_supports("pclmul");
}
#else
static uint64_t step_fold(uint64_t state, const uint8_t *p, size_t n)
{
    return step_table(state, p, n);
}

bool crc64nvme_folds(void)
{
    return false;
}
#endif

uint64_t crc64nvme_by_fold(uint64_t crc, const void *p, size_t n)
{
    if (n < 128 || !crc64nvme_folds()) return crc64nvme_by_table(crc, p, n);
    return ~step_fold(~crc, p, n);
}

uint64_t crc64nvme(uint64_t crc, const void *p, size_t n)
{
    if (n < CRC64_WIDE_MIN || !crc64_wide()) return crc64nvme_by_fold(crc, p, n);
    uint8_t rest[16];
    size_t done = crc64nvme_fold(~crc, p, n, rest);
    uint64_t state = step_table(0, rest, sizeof rest);
    return ~step_table(state, (const uint8_t *)p + done, n - done);
}
