/* Any bytes as a connection's input: a sequence of requests with their bodies. The first two bytes say how
 * the rest is split on its way; what is understood must be the same as when it comes at once. */
#include "http/chunked.h"
#include "http/head.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Input that becomes visible piece by piece. */
struct wire {
    char *p;
    size_t all, seen, step;
};

static bool more(struct wire *w)
{
    if (w->seen == w->all) return false;
    size_t n = w->step + (w->step > 1 ? w->seen % w->step : 0);
    w->seen = w->all - w->seen < n ? w->all : w->seen + n;
    return true;
}

static void check_view(const struct wire *w, struct str s)
{
    ASSERT(!s.p || s.n == 0 || str_eq(s, STR("/")) || (s.p >= w->p && s.p + s.n <= w->p + w->seen));
}

static void note_head(const struct wire *w, const struct head *h, struct buf *log)
{
    buf_fmt(log, "%.*s %.*s %.*s|%.*s@%.*s %lld%d%d%d\n", STR_FMT(h->method), STR_FMT(h->target),
            STR_FMT(h->path), STR_FMT(h->query), STR_FMT(h->host), (long long)h->content_length, h->chunked,
            h->keep_alive, h->expect_continue);
    ASSERT(!(h->chunked && h->content_length >= 0));
    check_view(w, h->path);
    check_view(w, h->query);
    check_view(w, h->host);
    for (size_t i = 0; i < h->nheaders; i++) {
        struct str k = h->headers[i].name, v = h->headers[i].value;
        ASSERT(k.n > 0);
        for (size_t j = 0; j < k.n; j++)
            ASSERT(head_is_token((unsigned char)k.p[j]) && !(k.p[j] >= 'A' && k.p[j] <= 'Z'));
        ASSERT(!v.n || (!memchr(v.p, '\r', v.n) && !memchr(v.p, '\n', v.n) && !memchr(v.p, 0, v.n)));
        check_view(w, k);
        check_view(w, v);
        buf_fmt(log, "%.*s=%.*s\n", STR_FMT(k), STR_FMT(v));
    }
}

/* Past the body at `at`; false: it is broken or does not end. */
static bool skip_body(struct wire *w, const struct head *h, size_t *at, struct buf *log)
{
    if (!h->chunked) {
        uint64_t n = h->content_length > 0 ? (uint64_t)h->content_length : 0;
        if (n > w->all - *at) return false;
        *at += (size_t)n;
        while (w->seen < *at) more(w);
        return true;
    }
    struct chunked c = {0};
    for (;;) {
        const char *p = w->p + *at;
        struct str v;
        enum chunk_step r = chunked_step(&c, &p, w->p + w->seen, &v);
        *at = (size_t)(p - w->p);
        ASSERT(chunked_left(&c) >= 0);
        if (r == CHUNK_DATA) buf_str(log, v);
        if (r == CHUNK_END) return true;
        if (r == CHUNK_BAD || (r == CHUNK_MORE && !more(w))) {
            buf_fmt(log, "body %d\n", r);
            return false;
        }
    }
}

static bool one_request(struct wire *w, struct arena *a, size_t *at, struct buf *log)
{
    struct head_scan s = {0};
    size_t end = 0;
    err why = ERR_OK;
    enum head_step step;
    while ((step = head_scan(&s, w->p + *at, w->seen - *at, 4096, 20, &end, &why)) == HEAD_MORE)
        if (!more(w)) break;
    buf_fmt(log, "scan %d %d\n", step, step == HEAD_BAD);
    if (step != HEAD_DONE) return false;
    ASSERT(end <= w->seen - *at && s.lines <= 21);
    struct head h;
    err e = head_parse(a, w->p + *at + s.start, end - s.start, s.lines, &h);
    buf_fmt(log, "parse %d\n", e);
    *at += end;
    if (e) return false;
    note_head(w, &h, log);
    return skip_body(w, &h, at, log);
}

static void run(const uint8_t *data, size_t size, size_t step, struct buf *log)
{
    struct wire w = {.p = malloc(size ? size : 1), .all = size, .step = step};
    size_t at = 0;
    memcpy(w.p, data, size);
    struct arena *a = arena_new(0);
    while (one_request(&w, a, &at, log)) arena_reset(a);
    arena_free(a);
    free(w.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536) return 0;
    struct buf whole, split;
    buf_init(&whole, 0);
    buf_init(&split, 0);
    run(data + 2, size - 2, size, &whole);
    run(data + 2, size - 2, (data[0] | (size_t)(data[1] & 15) << 8) + 1, &split);
    ASSERT(str_eq(buf_view(&whole), buf_view(&split)));
    buf_free(&whole);
    buf_free(&split);
    return 0;
}
