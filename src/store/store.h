/* store: what holds both seams, opened on a data directory or in memory. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "store/blob.h"
#include "store/index.h"

struct store {
    struct idx *idx;
    struct blobs *blobs;
};

/* In memory: everything is lost at close; the reference implementation that the engine is compared with. */
err store_memory_new(struct store *out, uint64_t capacity_bytes /* 0: unlimited */);
void store_memory_free(struct store *s);

/* Human-readable lines of what a store does as it opens, checks or recovers; NULL callbacks are quiet. */
struct store_progress {
    void (*fn)(void *arg, const char *phase, uint64_t done, uint64_t total, const char *unit);
    void *arg;
};

/* The engine on a data directory: commit log, RocksDB view, extents. See store/README.md and docs/format/. */
struct engine_options {
    const char *dir;
    size_t index_cache;         /* bytes of RocksDB block cache; 0: 64 MiB */
    size_t blob_cache;          /* bytes of verified small blobs kept in memory; 0: 32 MiB */
    size_t inline_max;          /* bodies up to this ride in the log; 0: as measured */
    uint64_t log_bytes;         /* log space before collection must have freed some; 0: 256 MiB */
    uint64_t segment_bytes;     /* of the log's files; 0: as measured (tests lower it) */
    uint64_t archive_bytes;     /* beyond it (and twice the index) a snapshot replaces it; 0: 64 MiB */
    uint64_t extent_file_bytes; /* an extent file is full here; 0: 1 GiB */
    size_t index_buffer;        /* RocksDB's write buffer; 0: 16 MiB */
    struct store_progress progress;
    bool read_only; /* check without repair: opens without replay into the view being kept */
};
/* why receives one clear line on failure ("data directory ./data is in use by process 4711; stop it or choose
 * another
 * --data"). Call before rt_run or from a fiber; background work starts with rt_run. */
err engine_open(const struct engine_options *o, struct store *out, char why[512]);
/* Flush, stop background work, release the lock. From a fiber, or after rt_run returned. */
void engine_close(struct store *s);

enum engine_state {
    ENGINE_OK,
    ENGINE_FULL /* reads go on, writes 507 */,
    ENGINE_FAILED /* a flush failed: stop */
};
enum engine_state engine_state(const struct store *s);
struct engine_stats {
    uint64_t commits, batches, batch_max, commit_bytes, conflicts, flushes;
    uint64_t queue_depth, queue_peak;
    uint64_t commit_ns_sum;  /* wait of callers */
    uint64_t batch_hist[16]; /* commits per batch: 1, 2, 4, … 32768 */
    uint64_t log_bytes, log_segments, log_collected;
    uint64_t extent_files, extent_bytes, live_bytes, freed_bytes;
    uint64_t blob_cache_bytes, blob_cache_hits, blob_cache_misses;
    uint64_t corrupt_blocks, io_errors, write_stalls, write_stall_ns;
    uint64_t log_waits, log_wait_ns; /* commits that waited for room in the log */
    uint64_t disk_total, disk_avail, seq;
};
void engine_get_stats(const struct store *s, struct engine_stats *out);

/* ---- offline tools (server not running: they take the same lock) ---- */
struct check_options {
    const char *dir;
    bool repair, deep; /* deep: read and verify every byte, else structure and references */
    struct store_progress progress;
    /* The layer above resolves what records mean: called for each index entry, it reports every blob
     * reference (id, length it expects) by ref(), and counters by count(). Returns false if the record does
     * not decode. */
    bool (*entry)(void *arg, struct str key, struct str value,
                  void (*ref)(void *ctx, uint64_t blob, uint64_t min_size),
                  void (*count)(void *ctx, struct str counter_key, unsigned i, int64_t delta), void *ctx);
    void *arg;
};
struct check_report {
    uint64_t entries, blobs, bytes_verified;
    uint64_t bad_records, missing_blobs, corrupt_blobs, wrong_refcounts, unreferenced_blobs,
        unreferenced_bytes, wrong_counters, log_errors;
    uint64_t repaired;
    struct buf lines; /* one line a finding, bounded to 10,000 */
};
err engine_check(const struct check_options *o, struct check_report *out, char why[512]);

/* The new index, for the layer above to put what its other entries need. Values live in the arena. Nothing
 * may be put during a scan. say: one line of the report. */
struct recover_edit {
    err (*get)(void *ctx, struct arena *a, struct str key, struct str *value); /* ERR_NOT_FOUND */
    err (*scan)(void *ctx, const struct idx_range *r, idx_scan_fn *fn, void *arg);
    err (*put)(void *ctx, struct str key, struct str value);
    void (*say)(void *ctx, const char *line);
    void *ctx;
};
struct recover_options {
    const char *dir;
    struct store_progress progress;
    /* As in check_options: after damage, references and counters are counted again, and what extents say of
     * their owner is judged. */
    bool (*entry)(void *arg, struct str key, struct str value,
                  void (*ref)(void *ctx, uint64_t blob, uint64_t min_size),
                  void (*count)(void *ctx, struct str counter_key, unsigned i, int64_t delta), void *ctx);
    /* After commits were lost, once extents gave back what they have: entries that others depend on are made
     * again. May be NULL. */
    err (*mend)(void *arg, const struct recover_edit *ed);
    /* An entry that extents gave back, whose key another entry has: where it belongs beside that one, with
     * the same value. false: nowhere. May be NULL. */
    bool (*beside)(void *arg, struct str key, struct str value, char out[IDX_KEY_MAX], size_t *n);
    void *arg;
};
struct recover_report {
    uint64_t log_records;             /* commits applied from archive and log, beside those in the snapshot */
    uint64_t extents, entries, blobs; /* of the new index */
    uint64_t lost_records;            /* commits that are nowhere, and bodies that were lost with the log */
    uint64_t lost_blobs;              /* that the new index names, and whose bytes are not whole on disk */
    uint64_t salvaged;                /* entries that extents gave back */
    struct buf lines;
};
/* Rebuild the index from archive, log and extents alone, beside the old one, which is set aside as
 * index.old-<time>. With archive and log whole the result is what the index was, and nothing deleted comes
 * back. Where they have holes, the old index helps if it is whole, then extents; what was lost and what was
 * salvaged is said, and a log that the server would refuse is set aside as log.old-<time>. May be repeated
 * after a crash at any moment. */
err engine_recover(const struct recover_options *o, struct recover_report *out, char why[512]);

#endif
