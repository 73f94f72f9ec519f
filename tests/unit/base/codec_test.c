#include "base/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define assert_str(s, lit) assert_true(str_eq((s), STR(lit)))

static struct arena *a;
static int make_arena(void **state)
{
    (void)state;
    return (a = arena_new(0)) ? 0 : -1;
}
static int drop_arena(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static void hex(void **state)
{
    (void)state;
    char out[9];
    uint8_t b[4];
    hex_encode("\x00\xff\x1a\xb2", 4, out);
    assert_string_equal(out, "00ff1ab2");
    assert_true(hex_decode(STR("00FF1ab2"), b, 4));
    assert_memory_equal(b, "\x00\xff\x1a\xb2", 4);
    assert_false(hex_decode(STR("00FF1ab"), b, 4));
    assert_false(hex_decode(STR("00FF1ab2"), b, 3));
    assert_false(hex_decode(STR("00FF1aG2"), b, 4));
    assert_false(hex_decode(STR("00FF1a 2"), b, 4));
    assert_true(hex_decode(STR_NONE, b, 0));
}

static void base64_follows_rfc4648(void **state)
{
    (void)state;
    static const char *const text[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const encoded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < 7; i++) {
        char out[16], back[16];
        size_t n = 99;
        base64_encode(text[i], i, out);
        assert_string_equal(out, encoded[i]);
        assert_int_equal(base64_size(i), strlen(encoded[i]));
        assert_true(base64_decode(str_c(encoded[i]), back, i, &n));
        assert_int_equal(n, i);
        assert_memory_equal(back, text[i], i);
        if (i) assert_false(base64_decode(str_c(encoded[i]), back, i - 1, &n));
    }
}

static void base64_is_strict(void **state)
{
    (void)state;
    uint8_t out[32];
    size_t n;
    const struct str bad[] = {STR("Zg"),      STR("Zg="),          STR("Z==="),     STR("===="),
                              STR("Zh=="),    STR("Zm9="),         STR("Zm9v\n"),   STR(" Zm9v"),
                              STR("Zm 9"),    STR("Zm9vZg==Zg=="), STR("Zm9v=Zm9"), STR("Zm-_"),
                              STR("Zm9\x80"), STR("Zm9\0"),        STR("Zg==Zm9v")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(base64_decode(bad[i], out, sizeof out, &n));
    assert_true(base64_decode(STR("+/+/"), out, sizeof out, &n));
    assert_memory_equal(out, "\xfb\xff\xbf", 3);
}

static void base64_every_byte_round_trips(void **state)
{
    (void)state;
    uint8_t in[256], back[256];
    char out[345];
    for (int i = 0; i < 256; i++) in[i] = (uint8_t)i;
    for (size_t from = 0; from < 3; from++) {
        size_t n;
        base64_encode(in + from, 256 - from, out);
        assert_true(base64_decode(str_c(out), back, sizeof back, &n));
        assert_int_equal(n, 256 - from);
        assert_memory_equal(back, in + from, n);
    }
}

static void uri_encode_is_aws(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    uri_encode(&b, STR("AZaz09-_.~ /+*!'()\x7f\xc3\xa4%"), false);
    assert_str(buf_view(&b), "AZaz09-_.~%20%2F%2B%2A%21%27%28%29%7F%C3%A4%25");
    buf_clear(&b);
    uri_encode(&b, STR("/a b/\0"), true);
    assert_str(buf_view(&b), "/a%20b/%00");
    buf_clear(&b);
    list_encode(&b, STR("a b/*~+\xe2\x82\xac"));
    assert_str(buf_view(&b), "a%20b/*~%2B%E2%82%AC");
    buf_free(&b);
}

static void uri_decode_decodes_once(void **state)
{
    (void)state;
    struct str out;
    assert_true(uri_decode(a, STR("a%2Fb%2e%2E%252e+%e2%82%AC"), true, &out));
    assert_str(out, "a/b..%2e+\xe2\x82\xac");
    assert_int_equal(out.p[out.n], 0);
    assert_true(form_decode(a, STR("a+b%2B%20"), &out));
    assert_str(out, "a b+ ");
    assert_true(uri_decode(a, STR_NONE, true, &out));
    assert_non_null(out.p);
    assert_int_equal(out.n, 0);
    assert_true(uri_decode(a, STR("%ff"), false, &out));
    assert_str(out, "\xff");
}

static void uri_decode_refuses(void **state)
{
    (void)state;
    struct str out;
    const struct str bad[] = {STR("%00"), STR("a%00b"), STR("%"),    STR("a%2"), STR("%ZZ"),
                              STR("%2g"), STR("%%41"),  STR("a\0b"), STR("%+1"), STR("% 1")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(uri_decode(a, bad[i], false, &out));
        assert_false(form_decode(a, bad[i], &out));
    }
    const struct str not_utf8[] = {STR("%ff"), STR("%c3"), STR("%c0%af"), STR("%ed%a0%80"), STR("\xc3(")};
    for (size_t i = 0; i < sizeof not_utf8 / sizeof *not_utf8; i++) {
        assert_false(uri_decode(a, not_utf8[i], true, &out));
        assert_false(form_decode(a, not_utf8[i], &out));
    }
}

static void decoding_fails_closed_when_the_arena_is_full(void **state)
{
    (void)state;
    struct arena *small = arena_new(16);
    struct str out;
    assert_false(uri_decode(small, STR("more than sixteen bytes"), true, &out));
    assert_true(arena_overflowed(small));
    arena_free(small);
}

/* Every code point, encoded by the plain rule, is accepted; every other two- and three-byte string is not. */
static void utf8_agrees_with_the_definition(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x110000; cp++) {
        uint8_t e[4];
        size_t n;
        if (cp < 0x80)
            n = 1, e[0] = (uint8_t)cp;
        else if (cp < 0x800)
            n = 2, e[0] = (uint8_t)(0xc0 | cp >> 6);
        else if (cp < 0x10000)
            n = 3, e[0] = (uint8_t)(0xe0 | cp >> 12);
        else
            n = 4, e[0] = (uint8_t)(0xf0 | cp >> 18);
        for (size_t i = 1; i < n; i++) e[i] = (uint8_t)(0x80 | (cp >> 6 * (n - 1 - i) & 0x3f));
        bool want = (cp < 0xd800 || cp > 0xdfff) && cp <= 0x10ffff;
        uint32_t got = 0;
        if (utf8_valid(str_of((char *)e, n)) != want) fail_msg("U+%04X", cp);
        if (utf8_next(str_of((char *)e, n), &got) != (want ? n : 0) || (want && got != cp))
            fail_msg("U+%04X", cp);
        if (n > 1 && utf8_valid(str_of((char *)e, n - 1))) fail_msg("U+%04X cut", cp);
    }
    const struct str bad[] = {STR("\x80"),
                              STR("\xc0\x80"),
                              STR("\xc1\xbf"),
                              STR("\xe0\x9f\xbf"),
                              STR("\xf0\x8f\xbf\xbf"),
                              STR("\xf5\x80\x80\x80"),
                              STR("\xff"),
                              STR("\xfe"),
                              STR("\xc3\xc3"),
                              STR("ok\xe2\x82")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(utf8_valid(bad[i]));
    assert_true(utf8_valid(STR_NONE));
    assert_true(utf8_valid(STR("a\0b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex),
        cmocka_unit_test(base64_follows_rfc4648),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(base64_every_byte_round_trips),
        cmocka_unit_test(uri_encode_is_aws),
        cmocka_unit_test_setup_teardown(uri_decode_decodes_once, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(uri_decode_refuses, make_arena, drop_arena),
        cmocka_unit_test(decoding_fails_closed_when_the_arena_is_full),
        cmocka_unit_test(utf8_agrees_with_the_definition),
    };
    return cmocka_run_group_tests_name("base/codec", tests, NULL, NULL);
}
