/* Sockets over readiness: the system call first, then a wait for the edge. Shared by all backends.
 *
 * can_read and can_write are false only when the kernel said "would wait" (or a short read said so) and an
 * edge will come. A socket that was never waited for is not even known to the backend.
 */
#include "rt/rt_int.h"
#include <errno.h>
#include <sys/socket.h>

enum { IOV_BATCH = 1024 };

static const struct net_ops *net_of(const struct rt_sock *s)
{
    return s->loop->rt->backend->net;
}

/* ---- life ---- */

static void sock_event(struct source *src, unsigned ev);
static void sock_gone(struct source *src);

struct rt_sock *sock_new(struct rt_loop *l, int fd)
{
    struct list *e = list_pop(&l->sock_cache);
    struct rt_sock *s = e ? CONTAINER(e, struct rt_sock, link) : malloc(sizeof *s);
    if (e) l->nsock_cache--;
    if (!s) {
        l->rt->backend->net->close(fd);
        return NULL;
    }
    memset(s, 0, offsetof(struct rt_sock, peer));
    s->src = (struct source){.fd = fd, .edge = true, .on_event = sock_event, .on_gone = sock_gone};
    s->magic = SOCK_MAGIC;
    s->can_read = s->can_write = true;
    list_init(&s->link);
    list_init(&s->idle_link);
    list_init(&s->src.gone);
    return s;
}

void sock_adopt(struct rt_loop *l, struct rt_sock *s)
{
    s->loop = l;
    list_append(&l->socks, &s->link);
}

static void sock_release(struct rt_loop *l, struct rt_sock *s)
{
    s->magic = 0;
    if (l->nsock_cache < SOCK_CACHE) {
        list_push(&l->sock_cache, &s->link);
        l->nsock_cache++;
    } else {
        free(s);
    }
}

static void sock_gone(struct source *src)
{
    struct rt_sock *s = (struct rt_sock *)src;
    net_of(s)->close(src->fd);
    sock_release(s->loop, s);
}

void rt_sock_close(struct rt_sock *s)
{
    CHECK_MAGIC(s, SOCK_MAGIC);
    struct rt_loop *l = s->loop;
    ASSERT(l == rt_self() && !s->waiter);
    rt_timer_cancel(&s->timer);
    s->idle_fn = NULL;
    list_remove(&s->idle_link);
    list_remove(&s->link);
    __atomic_sub_fetch(&l->nsocks, 1, __ATOMIC_RELAXED);
    if (s->src.added) {
        l->rt->backend->source_remove(l, &s->src);
    } else {
        net_of(s)->close(s->src.fd);
        sock_release(l, s);
    }
}

void socks_free(struct rt_loop *l)
{
    struct list *e;
    while ((e = list_pop(&l->socks))) {
        struct rt_sock *s = CONTAINER(e, struct rt_sock, link);
        l->rt->backend->net->close(s->src.fd);
        free(s);
    }
    while ((e = list_pop(&l->sock_cache))) free(CONTAINER(e, struct rt_sock, link));
}

int rt_sock_fd(const struct rt_sock *s)
{
    return s->loop->rt->sim ? -1 : s->src.fd;
}
struct rt_loop *rt_sock_loop(const struct rt_sock *s)
{
    return s->loop;
}

/* ---- readiness ---- */

static void idle_fire(struct rt_sock *s, enum rt_idle_event ev)
{
    rt_idle_fn *fn = s->idle_fn;
    s->idle_fn = NULL;
    list_remove(&s->idle_link);
    fn(s->idle_arg, ev); /* may close s */
}

static void sock_event(struct source *src, unsigned ev)
{
    struct rt_sock *s = (struct rt_sock *)src;
    CHECK_MAGIC(s, SOCK_MAGIC);
    if (ev & EV_END) s->ended = true;
    if (ev & (EV_IN | EV_END)) s->can_read = true;
    if (ev & (EV_OUT | EV_END)) s->can_write = true;
    if (s->waiter && (ev & (s->want | EV_END))) {
        struct rt_waiter *w = s->waiter;
        s->waiter = NULL;
        rt_wake(w);
    } else if (s->idle_fn && s->can_read) {
        idle_fire(s, RT_READABLE);
    }
}

/* 0 when ready, or -errno. */
static int sock_wait(struct rt_sock *s, unsigned want, int64_t deadline)
{
    if (!s->src.added) {
        int rc = s->loop->rt->backend->source_add(s->loop, &s->src);
        if (rc < 0) return rc;
    }
    struct rt_waiter w;
    rt_waiter_init(&w);
    s->want = want;
    s->waiter = &w;
    if (!wait_for(&w, deadline, want == EV_IN ? "read" : "write")) {
        s->waiter = NULL;
        return -ETIMEDOUT;
    }
    return s->aborted ? -ECANCELED : 0;
}

static void check_use(struct rt_sock *s)
{
    CHECK_MAGIC(s, SOCK_MAGIC);
    ASSERT(s->loop == rt_self() && rt_fiber_self() && !s->waiter);
}

/* ---- reading ---- */

ssize_t rt_read(struct rt_sock *s, void *p, size_t n, int64_t deadline)
{
    check_use(s);
    for (;;) {
        if (s->aborted) return -ECANCELED;
        if (s->can_read) {
            rt_breathe();
            ssize_t r = net_of(s)->recv(s->src.fd, p, n, false);
            if (r >= 0) {
                /* A stream that gave less than asked is empty: the next byte raises an edge. */
                if (r > 0 && (size_t)r < n && s->src.added && !s->ended) s->can_read = false;
                return r;
            }
            if (r == -EINTR) continue;
            if (r != -EAGAIN) return r;
            s->can_read = false;
        }
        int rc = sock_wait(s, EV_IN, deadline);
        if (rc < 0) return rc;
    }
}

/* The timer of an idle socket is not moved at each request: it fires at an old deadline and looks again. */
static void idle_timer(void *arg)
{
    struct rt_sock *s = arg;
    if (!s->idle_fn || s->idle_deadline == RT_FOREVER) return;
    if (s->idle_deadline > s->loop->now)
        rt_timer_set(&s->timer, s->idle_deadline, idle_timer, s);
    else
        idle_fire(s, RT_TIMEOUT);
}

/* Settle whether a byte waits. A full read leaves that open. */
static bool readable_now(struct rt_sock *s)
{
    if (s->ended || s->aborted) return true;
    if (!s->can_read) return false;
    char c;
    if (net_of(s)->recv(s->src.fd, &c, 1, true) == -EAGAIN) s->can_read = false;
    return s->can_read;
}

void rt_when_readable(struct rt_sock *s, int64_t deadline, rt_idle_fn *fn, void *arg)
{
    CHECK_MAGIC(s, SOCK_MAGIC);
    ASSERT(s->loop == rt_self() && !s->idle_fn && !s->waiter);
    s->idle_fn = fn;
    s->idle_arg = arg;
    s->idle_deadline = deadline;
    bool due = false;
    if (!s->src.added) {
        s->can_read = false; /* adding reports what is there */
        if (s->loop->rt->backend->source_add(s->loop, &s->src) < 0) due = s->can_read = true;
    } else {
        due = readable_now(s);
    }
    if (due)
        list_append(&s->loop->idle_socks, &s->idle_link);
    else if (deadline != RT_FOREVER && (!s->timer.slot || s->timer.at > deadline))
        rt_timer_set(&s->timer, deadline, idle_timer, s);
}

void rt_when_readable_cancel(struct rt_sock *s)
{
    CHECK_MAGIC(s, SOCK_MAGIC);
    ASSERT(s->loop == rt_self());
    s->idle_fn = NULL;
    list_remove(&s->idle_link);
}

/* Callbacks that were due when they were asked for. Those they add wait for the next pass. */
void socks_run_idle(struct rt_loop *l)
{
    if (list_empty(&l->idle_socks)) return;
    struct list due;
    list_insert_after(&l->idle_socks, &due);
    list_remove(&l->idle_socks);
    while (!list_empty(&due)) {
        struct rt_sock *s = CONTAINER(due.next, struct rt_sock, idle_link);
        idle_fire(s, RT_READABLE);
    }
}

/* ---- writing ---- */

static void iov_advance(struct iovec **iov, int *n, size_t by)
{
    while (*n > 0 && by >= (*iov)->iov_len) {
        by -= (*iov)->iov_len;
        ++*iov;
        --*n;
    }
    if (*n > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + by;
        (*iov)->iov_len -= by;
    }
}

static ssize_t send_some(struct rt_sock *s, struct iovec *iov, int n, bool more)
{
    const struct backend *b = s->loop->rt->backend;
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)(n < IOV_BATCH ? n : IOV_BATCH)};
    int flags = MSG_NOSIGNAL | (more || n > IOV_BATCH ? MSG_MORE : 0);
    s->can_write = false; /* first: an edge that comes while a ring has the message must not be lost */
    ssize_t r = b->sock_send ? b->sock_send(s->src.fd, &m, flags) : b->net->send(s->src.fd, &m, flags);
    if (r != -EAGAIN) s->can_write = true;
    return r;
}

ssize_t rt_writev(struct rt_sock *s, struct iovec *iov, int n, int64_t deadline, bool more)
{
    check_use(s);
    size_t total = 0;
    iov_advance(&iov, &n, 0);
    while (n > 0) {
        rt_breathe();
        if (s->aborted) return -ECANCELED;
        ssize_t r = s->can_write ? send_some(s, iov, n, more) : -EAGAIN;
        if (r >= 0) {
            total += (size_t)r;
            iov_advance(&iov, &n, (size_t)r);
        } else if (r == -EAGAIN && !s->can_write) {
            int rc = sock_wait(s, EV_OUT, deadline);
            if (rc < 0) return rc;
        } else if (r != -EAGAIN && r != -EINTR) {
            return r;
        }
    }
    return (ssize_t)total;
}

int sock_wait_writable(struct rt_sock *s, int64_t deadline)
{
    return sock_wait(s, EV_OUT, deadline);
}

void rt_sock_shutdown(struct rt_sock *s)
{
    CHECK_MAGIC(s, SOCK_MAGIC);
    net_of(s)->shutdown(s->src.fd, SHUT_WR);
}

void rt_sock_abort(struct rt_sock *s)
{
    CHECK_MAGIC(s, SOCK_MAGIC);
    ASSERT(s->loop == rt_self());
    s->aborted = true;
    net_of(s)->shutdown(s->src.fd, SHUT_RDWR);
    if (s->waiter) {
        struct rt_waiter *w = s->waiter;
        s->waiter = NULL;
        rt_wake(w);
    } else if (s->idle_fn && list_empty(&s->idle_link)) {
        list_append(&s->loop->idle_socks, &s->idle_link);
    }
}

/* ---- connecting ---- */

static int connect_wait(struct rt_sock *s, int64_t deadline)
{
    int rc = sock_wait_writable(s, deadline);
    return rc < 0 ? rc : net_of(s)->connect_error(s->src.fd);
}

int rt_connect(const struct rt_addr *a, int64_t deadline, struct rt_sock **out)
{
    struct rt_loop *l = rt_self();
    ASSERT(rt_fiber_self());
    *out = NULL;
    const struct net_ops *net = l->rt->backend->net;
    int fd = net->socket(a->ss.ss_family);
    if (fd < 0) return fd;
    struct rt_sock *s = sock_new(l, fd);
    if (!s) return -ENOMEM;
    __atomic_add_fetch(&l->nsocks, 1, __ATOMIC_RELAXED);
    sock_adopt(l, s);
    for (;;) {
        int rc = net->connect(fd, a);
        if (rc == -EAGAIN && rt_now() < deadline) { /* a Unix listener's queue is full */
            rt_sleep(RT_MS);
            continue;
        }
        if (rc == -EAGAIN) rc = -ETIMEDOUT;
        if (rc == -EINPROGRESS) rc = connect_wait(s, deadline);
        if (rc == 0)
            *out = s;
        else
            rt_sock_close(s);
        return rc;
    }
}
