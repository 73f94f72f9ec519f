#include "body/body.h"
#include "base/assert.h"
#include "base/list.h"

err body_next(struct body *b, struct str *out)
{
    *out = STR_NONE;
    return b->ops->next(b, out);
}

err body_read(struct body *b, char *p, size_t n, size_t *got)
{
    ASSERT(n > 0);
    *got = 0;
    return b->ops->read(b, p, n, got);
}

bool body_reads(const struct body *b)
{
    return b->ops->read != NULL;
}

void body_close(struct body *b)
{
    while (b) {
        struct body *inner = b->inner;
        if (b->ops->close) b->ops->close(b);
        b = inner;
    }
}

/* ---- bytes in memory ---- */
struct body_bytes {
    struct body b;
    struct str rest;
};

static err bytes_next(struct body *b, struct str *out)
{
    struct body_bytes *s = CONTAINER(b, struct body_bytes, b);
    *out = s->rest;
    s->rest.n = 0;
    return ERR_OK;
}

static const struct body_ops bytes_ops = {"bytes", bytes_next, NULL, NULL};

struct body *body_of_bytes(struct arena *a, struct str bytes)
{
    struct body_bytes *s = ARENA_NEW(a, struct body_bytes);
    if (!s) return NULL;
    s->b = (struct body){.ops = &bytes_ops, .length = (int64_t)bytes.n};
    s->rest = bytes;
    return &s->b;
}

/* ---- all of a body at once ---- */

/* Room for `need` bytes, of which n are in use: the memory at least doubles, so that copying stays linear,
 * and never passes `top`. What a client announces is not allocated before it comes. */
static char *grow(struct arena *a, char *p, size_t n, size_t *cap, size_t need, size_t top)
{
    if (need <= *cap) return p;
    size_t to = *cap ? *cap * 2 : 4096;
    if (to < need) to = need;
    if (to > top) to = top;
    char *q = arena_alloc_raw(a, to);
    if (q && n > 0) memcpy(q, p, n);
    *cap = to;
    return q;
}

err body_read_all(struct arena *a, struct body *b, size_t max, struct str *out)
{
    ASSERT(max < SIZE_MAX / 2);
    *out = STR("");
    if (b->length >= 0 && (uint64_t)b->length > max) return ERR_MAX_MESSAGE_LENGTH;
    char *p = NULL;
    size_t n = 0, cap = 0;
    for (;;) {
        struct str v;
        err e = body_next(b, &v);
        if (e) return e;
        if (v.n == 0) break;
        if (v.n > max - n) return ERR_MAX_MESSAGE_LENGTH;
        p = grow(a, p, n, &cap, n + v.n, max);
        if (!p) return ERR_NO_MEMORY;
        memcpy(p + n, v.p, v.n);
        n += v.n;
    }
    if (n > 0) *out = str_of(p, n);
    return ERR_OK;
}
