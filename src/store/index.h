/* index: the first seam of the store — an ordered map of byte strings with atomic transactions bounded to one
 * shard.
 *
 * A key's first 8 bytes, big-endian, are its shard (0: the system shard; otherwise a bucket's id). A
 * transaction touches keys of one shard only: implementations refuse anything else by ASSERT, so that no
 * promise is wider than what RADOS omap or a range-sharded engine can keep. Later engines may split a shard
 * by key range; then "shard" is that range and the object layer's transactions (one object key, its versions,
 * its upload, the shard's counters and guard) still fit.
 *
 * Order of things at commit: checks hold → durable → applied → visible → the call returns ERR_OK. From then
 * every reader on every loop sees it. A commit that returns anything but ERR_OK left nothing behind, with one
 * exception: ERR_IO after a failed flush (the engine then stops accepting commits; whether this one survives
 * is decided at the next start).
 *
 * Optimistic concurrency: take `seq = idx_now()`, read, decide, build a txn with read_seq = seq that names
 * the keys the decision rests on (idx_txn_check), commit; ERR_CONFLICT means one of them was written since
 * seq: read again. The committer never reads for the caller. (The algorithm is FoundationDB's resolver over
 * recent writes; a seq older than its window also conflicts.)
 *
 * All calls: fiber context or start-up; may wait; any loop. Values returned live in the caller's arena.
 * Bounds: key <= IDX_KEY_MAX, value <= IDX_VALUE_MAX, a txn <= IDX_TXN_MAX bytes of keys and values.
 */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include "base/arena.h"
#include "base/errors.h"

#define IDX_KEY_MAX   1280
#define IDX_VALUE_MAX (4u << 20)
#define IDX_TXN_MAX   (8u << 20)

struct idx;     /* an implementation: store_memory_new() or engine_open() (store/store.h) */
struct idx_txn; /* built in an arena, used once */

/* The newest visible sequence. Sequences start at 1 and never repeat; each commit has its own. */
uint64_t idx_now(struct idx *x);

/* ERR_NOT_FOUND when absent. *seq (may be NULL): the sequence of the commit that put it. */
err idx_get(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq);

/* The same for a short key that nearly every request reads: it may be answered from memory. What it finds is
 * at least as new as the last idx_now() before the call. */
#define IDX_HOT_KEY_MAX 16
err idx_get_hot(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq);

/* Range scan in key order over lo <= key < hi, at one snapshot. fn runs on a worker thread (must not wait,
 * log or touch fiber state; its arg is only used by the waiting caller) and says how to go on. */
enum idx_step {
    IDX_NEXT, /* the following key */
    IDX_SEEK, /* the first key >= *seek (which lies beyond key): how a delimiter listing skips a common prefix
               */
    IDX_STOP,
};
typedef enum idx_step idx_scan_fn(void *arg, struct str key, struct str value, uint64_t seq,
                                  struct str *seek);
struct idx_range {
    struct str lo, hi; /* hi.p NULL: to the end */
    bool reverse;      /* from hi down to lo; IDX_SEEK is then not allowed */
};
err idx_scan(struct idx *x, const struct idx_range *r, idx_scan_fn *fn, void *arg);

/* ---- transactions ---- */
struct idx_txn *idx_txn_new(struct arena *a, uint64_t shard, uint64_t read_seq);
/* Fail with ERR_CONFLICT if key was written (put or deleted) after read_seq. */
void idx_txn_check(struct idx_txn *t, struct str key);
void idx_txn_put(struct idx_txn *t, struct str key, struct str value); /* copies into the arena */
void idx_txn_del(struct idx_txn *t, struct str key);
/* Counters: the value at key is n signed 64-bit numbers (n <= 8); each commit adds. Merged by the committer:
 * adding conflicts with nothing. Read them by idx_get (n x 8 bytes little-endian; absent = zeros). */
#define IDX_COUNTERS_MAX 8
void idx_txn_add(struct idx_txn *t, struct str key, const int64_t *delta, unsigned n);
/* Fail with ERR_CONFLICT unless counter number i at key is zero at commit. */
void idx_txn_check_zero(struct idx_txn *t, struct str key, unsigned i);
/* Blob operations that take effect with this commit (see blob.h). */
struct blob_writer;
void idx_txn_publish(struct idx_txn *t,
                     struct blob_writer *sealed); /* reference count 1; the txn owns the writer on ERR_OK */
void idx_txn_ref(struct idx_txn *t, uint64_t blob_id); /* +1; ERR_CONFLICT if the blob is gone */
void idx_txn_unref(struct idx_txn *t,
                   uint64_t blob_id); /* -1; at 0 its space is freed after readers let go */

/* Said last: this transaction is a deletion that also writes a little (a delete marker; a version that moves
 * into the place of the removed one), so a full disk takes it out of the reserve, as one that only deletes.
 */
void idx_txn_gives_back(struct idx_txn *t);
/* The same for one that only hides (a delete marker): unless it lets go of a blob it gets no more than half
 * of the reserve, so that deletions that free find the other half. */
void idx_txn_hides(struct idx_txn *t);

/* A txn whose arena or bounds overflowed while it was built fails here with ERR_NO_MEMORY or
 * ERR_ENTITY_TOO_LARGE. Space: a txn that only deletes, unrefs and adds succeeds on a full disk (a reserve is
 * kept for it); others get ERR_NO_SPACE. *seq (may be NULL): the commit's sequence. On any error the sealed
 * writers stay the caller's. */
err idx_commit(struct idx *x, struct idx_txn *t, uint64_t *seq);

/* What an implementation provides; everything above dispatches to it after checking bounds and shard. */
struct idx_ops {
    uint64_t (*now)(struct idx *x);
    err (*get)(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq);
    err (*get_hot)(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq);
    err (*scan)(struct idx *x, const struct idx_range *r, idx_scan_fn *fn, void *arg);
    err (*commit)(struct idx *x, struct idx_txn *t, uint64_t *seq);
};
struct idx {
    const struct idx_ops *ops;
};

#endif
