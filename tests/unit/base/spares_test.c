/* What is kept for reuse: at most so many, each given out once. */
#include "base/spares.h"
#include "base/assert.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void bounded(void **state)
{
    (void)state;
    struct spares s = SPARES_NONE;
    static char what[SPARES_MAX + 1];
    unsigned given[SPARES_MAX] = {0};
    assert_null(spares_take(&s));
    for (unsigned i = 0; i < SPARES_MAX; i++) assert_true(spares_give(&s, &what[i]));
    assert_false(spares_give(&s, &what[SPARES_MAX]));
    for (unsigned i = 0; i < SPARES_MAX; i++) given[(char *)spares_take(&s) - what]++;
    for (unsigned i = 0; i < SPARES_MAX; i++) assert_int_equal(given[i], 1);
    assert_null(spares_take(&s));
}

#define THREADS 4
#define ROUNDS  5000

struct piece {
    unsigned users; /* atomic */
};

struct shared {
    struct spares s;
    struct piece pieces[2];
};

/* Whoever takes a piece has it alone. Nobody waits inside: giving may be refused, so it is tried again. */
static void *taker(void *arg)
{
    struct shared *x = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct piece *p = spares_take(&x->s);
        if (!p) continue;
        ASSERT(__atomic_fetch_add(&p->users, 1, __ATOMIC_RELAXED) == 0);
        ASSERT(__atomic_fetch_sub(&p->users, 1, __ATOMIC_RELAXED) == 1);
        while (!spares_give(&x->s, p)) sched_yield();
    }
    return NULL;
}

static void any_thread(void **state)
{
    (void)state;
    struct shared x = {.s = SPARES_NONE};
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < 2; i++) assert_true(spares_give(&x.s, &x.pieces[i]));
    for (unsigned i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, taker, &x), 0);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(x.s.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bounded), cmocka_unit_test(any_thread)};
    return cmocka_run_group_tests_name("spares", tests, NULL, NULL);
}
