/* Requests that are served: keep-alive, pipelines, bodies both ways, HEAD, HTTP/1.0, answers that break. */
#include "unit/http/serve.h"

#define REQ(line) STR(line " HTTP/1.1\r\nHost: h\r\n\r\n")

static void one_connection_many_requests(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    for (int i = 0; i < 50; i++) {
        say(fd, REQ("GET /"));
        assert_answer(fd, 200, "hello");
    }
    struct http_stats st;
    http_get_stats(s->http, &st);
    assert_int_equal(st.requests_total, 50);
    assert_int_equal(st.conns_total, 1);
    assert_int_equal(s->done, 50);
    close(fd);
    server_stop(s);
}

static void the_request_as_seen(void **state)
{
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    say(fd, STR("FROB http://virtual.example:81/inspect?x=%20y HTTP/1.1\r\nHost: other\r\nX-AMZ-Meta-Ab: \tv "
                "w \r\n"
                "Content-Length: 3\r\n\r\nabc"));
    struct answer a = hear(fd);
    assert_int_equal(a.status, 200);
    struct str want = STR("FROB|6|/inspect|x=%20y|virtual.example:81|3|0|1\nhost=other\nx-amz-meta-ab=v w\n"
                          "content-length=3\n");
    assert_true(str_eq(buf_view(&a.body), want));
    assert_int_equal(answer_field(&a, "X-Id").n, 16);
    assert_true(str_starts(answer_field(&a, "X-Peer"), STR("127.0.0.1:")));
    assert_true(str_eq(answer_field(&a, "Server"), STR("Ingot")));
    assert_int_equal(answer_field(&a, "Date").n, 29);
    assert_false(a.close);
    struct str id = arena_dup(*state, answer_field(&a, "X-Id"));
    answer_free(&a);
    say(fd, REQ("GET /inspect"));
    a = hear(fd);
    assert_false(str_eq(id, answer_field(&a, "X-Id")));
    answer_free(&a);
    close(fd);
    server_stop(s);
}

static void pipelined_in_order(void **state)
{
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    struct buf b;
    buf_init(&b, 0);
    for (int i = 0; i < 300; i++) {
        buf_fmt(&b, "GET /made?%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
        buf_fmt(&b, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%0*d", i + 1, i + 1, i);
        buf_fmt(&b,
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%0*d\r\n0\r\n\r\n",
                i + 1, i + 1, i);
    }
    say(fd, buf_view(&b));
    buf_free(&b);
    for (int i = 0; i < 300; i++) {
        const char *want = arena_fmt(*state, "%0*d", i + 1, i).p;
        struct answer a = hear(fd);
        assert_int_equal(a.body.n, i);
        assert_true(is_pattern(buf_view(&a.body)));
        answer_free(&a);
        assert_answer(fd, 200, want);
        assert_answer(fd, 200, want);
    }
    close(fd);
    server_stop(s);
}

/* The same bytes, in two writes cut at every offset. */
static void split_anywhere(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    struct str in =
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n"
            "0\r\nT: v\r\n\r\nPUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde");
    struct buf want;
    buf_init(&want, 0);
    buf_fmt(&want, "5 %08x", crc32c(0, "abcde", 5));
    buf_char(&want, 0);
    int fd = dial(s);
    for (size_t cut = 0; cut <= in.n; cut++) {
        say(fd, str_slice(in, 0, cut));
        usleep(300);
        say(fd, str_slice(in, cut, in.n));
        assert_answer(fd, 200, want.p);
        assert_answer(fd, 200, want.p);
    }
    for (size_t i = 0; i < in.n; i++) say(fd, str_slice(in, i, i + 1));
    assert_answer(fd, 200, want.p);
    assert_answer(fd, 200, want.p);
    buf_free(&want);
    close(fd);
    server_stop(s);
}

/* n pattern bytes to /sum, framed one way or the other. */
static void send_large(struct server *s, int fd, size_t n, bool chunked)
{
    (void)s;
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++) p[i] = pattern(i);
    struct buf b;
    buf_init(&b, 0);
    buf_cstr(&b, "PUT /sum HTTP/1.1\r\nHost: h\r\n");
    if (!chunked) buf_fmt(&b, "Content-Length: %zu\r\n\r\n", n);
    if (chunked) buf_cstr(&b, "Transfer-Encoding: chunked\r\n\r\n");
    say(fd, buf_view(&b));
    for (size_t at = 0, k = 1; chunked && at < n; at += k, k = k * 3 % 200003 + 1) {
        if (k > n - at) k = n - at;
        buf_clear(&b);
        buf_fmt(&b, "%zX\r\n", k);
        buf_add(&b, p + at, k);
        buf_cstr(&b, "\r\n");
        say(fd, buf_view(&b));
    }
    say(fd, chunked ? STR("0\r\n\r\n") : str_of(p, n));
    buf_clear(&b);
    buf_fmt(&b, "%zu %08x", n, crc32c(0, p, n));
    buf_char(&b, 0);
    assert_answer(fd, 200, b.p);
    buf_free(&b);
    free(p);
}

static void large_bodies_in(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    const size_t sizes[] = {1, 4095, 4096, 15000, 16384, 16385, 65536, 65537, 300000, 20 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        send_large(s, fd, sizes[i], false);
        send_large(s, fd, sizes[i], true);
    }
    struct http_stats st;
    http_get_stats(s->http, &st);
    assert_true(st.memory < 1 << 20); /* whatever the size, a body costs a buffer */
    assert_true(st.bytes_in > 2 * (20 << 20));
    close(fd);
    server_stop(s);
}

static void large_bodies_out(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    const size_t sizes[] = {0,     1,     999,   1000,  1001,   5000,   16384,
                            16385, 65535, 65536, 65537, 131072, 400000, 20 << 20};
    const char *paths[] = {"/made", "/bits", "/unknown"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t k = 0; k < sizeof paths / sizeof *paths; k++) {
            struct buf b;
            buf_init(&b, 0);
            buf_fmt(&b, "GET %s?%zu HTTP/1.1\r\nHost: h\r\n\r\n", paths[k], sizes[i]);
            say(fd, buf_view(&b));
            buf_free(&b);
            struct answer a = hear(fd);
            assert_int_equal(a.status, 200);
            assert_false(a.cut);
            assert_int_equal(a.body.n, sizes[i]);
            assert_true(is_pattern(buf_view(&a.body)));
            answer_free(&a);
        }
    }
    close(fd);
    server_stop(s);
}

static void no_body_where_none_may_be(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    const struct {
        struct str req;
        int status;
        const char *length;
    } rows[] = {
        {REQ("HEAD /"), 200, "5"},
        {REQ("HEAD /made?70000"), 200, "70000"},
        {REQ("HEAD /unknown?70000"), 200, NULL},
        {REQ("HEAD /head?123456789012"), 200, "123456789012"},
        {REQ("GET /status?204"), 204, NULL},
        {REQ("GET /status?304"), 304, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        say(fd, rows[i].req);
        struct answer a = hear_answer(fd, true);
        assert_int_equal(a.status, rows[i].status);
        assert_true(str_eq(answer_field(&a, "Content-Length"), str_c(rows[i].length)));
        assert_null(answer_field(&a, "Transfer-Encoding").p);
        answer_free(&a);
    }
    say(fd, REQ("GET /"));
    assert_answer(fd, 200, "hello");
    close(fd);
    server_stop(s);
}

static void http_1_0(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    say(fd, STR("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    struct answer a = hear(fd);
    assert_int_equal(a.status, 200);
    assert_true(str_eq(answer_field(&a, "Connection"), STR("keep-alive")));
    answer_free(&a);
    say(fd, STR("GET / HTTP/1.0\r\n\r\n"));
    a = hear(fd);
    assert_true(a.close);
    answer_free(&a);
    assert_ended(fd);
    close(fd);
    fd = dial(s); /* no chunked for 1.0: the end of the connection ends the body */
    say(fd, STR("GET /unknown?70000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    a = hear(fd);
    assert_true(a.close && a.body.n == 70000 && is_pattern(buf_view(&a.body)));
    assert_null(answer_field(&a, "Transfer-Encoding").p);
    answer_free(&a);
    close(fd);
    server_stop(s);
}

static void closing_on_request(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    const struct str rows[] = {STR("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
                               REQ("GET /close")};
    for (size_t i = 0; i < 2; i++) {
        int fd = dial(s);
        say(fd, rows[i]);
        struct answer a = hear(fd);
        assert_true(a.status == 200 && a.close);
        answer_free(&a);
        assert_ended(fd);
        close(fd);
    }
    server_stop(s);
}

/* A body that breaks is never taken for a whole one. */
static void broken_bodies(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    const struct str cut[] = {REQ("GET /breaks?5000"),           REQ("GET /breaks?95000"),
                              REQ("GET /breaks?100000"),         REQ("GET /breaks-unknown?5000"),
                              REQ("GET /breaks-unknown?100000"), REQ("GET /short")};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        int fd = dial(s);
        say(fd, cut[i]);
        struct answer a = hear(fd);
        assert_true(a.status == 200 || a.status == 0); /* a reset may overtake the head */
        assert_true(a.cut || a.status == 0);
        answer_free(&a);
        close(fd);
    }
    /* broken before anything was sent: an error can still be told, and the connection lives */
    int fd = dial(s);
    say(fd, REQ("GET /breaks?0"));
    assert_answer(fd, 500, "CORRUPT");
    say(fd, REQ("GET /breaks-unknown?0"));
    assert_answer(fd, 500, "CORRUPT");
    say(fd, REQ("GET /breaks-small"));
    assert_answer(fd, 500, "CORRUPT");
    say(fd, REQ("GET /silent"));
    assert_answer(fd, 500, "INTERNAL");
    close(fd);
    server_stop(s);
}

static void header_lines_are_checked(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    say(fd, REQ("GET /headers"));
    struct answer a = hear(fd);
    assert_int_equal(a.status, 200);
    assert_null(answer_field(&a, "X-Evil").p);
    assert_null(answer_field(&a, "X-B").p);
    assert_true(str_eq(answer_field(&a, "X-Good"), STR("v\xff")));
    assert_true(str_eq(answer_field(&a, "X-Number"), STR("18446744073709551615")));
    assert_int_equal(answer_field(&a, "X-Big").n, 8000);
    assert_int_equal(answer_field(&a, "X-Empty").n, 0);
    answer_free(&a);
    close(fd);
    server_stop(s);
}

static void a_unix_socket(void **state)
{
    (void)state;
    char dir[] = "/tmp/ingot-http-XXXXXX", addr[64];
    assert_non_null(mkdtemp(dir));
    snprintf(addr, sizeof addr, "unix:%s/s", dir);
    struct server *s = server_start(NULL, NULL, addr);
    int fd = dial(s);
    say(fd, REQ("GET /"));
    assert_answer(fd, 200, "hello");
    close(fd);
    server_stop(s);
    rmdir(dir);
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

static int run(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one_connection_many_requests),
        T(the_request_as_seen),
        T(pipelined_in_order),
        T(split_anywhere),
        T(large_bodies_in),
        T(large_bodies_out),
        T(no_body_where_none_may_be),
        T(http_1_0),
        T(closing_on_request),
        T(broken_bodies),
        T(header_lines_are_checked),
        T(a_unix_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return run_on_backends(run);
}
