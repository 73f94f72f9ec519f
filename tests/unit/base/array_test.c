/* Arrays that grow: what is in them stays, at most what the bound says, and never a size that wraps around.
 * The order of numbers. */
#include "base/array.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void content_stays(void **state)
{
    (void)state;
    uint64_t *v = NULL;
    size_t n = 0, cap = 0, grown = 0;
    while (n < 10000) {
        size_t had = cap;
        assert_true(array_grow(&v, &cap, n + 1, sizeof *v, SIZE_MAX));
        assert_true(cap > n);
        assert_true(cap == had || cap >= 2 * had);
        grown += cap != had;
        v[n] = n * 3;
        n++;
    }
    assert_true(grown < 10);
    for (size_t i = 0; i < n; i++) assert_int_equal(v[i], i * 3);
    free(v);
}

static void wanted_at_once(void **state)
{
    (void)state;
    char *v = NULL;
    size_t cap = 0;
    assert_true(array_grow(&v, &cap, 100000, 1, SIZE_MAX));
    assert_true(cap >= 100000);
    char *same = v;
    size_t had = cap;
    assert_true(array_grow(&v, &cap, 0, 1, SIZE_MAX));
    assert_true(array_grow(&v, &cap, cap, 1, SIZE_MAX));
    assert_ptr_equal(v, same);
    assert_int_equal(cap, had);
    free(v);
}

/* One push after another up to the bound, whether or not doubling would meet it. */
static void fill(size_t max)
{
    uint32_t *v = NULL, *old;
    size_t n = 0, cap = 0;
    for (; n < max; n++) {
        assert_true(array_grow(&v, &cap, n + 1, sizeof *v, max));
        v[n] = (uint32_t)n;
    }
    assert_int_equal(cap, max);
    old = v;
    assert_false(array_grow(&v, &cap, max + 1, sizeof *v, max));
    assert_false(array_grow(&v, &cap, SIZE_MAX, sizeof *v, max));
    assert_ptr_equal(v, old);
    assert_int_equal(cap, max);
    for (size_t i = 0; i < n; i++) assert_int_equal(v[i], i);
    free(v);
}

static void bound(void **state)
{
    (void)state;
    fill(1);
    fill(ARRAY_FIRST - 1);
    fill(ARRAY_FIRST);
    fill(ARRAY_FIRST + 1);
    fill(1000);
    fill(4096);
}

static void beyond_the_bound_at_once(void **state)
{
    (void)state;
    void *v = NULL;
    size_t cap = 0;
    assert_false(array_grow(&v, &cap, 11, 8, 10));
    assert_false(array_grow(&v, &cap, 1, 8, 0));
    assert_null(v);
    assert_int_equal(cap, 0);
    /* Another caller may have had a higher bound. */
    assert_true(array_grow(&v, &cap, 20, 8, 20));
    size_t had = cap;
    assert_true(array_grow(&v, &cap, 15, 8, 10));
    assert_false(array_grow(&v, &cap, had + 1, 8, 10));
    assert_int_equal(cap, had);
    free(v);
}

/* Memory that nobody has is refused, not a reason to end the program. */
#define MEMORY "allocator_may_return_null=1"
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return MEMORY;
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return MEMORY;
}

/* Bytes that a size_t cannot say, and bytes that nobody has. */
static void too_much(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 8, 24, 4096, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *v = NULL;
        size_t cap = 0;
        assert_false(array_grow(&v, &cap, SIZE_MAX, sizes[i], SIZE_MAX));
        assert_false(array_grow(&v, &cap, SIZE_MAX / sizes[i], sizes[i], SIZE_MAX));
        if (sizes[i] > 1) assert_false(array_grow(&v, &cap, SIZE_MAX / sizes[i] + 1, sizes[i], SIZE_MAX));
        assert_null(v);
        assert_int_equal(cap, 0);
    }
    uint64_t *v = NULL;
    size_t cap = 0;
    assert_true(array_grow(&v, &cap, 2, sizeof *v, SIZE_MAX));
    v[0] = 7;
    v[1] = 8;
    uint64_t *old = v;
    size_t had = cap;
    assert_false(array_grow(&v, &cap, SIZE_MAX / sizeof *v + 1, sizeof *v, SIZE_MAX)); /* would be 0 bytes */
    assert_false(array_grow(&v, &cap, SIZE_MAX / sizeof *v + 1 + had, sizeof *v, SIZE_MAX)); /* as now */
    assert_false(array_grow(&v, &cap, PTRDIFF_MAX / sizeof *v, sizeof *v, SIZE_MAX));
    assert_ptr_equal(v, old);
    assert_int_equal(cap, had);
    assert_int_equal(v[0], 7);
    assert_int_equal(v[1], 8);
    free(v);
}

static void order(void **state)
{
    (void)state;
    static const uint64_t ascending[] = {0,
                                         1,
                                         2,
                                         INT32_MAX,
                                         UINT32_MAX,
                                         (uint64_t)UINT32_MAX + 1,
                                         INT64_MAX,
                                         (uint64_t)INT64_MAX + 1,
                                         UINT64_MAX - 1,
                                         UINT64_MAX};
    static const uint32_t words[] = {0, 1, 2, INT32_MAX, (uint32_t)INT32_MAX + 1, UINT32_MAX};
    const int n = sizeof ascending / sizeof *ascending, nwords = sizeof words / sizeof *words;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            assert_int_equal(array_by_u64(&ascending[i], &ascending[k]), i < k ? -1 : i > k);
    for (int i = 0; i < nwords; i++)
        for (int k = 0; k < nwords; k++)
            assert_int_equal(array_by_u32(&words[i], &words[k]), i < k ? -1 : i > k);
}

struct entry {
    uint64_t number;
    char name;
};

static void structures(void **state)
{
    (void)state;
    struct entry v[] = {{UINT64_MAX, 'd'}, {3, 'b'}, {(uint64_t)1 << 40, 'c'}, {1, 'a'}};
    qsort(v, 4, sizeof *v, array_by_u64);
    for (int i = 0; i < 4; i++) assert_int_equal(v[i].name, 'a' + i);
    uint64_t there = (uint64_t)1 << 40, not = 2;
    assert_ptr_equal(bsearch(&there, v, 4, sizeof *v, array_by_u64), &v[2]);
    assert_null(bsearch(&not, v, 4, sizeof *v, array_by_u64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_stays), cmocka_unit_test(wanted_at_once),
        cmocka_unit_test(bound),         cmocka_unit_test(beyond_the_bound_at_once),
        cmocka_unit_test(too_much),      cmocka_unit_test(order),
        cmocka_unit_test(structures),
    };
    return cmocka_run_group_tests_name("array", tests, NULL, NULL);
}
