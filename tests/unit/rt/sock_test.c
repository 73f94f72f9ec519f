/* Sockets and listeners: on each backend. */
#include "rt_matrix.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SMALL 1
#endif
#endif
#ifdef SMALL
enum { CLIENTS = 200 };
#else
enum { CLIENTS = 1000 };
#endif

static const struct rt_options one_loop = {.loops = 1};

static struct rt_addr local(const char *text)
{
    struct rt_addr a;
    CHECK(rt_addr_parse(str_c(text), &a) == ERR_OK);
    return a;
}

/* ---- an echo server: no fiber while idle, one fiber for what came ---- */

struct echo {
    struct rt_listener *l;
    struct rt_addr addr;
    unsigned per_loop[8], accepted, closed, timed_out;
    int64_t idle_ns;
    struct echo_conn *conns; /* CLIENTS of them */
};
struct echo_conn {
    struct echo *e;
    struct rt_sock *s;
};

static void echo_idle(void *arg, enum rt_idle_event ev);

static void echo_wait(struct echo_conn *c)
{
    rt_when_readable(c->s, c->e->idle_ns ? rt_now() + c->e->idle_ns : RT_FOREVER, echo_idle, c);
}

static void echo_close(struct echo_conn *c)
{
    struct echo *e = c->e;
    rt_sock_close(c->s);
    __atomic_add_fetch(&e->closed, 1, __ATOMIC_RELEASE); /* c may be freed from here on */
}

static void echo_serve(void *arg)
{
    struct echo_conn *c = arg;
    char buf[4096];
    ssize_t n = rt_read(c->s, buf, sizeof buf, rt_now() + 10 * RT_SEC);
    struct iovec v[2] = {{buf, n > 0 ? (size_t)n / 2 : 0},
                         {buf + (n > 0 ? n / 2 : 0), n > 0 ? (size_t)(n - n / 2) : 0}};
    if (n > 0 && rt_writev(c->s, v, 2, rt_now() + 10 * RT_SEC, false) == n)
        echo_wait(c);
    else
        echo_close(c);
}

static void echo_idle(void *arg, enum rt_idle_event ev)
{
    struct echo_conn *c = arg;
    CHECK(!rt_fiber_self() && rt_self() == rt_sock_loop(c->s));
    if (ev == RT_TIMEOUT) {
        __atomic_add_fetch(&c->e->timed_out, 1, __ATOMIC_RELAXED);
        echo_close(c);
        return;
    }
    if (!rt_spawn(rt_self(), "echo", echo_serve, c)) echo_close(c);
}

static void echo_accept(void *arg, struct rt_sock *s, const struct rt_addr *peer)
{
    struct echo *e = arg;
    CHECK(peer->len > 0 && rt_sock_loop(s) == rt_self());
    __atomic_add_fetch(&e->per_loop[rt_loop_index(rt_self())], 1, __ATOMIC_RELAXED);
    unsigned i = __atomic_fetch_add(&e->accepted, 1, __ATOMIC_RELAXED);
    CHECK(i < CLIENTS);
    struct echo_conn *c = &e->conns[i];
    *c = (struct echo_conn){e, s};
    echo_wait(c);
}

static void echo_start(struct rt *r, struct echo *e, const char *where)
{
    struct rt_addr a = local(where);
    e->conns = calloc(CLIENTS, sizeof *e->conns);
    CHECK(e->conns);
    CHECK(rt_listen(r, &a, 0, echo_accept, e, &e->l) == ERR_OK);
    rt_listener_addr(e->l, &e->addr);
}

static void echo_stop(struct echo *e)
{
    rt_listener_close(e->l);
    for (int i = 0; i < 2000 && __atomic_load_n(&e->closed, __ATOMIC_ACQUIRE) < STAT_LOAD(e->accepted); i++)
        rt_sleep(RT_MS);
    CHECK(e->closed == e->accepted);
    free(e->conns);
}

static void read_full(struct rt_sock *s, char *p, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t k = rt_read(s, p + got, n - got, rt_now() + 20 * RT_SEC);
        CHECK(k > 0);
        got += (size_t)k;
    }
}

static void echo_once(struct rt_sock *s, size_t n, char fill)
{
    char out[4096], in[4096];
    memset(out, fill, n);
    struct iovec v = {out, n};
    CHECK(rt_writev(s, &v, 1, rt_now() + 20 * RT_SEC, false) == (ssize_t)n);
    read_full(s, in, n);
    CHECK(memcmp(in, out, n) == 0);
}

struct client {
    struct echo *e;
    struct rt_sem *ready, *go, *done;
    unsigned i;
};

static void client_main(void *arg)
{
    struct client *c = arg;
    struct rt_sock *s;
    CHECK(rt_connect(&c->e->addr, rt_now() + 20 * RT_SEC, &s) == 0);
    echo_once(s, 1, 'x');
    rt_sem_give(c->ready, 1);
    CHECK(rt_sem_take(c->go, 1, RT_FOREVER));
    for (unsigned k = 0; k < 5; k++) echo_once(s, 1 + (c->i * 13 + k * 501) % 4096, (char)('a' + k));
    rt_sock_close(s);
    rt_sem_give(c->done, 1);
}

/* All connections are open at once, spread over the loops, and none holds a fiber while idle. */
static void many_at(struct rt *r, const char *where)
{
    struct echo e = {0};
    struct rt_sem ready, go, done;
    struct client *c = calloc(CLIENTS, sizeof *c);
    CHECK(c);
    rt_sem_init(&ready, 0);
    rt_sem_init(&go, 0);
    rt_sem_init(&done, 0);
    echo_start(r, &e, where);
    for (unsigned i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){&e, &ready, &go, &done, i};
        CHECK(rt_spawn(rt_loop_at(r, i % 2), "client", client_main, &c[i]));
        if (i % 64 == 63) CHECK(rt_sem_take(&ready, 64, rt_now() + 60 * RT_SEC));
    }
    CHECK(rt_sem_take(&ready, CLIENTS % 64, rt_now() + 60 * RT_SEC));
    rt_sleep(5 * RT_MS);
    struct rt_stats st;
    rt_get_stats(r, &st);
    CHECK(st.fibers_live == CLIENTS + 1 && st.sockets == 2 * CLIENTS);
    unsigned a = e.per_loop[0], b = e.per_loop[1];
    CHECK(a + b == CLIENTS && (a > b ? a - b : b - a) <= CLIENTS / 5);
    rt_sem_give(&go, CLIENTS);
    CHECK(rt_sem_take(&done, CLIENTS, rt_now() + 60 * RT_SEC));
    echo_stop(&e);
    free(c);
}

static void many(struct rt *r)
{
    many_at(r, "127.0.0.1:0");
}
static void many_unix(struct rt *r)
{
    char path[64];
    snprintf(path, sizeof path, "unix:/tmp/rt-sock-test-%d", (int)getpid());
    many_at(r, path);
    struct stat st;
    CHECK(stat(path + 5, &st) != 0); /* closing removes the name */
}

static void test_many(void **state)
{
    (void)state;
    matrix_run(NULL, many);
    matrix_run(NULL, many_unix);
}

/* ---- few connections: the balance must not depend on the kernel's hash ---- */

static void balance(struct rt *r)
{
    struct echo e = {0};
    struct rt_sock *s[8];
    echo_start(r, &e, "127.0.0.1:0");
    /* The clients' own sockets count on loop 0, so the server's go to loop 1 until both have the same. */
    for (int i = 0; i < 8; i++) {
        CHECK(rt_connect(&e.addr, rt_now() + 5 * RT_SEC, &s[i]) == 0);
        echo_once(s[i], 100, 'b');
    }
    CHECK(e.per_loop[1] >= 6 && e.per_loop[0] <= 2);
    for (int i = 0; i < 8; i++) rt_sock_close(s[i]);
    echo_stop(&e);
}

static void test_balance(void **state)
{
    (void)state;
    matrix_run(NULL, balance);
}

/* ---- deadlines and ends ---- */

struct accepted {
    struct rt_sem got;
    struct rt_sock *s;
};

static void keep_accept(void *arg, struct rt_sock *s, const struct rt_addr *peer)
{
    (void)peer;
    struct accepted *k = arg;
    k->s = s;
    rt_sem_give(&k->got, 1);
}

/* A connected pair, both on this loop. */
static void pair_open(struct rt *r, struct rt_sock **a, struct rt_sock **b)
{
    struct accepted k = {0};
    struct rt_listener *l;
    struct rt_addr addr = local("127.0.0.1:0");
    rt_sem_init(&k.got, 0);
    CHECK(rt_listen(r, &addr, 0, keep_accept, &k, &l) == ERR_OK);
    rt_listener_addr(l, &addr);
    CHECK(rt_connect(&addr, rt_now() + 5 * RT_SEC, a) == 0);
    CHECK(rt_sem_take(&k.got, 1, rt_now() + 5 * RT_SEC));
    *b = k.s;
    rt_listener_close(l);
    CHECK(rt_sock_loop(*a) == rt_self() && rt_sock_loop(*b) == rt_self());
}

static void deadlines(struct rt *r)
{
    struct rt_sock *a, *b;
    char c = 0;
    pair_open(r, &a, &b);
    int64_t t = rt_now();
    CHECK(rt_read(a, &c, 1, t + 20 * RT_MS) == -ETIMEDOUT);
    CHECK(rt_now() - t >= 20 * RT_MS && rt_now() - t < RT_SEC);
    CHECK(rt_read(a, &c, 1, t) == -ETIMEDOUT); /* passed already */
    size_t big = 32 << 20;
    char *p = calloc(1, big);
    struct iovec v = {p, big};
    CHECK(rt_writev(a, &v, 1, rt_now() + 30 * RT_MS, false) == -ETIMEDOUT); /* nobody reads */
    free(p);
    CHECK(rt_read(b, &c, 1, RT_FOREVER) == 1); /* a time-out leaves the socket usable */
    rt_sock_close(a);
    ssize_t n;
    char sink[65536];
    while ((n = rt_read(b, sink, sizeof sink, rt_now() + 5 * RT_SEC)) > 0) {
    }
    CHECK(n == 0);
    rt_sock_close(b);
}

static void half_close(struct rt *r)
{
    struct rt_sock *a, *b;
    char buf[16];
    pair_open(r, &a, &b);
    struct iovec v = {(char[]){"question"}, 8};
    CHECK(rt_writev(a, &v, 1, RT_FOREVER, false) == 8);
    rt_sock_shutdown(a);
    read_full(b, buf, 8);
    CHECK(rt_read(b, buf, sizeof buf, RT_FOREVER) == 0);
    v = (struct iovec){(char[]){"answer"}, 6};
    CHECK(rt_writev(b, &v, 1, RT_FOREVER, false) == 6);
    rt_sock_close(b);
    read_full(a, buf, 6);
    CHECK(memcmp(buf, "answer", 6) == 0);
    CHECK(rt_read(a, buf, sizeof buf, RT_FOREVER) == 0);
    rt_sock_close(a);
}

static void refused(struct rt *r)
{
    struct rt_listener *l;
    struct rt_sock *s;
    struct accepted k = {0};
    struct rt_addr a = local("127.0.0.1:0");
    CHECK(rt_listen(r, &a, 0, keep_accept, &k, &l) == ERR_OK);
    rt_listener_addr(l, &a);
    struct rt_listener *second;
    CHECK(rt_listen(r, &a, 0, keep_accept, &k, &second) == ERR_INVALID_SETTING); /* the port is taken */
    rt_listener_close(l);
    CHECK(rt_connect(&a, rt_now() + RT_SEC, &s) == -ECONNREFUSED && s == NULL);
}

static void test_ends(void **state)
{
    (void)state;
    matrix_run(&one_loop, deadlines);
    matrix_run(&one_loop, half_close);
    matrix_run(NULL, refused);
}

/* ---- idle callbacks ---- */

struct idle {
    struct rt_sem s;
    unsigned readable, timeout;
};

static void on_idle(void *arg, enum rt_idle_event ev)
{
    struct idle *i = arg;
    CHECK(!rt_fiber_self());
    if (ev == RT_READABLE)
        i->readable++;
    else
        i->timeout++;
    rt_sem_give(&i->s, 1);
}

static void idle(struct rt *r)
{
    struct rt_sock *a, *b;
    struct idle i = {0};
    char buf[8];
    rt_sem_init(&i.s, 0);
    pair_open(r, &a, &b);
    rt_when_readable(b, rt_now() + 10 * RT_MS, on_idle, &i);
    CHECK(rt_sem_take(&i.s, 1, rt_now() + RT_SEC) && i.timeout == 1);
    rt_when_readable(b, rt_now() + RT_SEC, on_idle, &i);
    struct iovec v = {(char[]){"12345678"}, 8};
    CHECK(rt_writev(a, &v, 1, RT_FOREVER, false) == 8);
    CHECK(rt_sem_take(&i.s, 1, rt_now() + RT_SEC) && i.readable == 1);
    CHECK(rt_read(b, buf, 4, RT_FOREVER) == 4); /* half stays: due at once */
    rt_when_readable(b, RT_FOREVER, on_idle, &i);
    CHECK(rt_sem_take(&i.s, 1, rt_now() + RT_SEC) && i.readable == 2);
    CHECK(rt_read(b, buf, 4, RT_FOREVER) == 4); /* exactly all: nothing is due */
    rt_when_readable(b, rt_now() + 5 * RT_MS, on_idle, &i);
    CHECK(rt_sem_take(&i.s, 1, rt_now() + RT_SEC) && i.timeout == 2);
    rt_when_readable(b, rt_now() + 5 * RT_MS, on_idle, &i);
    rt_when_readable_cancel(b);
    CHECK(!rt_sem_take(&i.s, 1, rt_now() + 15 * RT_MS));
    /* A later deadline than that of the timer still armed. */
    rt_when_readable(b, rt_now() + 10 * RT_MS, on_idle, &i);
    rt_when_readable_cancel(b);
    int64_t t = rt_now();
    rt_when_readable(b, t + 30 * RT_MS, on_idle, &i);
    CHECK(rt_sem_take(&i.s, 1, t + RT_SEC) && i.timeout == 3 && rt_now() - t >= 30 * RT_MS);
    rt_when_readable(b, RT_FOREVER, on_idle, &i);
    rt_sock_close(a); /* the end is readable too */
    CHECK(rt_sem_take(&i.s, 1, rt_now() + RT_SEC) && i.readable == 3);
    rt_when_readable(b, RT_FOREVER, on_idle, &i);
    CHECK(rt_sem_take(&i.s, 1, rt_now() + RT_SEC) && i.readable == 4);
    CHECK(rt_read(b, buf, 4, RT_FOREVER) == 0);
    rt_when_readable(b, RT_FOREVER, on_idle, &i);
    rt_sock_close(b); /* with a callback that is due */
    CHECK(!rt_sem_take(&i.s, 1, rt_now() + 5 * RT_MS));
}

static void idle_timeouts(struct rt *r)
{
    struct echo e = {.idle_ns = 20 * RT_MS};
    struct rt_sock *s[20];
    char c;
    echo_start(r, &e, "127.0.0.1:0");
    for (int i = 0; i < 20; i++) {
        CHECK(rt_connect(&e.addr, rt_now() + 5 * RT_SEC, &s[i]) == 0);
        echo_once(s[i], 10, 'i');
    }
    for (int i = 0; i < 20; i++) {
        CHECK(rt_read(s[i], &c, 1, rt_now() + 5 * RT_SEC) == 0);
        rt_sock_close(s[i]);
    }
    echo_stop(&e);
    CHECK(e.timed_out == 20);
}

static void test_idle(void **state)
{
    (void)state;
    matrix_run(&one_loop, idle);
    matrix_run(NULL, idle_timeouts);
}

/* ---- abort: the call that another fiber is in returns ---- */

struct aborted {
    struct rt_sock *s;
    struct rt_sem done;
    ssize_t result;
};

static void blocked_read(void *arg)
{
    struct aborted *x = arg;
    char c;
    x->result = rt_read(x->s, &c, 1, RT_FOREVER);
    rt_sem_give(&x->done, 1);
}

static void abort_read(struct rt *r)
{
    struct rt_sock *a, *b;
    struct aborted x;
    char c;
    pair_open(r, &a, &b);
    x = (struct aborted){.s = b};
    rt_sem_init(&x.done, 0);
    CHECK(rt_spawn(rt_self(), "blocked", blocked_read, &x));
    rt_sleep(RT_MS);
    rt_sock_abort(b);
    CHECK(rt_sem_take(&x.done, 1, rt_now() + RT_SEC) && x.result == -ECANCELED);
    CHECK(rt_read(b, &c, 1, RT_FOREVER) == -ECANCELED);
    CHECK(rt_read(a, &c, 1, rt_now() + RT_SEC) <= 0);
    rt_sock_close(b);
    rt_sock_close(a);
}

static void test_abort(void **state)
{
    (void)state;
    matrix_run(&one_loop, abort_read);
}

/* ---- stop with connections busy in every phase ---- */

static void forever(void *arg)
{
    struct echo *e = arg;
    struct rt_sock *s;
    if (rt_connect(&e->addr, RT_FOREVER, &s) != 0) return;
    for (;;) echo_once(s, 512, 's');
}

static struct echo stop_echo;

static void stop_busy(struct rt *r)
{
    free(stop_echo.conns);
    memset(&stop_echo, 0, sizeof stop_echo);
    echo_start(r, &stop_echo, "127.0.0.1:0");
    for (unsigned i = 0; i < 32; i++) CHECK(rt_spawn(rt_loop_at(r, i % 2), "forever", forever, &stop_echo));
    rt_sleep(20 * RT_MS);
    CHECK(STAT_LOAD(stop_echo.accepted) > 0);
}

static void test_stop_busy(void **state)
{
    (void)state;
    matrix_run(NULL, stop_busy);
    free(stop_echo.conns);
}

/* ---- addresses ---- */

static void round_trip(const char *in, const char *want)
{
    struct rt_addr a;
    char out[128];
    assert_int_equal(rt_addr_parse(str_c(in), &a), ERR_OK);
    rt_addr_format(&a, out);
    assert_string_equal(out, want);
}

static void test_addr(void **state)
{
    (void)state;
    struct rt_addr a;
    round_trip("127.0.0.1:9000", "127.0.0.1:9000");
    round_trip("*:80", "[::]:80");
    round_trip("[::1]:9000", "[::1]:9000");
    round_trip(":9000", "[::]:9000");
    round_trip("[::ffff:10.1.2.3]:7", "10.1.2.3:7");
    round_trip("unix:/run/ingot.sock", "unix:/run/ingot.sock");
    static const char *const bad[] = {"",         "9000",     "127.0.0.1",  "127.0.0.1:",  "127.0.0.1:65536",
                                      "1.2.3:80", "::1:9000", "[::1:900",   "[::1]9000",   "[127.0.0.1]:1",
                                      "unix:",    "host:80",  "1.2.3.4:-1", "[::1]:9000 ", "1.2.3.4:0x10"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rt_addr_parse(str_c(bad[i]), &a), ERR_INVALID_SETTING);
    static const char *const no_names[] = {"1.2.3:80", "0x7f.1:80", "-a:80", "a b:80",
                                           "a:",       "a",         "[a]:1", "a:65536"};
    for (unsigned i = 0; i < sizeof no_names / sizeof *no_names; i++)
        assert_false(rt_addr_valid(str_c(no_names[i])));
    assert_true(rt_addr_valid(STR("host-1.example:80")) && rt_addr_valid(STR("[::1]:80")));
    char path[140] = "unix:/";
    memset(path + 6, 'x', 120);
    assert_int_equal(rt_addr_parse(str_c(path), &a), ERR_INVALID_SETTING);
}

static void test_addr_resolve(void **state)
{
    (void)state;
    struct rt_addr a[RT_ADDRS_MAX];
    unsigned n;
    char text[128];
    bool four = false;
    assert_int_equal(rt_addr_resolve(STR("localhost:81"), a, &n), ERR_OK);
    assert_in_range(n, 1, 2); /* each address once, IPv6 where the machine has it */
    for (unsigned i = 0; i < n; i++) {
        rt_addr_format(&a[i], text);
        four |= strcmp(text, "127.0.0.1:81") == 0;
        assert_true(strcmp(text, "127.0.0.1:81") == 0 || strcmp(text, "[::1]:81") == 0);
    }
    assert_true(four);
    assert_int_equal(rt_addr_resolve(STR("[::1]:82"), a, &n), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(rt_addr_resolve(STR("1.2.3:82"), a, &n), ERR_INVALID_SETTING);
    assert_int_equal(rt_addr_resolve(STR("no-such-name.invalid:82"), a, &n), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many), cmocka_unit_test(test_balance),      cmocka_unit_test(test_ends),
        cmocka_unit_test(test_idle), cmocka_unit_test(test_abort),        cmocka_unit_test(test_stop_busy),
        cmocka_unit_test(test_addr), cmocka_unit_test(test_addr_resolve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
