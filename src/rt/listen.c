/* Listeners: one part per loop (SO_REUSEPORT), or one on loop 0 for a Unix socket. Every part lives on its
 * loop; pause and close reach it as one message, sent again only after it ran. A connection goes to the loop
 * with the fewest open sockets when its own has clearly more. */
#include "base/log.h"
#include "rt/rt_int.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 32, BACKLOG_DEFAULT = 4096 };
#define ACCEPT_RETRY (100 * RT_MS) /* after running out of descriptors or memory */
#define CLOSE_GRACE  (20 * RT_MS)  /* for handshakes under way when a listener closes */

struct listener_part {
    struct source src; /* first */
    struct rt_listener *listener;
    struct rt_loop *loop;
    struct rt_msg msg;
    int msg_sent; /* (any) */
    struct rt_timer retry;
    bool holding; /* waiting for retry */
};

struct rt_listener {
    unsigned magic;
    struct rt *rt;
    struct list link; /* rt->listeners */
    struct rt_addr addr;
    rt_accept_fn *fn;
    void *arg;
    int closing; /* (any) */
    int refs;    /* (any) open parts and sockets being handed off */
    struct rt_waiter *closer;
    unsigned nparts;
    struct listener_part parts[];
};

static void listener_free(struct rt_listener *l)
{
    rt_latch_lock(&l->rt->listeners_guard);
    list_remove(&l->link);
    rt_latch_unlock(&l->rt->listeners_guard);
    for (unsigned i = 0; i < l->nparts; i++)
        if (l->parts[i].src.fd >= 0) l->rt->backend->net->close(l->parts[i].src.fd);
    if (l->addr.ss.ss_family == AF_UNIX && !l->rt->sim) unlink(((struct sockaddr_un *)&l->addr.ss)->sun_path);
    l->magic = 0;
    free(l);
}

/* The last to let go tells the closer, or frees when nobody waits. */
static void listener_drop(struct rt_listener *l)
{
    struct rt *r = l->rt;
    if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    if (!__atomic_load_n(&r->running, __ATOMIC_ACQUIRE)) return; /* rt_free will */
    if (l->closer)
        rt_wake(l->closer);
    else
        listener_free(l);
}

/* ---- accepting ---- */

static struct rt_loop *choose_loop(struct rt_loop *here)
{
    struct rt *r = here->rt;
    struct rt_loop *least = here;
    for (unsigned i = 0; i < r->nloops; i++)
        if (STAT_GET(r->loops[i]->nsocks) < STAT_GET(least->nsocks)) least = r->loops[i];
    unsigned low = STAT_GET(least->nsocks);
    return STAT_GET(here->nsocks) > low + 1 + low / 8 ? least : here;
}

static void deliver(struct rt_listener *l, struct rt_sock *s, struct rt_loop *loop)
{
    sock_adopt(loop, s);
    l->fn(l->arg, s, &s->peer);
}

static void handed_off(void *arg)
{
    struct rt_sock *s = arg;
    struct rt_listener *l = s->from->listener;
    deliver(l, s, s->loop);
    listener_drop(l);
}

static void accepted(struct listener_part *p, int fd, const struct rt_addr *peer)
{
    struct rt_loop *to = choose_loop(p->loop);
    struct rt_sock *s = sock_new(p->loop, fd);
    if (!s) return;
    s->peer = *peer;
    __atomic_add_fetch(&to->nsocks, 1, __ATOMIC_RELAXED);
    if (to == p->loop) {
        deliver(p->listener, s, to);
        return;
    }
    s->loop = to;
    s->from = p;
    s->handoff.fn = handed_off;
    s->handoff.arg = s;
    __atomic_add_fetch(&p->listener->refs, 1, __ATOMIC_RELAXED);
    rt_post(to, &s->handoff);
}

static void part_sync(void *arg);

static void part_retry(void *arg)
{
    struct listener_part *p = arg;
    p->holding = false;
    part_sync(p);
}

/* Out of descriptors or memory: the queue of the kernel holds the callers; look again soon. */
static void part_hold(struct listener_part *p, int e)
{
    LOG_WARN("cannot accept connections", LF_Z("error", strerrordesc_np(e)));
    p->holding = true;
    rt_timer_set(&p->retry, p->loop->now + ACCEPT_RETRY, part_retry, p);
    part_sync(p);
}

/* 0: taken, or gone meanwhile. */
static int accept_one(struct listener_part *p)
{
    struct rt_addr peer = {.len = sizeof peer.ss};
    int fd = p->listener->rt->backend->net->accept(p->src.fd, &peer);
    if (fd >= 0) accepted(p, fd, &peer);
    return fd >= 0 || fd == -ECONNABORTED || fd == -EINTR ? 0 : fd;
}

static void part_event(struct source *src, unsigned ev)
{
    (void)ev;
    struct listener_part *p = (struct listener_part *)src;
    struct rt_listener *l = p->listener;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (__atomic_load_n(&l->closing, __ATOMIC_RELAXED)) return;
        int rc = accept_one(p);
        if (rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -ENOMEM) part_hold(p, -rc);
        if (rc < 0) return;
    }
}

/* Those in the kernel's queue think that they are connected, and may have sent a request. */
static void accept_rest(struct listener_part *p)
{
    int rc;
    do rc = accept_one(p);
    while (rc == 0);
    if (rc != -EAGAIN && rc != -EINVAL) /* a Unix socket that takes nothing more says EINVAL */
        LOG_WARN("cannot accept the last connections", LF_Z("error", strerrordesc_np(-rc)));
}

/* ---- start, close: bring a part to the state that the listener asks for ---- */

static void part_gone(struct source *src)
{
    struct listener_part *p = (struct listener_part *)src;
    if (__atomic_load_n(&p->listener->closing, __ATOMIC_ACQUIRE)) {
        accept_rest(p);
        p->listener->rt->backend->net->close(src->fd);
        src->fd = -1;
        listener_drop(p->listener);
    } else {
        part_sync(p);
    }
}

static void part_sync(void *arg)
{
    struct listener_part *p = arg;
    struct rt_listener *l = p->listener;
    const struct backend *b = l->rt->backend;
    __atomic_store_n(&p->msg_sent, 0, __ATOMIC_SEQ_CST);
    bool closing = __atomic_load_n(&l->closing, __ATOMIC_SEQ_CST);
    bool want = !closing && !p->holding;
    if (p->src.fd < 0 || p->src.removing) return; /* part_gone looks again */
    if (closing) rt_timer_cancel(&p->retry);
    if (want && !p->src.added) {
        int rc = b->source_add(p->loop, &p->src);
        if (rc < 0) part_hold(p, -rc);
    } else if (!want && p->src.added) {
        b->source_remove(p->loop, &p->src);
    } else if (closing) {
        part_gone(&p->src);
    }
}

static void sync_parts(struct rt_listener *l)
{
    for (unsigned i = 0; i < l->nparts; i++) {
        struct listener_part *p = &l->parts[i];
        if (__atomic_exchange_n(&p->msg_sent, 1, __ATOMIC_SEQ_CST)) continue;
        p->msg.fn = part_sync;
        p->msg.arg = p;
        rt_post(p->loop, &p->msg);
    }
}

void rt_listener_close(struct rt_listener *l)
{
    CHECK_MAGIC(l, LSTN_MAGIC);
    struct rt_waiter w;
    if (!__atomic_load_n(&l->rt->running, __ATOMIC_ACQUIRE)) {
        for (unsigned i = 0; i < l->nparts; i++) {
            if (l->parts[i].src.fd >= 0) l->rt->backend->net->close(l->parts[i].src.fd);
            l->parts[i].src.fd = -1;
        }
        return;
    }
    bool wait = rt_fiber_self() != NULL, coming = false;
    for (unsigned i = 0; i < l->nparts; i++)
        if (l->rt->backend->net->refuse_new(l->parts[i].src.fd)) coming = true;
    if (wait && coming) rt_sleep(CLOSE_GRACE);
    if (wait) {
        rt_waiter_init(&w);
        l->closer = &w;
    }
    __atomic_store_n(&l->closing, 1, __ATOMIC_SEQ_CST);
    sync_parts(l);
    if (!wait) return;
    wait_for(&w, RT_FOREVER, "listener to close");
    listener_free(l);
}

void listeners_free(struct rt *r)
{
    while (!list_empty(&r->listeners)) listener_free(CONTAINER(r->listeners.next, struct rt_listener, link));
}

/* ---- binding ---- */

static struct rt_listener *listener_new(struct rt *r, const struct rt_addr *a, rt_accept_fn *fn, void *arg)
{
    unsigned n = a->ss.ss_family == AF_UNIX ? 1 : r->nloops;
    struct rt_listener *l = calloc(1, sizeof *l + n * sizeof l->parts[0]);
    if (!l) return NULL;
    l->magic = LSTN_MAGIC;
    l->rt = r;
    l->addr = *a;
    l->fn = fn;
    l->arg = arg;
    l->nparts = n;
    l->refs = (int)n;
    for (unsigned i = 0; i < n; i++) {
        struct listener_part *p = &l->parts[i];
        p->src = (struct source){.fd = -1, .on_event = part_event, .on_gone = part_gone};
        p->listener = l;
        p->loop = r->loops[i];
        list_init(&p->src.gone);
    }
    rt_latch_lock(&r->listeners_guard);
    list_append(&r->listeners, &l->link);
    rt_latch_unlock(&r->listeners_guard);
    return l;
}

static bool no_ipv6(const struct rt_addr *a, int rc)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&a->ss;
    return a->ss.ss_family == AF_INET6 && (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL) &&
           IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr);
}

err rt_listen(struct rt *r, const struct rt_addr *a, int backlog, rt_accept_fn *fn, void *arg,
              struct rt_listener **out)
{
    CHECK_MAGIC(r, RT_MAGIC);
    *out = NULL;
    struct rt_listener *l = listener_new(r, a, fn, arg);
    if (!l) return ERR_NO_MEMORY;
    int rc = 0;
    for (unsigned i = 0; i < l->nparts && rc >= 0; i++)
        rc = l->parts[i].src.fd =
            r->backend->net->listen(&l->addr, i == 0, backlog ? backlog : BACKLOG_DEFAULT);
    if (rc < 0) {
        bool bound = l->parts[0].src.fd >= 0;
        if (!bound) l->addr.ss.ss_family = AF_UNSPEC; /* not our path: leave it */
        listener_free(l);
        if (no_ipv6(a, rc)) { /* all addresses, on a machine without IPv6 */
            struct rt_addr four = {.len = sizeof(struct sockaddr_in)};
            struct sockaddr_in *in = (struct sockaddr_in *)&four.ss;
            in->sin_family = AF_INET;
            in->sin_port = ((const struct sockaddr_in6 *)&a->ss)->sin6_port;
            return rt_listen(r, &four, backlog, fn, arg, out);
        }
        char text[128];
        rt_addr_format(a, text);
        LOG_ERROR("cannot listen", LF_Z("address", text), LF_Z("error", strerrordesc_np(-rc)));
        bool setting = rc == -EADDRINUSE || rc == -EACCES || rc == -EADDRNOTAVAIL;
        return setting ? ERR_INVALID_SETTING : err_of_errno(-rc);
    }
    sync_parts(l);
    *out = l;
    return ERR_OK;
}

void rt_listener_addr(const struct rt_listener *l, struct rt_addr *out)
{
    *out = l->addr;
}
