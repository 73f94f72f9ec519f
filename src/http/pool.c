/* What busy connections borrow from their loop: work areas, body buffers, request ids, the Date line. No
 * locks: all of it belongs to one loop. Memory counts against the server's ceiling while it is allocated, in
 * use or kept for reuse. */
#include "http/internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "sys/sys.h"

#define CHARGE_UNIT ((size_t)16 << 10)

bool memory_left(const struct http_server *s, size_t n)
{
    uint64_t used = atomic_load_explicit(&s->memory, memory_order_relaxed);
    uint64_t most = s->lim.max_memory;
    return used <= most && n <= most - used;
}

/* What the pools of all loops keep leaves half of the ceiling to whoever needs it: no loop starves another.
 */
static bool may_keep(const struct http_server *s)
{
    return atomic_load_explicit(&s->memory, memory_order_relaxed) <= s->lim.max_memory / 2;
}

static void charge(struct http_server *s, size_t n)
{
    atomic_fetch_add_explicit(&s->memory, n, memory_order_relaxed);
}

static void uncharge(struct http_server *s, size_t n)
{
    atomic_fetch_sub_explicit(&s->memory, n, memory_order_relaxed);
}

/* ---- work areas ---- */

/* The struct, its buffer, and the arena's first unit, which stays with it. */
static size_t work_bytes(const struct http_server *s)
{
    return sizeof(struct http_work) + s->buf_bytes + HOLD_BYTES + CHARGE_UNIT;
}

static void work_free(struct http_server *s, struct http_work *w)
{
    arena_free(w->arena);
    free(w->buf);
    free(w);
    uncharge(s, work_bytes(s));
}

static struct http_work *work_new(struct http_server *s)
{
    struct http_work *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->buf = malloc(s->buf_bytes + HOLD_BYTES);
    w->arena_bytes = s->lim.arena_bytes;
    w->arena = arena_new(w->arena_bytes);
    charge(s, work_bytes(s));
    if (w->buf && w->arena) return w;
    if (w->arena) arena_free(w->arena);
    free(w->buf);
    free(w);
    uncharge(s, work_bytes(s));
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
        forced = !memory_left(hl->s, work_bytes(hl->s));
        if (forced && (!force || hl->nforced >= FORCED_WORKS_MAX)) return NULL;
        w = work_new(hl->s);
        if (!w) return NULL;
    }
    if (forced) hl->nforced++;
    w->forced = forced;
    w->charged = CHARGE_UNIT;
    w->start = w->end = 0;
    w->scan = (struct head_scan){0};
    w->body.big = NULL;
    return w;
}

void work_charge(struct http_loop *hl, struct http_work *w)
{
    size_t used = arena_used(w->arena);
    while (w->charged < used) {
        w->charged += CHARGE_UNIT;
        charge(hl->s, CHARGE_UNIT);
    }
}

void work_put(struct http_loop *hl, struct http_work *w)
{
    ASSERT(!w->body.big);
    arena_reset(w->arena);
    uncharge(hl->s, w->charged - CHARGE_UNIT);
    w->charged = CHARGE_UNIT;
    if (w->forced) hl->nforced--;
    if (hl->nworks >= WORKS_KEPT || w->forced || stale(hl->s, w) || !may_keep(hl->s)) {
        work_free(hl->s, w);
        return;
    }
    w->next = hl->works;
    hl->works = w;
    hl->nworks++;
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
    if (!memory_left(hl->s, BIG_BYTES)) return NULL;
    p = malloc(BIG_BYTES);
    if (p) charge(hl->s, BIG_BYTES);
    return p;
}

void big_put(struct http_loop *hl, char *p)
{
    if (hl->nbigs >= BIGS_KEPT || !may_keep(hl->s)) {
        free(p);
        uncharge(hl->s, BIG_BYTES);
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
        uncharge(hl->s, BIG_BYTES);
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
