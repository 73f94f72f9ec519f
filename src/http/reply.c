/* Answers: header lines, then the head and the body in as few writes as can be. */
#include "http/internal.h"
#include "http/status.h"
#include "base/assert.h"
#include <errno.h>

#define HEADERS_MAX ((size_t)64 << 10)
#define SLICE_BYTES ((size_t)128 << 10) /* the write time-out starts anew for each */
#define TAIL_BYTES  512 /* of a large body: kept back until its source said that it ended well */

void reply_init(struct http_work *w)
{
    struct http_out *o = &w->out;
    o->p = o->first;
    o->n = 0;
    o->cap = sizeof o->first;
    o->answered = false;
    o->failed = ERR_OK;
}

/* ---- header lines ---- */
static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!head_is_token((unsigned char)s.p[i])) return false;
    return s.n > 0;
}

static bool is_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

/* What this module writes itself. */
static bool is_ours(struct str name)
{
    static const struct str ours[] = {{"content-length", 14}, {"transfer-encoding", 17},
                                      {"connection", 10},     {"date", 4},
                                      {"server", 6},          {"retry-after", 11}};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (name.n == ours[i].n && str_ieq(name, ours[i])) return true;
    return false;
}

static bool out_room(struct http_exchange *x, size_t need)
{
    struct http_out *o = &x->conn->w->out;
    if (need <= o->cap - o->n) return true;
    size_t to = o->cap * 2 > o->n + need ? o->cap * 2 : o->n + need;
    if (need > HEADERS_MAX || to > HEADERS_MAX * 2 || o->n + need > HEADERS_MAX) return false;
    char *p = arena_alloc_raw(x->arena, to);
    if (!p) return false;
    memcpy(p, o->p, o->n);
    o->p = p;
    o->cap = to;
    return true;
}

static void out_add(struct http_out *o, const char *p, size_t n)
{
    if (n > 0) memcpy(o->p + o->n, p, n);
    o->n += n;
}

err http_set(struct http_exchange *x, const char *name, struct str value)
{
    struct http_out *o = &x->conn->w->out;
    struct str k = str_c(name);
    ASSERT(!o->answered);
    if (!is_name(k) || !is_value(value) || is_ours(k)) return ERR_INVALID_ARGUMENT;
    if (value.n > HEADERS_MAX || !out_room(x, k.n + value.n + 6)) return ERR_NO_MEMORY;
    out_add(o, k.p, k.n);
    out_add(o, ": ", 2);
    out_add(o, value.p, value.n);
    out_add(o, "\r\n", 2); /* room is left for the line that ends the head */
    return ERR_OK;
}

err http_set_z(struct http_exchange *x, const char *name, const char *value)
{
    return http_set(x, name, str_c(value));
}

static size_t put_u64(char *p, uint64_t v)
{
    char t[20];
    size_t n = 0;
    do t[n++] = (char)('0' + v % 10);
    while (v /= 10);
    for (size_t i = 0; i < n; i++) p[i] = t[n - 1 - i];
    return n;
}

err http_set_u64(struct http_exchange *x, const char *name, uint64_t value)
{
    char t[20];
    return http_set(x, name, str_of(t, put_u64(t, value)));
}

void http_unset_all(struct http_exchange *x)
{
    x->conn->w->out.n = 0;
}

void http_close_after(struct http_exchange *x)
{
    x->conn->close_after = true;
}

/* ---- the head ---- */
#define LENGTH_NONE    (-1) /* no body, and nothing said about one */
#define LENGTH_CHUNKED (-2)
#define LENGTH_CLOSE   (-3) /* the body ends with the connection: HTTP/1.0 alone */

struct reply_head {
    struct iovec iov[3]; /* status line and our headers; http_set's; room for the body's first piece */
    int n;
    char text[320];
};

static char *add(char *p, struct str s)
{
    memcpy(p, s.p, s.n);
    return p + s.n;
}

static char *add_connection(char *p, const struct http_conn *c)
{
    if (c->close_after) return add(p, STR("Connection: close\r\n"));
    return c->w->head.minor == 0 ? add(p, STR("Connection: keep-alive\r\n")) : p;
}

static void head_make(struct http_exchange *x, int status, int64_t length, struct reply_head *h)
{
    struct http_conn *c = x->conn;
    struct http_out *o = &c->w->out;
    ASSERT(!o->answered && status >= 200 && status <= 599);
    o->answered = true;
    x->status = status;
    bool interim, keep = reqbody_may_keep(c, status, &interim);
    c->close_after = c->close_after || length == LENGTH_CLOSE || !c->w->head.keep_alive || !keep ||
                     atomic_load_explicit(&c->hl->s->draining, memory_order_relaxed);
    char *p = h->text;
    if (interim) p = add(p, CONTINUE_LINE);
    p = add(p, STR("HTTP/1.1 "));
    p += put_u64(p, (uint64_t)status);
    *p++ = ' ';
    p = add(p, http_reason(status));
    p = add(p, STR("\r\nServer: Ingot\r\nDate: "));
    p = add(p, str_c(http_date(c->hl)));
    p = add(p, STR("\r\n"));
    if (length >= 0) {
        p = add(p, STR("Content-Length: "));
        p += put_u64(p, (uint64_t)length);
        p = add(p, STR("\r\n"));
    }
    if (length == LENGTH_CHUNKED) p = add(p, STR("Transfer-Encoding: chunked\r\n"));
    if (status == 503) p = add(p, STR("Retry-After: 1\r\n"));
    p = add_connection(p, c);
    ASSERT((size_t)(p - h->text) <= sizeof h->text);
    h->iov[0] = (struct iovec){h->text, (size_t)(p - h->text)};
    h->iov[1] = (struct iovec){o->p, o->n + 2};
    memcpy(o->p + o->n, "\r\n", 2);
    h->n = 2;
}

/* ---- writing ---- */
static err send_iov(struct http_conn *c, struct iovec *iov, int n, bool more)
{
    uint64_t total = 0;
    for (int i = 0; i < n; i++) total += iov[i].iov_len;
    if (c->broken) return ERR_CLOSED;
    ssize_t r = io_writev(&c->io, iov, n, rt_now() + c->hl->s->lim.write_ns, more);
    if (r < 0) {
        c->broken = true;
        return r == -ETIMEDOUT ? ERR_TIMED_OUT : ERR_CLOSED;
    }
    c->w->x.bytes_out += total;
    count_up(&c->hl->bytes_out, total);
    return ERR_OK;
}

/* Data behind what iov[0..n) holds already (n may be 0; there is room for one more), in slices. */
static err send_data(struct http_conn *c, struct iovec *iov, int n, struct str data, bool more)
{
    err e = ERR_OK;
    do {
        size_t k = data.n < SLICE_BYTES ? data.n : SLICE_BYTES;
        if (k > 0) iov[n++] = (struct iovec){(void *)(uintptr_t)data.p, k};
        data = str_slice(data, k, data.n);
        e = send_iov(c, iov, n, more || data.n > 0);
        n = 0;
    } while (!e && data.n > 0);
    return e;
}

static bool bodyless(const struct http_exchange *x, int status)
{
    return x->method == HTTP_HEAD || status == 204 || status == 304;
}

static err reply_head_alone(struct http_exchange *x, int status, int64_t length)
{
    struct reply_head h;
    head_make(x, status, status == 204 || status == 304 ? LENGTH_NONE : length, &h);
    return send_iov(x->conn, h.iov, h.n, false);
}

err http_reply(struct http_exchange *x, int status, struct str content)
{
    if (bodyless(x, status)) return reply_head_alone(x, status, (int64_t)content.n);
    struct reply_head h;
    head_make(x, status, (int64_t)content.n, &h);
    return send_data(x->conn, h.iov, h.n, content, false);
}

/* ---- bodies of known length ---- */
struct sending {
    struct http_exchange *x;
    struct body *b;
    struct reply_head head; /* goes out with the first bytes */
    int status;
    int64_t length, left;
};

/* Nothing was sent: the handler may still answer. Something was: only a cut tells the client. */
static err send_broke(struct sending *s, err e)
{
    struct http_conn *c = s->x->conn;
    if (c->w->out.answered)
        c->broken = true;
    else
        c->w->out.failed = e;
    return e;
}

static err send_piece(struct sending *s, struct str v, bool more)
{
    if (!s->x->conn->w->out.answered) head_make(s->x, s->status, s->length, &s->head);
    int n = s->head.n;
    s->head.n = 0;
    return send_data(s->x->conn, s->head.iov, n, v, more);
}

/* The piece that completes the announced length. A client takes a body for good once it has all of its bytes,
 * so the last of them wait until the source has said that it ended well: a small piece as a whole, together
 * with the head, a large one with its tail. */
static err send_last(struct sending *s, struct str v)
{
    struct http_conn *c = s->x->conn;
    char *hold = c->w->buf + c->hl->s->buf_bytes;
    size_t keep = v.n <= HOLD_BYTES ? v.n : TAIL_BYTES;
    memcpy(hold, v.p + v.n - keep, keep);
    if (keep < v.n) {
        err e = send_piece(s, str_of(v.p, v.n - keep), true);
        if (e) return send_broke(s, e);
    }
    struct str rest;
    err e = body_next(s->b, &rest);
    if (!e && rest.n > 0) e = ERR_INTERNAL;
    if (e) return send_broke(s, e);
    e = send_piece(s, str_of(hold, keep), false);
    return e ? send_broke(s, e) : ERR_OK;
}

static err send_known(struct sending *s, struct str v)
{
    while (v.n > 0 && v.n < (uint64_t)s->left) {
        err e = send_piece(s, v, false);
        s->left -= (int64_t)v.n;
        if (!e) e = body_next(s->b, &v);
        if (e) return send_broke(s, e);
    }
    if (v.n > 0 && v.n == (uint64_t)s->left) return send_last(s, v);
    if (v.n == 0 && s->left == 0) return send_piece(s, STR(""), false);
    return send_broke(s, ERR_INTERNAL); /* another length than announced */
}

/* ---- bodies of unknown length ---- */
static err send_chunk(struct sending *s, struct str v, bool last)
{
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", v.n);
    struct iovec iov[6];
    int k = s->head.n;
    memcpy(iov, s->head.iov, sizeof *iov * (size_t)k);
    s->head.n = 0;
    if (v.n > 0) {
        iov[k++] = (struct iovec){size, (size_t)n};
        iov[k++] = (struct iovec){(void *)(uintptr_t)v.p, v.n};
        iov[k++] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
    }
    if (last) iov[k++] = (struct iovec){(void *)(uintptr_t) "0\r\n\r\n", 5};
    return send_iov(s->x->conn, iov, k, false);
}

static err send_unknown(struct sending *s, struct str v)
{
    bool chunked = s->x->conn->w->head.minor > 0;
    head_make(s->x, s->status, chunked ? LENGTH_CHUNKED : LENGTH_CLOSE, &s->head);
    err e = ERR_OK;
    while (!e && v.n > 0) {
        struct str piece = str_slice(v, 0, SLICE_BYTES);
        e = chunked ? send_chunk(s, piece, false) : send_piece(s, piece, false);
        v = str_slice(v, piece.n, v.n);
        if (!e && v.n == 0) e = body_next(s->b, &v);
    }
    if (!e && (chunked || s->head.n > 0))
        e = chunked ? send_chunk(s, STR(""), true) : send_piece(s, v, false);
    return e ? send_broke(s, e) : ERR_OK;
}

err http_reply_body(struct http_exchange *x, int status, struct body *b, int64_t length)
{
    ASSERT(!x->conn->w->out.answered);
    if (!b || bodyless(x, status)) {
        ASSERT(b || bodyless(x, status) || length == 0);
        return reply_head_alone(x, status, length >= 0 ? length : LENGTH_NONE);
    }
    struct sending s = {.x = x, .b = b, .status = status, .length = length, .left = length};
    struct str v;
    const char *note = rt_set_note("sending a body");
    err e = body_next(b, &v);
    if (e) {
        e = send_broke(&s, e);
    } else {
        e = length >= 0 ? send_known(&s, v) : send_unknown(&s, v);
    }
    rt_set_note(note);
    return e;
}
