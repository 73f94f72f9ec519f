/* Preloaded into a server: counts what each request takes from the kernel and from the allocator. The
 * counters lie in the file that INGOT_COUNT_FILE names, for the test to read while the server runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* In the order of NAMES in test_counts.py. */
enum { RECV, SEND, WAIT, CONTROL, READ, WRITE, PWRITE, FLUSH, ALLOC, COUNTERS };

static _Atomic uint64_t unmapped[COUNTERS], *counters = unmapped;

__attribute__((constructor)) static void map_counters(void)
{
    const char *path = getenv("INGOT_COUNT_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *p = mmap(NULL, sizeof unmapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED) counters = p;
}

static void count(int what)
{
    atomic_fetch_add_explicit(&counters[what], 1, memory_order_relaxed);
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))
#define CALL(what, name, ...)                                                                                \
    do {                                                                                                     \
        static __typeof__(name) *next;                                                                       \
        if (!next) next = NEXT(name);                                                                        \
        count(what);                                                                                         \
        return next(__VA_ARGS__);                                                                            \
    } while (0)

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    CALL(RECV, recv, fd, p, n, flags);
}
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    CALL(RECV, recvmsg, fd, m, flags);
}
ssize_t send(int fd, const void *p, size_t n, int flags)
{
    CALL(SEND, send, fd, p, n, flags);
}
ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    CALL(SEND, sendmsg, fd, m, flags);
}
int epoll_wait(int fd, struct epoll_event *e, int n, int ms)
{
    CALL(WAIT, epoll_wait, fd, e, n, ms);
}
int epoll_pwait2(int fd, struct epoll_event *e, int n, const struct timespec *t, const sigset_t *s)
{
    CALL(WAIT, epoll_pwait2, fd, e, n, t, s);
}
int epoll_ctl(int fd, int op, int other, struct epoll_event *e)
{
    CALL(CONTROL, epoll_ctl, fd, op, other, e);
}
ssize_t read(int fd, void *p, size_t n)
{
    CALL(READ, read, fd, p, n);
}
ssize_t readv(int fd, const struct iovec *v, int n)
{
    CALL(READ, readv, fd, v, n);
}
ssize_t pread64(int fd, void *p, size_t n, off64_t off)
{
    CALL(READ, pread64, fd, p, n, off);
}
ssize_t preadv2(int fd, const struct iovec *v, int n, off_t off, int f)
{
    CALL(READ, preadv2, fd, v, n, off, f);
}
ssize_t write(int fd, const void *p, size_t n)
{
    CALL(WRITE, write, fd, p, n);
}
ssize_t writev(int fd, const struct iovec *v, int n)
{
    CALL(WRITE, writev, fd, v, n);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
    CALL(PWRITE, pwrite64, fd, p, n, off);
}
ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t off, int f)
{
    if (f & RWF_DSYNC) count(FLUSH);
    CALL(PWRITE, pwritev2, fd, v, n, off, f);
}
int fsync(int fd)
{
    CALL(FLUSH, fsync, fd);
}
int fdatasync(int fd)
{
    CALL(FLUSH, fdatasync, fd);
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);

void *malloc(size_t n)
{
    count(ALLOC);
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    count(ALLOC);
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    count(ALLOC);
    return __libc_realloc(p, n);
}
void *aligned_alloc(size_t align, size_t n)
{
    count(ALLOC);
    return __libc_memalign(align, n);
}
