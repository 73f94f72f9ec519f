/* One request: from a complete head to the answer, and what is left of its body. Runs in the connection's
 * fiber. */
#include "http/internal.h"
#include "base/assert.h"

struct str http_header(const struct http_exchange *x, const char *name)
{
    struct str want = str_c(name);
    for (size_t i = 0; i < x->nheaders; i++)
        if (str_eq(x->headers[i].name, want)) return x->headers[i].value;
    return STR_NONE;
}

bool http_has_header(const struct http_exchange *x, const char *name)
{
    return http_header(x, name).p != NULL;
}

static enum http_method method_of(struct str m)
{
    static const struct {
        struct str name;
        enum http_method method;
    } methods[] = {{{"GET", 3}, HTTP_GET},   {{"PUT", 3}, HTTP_PUT},       {{"HEAD", 4}, HTTP_HEAD},
                   {{"POST", 4}, HTTP_POST}, {{"DELETE", 6}, HTTP_DELETE}, {{"OPTIONS", 7}, HTTP_OPTIONS}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (str_eq(m, methods[i].name)) return methods[i].method;
    return HTTP_METHOD_OTHER;
}

/* An exchange without a request yet. */
static void exchange_init(struct http_conn *c)
{
    struct http_work *w = c->w;
    struct http_exchange *x = &w->x;
    w->head = (struct head){.content_length = -1, .minor = 1, .path = STR("/")};
    *x = (struct http_exchange){
        .arena = w->arena,
        .method = HTTP_METHOD_OTHER,
        .path = STR("/"),
        .content_length = -1,
        .tls = c->io.tls != NULL,
        .peer = c->peer,
        .started_ns = rt_now(),
        .conn = c,
    };
    memcpy(x->peer_text, c->peer_text, sizeof x->peer_text);
    make_id(c->hl, w->id);
    x->id = str_of(w->id, 16);
    reply_init(w);
    reqbody_init(c, w->buf + w->start, w->buf + w->start);
}

static void exchange_take_head(struct http_exchange *x, const struct head *h)
{
    x->method = method_of(h->method);
    x->method_name = h->method;
    x->target = h->target;
    x->path = h->path;
    x->query = h->query;
    x->host = h->host;
    x->headers = h->headers;
    x->nheaders = h->nheaders;
    x->content_length = h->content_length;
    x->chunked = h->chunked;
    x->expect_continue = h->expect_continue;
}

/* The dialect renders e; should it not answer, we do. */
static void render(struct http_conn *c, err e)
{
    struct http_exchange *x = &c->w->x;
    const struct http_callbacks *cb = &c->hl->s->cb;
    http_unset_all(x);
    cb->refuse(cb->arg, x, e);
    if (c->w->out.answered) return;
    http_unset_all(x);
    http_reply(x, err_status(e), STR(""));
}

static void request_over(struct http_conn *c)
{
    const struct http_callbacks *cb = &c->hl->s->cb;
    if (cb->done) cb->done(cb->arg, &c->w->x);
}

static void refuse_prepared(struct http_conn *c, err e)
{
    count_up(&c->hl->requests_refused, 1);
    c->close_after = true;
    c->linger = true;
    render(c, e);
    request_over(c);
}

void request_refuse(struct http_conn *c, err e)
{
    exchange_init(c);
    refuse_prepared(c, e);
}

static bool admit(struct http_server *s)
{
    uint64_t n = atomic_fetch_add_explicit(&s->running, 1, memory_order_relaxed);
    if (n < s->lim.max_requests && memory_take(s, s->lim.handler_bytes)) return true;
    atomic_fetch_sub_explicit(&s->running, 1, memory_order_relaxed);
    return false;
}

static void dismiss(struct http_server *s)
{
    memory_give(s, s->lim.handler_bytes);
    atomic_fetch_sub_explicit(&s->running, 1, memory_order_relaxed);
}

static void handle(struct http_conn *c)
{
    struct http_server *s = c->hl->s;
    struct http_work *w = c->w;
    bool admitted = admit(s);
    if (admitted) {
        s->cb.handle(s->cb.arg, &w->x);
        if (!w->out.answered) render(c, w->out.failed ? w->out.failed : ERR_INTERNAL);
    } else {
        count_up(&c->hl->requests_refused, 1);
        render(c, ERR_SLOW_DOWN);
    }
    request_over(c);
    if (admitted) dismiss(s);
}

/* Ready the work area for the next request; what followed this one in the body buffer moves to the
 * connection's. */
static void next_request(struct http_conn *c)
{
    struct http_work *w = c->w;
    struct http_reqbody *b = &w->body;
    size_t rest = (size_t)(b->end - b->p);
    if (b->big && b->p >= b->big && b->p <= b->big + BIG_BYTES) {
        ASSERT(rest <= c->hl->s->buf_bytes);
        if (rest > 0) memcpy(w->buf, b->p, rest);
        w->start = 0;
    } else {
        w->start = (size_t)(b->p - w->buf);
    }
    w->end = w->start + rest;
    if (rest == 0) w->start = w->end = 0;
    if (b->big) big_put(c->hl, b->big);
    b->big = NULL;
    arena_reset(w->arena);
    w->scan = (struct head_scan){0};
    c->head_deadline = 0;
}

bool request_run(struct http_conn *c, size_t head_end)
{
    struct http_work *w = c->w;
    char *from = w->buf + w->start + w->scan.start, *to = w->buf + w->start + head_end;
    exchange_init(c);
    err e = head_parse(w->arena, from, (size_t)(to - from), w->scan.lines, &w->head);
    exchange_take_head(&w->x, &w->head);
    w->x.bytes_in = head_end;
    if (e) {
        refuse_prepared(c, e);
        return false;
    }
    reqbody_init(c, to, w->buf + w->end);
    count_up(&c->hl->requests_total, 1);
    c->requests++;
    handle(c);
    bool keep = !c->broken && !c->close_after && reqbody_finish(c);
    if (!keep) c->linger = !w->body.done;
    next_request(c);
    return keep;
}
