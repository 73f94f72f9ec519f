/* The life of a connection on its loop.
 *
 *   PARKED    no fiber and no work area; rt_when_readable is armed. Idle, with the part of a head that came,
 *             or lingering: answered for the last time, its input read and dropped
 *   STARVED   readable, but the cap of fibers was met; a timer tries again
 *   RUNNING   one fiber reads what is there and serves every complete request in it, then parks the
 *             connection again
 *
 * A client that sends its head slowly thus costs what it has sent, and no fiber. head_deadline spans all the
 * reads of one head.
 */
#include "http/internal.h"
#include "base/assert.h"
#include <errno.h>

#define RETRY_NS     (5 * RT_MS)
#define FAIR_ROUNDS  16           /* pipelined requests served before others get a turn */
#define NEW_GRACE_NS (1 * RT_SEC) /* a drain waits so long for the first request of a new connection */
#define SWEEP_TURN   32           /* connections a drain looks at before others get a turn */

static void on_ready(void *arg, enum rt_idle_event ev);

/* ---- end ---- */
static void drop_work(struct http_conn *c)
{
    if (!c->w) return;
    if (c->w->body.big) big_put(c->hl, c->w->body.big);
    c->w->body.big = NULL;
    work_put(c->hl, c->w);
    c->w = NULL;
}

void conn_forget(struct http_conn *c)
{
    list_remove(&c->link);
    list_remove(&c->wait);
    c->hl->nconns--;
    io_forget(&c->io);
    drop_work(c);
    part_drop(c);
    if (c->lingering) c->hl->lingering--;
    c->magic = 0;
    memory_give(c->hl->s, c->charged);
    atomic_fetch_sub_explicit(&c->hl->s->conns_open, 1, memory_order_relaxed);
    free(c);
}

static void conn_close(struct http_conn *c)
{
    io_close(&c->io);
    conn_forget(c);
}

/* Closing a socket with unread input resets it, and the reset may overtake the answer. So what the client
 * still sends is read and dropped for a while. */
static bool linger_begin(struct http_conn *c)
{
    struct http_loop *hl = c->hl;
    if (hl->lingering >= LINGER_MAX) return false;
    hl->lingering++;
    c->lingering = true;
    c->linger_until = rt_now() + LINGER_NS;
    c->dropped = 0;
    io_shutdown(&c->io, c->linger_until);
    rt_sock_shutdown(c->io.sock);
    io_idle(&c->io);
    drop_work(c);
    return true;
}

static void linger(struct http_conn *c)
{
    enum { TURN = 256 << 10, NOW = 0 };
    char unwanted[8192];
    rt_set_note("lingering");
    while (c->dropped < LINGER_BYTES) {
        ssize_t r = rt_read(c->io.sock, unwanted, sizeof unwanted, NOW);
        if (r == -ETIMEDOUT && rt_now() < c->linger_until) {
            c->phase = CONN_PARKED;
            rt_when_readable(c->io.sock, c->linger_until, on_ready, c);
            return;
        }
        if (r <= 0) break;
        if ((c->dropped += (uint64_t)r) % TURN < (uint64_t)r) rt_yield();
    }
    conn_close(c);
}

static void conn_end(struct http_conn *c)
{
    if (!c->broken && c->linger && linger_begin(c)) {
        linger(c);
        return;
    }
    if (c->broken)
        io_reset(&c->io);
    else
        io_shutdown(&c->io, rt_now() + RT_SEC);
    conn_close(c);
}

/* ---- parking ---- */
static void conn_park(struct http_conn *c)
{
    struct http_server *s = c->hl->s;
    int64_t deadline = c->head_deadline;
    io_idle(&c->io);
    bool begun = c->w && c->w->start < c->w->end;
    if (!begun && c->w && io_established(&c->io)) c->head_deadline = 0;
    if (!begun || part_keep(c)) drop_work(c);
    if (!c->head_deadline) deadline = rt_now() + s->lim.idle_ns;
    c->phase = CONN_PARKED;
    rt_when_readable(c->io.sock, deadline, on_ready, c);
}

/* ---- serving ---- */

/* Make room, and read once what is there. > 0: more bytes; 0: end, -EAGAIN: nothing yet. */
static ssize_t read_more(struct http_conn *c)
{
    struct http_work *w = c->w;
    size_t size = c->hl->s->buf_bytes;
    if (w->end == size && w->start > 0) {
        memmove(w->buf, w->buf + w->start, w->end - w->start);
        w->end -= w->start;
        w->start = 0;
    }
    ASSERT(w->end < size); /* head_scan refused what fills it */
    ssize_t r = io_read_once(&c->io, w->buf + w->end, size - w->end, c->head_deadline);
    if (r > 0) {
        w->end += (size_t)r;
        count_up(&c->hl->bytes_in, (uint64_t)r);
    }
    return r;
}

enum verdict { PARK, END };

static enum verdict serve(struct http_conn *c)
{
    const struct live_limits *lim = &c->hl->s->lim;
    struct http_work *w = c->w;
    bool read_done = false;
    for (unsigned round = 0;;) {
        size_t end = 0;
        err why = ERR_OK;
        enum head_step step = head_scan(&w->scan, w->buf + w->start, w->end - w->start, lim->header_bytes,
                                        lim->header_count, &end, &why);
        if (step == HEAD_BAD) {
            request_refuse(c, why);
            return END;
        }
        if (step == HEAD_DONE) {
            if (!request_run(c, end)) return END;
            if (++round % FAIR_ROUNDS == 0) rt_yield();
            continue;
        }
        if (read_done && !io_pending(&c->io)) return PARK;
        if (!c->head_deadline) c->head_deadline = rt_now() + lim->header_ns;
        ssize_t r = read_more(c);
        if (r <= 0 && r != -EAGAIN) return END;
        read_done = true;
    }
}

/* Without a work area there is no answer of the dialect; a few are allowed beyond the ceiling. */
static void tell_overload(struct http_conn *c)
{
    struct str bare = STR("HTTP/1.1 503 Slow Down\r\nServer: Ingot\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                          "Connection: close\r\n\r\n");
    struct iovec iov = {(void *)(uintptr_t)bare.p, bare.n};
    count_up(&c->hl->conns_refused, 1);
    if (c->w || (c->w = work_get(c->hl, true)) != NULL) {
        request_refuse(c, ERR_SLOW_DOWN);
        return;
    }
    c->linger = true;
    if (c->io.tls || io_writev(&c->io, &iov, 1, rt_now() + RT_SEC, false) < 0) c->broken = true;
}

static void conn_fiber(void *arg)
{
    struct http_conn *c = arg;
    CHECK_MAGIC(c, CONN_MAGIC);
    if (c->lingering) {
        linger(c);
        return;
    }
    enum verdict v = END;
    bool late = c->head_deadline && rt_now() > c->head_deadline;
    if (!c->w && !c->over_ceiling) c->w = work_get(c->hl, false);
    if (c->w && c->part) part_restore(c);
    if (c->over_ceiling || !c->w)
        tell_overload(c);
    else if (!late)
        v = serve(c);
    if (v == PARK && c->head_deadline == 0 && atomic_load_explicit(&c->hl->s->draining, memory_order_relaxed))
        v = END;
    if (v == PARK)
        conn_park(c);
    else
        conn_end(c);
}

/* ---- on the loop ---- */
static void retry_starved(void *arg);

static void conn_start(struct http_conn *c)
{
    c->phase = CONN_RUNNING;
    if (rt_spawn(c->hl->loop, "http", conn_fiber, c)) return;
    c->phase = CONN_STARVED;
    list_append(&c->hl->starved, &c->wait);
    if (c->hl->retry.slot == 0) rt_timer_set(&c->hl->retry, rt_now() + RETRY_NS, retry_starved, c->hl);
}

static void retry_starved(void *arg)
{
    struct http_loop *hl = arg;
    for (struct list *e; (e = list_pop(&hl->starved)) != NULL;) {
        struct http_conn *c = CONTAINER(e, struct http_conn, wait);
        conn_start(c);
        if (c->phase != CONN_STARVED) continue;
        list_remove(&c->wait); /* still none: it keeps its place */
        list_push(&hl->starved, &c->wait);
        return;
    }
}

static void on_ready(void *arg, enum rt_idle_event ev)
{
    struct http_conn *c = arg;
    CHECK_MAGIC(c, CONN_MAGIC);
    if (ev == RT_TIMEOUT)
        conn_close(c);
    else
        conn_start(c);
}

void conn_accept(void *arg, struct rt_sock *sock, const struct rt_addr *peer)
{
    struct http_listener *ln = arg;
    struct http_server *s = ln->s;
    struct http_loop *hl = &s->loops[rt_loop_index(rt_sock_loop(sock))];
    struct http_conn *c = calloc(1, sizeof *c);
    count_up(&hl->conns_total, 1);
    if (!c) {
        rt_sock_close(sock);
        return;
    }
    c->magic = CONN_MAGIC;
    c->hl = hl;
    c->peer = *peer;
    rt_addr_format(peer, c->peer_text);
    list_append(&hl->conns, &c->link);
    hl->nconns++;
    list_init(&c->wait);
    c->accepted_at = rt_now();
    size_t bytes = CONN_BYTES + (ln->tls ? CONN_TLS_BYTES : 0);
    bool fits = memory_take(s, bytes);
    c->charged = fits ? bytes : 0;
    bool room = atomic_fetch_add_explicit(&s->conns_open, 1, memory_order_relaxed) < s->lim.max_conns;
    c->over_ceiling = !room || !fits;
    c->io.sock = sock;
    if (ln->tls) {
        c->head_deadline = c->accepted_at + s->lim.header_ns;
        if (!io_start_tls(&c->io, ln->tls, hl)) {
            conn_close(c);
            return;
        }
    }
    if (c->over_ceiling && (ln->tls || hl->lingering >= LINGER_MAX))
        conn_close(c); /* a handshake is no price to pay for a refusal */
    else if (c->over_ceiling)
        conn_start(c);
    else
        conn_park(c);
}

/* ---- drain ---- */

/* A request may be in the socket that no event told of yet. */
static bool has_input(const struct http_conn *c)
{
    char byte;
    int fd = rt_sock_fd(c->io.sock);
    return fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void sweep_one(struct http_conn *c, bool cutting)
{
    if (c->phase == CONN_RUNNING) {
        if (cutting) rt_sock_abort(c->io.sock);
        return;
    }
    bool fresh = c->requests == 0 && rt_now() - c->accepted_at < NEW_GRACE_NS;
    if (!cutting && (c->w || c->part || c->lingering || fresh || c->phase == CONN_STARVED || has_input(c)))
        return;
    if (c->phase == CONN_PARKED) rt_when_readable_cancel(c->io.sock);
    conn_close(c);
}

/* A turn of the walk: who was looked at goes to the end of the list. */
void conn_sweep(void *arg)
{
    struct http_loop *hl = arg;
    bool cutting = atomic_load_explicit(&hl->s->cutting, memory_order_relaxed);
    if (!hl->to_sweep) hl->to_sweep = hl->nconns;
    for (unsigned n = 0; n < SWEEP_TURN && hl->to_sweep > 0; n++, hl->to_sweep--) {
        struct list *e = list_pop(&hl->conns);
        if (!e) break; /* others have ended meanwhile */
        list_append(&hl->conns, e);
        sweep_one(CONTAINER(e, struct http_conn, link), cutting);
    }
    if (list_empty(&hl->conns)) hl->to_sweep = 0;
    if (hl->to_sweep > 0)
        rt_post(hl->loop, &hl->sweep);
    else
        atomic_store_explicit(&hl->sweeping, false, memory_order_release);
}
