/* Fibers, waits, timers, messages: on each backend. */
#include "rt_matrix.h"
#include <pthread.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SMALL 1 /* TSan holds at most some thousand fibers */
#endif
#endif
#ifdef SMALL
enum { PAIRS = 300, ROUNDS = 20 };
#else
enum { PAIRS = 2000, ROUNDS = 20 };
#endif

/* ---- thousands of pairs that play ping-pong, each across two loops ---- */

struct pair {
    struct rt_sem ping, pong;
    struct rt_sem *done;
};

static void ping(void *arg)
{
    struct pair *p = arg;
    for (int i = 0; i < ROUNDS; i++) {
        rt_sem_give(&p->ping, 1);
        CHECK(rt_sem_take(&p->pong, 1, RT_FOREVER));
    }
    rt_sem_give(p->done, 1);
}

static void pong(void *arg)
{
    struct pair *p = arg;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(rt_sem_take(&p->ping, 1, RT_FOREVER));
        rt_sem_give(&p->pong, 1);
    }
    rt_sem_give(p->done, 1);
}

static void ping_pong(struct rt *r)
{
    struct rt_sem done;
    struct pair *pairs = calloc(PAIRS, sizeof *pairs);
    CHECK(pairs);
    rt_sem_init(&done, 0);
    for (unsigned i = 0; i < PAIRS; i++) {
        rt_sem_init(&pairs[i].ping, 0);
        rt_sem_init(&pairs[i].pong, 0);
        pairs[i].done = &done;
        CHECK(rt_spawn(rt_loop_at(r, i % rt_loops(r)), "ping", ping, &pairs[i]));
        CHECK(rt_spawn(rt_loop_at(r, (i + 1) % rt_loops(r)), "pong", pong, &pairs[i]));
    }
    CHECK(rt_sem_take(&done, 2 * PAIRS, RT_FOREVER));
    free(pairs);
    struct rt_stats st;
    rt_get_stats(r, &st);
    CHECK(st.fibers_started >= 2 * PAIRS + 1);
    CHECK(st.fibers_peak <= 2 * PAIRS + 1 && st.fibers_peak > 1);
}

static void test_ping_pong(void **state)
{
    (void)state;
    matrix_run(NULL, ping_pong);
}

/* ---- a wake that races with the deadline is never lost and never doubled ---- */

struct race {
    struct rt_waiter *w;
    int guard;
    struct rt_sem done;
};

static void race_take(int *g)
{
    while (__atomic_exchange_n(g, 1, __ATOMIC_ACQUIRE)) rt_yield();
}

static void race_waker(void *arg)
{
    struct race *r = arg;
    rt_sleep(RT_MS / 5);
    race_take(&r->guard);
    struct rt_waiter *w = r->w;
    r->w = NULL;
    __atomic_store_n(&r->guard, 0, __ATOMIC_RELEASE);
    if (w) rt_wake(w);
    rt_sem_give(&r->done, 1);
}

static void wake_race(struct rt *r)
{
    unsigned woken = 0, late = 0;
    for (int i = 0; i < 400; i++) {
        struct race race = {0};
        struct rt_waiter w;
        rt_sem_init(&race.done, 0);
        rt_waiter_init(&w);
        race.w = &w;
        CHECK(rt_spawn(rt_loop_at(r, (unsigned)i % 2), "waker", race_waker, &race));
        if (!rt_wait(&w, rt_now() + RT_MS / 5 + (i % 7 - 3) * RT_MS / 50)) {
            race_take(&race.guard);
            bool taken = race.w == NULL;
            race.w = NULL;
            __atomic_store_n(&race.guard, 0, __ATOMIC_RELEASE);
            late++;
            if (taken) CHECK(rt_wait(&w, RT_FOREVER));
        } else {
            woken++;
        }
        CHECK(rt_sem_take(&race.done, 1, RT_FOREVER));
    }
    CHECK(woken + late == 400);
}

static void test_wake_race(void **state)
{
    (void)state;
    matrix_run(NULL, wake_race);
}

static void wake_before_wait(struct rt *r)
{
    (void)r;
    struct rt_waiter w;
    rt_waiter_init(&w);
    rt_wake(&w);
    CHECK(rt_wait(&w, RT_FOREVER));
    CHECK(rt_wait(&w, 0)); /* a woken waiter stays woken */
    rt_waiter_init(&w);
    CHECK(!rt_wait(&w, rt_now() - 1));
}

static void test_wake_before_wait(void **state)
{
    (void)state;
    matrix_run(NULL, wake_before_wait);
}

/* ---- timers fire in order, once, not after a cancel ---- */

static int64_t fired[64];
static unsigned nfired;
static void timer_fn(void *arg)
{
    fired[nfired++] = *(int64_t *)arg;
}

static void timers(struct rt *r)
{
    (void)r;
    struct rt_timer t[64] = {0};
    int64_t when[64], base = rt_now() + 2 * RT_MS;
    nfired = 0;
    for (int i = 0; i < 64; i++) {
        when[i] = base + (i * 37 % 64) * RT_MS / 10;
        rt_timer_set(&t[i], when[i], timer_fn, &when[i]);
    }
    for (int i = 0; i < 64; i += 4) rt_timer_cancel(&t[i]);
    for (int i = 1; i < 64; i += 4) { /* re-armed: counts once, at its new time */
        when[i] = base + 8 * RT_MS;
        rt_timer_set(&t[i], when[i], timer_fn, &when[i]);
    }
    rt_sleep(15 * RT_MS);
    CHECK(nfired == 48);
    for (unsigned i = 1; i < nfired; i++) CHECK(fired[i - 1] <= fired[i]);
    int64_t before = rt_now();
    rt_sleep(5 * RT_MS);
    CHECK(rt_now() - before >= 5 * RT_MS);
}

static void test_timers(void **state)
{
    (void)state;
    matrix_run(NULL, timers);
}

/* ---- the cap: refused, counted, and open again when fibers ended ---- */

static void wait_sem(void *arg)
{
    rt_sem_take(arg, 1, RT_FOREVER);
}

static void cap(struct rt *r)
{
    struct rt_sem gate;
    rt_sem_init(&gate, 0);
    for (int i = 0; i < 15; i++) CHECK(rt_spawn(rt_self(), "held", wait_sem, &gate));
    CHECK(!rt_spawn(rt_self(), "one too many", wait_sem, &gate));
    CHECK(!rt_spawn(rt_loop_at(r, 1), "one too many", wait_sem, &gate));
    struct rt_stats st;
    rt_get_stats(r, &st);
    CHECK(st.fibers_refused == 2 && st.fibers_live == 16 && st.fibers_peak == 16);
    rt_sem_give(&gate, 15);
    rt_sleep(RT_MS);
    CHECK(rt_spawn(rt_self(), "again", wait_sem, &gate));
    rt_sem_give(&gate, 1);
    rt_sleep(RT_MS);
}

static void test_cap(void **state)
{
    (void)state;
    matrix_run(&(struct rt_options){.loops = 2, .max_fibers = 16}, cap);
}

/* ---- messages and wakes from a thread that is no loop ---- */

struct outside {
    struct rt_loop *loop;
    struct rt_msg msg[100];
    unsigned seen;
    struct rt_waiter *w;
};

static void count_msg(void *arg)
{
    struct outside *o = arg;
    CHECK(rt_self() == o->loop && !rt_fiber_self());
    if (++o->seen == 100) rt_wake(o->w);
}

static void *outside_main(void *arg)
{
    struct outside *o = arg;
    for (int i = 0; i < 100; i++) {
        o->msg[i] = (struct rt_msg){.fn = count_msg, .arg = o};
        rt_post(o->loop, &o->msg[i]);
        if (i % 10 == 0) usleep(200);
    }
    return NULL;
}

static void posts(struct rt *r)
{
    struct rt_waiter w;
    rt_waiter_init(&w);
    struct outside o = {.loop = rt_loop_at(r, 1), .w = &w};
    pthread_t t;
    CHECK(pthread_create(&t, NULL, outside_main, &o) == 0);
    CHECK(rt_wait(&w, RT_FOREVER));
    pthread_join(t, NULL);
    CHECK(o.seen == 100);
}

static void test_posts(void **state)
{
    (void)state;
    matrix_run(NULL, posts);
}

/* ---- notes, the dump ---- */

static void noted(void *arg)
{
    struct rt_sem *s = arg;
    CHECK(rt_set_note("holding the note") == NULL);
    rt_sem_take(s, 1, RT_FOREVER);
    CHECK(rt_set_note(NULL) != NULL);
    rt_sem_give(s + 1, 1);
}

static bool noted_waits(struct rt *r, struct buf *b)
{
    buf_clear(b);
    rt_dump(r, b);
    return str_find(buf_view(b),
                    STR("loop=1 fiber=noted state=waiting for=\"semaphore\" note=\"holding the note\""),
                    &(size_t){0});
}

static void dump(struct rt *r)
{
    struct rt_sem s[2];
    struct buf b;
    int64_t until = rt_now() + 60 * RT_SEC;
    rt_sem_init(&s[0], 0);
    rt_sem_init(&s[1], 0);
    CHECK(rt_spawn(rt_loop_at(r, 1), "noted", noted, s));
    buf_init(&b, 0);
    while (!noted_waits(r, &b)) {
        CHECK(rt_now() < until);
        rt_sleep(RT_MS);
    }
    CHECK(str_find(buf_view(&b), STR("loop=0 fiber=test state="), &(size_t){0}));
    buf_free(&b);
    rt_sem_give(&s[0], 1);
    CHECK(rt_sem_take(&s[1], 1, RT_FOREVER));
}

static void test_dump(void **state)
{
    (void)state;
    matrix_run(NULL, dump);
}

/* ---- stopping while everything moves ---- */

static void busy(void *arg)
{
    struct rt_sem *s = arg;
    for (;;) {
        rt_sem_give(s, 1);
        rt_sem_take(s, 1, rt_now() + RT_MS);
        rt_yield();
    }
}

static struct rt_sem busy_sem[8];

static void stop_busy(struct rt *r)
{
    for (unsigned i = 0; i < 64; i++) {
        if (i < 8) rt_sem_init(&busy_sem[i], 0);
        CHECK(rt_spawn(rt_loop_at(r, i % 2), "busy", busy, &busy_sem[i % 8]));
    }
    rt_sleep(10 * RT_MS);
}

static void test_stop_busy(void **state)
{
    (void)state;
    matrix_run(NULL, stop_busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping_pong),
        cmocka_unit_test(test_wake_race),
        cmocka_unit_test(test_wake_before_wait),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_posts),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_stop_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
