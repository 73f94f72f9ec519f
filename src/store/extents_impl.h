/* extents_impl: what the parts of extents share. Parts: extents.c (open, counts), extents_file.c (table of
 * files), extents_alloc.c (making files, placing extents), extents_io.c (writes, flushes), extents_fd.c
 * (descriptors for reading), extents_write.c, extents_many.c, extents_pack.c, extents_read.c, extents_free.c,
 * extents_reap.c, extents_walk.c, extents_scan.c.
 *
 * Locks, taken in this order: drain_mu (one freeing batch at a time), alloc_mu (append positions and making
 * of files; held across the making), mu (table of files, descriptors, counts; never held across I/O), a
 * file's flush_mu (never across I/O).
 */
#ifndef STORE_EXTENTS_IMPL_H
#define STORE_EXTENTS_IMPL_H

#include "base/assert.h"
#include "rt/rt.h"
#include "store/extents.h"
#include "store/extents_format.h"
#include "sys/sys.h"

#include <stdatomic.h>

#define EXTENTS_MAGIC 0x45585453u
#define EXTFILE_MAGIC 0x45584649u
#define WRITER_MAGIC  0x45585752u

#define EXT_AHEAD_MIN   ((uint64_t)1 << 20)   /* space asked for at once in a file of small extents: … */
#define EXT_AHEAD_MAX   ((uint64_t)16 << 20)  /* … as much as it holds already, within these */
#define EXT_SMALL_FILE  ((uint64_t)256 << 20) /* a file of small extents is full here, or at file_max */
#define EXT_SPARE_MAX   32                    /* buffers kept for reuse */
#define EXT_SPARE_BYTES ((size_t)16 << 20)

struct ext_file {
    uint32_t magic, number;
    struct extents *x;
    unsigned refs; /* mu; freed when dead and 0 */
    bool dead;     /* mu; out of the table */

    /* the header; set by open, or by the first descriptor */
    enum ext_class cls;
    uint64_t seed;
    int64_t created_ms;
    bool headed; /* the header was read and is valid */
    bool tail;   /* was not final at open: a crash may have left something */

    /* appending: alloc_mu */
    uint64_t cursor;
    uint64_t allocated; /* small extents: space was asked for up to here */
    bool active;
    int wfd;               /* -1 unless active or pinned */
    _Atomic unsigned pins; /* extents being written or not yet published or abandoned */
    bool leftover;         /* it may hold what nothing refers to, for the next start to sweep: never final */
    _Atomic bool failed;   /* a flush failed: nothing is ever written here again */
    _Atomic bool retire;   /* a write failed: take another file for the next extent */

    /* group flush: flush_mu */
    struct rt_mutex flush_mu;
    struct rt_cond flush_cond;
    uint64_t flush_want, flush_done;
    bool flushing;
    err flush_err;

    /* descriptor: mu */
    int fd;
    unsigned fd_refs;
    bool fd_opening;
    struct list lru;

    /* counts: mu */
    int64_t live; /* below 0 while a free overtakes the keep of its extent */
    bool live_known;
    unsigned frees; /* requests queued, not yet done */
    bool punched;   /* done, not yet durable: drain_mu */
    err settle_err; /* a flush after freeing failed: never asked again; drain_mu */
};

struct ext_free {
    uint32_t file;
    unsigned count; /* requests that this range was merged of */
    unsigned pins; /* of abandoned writers: held until the hole is there, so that the file is not yet final */
    uint64_t off, len;
};

struct extents {
    uint32_t magic;
    bool read_only;
    _Atomic bool direct, fallocates, punches; /* what the file system can do, as far as known */
    char dir[480];                            /* DIR/extents */
    uint64_t file_max, extent_max, memory_max;
    size_t buffer; /* data of a streaming writer */
    unsigned fds_max;
    void (*flush_failed)(void *arg);
    void *arg;

    struct rt_mutex alloc_mu;
    struct ext_file *active[EXT_CLASSES];

    struct rt_mutex mu;
    struct ext_file **files; /* ascending by number */
    size_t nfiles, files_cap;
    uint32_t newest;     /* the highest number ever seen */
    unsigned fds;        /* open or opening */
    struct list fd_idle; /* least recently used first */
    struct rt_cond fd_cond;
    struct ext_spare {
        void *p;
        size_t size;
    } spare[EXT_SPARE_MAX];
    unsigned nspare;
    size_t spare_bytes;

    /* small blobs that wait for one another: extents_pack.c */
    struct rt_mutex pack_mu;
    struct rt_cond pack_cond;
    struct list pack_queue;
    unsigned packers;

    struct rt_sem memory; /* bytes that writers may still take */
    _Atomic uint64_t memory_used;

    /* freeing */
    struct rt_mutex drain_mu;
    struct ext_free *queue; /* mu: waiting */
    size_t nqueue, queue_cap;
    struct ext_free *work; /* drain_mu: taken from queue, sorted, merged */
    size_t nwork;
    _Atomic size_t work_left;
    bool puncher, closing; /* mu */
    struct rt_cond puncher_cond;
    bool dir_dirty; /* drain_mu: a name was removed since the last settle */
    _Atomic bool reap;

    _Atomic uint64_t freed_bytes, punched, flushes, flush_waiters, corrupt, io_errors;
};

/* ---- extents.c ---- */
void ext_path(const struct extents *x, uint32_t number, char out[512]);
err ext_io_error(struct extents *x, int rc, const char *what, uint32_t file,
                 uint64_t off); /* counts, logs, maps */

void ext_count_live(struct ext_file *f, int64_t change);

/* ---- extents_file.c ---- */
struct ext_file *ext_file_get(struct extents *x, uint32_t number); /* a reference, or NULL */
void ext_file_put(struct ext_file *f);
struct ext_file *ext_file_find(const struct extents *x, uint32_t number); /* mu held; no reference; or NULL */
bool ext_file_unref(struct ext_file *f); /* mu held; true: the last one, to be freed after mu */
void ext_file_free(struct ext_file *f);
err ext_file_add(struct extents *x, uint32_t number,
                 struct ext_file **out); /* into the table, one reference (the table's) */
/* Out of the table, its descriptor closed: nothing finds it any more. false: it is being read, or may, asked
 * under mu, says no (NULL: not asked). */
bool ext_file_drop(struct ext_file *f, bool (*may)(const struct ext_file *f));
/* Reads the header (either copy): seed, class, tail. ERR_CORRUPT when neither is valid. Blocks: worker or
 * start-up. */
err ext_file_load(struct ext_file *f, int fd);

/* ---- extents_alloc.c ---- */
/* A stretch of len bytes in an active file of this class, pinned and referenced; ERR_NO_SPACE, ERR_IO. */
err ext_reserve(struct extents *x, enum ext_class c, uint64_t len, struct ext_file **f, uint64_t *off);
/* [off + used, off + len) was never written: the next extent may begin there. false: others came behind it.
 */
bool ext_give_back(struct ext_file *f, uint64_t off, uint64_t used, uint64_t len);
void ext_pin_more(struct ext_file *f, unsigned n); /* for one who holds a pin: more of the same */
void ext_unpin(struct ext_file *f,
               unsigned n);               /* drops them; the last writer of a retired file makes it final */
void ext_close_active(struct extents *x); /* at close: cut unused ends, close */

/* ---- extents_io.c ---- */
/* Make what was written to f durable, together with all others that wait for it. */
err ext_flush(struct ext_file *f);
/* One job on a worker: ask for space (fallocate, unless prealloc is 0), then write up to three runs, whole;
 * neighbours go out in one call. */
struct ext_write {
    struct ext_file *f;
    uint64_t off, prealloc;
    struct {
        const void *p;
        size_t n;
        uint64_t off;
    } run[3];
    int nruns;
    int rc; /* out: 0 or -errno */
};
err ext_write_runs(struct ext_write *w);         /* fiber */
err ext_write_result(const struct ext_write *w); /* what ext_write_job left, logged and mapped */
void ext_write_job(void *ext_write);             /* worker: sets rc */
/* fallocate; 0 also where the file system cannot. Worker. */
int ext_ask_space(struct ext_file *f, uint64_t off, uint64_t len);

/* ---- extents_fd.c ---- */
err ext_fd_get(struct ext_file *f,
               int *fd); /* for reading (and punching unless read_only); put back after use */
void ext_fd_put(struct ext_file *f);
/* A reference and a descriptor at once, for every read takes them. NULL: no such file. With *e set *fd is -1;
 * the reference is there all the same. */
struct ext_file *ext_fd_begin(struct extents *x, uint32_t number, int *fd, err *e);
void ext_fd_end(struct ext_file *f, int fd);

/* ---- buffers: extents.c ---- */
size_t ext_buf_size(size_t n);                      /* n or some more: what take and give go by */
void *ext_buf_take(struct extents *x, size_t size); /* page-aligned; NULL: memory is out */
void ext_buf_give(struct extents *x, void *p, size_t size);

/* ---- extents_free.c ---- */
/* Queue. keep_pin: the caller's pin of f passes to the queue. */
void ext_free_range(struct ext_file *f, uint64_t off, uint64_t len, bool keep_pin);
void ext_free_drop_all(struct extents *x);       /* at close */
size_t ext_queued_pins(const struct extents *x); /* of frees that wait; after rt_run returned */

/* ---- extents_reap.c: drain_mu held ---- */
err ext_sync_punched(struct extents *x);
err ext_sync_names(struct extents *x);
void ext_reap(struct extents *x);

/* ---- extents_walk.c ---- */
/* Steps through a file from extent to extent, and page by page where there is none. */
enum ext_step {
    EXT_STEP_END,
    EXT_STEP_SEALED, /* head is valid; the next step begins behind the extent */
    EXT_STEP_OPEN,   /* head is valid; the next step begins behind the head: what it claims may be anything */
    EXT_STEP_CUT,   /* head is valid, but the file ends before its extent; the next step is behind the head */
    EXT_STEP_ZERO,  /* [at, next): zeros or a hole */
    EXT_STEP_JUNK,  /* [at, next): anything else */
    EXT_STEP_ERROR, /* [at, next): cannot be read now: it may be the head of something alive */
};
struct ext_walk {
    struct ext_file *f;
    int fd;
    uint64_t size, at, next;
    struct ext_head head;
    unsigned char *win;
    uint64_t win_off;
    size_t win_len;
};
err ext_walk_begin(struct ext_walk *w, struct ext_file *f); /* holds a descriptor until the end */
err ext_walk_step(struct ext_walk *w, enum ext_step *step);
/* The meta of the sealed extent just met: a view of the window, or *heap, to be freed. ERR_CORRUPT. */
err ext_walk_meta(struct ext_walk *w, unsigned char **heap, const unsigned char **meta);
void ext_walk_end(struct ext_walk *w);

#endif
