/* The byte stream of a connection: a plain socket or TLS over one. Calls as in rt.h: >= 0 or -errno. */
#ifndef HTTP_IO_H
#define HTTP_IO_H

#include "rt/rt.h"

struct http_loop;
struct http_tls;
struct tls_stream;

struct http_io {
    struct rt_sock *sock;
    struct tls_stream *tls; /* NULL: plain */
};

/* One read of the socket, made when it is readable. -EAGAIN: what came was no content yet (TLS alone). 0:
 * end. */
ssize_t io_read_once(struct http_io *io, void *p, size_t n, int64_t deadline);
/* Waits for content. 0: end. */
ssize_t io_read(struct http_io *io, void *p, size_t n, int64_t deadline);
/* All of it, or an error; iov is consumed. */
ssize_t io_writev(struct http_io *io, struct iovec *iov, int n, int64_t deadline, bool more);
/* Bytes that came and would not make the socket readable again. */
bool io_pending(const struct http_io *io);
bool io_established(const struct http_io *io); /* the handshake is over, if there is one */
/* Before the first byte; false: no memory. */
bool io_start_tls(struct http_io *io, struct http_tls *t, struct http_loop *hl);
/* The connection goes idle: give buffers back. */
void io_idle(struct http_io *io);
void io_shutdown(struct http_io *io,
                 int64_t deadline); /* no more output; waits for buffered output at most */
void io_reset(struct http_io *io);  /* the peer shall see that this was no clean end */
void io_close(struct http_io *io);
void io_forget(struct http_io *io); /* as close, but the socket is the runtime's to close */

#endif
