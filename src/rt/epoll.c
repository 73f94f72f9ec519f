/* The epoll backend: readiness of sockets by edge-triggered epoll, files by workers. Runs everywhere.
 *
 * A socket is added once, at its first wait, and never changed. The wake-up eventfd is edge-triggered and
 * never read.
 */
#include "base/log.h"
#include "rt/rt_int.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EPOLL_BATCH = 256 };

struct epoll_loop {
    int ep;
    int wake;
    bool no_pwait2;
    struct epoll_event events[EPOLL_BATCH];
};

static err epoll_init(struct rt_loop *l)
{
    struct epoll_loop *b = calloc(1, sizeof *b);
    if (!b) return ERR_NO_MEMORY;
    b->ep = epoll_create1(EPOLL_CLOEXEC);
    b->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (b->ep < 0 || b->wake < 0 || epoll_ctl(b->ep, EPOLL_CTL_ADD, b->wake, &ev) != 0) {
        int e = errno;
        if (b->ep >= 0) close(b->ep);
        if (b->wake >= 0) close(b->wake);
        free(b);
        return err_of_errno(e);
    }
    l->backend = b;
    return ERR_OK;
}

static void epoll_free(struct rt_loop *l)
{
    struct epoll_loop *b = l->backend;
    close(b->ep);
    close(b->wake);
    free(b);
}

static void epoll_kick(struct rt_loop *l)
{
    struct epoll_loop *b = l->backend;
    uint64_t one = 1;
    ssize_t n = write(b->wake, &one, sizeof one);
    (void)n; /* full: it is awake */
}

static int wait_events(struct epoll_loop *b, int64_t ns)
{
    if (ns == 0) return epoll_wait(b->ep, b->events, EPOLL_BATCH, 0);
    if (ns == RT_FOREVER) return epoll_wait(b->ep, b->events, EPOLL_BATCH, -1);
    if (!b->no_pwait2) {
        struct timespec ts = {ns / RT_SEC, ns % RT_SEC};
        int n = epoll_pwait2(b->ep, b->events, EPOLL_BATCH, &ts, NULL);
        if (n >= 0 || errno != ENOSYS) return n;
        b->no_pwait2 = true; /* before Linux 5.11: whole milliseconds, rounded up */
    }
    int64_t ms = (ns + RT_MS - 1) / RT_MS;
    return epoll_wait(b->ep, b->events, EPOLL_BATCH, ms > 60000 ? 60000 : (int)ms);
}

static void epoll_poll(struct rt_loop *l, int64_t until)
{
    struct epoll_loop *b = l->backend;
    int64_t ns = until;
    if (until != RT_FOREVER && until != 0) {
        ns = until - rt_now();
        if (ns < 0) ns = 0;
    }
    int n = wait_events(b, ns);
    for (int i = 0; i < n; i++) {
        struct source *s = b->events[i].data.ptr;
        if (!s || s->removing) continue;
        uint32_t e = b->events[i].events;
        unsigned ev = 0;
        if (e & EPOLLIN) ev |= EV_IN;
        if (e & EPOLLOUT) ev |= EV_OUT;
        if (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) ev |= EV_END;
        s->on_event(s, ev);
    }
}

static int epoll_add(struct rt_loop *l, struct source *s)
{
    struct epoll_loop *b = l->backend;
    struct epoll_event ev = {.data.ptr = s};
    ev.events = s->edge ? EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET : EPOLLIN;
    if (epoll_ctl(b->ep, EPOLL_CTL_ADD, s->fd, &ev) != 0) return -errno;
    s->added = true;
    return 0;
}

static void epoll_remove(struct rt_loop *l, struct source *s)
{
    struct epoll_loop *b = l->backend;
    /* The close that follows takes a socket out; level sources may stay open. */
    if (!s->edge) epoll_ctl(b->ep, EPOLL_CTL_DEL, s->fd, NULL);
    s->removing = true;
    list_append(&l->gone, &s->gone);
}

const struct backend backend_epoll = {
    .name = "epoll",
    .net = &net_real,
    .loop_init = epoll_init,
    .loop_free = epoll_free,
    .poll = epoll_poll,
    .kick = epoll_kick,
    .source_add = epoll_add,
    .source_remove = epoll_remove,
};
