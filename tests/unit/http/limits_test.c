/* Ceilings, overload, slow readers, drain, and what a connection costs. */
#include "unit/http/serve.h"

#include <malloc.h>

#define REQ(line) STR(line " HTTP/1.1\r\nHost: h\r\n\r\n")

static void assert_overload(int fd)
{
    struct answer a = hear(fd);
    assert_int_equal(a.status, 503);
    assert_true(str_eq(answer_field(&a, "Retry-After"), STR("1")));
    assert_true(str_eq(answer_field(&a, "X-Error"), STR("SLOW_DOWN")));
    answer_free(&a);
}

static void wait_for(_Atomic int *n, int at_least)
{
    for (int i = 0; i < 5000 && *n < at_least; i++) usleep(1000);
    assert_true(*n >= at_least);
}

static void too_many_connections(void **state)
{
    (void)state;
    struct http_limits l = {.max_conns = 4};
    struct server *s = server_start(&l, NULL, NULL);
    int fd[4];
    for (int i = 0; i < 4; i++) {
        fd[i] = dial(s);
        say(fd[i], REQ("GET /"));
        assert_answer(fd[i], 200, "hello");
    }
    for (int i = 0; i < 3; i++) {
        int more = dial(s);
        say(more, REQ("GET /"));
        assert_overload(more);
        shutdown(more, SHUT_WR);
        assert_ended(more);
        close(more);
    }
    say(fd[0], REQ("GET /"));
    assert_answer(fd[0], 200, "hello");
    struct http_stats st;
    http_get_stats(s->http, &st);
    assert_int_equal(st.conns_refused, 3);
    for (int i = 0; i < 4; i++) close(fd[i]);
    usleep(100000);
    fd[0] = dial(s); /* there is room again */
    say(fd[0], REQ("GET /"));
    assert_answer(fd[0], 200, "hello");
    close(fd[0]);
    server_stop(s);
}

/* Refused, and the connection serves on. */
static void too_many_requests(void **state)
{
    (void)state;
    struct http_limits l = {.max_requests = 2};
    struct server *s = server_start(&l, NULL, NULL);
    int a = dial(s), b = dial(s), c = dial(s);
    say(a, REQ("GET /sleep?500"));
    say(b, REQ("GET /sleep?500"));
    wait_for(&s->handled, 2);
    say(c, STR("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"));
    assert_overload(c);
    assert_int_equal(s->handled, 2);
    assert_answer(a, 200, "slept");
    assert_answer(b, 200, "slept");
    usleep(20000);
    say(c, REQ("GET /"));
    assert_answer(c, 200, "hello");
    close(a);
    close(b);
    close(c);
    server_stop(s);
}

static void too_much_memory(void **state)
{
    (void)state;
    struct http_limits l = {.max_memory = 220 << 10}; /* room for a few busy connections */
    struct server *s = server_start(&l, NULL, NULL);
    enum { N = 12 };
    int fd[N], good = 0, refused = 0;
    for (int i = 0; i < N; i++) {
        fd[i] = dial(s);
        say(fd[i], REQ("GET /sleep?500"));
    }
    for (int i = 0; i < N; i++) {
        struct answer a = hear(fd[i]);
        assert_true(a.status == 200 || a.status == 503);
        good += a.status == 200;
        refused += a.status == 503;
        answer_free(&a);
        close(fd[i]);
    }
    assert_true(good >= 2 && refused >= 2);
    struct http_stats st; /* the refused linger until they see their client go */
    for (int i = 0; i < 2000; i++) {
        http_get_stats(s->http, &st);
        if (st.conns_open == 0) break;
        usleep(1000);
    }
    assert_true(st.memory <= l.max_memory / 2);
    int again = dial(s);
    say(again, REQ("GET /"));
    assert_answer(again, 200, "hello");
    close(again);
    server_stop(s);
}

/* More connections than fibers: they wait their turn, none is dropped. */
static void more_requests_than_fibers(void **state)
{
    (void)state;
    test_max_fibers = 8;
    struct server *s = server_start(NULL, NULL, NULL);
    test_max_fibers = 0;
    enum { N = 40 };
    int fd[N];
    for (int i = 0; i < N; i++) {
        fd[i] = dial(s);
        say(fd[i], REQ("GET /sleep?20"));
    }
    for (int i = 0; i < N; i++) {
        assert_answer(fd[i], 200, "slept");
        close(fd[i]);
    }
    server_stop(s);
}

/* Who does not read is cut after write_ns, and holds little meanwhile. */
static void readers_that_stop(void **state)
{
    (void)state;
    struct http_limits l = {.write_ns = 400 * RT_MS};
    struct server *s = server_start(&l, NULL, NULL);
    int fd = dial(s);
    say(fd, REQ("GET /made?1000000000"));
    int64_t from = now_ms();
    struct http_stats st;
    usleep(200000);
    http_get_stats(s->http, &st);
    assert_int_equal(st.requests_running, 1);
    assert_true(st.memory < 1 << 20);
    wait_for(&s->done, 1);
    int64_t took = now_ms() - from;
    assert_true(took >= 380 && took < 3000);
    struct answer a = hear(fd);
    assert_true(a.cut || a.status == 0);
    answer_free(&a);
    close(fd);
    server_stop(s);
}

/* A slow reader that makes progress is served to the end. */
static void readers_that_are_slow(void **state)
{
    (void)state;
    struct http_limits l = {.write_ns = 500 * RT_MS};
    struct server *s = server_start(&l, NULL, NULL);
    int fd = socket(AF_INET, SOCK_STREAM, 0), small = 16384;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(connect(fd, (const struct sockaddr *)&s->addr.ss, s->addr.len), 0);
    say(fd, REQ("GET /made?8000000"));
    struct buf got;
    buf_init(&got, 0);
    while (!str_ends(buf_view(&got), STR("\r\n\r\n"))) assert_true(take_line(fd, &got));
    buf_clear(&got);
    int64_t from = now_ms();
    while (now_ms() - from < 900) {
        assert_true(take_bytes(fd, &got, 4000));
        usleep(1000);
    }
    assert_true(got.n < 8000000 && take_bytes(fd, &got, 8000000 - got.n));
    assert_true(is_pattern(buf_view(&got)));
    buf_free(&got);
    close(fd);
    server_stop(s);
}

/* ---- drain ---- */
static void a_drain_loses_no_request(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int idle = dial(s), busy = dial(s), upload = dial(s);
    say(idle, REQ("GET /"));
    assert_answer(idle, 200, "hello");
    say(busy, REQ("GET /sleep?300"));
    say(upload, STR("PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc"));
    wait_for(&s->handled, 3);
    server_drain(s, 5 * RT_SEC);
    assert_ended(idle);
    struct answer a = hear(busy);
    assert_true(a.status == 200 && a.close);
    answer_free(&a);
    assert_ended(busy);
    say(upload, STR("def"));
    a = hear(upload);
    assert_true(a.status == 200 && a.close);
    answer_free(&a);
    assert_int_equal(drain_wait(s), 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&s->addr.ss, s->addr.len), -1);
    close(fd);
    close(idle);
    close(busy);
    close(upload);
    server_stop(s);
}

static void a_drain_cuts_at_its_deadline(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    int stuck = dial(s), half = dial(s);
    say(stuck, STR("PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc"));
    say(half, STR("GET / HT"));
    wait_for(&s->handled, 1);
    int64_t from = now_ms();
    server_drain(s, 300 * RT_MS);
    assert_int_equal(drain_wait(s), 0);
    int64_t took = now_ms() - from;
    assert_true(took >= 290 && took < 2000);
    close(stuck);
    close(half);
    server_stop(s);
}

/* Requests fired at a server that drains are answered, or their connection is refused or ended before a byte
 * of an answer: never half an answer. */
static void drain_under_load(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    enum { N = 32 };
    int fd[N];
    for (int i = 0; i < N; i++) {
        fd[i] = dial(s);
        say(fd[i], REQ("GET /made?50000"));
        struct answer a = hear(fd[i]);
        assert_false(a.cut);
        answer_free(&a);
    }
    server_drain(s, 5 * RT_SEC);
    int answered = 0;
    for (int round = 0; round < 50 && s->drain_result < 0; round++) {
        for (int i = 0; i < N; i++) {
            if (fd[i] < 0 ||
                send(fd[i], "GET /made?50000 HTTP/1.1\r\nHost: h\r\n\r\n", 38, MSG_NOSIGNAL) != 38)
                continue;
            struct answer a = hear(fd[i]);
            assert_false(a.cut);
            answered += a.status == 200;
            if (a.status == 0 || a.close) {
                close(fd[i]);
                fd[i] = -1;
            }
            answer_free(&a);
        }
    }
    assert_int_equal(drain_wait(s), 1);
    assert_true(answered <= N); /* each connection ends with its first answer */
    for (int i = 0; i < N; i++)
        if (fd[i] >= 0) close(fd[i]);
    server_stop(s);
}

/* ---- what an idle connection costs ---- */
static void idle_connections_are_small(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    enum { N = 400 };
    static int fd[N];
    for (int i = 0; i < N; i++) {
        fd[i] = dial(s);
        say(fd[i], REQ("GET /"));
        assert_answer(fd[i], 200, "hello");
    }
    usleep(20000);
    struct mallinfo2 before = mallinfo2();
    struct rt_stats st;
    rt_get_stats(s->rt, &st);
    assert_int_equal(st.fibers_live, 0);
    for (int i = 0; i < N; i++) close(fd[i]);
    for (int i = 0; i < 1000; i++) {
        struct http_stats hs;
        http_get_stats(s->http, &hs);
        if (hs.conns_open == 0) break;
        usleep(1000);
    }
    struct mallinfo2 after = mallinfo2();
    size_t each = (before.uordblks - after.uordblks) / N;
    print_message("an idle connection: %zu bytes, without the socket's record\n", each);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
    assert_true(each > 100 && each < 600); /* the runtime keeps the other part, below 400 bytes, for reuse */
#endif
    server_stop(s);
}

/* ---- what a slow head costs ---- */

static void wait_bytes_in(struct server *s, uint64_t n)
{
    struct http_stats st;
    for (int i = 0; i < 300000; i++) {
        http_get_stats(s->http, &st);
        if (st.bytes_in >= n) break;
        usleep(100);
    }
    assert_int_equal(st.bytes_in, n);
}

static void wait_memory_below(struct server *s, uint64_t most)
{
    struct http_stats st;
    for (int i = 0; i < 30000; i++) {
        http_get_stats(s->http, &st);
        if (st.memory <= most) return;
        usleep(1000);
    }
    assert_true(st.memory <= most);
}

/* Heads that come drop by drop hold what has come: many more fit than there are work areas for, all are
 * answered in the end, and the memory comes back. */
static void slow_heads_hold_what_they_sent(void **state)
{
    (void)state;
    struct http_limits l = {.max_memory = 1 << 20};
    struct server *s = server_start(&l, NULL, NULL);
    enum { N = 300 };
    static int fd[N];
    struct str drops[] = {STR("GET / HT"), STR("TP/1.1\r\nHos"), STR("t: h\r\nX-Long: aaaaaaaaaaaaaaaa"),
                          STR("\r\n\r"),   STR("\nGET /sl"),     STR("eep?1 HTTP/1.1\r\nHost: h\r\n\r\n")};
    uint64_t sent = 0;
    for (int i = 0; i < N; i++) fd[i] = dial(s);
    for (size_t d = 0; d < 6; d++) {
        for (int i = 0; i < N; i++) {
            say(fd[i], drops[d]);
            sent += drops[d].n;
            if (d >= 4) assert_answer(fd[i], 200, d == 4 ? "hello" : "slept");
            wait_bytes_in(s, sent); /* each drop is a read of its own */
        }
    }
    assert_int_equal(s->refused, 0);
    for (int i = 0; i < N; i += 2) say(fd[i], STR("PUT / HT")); /* and those that go with a part */
    wait_bytes_in(s, sent + N / 2 * 8);
    for (int i = 0; i < N; i++) close(fd[i]);
    wait_memory_below(s, l.max_memory / 2);
    server_stop(s);
}

/* Many connections are swept some at a time; no one is forgotten. */
static void a_drain_of_many_takes_turns(void **state)
{
    (void)state;
    struct server *s = server_start(NULL, NULL, NULL);
    enum { N = 700 };
    static int fd[N];
    struct rt_stats before, after;
    for (int i = 0; i < N; i++) {
        fd[i] = dial(s);
        say(fd[i], REQ("GET /"));
        assert_answer(fd[i], 200, "hello");
    }
    rt_get_stats(s->rt, &before);
    server_drain(s, 60 * RT_SEC);
    for (int i = 0; i < N; i++) assert_ended(fd[i]);
    assert_int_equal(drain_wait(s), 1);
    rt_get_stats(s->rt, &after);
    assert_true(after.posts - before.posts >= N / 32);
    for (int i = 0; i < N; i++) close(fd[i]);
    server_stop(s);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_connections),
        cmocka_unit_test(too_many_requests),
        cmocka_unit_test(too_much_memory),
        cmocka_unit_test(more_requests_than_fibers),
        cmocka_unit_test(readers_that_stop),
        cmocka_unit_test(readers_that_are_slow),
        cmocka_unit_test(a_drain_loses_no_request),
        cmocka_unit_test(a_drain_cuts_at_its_deadline),
        cmocka_unit_test(drain_under_load),
        cmocka_unit_test(idle_connections_are_small),
        cmocka_unit_test(slow_heads_hold_what_they_sent),
        cmocka_unit_test(a_drain_of_many_takes_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return run_on_backends(run);
}
