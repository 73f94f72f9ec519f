/* view: the ordered index as RocksDB keeps it: what the log says, applied up to a sequence that is stored in
 * the same write batch. RocksDB's own log is off: what was not yet flushed is applied again from ours at the
 * next opening.
 *
 * A value is the 8-byte little-endian sequence of the commit that put it, then the bytes. Reads try memory
 * first and go to a worker for the disk; all else runs on workers, too, so no loop waits, but for the locks
 * of RocksDB that a read from memory takes. Any thread.
 */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "store/index.h"

struct view;
struct view_options {
    const char *dir; /* DIR/index, made if absent */
    size_t cache;    /* block cache, bytes */
    size_t buffer;   /* of changes before they are written to a file; 0: 16 MiB */
    bool discard;    /* at close, drop what was not flushed (a check that must change nothing) */
    bool must_exist;
};
err view_open(const struct view_options *o, struct view **out, char why[512]);
/* Ends background work; from a fiber it waits for that, so a view whose close runs on a worker is stopped
 * first. */
void view_stop(struct view *v);
void view_close(struct view *v); /* stops, too */

/* The value stays until view_unpin. */
struct view_pin {
    struct str value;
    uint64_t seq;
    void *slice;
};
err view_get(struct view *v, struct str key, struct view_pin *pin);
void view_unpin(struct view_pin *pin);

/* For a key of at most IDX_HOT_KEY_MAX bytes that nearly every request reads: see view_hot.h. */
err view_get_hot(struct view *v, struct arena *a, struct str key, struct str *value, uint64_t *seq);

/* As idx_scan, over every key; cold: leave the cache alone (walks over everything). */
err view_scan(struct view *v, const struct idx_range *r, bool cold, idx_scan_fn *fn, void *arg);

struct view_batch;
struct view_batch *view_batch_new(void);
void view_batch_free(struct view_batch *b);
void view_batch_put(struct view_batch *b, struct str key, uint64_t seq, struct str value);
void view_batch_del(struct view_batch *b, struct str key);
unsigned view_batch_count(const struct view_batch *b);
void view_batch_clear(struct view_batch *b);
/* Applies and clears the batch. A stall is waited for and counted. After an I/O error RocksDB is
 * resumed and asked again, for some seconds at most. ERR_NO_SPACE leaves the batch as it was, to be written
 * again after view_resume. */
err view_write(struct view *v, struct view_batch *b);
/* Has RocksDB met a full disk, so that it takes nothing more until view_resume says yes? Reads go on. */
bool view_stuck(const struct view *v);
bool view_resume(struct view *v); /* true: it writes again */

/* Everything written so far is on disk on ERR_OK. An I/O error that does not come again is mended, as above.
 */
err view_flush(struct view *v);
uint64_t view_bytes(struct view *v); /* estimate of the live data on disk and in memory */
struct view_stats {
    uint64_t stalls, stall_ns, errors;
    uint64_t purges; /* compactions after many deletions */
    bool purging;
};
void view_get_stats(struct view *v, struct view_stats *out);

#endif
