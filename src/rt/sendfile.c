/* File to socket without a copy. sendfile reads the disk in the calling thread, so the loop calls it only for
 * bytes that are in the page cache; others are sent by a worker, to the same non-blocking socket. */
#include "rt/rt_int.h"
#include <errno.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLICE = 512 * 1024 };

#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
struct cachestat_range {
    uint64_t off, len;
};
struct cachestat_counts {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* Before Linux 6.5 there is no cachestat: ask for the ends of the slice, which finds what was never read. */
static bool ends_cached(int fd, uint64_t off, size_t n)
{
    char c;
    return sys_real.pread_nowait(fd, &c, 1, off) == 1 && sys_real.pread_nowait(fd, &c, 1, off + n - 1) == 1;
}

static bool all_cached(int fd, uint64_t off, size_t n)
{
    static int unknown; /* the kernel lacks the call */
    if (!__atomic_load_n(&unknown, __ATOMIC_RELAXED)) {
        struct cachestat_range range = {off, n};
        struct cachestat_counts c;
        if (syscall(__NR_cachestat, fd, &range, &c, 0) == 0)
            return c.cached >= (off + n - 1) / 4096 - off / 4096 + 1;
        __atomic_store_n(&unknown, 1, __ATOMIC_RELAXED);
    }
    return ends_cached(fd, off, n);
}

struct send_job {
    int sock, fd;
    uint64_t off;
    size_t n;
    ssize_t result;
};

static void send_job(void *arg)
{
    struct send_job *j = arg;
    off_t off = (off_t)j->off;
    do j->result = sendfile(j->sock, j->fd, &off, j->n);
    while (j->result < 0 && errno == EINTR);
    if (j->result < 0) j->result = -errno;
}

/* The simulated disk and network meet by copying. */
static void copy_slice(struct rt_sock *s, struct send_job *j)
{
    char bytes[8192];
    ssize_t n = rt_pread(j->fd, bytes, j->n < sizeof bytes ? j->n : sizeof bytes, j->off);
    struct iovec v = {bytes, n > 0 ? (size_t)n : 0};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    j->result = n > 0 ? net_sim.send(s->src.fd, &m, 0) : n;
}

/* can_write goes down first: while a worker sends, the edge that ends its EAGAIN may already come. */
static ssize_t send_slice(struct rt_sock *s, struct send_job *j)
{
    s->can_write = false;
    if (s->loop->rt->sim)
        copy_slice(s, j);
    else if (all_cached(j->fd, j->off, j->n))
        send_job(j);
    else
        rt_work("sendfile", send_job, j);
    if (j->result != -EAGAIN) s->can_write = true;
    return j->result;
}

ssize_t rt_sendfile(struct rt_sock *s, int fd, uint64_t off, size_t n, int64_t deadline)
{
    CHECK_MAGIC(s, SOCK_MAGIC);
    ASSERT(s->loop == rt_self() && rt_fiber_self() && !s->waiter);
    size_t sent = 0;
    while (sent < n) {
        if (s->aborted) return -ECANCELED;
        struct send_job j = {s->src.fd, fd, off + sent, n - sent < SLICE ? n - sent : SLICE, -EAGAIN};
        ssize_t r = s->can_write ? send_slice(s, &j) : -EAGAIN;
        if (r > 0) {
            sent += (size_t)r;
        } else if (r == 0) {
            return -EIO; /* the file ended before n bytes */
        } else if (r != -EAGAIN) {
            return r;
        } else if (!s->can_write) {
            int rc = sock_wait_writable(s, deadline);
            if (rc < 0) return rc;
        }
    }
    return (ssize_t)sent;
}
