/* Mutex, condition, semaphore under load from fibers of two loops. */
#include "rt_matrix.h"

enum { FIBERS = 32, ROUNDS = 300 };

struct shared {
    struct rt_mutex m;
    struct rt_cond c;
    struct rt_sem s, done;
    uint64_t count, sum;   /* under m, not atomic: TSan sees a broken mutex */
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
    struct turn t[3] = {{&s, 5, rt_now() + 5 * RT_MS, false, 0},
                        {&s, 1, RT_FOREVER, false, 0},
                        {&s, 1, RT_FOREVER, false, 0}};
    for (int i = 0; i < 3; i++) {
        CHECK(rt_spawn(rt_self(), "turn", turn_main, &t[i]));
        rt_yield();
    }
    rt_sleep(RT_MS);
    CHECK(order == 0); /* two are free, but the first in the queue wants five */
    rt_sleep(10 * RT_MS);
    CHECK(!t[0].got && t[1].got && t[2].got && order == 3 && s.count == 0);
    CHECK(t[1].order < t[2].order);
}

static void test_mutex(void **state)
{
    (void)state;
    matrix_run(NULL, mutex);
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
        cmocka_unit_test(test_mutex),
        cmocka_unit_test(test_condition),
        cmocka_unit_test(test_semaphore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
