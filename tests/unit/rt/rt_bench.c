/* What the runtime costs: a switch, a spawn, a wake across loops, a read of a cached and an uncached file, an
 * echo.
 *
 *   make build/release/tests/unit/rt/rt_bench && build/release/tests/unit/rt/rt_bench epoll 1
 *   arguments: backend (epoll, uring), loops, connections (64), seconds (3), "echo" for the echo alone
 */
#include "base/assert.h"
#include "rt/rt.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUEST = 200, REPLY = 4096 };
static unsigned conns = 64, seconds = 3;
static bool echo_alone;

static double cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* ---- fibers ---- */

static void yielder(void *arg)
{
    for (int i = 0; i < 1000000; i++) rt_yield();
    rt_sem_give(arg, 1);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void bench_fibers(void)
{
    struct rt_sem done;
    rt_sem_init(&done, 0);
    int64_t t = rt_now();
    for (int i = 0; i < 2; i++) ASSERT(rt_spawn(rt_self(), "yielder", yielder, &done));
    rt_sem_take(&done, 2, RT_FOREVER);
    printf("yield and resume: %.1f ns\n", (double)(rt_now() - t) / 2e6);
    t = rt_now();
    for (int i = 0; i < 1000000; i++) {
        ASSERT(rt_spawn(rt_self(), "nothing", nothing, NULL));
        rt_yield();
    }
    printf("spawn, run and end: %.1f ns (two resumes)\n", (double)(rt_now() - t) / 1e6);
}

struct pair {
    struct rt_sem a, b;
};

static void answer(void *arg)
{
    struct pair *p = arg;
    for (int i = 0; i < 20000; i++) {
        rt_sem_take(&p->a, 1, RT_FOREVER);
        rt_sem_give(&p->b, 1);
    }
}

static void bench_wake(struct rt_loop *l, const char *what)
{
    struct pair p;
    rt_sem_init(&p.a, 0);
    rt_sem_init(&p.b, 0);
    ASSERT(rt_spawn(l, "answer", answer, &p));
    int64_t t = rt_now();
    for (int i = 0; i < 20000; i++) {
        rt_sem_give(&p.a, 1);
        rt_sem_take(&p.b, 1, RT_FOREVER);
    }
    printf("%s: %.0f ns a round trip\n", what, (double)(rt_now() - t) / 2e4);
}

static void bench_work(void)
{
    int64_t t = rt_now();
    for (int i = 0; i < 10000; i++) rt_work("nothing", nothing, NULL);
    printf("rt_work: %.0f ns\n", (double)(rt_now() - t) / 1e4);
}

/* ---- files: 16 fibers read 16 KiB at random, past the page cache where the file system allows ---- */

enum { FILE_MB = 256, READ = 16384, READERS = 16, READS = 400 };
struct reader {
    int fd;
    bool probe;
    unsigned seed;
    struct rt_sem *done;
};

static void reader_main(void *arg)
{
    struct reader *r = arg;
    void *p = aligned_alloc(4096, READ);
    ASSERT(p);
    for (int i = 0; i < READS; i++) {
        r->seed = r->seed * 1664525u + 1013904223u;
        uint64_t off = (uint64_t)(r->seed >> 8) % ((uint64_t)FILE_MB * 1048576 / READ) * READ;
        ssize_t n = r->probe ? rt_pread(r->fd, p, READ, off) : rt_pread_uncached(r->fd, p, READ, off);
        ASSERT(n == READ);
    }
    free(p);
    rt_sem_give(r->done, 1);
}

static void bench_reads(const char *path, int flags, bool probe, const char *what)
{
    struct rt_sem done;
    struct reader r[READERS];
    int fd = open(path, O_RDONLY | flags);
    if (fd < 0) return;
    rt_sem_init(&done, 0);
    double cpu = cpu_us();
    int64_t t = rt_now();
    for (unsigned i = 0; i < READERS; i++) {
        r[i] = (struct reader){fd, probe, i * 7919, &done};
        ASSERT(rt_spawn(rt_self(), "reader", reader_main, &r[i]));
    }
    rt_sem_take(&done, READERS, RT_FOREVER);
    double n = READERS * READS;
    printf("%s: %.0f reads/s, %.1f us CPU a read\n", what, n / ((double)(rt_now() - t) / 1e9),
           (cpu_us() - cpu) / n);
    close(fd);
}

struct syncer {
    int fd;
    unsigned slot;
    struct rt_sem *done;
};

static void sync_main(void *arg)
{
    struct syncer *s = arg;
    void *p = aligned_alloc(4096, 4096);
    ASSERT(p);
    memset(p, 's', 4096);
    struct iovec v = {p, 4096};
    for (unsigned i = 0; i < 100; i++)
        ASSERT(rt_pwritev(s->fd, &v, 1, (s->slot * 100 + i) * 4096u, RWF_DSYNC) == 4096);
    free(p);
    rt_sem_give(s->done, 1);
}

static void bench_writes(const char *path)
{
    struct rt_sem done;
    struct syncer s[READERS];
    int fd = open(path, O_RDWR | O_DIRECT);
    if (fd < 0) return;
    rt_sem_init(&done, 0);
    double cpu = cpu_us();
    int64_t t = rt_now();
    for (unsigned i = 0; i < READERS; i++) {
        s[i] = (struct syncer){fd, i, &done};
        ASSERT(rt_spawn(rt_self(), "syncer", sync_main, &s[i]));
    }
    rt_sem_take(&done, READERS, RT_FOREVER);
    double n = READERS * 100;
    printf("O_DIRECT|DSYNC write of 4 KiB, 16 at once: %.0f/s, %.1f us CPU each\n",
           n / ((double)(rt_now() - t) / 1e9), (cpu_us() - cpu) / n);
    close(fd);
}

static void bench_files(void)
{
    char path[] = "rt-bench-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0) return;
    char *p = malloc(1 << 20);
    ASSERT(p);
    memset(p, 'f', 1 << 20);
    for (int i = 0; i < FILE_MB; i++) ASSERT(write(fd, p, 1 << 20) == 1 << 20);
    free(p);
    fsync(fd);
    bench_reads(path, 0, true, "cached reads of 16 KiB");
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    bench_reads(path, O_DIRECT, false, "O_DIRECT reads of 16 KiB, 16 at once");
    bench_writes(path);
    close(fd);
    unlink(path);
}

/* ---- echo: 200 bytes in, 4 KiB out; the client is another process ---- */

static uint64_t served;
static char reply[REPLY];

static void conn_idle(void *arg, enum rt_idle_event ev);

static void conn_serve(void *arg)
{
    struct rt_sock *s = arg;
    char buf[8192];
    ssize_t n = rt_read(s, buf, sizeof buf, rt_now() + 20 * RT_SEC);
    struct iovec v[2] = {{reply, 300}, {reply + 300, REPLY - 300}};
    if (n == REQUEST && rt_writev(s, v, 2, rt_now() + 20 * RT_SEC, false) == REPLY) {
        __atomic_add_fetch(&served, 1, __ATOMIC_RELAXED);
        rt_when_readable(s, rt_now() + 60 * RT_SEC, conn_idle, s);
    } else {
        rt_sock_close(s);
    }
}

static void conn_idle(void *arg, enum rt_idle_event ev)
{
    if (ev != RT_READABLE || !rt_spawn(rt_self(), "serve", conn_serve, arg)) rt_sock_close(arg);
}

static void conn_accept(void *arg, struct rt_sock *s, const struct rt_addr *peer)
{
    (void)arg;
    (void)peer;
    rt_when_readable(s, rt_now() + 60 * RT_SEC, conn_idle, s);
}

static void client(const struct rt_addr *a)
{
    int ep = epoll_create1(0);
    size_t *got = calloc(1 << 16, sizeof *got);
    char out[REQUEST] = {'q'}, in[65536];
    ASSERT(got);
    for (unsigned i = 0; i < conns; i++) {
        int fd = socket(a->ss.ss_family, SOCK_STREAM, 0);
        ASSERT(connect(fd, (const struct sockaddr *)&a->ss, a->len) == 0);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
        ASSERT(write(fd, out, REQUEST) == REQUEST);
    }
    for (;;) {
        struct epoll_event ev[64];
        int n = epoll_wait(ep, ev, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = ev[i].data.fd;
            ssize_t k = read(fd, in, sizeof in);
            if (k <= 0) _exit(0);
            got[fd] += (size_t)k;
            if (got[fd] < REPLY) continue;
            got[fd] = 0;
            if (write(fd, out, REQUEST) != REQUEST) _exit(0);
        }
    }
}

static void bench_echo(struct rt *r)
{
    struct rt_addr a;
    struct rt_listener *l;
    ASSERT(rt_addr_parse(STR("127.0.0.1:0"), &a) == ERR_OK);
    ASSERT(rt_listen(r, &a, 0, conn_accept, NULL, &l) == ERR_OK);
    rt_listener_addr(l, &a);
    pid_t pid = fork();
    if (pid == 0) client(&a);
    rt_sleep(500 * RT_MS);
    uint64_t n = __atomic_load_n(&served, __ATOMIC_RELAXED);
    double cpu = cpu_us();
    int64_t t = rt_now();
    rt_sleep((int64_t)seconds * RT_SEC);
    n = __atomic_load_n(&served, __ATOMIC_RELAXED) - n;
    printf("echo, %u connections: %.0f/s, %.2f us CPU of the server each\n", conns,
           (double)n / ((double)(rt_now() - t) / 1e9), (cpu_us() - cpu) / (double)n);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void bench(void *arg)
{
    struct rt *r = arg;
    printf("backend %s, %u loops\n", rt_backend_name(r), rt_loops(r));
    if (echo_alone) {
        bench_echo(r);
        rt_stop(r);
        return;
    }
    bench_fibers();
    bench_wake(rt_self(), "wake on the same loop");
    if (rt_loops(r) > 1) bench_wake(rt_loop_at(r, 1), "wake across loops");
    bench_work();
    bench_files();
    bench_echo(r);
    rt_stop(r);
}

int main(int argc, char **argv)
{
    struct rt_options o = {.backend = RT_EPOLL, .loops = 1};
    uint64_t v;
    if (argc > 1 && strcmp(argv[1], "uring") == 0) o.backend = RT_URING;
    if (argc > 2 && str_to_u64(str_c(argv[2]), &v)) o.loops = (unsigned)v;
    if (argc > 3 && str_to_u64(str_c(argv[3]), &v) && v < 60000) conns = (unsigned)v;
    if (argc > 4 && str_to_u64(str_c(argv[4]), &v)) seconds = (unsigned)v;
    echo_alone = argc > 5 && strcmp(argv[5], "echo") == 0;
    struct rt *r;
    if (rt_new(&o, &r) != ERR_OK) return 1;
    rt_spawn(rt_loop_at(r, 0), "bench", bench, r);
    rt_run(r);
    rt_free(r);
    return 0;
}
