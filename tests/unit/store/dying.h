/* A process that ends, as by kill -9, at its k-th system call that changes something; and the order of those
 * calls that make a rename last. */
#ifndef TESTS_STORE_DYING_H
#define TESTS_STORE_DYING_H

#include "data_dir.h"

static struct sys_ops dying;
static uint64_t calls_left;

static inline void dying_tick(void)
{
    if (calls_left-- == 0) _exit(0);
}
static inline int dying_rename(const char *from, const char *to)
{
    dying_tick();
    return sys_real.rename(from, to);
}
static inline int dying_fsync(int fd)
{
    dying_tick();
    return sys_real.fsync(fd);
}
static inline int dying_fdatasync(int fd)
{
    dying_tick();
    return sys_real.fdatasync(fd);
}
static inline int dying_fsync_dir(const char *path)
{
    dying_tick();
    return sys_real.fsync_dir(path);
}
static inline int dying_open(const char *path, int flags, unsigned mode)
{
    if (flags & O_CREAT) dying_tick();
    return sys_real.open(path, flags, mode);
}
static inline ssize_t dying_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    dying_tick();
    return sys_real.pwrite(fd, p, n, off);
}
static inline ssize_t dying_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    dying_tick();
    return sys_real.pwritev(fd, iov, n, off, flags);
}
static inline int dying_fallocate(int fd, int mode, uint64_t off, uint64_t n)
{
    dying_tick();
    return sys_real.fallocate(fd, mode, off, n);
}
static inline int dying_unlink(const char *path)
{
    dying_tick();
    return sys_real.unlink(path);
}

static inline void dying_after(uint64_t calls)
{
    calls_left = calls;
    dying = sys_real;
    dying.rename = dying_rename;
    dying.fsync = dying_fsync;
    dying.fdatasync = dying_fdatasync;
    dying.fsync_dir = dying_fsync_dir;
    dying.open = dying_open;
    dying.pwrite = dying_pwrite;
    dying.pwritev = dying_pwritev;
    dying.fallocate = dying_fallocate;
    dying.unlink = dying_unlink;
    sys = &dying;
}

/* What a process returns that came to its end all the same. */
#define DYING_ENDED 7

/* false: it ended before its k-th call. */
static inline bool dies_at(const char *role, uint64_t k)
{
    int code = in_process(role, k);
    ASSERT(code == 0 || code == DYING_ENDED);
    return code == 0;
}

/* Runs fn on a fresh copy of the directory for each k-th call at which `role` dies, and again at the
 * k+step-th after that. */
static inline uint64_t dying_everywhere(const char *role, uint64_t step, void (*fn)(void))
{
    char original[64], copy[64];
    snprintf(original, sizeof original, "%s", engine_dir);
    snprintf(copy, sizeof copy, "%.50s-copy", engine_dir);
    bool more = true;
    uint64_t rounds = 0;
    for (uint64_t k = 0; more; k += step * FEWER, rounds++) {
        dir_copy(original, copy);
        snprintf(engine_dir, sizeof engine_dir, "%s", copy);
        more = dies_at(role, k);
        dies_at(role, k + step);
        fn();
        snprintf(engine_dir, sizeof engine_dir, "%s", original);
    }
    snprintf(engine_dir, sizeof engine_dir, "%s", copy);
    engine_dir_remove();
    snprintf(engine_dir, sizeof engine_dir, "%s", original);
    print_message("%llu crashes\n", (unsigned long long)rounds);
    ASSERT(rounds > 10 / FEWER);
    return rounds;
}

#endif
