/* What the engine's tests share: a data directory, fibers side by side, damage, a disk with a quota. */
#ifndef CONFORMANCE_STORE_ENGINE_H
#define CONFORMANCE_STORE_ENGINE_H

#include "base/assert.h"
#include "rt/rt.h"
#include "store/engine_int.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

static char engine_dir[64];

static inline int engine_remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static inline void engine_dir_make(void)
{
    snprintf(engine_dir, sizeof engine_dir, "/tmp/ingot-engine-XXXXXX");
    ASSERT(mkdtemp(engine_dir));
}

/* In memory where there is room: for tests of very many commits that are not about durability. */
static inline bool engine_dir_make_fast(void)
{
    struct sys_statfs st;
    if (sys->statfs("/dev/shm", &st) < 0 || st.avail < (uint64_t)1 << 30) {
        engine_dir_make();
        return false;
    }
    snprintf(engine_dir, sizeof engine_dir, "/dev/shm/ingot-engine-XXXXXX");
    ASSERT(mkdtemp(engine_dir));
    return true;
}

static inline void engine_dir_remove(void)
{
    nftw(engine_dir, engine_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* For cmocka. */
static inline int engine_dir_setup(void **state)
{
    (void)state;
    engine_dir_make();
    return 0;
}

static inline int engine_dir_teardown(void **state)
{
    (void)state;
    engine_dir_remove();
    return 0;
}

/* o: NULL, or options without dir. */
static inline void engine_dir_open(struct store *s, const struct engine_options *o)
{
    struct engine_options opts = o ? *o : (struct engine_options){0};
    char why[512];
    opts.dir = engine_dir;
    err e = engine_open(&opts, s, why);
    if (e) fprintf(stderr, "engine_open: %s\n", why);
    ASSERT(e == ERR_OK);
}

static inline err engine_dir_try(struct store *s, bool read_only, char why[512])
{
    struct engine_options o = {.dir = engine_dir, .read_only = read_only};
    return engine_open(&o, s, why);
}

/* ---- fibers on two loops ---- */

struct engine_crowd {
    struct rt *rt;
    void (*fn)(void *arg, unsigned i);
    void (*last)(void *arg); /* run by the fiber that ends last, before the loops end; may be NULL */
    void *arg;
    _Atomic unsigned next, left;
};

static inline void engine_crowd_fiber(void *p)
{
    struct engine_crowd *c = p;
    c->fn(c->arg, atomic_fetch_add(&c->next, 1));
    if (atomic_fetch_sub(&c->left, 1) > 1) return;
    if (c->last) c->last(c->arg);
    rt_stop(c->rt);
}

static inline void engine_parallel_then(unsigned n, void (*fn)(void *arg, unsigned i),
                                        void (*last)(void *arg), void *arg)
{
    struct engine_crowd c = {.fn = fn, .last = last, .arg = arg, .left = n};
    ASSERT(rt_new(&(struct rt_options){.backend = RT_EPOLL, .loops = 2, .watchdog_ns = -1}, &c.rt) == ERR_OK);
    for (unsigned i = 0; i < n; i++)
        ASSERT(rt_spawn(rt_loop_at(c.rt, i % rt_loops(c.rt)), "crowd", engine_crowd_fiber, &c));
    rt_run(c.rt);
    rt_free(c.rt);
}

static inline void engine_parallel(unsigned n, void (*fn)(void *arg, unsigned i), void *arg)
{
    engine_parallel_then(n, fn, NULL, arg);
}

/* ---- damage ---- */

static inline void engine_flip(const char *path, uint64_t off)
{
    char c;
    int fd = open(path, O_RDWR);
    ASSERT(fd >= 0 && pread(fd, &c, 1, (off_t)off) == 1);
    c ^= 1;
    ASSERT(pwrite(fd, &c, 1, (off_t)off) == 1 && fsync(fd) == 0);
    close(fd);
}

static inline void engine_corrupt(struct store *s, uint64_t blob, uint64_t off)
{
    struct engine *e = engine_of(s);
    char key[INNER_KEY_MAX], path[256];
    struct cell *c;
    ASSERT(cells_pin(e->cells, inner_key(key, INNER_BLOB, blob), CELL_BLOB, &c) == ERR_OK && c->present);
    if (c->blob.where == BLOB_INLINE) {
        snprintf(path, sizeof path, "%s/log/%016llx.log", engine_dir, (unsigned long long)c->blob.segment);
        engine_flip(path, c->blob.offset + off);
    } else {
        const struct extent_place *p = &c->blob.places->v[0];
        ASSERT(off < p->data_len);
        snprintf(path, sizeof path, "%s/extents/%08u.ext", engine_dir, p->file);
        engine_flip(path, p->offset + 4096 + off);
    }
    cells_unpin(e->cells, c);
    blob_cache_remove(e->cache, blob);
}

/* ---- a disk with a quota: what the directory may grow by from now on ---- */

static struct sys_ops quota_ops;
static const struct sys_ops *quota_inner;
static uint64_t quota_total, quota_base;
static _Thread_local uint64_t quota_sum;

static inline int quota_add(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)path, (void)ftw;
    if (kind == FTW_F) quota_sum += (uint64_t)st->st_blocks * 512;
    return 0;
}

static inline uint64_t quota_left(void)
{
    quota_sum = 0;
    nftw(engine_dir, quota_add, 16, FTW_PHYS);
    uint64_t used = quota_sum > quota_base ? quota_sum - quota_base : 0;
    return used < quota_total ? quota_total - used : 0;
}

static inline int quota_statfs(const char *path, struct sys_statfs *out)
{
    int rc = quota_inner->statfs(path, out);
    out->total = quota_total;
    out->avail = quota_left();
    return rc;
}

/* Bytes that have their blocks already may always be written. */
static inline bool quota_refuses(int fd, uint64_t off, uint64_t n)
{
    struct stat st;
    if (quota_inner->fstat(fd, &st) < 0 || off + n <= (uint64_t)st.st_blocks * 512) return false;
    return n > quota_left();
}

static inline ssize_t quota_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    return quota_refuses(fd, off, n) ? -ENOSPC : quota_inner->pwrite(fd, p, n, off);
}

static inline ssize_t quota_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++) bytes += iov[i].iov_len;
    return quota_refuses(fd, off, bytes) ? -ENOSPC : quota_inner->pwritev(fd, iov, n, off, flags);
}

static inline int quota_fallocate(int fd, int mode, uint64_t off, uint64_t n)
{
    if (!(mode & 2 /* FALLOC_FL_PUNCH_HOLE */) && n > quota_left()) return -ENOSPC;
    return quota_inner->fallocate(fd, mode, off, n);
}

static inline void quota_install(uint64_t bytes)
{
    quota_inner = sys;
    quota_total = UINT64_MAX;
    quota_base = 0;
    quota_base = quota_total - quota_left();
    quota_total = bytes;
    quota_ops = *sys;
    quota_ops.statfs = quota_statfs;
    quota_ops.pwrite = quota_pwrite;
    quota_ops.pwritev = quota_pwritev;
    quota_ops.fallocate = quota_fallocate;
    sys = &quota_ops;
}

static inline void quota_remove(void)
{
    if (sys == &quota_ops) sys = quota_inner;
}

#endif
