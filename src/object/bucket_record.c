/* The small records of a bucket. Guard: u8 format (1), u8 state (1 live, 2 deleted), u16 flags that must be
 * understood (0), u8 versioning, u64 configuration epoch. Name: u8 format (1), u16 flags (0), u64 id, i64
 * created, owner and region with their lengths. Little-endian. */
#include "base/bytes.h"
#include "object/internal.h"

#define FORMAT     1
#define GUARD_SIZE 13

struct str guard_encode(struct arena *a, const struct guard *g)
{
    char *p = arena_alloc_raw(a, GUARD_SIZE);
    if (!p) return STR_NONE;
    p[0] = FORMAT;
    p[1] = g->deleted ? 2 : 1;
    put_le16(p + 2, 0);
    p[4] = (char)g->versioning;
    put_le64(p + 5, g->epoch);
    return str_of(p, GUARD_SIZE);
}

err guard_decode(struct str in, struct guard *out)
{
    if (in.n < 4) return ERR_CORRUPT;
    if (in.p[0] != FORMAT || get_le16(in.p + 2) != 0) return ERR_UNSUPPORTED_FORMAT;
    if (in.n != GUARD_SIZE || in.p[1] < 1 || in.p[1] > 2) return ERR_CORRUPT;
    if (in.p[4] < VERSIONING_OFF || in.p[4] > VERSIONING_SUSPENDED) return ERR_UNSUPPORTED_FORMAT;
    *out = (struct guard){
        .deleted = in.p[1] == 2, .versioning = (enum versioning)in.p[4], .epoch = get_le64(in.p + 5)};
    return ERR_OK;
}

struct str bucket_rec_encode(struct arena *a, const struct bucket_rec *b)
{
    size_t max = 19 + b->owner.n + b->region.n + 20;
    struct buf w = {.p = arena_alloc_raw(a, max), .cap = max, .max = max};
    if (!w.p) return STR_NONE;
    buf_char(&w, FORMAT);
    buf_le16(&w, 0);
    buf_le64(&w, b->id);
    buf_le64(&w, (uint64_t)b->created_ms);
    buf_lenstr(&w, b->owner);
    buf_lenstr(&w, b->region);
    return buf_view(&w);
}

err bucket_rec_decode(struct str in, struct bucket_rec *out)
{
    struct rd rd = rd_of(in);
    uint8_t format = rd_u8(&rd);
    uint16_t flags = rd_le16(&rd);
    if (!rd.bad && (format != FORMAT || flags != 0)) return ERR_UNSUPPORTED_FORMAT;
    out->id = rd_le64(&rd);
    out->created_ms = (int64_t)rd_le64(&rd);
    out->owner = rd_lenstr(&rd);
    out->region = rd_lenstr(&rd);
    return rd.bad || rd_left(&rd) > 0 || out->id == 0 ? ERR_CORRUPT : ERR_OK;
}
