/* The blob table's entries and the other keys of the engine's own shard, as bytes. docs/format/index.md is
 * the page. */
#include "base/assert.h"
#include "base/bytes.h"
#include "store/cells.h"
#include "store/log_op.h"

struct str inner_key(char out[INNER_KEY_MAX], char kind, uint64_t id)
{
    put_be64(out, IDX_SHARD_INTERNAL);
    out[8] = kind;
    put_be64(out + 9, id);
    return str_of(out, 17);
}

struct blob_places *blob_places_copy(const struct extent_place *v, size_t n)
{
    struct blob_places *p = malloc(sizeof *p + n * sizeof *v);
    if (!p) return NULL;
    p->users = 1;
    p->n = n;
    if (n) memcpy(p->v, v, n * sizeof *v);
    return p;
}

/* where, references, size; then inline: segment, offset, checksum; extents: the places. */
void blob_entry_encode(struct buf *out, const struct blob_entry *e)
{
    buf_char(out, (char)e->where);
    buf_varint(out, e->refs);
    buf_varint(out, e->size);
    if (e->where == BLOB_INLINE) {
        buf_varint(out, e->segment);
        buf_varint(out, e->offset);
        buf_le64(out, e->sum);
    } else if (e->where == BLOB_EXTENTS) {
        log_places_encode(out, e->places->v, e->places->n);
    }
}

static err decode_places(struct rd *r, struct blob_entry *e)
{
    struct arena *a = arena_new(0);
    if (!a) return ERR_NO_MEMORY;
    const struct extent_place *v;
    size_t n;
    err err_ = log_places_decode(r, a, &v, &n);
    if (!err_ && !(e->places = blob_places_copy(v, n))) err_ = ERR_NO_MEMORY;
    arena_free(a);
    return err_;
}

bool blob_entry_in_log(struct str value)
{
    return value.n > 0 && value.p[0] == BLOB_INLINE;
}

err blob_entry_decode(struct str value, struct blob_entry *e)
{
    struct rd r = rd_of(value);
    uint8_t where = rd_u8(&r);
    e->refs = rd_varint(&r);
    e->size = rd_varint(&r);
    e->places = NULL;
    if (r.bad || e->refs == 0) return ERR_CORRUPT;
    if (where > BLOB_LOST) return ERR_UNSUPPORTED_FORMAT;
    e->where = (enum blob_where)where;
    if (where == BLOB_INLINE) {
        e->segment = rd_varint(&r);
        e->offset = rd_varint(&r);
        e->sum = rd_le64(&r);
    } else if (where == BLOB_EXTENTS) {
        err d = decode_places(&r, e);
        if (d) return d;
    }
    return r.bad ? ERR_CORRUPT : ERR_OK;
}
