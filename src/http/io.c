#include "http/io.h"
#include "http/tls_stream.h"
#include <errno.h>

ssize_t io_read_once(struct http_io *io, void *p, size_t n, int64_t deadline)
{
    return io->tls ? tls_stream_read(io->tls, p, n, deadline, true) : rt_read(io->sock, p, n, deadline);
}

ssize_t io_read(struct http_io *io, void *p, size_t n, int64_t deadline)
{
    return io->tls ? tls_stream_read(io->tls, p, n, deadline, false) : rt_read(io->sock, p, n, deadline);
}

ssize_t io_writev(struct http_io *io, struct iovec *iov, int n, int64_t deadline, bool more)
{
    if (io->tls) return tls_stream_writev(io->tls, iov, n, deadline, more);
    return rt_writev(io->sock, iov, n, deadline, more);
}

bool io_pending(const struct http_io *io)
{
    return io->tls && tls_stream_pending(io->tls);
}

bool io_established(const struct http_io *io)
{
    return !io->tls || tls_stream_established(io->tls);
}

void io_idle(struct http_io *io)
{
    if (io->tls) tls_stream_idle(io->tls);
}

bool io_start_tls(struct http_io *io, struct http_tls *t, struct http_loop *hl)
{
    io->tls = tls_stream_new(t, io->sock, hl);
    return io->tls != NULL;
}

void io_shutdown(struct http_io *io, int64_t deadline)
{
    if (io->tls) tls_stream_shutdown(io->tls, deadline);
}

void io_reset(struct http_io *io)
{
    int fd = rt_sock_fd(io->sock);
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void io_forget(struct http_io *io)
{
    if (io->tls) tls_stream_free(io->tls);
    io->tls = NULL;
    io->sock = NULL;
}

void io_close(struct http_io *io)
{
    rt_sock_close(io->sock);
    io_forget(io);
}
