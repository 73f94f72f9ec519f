#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void allocations_are_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    unsigned char *p[200];
    size_t total = 0;
    for (size_t i = 0; i < 200; i++) {
        p[i] = arena_alloc(a, i * 13);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < i * 13; k++) assert_int_equal(p[i][k], 0);
        memset(p[i], (int)i, i * 13);
        total += i * 13;
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i * 13; k++) assert_int_equal(p[i][k], i);
    assert_true(arena_used(a) >= total);
    arena_free(a);
    arena_free(NULL);
}

struct purse {
    size_t left, spent;
};

static bool purse_take(void *arg, size_t n)
{
    struct purse *p = arg;
    if (n > p->left) return false;
    p->left -= n;
    p->spent += n;
    return true;
}

static void purse_give(void *arg, size_t n)
{
    struct purse *p = arg;
    p->left += n;
    p->spent -= n;
}

static void a_budget_is_asked_and_paid_back(void **state)
{
    (void)state;
    struct purse p = {.left = 100000};
    struct arena *a = arena_new(0);
    arena_set_budget(a, &(struct arena_budget){purse_take, purse_give, &p});
    assert_non_null(arena_alloc(a, 1000)); /* the first bytes are not asked for */
    assert_int_equal(p.spent, 0);
    assert_non_null(arena_alloc(a, 50000));
    assert_true(p.spent >= 50000 && p.spent < 60000);
    size_t spent = p.spent;
    assert_null(arena_alloc(a, 60000));
    assert_true(arena_overflowed(a) && p.spent == spent);
    arena_reset(a);
    assert_int_equal(p.spent, 0);
    for (int i = 0; i < 2000; i++) (void)arena_alloc(a, 100);
    assert_true(arena_overflowed(a) && p.spent > 40000); /* chunks double */
    arena_free(a);
    assert_int_equal(p.spent, 0);
}

static void ceiling_latches(void **state)
{
    (void)state;
    struct arena *a = arena_new(1000);
    assert_non_null(arena_alloc(a, 900));
    assert_null(arena_alloc(a, 101));
    assert_true(arena_overflowed(a));
    assert_non_null(arena_alloc(a, 100)); /* what fits still works; the latch stays */
    assert_true(arena_overflowed(a));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_dup(a, STR("x")).p);
    assert_null(arena_fmt(a, "%d", 1).p);
    assert_false(arena_defer(a, free, NULL));
    assert_null(ARENA_ARRAY(a, uint64_t, SIZE_MAX / 4));
    arena_reset(a);
    assert_false(arena_overflowed(a));
    assert_int_equal(arena_used(a), 0);
    assert_non_null(arena_alloc(a, 1000));
    arena_free(a);
}

static void large_allocations_keep_the_current_chunk(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    char *small = arena_alloc(a, 16);
    assert_non_null(arena_alloc(a, 3 << 20));
    char *next = arena_alloc(a, 16);
    assert_true(next > small && next - small < 8192);
    arena_free(a);
}

static char trace[8];
static void mark(void *arg)
{
    size_t n = strlen(trace);
    trace[n] = *(char *)arg;
    trace[n + 1] = 0;
}

static void deferred_run_newest_first_once(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    trace[0] = 0;
    assert_true(arena_defer(a, mark, (void *)arena_dup(a, STR("1")).p));
    assert_true(
        arena_defer(a, mark, (void *)arena_dup(a, STR("2")).p)); /* arena memory is alive in handlers */
    arena_reset(a);
    assert_string_equal(trace, "21");
    assert_true(arena_defer(a, mark, (void *)arena_dup(a, STR("3")).p));
    arena_free(a);
    assert_string_equal(trace, "213");
}

static void copies_are_terminated(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    struct str s = arena_dup(a, STR("a\0b"));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    s = arena_dup(a, STR_NONE);
    assert_non_null(s.p);
    assert_string_equal(s.p, "");
    s = arena_fmt(a, "%s-%04d", "x", 7);
    assert_string_equal(s.p, "x-0007");
    assert_int_equal(s.n, 6);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_zeroed_and_apart),
        cmocka_unit_test(ceiling_latches),
        cmocka_unit_test(a_budget_is_asked_and_paid_back),
        cmocka_unit_test(large_allocations_keep_the_current_chunk),
        cmocka_unit_test(deferred_run_newest_first_once),
        cmocka_unit_test(copies_are_terminated),
    };
    return cmocka_run_group_tests_name("base/arena", tests, NULL, NULL);
}
