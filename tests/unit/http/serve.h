/* A server in this process and raw blocking sockets against it. Included once per test program. */
#ifndef TEST_SERVE_H
#define TEST_SERVE_H

#include "base/assert.h"
#include "base/bytes.h"
#include "hash/hash.h"
#include "http/http.h"
#include "http/tls.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static enum rt_backend test_backend = RT_EPOLL;
static unsigned test_max_fibers; /* 0: the default */

struct server {
    struct rt *rt;
    struct http_server *http;
    struct rt_addr addr;
    struct http_tls *tls;
    pthread_t thread;
    _Atomic int handled, refused, done, done_status;
    _Atomic int drain_result; /* -1: not drained */
    int64_t drain_ns;
};

/* ---- what the handlers answer ---- */
static inline uint64_t query_number(const struct http_exchange *x)
{
    uint64_t n = 0;
    (void)str_to_u64(x->query, &n);
    return n;
}

/* Byte i of every generated body. */
static inline char pattern(uint64_t i)
{
    return (char)(i * 7 + (i >> 9) * 13 + (i >> 17));
}

struct made_body {
    struct body b;
    uint64_t at, size;
    uint64_t fail_at; /* ERR_CORRUPT once so many bytes were given */
    size_t step;
    char buf[65536];
};

static inline err made_next(struct body *b, struct str *out)
{
    struct made_body *m = CONTAINER(b, struct made_body, b);
    if (m->at >= m->fail_at) return ERR_CORRUPT;
    size_t n = m->size - m->at < m->step ? (size_t)(m->size - m->at) : m->step;
    for (size_t i = 0; i < n; i++) m->buf[i] = pattern(m->at + i);
    m->at += n;
    *out = str_of(m->buf, n);
    return ERR_OK;
}

static const struct body_ops made_ops = {"made", made_next, NULL, NULL};

static inline struct body *make_body(struct http_exchange *x, uint64_t size, uint64_t fail_at, size_t step)
{
    struct made_body *m = ARENA_NEW(x->arena, struct made_body);
    ASSERT(m);
    m->b = (struct body){.ops = &made_ops, .length = (int64_t)size};
    m->size = size;
    m->fail_at = fail_at;
    m->step = step;
    return &m->b;
}

static inline void answer_error(struct http_exchange *x, err e)
{
    http_unset_all(x);
    http_set_z(x, "X-Error", err_name(e));
    http_reply(x, err_status(e), str_c(err_name(e)));
}

/* Read the whole body; answer its length and CRC. */
static inline void answer_sum(struct http_exchange *x)
{
    uint64_t n = 0;
    uint32_t crc = 0;
    for (;;) {
        struct str v;
        err e = body_next(x->body, &v);
        if (e) {
            answer_error(x, e);
            return;
        }
        if (v.n == 0) break;
        n += v.n;
        crc = crc32c(crc, v.p, v.n);
    }
    http_reply(x, 200, arena_fmt(x->arena, "%llu %08x", (unsigned long long)n, crc));
}

static inline void answer_inspect(struct http_exchange *x)
{
    struct buf b;
    buf_init(&b, 0);
    buf_fmt(&b, "%.*s|%d|%.*s|%.*s|%.*s|%lld|%d|%d\n", STR_FMT(x->method_name), (int)x->method,
            STR_FMT(x->path), STR_FMT(x->query), STR_FMT(x->host), (long long)x->content_length, x->chunked,
            x->has_body);
    for (size_t i = 0; i < x->nheaders; i++)
        buf_fmt(&b, "%.*s=%.*s\n", STR_FMT(x->headers[i].name), STR_FMT(x->headers[i].value));
    http_set(x, "X-Id", x->id);
    http_set_z(x, "X-Peer", x->peer_text);
    http_reply(x, 200, buf_view(&b));
    buf_free(&b);
}

static inline void answer_headers(struct http_exchange *x)
{
    bool refused = http_set(x, "X-A", STR("a\r\nX-Evil: 1")) && http_set(x, "X-B", STR("a\nb")) &&
                   http_set(x, "X-C", STR("a\0b")) && http_set(x, "X: D", STR("a")) &&
                   http_set(x, "", STR("a")) && http_set(x, "X\r\nY", STR("a")) &&
                   http_set(x, "Content-Length", STR("3")) &&
                   http_set(x, "transfer-encoding", STR("chunked"));
    bool taken = !http_set(x, "X-Good", STR("v\xff")) && !http_set_u64(x, "X-Number", UINT64_MAX) &&
                 !http_set(x, "X-Empty", STR(""));
    char *big = arena_alloc(x->arena, 8000);
    memset(big, 'b', 8000);
    taken = taken && !http_set(x, "X-Big", str_of(big, 8000));
    refused = refused && http_set(x, "X-Huge", str_of(arena_alloc(x->arena, 70000), 70000));
    http_reply(x, refused && taken ? 200 : 500, STR("x"));
}

static inline void handle(void *arg, struct http_exchange *x)
{
    struct server *s = arg;
    s->handled++;
    uint64_t n = query_number(x);
    if (str_eq(x->path, STR("/sum"))) {
        answer_sum(x);
    } else if (str_eq(x->path, STR("/echo"))) {
        http_reply_body(x, 200, x->body, x->content_length);
    } else if (str_eq(x->path, STR("/made"))) {
        http_reply_body(x, 200, make_body(x, n, UINT64_MAX, 65536), (int64_t)n);
    } else if (str_eq(x->path, STR("/bits"))) {
        http_reply_body(x, 200, make_body(x, n, UINT64_MAX, 1000), (int64_t)n);
    } else if (str_eq(x->path, STR("/unknown"))) {
        http_reply_body(x, 200, make_body(x, n, UINT64_MAX, 5000), -1);
    } else if (str_eq(x->path, STR("/breaks"))) {
        http_reply_body(x, 200, make_body(x, 100000, n, 5000), 100000);
    } else if (str_eq(x->path, STR("/breaks-small"))) {
        http_reply_body(x, 200, make_body(x, 5000, 5000, 5000), 5000);
    } else if (str_eq(x->path, STR("/breaks-unknown"))) {
        http_reply_body(x, 200, make_body(x, 100000, n, 5000), -1);
    } else if (str_eq(x->path, STR("/short"))) {
        http_reply_body(x, 200, make_body(x, 50000, UINT64_MAX, 5000), 100000);
    } else if (str_eq(x->path, STR("/deny"))) {
        answer_error(x, ERR_ACCESS_DENIED);
    } else if (str_eq(x->path, STR("/inspect"))) {
        answer_inspect(x);
    } else if (str_eq(x->path, STR("/headers"))) {
        answer_headers(x);
    } else if (str_eq(x->path, STR("/sleep"))) {
        rt_sleep((int64_t)n * RT_MS);
        http_reply(x, 200, STR("slept"));
    } else if (str_eq(x->path, STR("/status"))) {
        http_reply(x, (int)n, STR("text"));
    } else if (str_eq(x->path, STR("/head"))) {
        http_reply_body(x, 200, NULL, (int64_t)n);
    } else if (str_eq(x->path, STR("/close"))) {
        http_close_after(x);
        http_reply(x, 200, STR("bye"));
    } else if (!str_eq(x->path, STR("/silent"))) {
        http_reply(x, 200, STR("hello"));
    }
}

static inline void refuse(void *arg, struct http_exchange *x, err e)
{
    struct server *s = arg;
    s->refused++;
    ASSERT(x->id.n == 16 && x->path.n > 0 && x->peer_text[0]);
    answer_error(x, e);
}

static inline void done(void *arg, struct http_exchange *x)
{
    struct server *s = arg;
    s->done_status = x->status;
    s->done++;
}

/* ---- the server ---- */
static inline void *server_main(void *arg)
{
    struct server *s = arg;
    rt_run(s->rt);
    return NULL;
}

static inline struct server *server_start(const struct http_limits *l, struct http_tls *tls, const char *addr)
{
    struct server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->drain_result = -1;
    struct rt_options o = {.backend = test_backend, .loops = 2, .workers = 2, .max_fibers = test_max_fibers};
    assert_int_equal(rt_new(&o, &s->rt), ERR_OK);
    struct http_callbacks cb = {.handle = handle, .refuse = refuse, .done = done, .arg = s};
    assert_int_equal(http_server_new(s->rt, l, &cb, &s->http), ERR_OK);
    struct rt_addr a;
    assert_int_equal(rt_addr_parse(str_c(addr ? addr : "127.0.0.1:0"), &a), ERR_OK);
    s->tls = tls;
    assert_int_equal(http_server_listen(s->http, &a, tls, &s->addr), ERR_OK);
    assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
    return s;
}

static inline void drain_fiber(void *arg)
{
    struct server *s = arg;
    s->drain_result = http_server_drain(s->http, rt_now() + s->drain_ns);
}

static inline void server_drain(struct server *s, int64_t ns)
{
    s->drain_ns = ns;
    while (!rt_spawn(rt_loop_at(s->rt, 0), "drain", drain_fiber, s)) usleep(1000); /* at the cap of fibers */
}

static inline int drain_wait(struct server *s)
{
    while (s->drain_result < 0) usleep(1000);
    return s->drain_result;
}

static inline void server_stop(struct server *s)
{
    if (s->drain_result < 0) server_drain(s, 200 * RT_MS);
    drain_wait(s);
    struct http_stats st;
    http_get_stats(s->http, &st);
    assert_int_equal(st.conns_open, 0);
    assert_int_equal(st.requests_running, 0);
    rt_stop(s->rt);
    pthread_join(s->thread, NULL);
    http_server_free(s->http);
    rt_free(s->rt);
    free(s);
}

/* ---- the client ---- */
static inline int dial(const struct server *s)
{
    int fd = socket(s->addr.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&s->addr.ss, s->addr.len), 0);
    return fd;
}

static inline void say(int fd, struct str s)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        assert_true(n > 0);
        s = str_slice(s, (size_t)n, s.n);
    }
}

struct answer {
    int status; /* 0: the connection ended without one */
    struct buf head, body;
    bool close; /* announced */
    bool cut;   /* ended before the body was whole */
};

static inline void answer_free(struct answer *a)
{
    buf_free(&a->head);
    buf_free(&a->body);
}

static inline struct str answer_field(const struct answer *a, const char *name)
{
    struct str rest = buf_view(&a->head);
    while (rest.p) {
        struct str line = str_cut(&rest, '\n');
        struct str k = str_cut(&line, ':');
        if (line.p && str_ieq(k, str_c(name))) return str_trim(str_slice(line, 0, line.n - 1));
    }
    return STR_NONE;
}

static inline bool take_bytes(int fd, struct buf *b, size_t n)
{
    char t[65536];
    while (n > 0) {
        ssize_t r = recv(fd, t, n < sizeof t ? n : sizeof t, 0);
        if (r <= 0) return false;
        buf_add(b, t, (size_t)r);
        n -= (size_t)r;
    }
    return true;
}

static inline bool take_line(int fd, struct buf *b)
{
    do
        if (!take_bytes(fd, b, 1)) return false;
    while (b->p[b->n - 1] != '\n');
    assert_true(b->n >= 2 && b->p[b->n - 2] == '\r');
    return true;
}

static inline bool take_chunks(int fd, struct buf *body)
{
    for (;;) {
        struct buf line;
        buf_init(&line, 0);
        bool ok = take_line(fd, &line);
        buf_char(&line, 0);
        size_t n = ok ? strtoul(line.p, NULL, 16) : 0;
        ok = ok && take_bytes(fd, body, n);
        buf_clear(&line);
        ok = ok && take_line(fd, &line);
        assert_true(!ok || line.n == 2);
        buf_free(&line);
        if (!ok) return false;
        if (n == 0) return true;
    }
}

/* One answer; `head_only` for the answer to a HEAD. */
static inline struct answer hear_answer(int fd, bool head_only)
{
    struct answer a = {0};
    buf_init(&a.head, 0);
    buf_init(&a.body, 0);
    for (size_t from = 0;; from = a.head.n) {
        if (!take_line(fd, &a.head)) return a;
        if (a.head.n - from == 2) break;
    }
    struct str line = buf_view(&a.head);
    assert_true(str_starts(line, STR("HTTP/1.1 ")));
    uint64_t status;
    assert_true(str_to_u64(str_slice(line, 9, 12), &status));
    a.status = (int)status;
    a.close = str_eq(answer_field(&a, "Connection"), STR("close"));
    struct str length = answer_field(&a, "Content-Length");
    uint64_t n;
    if (head_only || a.status < 200 || a.status == 204 || a.status == 304) return a;
    if (str_eq(answer_field(&a, "Transfer-Encoding"), STR("chunked"))) {
        a.cut = !take_chunks(fd, &a.body);
    } else if (str_to_u64(length, &n)) {
        a.cut = !take_bytes(fd, &a.body, (size_t)n);
    } else {
        assert_true(a.close);
        take_bytes(fd, &a.body, SIZE_MAX);
    }
    return a;
}

static inline struct answer hear(int fd)
{
    return hear_answer(fd, false);
}

/* The connection ended, in whatever way. */
static inline void assert_ended(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static inline void assert_answer(int fd, int status, const char *body)
{
    struct answer a = hear(fd);
    assert_int_equal(a.status, status);
    assert_false(a.cut);
    if (body) assert_true(str_eq(buf_view(&a.body), str_c(body)));
    answer_free(&a);
}

static inline bool is_pattern(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != pattern(i)) return false;
    return true;
}

static inline int64_t now_ms(void)
{
    return rt_now() / RT_MS;
}

/* Run the tests on each backend that this machine has. */
static inline int run_on_backends(int (*run)(void))
{
    alarm(250); /* what hangs ends here; socket time-outs would turn the runtime's signals into EINTR */
    static const enum rt_backend backends[] = {RT_EPOLL, RT_URING};
    int failed = 0;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct rt_options o = {.backend = backends[i], .loops = 1, .workers = 1};
        struct rt *r;
        if (rt_new(&o, &r)) continue;
        bool other = i > 0 && strcmp(rt_backend_name(r), "epoll") == 0; /* what stands in for io_uring */
        print_message("---- %s\n", rt_backend_name(r));
        rt_free(r);
        if (other) continue;
        test_backend = backends[i];
        failed += run();
    }
    return failed;
}

#endif
