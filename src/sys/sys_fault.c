/* A table that wraps another and fails one call, chosen by its number. */
#include "sys/sys.h"
#include "base/assert.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

static const struct sys_ops *inner;
static uint64_t fail_at;
static enum sys_fault_kind fault;
static _Atomic uint64_t calls;

/* Count this call; is it the one? */
static bool due(void)
{
    return atomic_fetch_add(&calls, 1) == fail_at;
}

static int code(void)
{
    switch (fault) {
    case SYS_FAULT_ENOSPC:
        return -ENOSPC;
    case SYS_FAULT_EINTR:
        return -EINTR;
    case SYS_FAULT_EIO:
    case SYS_FAULT_SHORT:
        return -EIO;
    }
    UNREACHABLE();
}

/* How many of n bytes a due call moves; false: it fails instead. */
static bool halve(size_t *n)
{
    if (fault != SYS_FAULT_SHORT || *n < 2) return false;
    *n /= 2;
    return true;
}

static int f_open(const char *path, int flags, unsigned mode)
{
    return due() ? code() : inner->open(path, flags, mode);
}

static int f_close(int fd)
{
    bool fail = due();
    int rc = inner->close(fd);
    return fail ? code() : rc;
}

static ssize_t f_pread(int fd, void *p, size_t n, uint64_t off)
{
    return due() && !halve(&n) ? code() : inner->pread(fd, p, n, off);
}

static ssize_t f_pread_nowait(int fd, void *p, size_t n, uint64_t off)
{
    return due() && !halve(&n) ? code() : inner->pread_nowait(fd, p, n, off);
}

static ssize_t f_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    return due() && !halve(&n) ? code() : inner->pwrite(fd, p, n, off);
}

/* Write the first want bytes of the vectors: the shortened call keeps its flags, and so its durability. */
static ssize_t write_front(int fd, const struct iovec *iov, int n, size_t want, uint64_t off, int flags)
{
    struct iovec front[IOV_MAX];
    ASSERT(n <= IOV_MAX);
    int used = 0;
    for (size_t left = want; left > 0; used++) {
        front[used] = iov[used];
        if (front[used].iov_len > left) front[used].iov_len = left;
        left -= front[used].iov_len;
    }
    return inner->pwritev(fd, front, used, off, flags);
}

static ssize_t f_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    if (!due()) return inner->pwritev(fd, iov, n, off, flags);
    size_t total = 0;
    for (int i = 0; i < n; i++) total += iov[i].iov_len;
    return halve(&total) ? write_front(fd, iov, n, total, off, flags) : code();
}

static int f_fdatasync(int fd)
{
    return due() ? code() : inner->fdatasync(fd);
}

static int f_fsync(int fd)
{
    return due() ? code() : inner->fsync(fd);
}

static int f_fsync_dir(const char *path)
{
    return due() ? code() : inner->fsync_dir(path);
}

static int f_ftruncate(int fd, uint64_t size)
{
    return due() ? code() : inner->ftruncate(fd, size);
}

static int f_fallocate(int fd, int mode, uint64_t off, uint64_t n)
{
    return due() ? code() : inner->fallocate(fd, mode, off, n);
}

static int64_t f_seek_data(int fd, uint64_t off)
{
    if (due()) return code();
    return inner->seek_data ? inner->seek_data(fd, off) : -EOPNOTSUPP;
}

static int f_sync_range(int fd, uint64_t off, uint64_t n)
{
    return due() ? code() : inner->sync_range(fd, off, n);
}

static int f_rename(const char *from, const char *to)
{
    return due() ? code() : inner->rename(from, to);
}

static int f_unlink(const char *path)
{
    return due() ? code() : inner->unlink(path);
}

static int f_mkdir(const char *path, unsigned mode)
{
    return due() ? code() : inner->mkdir(path, mode);
}

static int f_fstat(int fd, struct stat *st)
{
    return due() ? code() : inner->fstat(fd, st);
}

static int f_stat(const char *path, struct stat *st)
{
    return due() ? code() : inner->stat(path, st);
}

static int f_statfs(const char *path, struct sys_statfs *out)
{
    return due() ? code() : inner->statfs(path, out);
}

static int f_lock(int fd)
{
    return due() ? code() : inner->lock(fd);
}

static int f_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg)
{
    return due() ? code() : inner->list(dir, fn, arg);
}

static uint64_t f_mono_ns(void)
{
    return inner->mono_ns();
}

static int64_t f_real_ms(void)
{
    return inner->real_ms();
}

static void f_sleep_ns(uint64_t ns)
{
    inner->sleep_ns(ns);
}

static void f_random(void *p, size_t n)
{
    inner->random(p, n);
}

static const struct sys_ops fault_ops = {
    .name = "fault",
    .open = f_open,
    .close = f_close,
    .pread = f_pread,
    .pread_nowait = f_pread_nowait,
    .pwrite = f_pwrite,
    .pwritev = f_pwritev,
    .fdatasync = f_fdatasync,
    .fsync = f_fsync,
    .fsync_dir = f_fsync_dir,
    .ftruncate = f_ftruncate,
    .fallocate = f_fallocate,
    .seek_data = f_seek_data,
    .sync_range = f_sync_range,
    .rename = f_rename,
    .unlink = f_unlink,
    .mkdir = f_mkdir,
    .fstat = f_fstat,
    .stat = f_stat,
    .statfs = f_statfs,
    .lock = f_lock,
    .list = f_list,
    .mono_ns = f_mono_ns,
    .real_ms = f_real_ms,
    .random = f_random,
    .sleep_ns = f_sleep_ns,
};

void sys_fault_install(uint64_t k, enum sys_fault_kind kind)
{
    ASSERT(sys != &fault_ops);
    inner = sys;
    fail_at = k;
    fault = kind;
    atomic_store(&calls, 0);
    sys = &fault_ops;
}

void sys_fault_remove(void)
{
    if (sys == &fault_ops) sys = inner;
}

uint64_t sys_fault_calls(void)
{
    return atomic_load(&calls);
}

bool sys_fault_hit(void)
{
    return atomic_load(&calls) > fail_at;
}
