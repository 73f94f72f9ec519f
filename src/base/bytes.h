/* Fixed-width integers and varints in byte strings, for formats on disk and keys in the index.
 * Little-endian in records, big-endian in keys (so that bytewise order is numeric order). */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/str.h"

static inline void put_le16(void *p, uint16_t v)
{
    memcpy(p, &v, 2);
}
static inline void put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, 4);
}
static inline void put_le64(void *p, uint64_t v)
{
    memcpy(p, &v, 8);
}
static inline uint16_t get_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static inline uint32_t get_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
static inline uint64_t get_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}
static inline void put_be16(void *p, uint16_t v)
{
    put_le16(p, __builtin_bswap16(v));
}
static inline void put_be32(void *p, uint32_t v)
{
    put_le32(p, __builtin_bswap32(v));
}
static inline void put_be64(void *p, uint64_t v)
{
    put_le64(p, __builtin_bswap64(v));
}
static inline uint16_t get_be16(const void *p)
{
    return __builtin_bswap16(get_le16(p));
}
static inline uint32_t get_be32(const void *p)
{
    return __builtin_bswap32(get_le32(p));
}
static inline uint64_t get_be64(const void *p)
{
    return __builtin_bswap64(get_le64(p));
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the on-disk formats are little-endian");

/* LEB128. */
void buf_varint(struct buf *b, uint64_t v);
void buf_le16(struct buf *b, uint16_t v);
void buf_le32(struct buf *b, uint32_t v);
void buf_le64(struct buf *b, uint64_t v);
void buf_lenstr(struct buf *b, struct str s); /* varint length, then the bytes */

/* A reader over untrusted bytes: after the first failure every call fails, so one check at the end does. */
struct rd {
    const char *p, *end;
    bool bad;
};
static inline struct rd rd_of(struct str s)
{
    return (struct rd){s.p, s.p + s.n, false};
}
uint8_t rd_u8(struct rd *r);
uint16_t rd_le16(struct rd *r);
uint32_t rd_le32(struct rd *r);
uint64_t rd_le64(struct rd *r);
uint64_t rd_varint_long(struct rd *r);
struct str rd_bytes(struct rd *r, size_t n);
static inline size_t rd_left(const struct rd *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->p);
}
/* Nearly all tags and lengths are one byte. */
static inline uint64_t rd_varint(struct rd *r)
{
    if (!r->bad && r->p < r->end && (uint8_t)*r->p < 0x80) return (uint8_t)*r->p++;
    return rd_varint_long(r);
}
static inline struct str rd_lenstr(struct rd *r)
{
    uint64_t n = rd_varint(r);
    if (!r->bad && n <= (size_t)(r->end - r->p)) {
        const char *p = r->p;
        r->p += n;
        return str_of(p, (size_t)n);
    }
    r->bad = true;
    return STR_NONE;
}

#endif
