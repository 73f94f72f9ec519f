/* XML out. */
#include "xml/xml.h"
#include "base/clock.h"
#include "base/codec.h"

void xml_begin_doc(struct buf *b)
{
    buf_cstr(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

/* A tag in one piece: a listing writes some ten thousand. */
static void tag(struct buf *b, struct str begin, const char *name)
{
    size_t n = strlen(name);
    char *p = buf_reserve(b, begin.n + n + 1);
    if (!p) return;
    memcpy(p, begin.p, begin.n);
    memcpy(p + begin.n, name, n);
    p[begin.n + n] = '>';
    b->n += begin.n + n + 1;
}

void xml_open(struct buf *b, const char *name)
{
    tag(b, STR("<"), name);
}

void xml_open_attrs(struct buf *b, const char *name, const char *raw_attrs)
{
    buf_char(b, '<');
    buf_cstr(b, name);
    buf_char(b, ' ');
    buf_cstr(b, raw_attrs);
    buf_char(b, '>');
}

void xml_close(struct buf *b, const char *name)
{
    tag(b, STR("</"), name);
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

void xml_text(struct buf *b, struct str s)
{
    size_t run = 0;
    while (run < s.n) {
        if (plain((unsigned char)s.p[run])) {
            run++;
            continue;
        }
        buf_add(b, s.p, run);
        s = str_slice(s, run, s.n);
        s = str_slice(s, put_special(b, s), s.n);
        run = 0;
    }
    buf_add(b, s.p, run);
}

void xml_elem(struct buf *b, const char *name, struct str value)
{
    xml_open(b, name);
    xml_text(b, value);
    xml_close(b, name);
}

void xml_elem_z(struct buf *b, const char *name, const char *value)
{
    xml_elem(b, name, str_c(value));
}

void xml_elem_u64(struct buf *b, const char *name, uint64_t v)
{
    xml_open(b, name);
    buf_u64(b, v);
    xml_close(b, name);
}

void xml_elem_bool(struct buf *b, const char *name, bool v)
{
    xml_elem(b, name, v ? STR("true") : STR("false"));
}

void xml_elem_time(struct buf *b, const char *name, int64_t ms)
{
    char iso[TIME_ISO_SIZE];
    time_iso(ms, iso);
    xml_elem_z(b, name, iso);
}
