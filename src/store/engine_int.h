/* What the files of the engine share. See README.md for who does what and which lock guards what. */
#ifndef STORE_ENGINE_INT_H
#define STORE_ENGINE_INT_H

#include "base/spares.h"
#include "store/archive.h"
#include "store/blob_cache.h"
#include "store/cells.h"
#include "store/log.h"
#include "store/log_op.h"
#include "store/park.h"
#include "store/resolver.h"
#include "store/store.h"
#include "store/super.h"
#include "store/txn.h"

#include <stdatomic.h>

#define ENGINE_INLINE_MAX    ((size_t)16 << 10)
#define ENGINE_BODY_MAX      ((size_t)64 << 10)
#define ENGINE_SEGMENT_BYTES ((uint64_t)32 << 20)
#define ENGINE_LOG_BYTES     ((uint64_t)256 << 20)
#define ENGINE_ARCHIVE_BYTES ((uint64_t)64 << 20)
#define ENGINE_INDEX_CACHE   ((size_t)64 << 20)
#define ENGINE_BLOB_CACHE    ((size_t)32 << 20)

/* ---- one commit on its way (committer.c) ---- */
struct commit_req {
    struct list link;
    struct park park;
    const struct idx_txn *txn; /* a caller's, or NULL */
    struct log_op *ops;        /* the engine's own: moves and frees */
    size_t nops;
    size_t bound;    /* most bytes of payload it can take */
    bool lead;       /* woken to lead the next batch, not because it is done */
    bool taken_back; /* failed after it had had its effect in memory for a while (undo.c) */
    err e;
    uint64_t seq;
};

/* ---- changing state as the log says (apply.c) ---- */
struct apply {
    struct engine *e;
    struct view_batch *batch;
    struct cell **held; /* pinned until the batch is in the view */
    size_t nheld, held_cap;
    uint32_t *files; /* whose live counts changed */
    size_t nfiles, files_cap;
    struct buf scratch;
};

struct engine_counts {
    _Atomic uint64_t commits, batches, batch_max, commit_bytes, conflicts, queue_depth, queue_peak,
        commit_ns_sum;
    _Atomic uint64_t batch_hist[16];
    _Atomic uint64_t corrupt_blocks, io_errors, log_collected, log_waits, log_wait_ns;
};

#define ENGINE_MAGIC 0x656e6731u
struct engine {
    unsigned magic;
    struct idx idx; /* the seams point into this struct */
    struct blobs blobs;
    struct engine_options o; /* defaults filled in */
    char dir[3000];
    int lock_fd;
    struct super super;
    struct log *log;
    struct view *view;
    struct cells *cells;
    struct extents *extents;
    struct blob_cache *cache;
    struct resolver *resolver; /* the leader's */
    _Atomic uint64_t visible;  /* newest applied sequence */
    /* Batches that changed cells; those of which it is decided whether they count; of these, taken back. */
    _Atomic uint64_t batches_begun, batches_decided, batches_taken_back;
    _Atomic uint64_t next_blob;
    _Atomic int state; /* enum engine_state */
    struct engine_counts counts;

    /* committer: q_lock guards what follows */
    struct rt_latch q_lock;
    struct list queue; /* of commit_req */
    bool leading;
    uint64_t next_ticket, turn; /* batches are applied in the order of their tickets */
    struct list turn_waiters;   /* of struct turn_wait */
    struct batch *spare_batches;
    struct list log_waiters; /* of parks: commits that wait for log space */

    /* live bytes of each extent file, as of the last assigned sequence; guarded by the lock of cells */
    uint64_t *live;
    size_t nlive;

    /* collection (collect.c), guarded by q_lock */
    bool collecting, closing;
    int64_t collect_after;     /* after a failed collection: not before */
    struct list close_waiters; /* of parks */
    struct archive *archive;   /* NULL when read-only */
    uint64_t segment_bytes;
    struct list spare_readers; /* of engine_blob.c, kept for reuse; the lock of cells */
    unsigned nspare_readers;
    struct spares spare_writers;
    size_t body_max; /* bodies up to this wait in memory until they are sealed */

    /* space (space.c) */
    _Atomic int64_t space_checked_ns;
    _Atomic uint64_t space_since; /* bytes written since */
    bool space_watched;
    _Atomic bool stuck; /* a commit that cannot be taken back waits for space: no other gets through */
    _Atomic int64_t stuck_said_ns;
    _Atomic bool ballast;
    _Atomic uint64_t disk_total, disk_avail;
};

static inline struct engine *engine_of_idx(struct idx *x)
{
    struct engine *e = CONTAINER(x, struct engine, idx);
    return e;
}
struct engine *engine_of(const struct store *s);

/* engine.c: the parts of opening that recovery uses too */
struct engine *engine_new(const struct engine_options *o, char why[512]);
err engine_make_memory(struct engine *e);
void engine_free(struct engine *e); /* what is NULL was never opened */

/* committer.c */
extern const struct idx_ops engine_idx_ops;
err committer_submit(struct engine *e, struct commit_req *r);
/* Ends all commits for good, with one clear line. */
void engine_fail(struct engine *e, const char *what, err why);
void committer_free(struct engine *e);

/* space.c */
/* May a commit go on? ERR_IO once failed; ERR_NO_SPACE while full, unless it gives back, or hides and half of
 * the reserve is left; and while another is stuck for want of space. */
enum space_need { SPACE_GIVES_BACK, SPACE_HIDES, SPACE_TAKES };
err space_admit(struct engine *e, enum space_need need);
void space_wrote(struct engine *e, uint64_t bytes); /* looks at the disk now and then */
void space_note_full(struct engine *e);             /* a write met ENOSPC */
bool space_release_ballast(struct engine *e);       /* false: it is gone already */
/* A step of a commit that cannot be taken back met ENOSPC: gives up the ballast, then waits a little. false:
 * do not try again (no fiber to wait in, or closing). space_unstuck once the step has succeeded. */
bool space_wait(struct engine *e);
void space_unstuck(struct engine *e);
void space_open(struct engine *e);
/* On a full disk opening needs some space: the ballast gives it. On a worker, locked, before anything is
 * written. */
void space_before_open(struct engine *e);

/* collect.c */
void collect_admit(struct engine *e);    /* waits while the log is far beyond its bound */
void collect_consider(struct engine *e); /* starts a collection when it is due */
/* With q_lock held, at the end of a background fiber: engine_close may wait for it. */
void engine_background_ended(struct engine *e);

/* apply.c */
bool apply_init(struct apply *a, struct engine *e);
void apply_free(struct apply *a);
/* One operation of commit seq, on cells and into the batch. *freed: the LOG_FREE that must be logged with it
 * (kind 0: none). */
err apply_op(struct apply *a, uint64_t seq, const struct log_op *op, struct log_op *freed);
/* The batch reached seq: adds live counts and the applied sequence. */
void apply_seal(struct apply *a, uint64_t seq);
/* After view_write: lets the cells go. */
void apply_release(struct apply *a);
/* undo.c: instead, before anything of the batch is in the view and with all earlier ones in it: cells and
 * live counts become again what the view says; commits from first_seq on are the batch's. */
err apply_undo(struct apply *a, uint64_t first_seq);
void engine_free_places(void *engine, const struct blob_places *p);

/* replay.c */
/* Bring the view to the log's end, restore counts, free again what was being freed. why on failure. */
err engine_replay(struct engine *e, bool clean, uint64_t clean_seq, char why[512]);
err engine_load_live(struct engine *e);
/* An extent that a scan found belongs to a blob that the table has there. */
bool engine_knows(struct engine *e, const struct extent_visit *v);
/* Commits of one record, with apply_op and one view write. from: sequences up to it are already in the view.
 */
err engine_apply_record(struct apply *a, const struct log_record *r, uint64_t from, struct arena *arena);

/* engine_blob.c */
extern const struct blob_ops engine_blob_ops;
/* The publication of a sealed writer as an operation of the log. */
void writer_log_op(const struct blob_writer *w, struct log_op *op);
void writer_published(struct blob_writer *w);
void readers_free(struct engine *e); /* the spare ones */
void writers_free(struct engine *e); /* the spare ones */

#endif
