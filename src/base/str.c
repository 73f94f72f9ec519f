#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c) return c;
    return (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_of(s.p, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return suffix.n == 0 || (s.n >= suffix.n && str_eq(str_of(s.p + (s.n - suffix.n), suffix.n), suffix));
}

bool str_find(struct str s, struct str needle, size_t *at)
{
    if (needle.n == 0) {
        *at = 0;
        return true;
    }
    const char *hit = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    if (!hit) return false;
    *at = (size_t)(hit - s.p);
    return true;
}

struct str str_slice(struct str s, size_t from, size_t to)
{
    if (to > s.n) to = s.n;
    if (from > to) from = to;
    return s.p ? str_of(s.p + from, to - from) : STR_NONE;
}

struct str str_trim(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

struct str str_cut(struct str *s, char sep)
{
    struct str all = *s;
    const char *hit = all.n ? memchr(all.p, sep, all.n) : NULL;
    if (!hit) {
        *s = STR_NONE;
        return all;
    }
    size_t n = (size_t)(hit - all.p);
    *s = str_of(hit + 1, all.n - n - 1);
    return str_of(all.p, n);
}

bool str_to_u64(struct str s, uint64_t *out)
{
    if (s.n == 0) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned char)s.p[i] - (unsigned)'0';
        if (d > 9 || __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, d, &v)) return false;
    }
    *out = v;
    return true;
}

bool str_to_i64(struct str s, int64_t *out)
{
    bool minus = s.n && s.p[0] == '-';
    uint64_t v;
    if (!str_to_u64(minus ? str_slice(s, 1, s.n) : s, &v)) return false;
    if (v > (uint64_t)INT64_MAX + minus) return false;
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool str_eq_secret(struct str a, struct str b)
{
    if (a.n != b.n) return false;
    volatile unsigned char diff = 0;
    for (size_t i = 0; i < a.n; i++) diff = (unsigned char)(diff | (a.p[i] ^ b.p[i]));
    return diff == 0;
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->overflow = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->overflow) return NULL;
    if (b->cap - b->n >= n && b->p) return b->p + b->n;
    size_t max = b->max ? b->max : BUF_MAX_DEFAULT;
    if (b->n > max || n > max - b->n) {
        b->overflow = true;
        return NULL;
    }
    size_t want = b->n + n, cap = b->cap ? b->cap * 2 : 64;
    if (cap < want) cap = want;
    if (cap > max) cap = max;
    char *p = realloc(b->p, cap ? cap : 1);
    if (!p) {
        b->overflow = true;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    return p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0) return;
    char *to = buf_reserve(b, n);
    if (!to) return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_cstr(struct buf *b, const char *z)
{
    buf_add(b, z, strlen(z));
}

void buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->overflow = true;
        return;
    }
    if ((size_t)n < sizeof small) {
        buf_add(b, small, (size_t)n);
        return;
    }
    /* vsnprintf also writes a NUL, which is not part of the content nor counted against the ceiling. */
    char *large = malloc((size_t)n + 1);
    if (!large) {
        b->overflow = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(large, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf_add(b, large, (size_t)n);
    free(large);
}

void buf_u64(struct buf *b, uint64_t v)
{
    char d[20];
    size_t i = sizeof d;
    do d[--i] = (char)('0' + v % 10);
    while (v /= 10);
    buf_add(b, d + i, sizeof d - i);
}
