/* From records to what dialects render. */
#include "object/internal.h"

struct str version_text(struct arena *a, const struct rec *r)
{
    if (rec_is_null(r)) return STR("null");
    char *p = arena_alloc_raw(a, VID_TEXT + 1);
    if (!p) return STR_NONE;
    vid_text(&r->vid, p);
    return str_of(p, VID_TEXT);
}

struct str etag_dup(struct arena *a, const struct rec *r)
{
    if (r->kind == REC_MARKER) return STR_NONE;
    char *p = arena_alloc_raw(a, ETAG_TEXT);
    return p ? str_of(p, etag_text(r->md5, r->parts, p)) : STR_NONE;
}

err info_fill(struct arena *a, struct str bucket, struct str key, const struct found *f,
              enum versioning versioning, struct obj_info *out)
{
    const struct rec *r = &f->rec;
    *out = (struct obj_info){.bucket = bucket,
                             .key = key,
                             .owner = r->f[REC_OWNER],
                             .is_latest = f->current,
                             .delete_marker = r->kind == REC_MARKER,
                             .size = r->size,
                             .modified_ms = r->modified_ms,
                             .seq = f->seq,
                             .crc64xz = r->crc64xz,
                             .parts = r->parts};
    if (versioning != VERSIONING_OFF) out->version_id = version_text(a, r);
    out->etag = etag_dup(a, r);
    err e = rec_get_meta(a, r, &out->meta);
    if (!e) e = sums_decode(r->f[REC_SUMS], &out->sums);
    if (!e && arena_overflowed(a)) e = ERR_NO_MEMORY;
    return e;
}

/* Neighbours in a listing mostly share owner and class: one copy serves them all. */
static struct str shared(struct arena *a, struct str s, struct str like)
{
    if (s.n == 0) return STR_NONE;
    return str_eq(s, like) ? like : arena_dup(a, s);
}

static err fill_sums(struct str field, struct obj_entry *out)
{
    struct obj_checksums sums;
    if (field.n == 0) return ERR_OK;
    err e = sums_decode(field, &sums);
    out->sums = sums.bits;
    if (sums.bits) out->sums_type = sums.type[__builtin_ctz(sums.bits)];
    return e;
}

err entry_fill(struct arena *a, struct str key, const struct rec *r, bool current,
               const struct obj_entry *like, struct obj_entry *out)
{
    *out = (struct obj_entry){.size = r->size,
                              .modified_ms = r->modified_ms,
                              .parts = r->parts,
                              .is_latest = current,
                              .delete_marker = r->kind == REC_MARKER};
    char *p = arena_alloc_raw(a, key.n + ETAG_TEXT);
    if (!p) return ERR_NO_MEMORY;
    memcpy(p, key.p, key.n);
    out->key = str_of(p, key.n);
    if (r->kind != REC_MARKER) out->etag = str_of(p + key.n, etag_text(r->md5, r->parts, p + key.n));
    out->owner = shared(a, r->f[REC_OWNER], like ? like->owner : STR_NONE);
    out->storage_class = shared(a, r->f[REC_STORAGE_CLASS], like ? like->storage_class : STR_NONE);
    return fill_sums(r->f[REC_SUMS], out);
}
