#include "base/codec.h"

static const char lower_hex[] = "0123456789abcdef";
static const char upper_hex[] = "0123456789ABCDEF";
static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

void hex_encode(const void *p, size_t n, char *out)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        *out++ = lower_hex[b[i] >> 4];
        *out++ = lower_hex[b[i] & 15];
    }
    *out = 0;
}

bool hex_decode(struct str s, void *out, size_t n)
{
    if (s.n % 2 || s.n / 2 != n) return false;
    uint8_t *to = out;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(s.p[2 * i]), lo = hex_digit(s.p[2 * i + 1]);
        if (hi < 0 || lo < 0) return false;
        to[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

size_t base64_size(size_t n)
{
    return (n / 3 + (n % 3 != 0)) * 4;
}

void base64_encode(const void *p, size_t n, char *out)
{
    const uint8_t *b = p;
    for (; n >= 3; n -= 3, b += 3) {
        uint32_t v = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
        for (int shift = 18; shift >= 0; shift -= 6) *out++ = b64[v >> shift & 63];
    }
    if (n) {
        uint32_t v = (uint32_t)b[0] << 16 | (n == 2 ? (uint32_t)b[1] << 8 : 0);
        *out++ = b64[v >> 18 & 63];
        *out++ = b64[v >> 12 & 63];
        *out++ = n == 2 ? b64[v >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = 0;
}

static int b64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct str s, void *out, size_t cap, size_t *n)
{
    if (s.n % 4) return false;
    size_t pad = 0;
    if (s.n && s.p[s.n - 1] == '=') pad = s.p[s.n - 2] == '=' ? 2 : 1;
    size_t want = s.n / 4 * 3 - pad;
    if (want > cap) return false;
    uint8_t *to = out;
    uint32_t v = 0;
    size_t done = 0;
    for (size_t i = 0; i < s.n - pad; i++) {
        int d = b64_digit(s.p[i]);
        if (d < 0) return false;
        v = v << 6 | (uint32_t)d;
        if (i % 4 != 0) to[done++] = (uint8_t)(v >> (6 - 2 * (i % 4)));
    }
    /* The bits behind the last byte must be zero: one value has one encoding. */
    if (pad && (v & (pad == 2 ? 15u : 3u))) return false;
    *n = want;
    return true;
}

static bool unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void percent(struct buf *out, char c)
{
    char e[3] = {'%', upper_hex[(uint8_t)c >> 4], upper_hex[(uint8_t)c & 15]};
    buf_add(out, e, sizeof e);
}

void uri_encode(struct buf *out, struct str s, bool keep_slash)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (unreserved(c) || (c == '/' && keep_slash))
            buf_char(out, c);
        else
            percent(out, c);
    }
}

void list_encode(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (unreserved(c) || c == '/' || c == '*')
            buf_char(out, c);
        else
            percent(out, c);
    }
}

static bool decode(struct arena *a, struct str s, bool utf8, bool plus, struct str *out)
{
    char *p = s.n < SIZE_MAX ? arena_alloc_raw(a, s.n + 1) : NULL;
    if (!p) return false;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (s.n - i < 3) return false;
            int hi = hex_digit(s.p[i + 1]), lo = hex_digit(s.p[i + 2]);
            if (hi < 0 || lo < 0) return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == 0) return false;
        p[n++] = c;
    }
    p[n] = 0;
    if (utf8 && !utf8_valid(str_of(p, n))) return false;
    *out = str_of(p, n);
    return true;
}

bool uri_decode(struct arena *a, struct str s, bool utf8, struct str *out)
{
    return decode(a, s, utf8, false, out);
}

bool form_decode(struct arena *a, struct str s, struct str *out)
{
    return decode(a, s, true, true, out);
}

size_t utf8_next(struct str s, uint32_t *cp)
{
    if (s.n == 0) return 0;
    const uint8_t *b = (const uint8_t *)s.p;
    if (b[0] < 0x80) {
        *cp = b[0];
        return 1;
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
    if (b[0] < 0xc2 || b[0] > 0xf4 || s.n < len) return 0;
    uint32_t v = b[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((b[i] & 0xc0) != 0x80) return 0;
        v = v << 6 | (b[i] & 0x3fu);
    }
    if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)) return 0;
    *cp = v;
    return len;
}

bool utf8_valid(struct str s)
{
    size_t i = 0;
    while (i < s.n) {
        uint32_t cp;
        if ((unsigned char)s.p[i] < 0x80) {
            i++;
            continue;
        }
        size_t len = utf8_next(str_of(s.p + i, s.n - i), &cp);
        if (len == 0) return false;
        i += len;
    }
    return true;
}
