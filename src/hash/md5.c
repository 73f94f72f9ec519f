#include "hash/md5.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "hash/internal.h"

#include <string.h>

#define WIDE_FROM 3u /* messages */

/* What each step adds: floor(2^32 × |sin(step + 1)|). */
static const uint32_t md5_table[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

/* The four rounds, written once for a word and for a vector of words. STEP(f, a, b, c, d, word, step, turn)
 */
#define FOUR(STEP, f, i, w0, w1, w2, w3, s0, s1, s2, s3)                                                     \
    STEP(f, a, b, c, d, w0, (i) + 0, s0)                                                                     \
    STEP(f, d, a, b, c, w1, (i) + 1, s1)                                                                     \
    STEP(f, c, d, a, b, w2, (i) + 2, s2)                                                                     \
    STEP(f, b, c, d, a, w3, (i) + 3, s3)
#define ROUND_1(STEP)                                                                                        \
    FOUR(STEP, F, 0, 0, 1, 2, 3, 7, 12, 17, 22)                                                              \
    FOUR(STEP, F, 4, 4, 5, 6, 7, 7, 12, 17, 22)                                                              \
    FOUR(STEP, F, 8, 8, 9, 10, 11, 7, 12, 17, 22)                                                            \
    FOUR(STEP, F, 12, 12, 13, 14, 15, 7, 12, 17, 22)
#define ROUND_2(STEP)                                                                                        \
    FOUR(STEP, G, 16, 1, 6, 11, 0, 5, 9, 14, 20)                                                             \
    FOUR(STEP, G, 20, 5, 10, 15, 4, 5, 9, 14, 20)                                                            \
    FOUR(STEP, G, 24, 9, 14, 3, 8, 5, 9, 14, 20)                                                             \
    FOUR(STEP, G, 28, 13, 2, 7, 12, 5, 9, 14, 20)
#define ROUND_3(STEP)                                                                                        \
    FOUR(STEP, H, 32, 5, 8, 11, 14, 4, 11, 16, 23)                                                           \
    FOUR(STEP, H, 36, 1, 4, 7, 10, 4, 11, 16, 23)                                                            \
    FOUR(STEP, H, 40, 13, 0, 3, 6, 4, 11, 16, 23)                                                            \
    FOUR(STEP, H, 44, 9, 12, 15, 2, 4, 11, 16, 23)
#define ROUND_4(STEP)                                                                                        \
    FOUR(STEP, I, 48, 0, 7, 14, 5, 6, 10, 15, 21)                                                            \
    FOUR(STEP, I, 52, 12, 3, 10, 1, 6, 10, 15, 21)                                                           \
    FOUR(STEP, I, 56, 8, 15, 6, 13, 6, 10, 15, 21)                                                           \
    FOUR(STEP, I, 60, 4, 11, 2, 9, 6, 10, 15, 21)
#define ROUNDS(STEP) ROUND_1(STEP) ROUND_2(STEP) ROUND_3(STEP) ROUND_4(STEP)

/* ---- one message ---- */

/* G's two halves have no bit in common, so they are added, the one that waits for b last: a shorter chain. */
#define WORD_F(a, b, c, d) ((a) + ((((c) ^ (d)) & (b)) ^ (d)))
#define WORD_G(a, b, c, d) ((a) + (~(d) & (c)) + ((d) & (b)))
#define WORD_H(a, b, c, d) ((a) + ((b) ^ ((c) ^ (d))))
#define WORD_I(a, b, c, d) ((a) + ((c) ^ ((b) | ~(d))))
#define WORD_STEP(f, a, b, c, d, w, i, s)                                                                    \
    a = WORD_##f(a + md5_table[i] + get_le32(p + 4 * (w)), b, c, d);                                         \
    a = (a << (s) | a >> (32 - (s))) + b;

static void blocks(uint32_t state[4], const uint8_t *p, size_t n)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (; n > 0; n--, p += 64) {
        const uint32_t a0 = a, b0 = b, c0 = c, d0 = d;
        ROUNDS(WORD_STEP)
        a += a0;
        b += b0;
        c += c0;
        d += d0;
    }
    state[0] = a;
    state[1] = b;
    state[2] = c;
    state[3] = d;
}

void md5_begin(struct md5 *m)
{
    *m = (struct md5){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

/* Fills the tail, and hashes it when it is full; what is left of v begins a block. */
static void take_tail(struct md5_feed *v)
{
    struct md5 *m = v->m;
    size_t held = m->length % 64, n = 64 - held < v->n ? 64 - held : v->n;
    if (held == 0 || n == 0) return;
    memcpy(m->tail + held, v->p, n);
    m->length += n;
    v->p += n;
    v->n -= n;
    if (held + n == 64) blocks(m->state, m->tail, 1);
}

static void leave_tail(struct md5_feed *v)
{
    if (v->n) memcpy(v->m->tail, v->p, v->n);
    v->m->length += v->n;
    v->n = 0;
}

static void whole_blocks(struct md5_feed *v)
{
    size_t n = v->n / 64;
    blocks(v->m->state, v->p, n);
    v->m->length += n * 64;
    v->p += n * 64;
    v->n %= 64;
}

void md5_update(struct md5 *m, const void *p, size_t n)
{
    struct md5_feed v = {m, p, n};
    take_tail(&v);
    if (v.n == 0) return;
    whole_blocks(&v);
    leave_tail(&v);
}

void md5_end(struct md5 *m, uint8_t out[16])
{
    size_t held = m->length % 64;
    uint8_t pad[72] = {0x80};
    uint64_t bits = m->length * 8;
    size_t zeros = held < 56 ? 56 - held : 120 - held;
    put_le64(pad + zeros, bits);
    md5_update(m, pad, zeros + 8);
    for (int i = 0; i < 4; i++) put_le32(out + 4 * i, m->state[i]);
}

/* ---- two messages ---- */

/* Their steps alternate: what one waits for, the other computes. Two or three messages go through faster so
 * than in a vector. */
#define PAIR_STEP(f, a, b, c, d, w, i, s)                                                                    \
    a##0 = WORD_##f(a##0 + md5_table[i] + get_le32(p + 4 * (w)), b##0, c##0, d##0);                          \
    a##1 = WORD_##f(a##1 + md5_table[i] + get_le32(q + 4 * (w)), b##1, c##1, d##1);                          \
    a##0 = (a##0 << (s) | a##0 >> (32 - (s))) + b##0;                                                        \
    a##1 = (a##1 << (s) | a##1 >> (32 - (s))) + b##1;

static void pair_blocks(uint32_t x[4], const uint8_t *p, uint32_t y[4], const uint8_t *q, size_t n)
{
    for (; n > 0; n--, p += 64, q += 64) {
        uint32_t a0 = x[0], b0 = x[1], c0 = x[2], d0 = x[3];
        uint32_t a1 = y[0], b1 = y[1], c1 = y[2], d1 = y[3];
        ROUNDS(PAIR_STEP)
        x[0] += a0;
        x[1] += b0;
        x[2] += c0;
        x[3] += d0;
        y[0] += a1;
        y[1] += b1;
        y[2] += c1;
        y[3] += d1;
    }
}

/* ---- side by side ---- */

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx2")))

#define VEC_ADD(x, y) _mm256_add_epi32(x, y)
#define VEC_XOR(x, y) _mm256_xor_si256(x, y)
/* The compiler, free to regroup sums, would make the longest chain longer: what stands here is added first.
 */
#define FIRST(x) __asm__("" : "+x"(x))

/* What waits for b comes last. */
#define VEC_F(a, b, c, d) a = VEC_ADD(a, VEC_XOR(_mm256_and_si256(VEC_XOR(c, d), b), d));
#define VEC_G(a, b, c, d)                                                                                    \
    a = VEC_ADD(a, _mm256_andnot_si256(d, c));                                                               \
    FIRST(a);                                                                                                \
    a = VEC_ADD(a, _mm256_and_si256(d, b));
#define VEC_H(a, b, c, d) a = VEC_ADD(a, VEC_XOR(b, VEC_XOR(c, d)));
#define VEC_I(a, b, c, d) a = VEC_ADD(a, VEC_XOR(c, _mm256_or_si256(b, VEC_XOR(d, ones))));
#define VEC_STEP(f, a, b, c, d, word, i, s)                                                                  \
    {                                                                                                        \
        a = VEC_ADD(a, VEC_ADD(w[word], _mm256_set1_epi32((int)k[i])));                                      \
        FIRST(a);                                                                                            \
        VEC_##f(a, b, c, d) __m256i low = VEC_ADD(_mm256_srli_epi32(a, 32 - (s)), b);                        \
        FIRST(low);                                                                                          \
        a = VEC_ADD(_mm256_slli_epi32(a, s), low);                                                           \
    }

WIDE static inline __m256i load8(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Rows 4h to 4h + 3 of a transposition in two halves: q[i] has words i and i + 4 of four messages. */
WIDE static inline void four_rows(const uint8_t *const p[4], size_t off, __m256i q[4])
{
    __m256i r0 = load8(p[0] + off), r1 = load8(p[1] + off), r2 = load8(p[2] + off), r3 = load8(p[3] + off);
    __m256i t0 = _mm256_unpacklo_epi32(r0, r1), t1 = _mm256_unpackhi_epi32(r0, r1);
    __m256i t2 = _mm256_unpacklo_epi32(r2, r3), t3 = _mm256_unpackhi_epi32(r2, r3);
    q[0] = _mm256_unpacklo_epi64(t0, t2);
    q[1] = _mm256_unpackhi_epi64(t0, t2);
    q[2] = _mm256_unpacklo_epi64(t1, t3);
    q[3] = _mm256_unpackhi_epi64(t1, t3);
}

/* Eight words of each of eight messages: w[i] becomes word i of all. */
WIDE static inline void transpose(const uint8_t *const p[MD5_LANES], size_t off, __m256i w[8])
{
    __m256i x[4], y[4];
    four_rows(p, off, x);
    four_rows(p + 4, off, y);
    w[0] = _mm256_permute2x128_si256(x[0], y[0], 0x20);
    w[1] = _mm256_permute2x128_si256(x[1], y[1], 0x20);
    w[2] = _mm256_permute2x128_si256(x[2], y[2], 0x20);
    w[3] = _mm256_permute2x128_si256(x[3], y[3], 0x20);
    w[4] = _mm256_permute2x128_si256(x[0], y[0], 0x31);
    w[5] = _mm256_permute2x128_si256(x[1], y[1], 0x31);
    w[6] = _mm256_permute2x128_si256(x[2], y[2], 0x31);
    w[7] = _mm256_permute2x128_si256(x[3], y[3], 0x31);
}

/* Words of the next block are put together while the steps of this one wait for one another. */
WIDE static void wide_blocks(uint32_t state[4][MD5_LANES], const uint8_t *const p[MD5_LANES], size_t n)
{
    const __m256i ones = _mm256_set1_epi32(-1);
    const uint32_t *k = md5_table;
    __asm__("" : "+r"(k)); /* loaded, one by one: a constant would take two instructions more */
    __m256i *s = (__m256i *)(void *)state;
    __m256i a = _mm256_loadu_si256(s), b = _mm256_loadu_si256(s + 1), c = _mm256_loadu_si256(s + 2),
            d = _mm256_loadu_si256(s + 3);
    __m256i both[2][16];
    transpose(p, 0, both[0]);
    transpose(p, 32, both[0] + 8);
    for (size_t i = 0; i < n; i++) {
        const __m256i *w = both[i % 2], a0 = a, b0 = b, c0 = c, d0 = d;
        __m256i *next = both[(i + 1) % 2];
        size_t off = 64 * (i + 1 < n ? i + 1 : i);
        ROUND_1(VEC_STEP)
        transpose(p, off, next);
        ROUND_2(VEC_STEP)
        transpose(p, off + 32, next + 8);
        ROUND_3(VEC_STEP)
        ROUND_4(VEC_STEP)
        a = VEC_ADD(a, a0);
        b = VEC_ADD(b, b0);
        c = VEC_ADD(c, c0);
        d = VEC_ADD(d, d0);
    }
    _mm256_storeu_si256(s, a);
    _mm256_storeu_si256(s + 1, b);
    _mm256_storeu_si256(s + 2, c);
    _mm256_storeu_si256(s + 3, d);
}

/* n blocks of each of `used` messages; a lane that has none repeats the first. */
static void feed_lanes(struct md5_feed *const lane[MD5_LANES], unsigned used, size_t n)
{
    uint32_t state[4][MD5_LANES];
    const uint8_t *p[MD5_LANES];
    for (unsigned l = 0; l < MD5_LANES; l++) {
        const struct md5_feed *v = lane[l < used ? l : 0];
        for (int i = 0; i < 4; i++) state[i][l] = v->m->state[i];
        p[l] = v->p;
    }
    wide_blocks(state, p, n);
    for (unsigned l = 0; l < used; l++) {
        for (int i = 0; i < 4; i++) lane[l]->m->state[i] = state[i][l];
    }
}

bool md5_wide(void)
{
    return __builtin_cpu_supports("avx2");
}

#else
bool md5_wide(void)
{
    return false;
}

static void feed_lanes(struct md5_feed *const lane[MD5_LANES], unsigned used, size_t n)
{
    (void)lane;
    (void)used;
    (void)n;
    UNREACHABLE();
}
#endif

static void took(struct md5_feed *v, size_t blocks_done)
{
    v->m->length += blocks_done * 64;
    v->p += blocks_done * 64;
    v->n -= blocks_done * 64;
}

/* As many blocks as each of them has; then the shortest make room for others, and the last one goes alone. */
static void side_by_side(struct md5_feed *v, size_t n)
{
    struct md5_feed *lane[MD5_LANES];
    const bool wide = md5_wide();
    unsigned used = 0;
    for (size_t next = 0;;) {
        for (; used < MD5_LANES && next < n; next++)
            if (v[next].n >= 64) lane[used++] = &v[next];
        if (used < 2) return;
        if (used < WIDE_FROM || !wide) {
            size_t least = (lane[0]->n < lane[1]->n ? lane[0]->n : lane[1]->n) / 64;
            pair_blocks(lane[0]->m->state, lane[0]->p, lane[1]->m->state, lane[1]->p, least);
            took(lane[0], least);
            took(lane[1], least);
        } else {
            size_t least = SIZE_MAX;
            for (unsigned l = 0; l < used; l++) least = lane[l]->n < least ? lane[l]->n : least;
            feed_lanes(lane, used, least / 64);
            for (unsigned l = 0; l < used; l++) took(lane[l], least / 64);
        }
        unsigned kept = 0;
        for (unsigned l = 0; l < used; l++)
            if (lane[l]->n >= 64) lane[kept++] = lane[l];
        used = kept;
    }
}

void md5_update_many(struct md5_feed *v, size_t n)
{
    for (size_t i = 0; i < n; i++) take_tail(&v[i]);
    if (n > 1) side_by_side(v, n);
    for (size_t i = 0; i < n; i++) {
        if (v[i].n == 0) continue;
        whole_blocks(&v[i]);
        leave_tail(&v[i]);
    }
}
