/* The body of a request as a pull source: what came with the head first, then reads of the socket; and what
 * becomes of a body that the handler did not read.
 *
 * A client that asked for "100 Continue" sees one of two things first: the 100, or a final answer that closes
 * the connection. No third, because
 *   - after a final answer it may send its body or leave it out (RFC 9110 10.1.1) and nothing on the wire
 * says which, so what follows could be taken for a request;
 *   - botocore before 1.44 keeps the status of a final answer that came in place of the 100 and takes it for
 * the status of the next such request on that connection, whose headers it then loses: an UploadPart without
 * an ETag.
 * So a success of a request without content goes out behind a 100, in the same write. A body that had come
 * with the head needs none: then the client waits no longer.
 */
#include "http/internal.h"
#include <errno.h>

static err fail(struct http_reqbody *b, err e)
{
    b->c->close_after = true;
    return b->failed = e;
}

static err send_continue(struct http_reqbody *b)
{
    struct http_conn *c = b->c;
    struct str line = CONTINUE_LINE;
    struct iovec iov = {(void *)(uintptr_t)line.p, line.n};
    b->awaits_continue = false;
    if (io_writev(&c->io, &iov, 1, rt_now() + c->hl->s->lim.write_ns, false) < 0) {
        c->broken = true;
        return ERR_INCOMPLETE_BODY;
    }
    c->w->x.bytes_out += line.n;
    count_up(&c->hl->bytes_out, line.n);
    return ERR_OK;
}

/* Where to read to, and how much: never past this message, but for a slack that fits the connection's buffer.
 */
static err choose_room(struct http_reqbody *b, char **at, size_t *n)
{
    struct http_conn *c = b->c;
    uint64_t want = b->chunked ? (uint64_t)chunked_left(&b->chunks) + CHUNK_SLACK : b->left;
    size_t room = c->hl->s->buf_bytes - b->room_at;
    if (want > room && !b->big) b->big = big_get(c->hl);
    *at = b->big ? b->big : c->w->buf + b->room_at;
    if (b->big) room = BIG_BYTES;
    *n = want < room ? (size_t)want : room;
    return *n > 0 ? ERR_OK : ERR_NO_MEMORY;
}

int64_t body_patience(int64_t most, uint64_t rate, uint64_t came, int64_t waited)
{
    if (!rate || came / rate > INT64_MAX / RT_SEC / 4) return most;
    int64_t earned = (int64_t)(came / rate) * RT_SEC + (int64_t)(came % rate * (uint64_t)RT_SEC / rate);
    int64_t left = most + earned - waited;
    return left < 0 ? 0 : left < most ? left : most;
}

static ssize_t read_some(struct http_reqbody *b, char *at, size_t n)
{
    const struct live_limits *lim = &b->c->hl->s->lim;
    int64_t from = rt_now();
    const char *note = rt_set_note("reading a request body");
    int64_t patience = body_patience(lim->body_progress_ns, lim->body_rate, b->came, b->waited);
    ssize_t r = io_read(&b->c->io, at, n, b->deadline ? b->deadline : from + patience);
    rt_set_note(note);
    b->waited += rt_now() - from;
    if (r > 0) b->came += (uint64_t)r;
    return r;
}

/* From the socket; at least one byte. */
static err receive(struct http_reqbody *b, char *at, size_t n, size_t *got)
{
    ssize_t r = read_some(b, at, n);
    if (r == -ETIMEDOUT) return ERR_REQUEST_TIMEOUT;
    if (r <= 0) return ERR_INCOMPLETE_BODY;
    count_up(&b->c->hl->bytes_in, (uint64_t)r);
    *got = (size_t)r;
    return ERR_OK;
}

static err fill(struct http_reqbody *b)
{
    if (b->awaits_continue) {
        err e = send_continue(b);
        if (e) return e;
    }
    char *at;
    size_t n, got;
    err e = choose_room(b, &at, &n);
    if (!e) e = receive(b, at, n, &got);
    if (e) return e;
    b->p = at;
    b->end = at + got;
    return ERR_OK;
}

/* One step over the bytes at hand. true: *out is set, or the end was met. */
static bool take(struct http_reqbody *b, struct str *out, err *e)
{
    if (!b->chunked) {
        size_t n = (size_t)(b->end - b->p);
        if (b->left < n) n = (size_t)b->left;
        *out = str_of(b->p, n);
        b->p += n;
        b->left -= n;
        b->done = b->left == 0;
        return true;
    }
    switch (chunked_step(&b->chunks, &b->p, b->end, out)) {
    case CHUNK_DATA:
        return true;
    case CHUNK_END:
        b->done = true;
        return true;
    case CHUNK_BAD:
        *e = ERR_BAD_REQUEST;
        return true;
    case CHUNK_MORE:
        break;
    }
    return false;
}

static err reqbody_next(struct body *body, struct str *out)
{
    struct http_reqbody *b = CONTAINER(body, struct http_reqbody, b);
    if (b->failed) return b->failed;
    if (b->done) return ERR_OK;
    err e = ERR_OK;
    do {
        if (b->p == b->end) e = fill(b);
    } while (!e && !take(b, out, &e));
    if (e) {
        *out = STR_NONE;
        return fail(b, e);
    }
    b->c->w->x.bytes_in += out->n;
    return ERR_OK;
}

/* What came with the head first, then straight from the socket. */
static err plain_read(struct body *body, char *p, size_t n, size_t *got)
{
    struct http_reqbody *b = CONTAINER(body, struct http_reqbody, b);
    if (b->failed) return b->failed;
    if (b->done) return ERR_OK;
    if (n > b->left) n = (size_t)b->left;
    err e = ERR_OK;
    if (b->p < b->end) {
        *got = n < (size_t)(b->end - b->p) ? n : (size_t)(b->end - b->p);
        memcpy(p, b->p, *got);
        b->p += *got;
    } else {
        if (b->awaits_continue) e = send_continue(b);
        if (!e) e = receive(b, p, n, got);
    }
    if (e) return fail(b, e);
    b->left -= *got;
    b->done = b->left == 0;
    b->c->w->x.bytes_in += *got;
    return ERR_OK;
}

static const struct body_ops chunked_ops = {.name = "request", .next = reqbody_next};
static const struct body_ops plain_ops = {.name = "request", .next = reqbody_next, .read = plain_read};

void reqbody_init(struct http_conn *c, const char *p, const char *end)
{
    struct http_work *w = c->w;
    const struct head *h = &w->head;
    bool has = h->chunked || h->content_length > 0;
    w->body = (struct http_reqbody){
        .b = {.ops = h->chunked ? &chunked_ops : &plain_ops,
              .length = h->chunked              ? -1
                        : h->content_length < 0 ? 0
                                                : h->content_length},
        .c = c,
        .chunked = h->chunked,
        .done = !has,
        .awaits_continue = h->expect_continue && (!has || p == end),
        .left = has && !h->chunked ? (uint64_t)h->content_length : 0,
        .p = p,
        .end = end,
        .room_at = (size_t)(p - w->buf),
    };
    w->x.body = &w->body.b;
    w->x.has_body = has;
}

bool reqbody_may_keep(struct http_conn *c, int status, bool *interim)
{
    struct http_reqbody *b = &c->w->body;
    *interim = b->awaits_continue && b->done && status < 300;
    bool asked_in_vain = b->awaits_continue && !*interim;
    b->awaits_continue = false; /* no 100 behind a final answer */
    if (b->failed || asked_in_vain) return false;
    return b->done || b->chunked || b->left <= DRAIN_BYTES;
}

bool reqbody_finish(struct http_conn *c)
{
    struct http_reqbody *b = &c->w->body;
    if (b->done) return true;
    b->deadline = rt_now() + DRAIN_NS;
    struct str v;
    for (uint64_t n = 0; n <= DRAIN_BYTES; n += v.n) {
        if (body_next(&b->b, &v)) return false;
        if (v.n == 0) return true;
    }
    return false;
}
