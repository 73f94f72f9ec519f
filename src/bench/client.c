/* One request and its answer on a kept-alive connection. The answer is parsed by llhttp; a GET's bytes are
 * compared with the pattern as they arrive, so that verification costs one memcmp. */
#include "bench/internal.h"
#include <errno.h>
#include <llhttp.h>

#define CLIENT_TIMEOUT (60 * RT_SEC)

struct answer {
    struct conn *c;
    struct reply *r;
    const struct expect_body *ex;
    bool keep, done, head_method, in_value;
    char field[24];
    size_t nfield, nvalue;
};

static int on_field(llhttp_t *h, const char *p, size_t n)
{
    struct answer *a = h->data;
    if (a->in_value) a->nfield = a->nvalue = 0, a->in_value = false;
    if (a->nfield + n < sizeof a->field) memcpy(a->field + a->nfield, p, n);
    a->nfield += n;
    return 0;
}

static int on_value(llhttp_t *h, const char *p, size_t n)
{
    struct answer *a = h->data;
    a->in_value = true;
    if (a->nfield != 4 || !str_ieq(str_of(a->field, 4), STR("etag"))) return 0;
    if (a->nvalue + n < sizeof a->c->etag) {
        memcpy(a->c->etag + a->nvalue, p, n);
        a->nvalue += n;
        a->c->etag[a->nvalue] = 0;
    }
    return 0;
}

static int on_headers(llhttp_t *h)
{
    struct answer *a = h->data;
    a->r->status = h->status_code;
    return a->head_method ? 1 : 0; /* 1: this answer has no body */
}

/* Does [p, p + n) equal the pattern from at on (the pattern repeats)? */
static bool pattern_equal(const struct bench *b, uint64_t at, const char *p, size_t n)
{
    while (n) {
        size_t step = n < PATTERN_SIZE ? n : PATTERN_SIZE;
        if (memcmp(b->pattern + at % PATTERN_SIZE, p, step) != 0) return false;
        at += step, p += step, n -= step;
    }
    return true;
}

static int on_body(llhttp_t *h, const char *p, size_t n)
{
    struct answer *a = h->data;
    const struct expect_body *ex = a->ex;
    if (ex && ex->check && a->r->status < 300 &&
        (a->r->length + n > ex->size || !pattern_equal(a->c->b, ex->offset + a->r->length, p, n)))
        a->r->wrong = true;
    if (a->keep || a->r->status >= 300) buf_add(&a->c->text, p, n);
    a->r->length += n;
    return 0;
}

static int on_complete(llhttp_t *h)
{
    struct answer *a = h->data;
    a->done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_message_complete = on_complete,
    .on_body = on_body,
};

/* Head, small body and the pattern's bytes, in as few writes as the pattern's length allows. */
static int send_all(struct conn *c, const struct send_body *body)
{
    struct iovec v[3] = {{c->head.p, c->head.n}, {(void *)(uintptr_t)body->small.p, body->small.n}};
    int nv = body->small.n ? 2 : 1;
    uint64_t off = body->offset, n = body->len;
    do {
        uint64_t step = n < PATTERN_SIZE ? n : PATTERN_SIZE;
        if (step) v[nv++] = (struct iovec){c->b->pattern + off % PATTERN_SIZE, step};
        int e = stream_write(&c->stream, v, nv, rt_now() + CLIENT_TIMEOUT);
        if (e < 0) return e;
        off += step, n -= step, nv = 0;
    } while (n);
    return 0;
}

/* 0: the connection may be used again, 1: it may not, < 0: -errno. */
static int receive(struct conn *c, struct answer *a)
{
    llhttp_t h;
    llhttp_init(&h, HTTP_RESPONSE, &settings);
    h.data = a;
    while (!a->done) {
        ssize_t n = stream_read(&c->stream, c->rx, BENCH_RX, rt_now() + CLIENT_TIMEOUT);
        if (n < 0) return (int)n;
        if (n == 0) return -ECONNRESET;
        llhttp_errno_t e = llhttp_execute(&h, c->rx, (size_t)n);
        if (e != HPE_OK && e != HPE_PAUSED) return -EPROTO;
    }
    return llhttp_should_keep_alive(&h) ? 0 : 1;
}

int conn_request(struct conn *c, const struct send_body *body, const struct expect_body *ex, bool keep,
                 bool head_method, struct reply *r)
{
    static const struct send_body none;
    memset(r, 0, sizeof *r);
    int e = 0;
    if (!c->open) {
        e = stream_open(&c->stream, &c->b->addr, c->b->tls, c->b->o.host_name, rt_now() + CLIENT_TIMEOUT);
        if (e < 0) return e;
        c->open = true;
    }
    buf_clear(&c->text);
    struct answer a = {.c = c, .r = r, .ex = ex, .keep = keep, .head_method = head_method};
    e = send_all(c, body ? body : &none);
    if (e == 0) e = receive(c, &a);
    if (e != 0) conn_close(c);
    if (e >= 0 && ex && ex->check && r->status < 300 && r->length != ex->size) r->wrong = true;
    return e < 0 ? e : 0;
}

void conn_close(struct conn *c)
{
    if (c->open) stream_close(&c->stream);
    c->open = false;
}
