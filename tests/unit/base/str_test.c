#include "base/bytes.h"
#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define assert_str(s, lit) assert_true(str_eq((s), STR(lit)))

static void comparisons(void **state)
{
    (void)state;
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_eq(STR_NONE, STR_NONE));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_ieq(STR("Content-LENGTH"), STR("content-length")));
    assert_false(str_ieq(STR("@"), STR("`"))); /* 32 apart, not letters */
    assert_false(str_ieq(STR("\xc3\x84"), STR("\xc3\xa4")));
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0); /* bytes are unsigned */
    assert_int_equal(str_cmp(STR_NONE, STR("")), 0);
    assert_true(str_eq_secret(STR("same"), STR("same")));
    assert_false(str_eq_secret(STR("same"), STR("sane")));
    assert_false(str_eq_secret(STR("same"), STR("sam")));
    assert_true(str_eq_secret(STR_NONE, STR("")));
}

static void prefixes_and_search(void **state)
{
    (void)state;
    size_t at = 99;
    assert_true(str_starts(STR("abc"), STR("")));
    assert_true(str_starts(STR_NONE, STR("")));
    assert_false(str_starts(STR("ab"), STR("abc")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_true(str_ends(STR_NONE, STR_NONE));
    assert_false(str_ends(STR("c"), STR("bc")));
    assert_true(str_find(STR("aab"), STR("ab"), &at));
    assert_int_equal(at, 1);
    assert_true(str_find(STR_NONE, STR(""), &at));
    assert_int_equal(at, 0);
    assert_false(str_find(STR("ab"), STR("abc"), &at));
    assert_false(str_find(STR_NONE, STR("a"), &at));
}

static void slices_are_clamped(void **state)
{
    (void)state;
    assert_str(str_slice(STR("hello"), 1, 3), "el");
    assert_str(str_slice(STR("hello"), 3, 99), "lo");
    assert_str(str_slice(STR("hello"), 9, 99), "");
    assert_str(str_slice(STR("hello"), 3, 1), "");
    assert_null(str_slice(STR_NONE, 1, 2).p);
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR("  ")), "");
    assert_str(str_trim(STR_NONE), "");
}

static void cut_tells_an_empty_rest_from_none(void **state)
{
    (void)state;
    struct str s = STR("a,,b,");
    assert_str(str_cut(&s, ','), "a");
    assert_str(str_cut(&s, ','), "");
    assert_str(str_cut(&s, ','), "b");
    assert_non_null(s.p);
    assert_str(str_cut(&s, ','), "");
    assert_null(s.p);
    assert_str(str_cut(&s, ','), "");
}

static void numbers(void **state)
{
    (void)state;
    uint64_t u = 7;
    int64_t i = 7;
    assert_true(str_to_u64(STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_true(str_to_u64(STR("007"), &u));
    assert_int_equal(u, 7);
    const struct str bad[] = {STR("18446744073709551616"),
                              STR("99999999999999999999"),
                              STR(""),
                              STR_NONE,
                              STR("-1"),
                              STR("+1"),
                              STR(" 1"),
                              STR("1 "),
                              STR("1a"),
                              STR("0x1"),
                              STR("1\0")};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) assert_false(str_to_u64(bad[k], &u));
    assert_int_equal(u, 7); /* untouched */
    assert_true(str_to_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(str_to_i64(STR("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_true(str_to_i64(STR("-0"), &i));
    assert_int_equal(i, 0);
    assert_false(str_to_i64(STR("9223372036854775808"), &i));
    assert_false(str_to_i64(STR("-9223372036854775809"), &i));
    assert_false(str_to_i64(STR("-"), &i));
    assert_false(str_to_i64(STR("--1"), &i));
}

static void buf_grows_and_formats(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    buf_cstr(&b, "n=");
    buf_u64(&b, 0);
    buf_char(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    buf_fmt(&b, " %d", -5);
    buf_str(&b, STR_NONE);
    assert_str(buf_view(&b), "n=0 18446744073709551615 -5");
    size_t before = b.n;
    buf_fmt(&b, "%0*d", 5000, 7);
    assert_int_equal(b.n, before + 5000);
    assert_int_equal(b.p[b.n - 1], '7');
    assert_false(b.overflow);
    buf_free(&b);
    assert_null(b.p);
}

static void buf_latches_at_its_ceiling(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_cstr(&b, "0123456789");
    assert_false(b.overflow);
    buf_char(&b, 'x');
    assert_true(b.overflow);
    assert_str(buf_view(&b), "0123456789");
    buf_add(&b, "", 0);
    assert_null(buf_reserve(&b, 0)); /* latched, even for nothing */
    buf_clear(&b);
    buf_fmt(&b, "%s", "01234567890");
    assert_true(b.overflow);
    assert_int_equal(b.n, 0);
    buf_clear(&b);
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_clear(&b);
    buf_fmt(&b, "%0*d", 300, 1); /* more than the small buffer of buf_fmt */
    assert_true(b.overflow);
    buf_clear(&b);
    buf_cstr(&b, "ok");
    assert_str(buf_view(&b), "ok");
    buf_free(&b);
}

static void varints_have_one_encoding(void **state)
{
    (void)state;
    const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) buf_varint(&b, values[i]);
    struct rd r = rd_of(buf_view(&b));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) assert_true(rd_varint(&r) == values[i]);
    assert_false(r.bad);
    assert_int_equal(rd_left(&r), 0);
    buf_free(&b);
    const struct str bad[] = {STR("\x80"), STR("\x80\x00"), STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
                              STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), STR("")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = rd_of(bad[i]);
        assert_true(rd_varint(&r) == 0);
        assert_true(r.bad);
    }
}

static void reader_latches(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    buf_le16(&b, 0x1234);
    buf_le32(&b, 0x12345678);
    buf_le64(&b, 0x123456789abcdef0);
    buf_lenstr(&b, STR("key"));
    buf_lenstr(&b, STR(""));
    assert_memory_equal(b.p, "\x34\x12\x78\x56\x34\x12\xf0\xde\xbc\x9a\x78\x56\x34\x12", 14);
    struct rd r = rd_of(buf_view(&b));
    assert_int_equal(rd_le16(&r), 0x1234);
    assert_int_equal(rd_le32(&r), 0x12345678);
    assert_true(rd_le64(&r) == 0x123456789abcdef0);
    assert_str(rd_lenstr(&r), "key");
    assert_str(rd_lenstr(&r), "");
    assert_false(r.bad);
    assert_int_equal(rd_u8(&r), 0);
    assert_true(r.bad);
    r = rd_of(STR("\3ab")); /* a length that lies */
    assert_null(rd_lenstr(&r).p);
    assert_true(r.bad);
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(rd_u8(&r), 0); /* bytes are there, but the latch holds */
    r = rd_of(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_null(rd_lenstr(&r).p); /* a length near 2^64 */
    r = rd_of(STR_NONE);
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(rd_bytes(&r, 0).n, 0);
    buf_free(&b);
}

static void big_endian_order_is_numeric_order(void **state)
{
    (void)state;
    char a[8], b[8];
    put_be64(a, 255);
    put_be64(b, 256);
    assert_true(memcmp(a, b, 8) < 0);
    put_be32(a, 0x01020304);
    assert_memory_equal(a, "\1\2\3\4", 4);
    assert_int_equal(get_be32(a), 0x01020304);
    put_be16(a, 0x0102);
    assert_memory_equal(a, "\1\2", 2);
    assert_int_equal(get_be16(a), 0x0102);
}

struct item {
    int v;
    struct list link;
};

static void list_keeps_order_under_removal(void **state)
{
    (void)state;
    struct list head;
    struct item items[4];
    list_init(&head);
    assert_null(list_pop(&head));
    for (int i = 0; i < 4; i++) {
        items[i].v = i;
        list_append(&head, &items[i].link);
    }
    int seen = 0;
    LIST_EACH(it, &head)
    {
        struct item *e = CONTAINER(it, struct item, link);
        assert_int_equal(e->v, seen++);
        if (e->v == 1) list_remove(it);
    }
    assert_int_equal(seen, 4);
    list_push(&head, &items[1].link);
    assert_ptr_equal(list_pop(&head), &items[1].link);
    assert_ptr_equal(list_pop(&head), &items[0].link);
    assert_ptr_equal(list_pop(&head), &items[2].link);
    assert_ptr_equal(list_pop(&head), &items[3].link);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons),
        cmocka_unit_test(prefixes_and_search),
        cmocka_unit_test(slices_are_clamped),
        cmocka_unit_test(cut_tells_an_empty_rest_from_none),
        cmocka_unit_test(numbers),
        cmocka_unit_test(buf_grows_and_formats),
        cmocka_unit_test(buf_latches_at_its_ceiling),
        cmocka_unit_test(varints_have_one_encoding),
        cmocka_unit_test(reader_latches),
        cmocka_unit_test(big_endian_order_is_numeric_order),
        cmocka_unit_test(list_keeps_order_under_removal),
    };
    return cmocka_run_group_tests_name("base/str", tests, NULL, NULL);
}
