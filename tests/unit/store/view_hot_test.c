/* What is kept of hot keys: never what a write made old. */
#include "store/view_hot.h"
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

static struct str key_of(unsigned i, char b[9])
{
    put_be64(b, i);
    b[8] = 'g';
    return str_of(b, 9);
}

static int setup(void **state)
{
    *state = view_hot_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    view_hot_free(*state);
    return 0;
}

static void keep(struct view_hot *h, struct str key, const char *value)
{
    struct hot_value v;
    uint64_t ticket;
    (void)view_hot_get(h, key, &v, &ticket);
    view_hot_keep(h, key, str_of(value, strlen(value)), 5, ticket);
}

static bool has(struct view_hot *h, struct str key, const char *value)
{
    struct hot_value v;
    uint64_t ticket;
    return view_hot_get(h, key, &v, &ticket) && v.seq == 5 &&
           str_eq(str_of(v.p, v.n), str_of(value, strlen(value)));
}

static void written(struct view_hot *h, struct str key)
{
    struct hot_keys k = {0};
    hot_keys_add(&k, key);
    view_hot_written(h, &k);
}

static void test_kept_until_written(void **state)
{
    struct view_hot *h = *state;
    char b[9];
    struct str key = key_of(1, b);
    assert_false(has(h, key, "one"));
    keep(h, key, "one");
    assert_true(has(h, key, "one"));
    written(h, key);
    assert_false(has(h, key, "one"));
    keep(h, key, "two");
    assert_true(has(h, key, "two"));
}

/* Read, then written by another, then kept: the value is old. */
static void test_what_a_write_overtook_is_not_kept(void **state)
{
    struct view_hot *h = *state;
    char b[9];
    struct str key = key_of(1, b);
    struct hot_value v;
    uint64_t ticket;
    assert_false(view_hot_get(h, key, &v, &ticket));
    written(h, key);
    view_hot_keep(h, key, STR("old"), 5, ticket);
    assert_false(has(h, key, "old"));
}

static void test_too_long_is_not_kept(void **state)
{
    struct view_hot *h = *state;
    char b[9], value[HOT_VALUE_MAX + 2];
    memset(value, 'v', sizeof value);
    value[HOT_VALUE_MAX + 1] = 0;
    keep(h, key_of(1, b), value);
    assert_false(has(h, key_of(1, b), value));
    value[HOT_VALUE_MAX] = 0;
    keep(h, key_of(1, b), value);
    assert_true(has(h, key_of(1, b), value));
}

/* Many keys share a slot: each is found whole or not at all, and a write of one leaves the other. */
static void test_keys_that_share_a_slot(void **state)
{
    struct view_hot *h = *state;
    char b[9], value[16];
    unsigned found = 0, left = 0;
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(value, sizeof value, "%u", i);
        keep(h, key_of(i, b), value);
        assert_true(has(h, key_of(i, b), value));
    }
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(value, sizeof value, "%u", i);
        found += has(h, key_of(i, b), value);
        written(h, key_of(i, b));
        assert_false(has(h, key_of(i, b), value));
    }
    for (unsigned i = 4000; i < 5000; i++) {
        snprintf(value, sizeof value, "%u", i);
        left += has(h, key_of(i, b), value);
    }
    assert_true(found > 0 && left > 300);
}

static void test_a_batch_of_many_forgets_all(void **state)
{
    struct view_hot *h = *state;
    char b[9];
    struct hot_keys k = {0};
    keep(h, key_of(0, b), "zero");
    for (unsigned i = 1; i < 5000; i++) hot_keys_add(&k, key_of(i % 10 + 1, b));
    assert_true(k.n == 10 && !k.many);
    view_hot_written(h, &k);
    assert_true(has(h, key_of(0, b), "zero"));
    for (unsigned i = 1; i < 5000; i++) hot_keys_add(&k, key_of(i, b));
    assert_true(k.many);
    view_hot_written(h, &k);
    assert_false(has(h, key_of(0, b), "zero"));
}

#define HOT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOT_TEST(test_kept_until_written),          HOT_TEST(test_what_a_write_overtook_is_not_kept),
        HOT_TEST(test_too_long_is_not_kept),        HOT_TEST(test_keys_that_share_a_slot),
        HOT_TEST(test_a_batch_of_many_forgets_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
