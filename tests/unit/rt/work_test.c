/* Workers, files, signals, and what must kill the process. */
#include "rt_matrix.h"
#include "sys/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- jobs run off the loop; the fiber waits, the loop does not ---- */

struct job {
    struct rt_sem *done;
    unsigned ran;
};

static void blocking(void *arg)
{
    struct job *j = arg;
    CHECK(rt_self() == NULL && rt_fiber_self() == NULL);
    usleep(500);
    j->ran++;
}

static void job_main(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < 5; i++) rt_work("block", blocking, j);
    CHECK(j->ran == 5);
    rt_sem_give(j->done, 1);
}

static void jobs(struct rt *r)
{
    struct rt_sem done;
    struct job j[40];
    rt_sem_init(&done, 0);
    for (unsigned i = 0; i < 40; i++) {
        j[i] = (struct job){&done, 0};
        CHECK(rt_spawn(rt_loop_at(r, i % 2), "job", job_main, &j[i]));
    }
    CHECK(rt_sem_take(&done, 40, rt_now() + 60 * RT_SEC));
    struct rt_stats st; /* a job is counted just after its fiber was woken */
    for (int64_t end = rt_now() + 60 * RT_SEC; rt_get_stats(r, &st), st.work_done < 200; rt_sleep(RT_MS))
        CHECK(rt_now() < end);
    CHECK(st.work_done == 200 && st.work_queued == 0 && st.work_queue_peak > 1);
}

static void test_jobs(void **state)
{
    (void)state;
    matrix_run(NULL, jobs);
}

static void mark(void *arg)
{
    *(bool *)arg = true;
}

/* ---- however many long jobs there are, the one worker is free for a short one ---- */

static _Atomic bool released;

static void hold(void *arg)
{
    (void)arg;
    while (!released) usleep(200);
}

static void long_main(void *arg)
{
    rt_work_long("long", hold, NULL);
    rt_sem_give(arg, 1);
}

static void long_jobs(struct rt *r)
{
    struct rt_sem done;
    rt_sem_init(&done, 0);
    released = false;
    for (unsigned i = 0; i < 8; i++) CHECK(rt_spawn(rt_loop_at(r, 0), "long", long_main, &done));
    rt_yield(); /* they have asked */
    bool ran = false;
    rt_work("short", mark, &ran);
    CHECK(ran && !rt_sem_take(&done, 1, rt_now()));
    released = true;
    CHECK(rt_sem_take(&done, 8, rt_now() + 60 * RT_SEC));
}

static void test_long_jobs(void **state)
{
    (void)state;
    matrix_run(&(struct rt_options){.loops = 1, .workers = 1}, long_jobs);
}

/* ---- jobs of one loop start in the order in which they came, kept ones and forgotten ones alike ---- */

#define IN_ORDER 2000

struct in_order {
    unsigned next; /* of the one worker */
};
struct order_job {
    struct in_order *o;
    unsigned number;
};

static void in_turn(void *arg)
{
    struct order_job *j = arg;
    CHECK(j->o->next == j->number);
    j->o->next++;
}

static void order(struct rt *r)
{
    (void)r;
    struct in_order o = {0};
    struct order_job *j = calloc(IN_ORDER, sizeof *j);
    CHECK(j != NULL);
    for (unsigned i = 0; i < IN_ORDER; i++) {
        j[i] = (struct order_job){&o, i};
        if (i % 50 == 49)
            rt_work("in turn", in_turn, &j[i]);
        else
            CHECK(rt_work_async("in turn", in_turn, &j[i]));
    }
    CHECK(o.next == IN_ORDER);
    free(j);
}

static void test_order(void **state)
{
    (void)state;
    matrix_run(&(struct rt_options){.loops = 1, .workers = 1}, order);
}

/* ---- loops and workers hand over at once; every job runs once ---- */

#define RUSH 20000u

static void count_one(void *arg)
{
    __atomic_add_fetch((unsigned *)arg, 1, __ATOMIC_RELAXED);
}

struct rush {
    struct rt_sem *done;
    unsigned ran;
};

static void again(void *arg)
{
    CHECK(rt_work_async("rush", count_one, arg));
    count_one(arg);
}

static void rush_main(void *arg)
{
    struct rush *h = arg;
    for (unsigned i = 0; i < RUSH / 2; i++) {
        CHECK(rt_work_async("rush", again, &h->ran));
        if (i % 512 == 511) rt_work("wait", count_one, &h->ran); /* keeps the queue within its bound */
    }
    while (__atomic_load_n(&h->ran, __ATOMIC_RELAXED) < RUSH + RUSH / 2 / 512) rt_sleep(RT_MS);
    rt_sem_give(h->done, 1);
}

static void rush(struct rt *r)
{
    struct rt_sem done;
    struct rush h[4];
    rt_sem_init(&done, 0);
    for (unsigned i = 0; i < 4; i++) {
        h[i] = (struct rush){&done, 0};
        CHECK(rt_spawn(rt_loop_at(r, i % 2), "rush", rush_main, &h[i]));
    }
    CHECK(rt_sem_take(&done, 4, rt_now() + 120 * RT_SEC));
    for (unsigned i = 0; i < 4; i++) CHECK(h[i].ran == RUSH + RUSH / 2 / 512);
}

static void test_rush(void **state)
{
    (void)state;
    matrix_run(&(struct rt_options){.loops = 2, .workers = 3}, rush);
}

/* Outside a fiber a job runs in place. */
static void test_in_place(void **state)
{
    (void)state;
    bool ran = false;
    rt_work("place", mark, &ran);
    assert_true(ran);
}

/* ---- the queue is bounded; what it took is done before rt_run returns ---- */

static int gate, ran;

static void gated(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&gate, __ATOMIC_ACQUIRE)) usleep(1000);
    __atomic_add_fetch(&ran, 1, __ATOMIC_RELAXED);
}

static unsigned accepted;

static void queue_full(struct rt *r)
{
    (void)r;
    gate = ran = 0;
    accepted = 0;
    while (rt_work_async("gated", gated, NULL) && accepted < 100000) accepted++;
    CHECK(accepted >= 65536 && accepted <= 65536 + 2); /* and what the two workers hold */
    CHECK(!rt_work_async("gated", gated, NULL));
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
}

static void test_queue_full(void **state)
{
    (void)state;
    static const enum rt_backend backends[] = {RT_EPOLL, RT_URING};
    for (unsigned i = 0; i < 2; i++) {
        struct rt *r = matrix_new(backends[i], &(struct rt_options){.loops = 1, .workers = 2});
        if (!r) continue;
        struct matrix_run m = {r, queue_full};
        assert_true(rt_spawn(rt_loop_at(r, 0), "test", matrix_fiber, &m));
        rt_run(r);
        assert_int_equal(ran, accepted);
        rt_free(r);
    }
}

/* ---- files ---- */

static void files(struct rt *r)
{
    (void)r;
    enum { SIZE = 1 << 20 };
    char path[] = "/tmp/rt-file-XXXXXX", *p = malloc(SIZE), *q = malloc(SIZE);
    int fd = mkstemp(path);
    CHECK(fd >= 0 && p && q);
    unlink(path);
    for (size_t i = 0; i < SIZE; i++) p[i] = (char)(i * 31 >> 3);
    CHECK(rt_pwrite(fd, p, 1000, 0) == 1000);
    struct iovec v[2] = {{p + 1000, 9000}, {p + 10000, SIZE - 10000}};
    CHECK(rt_pwritev(fd, v, 2, 1000, 0) == SIZE - 1000);
    CHECK(rt_fdatasync(fd) == 0);
    for (int cold = 0; cold < 2; cold++) {
        if (cold) CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
        memset(q, 0, SIZE);
        for (size_t at = 0; at < SIZE;) {
            ssize_t n = rt_pread(fd, q + at, SIZE - at, at);
            CHECK(n > 0);
            at += (size_t)n;
        }
        CHECK(memcmp(p, q, SIZE) == 0);
    }
    CHECK(rt_pread(fd, q, 100, SIZE - 10) == 10); /* the end of the file */
    CHECK(rt_pread(fd, q, 100, SIZE) == 0);
    CHECK(rt_pread_uncached(fd, q, 100, 5) == 100 && memcmp(q, p + 5, 100) == 0);
    CHECK(rt_pwritev(fd, v, 1, 0, RWF_DSYNC) == 9000);
    close(fd);
    CHECK(rt_pread(fd, q, 1, 0) == -EBADF);
    CHECK(rt_pwrite(fd, q, 1, 0) == -EBADF);
    CHECK(rt_fdatasync(fd) == -EBADF);
    free(p);
    free(q);
}

/* The table of system calls is honoured on every backend: its faults reach the fiber. */
static void faults(struct rt *r)
{
    (void)r;
    char path[] = "/tmp/rt-fault-XXXXXX", c = 'x';
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    unlink(path);
    sys_fault_install(0, SYS_FAULT_EIO);
    CHECK(rt_pwrite(fd, &c, 1, 0) == -EIO);
    CHECK(rt_pwrite(fd, &c, 1, 0) == 1);
    sys_fault_remove();
    sys_fault_install(0, SYS_FAULT_EIO);
    CHECK(rt_fdatasync(fd) == -EIO);
    sys_fault_remove();
    close(fd);
}

static void test_files(void **state)
{
    (void)state;
    matrix_run(NULL, files);
    matrix_run(&(struct rt_options){.loops = 1}, faults);
}

/* ---- signals ---- */

static int signals_seen;
static struct rt_sem signal_sem;

static void on_signal(void *arg, int signo)
{
    CHECK(rt_loop_index(rt_self()) == 0 && !rt_fiber_self() && arg == &signals_seen);
    __atomic_add_fetch(&signals_seen, signo == SIGUSR1 ? 1 : signo == SIGHUP ? 100 : 10000, __ATOMIC_RELAXED);
    rt_sem_give(&signal_sem, 1);
}

static void signals(struct rt *r)
{
    (void)r;
    CHECK(kill(getpid(), SIGUSR1) == 0);
    CHECK(rt_sem_take(&signal_sem, 1, rt_now() + 60 * RT_SEC) && STAT_LOAD(signals_seen) == 1);
    CHECK(kill(getpid(), SIGHUP) == 0 && kill(getpid(), SIGUSR1) == 0);
    CHECK(rt_sem_take(&signal_sem, 2, rt_now() + 60 * RT_SEC) && STAT_LOAD(signals_seen) == 102);
}

static void test_signals(void **state)
{
    (void)state;
    static const enum rt_backend backends[] = {RT_EPOLL, RT_URING};
    for (unsigned i = 0; i < 2; i++) {
        struct rt *r = matrix_new(backends[i], NULL);
        if (!r) continue;
        signals_seen = 0;
        rt_sem_init(&signal_sem, 0);
        rt_on_signal(r, SIGUSR1, on_signal, &signals_seen);
        rt_on_signal(r, SIGHUP, on_signal, &signals_seen);
        struct matrix_run m = {r, signals};
        assert_true(rt_spawn(rt_loop_at(r, 1), "test", matrix_fiber, &m));
        rt_run(r);
        rt_free(r);
    }
}

/* ---- a stack that overflows meets the guard page, not a neighbour ---- */

static int deep(volatile char *below, int n)
{
    volatile char here[4096];
    here[0] = below ? below[0] : 1;
    return n == 0 ? here[0] : deep(here, n - 1) + here[1];
}

static void overflow(void *arg)
{
    (void)arg;
    _exit(deep(NULL, 1 << 20) == 12345 ? 0 : 1); /* 4 GiB of frames: never returns */
}

static void test_guard(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        struct rt *r;
        if (rt_new(&(struct rt_options){.backend = RT_EPOLL, .loops = 1}, &r) != ERR_OK) _exit(1);
        for (int i = 0; i < 4; i++) rt_spawn(rt_loop_at(r, 0), "overflow", overflow, NULL);
        rt_run(r);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_true(WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_jobs),  cmocka_unit_test(test_jobs),  cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_queue_full), cmocka_unit_test(test_files), cmocka_unit_test(test_signals),
        cmocka_unit_test(test_guard),      cmocka_unit_test(test_order), cmocka_unit_test(test_rush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
