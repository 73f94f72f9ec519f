#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MS INT64_C(784111777000) /* Sun, 06 Nov 1994 08:49:37 GMT */

static void prints_the_three_forms(void **state)
{
    (void)state;
    char http[TIME_HTTP_SIZE], iso[TIME_ISO_SIZE], amz[TIME_AMZ_SIZE];
    time_http(MS, http);
    time_iso(MS + 5, iso);
    time_amz(MS, amz);
    assert_string_equal(http, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_string_equal(iso, "1994-11-06T08:49:37.005Z");
    assert_string_equal(amz, "19941106T084937Z");
    time_iso(-1, iso);
    assert_string_equal(iso, "1969-12-31T23:59:59.999Z");
    time_http(-1, http);
    assert_string_equal(http, "Wed, 31 Dec 1969 23:59:59 GMT");
    time_iso(INT64_MAX, iso);
    assert_string_equal(iso, "9999-12-31T23:59:59.999Z");
    time_iso(INT64_MIN, iso);
    assert_string_equal(iso, "0000-01-01T00:00:00.000Z");
}

/* Every day of eight centuries, against the C library. */
static void agrees_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = -146097; day < 146097; day++) {
        char want[64], http[TIME_HTTP_SIZE], amz[TIME_AMZ_SIZE];
        time_t t = day * 86400 + 86399;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        time_http((int64_t)t * 1000, http);
        if (strcmp(want, http) != 0) fail_msg("%s is not %s", http, want);
        int64_t back;
        if (!time_parse_http(str_c(http), &back) || back != (int64_t)t * 1000) fail_msg("%s", http);
        time_amz((int64_t)t * 1000, amz);
        if (!time_parse_amz(str_c(amz), &back) || back != (int64_t)t * 1000) fail_msg("%s", amz);
    }
}

static void parses_the_three_forms_of_http(void **state)
{
    (void)state;
    int64_t ms;
    assert_true(time_parse_http(STR("Sun, 06 Nov 1994 08:49:37 GMT"), &ms));
    assert_true(ms == MS);
    assert_true(time_parse_http(STR("Sunday, 06-Nov-94 08:49:37 GMT"), &ms));
    assert_true(ms == MS);
    assert_true(time_parse_http(STR("Sun Nov  6 08:49:37 1994"), &ms));
    assert_true(ms == MS);
    assert_true(time_parse_http(STR("Wed Nov 16 08:49:37 1994"), &ms));
    assert_true(ms == MS + INT64_C(864000000));
    assert_true(time_parse_http(STR("Saturday, 01-Jan-00 00:00:00 GMT"), &ms));
    assert_true(ms == INT64_C(946684800000));
    const struct str bad[] = {STR(""),
                              STR_NONE,
                              STR("Sun, 06 Nov 1994 08:49:37"),
                              STR("Sun, 06 Nov 1994 08:49:37 UTC"),
                              STR("Sun, 06 Nov 1994 08:49:37 GMT "),
                              STR("Sun, 6 Nov 1994 08:49:37 GMT"),
                              STR("Sun, 31 Nov 1994 08:49:37 GMT"),
                              STR("Sun, 29 Feb 1900 08:49:37 GMT"),
                              STR("Sun, 00 Nov 1994 08:49:37 GMT"),
                              STR("Sun, 06 Nov 1994 24:00:00 GMT"),
                              STR("Sun, 06 Nov 1994 08:60:00 GMT"),
                              STR("Sun, 06 Nov 1994 08:49:61 GMT"),
                              STR("Xxx, 06 Nov 1994 08:49:37 GMT"),
                              STR("Sun, 06 Foo 1994 08:49:37 GMT"),
                              STR("garbage"),
                              STR("1994-11-06T08:49:37Z")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(time_parse_http(bad[i], &ms));
    assert_true(time_parse_http(STR("Thu, 29 Feb 2024 00:00:00 GMT"), &ms));
    assert_true(time_parse_http(STR("Tue, 29 Feb 2000 00:00:00 GMT"), &ms));
}

static void parses_iso_8601(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        int64_t ms;
    } good[] = {
        {{"1994-11-06T08:49:37Z", 20}, MS},
        {{"1994-11-06T08:49:37.5Z", 22}, MS + 500},
        {{"1994-11-06T08:49:37.123456789Z", 30}, MS + 123},
        {{"1994-11-06T10:19:37+01:30", 25}, MS},
        {{"1994-11-06T07:49:37.000-01:00", 29}, MS},
        {{"1970-01-01", 10}, 0},
        {{"2016-12-31T23:59:60Z", 20}, INT64_C(1483228800000)},
    };
    int64_t ms;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(time_parse_iso(good[i].text, &ms));
        assert_true(ms == good[i].ms);
    }
    const struct str bad[] = {STR(""),
                              STR("1994-11-06T"),
                              STR("1994-11-06T08:49:37"),
                              STR("1994-11-06T08:49:37.Z"),
                              STR("1994-11-06T08:49:37.5"),
                              STR("1994-11-06T08:49:37ZZ"),
                              STR("1994-11-06T08:49:37+25:00"),
                              STR("1994-11-06T08:49:37+01:60"),
                              STR("1994-11-06T08:49:37*01:00"),
                              STR("1994-13-06T08:49:37Z"),
                              STR("1994-02-29"),
                              STR("94-11-06"),
                              STR("1994-11-06 08:49:37Z"),
                              STR("+994-11-06")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(time_parse_iso(bad[i], &ms));
}

static void parses_amz_strictly(void **state)
{
    (void)state;
    int64_t ms;
    assert_true(time_parse_amz(STR("19941106T084937Z"), &ms));
    assert_true(ms == MS);
    assert_false(time_parse_amz(STR("19941106T084937"), &ms));
    assert_false(time_parse_amz(STR("19941106T084937z"), &ms));
    assert_false(time_parse_amz(STR("19941306T084937Z"), &ms));
    assert_false(time_parse_amz(STR("1994-11-06T08:49:37Z"), &ms));
    assert_false(time_parse_amz(STR("19941106T084937Z\0"), &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_the_three_forms),
        cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(parses_the_three_forms_of_http),
        cmocka_unit_test(parses_iso_8601),
        cmocka_unit_test(parses_amz_strictly),
    };
    return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
