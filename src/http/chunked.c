#include "http/chunked.h"

enum { SIZE_FIRST, SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, END, BAD };
#define LINE_MAX_BYTES    1024
#define TRAILER_MAX_BYTES 8192

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Text of an extension or a trailer: visible bytes, blanks, tabs and anything above ASCII. */
static bool is_text(unsigned char c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

static int in_size(struct chunked *c, unsigned char ch)
{
    if (++c->used > LINE_MAX_BYTES) return BAD;
    int d = hex_digit(ch);
    if (d >= 0) {
        if (c->size > (INT64_MAX >> 4)) return BAD;
        c->size = c->size * 16 + d;
        return SIZE;
    }
    if (c->state == SIZE_FIRST) return BAD;
    return ch == '\r' ? SIZE_LF : ch == ';' ? EXTENSION : BAD;
}

static int in_extension(struct chunked *c, unsigned char ch)
{
    if (++c->used > LINE_MAX_BYTES) return BAD;
    return ch == '\r' ? SIZE_LF : is_text(ch) ? EXTENSION : BAD;
}

static int after_size(struct chunked *c, unsigned char ch)
{
    if (ch != '\n') return BAD;
    c->used = 0;
    c->blank = true;
    return c->size > 0 ? DATA : TRAILER;
}

static int in_trailer(struct chunked *c, unsigned char ch)
{
    if (++c->used > TRAILER_MAX_BYTES) return BAD;
    if (ch == '\r') return TRAILER_LF;
    if (!is_text(ch) || (c->blank && (ch == ' ' || ch == '\t'))) return BAD;
    c->blank = false;
    return TRAILER;
}

static int after_trailer_line(struct chunked *c, unsigned char ch)
{
    if (ch != '\n') return BAD;
    if (c->blank) return END;
    c->blank = true;
    return TRAILER;
}

static int step(struct chunked *c, unsigned char ch)
{
    switch (c->state) {
    case SIZE_FIRST:
    case SIZE:
        return in_size(c, ch);
    case EXTENSION:
        return in_extension(c, ch);
    case SIZE_LF:
        return after_size(c, ch);
    case DATA_CR:
        return ch == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        return ch == '\n' ? SIZE_FIRST : BAD;
    case TRAILER:
        return in_trailer(c, ch);
    case TRAILER_LF:
        return after_trailer_line(c, ch);
    default:
        return BAD;
    }
}

enum chunk_step chunked_step(struct chunked *c, const char **p, const char *end, struct str *data)
{
    while (*p < end && c->state != END && c->state != BAD) {
        if (c->state != DATA) {
            c->state = step(c, (unsigned char)*(*p)++);
            continue;
        }
        size_t n = (size_t)(end - *p);
        if ((uint64_t)c->size < n) n = (size_t)c->size;
        *data = str_of(*p, n);
        *p += n;
        c->size -= (int64_t)n;
        if (c->size == 0) c->state = DATA_CR;
        return CHUNK_DATA;
    }
    if (c->state == END) return CHUNK_END;
    return c->state == BAD ? CHUNK_BAD : CHUNK_MORE;
}

int64_t chunked_left(const struct chunked *c)
{
    return c->state == DATA ? c->size : 0;
}
