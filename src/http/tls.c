/* Certificates: loaded from files, chosen by the name that the client asks for, replaced as a whole. */
#include "http/tls.h"
#include "http/tls_certs.h"
#include "base/assert.h"
#include "rt/rt.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

struct tls_certs {
    atomic_uint refs;
    size_t n;
    SSL_CTX *ctx[];
};

struct path_pair {
    char *cert, *key;
};

struct http_tls {
    struct rt_latch lock; /* over now */
    struct tls_certs *now;
    size_t n;
    struct path_pair *pairs;
};

/* ---- a generation ---- */
void tls_certs_drop(struct tls_certs *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1) return;
    for (size_t i = 0; i < c->n; i++) SSL_CTX_free(c->ctx[i]);
    free(c);
}

struct tls_certs *tls_certs_take(struct http_tls *t)
{
    rt_latch_lock(&t->lock);
    struct tls_certs *c = t->now;
    atomic_fetch_add(&c->refs, 1);
    rt_latch_unlock(&t->lock);
    return c;
}

SSL *tls_certs_new_ssl(struct tls_certs *c)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(c->ctx[0]);
    ERR_clear_error();
    return ssl;
}

/* An exact name wins over a wildcard, then the order of the pairs; a name that none has gets the default. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    struct tls_certs *c = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!name) return SSL_TLSEXT_ERR_NOACK;
    const unsigned flags[] = {X509_CHECK_FLAG_NO_WILDCARDS, 0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < c->n; i++) {
            X509 *cert = SSL_CTX_get0_certificate(c->ctx[i]);
            if (X509_check_host(cert, name, 0, flags[pass], NULL) != 1) continue;
            SSL_set_SSL_CTX(ssl, c->ctx[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                   unsigned in_n, void *arg)
{
    (void)ssl;
    (void)arg;
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *got = NULL;
    if (SSL_select_next_proto(&got, n, ours, sizeof ours - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = got;
    return SSL_TLSEXT_ERR_OK;
}

/* A key with a passphrase is refused; the library would ask for it at the terminal. */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
    (void)buf;
    (void)size;
    (void)rw;
    (void)arg;
    return -1;
}

static SSL_CTX *ctx_new(const struct path_pair *p, char why[256])
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    const char *what = "cannot make a TLS context";
    const char *file = p->cert;
    bool ok = ctx != NULL;
    if (ok) {
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets resume; nothing is kept here */
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
        SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
        what = "cannot read the certificate";
        ok = SSL_CTX_use_certificate_chain_file(ctx, p->cert) == 1;
    }
    if (ok) {
        what = "cannot read the private key, or it is not the certificate's";
        file = p->key;
        ok = SSL_CTX_use_PrivateKey_file(ctx, p->key, SSL_FILETYPE_PEM) == 1 &&
             SSL_CTX_check_private_key(ctx) == 1;
    }
    if (!ok) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        snprintf(why, 256, "%s %.120s: %.60s", what, file, reason ? reason : "unknown reason");
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    ERR_clear_error();
    return ctx;
}

static err certs_load(const struct http_tls *t, struct tls_certs **out, char why[256])
{
    struct tls_certs *c = calloc(1, sizeof *c + t->n * sizeof *c->ctx);
    if (!c) return ERR_NO_MEMORY;
    atomic_init(&c->refs, 1);
    for (size_t i = 0; i < t->n; i++) {
        c->ctx[i] = ctx_new(&t->pairs[i], why);
        if (!c->ctx[i]) {
            tls_certs_drop(c);
            return ERR_INVALID_SETTING;
        }
        c->n++;
    }
    /* Only the default context is asked, for every connection starts with it. */
    SSL_CTX_set_tlsext_servername_callback(c->ctx[0], on_server_name);
    SSL_CTX_set_tlsext_servername_arg(c->ctx[0], c);
    *out = c;
    return ERR_OK;
}

/* ---- the public side ---- */
err http_tls_new(const struct http_tls_pair *pairs, size_t n, struct http_tls **out, char why[256])
{
    ASSERT(n > 0);
    *out = NULL;
    snprintf(why, 256, "out of memory");
    struct http_tls *t = calloc(1, sizeof *t);
    if (!t) return ERR_NO_MEMORY;
    t->pairs = calloc(n, sizeof *t->pairs);
    bool ok = t->pairs != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        t->n = i + 1;
        t->pairs[i].cert = strndup(pairs[i].cert_file.p, pairs[i].cert_file.n);
        t->pairs[i].key = strndup(pairs[i].key_file.p, pairs[i].key_file.n);
        ok = t->pairs[i].cert && t->pairs[i].key;
    }
    err e = ok ? certs_load(t, &t->now, why) : ERR_NO_MEMORY;
    if (e)
        http_tls_free(t);
    else
        *out = t;
    return e;
}

err http_tls_reload(struct http_tls *t, char why[256])
{
    struct tls_certs *fresh = NULL;
    snprintf(why, 256, "out of memory");
    err e = certs_load(t, &fresh, why);
    if (e) return e;
    rt_latch_lock(&t->lock);
    struct tls_certs *old = t->now;
    t->now = fresh;
    rt_latch_unlock(&t->lock);
    tls_certs_drop(old);
    return ERR_OK;
}

void http_tls_free(struct http_tls *t)
{
    if (!t) return;
    tls_certs_drop(t->now);
    for (size_t i = 0; i < t->n; i++) {
        free(t->pairs[i].cert);
        free(t->pairs[i].key);
    }
    free(t->pairs);
    free(t);
}
