/* Found by the soak: a loop stood still for up to 38 ms because another thread held the lock of cells and had
 * lost its core. Here a worker holds it until a fiber on each loop wants a cell and the loops still turn. */
#include "base/assert.h"
#include "rt/rt.h"
#include "store/cells.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#define LOOPS 2

struct held {
    struct cells *cells;
    struct rt *rt;
    struct rt_sem done;
    int held, wanting, turns[LOOPS]; /* atomic */
    bool stuck;
};

static int look(const int *v)
{
    return __atomic_load_n(v, __ATOMIC_ACQUIRE);
}

static bool reached(const int *v, int least)
{
    int64_t until = rt_now() + 60 * RT_SEC;
    while (look(v) < least && rt_now() < until) nanosleep(&(struct timespec){0, 100000}, NULL);
    return look(v) >= least;
}

static void hold(void *arg)
{
    struct held *h = arg;
    cells_lock(h->cells);
    __atomic_store_n(&h->held, 1, __ATOMIC_RELEASE);
    h->stuck = !reached(&h->wanting, LOOPS);
    for (unsigned i = 0; i < LOOPS; i++) h->stuck |= !reached(&h->turns[i], look(&h->turns[i]) + 3);
    __atomic_store_n(&h->held, 0, __ATOMIC_RELEASE);
    cells_unlock(h->cells);
}

static void want(void *arg)
{
    struct held *h = arg;
    char key[INNER_KEY_MAX];
    struct str k = inner_key(key, INNER_BLOB, rt_loop_index(rt_self()) + 1);
    while (!look(&h->held)) rt_sleep(RT_MS / 10);
    __atomic_add_fetch(&h->wanting, 1, __ATOMIC_RELEASE);
    struct cell *c = cells_make(h->cells, k, CELL_BLOB), *same;
    ASSERT(c && cells_pin(h->cells, k, CELL_BLOB, &same) == ERR_OK && same == c);
    cells_unpin(h->cells, same);
    cells_unpin(h->cells, c);
    rt_sem_give(&h->done, 1);
}

static void turn(void *arg)
{
    struct held *h = arg;
    do {
        __atomic_add_fetch(&h->turns[rt_loop_index(rt_self())], 1, __ATOMIC_RELEASE);
        rt_sleep(RT_MS / 10);
    } while (look(&h->wanting) < LOOPS || look(&h->held));
    rt_sem_give(&h->done, 1);
}

static void body(void *arg)
{
    struct held *h = arg;
    rt_sem_init(&h->done, 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        ASSERT(rt_spawn(rt_loop_at(h->rt, i), "turn", turn, h));
        ASSERT(rt_spawn(rt_loop_at(h->rt, i), "want", want, h));
    }
    rt_work("hold", hold, h);
    ASSERT(!h->stuck);
    ASSERT(rt_sem_take(&h->done, 2 * LOOPS, rt_now() + 60 * RT_SEC));
    rt_stop(h->rt);
}

static void test_loops_turn(void **state)
{
    (void)state;
    struct held h = {.cells = cells_new(NULL, NULL, NULL)}; /* no view: nothing is loaded */
    assert_non_null(h.cells);
    assert_int_equal(rt_new(&(struct rt_options){.loops = LOOPS}, &h.rt), ERR_OK);
    assert_true(rt_spawn(rt_loop_at(h.rt, 0), "test", body, &h));
    rt_run(h.rt);
    rt_free(h.rt);
    cells_free(h.cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_loops_turn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
