#include "store/blob.h"
#include "base/assert.h"

#define BLOB_SIZE_MAX  ((uint64_t)5 << 40)
#define BLOB_OWNER_MAX 65536u

err blob_create(struct blobs *b, int64_t size_hint, struct blob_writer **out)
{
    if (size_hint > 0 && (uint64_t)size_hint > BLOB_SIZE_MAX) return ERR_ENTITY_TOO_LARGE;
    err e = b->ops->create(b, size_hint, out);
    if (e) return e;
    (*out)->blobs = b;
    (*out)->size = 0;
    return ERR_OK;
}

err blob_write(struct blob_writer *w, const void *p, size_t n)
{
    if (n == 0) return ERR_OK;
    if (n > BLOB_SIZE_MAX - w->size) return ERR_ENTITY_TOO_LARGE;
    err e = w->blobs->ops->write(w, p, n);
    if (!e) w->size += n;
    return e;
}

err blob_room(struct blob_writer *w, char **p, size_t *n)
{
    *p = NULL;
    err e = w->blobs->ops->room(w, p, n);
    ASSERT(e || !*p || *n > 0);
    return e;
}

err blob_filled(struct blob_writer *w, size_t n)
{
    if (n == 0) return ERR_OK;
    if (n > BLOB_SIZE_MAX - w->size) return ERR_ENTITY_TOO_LARGE;
    err e = w->blobs->ops->filled(w, n);
    if (!e) w->size += n;
    return e;
}

err blob_seal(struct blob_writer *w, struct str owner)
{
    if (owner.n > BLOB_OWNER_MAX) return ERR_INVALID_ARGUMENT;
    return w->blobs->ops->seal(w, owner);
}

uint64_t blob_writer_id(const struct blob_writer *w)
{
    return w->id;
}

void blob_abandon(struct blob_writer *w)
{
    if (w) w->blobs->ops->abandon(w);
}

err blob_open(struct blobs *b, uint64_t id, struct blob_reader **out)
{
    err e = b->ops->open(b, id, out);
    if (e) return e;
    (*out)->blobs = b;
    ASSERT((*out)->id == id);
    return ERR_OK;
}

uint64_t blob_size(const struct blob_reader *r)
{
    return r->size;
}

err blob_view(struct blob_reader *r, uint64_t off, size_t n, struct str *out)
{
    ASSERT(off < r->size && n > 0);
    if (n > r->size - off) n = (size_t)(r->size - off);
    err e = r->blobs->ops->view(r, off, n, out);
    if (!e) ASSERT(out->n > 0 && out->n <= n);
    return e;
}

void blob_close(struct blob_reader *r)
{
    if (r) r->blobs->ops->close(r);
}
