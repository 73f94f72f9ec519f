#include "store/view_purge.h"
#include "store/view_calls.h"
#include "base/assert.h"
#include "base/log.h"
#include "rt/rt.h"
#include "sys/sys.h"

#include <stdatomic.h>

/* So many marks cost a scan about as much as a page of 1,000 keys. */
#define MARKS_MIN  2048u
#define GAP        64u  /* so many between two keys are worth to be taken away, however many keys follow */
#define SHARE      8u   /* compact where at least one in so many entries is a mark … */
#define ENTRY_SIZE 100u /* … when an entry takes this many bytes on disk, about */
/* What reaches the last level without being rewritten brings its marks along: rewrite it there. */
#define FORCE_OPTIMIZED 3 /* BottommostLevelCompaction::kForceOptimized; c.h has no name for it */
#define REST            2 /* rest for so many times as long as the last round took */

struct purge {
    rocksdb_t *db;
    struct rt_latch lock;
    struct dead dead;        /* lock; not yet compacted */
    struct dead_range found; /* lock; by scans; count 0: nothing */
    bool running, closing;
    _Atomic uint64_t rounds;

    /* the round under way: purge_fiber's and, while that waits, the worker's */
    struct dead_range range;
    bool exact; /* found by a scan: dense for sure */
    bool dense;
    uint64_t ns;
};

struct purge *purge_new(rocksdb_t *db)
{
    struct purge *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->db = db;
    return p;
}

static bool running(struct purge *p, bool close)
{
    rt_latch_lock(&p->lock);
    bool r = p->running;
    p->closing |= close;
    rt_latch_unlock(&p->lock);
    return r;
}

/* Returns when the compaction has ended. */
static void stop_compacting(void *arg)
{
    struct purge *p = arg;
    rocksdb_disable_manual_compaction(p->db);
}

void purge_stop(struct purge *p)
{
    if (!p) return;
    if (running(p, true)) rt_work("index-stop", stop_compacting, p);
    while (rt_fiber_self() && running(p, true)) rt_sleep(RT_MS);
}

void purge_free(struct purge *p)
{
    if (!p) return;
    free(p);
}

uint64_t purge_rounds(struct purge *p)
{
    return atomic_load(&p->rounds);
}

bool purge_idle(struct purge *p)
{
    return !running(p, false);
}

/* ---- one round ---- */

/* A few marks among many entries hurt no scan, and would cost a rewrite of them all. */
static bool is_dense(struct purge *p, const struct dead_range *r)
{
    const char *from[1] = {r->lo.p}, *to[1] = {r->hi.p};
    const size_t from_n[1] = {r->lo.n}, to_n[1] = {r->hi.n};
    uint64_t bytes = 0;
    char *msg = NULL;
    rocksdb_approximate_sizes(p->db, 1, from, from_n, to, to_n, &bytes, &msg);
    if (msg) {
        rocksdb_free(msg);
        return false;
    }
    return r->count * SHARE >= bytes / ENTRY_SIZE;
}

static void round_job(void *arg)
{
    struct purge *p = arg;
    const struct dead_range *r = &p->range;
    p->ns = 0;
    p->dense = p->exact || is_dense(p, r);
    if (!p->dense) return;
    uint64_t from = sys->mono_ns();
    char *msg = NULL;
    rocksdb_flushoptions_t *f = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(f, 1);
    rocksdb_flush(p->db, f, &msg);
    rocksdb_flushoptions_destroy(f);
    if (msg) { /* the engine meets the same error when it flushes for itself, and acts */
        LOG_WARN("the index was not compacted after deletions", LF_Z("message", msg));
        rocksdb_free(msg);
        return;
    }
    rocksdb_compactoptions_t *o = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(o, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(o, FORCE_OPTIMIZED);
    rocksdb_compact_range_opt(p->db, o, r->lo.p, r->lo.n, r->hi.p, r->hi.n);
    rocksdb_compactoptions_destroy(o);
    atomic_fetch_add(&p->rounds, 1);
    p->ns = sys->mono_ns() - from;
}

/* A range that is worth a look; a copy in *r, and its count begins anew. lock held. */
static bool next_range(struct purge *p, struct dead_range *r)
{
    struct dead *d = &p->dead;
    p->exact = p->found.count > 0;
    if (p->exact) {
        *r = p->found;
        p->found.count = 0;
        return true;
    }
    for (unsigned i = 0; i < d->n; i++) {
        if (d->r[i].count < MARKS_MIN || d->r[i].count < d->r[i].look) continue;
        *r = d->r[i];
        d->r[i] = d->r[--d->n];
        return true;
    }
    return false;
}

/* Too sparse for now: counted on, and looked at again when there are half as many more. */
static void put_back(struct purge *p, const struct dead_range *r)
{
    struct dead one = {.n = 1};
    one.r[0] = *r;
    rt_latch_lock(&p->lock);
    dead_merge(&p->dead, &one);
    for (unsigned i = 0; i < p->dead.n; i++)
        if (memcmp(p->dead.r[i].lo.p, r->lo.p, DEAD_PREFIX) == 0) p->dead.r[i].look = r->count / 2 * 3;
    rt_latch_unlock(&p->lock);
}

/* What scans found meanwhile was there before this round. */
static void forget_found(struct purge *p)
{
    rt_latch_lock(&p->lock);
    p->found.count = 0;
    rt_latch_unlock(&p->lock);
}

static bool closing(struct purge *p)
{
    rt_latch_lock(&p->lock);
    bool c = p->closing;
    rt_latch_unlock(&p->lock);
    return c;
}

static void purge_fiber(void *arg)
{
    struct purge *p = arg;
    rt_set_patient(true);
    for (;;) {
        rt_latch_lock(&p->lock);
        bool more = !p->closing && next_range(p, &p->range);
        if (!more) p->running = false;
        rt_latch_unlock(&p->lock);
        if (!more) break; /* *p may be gone */
        rt_work_long("index-purge", round_job, p);
        if (p->exact) forget_found(p);
        if (!p->dense) put_back(p, &p->range);
        for (int64_t until = rt_now() + (int64_t)p->ns * REST; rt_now() < until && !closing(p);)
            rt_sleep(20 * RT_MS);
    }
}

/* lock held; unlocks. */
static void consider(struct purge *p)
{
    bool start = p->found.count > 0;
    for (unsigned i = 0; i < p->dead.n; i++)
        start |= p->dead.r[i].count >= MARKS_MIN && p->dead.r[i].count >= p->dead.r[i].look;
    start = start && !p->running && !p->closing && rt_fiber_self();
    if (start) p->running = true;
    rt_latch_unlock(&p->lock);
    if (!start || rt_spawn(rt_self(), "index-purge", purge_fiber, p)) return;
    rt_latch_lock(&p->lock);
    p->running = false;
    rt_latch_unlock(&p->lock);
}

void purge_note(struct purge *p, struct dead *deleted)
{
    if (deleted->n == 0) return;
    rt_latch_lock(&p->lock);
    dead_merge(&p->dead, deleted);
    consider(p);
}

void purge_note_found(struct purge *p, const struct dead_range *found)
{
    if (found->count < MARKS_MIN) return;
    rt_latch_lock(&p->lock);
    if (found->count > p->found.count) p->found = *found;
    consider(p);
}

/* ---- what scans step over ---- */

void purge_meter_begin(struct purge_meter *m, struct str from)
{
    view_rocks_count_marks(true);
    m->seen = view_rocks_marks();
    m->found.count = 0;
    purge_meter_from(m, from);
}

void purge_meter_from(struct purge_meter *m, struct str key)
{
    m->last_n = key.n;
    if (key.n) memcpy(m->last, key.p, key.n);
}

void purge_meter_step(struct purge_meter *m, struct str key)
{
    uint64_t now = view_rocks_marks(), passed = now - m->seen;
    m->seen = now;
    if (passed >= GAP) {
        struct dead_range *f = &m->found;
        if (f->count == 0) dead_bound(f, false, str_of(m->last, m->last_n));
        dead_bound(f, true, key);
        f->count += passed;
        f->look = 0;
    }
    purge_meter_from(m, key);
}

void purge_meter_end(void)
{
    view_rocks_count_marks(false);
}
