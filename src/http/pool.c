/* What busy connections borrow from their loop: work areas, body buffers, request ids, the Date line. No
 * locks: all of it belongs to one loop. Memory counts against the server's ceiling while it is allocated, in
 * use or kept for reuse. */
#include "http/internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/pages.h"
#include "sys/sys.h"

bool memory_take(struct http_server *s, size_t n)
{
    uint64_t most = s->lim.max_memory;
    uint64_t had = atomic_fetch_add_explicit(&s->memory, n, memory_order_relaxed);
    if (had <= most && n <= most - had) return true;
    memory_give(s, n);
    return false;
}

void memory_give(struct http_server *s, size_t n)
{
    atomic_fetch_sub_explicit(&s->memory, n, memory_order_relaxed);
}

static bool arena_take(void *server, size_t n)
{
    return memory_take(server, n);
}

static void arena_give(void *server, size_t n)
{
    memory_give(server, n);
}

/* What the pools of all loops keep leaves half of the ceiling to whoever needs it: no loop starves another.
 */
static bool may_keep(const struct http_server *s)
{
    return atomic_load_explicit(&s->memory, memory_order_relaxed) <= s->lim.max_memory / 2;
}

/* ---- work areas ---- */

/* The struct, its buffer, and the arena's first chunk, which stays with it. */
static size_t work_bytes(const struct http_server *s)
{
    return sizeof(struct http_work) + s->buf_bytes + HOLD_BYTES + ARENA_FIRST;
}

static void work_free(struct http_server *s, struct http_work *w)
{
    arena_free(w->arena);
    free(w->buf);
    free(w);
    memory_give(s, work_bytes(s));
}

/* Its bytes are counted. */
static struct http_work *work_new(struct http_server *s)
{
    struct http_work *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->buf = malloc(s->buf_bytes + HOLD_BYTES);
    w->arena_bytes = s->lim.arena_bytes;
    w->arena = arena_new(w->arena_bytes);
    if (w->buf && w->arena) {
        arena_set_budget(w->arena, &(struct arena_budget){arena_take, arena_give, s});
        return w;
    }
    arena_free(w->arena);
    free(w->buf);
    free(w);
    return NULL;
}

static bool stale(const struct http_server *s, const struct http_work *w)
{
    return w->arena_bytes != s->lim.arena_bytes; /* the limit has changed */
}

static struct http_work *take_kept(struct http_loop *hl)
{
    for (struct http_work *w; (w = hl->works) != NULL;) {
        hl->works = w->next;
        hl->nworks--;
        if (!stale(hl->s, w)) return w;
        work_free(hl->s, w);
    }
    return NULL;
}

struct http_work *work_get(struct http_loop *hl, bool force)
{
    struct http_work *w = take_kept(hl);
    bool forced = false;
    if (!w) {
        forced = !memory_take(hl->s, work_bytes(hl->s));
        if (forced && (!force || hl->nforced >= FORCED_WORKS_MAX)) return NULL;
        if (forced) atomic_fetch_add_explicit(&hl->s->memory, work_bytes(hl->s), memory_order_relaxed);
        w = work_new(hl->s);
        if (!w) {
            memory_give(hl->s, work_bytes(hl->s));
            return NULL;
        }
    }
    if (forced) hl->nforced++;
    w->forced = forced;
    w->start = w->end = 0;
    w->scan = (struct head_scan){0};
    w->body.big = NULL;
    return w;
}

void work_put(struct http_loop *hl, struct http_work *w)
{
    ASSERT(!w->body.big);
    arena_reset(w->arena);
    if (w->forced) hl->nforced--;
    if (hl->nworks >= WORKS_KEPT || w->forced || stale(hl->s, w) || !may_keep(hl->s)) {
        work_free(hl->s, w);
        return;
    }
    w->next = hl->works;
    hl->works = w;
    hl->nworks++;
}

/* ---- parts of heads ---- */
static size_t part_bytes(size_t n)
{
    return sizeof(struct http_part) + n + 2 * sizeof(size_t); /* with what the allocator adds */
}

bool part_keep(struct http_conn *c)
{
    struct http_work *w = c->w;
    size_t n = w->end - w->start;
    ASSERT(!c->part);
    if (!memory_take(c->hl->s, part_bytes(n))) return false;
    c->part = malloc(sizeof *c->part + n);
    if (!c->part) {
        memory_give(c->hl->s, part_bytes(n));
        return false;
    }
    c->part->scan = w->scan;
    c->part->n = n;
    memcpy(c->part->p, w->buf + w->start, n);
    return true;
}

void part_restore(struct http_conn *c)
{
    struct http_work *w = c->w;
    ASSERT(c->part->n < c->hl->s->buf_bytes);
    memcpy(w->buf, c->part->p, c->part->n);
    w->start = 0;
    w->end = c->part->n;
    w->scan = c->part->scan;
    part_drop(c);
}

void part_drop(struct http_conn *c)
{
    if (!c->part) return;
    memory_give(c->hl->s, part_bytes(c->part->n));
    free(c->part);
    c->part = NULL;
}

/* ---- body buffers ---- */
char *big_get(struct http_loop *hl)
{
    void *p = hl->bigs;
    if (p) {
        memcpy(&hl->bigs, p, sizeof hl->bigs);
        hl->nbigs--;
        return p;
    }
    if (!memory_take(hl->s, BIG_BYTES)) return NULL;
    p = pages_alloc(BIG_BYTES);
    if (!p) memory_give(hl->s, BIG_BYTES);
    return p;
}

void big_put(struct http_loop *hl, char *p)
{
    if (hl->nbigs >= BIGS_KEPT || !may_keep(hl->s)) {
        free(p);
        memory_give(hl->s, BIG_BYTES);
        return;
    }
    memcpy(p, &hl->bigs, sizeof hl->bigs);
    hl->bigs = p;
    hl->nbigs++;
}

void pool_free(struct http_loop *hl)
{
    while (hl->works) {
        struct http_work *w = hl->works;
        hl->works = w->next;
        work_free(hl->s, w);
    }
    while (hl->bigs) {
        void *p = hl->bigs;
        memcpy(&hl->bigs, p, sizeof hl->bigs);
        free(p);
        memory_give(hl->s, BIG_BYTES);
    }
}

/* ---- request ids ---- */

/* A keyed permutation of (loop, counter): no two requests of a process share an id, and who sees some cannot
 * say the next without the key, which is random per process. An id is a name, not a secret. */
void make_id(struct http_loop *hl, char out[17])
{
    uint64_t v = hl->next_id++ ^ hl->s->id_key[0];
    for (int i = 0; i < 2; i++) {
        v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9u;
        v = (v ^ (v >> 27)) * 0x94d049bb133111ebu;
        v = (v ^ (v >> 31)) ^ hl->s->id_key[1];
    }
    for (int i = 0; i < 16; i++) out[i] = "0123456789ABCDEF"[(v >> (60 - 4 * i)) & 15];
    out[16] = 0;
}

/* ---- Date ---- */
const char *http_date(struct http_loop *hl)
{
    int64_t ms = sys->real_ms();
    if (ms / 1000 != hl->date_second) {
        hl->date_second = ms / 1000;
        time_http(ms, hl->date);
    }
    return hl->date;
}
