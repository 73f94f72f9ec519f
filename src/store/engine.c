/* The engine's life: opened on a data directory, closed; its state and figures. */
#include "base/assert.h"
#include "base/log.h"
#include "store/engine_int.h"
#include "sys/sys.h"

#include <errno.h>

struct engine *engine_of(const struct store *s)
{
    struct engine *e = engine_of_idx(s->idx);
    CHECK_MAGIC(e, ENGINE_MAGIC);
    return e;
}

static void set_defaults(struct engine *e, const struct engine_options *o)
{
    e->o = *o;
    if (!e->o.index_cache) e->o.index_cache = ENGINE_INDEX_CACHE;
    if (!e->o.blob_cache) e->o.blob_cache = ENGINE_BLOB_CACHE;
    if (!e->o.inline_max) e->o.inline_max = ENGINE_INLINE_MAX;
    if (e->o.inline_max > EXTENT_SMALL_MAX) e->o.inline_max = EXTENT_SMALL_MAX;
    e->body_max = e->o.inline_max > ENGINE_BODY_MAX ? e->o.inline_max : ENGINE_BODY_MAX;
    if (!e->o.log_bytes) e->o.log_bytes = ENGINE_LOG_BYTES;
    if (!e->o.archive_bytes) e->o.archive_bytes = ENGINE_ARCHIVE_BYTES;
    e->segment_bytes = o->segment_bytes ? log_align(o->segment_bytes) : ENGINE_SEGMENT_BYTES;
    e->o.dir = e->dir;
}

struct engine *engine_new(const struct engine_options *o, char why[512])
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->magic = ENGINE_MAGIC;
    e->lock_fd = -1;
    e->idx.ops = &engine_idx_ops;
    e->blobs.ops = &engine_blob_ops;
    list_init(&e->queue);
    list_init(&e->turn_waiters);
    list_init(&e->log_waiters);
    list_init(&e->close_waiters);
    list_init(&e->spare_readers);
    e->spare_writers = (struct spares)SPARES_NONE;
    int n = snprintf(e->dir, sizeof e->dir, "%s", o->dir);
    if (n > 0 && (size_t)n < sizeof e->dir) {
        set_defaults(e, o);
        return e;
    }
    snprintf(why, 512, "the path of the data directory is empty or too long");
    free(e);
    return NULL;
}

void engine_free(struct engine *e)
{
    readers_free(e);
    writers_free(e);
    committer_free(e);
    cells_free(e->cells);
    view_close(e->view);
    archive_close(e->archive);
    if (e->extents) extents_close(e->extents);
    log_close(e->log);
    resolver_free(e->resolver);
    blob_cache_free(e->cache);
    free(e->live);
    super_unlock(e->lock_fd);
    e->magic = 0;
    free(e);
}

/* ---- opening ---- */

/* Or may exist: only "there is no such name" says that it does not. */
static bool path_exists(const struct engine *e, const char *name)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", e->dir, name);
    return sys->stat(path, &st) != -ENOENT;
}

/* Who we are: the superblock of this directory, or a new one for a directory that never was a store. */
static err open_super(struct engine *e, bool *fresh, char why[512])
{
    err r = super_load(e->dir, !e->o.read_only, &e->super, why);
    if (r != ERR_NOT_FOUND) return r;
    if (e->o.read_only || path_exists(e, "log") || path_exists(e, "index") || path_exists(e, "extents")) {
        snprintf(why, 512,
                 "%.200s has no ingot.super: it is not a data directory, or was damaged (then: ingot recover "
                 "--data %.150s)",
                 e->dir, e->dir);
        return ERR_CORRUPT;
    }
    *fresh = true;
    sys->random(e->super.store_id, sizeof e->super.store_id);
    e->super.created_ms = sys->real_ms();
    return ERR_OK;
}

struct open_job {
    struct engine *e;
    bool fresh, clean;
    uint64_t clean_seq;
    char *why;
    err r;
};

err engine_make_memory(struct engine *e)
{
    e->cells = cells_new(e->view, engine_free_places, e);
    e->cache = blob_cache_new(e->o.blob_cache);
    e->resolver = resolver_new();
    return e->cells && e->cache && e->resolver ? ERR_OK : ERR_NO_MEMORY;
}

/* What blocks, on a worker. The new epoch is durable before anything is written under it. */
static void open_files(void *arg)
{
    struct open_job *j = arg;
    struct engine *e = j->e;
    char index[4096];
    snprintf(index, sizeof index, "%s/index", e->dir);
    if (!e->o.read_only && (j->r = sys_mkdirs(e->dir, 0700))) {
        snprintf(j->why, 512, "cannot make the data directory %.300s: %s", e->dir, err_name(j->r));
        return;
    }
    j->r = super_lock(e->dir, &e->lock_fd, j->why);
    if (!j->r && !e->o.read_only) space_before_open(e);
    if (!j->r) j->r = open_super(e, &j->fresh, j->why);
    if (j->r) return;
    j->clean_seq = e->super.clean_seq;
    j->clean = j->clean_seq > 0;
    e->super.clean_seq = 0;
    e->super.epoch++;
    if (!e->o.read_only) j->r = super_save(e->dir, &e->super, j->why);
    struct view_options vo = {
        .dir = index, .cache = e->o.index_cache, .buffer = e->o.index_buffer, .discard = e->o.read_only};
    if (!j->r) j->r = view_open(&vo, &e->view, j->why);
    struct log_options lo = {.dir = e->dir,
                             .epoch = e->super.epoch,
                             .segment_bytes = e->segment_bytes,
                             .read_only = e->o.read_only};
    memcpy(lo.store_id, e->super.store_id, sizeof lo.store_id);
    if (!j->r) j->r = log_open(&lo, &e->log, j->why);
    if (!j->r && !e->o.read_only) j->r = archive_open(e->dir, e->super.store_id, &e->archive, j->why);
    if (!j->r) j->r = engine_make_memory(e);
}

static void extents_flush_failed(void *engine)
{
    engine_fail(engine, "flush an extent file", ERR_IO);
}

err engine_open(const struct engine_options *o, struct store *out, char why[512])
{
    snprintf(why, 512, "out of memory");
    struct engine *e = engine_new(o, why);
    if (!e) return ERR_NO_MEMORY;
    struct open_job j = {.e = e, .why = why};
    rt_work("store-open", open_files, &j);
    struct extents_options xo = {.dir = e->dir,
                                 .read_only = o->read_only,
                                 .file_max = o->extent_file_bytes,
                                 .extent_max = o->extent_file_bytes / 4,
                                 .flush_failed = extents_flush_failed,
                                 .arg = e};
    if (!j.r) j.r = extents_open(&xo, &e->extents, why);
    if (!j.r) j.r = engine_replay(e, j.clean, j.clean_seq, why);
    if (j.r) {
        engine_free(e);
        return j.r;
    }
    if (!o->read_only) space_open(e);
    if (!o->read_only && rt_fiber_self()) log_prepare_next(e->log);
    *out = (struct store){&e->idx, &e->blobs};
    return ERR_OK;
}

/* ---- closing ---- */

void engine_background_ended(struct engine *e)
{
    if (!e->closing || e->collecting || e->space_watched) return;
    for (struct list *w; (w = list_pop(&e->close_waiters));) park_wake(CONTAINER(w, struct park, link));
}

static void wait_for_background(struct engine *e)
{
    struct park p;
    rt_latch_lock(&e->q_lock);
    e->closing = true;
    bool wait = (e->collecting || e->space_watched) && rt_fiber_self();
    if (wait) {
        park_init(&p);
        list_append(&e->close_waiters, &p.link);
    }
    rt_latch_unlock(&e->q_lock);
    if (!wait) return;
    park_wait(&p);
    rt_latch_lock(&e->q_lock); /* who woke us has let go, too: the engine's memory goes next */
    rt_latch_unlock(&e->q_lock);
}

static void close_files(void *arg)
{
    engine_free(arg);
}

static void save_clean(void *arg)
{
    struct engine *e = arg;
    char why[512];
    e->super.clean_seq = atomic_load(&e->visible);
    if (super_save(e->dir, &e->super, why)) LOG_WARN("the next start will take longer", LF_Z("reason", why));
}

/* Closed in order when the view is on disk and every free is done; anything else is what a crash would leave.
 */
void engine_close(struct store *s)
{
    struct engine *e = engine_of(s);
    wait_for_background(e);
    view_stop(e->view);
    bool busy = e->collecting || extents_busy(e->extents);
    if (!e->o.read_only && !busy && atomic_load(&e->state) != ENGINE_FAILED) {
        err r = view_flush(e->view);
        if (!r) r = extents_settle_frees(e->extents);
        if (!r) rt_work("store-close", save_clean, e);
    }
    /* The runtime may have ended in the middle of background work: what that fiber holds is never given back,
     * and the next start goes on from what is on disk. */
    if (!busy) extents_close(e->extents);
    e->extents = NULL;
    rt_work("store-close", close_files, e);
    *s = (struct store){NULL, NULL};
}

/* ---- figures ---- */

enum engine_state engine_state(const struct store *s)
{
    return (enum engine_state)atomic_load(&engine_of(s)->state);
}

void engine_get_stats(const struct store *s, struct engine_stats *out)
{
    struct engine *e = engine_of(s);
    struct engine_counts *c = &e->counts;
    struct log_stats log;
    struct extents_stats x;
    struct blob_cache_stats cache;
    struct view_stats view;
    log_get_stats(e->log, &log);
    extents_get_stats(e->extents, &x);
    blob_cache_get_stats(e->cache, &cache);
    view_get_stats(e->view, &view);
    *out = (struct engine_stats){
        .commits = atomic_load(&c->commits),
        .batches = atomic_load(&c->batches),
        .batch_max = atomic_load(&c->batch_max),
        .commit_bytes = atomic_load(&c->commit_bytes),
        .conflicts = atomic_load(&c->conflicts),
        .flushes = log.flushes + x.flushes,
        .queue_depth = atomic_load(&c->queue_depth),
        .queue_peak = atomic_load(&c->queue_peak),
        .commit_ns_sum = atomic_load(&c->commit_ns_sum),
        .log_bytes = log.bytes,
        .log_segments = log.segments,
        .log_collected = atomic_load(&c->log_collected),
        .extent_files = x.files,
        .extent_bytes = x.bytes,
        .live_bytes = x.live,
        .freed_bytes = x.freed_bytes,
        .blob_cache_bytes = cache.bytes,
        .blob_cache_hits = cache.hits,
        .blob_cache_misses = cache.misses,
        .corrupt_blocks = atomic_load(&c->corrupt_blocks),
        .io_errors = atomic_load(&c->io_errors) + x.io_errors + view.errors,
        .write_stalls = view.stalls,
        .write_stall_ns = view.stall_ns,
        .log_waits = atomic_load(&e->counts.log_waits),
        .log_wait_ns = atomic_load(&e->counts.log_wait_ns),
        .disk_total = atomic_load(&e->disk_total),
        .disk_avail = atomic_load(&e->disk_avail),
        .seq = atomic_load(&e->visible),
    };
    for (unsigned i = 0; i < 16; i++) out->batch_hist[i] = atomic_load(&c->batch_hist[i]);
}
