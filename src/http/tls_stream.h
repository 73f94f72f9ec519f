/* TLS over a socket of the runtime: OpenSSL works on buffers in memory, and all waiting happens outside of
 * it. */
#ifndef HTTP_TLS_STREAM_H
#define HTTP_TLS_STREAM_H

#include "http/tls.h"
#include "rt/rt.h"

struct http_loop;
struct tls_stream;

struct tls_stream *tls_stream_new(struct http_tls *t, struct rt_sock *s,
                                  struct http_loop *hl); /* NULL: no memory */
void tls_stream_free(struct tls_stream *t);
/* once: at most one read of the socket, then -EAGAIN. Does the handshake on the way. */
ssize_t tls_stream_read(struct tls_stream *t, void *p, size_t n, int64_t deadline, bool once);
ssize_t tls_stream_writev(struct tls_stream *t, struct iovec *iov, int n, int64_t deadline, bool more);
bool tls_stream_pending(const struct tls_stream *t);
bool tls_stream_established(const struct tls_stream *t);
void tls_stream_idle(struct tls_stream *t);                       /* give the buffers back */
void tls_stream_shutdown(struct tls_stream *t, int64_t deadline); /* close_notify, best effort */

#endif
