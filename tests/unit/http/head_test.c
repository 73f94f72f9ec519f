/* The parser of request heads and of chunked bodies, over bytes alone. */
#include "http/chunked.h"
#include "http/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MAX_BYTES  16384
#define MAX_FIELDS 200

/* Scan and parse; *used is the length of the section. */
static err parse_limited(struct arena *a, struct str in, size_t max_bytes, unsigned max_fields,
                         struct head *h, size_t *used)
{
    char *p = (char *)(uintptr_t)arena_dup(a, in).p;
    struct head_scan s = {0};
    err why;
    *used = 0;
    switch (head_scan(&s, p, in.n, max_bytes, max_fields, used, &why)) {
    case HEAD_MORE:
        return ERR_TIMED_OUT; /* stands for "needs more" here */
    case HEAD_BAD:
        assert_int_not_equal(why, ERR_OK);
        return why;
    case HEAD_DONE:
        break;
    }
    return head_parse(a, p + s.start, *used - s.start, s.lines, h);
}

static err parse(struct arena *a, struct str in, struct head *h)
{
    size_t used;
    return parse_limited(a, in, MAX_BYTES, MAX_FIELDS, h, &used);
}

static struct str field(const struct head *h, const char *name)
{
    for (size_t i = 0; i < h->nheaders; i++)
        if (str_eq(h->headers[i].name, str_c(name))) return h->headers[i].value;
    return STR_NONE;
}

#define EQ(s, lit) assert_true(str_eq((s), STR(lit)))

static void a_plain_get(void **state)
{
    struct head h;
    assert_int_equal(parse(*state,
                           STR("GET /bucket/key%20x?list-type=2&a=b?c HTTP/1.1\r\nHost: s3.example:9000\r\n"
                               "X-Amz-Date:20130524T000000Z\r\nEmpty:\r\nBlank: \t \r\nTail: a b \t\r\n\r\n"),
                           &h),
                     ERR_OK);
    EQ(h.method, "GET");
    EQ(h.target, "/bucket/key%20x?list-type=2&a=b?c");
    EQ(h.path, "/bucket/key%20x");
    EQ(h.query, "list-type=2&a=b?c");
    EQ(h.host, "s3.example:9000");
    assert_int_equal(h.nheaders, 5);
    EQ(field(&h, "x-amz-date"), "20130524T000000Z");
    EQ(field(&h, "empty"), "");
    EQ(field(&h, "blank"), "");
    EQ(field(&h, "tail"), "a b");
    assert_int_equal(h.content_length, -1);
    assert_true(h.keep_alive && !h.chunked && !h.expect_continue);
}

static void targets(void **state)
{
    const struct {
        const char *line;
        err e;
        const char *path, *query, *host;
    } rows[] = {
        {"GET / HTTP/1.1", ERR_OK, "/", NULL, "h"},
        {"GET /? HTTP/1.1", ERR_OK, "/", "", "h"},
        {"GET //a//b/../c HTTP/1.1", ERR_OK, "//a//b/../c", NULL, "h"},
        {"GET /%2e%2e%2f HTTP/1.1", ERR_OK, "/%2e%2e%2f", NULL, "h"},
        {"GET http://other:81/x?y HTTP/1.1", ERR_OK, "/x", "y", "other:81"},
        {"GET HTTPS://other HTTP/1.1", ERR_OK, "/", NULL, "other"},
        {"GET http://other?y HTTP/1.1", ERR_OK, "/", "y", "other"},
        {"OPTIONS * HTTP/1.1", ERR_OK, "/", NULL, "h"},
        {"GET * HTTP/1.1", ERR_INVALID_URI, NULL, NULL, NULL},
        {"GET http:///x HTTP/1.1", ERR_INVALID_URI, NULL, NULL, NULL},
        {"GET http://user@host/x HTTP/1.1", ERR_INVALID_URI, NULL, NULL, NULL},
        {"GET ftp://host/x HTTP/1.1", ERR_INVALID_URI, NULL, NULL, NULL},
        {"GET x HTTP/1.1", ERR_INVALID_URI, NULL, NULL, NULL},
        {"GET /a#b HTTP/1.1", ERR_INVALID_URI, NULL, NULL, NULL},
        {"CONNECT h:443 HTTP/1.1", ERR_INVALID_URI, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head h;
        struct str in = arena_fmt(*state, "%s\r\nHost: h\r\n\r\n", rows[i].line);
        print_message("%s\n", rows[i].line);
        assert_int_equal(parse(*state, in, &h), rows[i].e);
        if (rows[i].e) continue;
        assert_true(str_eq(h.path, str_c(rows[i].path)));
        assert_true(str_eq(h.query, str_c(rows[i].query)));
        assert_int_equal(h.query.p != NULL, rows[i].query != NULL);
        assert_true(str_eq(h.host, str_c(rows[i].host)));
    }
}

/* What a strict server refuses. Every row is a whole head; none may wait for more, none may pass. */
static void refused(void **state)
{
    const struct {
        const char *in;
        err e;
    } rows[] = {
        /* framing: one length, of one kind */
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
         ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
         ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 6\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x10\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1 2\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1e3\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775808\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551621\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", ERR_NOT_IMPLEMENTED},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ERR_NOT_IMPLEMENTED},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", ERR_NOT_IMPLEMENTED},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", ERR_NOT_IMPLEMENTED},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunkedx\r\n\r\n", ERR_NOT_IMPLEMENTED},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n", ERR_BAD_REQUEST},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         ERR_NOT_IMPLEMENTED},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n", ERR_NOT_IMPLEMENTED},
        {"PUT / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_BAD_REQUEST},
        /* line ends and bytes */
        {"GET / HTTP/1.1\nHost: h\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\n\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\rX: y\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\rHost: h\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\n\tfolded\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX y\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\n: y\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX\x01y: z\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: \x01\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: \x7f\r\n\r\n", ERR_BAD_REQUEST},
        /* the request line */
        {"GET /\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTX/1.1\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST},
        {"PRI * HTTP/2.0\r\n\r\n", ERR_BAD_REQUEST},
        {"GET  HTTP/1.1\r\nHost: h\r\n\r\n", ERR_INVALID_URI},
        {"GET / x HTTP/1.1\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST},
        {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST},
        {"\x16\x03\x01", ERR_BAD_REQUEST},
        {"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", ERR_INVALID_URI},
        /* hosts */
        {"GET / HTTP/1.1\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ERR_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: u@b\r\n\r\n", ERR_BAD_REQUEST},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head h;
        err e = parse(*state, str_c(rows[i].in), &h);
        if (e == rows[i].e) continue;
        print_error("%s not %s for %s", err_name(e), err_name(rows[i].e), rows[i].in);
        wrong++;
    }
    assert_int_equal(wrong, 0);
    struct head h;
    assert_int_equal(parse(*state, STR("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n"), &h), ERR_BAD_REQUEST);
    assert_int_equal(parse(*state, STR("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"), &h), ERR_BAD_REQUEST);
}

static void accepted_framing(void **state)
{
    struct head h;
    assert_int_equal(parse(*state, STR("PUT /a HTTP/1.1\r\nhost: h\r\nCONTENT-LENGTH: 0042 \r\n\r\n"), &h),
                     ERR_OK);
    assert_int_equal(h.content_length, 42);
    EQ(h.headers[1].name, "content-length");
    assert_int_equal(
        parse(*state, STR("PUT /a HTTP/1.1\r\nhost: h\r\nContent-Length: 9223372036854775807\r\n\r\n"), &h),
        ERR_OK);
    assert_int_equal(h.content_length, INT64_MAX);
    assert_int_equal(
        parse(*state, STR("PUT /a HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"), &h), ERR_OK);
    assert_true(h.chunked && h.content_length == -1);
    assert_int_equal(parse(*state, STR("PUT /a HTTP/1.1\r\nhost: h\r\nExpect: 100-Continue\r\n\r\n"), &h),
                     ERR_OK);
    assert_true(h.expect_continue);
    assert_int_equal(parse(*state, STR("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nX: \xff\xfe\r\n\r\n"), &h),
                     ERR_OK);
    EQ(field(&h, "x"), "\xff\xfe");
    assert_int_equal(
        parse(*state, STR("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), &h),
        ERR_OK);
}

static void keep_alive_by_version_and_token(void **state)
{
    const struct {
        const char *version, *connection;
        bool keep;
    } rows[] = {
        {"1.1", "", true},
        {"1.1", "Connection: close\r\n", false},
        {"1.1", "Connection: x, CLOSE\r\n", false},
        {"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
        {"1.1", "Connection: close\r\nConnection: keep-alive\r\n", false},
        {"1.1", "Connection: closed\r\n", true},
        {"1.0", "", false},
        {"1.0", "Connection: Keep-Alive\r\n", true},
        {"1.0", "Connection: keep-alive, close\r\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head h;
        struct str in =
            arena_fmt(*state, "GET / HTTP/%s\r\nHost: h\r\n%s\r\n", rows[i].version, rows[i].connection);
        assert_int_equal(parse(*state, in, &h), ERR_OK);
        assert_int_equal(h.keep_alive, rows[i].keep);
    }
}

static void any_token_is_a_method(void **state)
{
    const char *methods[] = {"PATCH", "FOO", "get", "M-SEARCH", "SOURCE", "DESCRIBE", "CONNECT", "PRI", "X"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct head h;
        struct str in = arena_fmt(*state, "%s /k HTTP/1.1\r\nHost: h\r\n\r\n", methods[i]);
        assert_int_equal(parse(*state, in, &h), ERR_OK);
        assert_true(str_eq(h.method, str_c(methods[i])));
        EQ(h.path, "/k");
    }
}

static void limits(void **state)
{
    struct head h;
    size_t used;
    struct buf b;
    buf_init(&b, 0);
    buf_cstr(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 9; i++) buf_cstr(&b, "a: b\r\n");
    buf_cstr(&b, "\r\n");
    struct str in = buf_view(&b);
    assert_int_equal(parse_limited(*state, in, MAX_BYTES, 10, &h, &used), ERR_OK);
    assert_int_equal(h.nheaders, 10);
    assert_int_equal(used, in.n);
    assert_int_equal(parse_limited(*state, in, MAX_BYTES, 9, &h, &used), ERR_HEADERS_TOO_LARGE);
    assert_int_equal(parse_limited(*state, in, in.n, 10, &h, &used), ERR_OK);
    assert_int_equal(parse_limited(*state, in, in.n - 1, 10, &h, &used), ERR_HEADERS_TOO_LARGE);
    /* an endless line is refused when the limit is met, not later */
    struct head_scan s = {0};
    err why;
    char line[64];
    memset(line, 'a', sizeof line);
    assert_int_equal(head_scan(&s, line, 63, 64, 10, &used, &why), HEAD_MORE);
    assert_int_equal(head_scan(&s, line, 64, 64, 10, &used, &why), HEAD_BAD);
    assert_int_equal(why, ERR_HEADERS_TOO_LARGE);
    buf_free(&b);
}

/* The same bytes give the same result however they are split. */
static void splits_change_nothing(void **state)
{
    (void)state;
    struct str in =
        STR("\r\nPUT /b/k?x=y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX-Amz-Meta-A: v\r\n\r\nabcGET");
    struct str bad = STR("GET / HTTP/1.1\r\nHost: h\r\nX: a\nb\r\n\r\n");
    for (size_t cut = 0; cut <= in.n; cut++) {
        struct head_scan s = {0};
        size_t end = 0;
        err why;
        enum head_step step = head_scan(&s, in.p, cut, MAX_BYTES, MAX_FIELDS, &end, &why);
        if (step == HEAD_MORE) step = head_scan(&s, in.p, in.n, MAX_BYTES, MAX_FIELDS, &end, &why);
        assert_int_equal(step, HEAD_DONE);
        assert_int_equal(end, in.n - 6);
        assert_int_equal(s.start, 2);
        assert_int_equal(s.lines, 4);
    }
    for (size_t cut = 0; cut <= bad.n; cut++) {
        struct head_scan s = {0};
        size_t end;
        err why;
        enum head_step step = head_scan(&s, bad.p, cut, MAX_BYTES, MAX_FIELDS, &end, &why);
        if (step == HEAD_MORE) step = head_scan(&s, bad.p, bad.n, MAX_BYTES, MAX_FIELDS, &end, &why);
        assert_int_equal(step, HEAD_BAD);
        assert_int_equal(why, ERR_BAD_REQUEST);
    }
}

/* ---- chunked ---- */

/* Decode in, handed over in pieces of `step` bytes. Returns the last step; *rest: input not used. */
static enum chunk_step decode(struct str in, size_t step, struct buf *out, size_t *rest)
{
    struct chunked c = {0};
    const char *p = in.p, *all = in.p + in.n;
    enum chunk_step r = CHUNK_MORE;
    buf_init(out, 0);
    while (p < all) {
        const char *end = (size_t)(all - p) < step ? all : p + step;
        struct str v;
        while ((r = chunked_step(&c, &p, end, &v)) == CHUNK_DATA) {
            assert_true(v.n > 0);
            buf_str(out, v);
        }
        if (r != CHUNK_MORE) break;
        assert_ptr_equal(p, end);
    }
    *rest = (size_t)(all - p);
    return r;
}

static void chunks(void **state)
{
    (void)state;
    struct buf big;
    buf_init(&big, 0);
    buf_cstr(&big, "1;");
    for (int i = 0; i < 2000; i++) buf_char(&big, 'x');
    const struct {
        struct str in;
        enum chunk_step end;
        const char *out;
        size_t rest;
    } rows[] = {
        {STR("5\r\nhello\r\n0\r\n\r\n"), CHUNK_END, "hello", 0},
        {STR("0\r\n\r\nGET /"), CHUNK_END, "", 5},
        {STR("3\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\nx"), CHUNK_END, "abc0123456789", 1},
        {STR("0003;name=\"v\"\r\nabc\r\n0;x\r\n\r\n"), CHUNK_END, "abc", 0},
        {STR("a\r\n01234"), CHUNK_MORE, "01234", 0},
        {STR("5\nhello\r\n0\r\n\r\n"), CHUNK_BAD, "", 0},
        {STR("5\r\nhello\n0\r\n\r\n"), CHUNK_BAD, "hello", 0},
        {STR("5\r\nhelloX"), CHUNK_BAD, "hello", 0},
        {STR("5\r\nhello\r\n0\n"), CHUNK_BAD, "hello", 0},
        {STR("5\r\nhello\r\n0\r\n\n"), CHUNK_BAD, "hello", 0},
        {STR("5\r\nhello\r\n0\r\nX: y\n"), CHUNK_BAD, "hello", 0},
        {STR("5\r\nhello\r\n0\r\n folded\r\n"), CHUNK_BAD, "hello", 0},
        {STR("5\rXhello"), CHUNK_BAD, "", 0},
        {STR(" 5\r\n"), CHUNK_BAD, "", 0},
        {STR("5 \r\n"), CHUNK_BAD, "", 0},
        {STR("-5\r\n"), CHUNK_BAD, "", 0},
        {STR("+5\r\n"), CHUNK_BAD, "", 0},
        {STR("0x5\r\n"), CHUNK_BAD, "", 0},
        {STR("\r\n"), CHUNK_BAD, "", 0},
        {STR(";x\r\n"), CHUNK_BAD, "", 0},
        {STR("g\r\n"), CHUNK_BAD, "", 0},
        {STR("5;a\nhello"), CHUNK_BAD, "", 0},
        {STR("5;a\0\r\nhello"), CHUNK_BAD, "", 0},
        {STR("ffffffffffffffff\r\n"), CHUNK_BAD, "", 0},
        {STR("8000000000000000\r\n"), CHUNK_BAD, "", 0},
        {STR("7fffffffffffffff\r\nx"), CHUNK_MORE, "x", 0},
        {buf_view(&big), CHUNK_BAD, "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t step = 1; step <= 40; step++) {
            struct buf out;
            size_t rest;
            enum chunk_step end = decode(rows[i].in, step, &out, &rest);
            assert_int_equal(end, rows[i].end);
            assert_true(str_eq(buf_view(&out), str_c(rows[i].out)));
            if (end == CHUNK_END) assert_int_equal(rest, rows[i].rest);
            buf_free(&out);
        }
    }
    buf_free(&big);
}

static void trailers_are_bounded(void **state)
{
    (void)state;
    struct buf b, out;
    size_t rest;
    buf_init(&b, 0);
    buf_cstr(&b, "0\r\n");
    for (int i = 0; i < 1000; i++) buf_cstr(&b, "X-Trailer: value\r\n");
    assert_int_equal(decode(buf_view(&b), 1000, &out, &rest), CHUNK_BAD);
    buf_free(&out);
    buf_free(&b);
}

static int setup(void **state)
{
    *state = arena_new(0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_plain_get),
        T(targets),
        T(refused),
        T(accepted_framing),
        T(keep_alive_by_version_and_token),
        T(any_token_is_a_method),
        T(limits),
        T(splits_change_nothing),
        T(chunks),
        T(trailers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
