/* Files: the page cache first, then the backend's own way (a ring) or a worker. Outside a fiber the call
 * blocks. */
#include "rt/rt_int.h"
#include <errno.h>

#define COPY_MAX ((size_t)128 << 10) /* from the page cache at once; then others get their turn */

struct file_job {
    int fd, n, flags;
    void *p;
    const struct iovec *iov;
    size_t bytes;
    uint64_t off;
    ssize_t result;
};

static void read_job(void *arg)
{
    struct file_job *j = arg;
    j->result = sys->pread(j->fd, j->p, j->bytes, j->off);
}

static void writev_job(void *arg)
{
    struct file_job *j = arg;
    j->result = sys->pwritev(j->fd, j->iov, j->n, j->off, j->flags);
}

static void sync_job(void *arg)
{
    struct file_job *j = arg;
    j->result = sys->fdatasync(j->fd);
}

/* The ring talks to the kernel directly: only when that is what the table does. */
static const struct backend *own_files(void)
{
    return the_rt && rt_fiber_self() && sys == &sys_real ? the_rt->backend : NULL;
}

static ssize_t read_aside(int fd, void *p, size_t n, uint64_t off, bool direct)
{
    const struct backend *b = own_files();
    if (b && b->file_read) return b->file_read(fd, p, n, off, direct);
    struct file_job j = {.fd = fd, .p = p, .bytes = n, .off = off};
    rt_work("pread", read_job, &j);
    return j.result;
}

ssize_t rt_pread_uncached(int fd, void *p, size_t n, uint64_t off)
{
    return read_aside(fd, p, n, off, true);
}

ssize_t rt_pread(int fd, void *p, size_t n, uint64_t off)
{
    size_t got = 0;
    while (got < n) {
        rt_breathe();
        ssize_t r =
            sys->pread_nowait(fd, (char *)p + got, n - got < COPY_MAX ? n - got : COPY_MAX, off + got);
        if (r == 0) return (ssize_t)got;
        if (r < 0) break;
        got += (size_t)r;
    }
    if (got == n) return (ssize_t)got;
    ssize_t r = read_aside(fd, (char *)p + got, n - got, off + got, false);
    if (r < 0) return got > 0 ? (ssize_t)got : r;
    return (ssize_t)got + r;
}

ssize_t rt_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    return rt_pwritev(fd, &v, 1, off, 0);
}

ssize_t rt_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int rwf_flags)
{
    const struct backend *b = own_files();
    if (b && b->file_writev) return b->file_writev(fd, iov, n, off, rwf_flags);
    struct file_job j = {.fd = fd, .iov = iov, .n = n, .off = off, .flags = rwf_flags};
    rt_work("pwritev", writev_job, &j);
    return j.result;
}

int rt_fdatasync(int fd)
{
    const struct backend *b = own_files();
    if (b && b->file_sync) return b->file_sync(fd);
    struct file_job j = {.fd = fd};
    rt_work("fdatasync", sync_job, &j);
    return (int)j.result;
}
