/* Continuation tokens: what was made reads back; anything else is refused. */
#include "api/s3/s3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void round_trips(void **state)
{
    static const char *const keys[] = {"a", "a/b/", "\x01\xff", "~~~?>>>?"};
    struct arena *a = arena_new(0);
    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (unsigned prefix = 0; prefix < 2; prefix++) {
            struct s3_token t = {str_c(keys[i]), prefix}, back;
            struct str text = s3_token_make(a, STR("bucket"), &t);
            assert_true(s3_token_read(a, STR("bucket"), text, &back));
            assert_true(str_eq(back.after, t.after));
            assert_int_equal(back.after_is_prefix, prefix);
            for (size_t k = 0; k < text.n; k++) /* needs no escaping in a query */
                assert_null(memchr("+/&?% ", text.p[k], 6));
            assert_false(s3_token_read(a, STR("other"), text, &back));
        }
    arena_free(a);
}

static void longest_key(void **state)
{
    char key[OBJ_KEY_MAX];
    struct arena *a = arena_new(0);
    (void)state;
    memset(key, 0xff, sizeof key);
    struct s3_token t = {str_of(key, sizeof key), false}, back;
    struct str text = s3_token_make(a, STR("b"), &t);
    assert_true(s3_token_read(a, STR("b"), text, &back));
    assert_int_equal(back.after.n, OBJ_KEY_MAX);
    arena_free(a);
}

static void damage_is_seen(void **state)
{
    struct arena *a = arena_new(0);
    struct s3_token t = {STR("some/key"), false}, back;
    struct str text = arena_dup(a, s3_token_make(a, STR("b"), &t));
    char *p = (char *)(uintptr_t)text.p;
    (void)state;
    for (size_t i = 0; i < text.n; i++) {
        char old = p[i];
        p[i] = old == 'A' ? 'B' : 'A';
        assert_false(s3_token_read(a, STR("b"), text, &back));
        p[i] = old;
        assert_false(s3_token_read(a, STR("b"), str_slice(text, 0, i), &back));
    }
    assert_true(s3_token_read(a, STR("b"), text, &back));
    static const char *const junk[] = {"", "x", "AAAA", "////", "====", "AQAAAAAA", "not a token at all"};
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
        assert_false(s3_token_read(a, STR("b"), str_c(junk[i]), &back));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(longest_key),
        cmocka_unit_test(damage_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
