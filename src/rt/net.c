/* The kernel's sockets, as sock.c and listen.c call them. */
#include "rt/rt_int.h"
#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

enum { KIND = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, UNSENT_MAX = 256 * 1024 };

static int ok(int rc)
{
    return rc < 0 ? -errno : rc;
}

static void set_on(int fd, int level, int option)
{
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof on);
}

/* ---- connecting and moving bytes ---- */

static int net_socket(int family)
{
    int fd = ok(socket(family, KIND, 0));
    if (fd >= 0 && family != AF_UNIX) set_on(fd, IPPROTO_TCP, TCP_NODELAY);
    return fd;
}

static int net_connect(int fd, const struct rt_addr *a)
{
    return ok(connect(fd, (const struct sockaddr *)&a->ss, a->len));
}

static int net_connect_error(int fd)
{
    int e = 0;
    socklen_t len = sizeof e;
    int rc = ok(getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len));
    return rc < 0 ? rc : -e;
}

static int net_accept(int fd, struct rt_addr *peer)
{
    return ok(accept4(fd, (struct sockaddr *)&peer->ss, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static ssize_t net_recv(int fd, void *p, size_t n, bool peek)
{
    ssize_t r = recv(fd, p, n, peek ? MSG_PEEK : 0);
    return r < 0 ? -errno : r;
}

static ssize_t net_send(int fd, const struct msghdr *m, int flags)
{
    ssize_t r = sendmsg(fd, m, flags);
    return r < 0 ? -errno : r;
}

static void net_shutdown(int fd, int how)
{
    shutdown(fd, how);
}
static void net_close(int fd)
{
    close(fd);
}

/* ---- listening ---- */

static int bound_socket(const struct rt_addr *a, bool share)
{
    int off = 0, unsent = UNSENT_MAX, fd = ok(socket(a->ss.ss_family, KIND, 0));
    if (fd < 0) return fd;
    if (a->ss.ss_family != AF_UNIX) {
        set_on(fd, SOL_SOCKET, SO_REUSEADDR);
        /* Accepted sockets inherit both. Without the second a full send buffer is writable again only when
         * megabytes left it, and a slow reader would look like one that stopped. */
        set_on(fd, IPPROTO_TCP, TCP_NODELAY);
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
        if (share) set_on(fd, SOL_SOCKET, SO_REUSEPORT);
    }
    if (a->ss.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    int rc = ok(bind(fd, (const struct sockaddr *)&a->ss, a->len));
    if (rc == 0) return fd;
    close(fd);
    return rc;
}

/* SO_REUSEPORT would let two servers share a port unnoticed: a plain socket must be able to take it first. */
static int port_is_free(const struct rt_addr *a)
{
    int fd = bound_socket(a, false);
    if (fd < 0) return fd;
    close(fd);
    return 0;
}

/* A Unix socket that nobody answers on is left over from a crash. */
static void remove_stale(const struct rt_addr *a)
{
    int fd = socket(AF_UNIX, KIND, 0);
    if (fd < 0) return;
    if (net_connect(fd, a) == -ECONNREFUSED) unlink(((const struct sockaddr_un *)&a->ss)->sun_path);
    close(fd);
}

static int net_listen(struct rt_addr *a, bool first, int backlog)
{
    bool local = a->ss.ss_family == AF_UNIX;
    if (first && local) remove_stale(a);
    int rc = first && !local ? port_is_free(a) : 0;
    if (rc < 0) return rc;
    int fd = bound_socket(a, true);
    if (fd < 0) return fd;
    rc = ok(listen(fd, backlog));
    if (rc == 0 && first && !local) { /* port 0: the others must take the same */
        a->len = sizeof a->ss;
        rc = ok(getsockname(fd, (struct sockaddr *)&a->ss, &a->len));
    }
    if (rc == 0) return fd;
    close(fd);
    return rc;
}

/* TCP: the kernel drops each SYN unseen, so the client tries again and finds whoever listens then; handshakes
 * under way come to their end. Accepted sockets inherit the filter, to no effect. */
static bool net_refuse_new(int fd)
{
    enum { TCP_FLAGS = 13, SYN = 0x02 };
    struct sock_filter drop_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof drop_syn / sizeof *drop_syn, drop_syn};
    int domain = AF_UNSPEC;
    socklen_t len = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    if (domain == AF_UNIX) {
        shutdown(fd, SHUT_RD);
        return false;
    }
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

const struct net_ops net_real = {
    .socket = net_socket,
    .connect = net_connect,
    .connect_error = net_connect_error,
    .listen = net_listen,
    .accept = net_accept,
    .refuse_new = net_refuse_new,
    .recv = net_recv,
    .send = net_send,
    .shutdown = net_shutdown,
    .close = net_close,
};
