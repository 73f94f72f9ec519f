/* Reading a full segment for its collection, window by window: what a worker reads and verifies at once, and
 * the memory it takes, stay small beside requests. */
#include "store/log_int.h"
#include "base/assert.h"
#include "sys/sys.h"

#define WINDOW ((size_t)512 << 10) /* a record may be longer */

struct window {
    const struct log_segment *s;
    struct log_walk walk; /* of the next record */
    unsigned char *data;
    size_t cap; /* a multiple of LOG_ALIGN */
    struct log_record *records;
    size_t n;
    size_t need; /* the next record alone is so long */
    err e;
};

/* The next record, if all of it lies in the first n bytes of the window. */
static bool next_record(struct window *w, uint64_t begin, size_t n)
{
    uint64_t at = w->walk.end - begin;
    struct log_record *r = &w->records[w->n];
    uint64_t size = at < n ? log_record_at(&w->s->head, &w->walk, w->data + at, n - at, r) : 0;
    if (at + size > n) {
        if (at == 0) w->need = (size_t)size;
        return false;
    }
    if (size == 0) return false;
    w->n++;
    w->walk.next_seq += r->head.commits;
    w->walk.end += size;
    return true;
}

static void fill(void *arg)
{
    struct window *w = arg;
    uint64_t begin = w->walk.end, left = w->s->head.bytes - begin;
    size_t n = left < w->cap ? (size_t)left : w->cap;
    w->n = w->need = 0;
    w->e = sys_read_full(w->s->fd, w->data, n, begin);
    while (!w->e && next_record(w, begin, n)) continue;
}

static void free_job(void *arg)
{
    struct window *w = arg;
    free(w->data);
    free(w->records);
}

/* So much memory takes a loop long to give back. */
static void window_free(struct window *w)
{
    rt_work_long("log-read", free_job, w);
}

static bool window_alloc(struct window *w, size_t cap)
{
    w->data = log_alloc(cap);
    w->records = calloc(cap / LOG_ALIGN, sizeof *w->records);
    w->cap = cap;
    return w->data && w->records;
}

/* No record: none that is whole and right comes next. */
static err window_next(struct window *w)
{
    if (!w->data && !window_alloc(w, WINDOW)) return ERR_NO_MEMORY;
    rt_work_long("log-read", fill, w);
    if (w->e || w->need <= w->cap) return w->e;
    window_free(w);
    if (!window_alloc(w, w->need)) return ERR_NO_MEMORY;
    rt_work_long("log-read", fill, w);
    return w->e;
}

static err read_windows(struct window *w, uint64_t last_seq, log_window_fn *fn, void *arg)
{
    err e = ERR_OK;
    while (!e && w->walk.next_seq <= last_seq) {
        e = window_next(w);
        if (!e && w->n == 0) break;
        if (!e) e = fn(arg, w->records, w->n);
    }
    return e;
}

static struct log_segment *hold(struct log *l, uint64_t number)
{
    struct log_segment *s = NULL;
    rt_latch_lock(&l->lock);
    for (size_t i = 0; i + 1 < l->n && !s; i++)
        if (l->segments[i]->head.segment == number) s = l->segments[i];
    if (s) s->readers++;
    rt_latch_unlock(&l->lock);
    ASSERT(s);
    return s;
}

err log_read_segment(struct log *l, uint64_t number, log_window_fn *fn, void *arg, char why[512])
{
    struct log_segment *s = hold(l, number);
    struct window w = {.s = s, .walk = {.next_seq = s->head.first_seq, .end = LOG_ALIGN}};
    err e = read_windows(&w, s->last_seq, fn, arg);
    if (w.e)
        snprintf(why, 512, "log segment %016llx cannot be read: %s", (unsigned long long)number,
                 err_name(w.e));
    else if (!e && w.walk.next_seq != s->last_seq + 1)
        e = log_damaged(l, s, &w.walk, s->last_seq + 1, why);
    window_free(&w);
    rt_latch_lock(&l->lock);
    s->readers--;
    rt_latch_unlock(&l->lock);
    return e;
}
