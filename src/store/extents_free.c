/* Freeing: ranges wait in a queue, a fiber that lives while there are any sorts, merges and punches them, at
 * most half of the time, so that requests keep the disk. */
#include "store/extents_impl.h"
#include "base/array.h"
#include "base/log.h"

#include <errno.h>
#include <linux/falloc.h>

#define QUEUE_MAX ((size_t)1 << 20)    /* requests; beyond it the caller does the work */
#define PUNCH_MAX ((uint64_t)64 << 20) /* bytes a call */
#define BATCH_NS  (4 * RT_MS)
#define GATHER_NS (20 * RT_MS) /* before the first batch: neighbours die together */

/* ---- punching; on a worker ---- */

struct punch_job {
    struct ext_file *f;
    int fd;
    const struct ext_free *v;
    size_t n, done;
    int64_t until; /* start nothing after this; RT_FOREVER */
    int rc;
};

/* Without holes: destroy each head, so that a scan never takes the extent for alive. */
static int erase_heads(struct ext_file *f, int fd, uint64_t off, uint64_t end)
{
    static const unsigned char zeros[EXT_HEAD];
    unsigned char p[EXT_HEADER];
    while (off < end) {
        struct ext_head h;
        err e = sys_read_full(fd, p, sizeof p, off);
        if (e == ERR_CORRUPT) return 0; /* the end of the file */
        if (e) return -EIO;
        bool head = ext_head_decode(p, f->number, f->seed, off, &h) == ERR_OK;
        if (head && sys_write_full(fd, zeros, sizeof zeros, off) != ERR_OK) return -EIO;
        off += head && h.flags & EXT_F_SEALED ? h.disk_len : EXT_ALIGN;
    }
    return 0;
}

static int punch(struct ext_file *f, int fd, uint64_t off, uint64_t len)
{
    struct extents *x = f->x;
    int rc = 0;
    for (uint64_t end = off + len; off < end && atomic_load(&x->punches);) {
        uint64_t n = end - off < PUNCH_MAX ? end - off : PUNCH_MAX;
        do rc = sys->fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, n);
        while (rc == -EINTR);
        if (rc == -EOPNOTSUPP || rc == -ENOSYS) {
            if (atomic_exchange(&x->punches, false))
                LOG_WARN(
                    "the file system cannot punch holes: space returns when a whole extent file is dead");
            break;
        }
        if (rc < 0) return rc;
        off += n;
        len -= n;
    }
    return len ? erase_heads(f, fd, off, off + len) : 0;
}

static void punch_job(void *arg)
{
    struct punch_job *j = arg;
    j->rc = 0;
    do {
        j->rc = punch(j->f, j->fd, j->v[j->done].off, j->v[j->done].len);
        if (j->rc < 0) return;
        j->done++;
    } while (j->done < j->n && rt_now() < j->until);
}

/* ---- batches; drain_mu held ---- */

static int by_place(const void *a, const void *b)
{
    const struct ext_free *x = a, *y = b;
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    return x->off < y->off ? -1 : x->off > y->off;
}

/* Take what waits; sort; make one of neighbours. */
static void take_queue(struct extents *x)
{
    rt_mutex_lock(&x->mu);
    free(x->work);
    x->work = x->queue;
    x->nwork = x->nqueue;
    x->queue = NULL;
    x->nqueue = x->queue_cap = 0;
    atomic_store(&x->work_left, x->nwork);
    rt_mutex_unlock(&x->mu);
    if (x->nwork == 0) return;
    qsort(x->work, x->nwork, sizeof *x->work, by_place);
    size_t k = 0;
    for (size_t i = 1; i < x->nwork; i++) {
        struct ext_free *a = &x->work[k], *b = &x->work[i];
        if (a->file != b->file || a->off + a->len < b->off) {
            x->work[++k] = *b;
            continue;
        }
        if (b->off + b->len > a->off + a->len) a->len = b->off + b->len - a->off;
        a->count += b->count;
        a->pins += b->pins;
    }
    x->nwork = k + 1;
    atomic_store(&x->work_left, x->nwork);
}

/* v[0, n) of file f have been dealt with. */
static void account(struct extents *x, struct ext_file *f, const struct ext_free *v, size_t n)
{
    unsigned pins = 0, count = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        pins += v[i].pins;
        count += v[i].count;
        bytes += v[i].len;
    }
    atomic_fetch_sub(&x->work_left, n);
    atomic_fetch_add(&x->punched, n);
    atomic_fetch_add(&x->freed_bytes, bytes);
    rt_mutex_lock(&x->mu);
    f->frees -= count;
    if (f->frees == 0 && f->live == 0) atomic_store(&x->reap, true);
    rt_mutex_unlock(&x->mu);
    f->punched = true;
    ext_unpin(f, pins);
}

/* Some ranges of one file, until the time is up. */
static err drain_file(struct extents *x, int64_t until)
{
    const struct ext_free *v = x->work + (x->nwork - atomic_load(&x->work_left));
    size_t n = 1, left = atomic_load(&x->work_left);
    while (n < left && v[n].file == v[0].file) n++;
    struct ext_file *f = ext_file_get(x, v[0].file);
    ASSERT(f); /* a file with frees queued is not removed */
    struct punch_job j = {.f = f, .v = v, .n = n, .until = until};
    err e = ext_fd_get(f, &j.fd);
    if (!e) {
        rt_work_long("extent punch", punch_job, &j);
        ext_fd_put(f);
        account(x, f, v, j.done);
        if (j.rc < 0) e = ext_io_error(x, j.rc, "punch", f->number, v[j.done].off);
    }
    ext_file_put(f);
    return e;
}

/* What was taken; when that is done and more waits, that. */
static err drain(struct extents *x, int64_t until)
{
    if (atomic_load(&x->work_left) == 0) take_queue(x);
    err e = ERR_OK;
    while (!e && atomic_load(&x->work_left) && rt_now() < until) e = drain_file(x, until);
    return e;
}

/* All that waits at the time of the call. */
static err drain_all(struct extents *x)
{
    err e = drain(x, RT_FOREVER);
    if (!e) e = drain(x, RT_FOREVER);
    return e;
}

/* ---- the background fiber ---- */

static void puncher(void *arg)
{
    struct extents *x = arg;
    rt_set_patient(true);
    rt_sleep(GATHER_NS);
    for (;;) {
        rt_mutex_lock(&x->mu);
        if (x->closing || (x->nqueue == 0 && atomic_load(&x->work_left) == 0)) {
            x->puncher = false;
            rt_cond_broadcast(&x->puncher_cond); /* close may go on: x is not touched after the unlock */
            rt_mutex_unlock(&x->mu);
            return;
        }
        rt_mutex_unlock(&x->mu);
        int64_t began = rt_now();
        rt_mutex_lock(&x->drain_mu);
        err e = drain(x, began + BATCH_NS);
        if (!e && atomic_load(&x->work_left) == 0) ext_reap(x);
        rt_mutex_unlock(&x->drain_mu);
        int64_t spent = rt_now() - began;
        rt_sleep(e ? RT_SEC : spent < RT_MS ? RT_MS : spent);
    }
}

/* ---- queueing ---- */

static void wake_puncher(struct extents *x)
{
    if (!rt_self() || !rt_fiber_self())
        return; /* start-up: the first free from a fiber starts it, or settle drains */
    rt_mutex_lock(&x->mu);
    bool start = !x->puncher && !x->closing;
    if (start) x->puncher = true;
    rt_mutex_unlock(&x->mu);
    if (!start || rt_spawn(rt_self(), "extent punch", puncher, x)) return;
    rt_mutex_lock(&x->mu);
    x->puncher = false; /* at the cap of fibers: the next free tries again */
    rt_cond_broadcast(&x->puncher_cond);
    rt_mutex_unlock(&x->mu);
}

/* mu held. */
static bool push(struct extents *x, const struct ext_free *r)
{
    if (!array_grow(&x->queue, &x->queue_cap, x->nqueue + 1, sizeof *x->queue, SIZE_MAX)) return false;
    x->queue[x->nqueue++] = *r;
    return true;
}

void ext_free_range(struct ext_file *f, uint64_t off, uint64_t len, bool keep_pin)
{
    struct extents *x = f->x;
    struct ext_free r = {f->number, 1, keep_pin ? 1 : 0, off, len};
    ASSERT(!x->read_only && off >= EXT_START && off % EXT_ALIGN == 0 && len % EXT_ALIGN == 0 && len > 0);
    rt_mutex_lock(&x->mu);
    f->frees++;
    bool queued = push(x, &r), full = x->nqueue >= QUEUE_MAX;
    rt_mutex_unlock(&x->mu);
    if (queued && !full) {
        wake_puncher(x);
        return;
    }
    rt_mutex_lock(&x->drain_mu);
    if (full) drain_all(x); /* on an error the ranges stay queued */
    if (!queued) {          /* memory is out: do it now; what fails here is found by check */
        int fd;
        if (ext_fd_get(f, &fd) == ERR_OK) {
            struct punch_job j = {.f = f, .fd = fd, .v = &r, .n = 1, .until = RT_FOREVER};
            rt_work_long("extent punch", punch_job, &j);
            ext_fd_put(f);
        }
        atomic_fetch_add(&x->work_left, 1);
        account(x, f, &r, 1);
    }
    rt_mutex_unlock(&x->drain_mu);
}

static void free_place(struct extents *x, const struct extent_place *p, bool counted)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    struct ext_file *f = ext_file_get(x, p->file);
    if (!f) return; /* gone with its file */
    rt_mutex_lock(&x->alloc_mu);
    uint64_t end = f->cursor;
    rt_mutex_unlock(&x->alloc_mu);
    bool valid = p->offset >= EXT_START && p->offset % EXT_ALIGN == 0 && p->disk_len % EXT_ALIGN == 0 &&
                 p->disk_len > 0 && p->offset <= end && p->disk_len <= end - p->offset;
    if (valid) {
        if (counted) ext_count_live(f, -(int64_t)p->disk_len);
        ext_free_range(f, p->offset, p->disk_len, false);
    } else {
        LOG_ERROR("extent to free lies outside of its file", LF_U("file", p->file), LF_U("offset", p->offset),
                  LF_U("length", p->disk_len));
    }
    ext_file_put(f);
}

void extents_free_place(struct extents *x, const struct extent_place *p)
{
    free_place(x, p, true);
}

void extents_free_unknown(struct extents *x, const struct extent_place *p)
{
    free_place(x, p, false);
}

/* ---- settling ---- */

err extents_settle_frees(struct extents *x)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    ASSERT(!x->read_only);
    rt_mutex_lock(&x->drain_mu);
    err e = drain_all(x);
    if (!e) e = ext_sync_punched(x);
    if (!e) {
        ext_reap(x);
        e = ext_sync_names(x);
    }
    rt_mutex_unlock(&x->drain_mu);
    return e;
}

size_t ext_queued_pins(const struct extents *x)
{
    size_t n = 0, left = atomic_load(&x->work_left);
    for (size_t i = 0; i < x->nqueue; i++) n += x->queue[i].pins;
    for (size_t i = x->nwork - left; i < x->nwork; i++) n += x->work[i].pins;
    return n;
}

static void drop(struct extents *x, const struct ext_free *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct ext_file *f = ext_file_get(x, v[i].file);
        ASSERT(f);
        if (v[i].pins) f->leftover = true;
        ext_unpin(f, v[i].pins);
        ext_file_put(f);
    }
}

void ext_free_drop_all(struct extents *x)
{
    size_t left = atomic_load(&x->work_left);
    if (left) drop(x, x->work + (x->nwork - left), left);
    drop(x, x->queue, x->nqueue);
    free(x->work);
    free(x->queue);
}
