/* blob: the second seam of the store — opaque bytes behind logical ids. Written once, read by range, shared
 * by reference, freed when the last reference goes.
 *
 * Ids are never reused. A blob exists for readers only after the transaction that published it
 * (idx_txn_publish) was committed; where its bytes are (log, extents; later other drives, RADOS objects, a
 * cold tier) is known below this seam only, so bytes can move without touching a record.
 *
 * Durability: blob_seal returns ERR_OK only when the bytes are durable, or small enough to ride in the commit
 * record itself (one write, one flush). A writer that is closed unpublished, or lost in a crash, leaves no
 * space behind.
 *
 * Every block is checksummed, salted with blob id and offset, and verified on every read: a mismatch is
 * ERR_CORRUPT and a metric, never wrong bytes. Fiber context; any loop; a writer or reader is used by one
 * fiber at a time.
 */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H

#include "base/arena.h"
#include "base/errors.h"
#include "body/body.h"

struct blobs; /* an implementation: memory, or the engine */
struct blob_writer;
struct blob_reader;

/* size_hint: exact size when known, else -1. At most 5 TiB a blob (an object is a list of pieces).
 * ERR_NO_SPACE early. */
err blob_create(struct blobs *b, int64_t size_hint, struct blob_writer **out);
/* Appends; copies or writes before it returns. Memory held is bounded (1 MiB a writer). */
err blob_write(struct blob_writer *w, const void *p, size_t n);
/* The same without a copy: room of the writer's own for the bytes that come next, *n > 0 of them at *p, until
 * the next call with this writer. *p NULL: it has none, use blob_write. Only where more bytes are to come.
 * blob_filled: the first n bytes of it are there. They may be read further until room that overlaps them is
 * given, blob_write is called, or the writer is gone. */
err blob_room(struct blob_writer *w, char **p, size_t *n);
err blob_filled(struct blob_writer *w, size_t n);
/* No more bytes. owner: what the blob is to the layer above (bucket, key, version, a copy of its record),
 * kept with the bytes so that they describe themselves; at most 64 KiB. After ERR_OK: publish in a txn, or
 * abandon. */
err blob_seal(struct blob_writer *w, struct str owner);
uint64_t blob_writer_id(const struct blob_writer *w); /* valid from creation */
void blob_abandon(struct blob_writer *w);             /* any time before a successful commit; NULL is fine */

/* Open for reading and pin: the bytes stay until blob_close even if the last reference goes. ERR_NOT_FOUND.
 */
err blob_open(struct blobs *b, uint64_t id, struct blob_reader **out);
uint64_t blob_size(const struct blob_reader *r);
/* A verified view of bytes at off: at least 1 and at most n bytes, owned by the reader, valid until its next
 * call. ERR_CORRUPT, ERR_IO. off < size. Sequential callers get read-ahead. */
err blob_view(struct blob_reader *r, uint64_t off, size_t n, struct str *out);
void blob_close(struct blob_reader *r); /* NULL is fine */

struct blob_ops {
    err (*create)(struct blobs *b, int64_t size_hint, struct blob_writer **out);
    err (*write)(struct blob_writer *w, const void *p, size_t n);
    err (*room)(struct blob_writer *w, char **p, size_t *n);
    err (*filled)(struct blob_writer *w, size_t n);
    err (*seal)(struct blob_writer *w, struct str owner);
    void (*abandon)(struct blob_writer *w);
    err (*open)(struct blobs *b, uint64_t id, struct blob_reader **out);
    err (*view)(struct blob_reader *r, uint64_t off, size_t n, struct str *out);
    void (*close)(struct blob_reader *r);
};
struct blobs {
    const struct blob_ops *ops;
};
struct blob_writer { /* first member of every implementation's writer */
    struct blobs *blobs;
    uint64_t id, size;
};
struct blob_reader {
    struct blobs *blobs;
    uint64_t id, size;
};

#endif
