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

static void fill_header(const struct rec *r, uint64_t seq, bool current, struct obj_info *out)
{
    out->is_latest = current;
    out->delete_marker = r->kind == REC_MARKER;
    out->size = r->size;
    out->modified_ms = r->modified_ms;
    out->seq = seq;
    out->crc64xz = r->crc64xz;
    out->parts = r->parts;
}

err info_fill(struct arena *a, struct str bucket, struct str key, const struct found *f,
              enum versioning versioning, struct obj_info *out)
{
    *out = (struct obj_info){.bucket = bucket, .key = key, .owner = f->rec.f[REC_OWNER]};
    fill_header(&f->rec, f->seq, f->current, out);
    if (versioning != VERSIONING_OFF) out->version_id = version_text(a, &f->rec);
    out->etag = etag_dup(a, &f->rec);
    err e = rec_get_meta(a, &f->rec, &out->meta);
    if (!e) e = sums_decode(f->rec.f[REC_SUMS], &out->sums);
    if (!e && arena_overflowed(a)) e = ERR_NO_MEMORY;
    return e;
}

/* Neighbours in a listing mostly share owner and class: one copy serves them all. */
static struct str shared(struct arena *a, struct str s, struct str like)
{
    if (s.n == 0) return STR_NONE;
    return str_eq(s, like) ? like : arena_dup(a, s);
}

err info_fill_listed(struct arena *a, struct str key, const struct rec *r, uint64_t seq, bool current,
                     struct obj_info *out, const struct obj_info *like)
{
    *out = (struct obj_info){0};
    char *p = arena_alloc_raw(a, key.n + ETAG_TEXT);
    if (!p) return ERR_NO_MEMORY;
    memcpy(p, key.p, key.n);
    out->key = str_of(p, key.n);
    if (r->kind != REC_MARKER) out->etag = str_of(p + key.n, etag_text(r->md5, r->parts, p + key.n));
    fill_header(r, seq, current, out);
    out->owner = shared(a, r->f[REC_OWNER], like ? like->owner : STR_NONE);
    out->meta.storage_class = shared(a, r->f[REC_STORAGE_CLASS], like ? like->meta.storage_class : STR_NONE);
    return sums_decode(r->f[REC_SUMS], &out->sums);
}
