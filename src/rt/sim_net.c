/* The simulated network: sockets of this process, as the kernel's calls show them (net_ops).
 *
 * What is sent is cut into segments that arrive later, in order; a socket takes at most WINDOW bytes that its
 * peer has not read. Readiness is reported as edges for connections and for as long as it lasts for
 * listeners, in an order that the seed chooses. Addresses are compared, not routed: who listens on an address
 * meets who connects to it.
 */
#include "rt/sim_int.h"
#include <errno.h>
#include <sys/un.h>

enum { FD_BASE = 1 << 21, FD_MAX = 8192, WINDOW = 256 * 1024, SEGMENT_MAX = 16 * 1024, FIRST_PORT = 40000 };
#define WIRE_NS (30 * 1000)

struct segment {
    struct list link;
    int64_t at; /* arrival */
    bool end;   /* the end of the stream */
    size_t n, read;
    char bytes[];
};

struct sim_sock {
    int fd;
    bool listening, connected, refused, reset, ended, sent_end;
    struct rt_addr addr; /* of a listener */
    struct rt_addr peer_addr;
    struct sim_sock *peer; /* NULL: closed, or never connected */
    struct list coming;    /* segments on the wire, oldest first */
    struct list arrived;
    size_t unread;         /* bytes in both */
    bool blocked;          /* the peer wants to know when there is room */
    struct rt_timer timer; /* next arrival, or the end of connecting */
    struct list backlog;   /* listener: accepted ends, by `waiting` */
    struct list waiting;
    unsigned nbacklog, max_backlog;
    struct source *src;
    unsigned events;     /* to report */
    struct list pending; /* in due, while events are to be reported */
};

static struct sim_sock *socks[FD_MAX];
static struct list due = {&due, &due};
static unsigned next_port = FIRST_PORT;

static struct sim_sock *sock_of(int fd)
{
    int i = fd - FD_BASE;
    ASSERT(i >= 0 && i < FD_MAX && socks[i]);
    return socks[i];
}

static struct sim_sock *sim_sock_new(void)
{
    for (int i = 0; i < FD_MAX; i++) {
        if (socks[i]) continue;
        struct sim_sock *s = calloc(1, sizeof *s);
        if (!s) return NULL;
        s->fd = FD_BASE + i;
        list_init(&s->coming);
        list_init(&s->arrived);
        list_init(&s->backlog);
        list_init(&s->waiting);
        list_init(&s->pending);
        return socks[i] = s;
    }
    return NULL;
}

/* ---- readiness ---- */

static void report(struct sim_sock *s, unsigned ev)
{
    if (!s->src || !s->src->added || s->src->removing) return;
    s->events |= ev;
    if (list_empty(&s->pending)) list_append(&due, &s->pending);
}

static bool readable(const struct sim_sock *s)
{
    return !list_empty(&s->arrived) || s->ended || s->reset || !list_empty(&s->backlog);
}

static bool writable(const struct sim_sock *s)
{
    return s->reset || s->refused || (s->connected && (!s->peer || s->peer->unread < WINDOW));
}

/* What is so now; also what adding a source reports. */
static void report_state(struct sim_sock *s)
{
    unsigned ev = (readable(s) ? EV_IN : 0) | (writable(s) && !s->listening ? EV_OUT : 0);
    if (s->ended || s->reset || s->refused) ev |= EV_END;
    if (ev) report(s, ev);
}

int sim_net_source_add(struct rt_loop *l, struct source *src)
{
    (void)l;
    struct sim_sock *s = sock_of(src->fd);
    src->added = true;
    s->src = src;
    report_state(s);
    return 0;
}

void sim_net_source_remove(struct rt_loop *l, struct source *src)
{
    struct sim_sock *s = sock_of(src->fd);
    s->src = NULL;
    s->events = 0;
    list_remove(&s->pending);
    src->removing = true;
    list_append(&l->gone, &src->gone);
}

bool sim_net_deliver(struct rt_loop *l)
{
    (void)l;
    if (list_empty(&due)) return false;
    struct list *e = due.next;
    for (uint64_t skip = sim_below(8); skip > 0 && e->next != &due; skip--) e = e->next;
    struct sim_sock *s = CONTAINER(e, struct sim_sock, pending);
    unsigned ev = s->events;
    list_remove(&s->pending);
    s->events = 0;
    sim_trace((uint64_t)s->fd, ev);
    int fd = s->fd;
    s->src->on_event(s->src, ev); /* may close s */
    s = socks[fd - FD_BASE];
    if (s && s->listening && !list_empty(&s->backlog)) report(s, EV_IN);
    return true;
}

/* ---- the wire ---- */

static void arrive(void *arg);

static void arm(struct sim_sock *s)
{
    if (list_empty(&s->coming)) return;
    rt_timer_set(&s->timer, CONTAINER(s->coming.next, struct segment, link)->at, arrive, s);
}

static void arrive(void *arg)
{
    struct sim_sock *s = arg;
    while (!list_empty(&s->coming)) {
        struct segment *g = CONTAINER(s->coming.next, struct segment, link);
        if (g->at > tl_loop->now) break;
        list_remove(&g->link);
        if (g->end) {
            s->ended = true;
            free(g);
        } else {
            list_append(&s->arrived, &g->link);
        }
        sim_trace((uint64_t)s->fd, 3);
    }
    report(s, EV_IN | (s->ended ? EV_END : 0));
    arm(s);
}

static void put_on_wire(struct sim_sock *to, const char *p, size_t n, bool end)
{
    struct segment *g = malloc(sizeof *g + n);
    ASSERT(g != NULL);
    struct list *last = to->coming.prev;
    int64_t at = rt_now() + sim_latency(WIRE_NS, sim_faults.net_slow);
    if (last != &to->coming && CONTAINER(last, struct segment, link)->at > at)
        at = CONTAINER(last, struct segment, link)->at; /* in order */
    *g = (struct segment){.at = at, .end = end, .n = n};
    if (n) memcpy(g->bytes, p, n);
    list_append(&to->coming, &g->link);
    to->unread += n;
    if (to->coming.next == &g->link) arm(to);
}

static void drop_segments(struct list *l)
{
    struct list *e;
    while ((e = list_pop(l))) free(CONTAINER(e, struct segment, link));
}

static void reset_end(struct sim_sock *s)
{
    s->reset = true;
    drop_segments(&s->coming);
    drop_segments(&s->arrived);
    s->unread = 0;
    rt_timer_cancel(&s->timer);
    report(s, EV_IN | EV_OUT | EV_END);
}

/* The connection breaks, for both ends. */
static bool broken_now(struct sim_sock *s)
{
    if (!s->reset && sim_chance(sim_faults.net_drop)) {
        if (s->peer) reset_end(s->peer);
        reset_end(s);
    }
    return s->reset;
}

/* ---- the calls ---- */

static int sn_socket(int family)
{
    (void)family;
    struct sim_sock *s = sim_sock_new();
    return s ? s->fd : -EMFILE;
}

static bool same_place(const struct rt_addr *listens, const struct rt_addr *a)
{
    const struct sockaddr_in *f = (const void *)&listens->ss, *g = (const void *)&a->ss;
    const struct sockaddr_in6 *s = (const void *)&listens->ss, *t = (const void *)&a->ss;
    if (listens->ss.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&s->sin6_addr))
        return (a->ss.ss_family == AF_INET && g->sin_port == s->sin6_port) ||
               (a->ss.ss_family == AF_INET6 && t->sin6_port == s->sin6_port);
    if (listens->ss.ss_family != a->ss.ss_family) return false;
    if (listens->ss.ss_family == AF_INET6)
        return s->sin6_port == t->sin6_port && memcmp(&s->sin6_addr, &t->sin6_addr, sizeof s->sin6_addr) == 0;
    if (listens->ss.ss_family == AF_INET)
        return f->sin_port == g->sin_port &&
               (f->sin_addr.s_addr == htonl(INADDR_ANY) || f->sin_addr.s_addr == g->sin_addr.s_addr);
    return strcmp(((const struct sockaddr_un *)s)->sun_path, ((const struct sockaddr_un *)t)->sun_path) == 0;
}

static struct sim_sock *listener_at(const struct rt_addr *a)
{
    for (int i = 0; i < FD_MAX; i++)
        if (socks[i] && socks[i]->listening && same_place(&socks[i]->addr, a)) return socks[i];
    return NULL;
}

static uint16_t *port_of(struct rt_addr *a)
{
    if (a->ss.ss_family == AF_INET) return &((struct sockaddr_in *)&a->ss)->sin_port;
    if (a->ss.ss_family == AF_INET6) return &((struct sockaddr_in6 *)&a->ss)->sin6_port;
    return NULL;
}

static int sn_listen(struct rt_addr *a, bool first, int backlog)
{
    (void)first; /* one loop, one part */
    uint16_t *port = port_of(a);
    if (port && *port == 0) *port = htons((uint16_t)next_port++);
    if (listener_at(a)) return -EADDRINUSE;
    struct sim_sock *s = sim_sock_new();
    if (!s) return -EMFILE;
    s->listening = true;
    s->addr = *a;
    s->max_backlog = (unsigned)backlog;
    return s->fd;
}

static void connect_done(void *arg)
{
    struct sim_sock *s = arg;
    struct sim_sock *l = listener_at(&s->addr), *far = NULL;
    if (l && l->nbacklog < l->max_backlog) far = sim_sock_new();
    if (!far) {
        s->refused = true;
    } else {
        s->connected = far->connected = true;
        s->peer = far;
        far->peer = s;
        far->peer_addr.ss.ss_family = s->addr.ss.ss_family;
        far->peer_addr.len = s->addr.len;
        uint16_t *port = port_of(&far->peer_addr);
        if (port) *port = htons((uint16_t)next_port++);
        list_append(&l->backlog, &far->waiting);
        l->nbacklog++;
        report(l, EV_IN);
    }
    report_state(s);
}

static int sn_connect(int fd, const struct rt_addr *a)
{
    struct sim_sock *s = sock_of(fd);
    s->addr = *a;
    rt_timer_set(&s->timer, rt_now() + sim_latency(WIRE_NS, sim_faults.net_slow), connect_done, s);
    return -EINPROGRESS;
}

static int sn_connect_error(int fd)
{
    struct sim_sock *s = sock_of(fd);
    return s->refused ? -ECONNREFUSED : s->reset ? -ECONNRESET : 0;
}

static int sn_accept(int fd, struct rt_addr *peer)
{
    struct sim_sock *l = sock_of(fd);
    struct list *e = list_pop(&l->backlog);
    if (!e) return -EAGAIN;
    l->nbacklog--;
    struct sim_sock *s = CONTAINER(e, struct sim_sock, waiting);
    *peer = s->peer_addr;
    return s->fd;
}

static bool sn_refuse_new(int fd)
{
    sock_of(fd)->max_backlog = 0;
    return false;
}

static ssize_t sn_recv(int fd, void *p, size_t n, bool peek)
{
    struct sim_sock *s = sock_of(fd);
    if (broken_now(s)) return -ECONNRESET;
    size_t got = 0;
    LIST_EACH(e, &s->arrived)
    {
        struct segment *g = CONTAINER(e, struct segment, link);
        size_t k = g->n - g->read < n - got ? g->n - g->read : n - got;
        memcpy((char *)p + got, g->bytes + g->read, k);
        got += k;
        if (peek) break;
        g->read += k;
        s->unread -= k;
        if (g->read < g->n) break;
        list_remove(&g->link);
        free(g);
    }
    if (got == 0 && n > 0) return s->ended ? 0 : -EAGAIN;
    if (s->blocked && s->peer && s->unread < WINDOW / 2) {
        s->blocked = false;
        report(s->peer, EV_OUT);
    }
    return (ssize_t)got;
}

static ssize_t sn_send(int fd, const struct msghdr *m, int flags)
{
    (void)flags;
    struct sim_sock *s = sock_of(fd);
    if (broken_now(s)) return -ECONNRESET;
    if (s->sent_end || !s->peer) return -EPIPE;
    size_t room = s->peer->unread < WINDOW ? WINDOW - s->peer->unread : 0, sent = 0;
    for (size_t i = 0; i < m->msg_iovlen && room > 0; i++) {
        const char *p = m->msg_iov[i].iov_base;
        size_t left = m->msg_iov[i].iov_len < room ? m->msg_iov[i].iov_len : room;
        room -= left;
        sent += left;
        while (left > 0) {
            size_t k = 1 + (size_t)sim_below(SEGMENT_MAX);
            if (k > left) k = left;
            put_on_wire(s->peer, p, k, false);
            p += k;
            left -= k;
        }
    }
    if (sent > 0) return (ssize_t)sent;
    s->peer->blocked = true;
    return -EAGAIN;
}

static void sn_shutdown(int fd, int how)
{
    struct sim_sock *s = sock_of(fd);
    if (how != SHUT_WR) {
        s->ended = true;
        report(s, EV_IN | EV_END);
    }
    if (!s->sent_end && s->peer) put_on_wire(s->peer, NULL, 0, true);
    s->sent_end = true;
}

static void sim_sock_free(struct sim_sock *s)
{
    drop_segments(&s->coming);
    drop_segments(&s->arrived);
    list_remove(&s->pending);
    list_remove(&s->waiting);
    socks[s->fd - FD_BASE] = NULL;
    free(s);
}

static void sn_close(int fd)
{
    struct sim_sock *s = sock_of(fd);
    bool running = tl_loop != NULL; /* else the runtime is being freed */
    struct list *e;
    while ((e = list_pop(&s->backlog))) sn_close(CONTAINER(e, struct sim_sock, waiting)->fd);
    if (running) rt_timer_cancel(&s->timer);
    if (running && s->peer) {
        /* As TCP: what was not read is lost to the writer by a reset, else it sees the end. */
        if (s->unread > 0)
            reset_end(s->peer);
        else if (!s->sent_end)
            put_on_wire(s->peer, NULL, 0, true);
    }
    if (s->peer) s->peer->peer = NULL;
    sim_sock_free(s);
}

/* The run ended: what its fibers left open goes too. */
void sim_net_reset(void)
{
    for (int i = 0; i < FD_MAX; i++)
        if (socks[i]) sim_sock_free(socks[i]);
    next_port = FIRST_PORT;
}

const struct net_ops net_sim = {
    .socket = sn_socket,
    .connect = sn_connect,
    .connect_error = sn_connect_error,
    .listen = sn_listen,
    .accept = sn_accept,
    .refuse_new = sn_refuse_new,
    .recv = sn_recv,
    .send = sn_send,
    .shutdown = sn_shutdown,
    .close = sn_close,
};
