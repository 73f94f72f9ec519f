#include "object/sweeper.h"
#include "base/bytes.h"
#include "base/log.h"
#include "object/bucket_int.h"
#include "rt/rt.h"
#include "sys/sys.h"

#include <stdatomic.h>

#define PERIOD (600 * RT_SEC)
#define PAGE   256

/* Keys (and the first byte and time of values) of one page of a scan. */
struct page {
    struct arena *a;
    struct str key[PAGE], value[PAGE];
    unsigned n;
};

static enum idx_step gather(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    (void)seq;
    (void)seek;
    struct page *p = arg;
    p->key[p->n] = arena_dup(p->a, key);
    p->value[p->n] = arena_dup(p->a, value);
    p->n++;
    return p->n == PAGE ? IDX_STOP : IDX_NEXT;
}

static err read_page(struct objects *o, struct page *p, struct str lo, struct str hi)
{
    struct idx_range r = {.lo = lo, .hi = hi};
    p->n = 0;
    err e = idx_scan(o->idx, &r, gather, p);
    return !e && arena_overflowed(p->a) ? ERR_NO_MEMORY : e;
}

struct sweeper {
    struct rt_mutex mu;
    struct rt_cond changed;
    atomic_bool stopping;
    bool running;
};

/* The server is to end: what is left is swept after the next start. */
static bool stops(const struct objects *o)
{
    return o->sweeper && atomic_load(&o->sweeper->stopping);
}

/* Calls fn for every key of a space; a page at a time, so that nothing is held for long. */
static err each(struct objects *o, uint64_t shard, char space,
                void (*fn)(struct objects *o, struct str key, struct str value))
{
    struct key lo, hi;
    err e = ERR_OK;
    struct arena *a = arena_new(0);
    struct page *p = a ? ARENA_NEW(a, struct page) : NULL;
    key_of_space(&lo, shard, space);
    key_of_space(&hi, shard, (char)(space + 1));
    while (p && !e && !stops(o)) {
        p->a = arena_new(0);
        if (!p->a) break;
        e = read_page(o, p, key_str(&lo), key_str(&hi));
        for (unsigned i = 0; !e && i < p->n && !stops(o); i++) fn(o, p->key[i], p->value[i]);
        if (!e && p->n > 0) {
            lo.n = 0;
            key_add(&lo, p->key[p->n - 1].p, p->key[p->n - 1].n);
            key_add(&lo, "", 1);
        }
        bool more = p->n == PAGE;
        arena_free(p->a);
        if (!more) break;
    }
    if (!p) e = ERR_NO_MEMORY;
    arena_free(a);
    return e;
}

static void sweep_draft(struct objects *o, struct str key, struct str value)
{
    if (key.n != KEY_HEAD + 8 || value.n != DRAFT_SIZE) return;
    uint64_t id = get_be64(key.p + KEY_HEAD);
    if (value.p[0] == DRAFT_PURGE) bucket_purge(o, id);
    if (value.p[0] == DRAFT_CREATING && sys->real_ms() - (int64_t)get_le64(value.p + 1) > SWEEP_DRAFT_MS)
        bucket_discard(o, id);
}

struct due {
    struct str key;
};

static err drop_mark(struct mut *m, void *arg)
{
    const struct due *d = arg;
    struct key mark;
    struct vid id = vid_get(d->key.p + d->key.n - VID_SIZE);
    key_of_mark(&mark, m->bucket, &id);
    idx_txn_del(m->t, key_str(&mark));
    idx_txn_del(m->t, d->key);
    return ERR_OK;
}

static void sweep_mark(struct objects *o, struct str key, struct str value)
{
    (void)value;
    struct due d = {.key = key};
    if (key.n != KEY_HEAD + 8 + VID_SIZE || (int64_t)get_be64(key.p + KEY_HEAD) > sys->real_ms()) return;
    mut_run_shard(o, get_be64(key.p), drop_mark, &d, NULL);
}

static void sweep_bucket(struct objects *o, struct str key, struct str value)
{
    struct bucket_rec b;
    struct str name = key_rest(key);
    (void)value;
    struct arena *a = arena_new(0);
    if (!a) return;
    err e = bucket_read(o, a, name, &b, NULL);
    uint64_t id = b.id;
    arena_free(a);
    if (e == ERR_OK) each(o, id, KEY_TIME, sweep_mark);
    /* A deletion that a crash cut short between its two transactions. */
    if (e == ERR_NO_SUCH_BUCKET && id != 0 && bucket_drop_name(o, name, id) == ERR_OK) bucket_purge(o, id);
}

err objects_sweep(struct objects *o)
{
    CHECK_MAGIC(o, OBJECTS_MAGIC);
    err e = each(o, 0, KEY_NAME, sweep_bucket);
    return e ? e : each(o, 0, KEY_DRAFT, sweep_draft);
}

/* ---- its fiber ---- */

static void sweep_until_stopped(void *arg)
{
    struct objects *o = arg;
    struct sweeper *s = o->sweeper;
    rt_set_patient(true);
    rt_mutex_lock(&s->mu);
    while (!s->stopping) {
        rt_mutex_unlock(&s->mu);
        rt_set_note("sweeping");
        err e = objects_sweep(o);
        if (e) LOG_WARN("sweep failed", LF_Z("error", err_name(e)));
        rt_set_note("between sweeps");
        int64_t next = rt_now() + PERIOD;
        rt_mutex_lock(&s->mu);
        while (!s->stopping && rt_cond_wait(&s->changed, &s->mu, next)) continue;
    }
    s->running = false;
    rt_cond_broadcast(&s->changed);
    rt_mutex_unlock(&s->mu);
}

void objects_start(struct objects *o)
{
    struct sweeper *s = calloc(1, sizeof *s);
    if (s) {
        rt_mutex_init(&s->mu);
        rt_cond_init(&s->changed);
        o->sweeper = s;
        s->running = rt_spawn(rt_self(), "object sweeper", sweep_until_stopped, o);
    }
    if (!s || !s->running) LOG_WARN("no fiber for the sweeper");
}

void sweeper_free(struct sweeper *s)
{
    if (s && rt_fiber_self()) { /* else the loops have ended, and it never runs again */
        rt_mutex_lock(&s->mu);
        atomic_store(&s->stopping, true);
        rt_cond_broadcast(&s->changed);
        while (s->running) rt_cond_wait(&s->changed, &s->mu, RT_FOREVER);
        rt_mutex_unlock(&s->mu);
    }
    free(s);
}
