/* The canonical request, line by line: what must sign alike does, and what differs shows. */
#include "auth/internal.h"
#include "unit/auth/fake_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(0);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void check(const char *request, const char *signed_headers, const char *want)
{
    struct api_request *rq = fake_request(arena, str_c(request));
    struct sigv4 s = {.signed_headers = str_c(signed_headers), .payload = STR("UNSIGNED-PAYLOAD")};
    struct str got = arena_dup(arena, sigv4_canonical(rq, &s));
    assert_non_null(got.p);
    assert_string_equal(got.p, want);
}

static void paths_are_encoded_once_and_never_normalised(void **state)
{
    (void)state;
    check("GET /a/../b//./c\nHost: h\n\n", "host", "GET\n/a/../b//./c\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    check("GET /a(b)%28%29%2f%2F\nHost: h\n\n", "host",
          "GET\n/a%28b%29%28%29//\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    check("GET /%252e%c3%bc+%7e\nHost: h\n\n", "host",
          "GET\n/%252e%C3%BC%2B~\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
}

static void queries_are_sorted_by_their_encoded_bytes(void **state)
{
    (void)state;
    check("GET /?b=2&a=2&a=1&B=&acl&%61=0\nHost: h\n\n", "host",
          "GET\n/\nB=&a=0&a=1&a=2&acl=&b=2\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    check("GET /?k=a+b%20c%2Bd/e&&k2==x\nHost: h\n\n", "host",
          "GET\n/\nk=a%20b%20c%2Bd%2Fe&k2=%3Dx\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    /* '-' sorts before '=', but names are compared before values. */
    check("GET /?a-b=1&a=2\nHost: h\n\n", "host", "GET\n/\na=2&a-b=1\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    check("GET /?X-Amz-Signature=1&x=2&X-Amz-Sign%61ture=3\nHost: h\n\n", "host",
          "GET\n/\nx=2\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
}

static void header_values_are_trimmed_and_joined(void **state)
{
    (void)state;
    check("PUT /k\nHost: h:9000\nX-Amz-Meta-A:   one  two\t three  \nx-amz-meta-b: 2\nX-AMZ-META-A: four\n\n",
          "host;x-amz-meta-a;x-amz-meta-b",
          "PUT\n/k\n\nhost:h:9000\nx-amz-meta-a:one two three,four\nx-amz-meta-b:2\n\n"
          "host;x-amz-meta-a;x-amz-meta-b\nUNSIGNED-PAYLOAD");
    check("PUT /k\nHost: h\n\n", "host;x-absent",
          "PUT\n/k\n\nhost:h\nx-absent:\n\nhost;x-absent\nUNSIGNED-PAYLOAD");
}

/* A list that names one header again and again must not outgrow its buffer. */
static void repeated_names_count_once(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    buf_cstr(&b, "x-long");
    for (int i = 0; i < 200; i++) buf_cstr(&b, ";x-long");
    struct api_request *rq =
        fake_request(arena, STR("GET /\nx-long: 0123456789012345678901234567890123456789\n\n"));
    struct sigv4 s = {.signed_headers = buf_view(&b), .payload = STR("P")};
    struct str got = sigv4_canonical(rq, &s);
    size_t at;
    assert_true(str_find(got, STR("x-long:0123"), &at));
    assert_false(str_find(str_slice(got, at + 1, got.n), STR("x-long:0123"), &at));
    buf_free(&b);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(paths_are_encoded_once_and_never_normalised),
        T(queries_are_sorted_by_their_encoded_bytes),
        T(header_values_are_trimmed_and_joined),
        T(repeated_names_count_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
