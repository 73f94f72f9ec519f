/* Latch, mutex, condition, semaphore under load from fibers of two loops. */
#include "rt_matrix.h"
#include <time.h>

enum { FIBERS = 32, ROUNDS = 300 };

struct shared {
    struct rt_mutex m;
    struct rt_cond c;
    struct rt_sem s, done;
    struct rt_latch latch;
    uint64_t count, sum;   /* under m or latch, not atomic: TSan sees a broken lock */
    int64_t items, inside; /* items under m */
    uint64_t produced, consumed, timeouts;
};

static void shared_init(struct shared *x)
{
    *x = (struct shared){0};
    rt_mutex_init(&x->m);
    rt_cond_init(&x->c);
    rt_sem_init(&x->s, 3);
    rt_sem_init(&x->done, 0);
}

static void spread(struct rt *r, struct shared *x, unsigned n, void (*fn)(void *))
{
    for (unsigned i = 0; i < n; i++) CHECK(rt_spawn(rt_loop_at(r, i % rt_loops(r)), "stress", fn, x));
}

static void lock_main(void *arg)
{
    struct shared *x = arg;
    for (int i = 0; i < ROUNDS; i++) {
        rt_mutex_lock(&x->m);
        uint64_t was = x->count;
        if (i % 16 == 0) rt_yield(); /* held over a switch */
        x->count = was + 1;
        rt_mutex_unlock(&x->m);
        if (i % 8 == 0) rt_yield();
    }
    rt_sem_give(&x->done, 1);
}

static void mutex(struct rt *r)
{
    struct shared x;
    shared_init(&x);
    spread(r, &x, FIBERS, lock_main);
    CHECK(rt_sem_take(&x.done, FIBERS, rt_now() + 60 * RT_SEC));
    CHECK(x.count == FIBERS * ROUNDS && !x.m.held);
}

/* ---- who lets go may take it again before one that waits, and not twice before the same ---- */

struct waiting {
    struct rt_mutex m;
    bool begun, had;
};

static void wait_main(void *arg)
{
    struct waiting *x = arg;
    x->begun = true;
    rt_mutex_lock(&x->m);
    x->had = true;
    rt_mutex_unlock(&x->m);
}

static void again(struct waiting *x)
{
    rt_mutex_unlock(&x->m);
    rt_mutex_lock(&x->m);
}

static void overtaken(struct rt *r)
{
    (void)r;
    struct waiting x = {.had = false};
    rt_mutex_init(&x.m);
    rt_mutex_lock(&x.m);
    CHECK(rt_spawn(rt_self(), "waits", wait_main, &x));
    while (!x.begun) rt_yield();
    again(&x);
    CHECK(!x.had);
    for (int i = 0; i < 10; i++) rt_yield(); /* it woke and found the mutex held */
    CHECK(!x.had);
    again(&x);
    CHECK(x.had && x.m.held);
    rt_mutex_unlock(&x.m);
}

static void produce(void *arg)
{
    struct shared *x = arg;
    for (int i = 0; i < ROUNDS; i++) {
        rt_mutex_lock(&x->m);
        x->items++;
        x->produced++;
        rt_mutex_unlock(&x->m);
        if (i % 3 == 0)
            rt_cond_broadcast(&x->c);
        else
            rt_cond_signal(&x->c);
        if (i % 5 == 0) rt_yield();
    }
    rt_sem_give(&x->done, 1);
}

static void consume(void *arg)
{
    struct shared *x = arg;
    for (int i = 0; i < ROUNDS; i++) {
        rt_mutex_lock(&x->m);
        while (x->items == 0)
            if (!rt_cond_wait(&x->c, &x->m, rt_now() + (i % 4) * RT_MS / 4)) x->timeouts++;
        x->items--;
        x->consumed++;
        rt_mutex_unlock(&x->m);
    }
    rt_sem_give(&x->done, 1);
}

static void condition(struct rt *r)
{
    struct shared x;
    shared_init(&x);
    spread(r, &x, FIBERS / 2, consume);
    spread(r, &x, FIBERS / 2, produce);
    CHECK(rt_sem_take(&x.done, FIBERS, rt_now() + 60 * RT_SEC));
    CHECK(x.items == 0 && x.produced == FIBERS / 2 * ROUNDS && x.consumed == x.produced);
    CHECK(list_empty(&x.c.waiters));
    rt_mutex_lock(&x.m);
    CHECK(!rt_cond_wait(&x.c, &x.m, rt_now() + RT_MS)); /* nobody signals */
    CHECK(x.m.held);
    rt_mutex_unlock(&x.m);
}

static void take_main(void *arg)
{
    struct shared *x = arg;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t n = 1 + i % 3;
        if (!rt_sem_take(&x->s, n, i % 2 ? RT_FOREVER : rt_now() + RT_MS / 4)) {
            __atomic_add_fetch(&x->timeouts, 1, __ATOMIC_RELAXED);
            continue;
        }
        CHECK(__atomic_add_fetch(&x->inside, n, __ATOMIC_RELAXED) <= 3);
        if (i % 4 == 0) rt_yield();
        __atomic_sub_fetch(&x->inside, n, __ATOMIC_RELAXED);
        rt_sem_give(&x->s, n);
    }
    rt_sem_give(&x->done, 1);
}

static void semaphore(struct rt *r)
{
    struct shared x;
    shared_init(&x);
    spread(r, &x, FIBERS, take_main);
    CHECK(rt_sem_take(&x.done, FIBERS, rt_now() + 60 * RT_SEC));
    CHECK(x.s.count == 3 && x.inside == 0 && list_empty(&x.s.waiters));
}

/* ---- first come, first served; a large taker that gives up lets the smaller ones behind it through ---- */

struct turn {
    struct rt_sem *s;
    int64_t n, deadline;
    bool got;
    unsigned order;
};
static unsigned order;

static void turn_main(void *arg)
{
    struct turn *t = arg;
    t->got = rt_sem_take(t->s, t->n, t->deadline);
    t->order = ++order;
}

static void fairness(struct rt *r)
{
    (void)r;
    struct rt_sem s;
    order = 0;
    rt_sem_init(&s, 2);
    struct turn t[3] = {{&s, 5, rt_now() + RT_SEC / 2, false, 0},
                        {&s, 1, RT_FOREVER, false, 0},
                        {&s, 1, RT_FOREVER, false, 0}};
    for (int i = 0; i < 3; i++) {
        CHECK(rt_spawn(rt_self(), "turn", turn_main, &t[i]));
        rt_yield();
    }
    CHECK(order == 0); /* two are free, but the first in the queue wants five */
    for (int64_t until = rt_now() + 60 * RT_SEC; order < 3 && rt_now() < until;) rt_sleep(RT_MS);
    CHECK(!t[0].got && t[1].got && t[2].got && order == 3 && s.count == 0);
    CHECK(t[1].order < t[2].order);
}

/* ---- latch ---- */

static void pause_us(long us)
{
    nanosleep(&(struct timespec){0, 1000 * us}, NULL);
}

static void count_up(struct shared *x, bool asleep)
{
    rt_latch_lock(&x->latch);
    uint64_t was = x->count;
    if (asleep) pause_us(50); /* as if it had lost its core */
    x->count = was + 1;
    rt_latch_unlock(&x->latch);
}

static void latch_in_worker(void *arg)
{
    count_up(arg, true);
}

static void latch_main(void *arg)
{
    struct shared *x = arg;
    for (int i = 0; i < ROUNDS; i++) {
        count_up(x, false);
        if (i % 16 == 0) rt_work("latch", latch_in_worker, x);
        if (i % 8 == 0) rt_yield();
    }
    rt_sem_give(&x->done, 1);
}

static void latch(struct rt *r)
{
    struct shared x;
    shared_init(&x);
    spread(r, &x, FIBERS, latch_main);
    CHECK(rt_sem_take(&x.done, FIBERS, rt_now() + 300 * RT_SEC));
    CHECK(x.count == FIBERS * (ROUNDS + (ROUNDS + 15) / 16) && x.latch.word == 0);
    CHECK(rt_latch_try(&x.latch) && !rt_latch_try(&x.latch));
    rt_latch_unlock(&x.latch);
}

/* A worker keeps the latch until fibers of every loop wait for it, and the loops still turn. */
struct kept {
    struct rt *rt;
    struct rt_latch latch;
    struct rt_sem done;
    int held, wanting, turns[2]; /* atomic */
    bool stuck;
};

static bool reached(int *v, int least)
{
    int64_t until = rt_now() + 60 * RT_SEC;
    while (STAT_LOAD(*v) < least && rt_now() < until) pause_us(100);
    return STAT_LOAD(*v) >= least;
}

static void keep_main(void *arg)
{
    struct kept *k = arg;
    rt_latch_lock(&k->latch);
    __atomic_store_n(&k->held, 1, __ATOMIC_RELEASE);
    k->stuck = !reached(&k->wanting, FIBERS);
    for (unsigned i = 0; i < rt_loops(k->rt); i++)
        k->stuck |= !reached(&k->turns[i], STAT_LOAD(k->turns[i]) + 3);
    __atomic_store_n(&k->held, 0, __ATOMIC_RELEASE);
    rt_latch_unlock(&k->latch);
}

static void want_main(void *arg)
{
    struct kept *k = arg;
    while (!STAT_LOAD(k->held)) rt_sleep(RT_MS / 10);
    __atomic_add_fetch(&k->wanting, 1, __ATOMIC_RELAXED);
    rt_latch_lock(&k->latch);
    CHECK(!STAT_LOAD(k->held));
    rt_latch_unlock(&k->latch);
    rt_sem_give(&k->done, 1);
}

static void turn_of_loop(void *arg)
{
    struct kept *k = arg;
    do {
        __atomic_add_fetch(&k->turns[rt_loop_index(rt_self())], 1, __ATOMIC_RELAXED);
        rt_sleep(RT_MS / 10);
    } while (STAT_LOAD(k->wanting) < FIBERS || STAT_LOAD(k->held));
    rt_sem_give(&k->done, 1);
}

static void holder(struct rt *r)
{
    struct kept k = {.rt = r};
    rt_sem_init(&k.done, 0);
    for (unsigned i = 0; i < rt_loops(r); i++) CHECK(rt_spawn(rt_loop_at(r, i), "turn", turn_of_loop, &k));
    for (unsigned i = 0; i < FIBERS; i++)
        CHECK(rt_spawn(rt_loop_at(r, i % rt_loops(r)), "want", want_main, &k));
    rt_work("keep", keep_main, &k);
    CHECK(!k.stuck);
    CHECK(rt_sem_take(&k.done, FIBERS + rt_loops(r), rt_now() + 60 * RT_SEC));
    CHECK(k.latch.word == 0);
}

static void test_latch(void **state)
{
    (void)state;
    matrix_run(NULL, latch);
    matrix_run(NULL, holder);
}
static void test_mutex(void **state)
{
    (void)state;
    matrix_run(NULL, mutex);
    matrix_run(NULL, overtaken);
}
static void test_condition(void **state)
{
    (void)state;
    matrix_run(NULL, condition);
}
static void test_semaphore(void **state)
{
    (void)state;
    matrix_run(NULL, semaphore);
    matrix_run(NULL, fairness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latch),
        cmocka_unit_test(test_mutex),
        cmocka_unit_test(test_condition),
        cmocka_unit_test(test_semaphore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
