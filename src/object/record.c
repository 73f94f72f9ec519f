/* The record's bytes. All numbers little-endian but the id, which is as in keys.
 *
 *    0  u8   format: 1
 *    1  u8   kind
 *    2  u16  flags
 *    4  u32  parts
 *    8  i64  modified, ms since the epoch
 *   16  u64  size
 *   24  16 B id: order BE64, random
 *   40  16 B MD5 of the ETag
 *   56  u64  CRC-64/XZ of the whole object
 *   64  fields: varint (tag << 1 | must), varint length, bytes; tags strictly ascending
 */
#include "object/record.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/codec.h"

#define MUST_TAGS                                                                                            \
    (1ull << REC_PIECES | 1ull << REC_TABLE | 1ull << REC_COMPRESSION | 1ull << REC_ENCRYPTION |             \
     1ull << REC_TIER | 1ull << REC_RETENTION | 1ull << REC_LEGAL_HOLD | 1ull << REC_SYMLINK)
#define UNDERSTOOD_MUST (1ull << REC_PIECES | 1ull << REC_TABLE)

static bool kind_known(uint8_t kind)
{
    return kind >= REC_OBJECT && kind <= REC_DONE;
}

static err decode_header(struct rd *rd, struct rec *out)
{
    uint8_t format = rd_u8(rd), kind = rd_u8(rd);
    uint16_t flags = rd_le16(rd);
    uint32_t parts = rd_le32(rd);
    int64_t modified = (int64_t)rd_le64(rd);
    uint64_t size = rd_le64(rd);
    struct str id = rd_bytes(rd, VID_SIZE);
    struct str md5 = rd_bytes(rd, 16);
    uint64_t crc = rd_le64(rd);
    if (rd->bad) return ERR_CORRUPT;
    if (format != REC_FORMAT || !kind_known(kind) || (flags & REC_FLAGS_MUST & ~REC_FLAGS_KNOWN))
        return ERR_UNSUPPORTED_FORMAT;
    out->kind = kind;
    out->flags = flags;
    out->parts = parts;
    out->modified_ms = modified;
    out->size = size;
    out->vid = vid_get(id.p);
    memcpy(out->md5, md5.p, 16);
    out->crc64xz = crc;
    return ERR_OK;
}

err rec_decode(struct str in, struct rec *out)
{
    *out = (struct rec){0};
    if (in.n < REC_HEADER) return ERR_CORRUPT;
    struct rd rd = rd_of(in);
    err e = decode_header(&rd, out);
    uint64_t last = 0;
    while (!e && rd_left(&rd) > 0) {
        const char *start = rd.p;
        uint64_t word = rd_varint(&rd), tag = word >> 1;
        struct str value = rd_lenstr(&rd);
        if (rd.bad || tag <= last) return ERR_CORRUPT;
        last = tag;
        bool must = word & 1;
        if (tag >= REC_TAG_END) {
            if (must) return ERR_UNSUPPORTED_FORMAT;
            if (!out->tail.p) out->tail = str_of(start, (size_t)(in.p + in.n - start));
            continue;
        }
        if (must && !(UNDERSTOOD_MUST >> tag & 1)) return ERR_UNSUPPORTED_FORMAT;
        if (must != (MUST_TAGS >> tag & 1)) return ERR_CORRUPT;
        out->f[tag] = value;
    }
    return e;
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >= 128) v >>= 7, n++;
    return n;
}

static char *put_varint(char *p, uint64_t v)
{
    while (v >= 128) *p++ = (char)(v | 128), v >>= 7;
    *p++ = (char)v;
    return p;
}

struct str rec_encode(struct arena *a, const struct rec *r)
{
    ASSERT(kind_known((uint8_t)r->kind));
    size_t n = REC_HEADER + r->tail.n;
    for (unsigned t = 1; t < REC_TAG_END; t++)
        if (r->f[t].p) n += varint_size(t << 1) + varint_size(r->f[t].n) + r->f[t].n;
    char *p = arena_alloc_raw(a, n), *w = p;
    if (!p) return STR_NONE;
    w[0] = REC_FORMAT;
    w[1] = (char)r->kind;
    put_le16(w + 2, r->flags);
    put_le32(w + 4, r->parts);
    put_le64(w + 8, (uint64_t)r->modified_ms);
    put_le64(w + 16, r->size);
    vid_put(&r->vid, w + 24);
    memcpy(w + 40, r->md5, 16);
    put_le64(w + 56, r->crc64xz);
    w += REC_HEADER;
    for (unsigned t = 1; t < REC_TAG_END; t++) {
        if (!r->f[t].p) continue;
        w = put_varint(w, t << 1 | (unsigned)(MUST_TAGS >> t & 1));
        w = put_varint(w, r->f[t].n);
        memcpy(w, r->f[t].p, r->f[t].n);
        w += r->f[t].n;
    }
    if (r->tail.n) memcpy(w, r->tail.p, r->tail.n);
    w += r->tail.n;
    ASSERT((size_t)(w - p) == n);
    return str_of(p, n);
}

size_t etag_text(const uint8_t md5[16], unsigned parts, char out[ETAG_TEXT])
{
    hex_encode(md5, 16, out);
    if (parts == 0) return 32;
    return 32 + (size_t)snprintf(out + 32, ETAG_TEXT - 32, "-%u", parts % 100000u);
}
