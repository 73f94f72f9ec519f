/* XML out. */
#include "xml/xml.h"
#include "base/clock.h"
#include "base/codec.h"

void xml_begin_doc(struct buf *b)
{
    buf_cstr(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

static char *put(char *p, struct str s)
{
    if (s.n) memcpy(p, s.p, s.n);
    return p + s.n;
}

void xml_tag(struct buf *b, struct str begin, struct str name)
{
    char *p = buf_reserve(b, begin.n + name.n + 1);
    if (!p) return;
    *put(put(p, begin), name) = '>';
    b->n += begin.n + name.n + 1;
}

void xml_open_attrs(struct buf *b, const char *name, const char *raw_attrs)
{
    buf_char(b, '<');
    buf_cstr(b, name);
    buf_char(b, ' ');
    buf_cstr(b, raw_attrs);
    buf_char(b, '>');
}

/* Is it written as it is? Everything that is not ASCII is looked at as a character. */
static bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '&' && c != '<' && c != '>' && c != '"';
}

/* The first character of s, which is not plain; returns its length. */
static size_t put_special(struct buf *b, struct str s)
{
    uint32_t c = 0;
    size_t len = utf8_next(s, &c);
    if (len == 0) { /* no key or name is stored like that; keep the document well-formed all the same */
        buf_cstr(b, "\xef\xbf\xbd");
        return 1;
    }
    if (c == '&')
        buf_cstr(b, "&amp;");
    else if (c == '<')
        buf_cstr(b, "&lt;");
    else if (c == '>')
        buf_cstr(b, "&gt;");
    else if (c == '"')
        buf_cstr(b, "&quot;");
    else if (c < 0x20 || c == 0x7f || c == 0xfffe || c == 0xffff)
        buf_fmt(b, "&#x%X;", (unsigned)c);
    else
        buf_add(b, s.p, len);
    return len;
}

#define EACH(byte) (0x0101010101010101ull * (byte))

/* Of eight bytes: is one of them zero? is one less than least (at most 128)? */
static bool has_zero(uint64_t v)
{
    return (v - EACH(1)) & ~v & EACH(0x80);
}

static bool has_less(uint64_t v, unsigned least)
{
    return (v - EACH(least)) & ~v & EACH(0x80);
}

/* plain() of eight bytes at once. '<' and '>' differ in one bit, '"' and '&' in another. */
static bool plain_word(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return !((v & EACH(0x80)) || has_less(v, 0x20) || has_zero(v ^ EACH(0x7f)) ||
             has_zero((v | EACH('<' ^ '>')) ^ EACH('<' | '>')) ||
             has_zero((v | EACH('"' ^ '&')) ^ EACH('"' | '&')));
}

static size_t plain_run(struct str s)
{
    size_t n = 0;
    while (s.n - n >= 8 && plain_word(s.p + n)) n += 8;
    while (n < s.n && plain((unsigned char)s.p[n])) n++;
    return n;
}

void xml_text(struct buf *b, struct str s)
{
    for (;;) {
        size_t run = plain_run(s);
        buf_add(b, s.p, run);
        if (run == s.n) return;
        s = str_slice(s, run, s.n);
        s = str_slice(s, put_special(b, s), s.n);
    }
}

/* Of a value that is written as it is: in one piece. */
static void put_plain(struct buf *b, struct str name, struct str mark, struct str value)
{
    size_t n = 2 * name.n + 2 * mark.n + value.n + 5;
    char *p = buf_reserve(b, n);
    if (!p) return;
    *p = '<';
    p = put(p + 1, name);
    *p = '>';
    p = put(put(put(p + 1, mark), value), mark);
    p[0] = '<';
    p[1] = '/';
    *put(p + 2, name) = '>';
    b->n += n;
}

static void element(struct buf *b, struct str name, struct str mark, struct str value)
{
    if (plain_run(value) == value.n) {
        put_plain(b, name, mark, value);
        return;
    }
    xml_tag(b, STR("<"), name);
    buf_str(b, mark);
    xml_text(b, value);
    buf_str(b, mark);
    xml_tag(b, STR("</"), name);
}

void xml_element(struct buf *b, struct str name, struct str value)
{
    element(b, name, STR(""), value);
}

void xml_element_quoted(struct buf *b, struct str name, struct str value)
{
    element(b, name, STR("&quot;"), value);
}

void xml_element_u64(struct buf *b, struct str name, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + v % 10);
    while (v /= 10);
    put_plain(b, name, STR(""), str_of(digits + at, sizeof digits - at));
}

void xml_element_time(struct buf *b, struct str name, int64_t ms)
{
    char iso[TIME_ISO_SIZE];
    time_iso(ms, iso);
    put_plain(b, name, STR(""), str_of(iso, TIME_ISO_SIZE - 1));
}
