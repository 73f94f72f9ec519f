/* The watchdog names a loop that blocks, with its stack; gdb lists fibers and shows a parked one's stack. */
#include "rt_matrix.h"
#include "base/log.h"
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1 /* holds back signals until the thread enters the kernel: the stack comes too late */
#endif
#endif
#if defined(TSAN) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

#define LIMIT (60 * RT_MS)

/* Not static: their names are looked for in the stack. */
void spin_for_long(int64_t ns);
void wait_for_the_debugger(struct rt_sem *s);
void debugger_stops_here(void);

/* What waits for a core on a busy machine is not blocked: so the time that the thread had one. */
static int64_t cpu_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * RT_SEC + ts.tv_nsec;
}

__attribute__((noinline)) void spin_for_long(int64_t ns)
{
    int64_t end = cpu_now() + ns;
    while (cpu_now() < end) __asm__ volatile("" ::: "memory");
    __asm__ volatile("" ::: "memory"); /* no tail call, so that the frame is seen */
}

struct spin {
    struct rt *rt;
    uint64_t before;
    off_t from; /* in the log */
    struct rt_sem done;
};

/* Until the watchdog has spoken: how soon it does is the machine's affair. */
static void spinner(void *arg)
{
    struct spin *s = arg;
    struct rt_stats st = {.loop_blocked = s->before};
    for (int i = 0; i < 1000 && st.loop_blocked == s->before; i++) {
        spin_for_long(4 * LIMIT); /* the timer of the loop's computing is as coarse as the kernel's tick */
        rt_get_stats(s->rt, &st);
    }
    rt_sem_give(&s->done, 1);
}

static int log_fd;

static bool log_says(off_t from, const char *what)
{
    static char text[65536];
    ssize_t n = pread(log_fd, text, sizeof text, from);
    return n > 0 && str_find(str_of(text, (size_t)n), str_c(what), &(size_t){0});
}

/* As the spinner, asleep. */
static void sleeper(void *arg)
{
    struct spin *s = arg;
    for (int i = 0; i < 1000 && !log_says(s->from, "\"fiber\":\"sleeper\""); i++)
        nanosleep(&(struct timespec){0, 4 * LIMIT}, NULL);
    rt_sem_give(&s->done, 1);
}

static void blocked(struct rt *r)
{
    off_t from = lseek(log_fd, 0, SEEK_END);
    struct spin s = {.rt = r, .from = from};
    struct rt_stats st = {0};
    rt_sem_init(&s.done, 0);
    /* Idle loops are not blocked: of many spells of idling one, at least, passes without a report. The
     * machine may stall a loop in any of them. */
    bool quiet = false;
    for (int i = 0; i < 100 && !quiet; i++) {
        rt_get_stats(r, &st);
        uint64_t before = st.loop_blocked;
        rt_sleep(100 * RT_MS);
        rt_get_stats(r, &st);
        quiet = st.loop_blocked == before;
    }
    CHECK(quiet);
    s.before = st.loop_blocked;
    CHECK(rt_spawn(rt_loop_at(r, 1), "spinner", spinner, &s));
    CHECK(rt_sem_take(&s.done, 1, rt_now() + 120 * RT_SEC));
    rt_get_stats(r, &st);
    CHECK(st.loop_blocked > s.before);
    for (int i = 0; i < 6000 && !(log_says(from, "loop goes on") && log_says(from, "loop computed for long"));
         i++)
        rt_sleep(10 * RT_MS);
    CHECK(rt_spawn(rt_loop_at(r, 1), "sleeper", sleeper, &s));
    CHECK(rt_sem_take(&s.done, 1, rt_now() + 300 * RT_SEC));
}

static void test_watchdog(void **state)
{
    (void)state;
    char log[65536] = {0};
    FILE *f = tmpfile();
    assert_non_null(f);
    log_fd = fileno(f);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON, log_fd);
    matrix_run(&(struct rt_options){.loops = 2, .watchdog_ns = LIMIT}, blocked);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_AUTO, -1);
    rewind(f);
    size_t n = fread(log, 1, sizeof log - 1, f);
    fclose(f);
    struct str text = str_of(log, n);
    assert_true(str_find(text, STR("loop blocked"), &(size_t){0}));
    assert_true(str_find(text, STR("\"fiber\":\"spinner\""), &(size_t){0}));
    assert_true(str_find(text, STR("loop goes on"), &(size_t){0}));
    size_t at;
    assert_true(str_find(text, STR("\"fiber\":\"sleeper\""), &at));
    struct str asleep = str_slice(text, at, text.n);
    assert_true(str_find(asleep, STR("\"sleeps\":"), &at));
    assert_true(asleep.p[at + strlen("\"sleeps\":")] > '0'); /* neither 0 nor -1 */
    assert_true(str_find(text, STR("loop computed for long"), &at));
#ifndef TSAN
    assert_true(str_find(text, STR("spin_for_long+0x"), &(size_t){0}));
    assert_true(str_find(text, STR(" < fiber_main+0x"), &(size_t){0}));
    struct str counted = str_slice(text, at, text.n);
    assert_true(str_find(counted, STR("\"fiber\":\"spinner\""), &(size_t){0}));
    assert_true(str_find(counted, STR("spin_for_long+0x"), &(size_t){0}));
#endif
}

/* ---- turns ---- */

static void busybody(void *other_ran)
{
    int64_t end = rt_now() + 30 * RT_SEC;
    while (!*(bool *)other_ran && rt_now() < end) rt_breathe();
}

static void reader_of_memory(void *other_ran)
{
    int64_t end = rt_now() + 30 * RT_SEC;
    char c;
    int fd = open("/proc/self/exe", O_RDONLY);
    while (!*(bool *)other_ran && rt_now() < end) CHECK(rt_pread(fd, &c, 1, 0) == 1);
    close(fd);
}

static void other(void *ran)
{
    *(bool *)ran = true;
}

static void takes_turns(struct rt *r, void (*busy)(void *))
{
    bool ran = false;
    CHECK(rt_spawn(rt_self(), "busy", busy, &ran));
    CHECK(rt_spawn(rt_self(), "other", other, &ran));
    while (!ran) rt_yield();
    struct rt_stats st;
    do {
        rt_sleep(RT_MS);
        rt_get_stats(r, &st);
    } while (st.fibers_live > 1); /* `ran` is on this stack */
}

static void turns(struct rt *r)
{
    takes_turns(r, busybody);
    takes_turns(r, reader_of_memory);
}

static void test_turns(void **state)
{
    (void)state;
    int64_t began = rt_now();
    matrix_run(&(struct rt_options){.loops = 1}, turns);
    assert_true(rt_now() - began < 60 * RT_SEC); /* each busy fiber left its loop before it gave up */
}

/* ---- gdb ---- */

__attribute__((noinline)) void wait_for_the_debugger(struct rt_sem *s)
{
    rt_sem_take(s, 1, RT_FOREVER);
    __asm__ volatile("" ::: "memory");
}

static void parked(void *arg)
{
    rt_set_note("being looked at");
    wait_for_the_debugger(arg);
}

__attribute__((noinline)) void debugger_stops_here(void)
{
    __asm__ volatile("" ::: "memory");
}

static struct rt_sem never;

static void debuggee(struct rt *r)
{
    rt_sem_init(&never, 0);
    CHECK(rt_spawn(rt_loop_at(r, 0), "parked", parked, &never));
    rt_sleep(20 * RT_MS);
    debugger_stops_here();
}

static const char *self;

static void test_gdb(void **state)
{
    (void)state;
#ifdef SANITIZED
    print_message("[  SKIPPED ] test_gdb: gdb and sanitizers do not mix\n");
    skip();
#else
    char command[1024], out[16384];
    if (access("tools/gdb/ingot.py", R_OK) != 0 || system("gdb --version >/dev/null 2>&1") != 0) {
        print_message("[  SKIPPED ] test_gdb: no gdb, or not run from the top of the tree\n");
        skip();
    }
    snprintf(
        command, sizeof command,
        "gdb -nx -batch -x tools/gdb/ingot.py -ex 'break debugger_stops_here' -ex run -ex 'ingot fibers' "
        "-ex 'ingot bt all' -ex 'bt 3' -ex kill --args %s debuggee 2>&1",
        self);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    size_t n = fread(out, 1, sizeof out - 1, p);
    out[n] = 0;
    pclose(p);
    struct str text = str_of(out, n);
    if (str_find(text, STR("ptrace"), &(size_t){0})) {
        print_message("[  SKIPPED ] test_gdb: this machine does not let gdb trace\n");
        skip();
    }
    bool ok = str_find(text, STR("2 fibers"), &(size_t){0}) &&
              str_find(text, STR("parked  waits for semaphore  (being looked at)"), &(size_t){0}) &&
              str_find(text, STR("in wait_for_the_debugger ("), &(size_t){0}) &&
              str_find(text, STR("in fiber_boot ("), &(size_t){0}) &&
              !str_find(text, STR("corrupt"), &(size_t){0});
    if (!ok) print_error("%s\n", out);
    assert_true(ok);
#endif
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc > 1) {
        struct rt *r;
        if (rt_new(&(struct rt_options){.backend = RT_EPOLL, .loops = 1}, &r) != ERR_OK) return 1;
        struct matrix_run m = {r, debuggee};
        CHECK(rt_spawn(rt_loop_at(r, 0), "test", matrix_fiber, &m));
        rt_run(r);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_watchdog), cmocka_unit_test(test_turns),
                                       cmocka_unit_test(test_gdb)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
