/* What a hostile or careless client sends: framing that must be refused, bodies that end early or stall,
 * heads that trickle, expectations that are refused. Numbers in comments are rows of the list of hostile
 * inputs. */
#include "unit/http/serve.h"
#include "http/internal.h"

#define REQ(line) STR(line " HTTP/1.1\r\nHost: h\r\n\r\n")

/* Refused with that status, announced as the connection's last answer, and then ended. */
static void assert_refused(struct server *s, struct str in, int status)
{
    int fd = dial(s);
    int before = s->handled;
    say(fd, in);
    struct answer a = hear(fd);
    if (a.status != status) print_error("%d for %.*s\n", a.status, STR_FMT(in));
    assert_int_equal(a.status, status);
    assert_true(a.close);
    assert_true(answer_field(&a, "X-Error").n > 0);
    answer_free(&a);
    shutdown(fd, SHUT_WR);
    assert_ended(fd);
    close(fd);
    assert_int_equal(s->handled, before);
}

static void framing_is_refused(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    /* 1: both; 2: two lengths; 3: bad lengths */
    assert_refused(
        s,
        STR("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        400);
    assert_refused(
        s, STR("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"), 400);
    assert_refused(s, STR("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\nabcde"), 400);
    assert_refused(s, STR("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\nabcde"), 400);
    assert_refused(s, STR("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n"), 400);
    assert_refused(s, STR("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
                   501);
    assert_refused(s, STR("GET / HTTP/1.1\nHost: h\r\n\r\n"), 400);
    assert_refused(s, STR("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n"), 400);
    assert_refused(s, STR("GET / HTTP/1.1\r\nHost: h\r\n folded: x\r\n\r\n"), 400);
    assert_refused(s, STR("GET / HTTP/1.1\r\nHost : h\r\n\r\n"), 400);
    assert_refused(s, STR("GET / HTTP/3.0\r\nHost: h\r\n\r\n"), 400);
    assert_refused(s, STR("GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    assert_refused(s, STR("\x16\x03\x01\x02\x00\x01\x00"), 400);
    /* behind a good request of the same connection */
    int fd = dial(s);
    say(fd, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: a b\r\n\r\nGET / HTTP/1.1\r\nHost: "
                "h\r\n\r\n"));
    assert_answer(fd, 200, "hello");
    assert_answer(fd, 400, "BAD_REQUEST");
    shutdown(fd, SHUT_WR);
    assert_ended(fd);
    close(fd);
    server_stop(s);
}

/* 4: without a length there is no body; the layer above answers 411. */
static void no_length_is_no_body(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    say(fd, REQ("PUT /inspect"));
    struct answer a = hear(fd);
    assert_true(str_starts(buf_view(&a.body), STR("PUT|2|/inspect||h|-1|0|0\n")));
    answer_free(&a);
    close(fd);
    server_stop(s);
}

/* 5 */
static void large_heads(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    struct buf b;
    buf_init(&b, 0);
    buf_cstr(&b, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    while (b.n < 16384 - 4) buf_char(&b, 'x');
    buf_cstr(&b, "\r\n\r\n");
    int fd = dial(s);
    say(fd, buf_view(&b)); /* exactly the limit */
    assert_answer(fd, 200, "hello");
    close(fd);
    b.n -= 4;
    buf_cstr(&b, "x\r\n\r\n");
    fd = dial(s);
    say(fd, buf_view(&b));
    struct answer a = hear(fd);
    assert_int_equal(a.status, 400);
    assert_true(a.close && str_eq(answer_field(&a, "X-Error"), STR("HEADERS_TOO_LARGE")));
    answer_free(&a);
    close(fd);
    buf_clear(&b);
    buf_cstr(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 200; i++) buf_cstr(&b, "a:b\r\n");
    buf_cstr(&b, "\r\n");
    assert_refused(s, buf_view(&b), 400);
    buf_free(&b);
    server_stop(s);
}

static void broken_chunks(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    const struct str rows[] = {STR("5\nhello\r\n0\r\n\r\n"), STR("x\r\n"), STR("5\r\nhelloXX0\r\n\r\n"),
                               STR("ffffffffffffffff\r\nhello"), STR("5\r\nhello\r\n0\r\nX: y\n\r\n")};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = dial(s);
        say(fd, STR("PUT /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
        say(fd, rows[i]);
        struct answer a = hear(fd);
        assert_int_equal(a.status, 400);
        assert_true(a.close && str_eq(answer_field(&a, "X-Error"), STR("BAD_REQUEST")));
        answer_free(&a);
        shutdown(fd, SHUT_WR);
        assert_ended(fd);
        close(fd);
    }
    server_stop(s);
}

/* 8: heads at a byte now and then. Each costs a buffer and no fiber. */
static void slow_heads_are_closed(void **state)
{
    (void)state;
    struct http_limits l = {.header_ns = 400 * RT_MS, .idle_ns = 5 * RT_SEC};
    struct server *s = server_start(&l, NULL, NULL);
    enum { N = 20 };
    int fd[N];
    for (int i = 0; i < N; i++) fd[i] = dial(s);
    int64_t from = now_ms();
    const char *head = "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (int k = 0; k < 6; k++) {
        for (int i = 0; i < N; i++) say(fd[i], str_of(head + k, 1));
        usleep(30000);
        struct rt_stats st;
        rt_get_stats(s->rt, &st);
        assert_int_equal(st.fibers_live, 0);
    }
    for (int i = 0; i < N; i++) {
        assert_ended(fd[i]);
        close(fd[i]);
    }
    int64_t took = now_ms() - from;
    assert_true(took >= 390 && took < 2000);
    assert_int_equal(s->handled, 0);
    server_stop(s);
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    struct http_limits l = {.idle_ns = 300 * RT_MS};
    struct server *s = server_start(&l, NULL, NULL);
    int fresh = dial(s), used = dial(s);
    say(used, REQ("GET /"));
    assert_answer(used, 200, "hello");
    int64_t from = now_ms();
    assert_ended(fresh);
    assert_ended(used);
    int64_t took = now_ms() - from;
    assert_true(took >= 200 && took < 2000);
    close(fresh);
    close(used);
    server_stop(s);
}

/* 9 */
static void stalled_bodies(void **state)
{
    (void)state;
    struct http_limits l = {.body_progress_ns = 300 * RT_MS};
    struct server *s = server_start(&l, NULL, NULL);
    const struct str rows[] = {
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc"),
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc")};
    for (size_t i = 0; i < 2; i++) {
        int fd = dial(s);
        say(fd, rows[i]);
        usleep(200000);
        say(fd, STR("d")); /* progress: the clock starts anew */
        int64_t from = now_ms();
        struct answer a = hear(fd);
        int64_t took = now_ms() - from;
        assert_true(took >= 280 && took < 2000);
        assert_int_equal(a.status, 400);
        assert_true(a.close && str_eq(answer_field(&a, "X-Error"), STR("REQUEST_TIMEOUT")));
        answer_free(&a);
        shutdown(fd, SHUT_WR);
        assert_ended(fd);
        close(fd);
    }
    server_stop(s);
}

/* 9: drops that are never silent for long, but too few. */
static void bodies_below_the_least_rate(void **state)
{
    (void)state;
    struct http_limits l = {.body_progress_ns = 200 * RT_MS, .body_rate = 1000};
    struct server *s = server_start(&l, NULL, NULL);
    const struct str rows[] = {
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"),
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n")};
    for (size_t i = 0; i < 2; i++) {
        int fd = dial(s);
        say(fd, rows[i]);
        int64_t from = now_ms();
        struct pollfd answered = {.fd = fd, .events = POLLIN};
        unsigned drops = 0;
        while (poll(&answered, 1, 10) == 0 && drops < 60000) drops += send(fd, "d", 1, MSG_NOSIGNAL) == 1;
        assert_true(now_ms() - from >= 190);
        struct answer a = hear(fd);
        assert_int_equal(a.status, 400);
        assert_true(a.close && str_eq(answer_field(&a, "X-Error"), STR("REQUEST_TIMEOUT")));
        answer_free(&a);
        close(fd);
    }
    server_stop(s);
}

/* What has come pays for its time, and no single wait is longer than the longest silence. */
static void how_long_a_body_may_wait(void **state)
{
    (void)state;
    const int64_t most = 30 * RT_SEC;
    assert_int_equal(body_patience(most, 1000, 0, 0), most);
    assert_int_equal(body_patience(most, 1000, 0, 10 * RT_SEC), 20 * RT_SEC);
    assert_int_equal(body_patience(most, 1000, 5500, 30 * RT_SEC), 5500 * RT_MS);
    assert_int_equal(body_patience(most, 1000, 5500, 35500 * RT_MS), 0);
    assert_int_equal(body_patience(most, 1000, 5500, 99 * RT_SEC), 0);
    assert_int_equal(body_patience(most, 1000, 1000000, 40 * RT_SEC), most);
    assert_int_equal(body_patience(most, 0, 1, 3600 * RT_SEC), most); /* no least rate */
    assert_int_equal(body_patience(most, 1, (uint64_t)5 << 40, 3600 * RT_SEC), most);
    assert_int_equal(body_patience(most, (uint64_t)1 << 30, (uint64_t)5 << 40, 5119 * RT_SEC), most);
    assert_int_equal(body_patience(most, (uint64_t)1 << 30, (uint64_t)5 << 40, 5140 * RT_SEC), 10 * RT_SEC);
}

static void bodies_that_end_early(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    const struct str rows[] = {
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc"),
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n")};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = dial(s);
        say(fd, rows[i]);
        shutdown(fd, SHUT_WR);
        struct answer a = hear(fd);
        assert_int_equal(a.status, 400);
        assert_true(str_eq(answer_field(&a, "X-Error"), STR("INCOMPLETE_BODY")));
        answer_free(&a);
        assert_ended(fd);
        close(fd);
    }
    server_stop(s);
}

/* ---- Expect ---- */
#define REQ_GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define EXPECT_PUT(path)                                                                                     \
    STR("PUT " path " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")

static void nothing_comes(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    int n;
    do n = poll(&p, 1, 100);
    while (n < 0 && errno == EINTR);
    assert_int_equal(n, 0);
}

static void continue_when_the_body_is_wanted(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    for (int i = 0; i < 2; i++) {
        say(fd, EXPECT_PUT("/sum"));
        assert_answer(fd, 100, NULL);
        nothing_comes(fd);
        say(fd, STR("abcde"));
        struct answer a = hear(fd);
        assert_true(a.status == 200 && str_starts(buf_view(&a.body), STR("5 ")));
        answer_free(&a);
    }
    say(fd,
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_answer(fd, 100, NULL);
    say(fd, STR("5\r\nabcde\r\n0\r\n\r\n"));
    assert_answer(fd, 200, NULL);
    /* a body that is already here needs no 100, nor HTTP/1.0; one that cannot come does: who asks is told */
    say(fd, STR("PUT /sum HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde"));
    assert_answer(fd, 200, NULL);
    say(fd, STR("PUT /sum HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n" REQ_GET));
    assert_answer(fd, 100, NULL);
    assert_answer(fd, 200, "0 00000000");
    assert_answer(fd, 200, "hello");
    say(fd, STR("PUT /sum HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    nothing_comes(fd);
    say(fd, STR("abcde"));
    assert_answer(fd, 200, NULL);
    close(fd);
    server_stop(s);
}

/* What follows an answer that came in place of the 100 is read away: a body, or nothing; never a request. */
static void answered_in_vain(struct server *s, struct str request, int status, struct str then)
{
    int fd = dial(s);
    int before = s->handled;
    say(fd, request);
    struct answer a = hear(fd);
    assert_true(a.status == status && a.close);
    answer_free(&a);
    if (then.n > 0) say(fd, then);
    shutdown(fd, SHUT_WR);
    assert_ended(fd);
    close(fd);
    assert_int_equal(s->handled, before + 1);
}

/* 7: no 100 for who is refused, and nothing behind it is taken for a request. */
static void a_refused_expectation_ends_the_connection(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    const struct str then[] = {STR(""), STR("abcde"), STR("\x01\x02\x03"), STR("GET  x\r\n\r\n"),
                               STR(REQ_GET)};
    for (size_t i = 0; i < sizeof then / sizeof *then; i++)
        answered_in_vain(s, EXPECT_PUT("/deny"), 403, then[i]);
    answered_in_vain(
        s, STR("PUT /deny HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5000000000\r\n\r\n"),
        403, STR(REQ_GET));
    answered_in_vain(
        s, STR("PUT /deny HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"),
        403, STR("5\r\nabcde\r\n0\r\n\r\n" REQ_GET));
    answered_in_vain(
        s, STR("PUT /deny HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n"), 403,
        STR(REQ_GET));
    answered_in_vain(
        s, STR("PUT /sleep?1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"), 200,
        STR("abcde" REQ_GET));
    assert_int_equal(s->refused, 0);
    server_stop(s);
}

/* It came with the head, so its client did not wait: it is read away like any other. */
static void a_refused_body_that_is_here(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    say(fd, STR("PUT /deny HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde"));
    assert_answer(fd, 403, NULL);
    say(fd, REQ("GET /"));
    assert_answer(fd, 200, "hello");
    close(fd);
    server_stop(s);
}

/* ---- unread bodies ---- */
static void small_unread_bodies_are_drained(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    char *body = calloc(1, 65536);
    say(fd, STR("PUT /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n"));
    struct answer a = hear(fd); /* before the body was sent */
    assert_true(a.status == 403 && !a.close);
    answer_free(&a);
    say(fd, str_of(body, 65536));
    say(fd, STR("PUT /deny HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n"));
    say(fd, str_of(body, 32768));
    say(fd, STR("\r\n0\r\n\r\n"));
    assert_answer(fd, 403, NULL);
    say(fd, REQ("GET /"));
    assert_answer(fd, 200, "hello");
    free(body);
    close(fd);
    server_stop(s);
}

/* The client sends on for a while and still gets to read its answer. */
static void large_unread_bodies_close(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    size_t n = 4 << 20;
    char *body = calloc(1, n);
    for (int chunked = 0; chunked < 2; chunked++) {
        int fd = dial(s);
        if (chunked)
            say(fd, STR("PUT /deny HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n"));
        else
            say(fd, STR("PUT /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n"));
        say(fd, str_of(body, n));
        struct answer a = hear(fd);
        assert_int_equal(a.status, 403);
        assert_int_equal(a.close, !chunked); /* how long a chunked body is cannot be known beforehand */
        answer_free(&a);
        shutdown(fd, SHUT_WR);
        assert_ended(fd);
        close(fd);
    }
    free(body);
    server_stop(s);
}

static void a_partly_read_body(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int fd = dial(s);
    say(fd,
        STR("PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcPUT /deny HTTP/1.1\r\nHost: h\r\n"
            "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_answer(fd, 200, NULL);
    assert_answer(fd, 403, NULL);
    assert_answer(fd, 200, "hello");
    close(fd);
    server_stop(s);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing_is_refused),
        cmocka_unit_test(no_length_is_no_body),
        cmocka_unit_test(large_heads),
        cmocka_unit_test(broken_chunks),
        cmocka_unit_test(slow_heads_are_closed),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(stalled_bodies),
        cmocka_unit_test(bodies_below_the_least_rate),
        cmocka_unit_test(how_long_a_body_may_wait),
        cmocka_unit_test(bodies_that_end_early),
        cmocka_unit_test(continue_when_the_body_is_wanted),
        cmocka_unit_test(a_refused_expectation_ends_the_connection),
        cmocka_unit_test(a_refused_body_that_is_here),
        cmocka_unit_test(small_unread_bodies_are_drained),
        cmocka_unit_test(large_unread_bodies_close),
        cmocka_unit_test(a_partly_read_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return run_on_backends(run);
}
