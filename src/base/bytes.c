#include "base/bytes.h"

void buf_varint(struct buf *b, uint64_t v)
{
    uint8_t d[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) d[n++] = (uint8_t)(v | 0x80);
    d[n++] = (uint8_t)v;
    buf_add(b, d, n);
}

void buf_le16(struct buf *b, uint16_t v)
{
    char d[2];
    put_le16(d, v);
    buf_add(b, d, sizeof d);
}

void buf_le32(struct buf *b, uint32_t v)
{
    char d[4];
    put_le32(d, v);
    buf_add(b, d, sizeof d);
}

void buf_le64(struct buf *b, uint64_t v)
{
    char d[8];
    put_le64(d, v);
    buf_add(b, d, sizeof d);
}

void buf_lenstr(struct buf *b, struct str s)
{
    buf_varint(b, s.n);
    buf_str(b, s);
}

/* The next n bytes, or NULL with the reader latched. */
static const char *take(struct rd *r, size_t n)
{
    if (r->bad || (size_t)(r->end - r->p) < n) {
        r->bad = true;
        return NULL;
    }
    const char *p = r->p;
    r->p += n;
    return p;
}

uint8_t rd_u8(struct rd *r)
{
    const char *p = take(r, 1);
    return p ? (uint8_t)*p : 0;
}

uint16_t rd_le16(struct rd *r)
{
    const char *p = take(r, 2);
    return p ? get_le16(p) : 0;
}

uint32_t rd_le32(struct rd *r)
{
    const char *p = take(r, 4);
    return p ? get_le32(p) : 0;
}

uint64_t rd_le64(struct rd *r)
{
    const char *p = take(r, 8);
    return p ? get_le64(p) : 0;
}

uint64_t rd_varint_long(struct rd *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t c = rd_u8(r);
        if (r->bad) return 0;
        if (shift == 63 && c > 1) break; /* more than 64 bits */
        if (shift && c == 0) break;      /* one value has one encoding */
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) return v;
    }
    r->bad = true;
    return 0;
}

struct str rd_bytes(struct rd *r, size_t n)
{
    const char *p = take(r, n);
    return p ? str_of(p, n) : STR_NONE;
}
