/* Changes. Each attempt reads afresh at a sequence, builds a transaction that names what it read, and
 * commits; a conflict means that somebody was faster, so each round lets at least one through. Waiting
 * between rounds is short and random. */
#include "object/internal.h"
#include "base/array.h"
#include "rt/rt.h"
#include "sys/sys.h"

#define ATTEMPTS_MAX  128
#define BACKOFF_FIRST (200 * 1000) /* ns */
#define BACKOFF_MAX   (20 * RT_MS)

static void back_off(unsigned attempt)
{
    if (!rt_fiber_self()) return;
    int64_t limit = BACKOFF_FIRST << (attempt < 7 ? attempt : 7);
    if (limit > BACKOFF_MAX) limit = BACKOFF_MAX;
    uint32_t r;
    sys->random(&r, sizeof r);
    rt_sleep(1 + (int64_t)((uint64_t)limit * r >> 32));
}

void mut_ref(struct mut *m, uint64_t blob, int64_t delta)
{
    if (m->nrefs == m->refs_cap) {
        size_t cap = m->refs_cap ? m->refs_cap * 2 : 16;
        void *more = arena_alloc_raw(m->a, cap * sizeof *m->refs);
        if (!more) return; /* the arena has latched it; the commit looks */
        if (m->nrefs) memcpy(more, m->refs, m->nrefs * sizeof *m->refs);
        m->refs = more;
        m->refs_cap = cap;
    }
    m->refs[m->nrefs].blob = blob;
    m->refs[m->nrefs++].delta = delta;
}

void mut_put(struct mut *m, const struct key *k, struct str value)
{
    if (value.p) idx_txn_put(m->t, key_str(k), value);
}

/* What a transaction takes and gives of one blob is summed, so that a self-copy never lets go of its bytes.
 */
static void add_refs(struct mut *m)
{
    if (m->nrefs == 0) return;
    qsort(m->refs, m->nrefs, sizeof *m->refs, array_by_u64);
    for (size_t i = 0; i < m->nrefs;) {
        uint64_t blob = m->refs[i].blob;
        int64_t sum = 0;
        for (; i < m->nrefs && m->refs[i].blob == blob; i++) sum += m->refs[i].delta;
        for (; sum > 0; sum--) idx_txn_ref(m->t, blob);
        for (; sum < 0; sum++) idx_txn_unref(m->t, blob);
    }
}

static void add_counts(struct mut *m)
{
    bool any = false;
    for (unsigned i = 0; i < CNT_N; i++) any |= m->count[i] != 0;
    if (!any) return;
    struct key k;
    key_of_space(&k, m->bucket, KEY_COUNTERS);
    idx_txn_add(m->t, key_str(&k), m->count, CNT_N);
}

static void start(struct mut *m)
{
    arena_reset(m->a);
    m->read_seq = idx_now(m->o->idx);
    m->t = idx_txn_new(m->a, m->bucket, m->read_seq);
    m->nothing = m->gives_back = m->hides = false;
    m->refs = NULL;
    m->nrefs = m->refs_cap = 0;
    memset(m->count, 0, sizeof m->count);
}

static err read_guard(struct mut *m)
{
    struct key k;
    struct str value;
    key_of_space(&k, m->bucket, KEY_GUARD);
    idx_txn_check(m->t, key_str(&k));
    err e = idx_get_hot(m->o->idx, m->a, key_str(&k), &value, NULL);
    if (e == ERR_NOT_FOUND) return ERR_NO_SUCH_BUCKET;
    if (!e) e = guard_decode(value, &m->guard);
    return !e && m->guard.deleted ? ERR_NO_SUCH_BUCKET : e;
}

static err finish(struct mut *m, uint64_t *seq)
{
    if (m->nothing) return ERR_OK;
    add_refs(m);
    add_counts(m);
    if (arena_overflowed(m->a)) return ERR_NO_MEMORY;
    if (m->gives_back) idx_txn_gives_back(m->t);
    if (m->hides) idx_txn_hides(m->t);
    return idx_commit(m->o->idx, m->t, seq);
}

typedef err build_fn(struct mut *m, void *arg);

static err attempt(struct mut *m, struct str bucket, build_fn *build, void *arg, uint64_t *seq)
{
    start(m);
    err e = bucket.n ? read_guard(m) : ERR_OK;
    if (!e) e = build(m, arg);
    return e ? e : finish(m, seq);
}

/* The name may belong to another bucket by now: the cache was filled before the old one was deleted. */
static bool renamed(struct mut *m, struct str bucket)
{
    struct bref again;
    bucket_forget(m->o, bucket);
    if (bucket_find(m->o, bucket, &again) != ERR_OK || again.id == m->bucket) return false;
    m->bucket = again.id;
    return true;
}

static err run(struct mut *m, struct str bucket, build_fn *build, void *arg, uint64_t *seq)
{
    err e = ERR_SLOW_DOWN;
    m->a = spares_take(&m->o->arenas);
    if (!m->a && !(m->a = arena_new(0))) return ERR_NO_MEMORY;
    for (m->attempt = 0; m->attempt < ATTEMPTS_MAX; m->attempt++) {
        e = attempt(m, bucket, build, arg, seq);
        if (e == ERR_NO_SUCH_BUCKET && bucket.n && renamed(m, bucket)) continue;
        if (e != ERR_CONFLICT) break;
        e = ERR_SLOW_DOWN;
        back_off(m->attempt);
    }
    arena_reset(m->a);
    if (!spares_give(&m->o->arenas, m->a)) arena_free(m->a);
    return e;
}

void mut_free_spares(struct objects *o)
{
    for (struct arena *a; (a = spares_take(&o->arenas)) != NULL;) arena_free(a);
}

err mut_run(struct objects *o, struct str bucket, build_fn *build, void *arg, uint64_t *seq)
{
    struct bref b;
    err e = bucket_find(o, bucket, &b);
    if (e) return e;
    struct mut m = {.o = o, .bucket = b.id};
    return run(&m, bucket, build, arg, seq);
}

err mut_run_shard(struct objects *o, uint64_t shard, build_fn *build, void *arg, uint64_t *seq)
{
    struct mut m = {.o = o, .bucket = shard};
    return run(&m, STR_NONE, build, arg, seq);
}
