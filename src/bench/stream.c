/* A client connection, plain or TLS. TLS works through memory BIOs, so that OpenSSL never touches the socket
 * and no OpenSSL error is pending when the fiber waits. */
#include "bench/internal.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

static int flush_out(struct stream *s, int64_t deadline)
{
    char *p;
    long n = BIO_get_mem_data(s->out, &p);
    if (n <= 0) return 0;
    struct iovec v = {p, (size_t)n};
    ssize_t r = rt_writev(s->sock, &v, 1, deadline, false);
    (void)BIO_reset(s->out);
    return r < 0 ? (int)r : 0;
}

/* After an SSL call returned rc <= 0: do what it asks for. 0: call it again. */
static int serve_want(struct stream *s, int rc, int64_t deadline)
{
    int why = SSL_get_error(s->ssl, rc);
    ERR_clear_error();
    int e = flush_out(s, deadline);
    if (e < 0) return e;
    if (why == SSL_ERROR_WANT_WRITE) return 0;
    if (why != SSL_ERROR_WANT_READ) return -EPROTO;
    char tmp[16384];
    ssize_t n = rt_read(s->sock, tmp, sizeof tmp, deadline);
    if (n <= 0) return n < 0 ? (int)n : -ECONNRESET;
    BIO_write(s->in, tmp, (int)n);
    return 0;
}

static int start_tls(struct stream *s, SSL_CTX *tls, const char *name, int64_t deadline)
{
    s->ssl = SSL_new(tls);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    ASSERT(s->ssl && s->in && s->out);
    SSL_set_bio(s->ssl, s->in, s->out);
    /* A certificate vouches for an address in a field of its own; SNI takes names alone. */
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), name) != 1) {
        SSL_set_tlsext_host_name(s->ssl, name);
        SSL_set1_host(s->ssl, name);
    }
    for (;;) {
        int rc = SSL_connect(s->ssl);
        if (rc == 1) return flush_out(s, deadline);
        int e = serve_want(s, rc, deadline);
        if (e < 0) return e;
    }
}

int stream_open(struct stream *s, const struct rt_addr *a, SSL_CTX *tls, const char *name, int64_t deadline)
{
    memset(s, 0, sizeof *s);
    int e = rt_connect(a, deadline, &s->sock);
    if (e < 0) return e;
    if (tls && (e = start_tls(s, tls, name, deadline)) < 0) stream_close(s);
    return e;
}

void stream_close(struct stream *s)
{
    if (s->ssl) SSL_free(s->ssl); /* frees both BIOs */
    ERR_clear_error();
    if (s->sock) rt_sock_close(s->sock);
    memset(s, 0, sizeof *s);
}

ssize_t stream_read(struct stream *s, void *p, size_t n, int64_t deadline)
{
    if (!s->ssl) return rt_read(s->sock, p, n, deadline);
    for (;;) {
        int rc = SSL_read(s->ssl, p, (int)(n < INT32_MAX ? n : INT32_MAX));
        if (rc > 0) return rc;
        if (SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN) return 0;
        int e = serve_want(s, rc, deadline);
        if (e < 0) return e;
    }
}

static int tls_write(struct stream *s, const char *p, size_t n, int64_t deadline)
{
    while (n) {
        int step = (int)(n < 65536 ? n : 65536);
        int rc = SSL_write(s->ssl, p, step);
        int e = rc > 0 ? flush_out(s, deadline) : serve_want(s, rc, deadline);
        if (e < 0) return e;
        if (rc > 0) p += rc, n -= (size_t)rc;
    }
    return 0;
}

int stream_write(struct stream *s, struct iovec *iov, int n, int64_t deadline)
{
    if (!s->ssl) {
        ssize_t r = rt_writev(s->sock, iov, n, deadline, false);
        return r < 0 ? (int)r : 0;
    }
    for (int i = 0; i < n; i++) {
        int e = tls_write(s, iov[i].iov_base, iov[i].iov_len, deadline);
        if (e < 0) return e;
    }
    return 0;
}
