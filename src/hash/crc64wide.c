/* Both 64-bit CRCs by carry-less multiplication of two pairs at once (VPCLMULQDQ): the method of
 * crc64nvme.c with accumulators twice as wide. A multiplication takes as long for two pairs as for one.
 */
#include "hash/internal.h"
#include "base/assert.h"

/* x^(d + 63) and x^(d - 1) modulo the polynomial, reflected: what moves 16 bytes by d bits. */
static const struct {
    uint64_t d1024[2], d128[2];
} nvme = {{UINT64_C(0xa1ca681e733f9c40), UINT64_C(0x5f852fb61e8d92dc)},
          {UINT64_C(0xeadc41fd2ba3d420), UINT64_C(0x21e9761e252621ac)}},
  xz = {{UINT64_C(0x8757d71d4fcc1000), UINT64_C(0xd7d86b2af73de740)},
        {UINT64_C(0xe05dd497ca393ae4), UINT64_C(0xdabe95afc7875f40)}};

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDE __attribute__((target("vpclmulqdq,pclmul,avx2")))

WIDE static inline __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

WIDE static inline __m256i fold2(__m256i x, __m256i k, __m256i next)
{
    __m256i lo = _mm256_clmulepi64_epi128(x, k, 0x00), hi = _mm256_clmulepi64_epi128(x, k, 0x11);
    return _mm256_xor_si256(_mm256_xor_si256(lo, hi), next);
}

/* Both halves of next, one behind the other, after x. */
WIDE static inline __m128i fold_in(__m128i x, __m128i k, __m256i next)
{
    __m128i part[2] = {_mm256_castsi256_si128(next), _mm256_extracti128_si256(next, 1)};
    for (int i = 0; i < 2; i++) {
        __m128i lo = _mm_clmulepi64_si128(x, k, 0x00), hi = _mm_clmulepi64_si128(x, k, 0x11);
        x = _mm_xor_si128(_mm_xor_si128(lo, hi), part[i]);
    }
    return x;
}

WIDE static size_t fold_all(const uint64_t d1024[2], const uint64_t d128[2], uint64_t state, const uint8_t *p,
                            size_t n, uint8_t rest[16])
{
    const __m256i far =
        _mm256_set_epi64x((int64_t)d1024[1], (int64_t)d1024[0], (int64_t)d1024[1], (int64_t)d1024[0]);
    const __m128i near = _mm_set_epi64x((int64_t)d128[1], (int64_t)d128[0]);
    __m256i a = _mm256_xor_si256(load(p), _mm256_set_epi64x(0, 0, 0, (int64_t)state));
    __m256i b = load(p + 32), c = load(p + 64), d = load(p + 96);
    size_t at = 128;
    for (; n - at >= 128; at += 128) {
        a = fold2(a, far, load(p + at));
        b = fold2(b, far, load(p + at + 32));
        c = fold2(c, far, load(p + at + 64));
        d = fold2(d, far, load(p + at + 96));
    }
    /* Nothing before a: zero, moved, is zero. */
    __m128i x = fold_in(fold_in(_mm_setzero_si128(), near, a), near, b);
    x = fold_in(fold_in(x, near, c), near, d);
    _mm_storeu_si128((__m128i *)(void *)rest, x);
    return at;
}

bool crc64_wide(void)
{
    return __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx2");
}
#else
static size_t fold_all(const uint64_t d1024[2], const uint64_t d128[2], uint64_t state, const uint8_t *p,
                       size_t n, uint8_t rest[16])
{
    (void)d1024, (void)d128, (void)state, (void)p, (void)n, (void)rest;
    UNREACHABLE();
}

bool crc64_wide(void)
{
    return false;
}
#endif

size_t crc64nvme_fold(uint64_t state, const uint8_t *p, size_t n, uint8_t rest[16])
{
    ASSERT(n >= CRC64_WIDE_MIN);
    return fold_all(nvme.d1024, nvme.d128, state, p, n, rest);
}

size_t crc64xz_fold(uint64_t state, const uint8_t *p, size_t n, uint8_t rest[16])
{
    ASSERT(n >= CRC64_WIDE_MIN);
    return fold_all(xz.d1024, xz.d128, state, p, n, rest);
}
