/* TLS over a socket of the runtime.
 *
 * OpenSSL sees a BIO over two buffers in memory and never waits: when it wants bytes it says so, we read the
 * socket outside of any OpenSSL call and call again. So no fiber switches with a frame or an error of OpenSSL
 * behind it; its error queue is the thread's, and is cleared before and after each call.
 *
 * The buffers are one BIG_BYTES block of the loop's pool, given back while the connection is idle:
 *   [0, IN)  ciphertext that came   [IN, IN + STAGE)  plaintext put together to one record   [.., end)
 * ciphertext to go
 */
#include "http/tls_stream.h"
#include "http/internal.h"
#include "http/tls_certs.h"
#include "base/assert.h"
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>

#define IN_BYTES     ((size_t)18 << 10)
#define STAGE_BYTES  ((size_t)16 << 10) /* the most that a record holds */
#define OUT_BYTES    (BIG_BYTES - IN_BYTES - STAGE_BYTES)
#define RECORD_BYTES (STAGE_BYTES + 512)
_Static_assert(OUT_BYTES >= RECORD_BYTES, "a record fits the output");

struct tls_stream {
    SSL *ssl;
    struct tls_certs *certs;
    struct rt_sock *sock;
    struct http_loop *hl;
    char *mem; /* NULL while idle */
    size_t in_at, in_n;
    size_t out_n;
    bool eof, dead;
};

/* ---- the BIO ---- */
static int bio_read(BIO *bio, char *p, int n)
{
    struct tls_stream *t = BIO_get_data(bio);
    size_t have = t->in_n - t->in_at;
    BIO_clear_retry_flags(bio);
    if (have == 0) {
        if (t->eof) return 0;
        BIO_set_retry_read(bio);
        return -1;
    }
    if ((size_t)n < have) have = (size_t)n;
    memcpy(p, t->mem + t->in_at, have);
    t->in_at += have;
    return (int)have;
}

static int bio_write(BIO *bio, const char *p, int n)
{
    struct tls_stream *t = BIO_get_data(bio);
    size_t room = OUT_BYTES - t->out_n;
    BIO_clear_retry_flags(bio);
    if (room == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    if ((size_t)n < room) room = (size_t)n;
    memcpy(t->mem + IN_BYTES + STAGE_BYTES + t->out_n, p, room);
    t->out_n += room;
    return (int)room;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void method_init(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "fiber socket");
    if (!method) return;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    BIO_meth_set_create(method, bio_create);
}

/* ---- life ---- */
struct tls_stream *tls_stream_new(struct http_tls *h, struct rt_sock *s, struct http_loop *hl)
{
    pthread_once(&method_once, method_init);
    struct tls_stream *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->certs = tls_certs_take(h);
    t->sock = s;
    t->hl = hl;
    t->ssl = tls_certs_new_ssl(t->certs);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!t->ssl || !bio) {
        BIO_free(bio);
        tls_stream_free(t);
        return NULL;
    }
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_stream_free(struct tls_stream *t)
{
    SSL_free(t->ssl);
    ERR_clear_error();
    tls_certs_drop(t->certs);
    if (t->mem) big_put(t->hl, t->mem);
    free(t);
}

static bool need_mem(struct tls_stream *t)
{
    if (!t->mem) t->mem = big_get(t->hl);
    return t->mem != NULL;
}

void tls_stream_idle(struct tls_stream *t)
{
    if (!t->mem || t->in_at < t->in_n || t->out_n > 0) return;
    big_put(t->hl, t->mem);
    t->mem = NULL;
}

bool tls_stream_pending(const struct tls_stream *t)
{
    return t->in_at < t->in_n || SSL_pending(t->ssl) > 0;
}

bool tls_stream_established(const struct tls_stream *t)
{
    return SSL_is_init_finished(t->ssl);
}

/* ---- moving bytes ---- */
static ssize_t flush(struct tls_stream *t, int64_t deadline, bool more)
{
    if (t->out_n == 0) return 0;
    struct iovec iov = {t->mem + IN_BYTES + STAGE_BYTES, t->out_n};
    ssize_t r = rt_writev(t->sock, &iov, 1, deadline, more);
    t->out_n = 0;
    if (r < 0) t->dead = true;
    return r < 0 ? r : 0;
}

/* The socket's next bytes. > 0, or 0 at its end, or -errno. */
static ssize_t pull(struct tls_stream *t, int64_t deadline)
{
    ASSERT(t->in_at == t->in_n); /* OpenSSL wants more only when it has taken all */
    t->in_at = t->in_n = 0;
    ssize_t r = rt_read(t->sock, t->mem, IN_BYTES, deadline);
    if (r > 0) t->in_n = (size_t)r;
    if (r == 0) t->eof = true;
    return r;
}

static int read_step(struct tls_stream *t, void *p, size_t n, size_t *got)
{
    ERR_clear_error();
    int ok = SSL_read_ex(t->ssl, p, n, got);
    int why = ok ? SSL_ERROR_NONE : SSL_get_error(t->ssl, ok);
    ERR_clear_error();
    return why;
}

ssize_t tls_stream_read(struct tls_stream *t, void *p, size_t n, int64_t deadline, bool once)
{
    if (t->dead) return -EPROTO;
    if (!need_mem(t)) return -ENOMEM;
    for (bool pulled = false;; pulled = true) {
        size_t got = 0;
        int why;
        ssize_t r;
        do {
            why = read_step(t, p, n, &got);
            r = flush(t, deadline, false); /* handshake, tickets, alerts */
        } while (why == SSL_ERROR_WANT_WRITE && r == 0);
        if (why == SSL_ERROR_NONE) return (ssize_t)got;
        if (r < 0) return r;
        if (why == SSL_ERROR_ZERO_RETURN || t->eof) return 0;
        if (why != SSL_ERROR_WANT_READ) {
            t->dead = true;
            return -EPROTO;
        }
        if (once && pulled) return -EAGAIN;
        r = pull(t, deadline);
        if (r <= 0) return r;
    }
}

static int write_step(struct tls_stream *t, const char *p, size_t n)
{
    size_t put;
    ERR_clear_error();
    int ok = SSL_write_ex(t->ssl, p, n, &put);
    int why = ok ? SSL_ERROR_NONE : SSL_get_error(t->ssl, ok);
    ERR_clear_error();
    return why;
}

/* One record. */
static ssize_t put(struct tls_stream *t, const char *p, size_t n, int64_t deadline)
{
    ssize_t r = OUT_BYTES - t->out_n < RECORD_BYTES ? flush(t, deadline, true) : 0;
    while (r == 0) {
        int why = write_step(t, p, n);
        if (why == SSL_ERROR_NONE) return 0;
        if (why != SSL_ERROR_WANT_WRITE) {
            t->dead = true;
            return -EPROTO;
        }
        r = flush(t, deadline, true);
    }
    return r;
}

ssize_t tls_stream_writev(struct tls_stream *t, struct iovec *iov, int n, int64_t deadline, bool more)
{
    if (t->dead) return -EPROTO;
    if (!need_mem(t)) return -ENOMEM;
    char *stage = t->mem + IN_BYTES;
    size_t staged = 0;
    ssize_t total = 0, r = 0;
    for (int i = 0; i < n; i++) {
        const char *p = iov[i].iov_base;
        size_t left = iov[i].iov_len;
        total += (ssize_t)left;
        while (left > 0 && r == 0) {
            size_t k = STAGE_BYTES - staged < left ? STAGE_BYTES - staged : left;
            if (k == STAGE_BYTES) {
                r = put(t, p, k, deadline); /* a whole record lies there: no copy */
            } else {
                memcpy(stage + staged, p, k);
                staged += k;
                if (staged == STAGE_BYTES) {
                    r = put(t, stage, staged, deadline);
                    staged = 0;
                }
            }
            p += k;
            left -= k;
        }
    }
    if (r == 0 && staged > 0) r = put(t, stage, staged, deadline);
    if (r == 0) r = flush(t, deadline, more);
    return r < 0 ? r : total;
}

void tls_stream_shutdown(struct tls_stream *t, int64_t deadline)
{
    if (t->dead || !SSL_is_init_finished(t->ssl) || !need_mem(t)) return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
    flush(t, deadline, false);
    t->dead = true;
}
