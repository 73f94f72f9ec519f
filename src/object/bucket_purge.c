/* Emptying the shard of a bucket that no name leads to any more: uploads in progress, configuration, then
 * counters and guard, and last the draft entry that remembered it. In bounded transactions; each checks what
 * it deletes, so that two purges of one shard never drop a reference twice, and takes it off the counters, so
 * that they are right wherever a crash interrupts. */
#include "base/bytes.h"
#include "object/bucket_int.h"

#define PURGE_KEYS  512
#define PURGE_BYTES ((size_t)1 << 20)

struct batch {
    struct arena *a;
    struct str key[PURGE_KEYS], value[PURGE_KEYS];
    unsigned n;
    size_t bytes;
};

static enum idx_step gather(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    (void)seq;
    (void)seek;
    struct batch *b = arg;
    if (key_space_of(key) == KEY_GUARD || key_space_of(key) == KEY_COUNTERS) return IDX_NEXT;
    b->key[b->n] = arena_dup(b->a, key);
    b->value[b->n] = arena_dup(b->a, value);
    if (!b->key[b->n].p || !b->value[b->n].p) return IDX_STOP;
    b->bytes += key.n + value.n;
    b->n++;
    return b->n == PURGE_KEYS || b->bytes >= PURGE_BYTES ? IDX_STOP : IDX_NEXT;
}

static void drop_ref(void *ctx, uint64_t blob, uint64_t min_size)
{
    (void)min_size;
    mut_ref(ctx, blob, -1);
}

static void drop_count(void *ctx, struct str counter_key, unsigned i, int64_t delta)
{
    (void)counter_key; /* those of the one shard */
    struct mut *m = ctx;
    m->count[i] -= delta;
}

static err kill(struct mut *m, void *arg)
{
    (void)arg;
    struct key k;
    struct str value;
    struct guard g = {.deleted = false};
    key_of_space(&k, m->bucket, KEY_GUARD);
    idx_txn_check(m->t, key_str(&k));
    err e = idx_get(m->o->idx, m->a, key_str(&k), &value, NULL);
    if (!e) e = guard_decode(value, &g);
    m->nothing = e == ERR_NOT_FOUND || (!e && g.deleted);
    g.deleted = m->gives_back = true;
    mut_put(m, &k, guard_encode(m->a, &g));
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err purge_some(struct mut *m, void *arg)
{
    bool *more = arg;
    struct key lo, hi;
    struct batch *b = ARENA_NEW(m->a, struct batch);
    if (!b) return ERR_NO_MEMORY;
    b->a = m->a;
    key_of_space(&lo, m->bucket, 0);
    key_of_space(&hi, m->bucket, (char)0x7f);
    struct idx_range r = {.lo = key_str(&lo), .hi = key_str(&hi)};
    err e = idx_scan(m->o->idx, &r, gather, b);
    for (unsigned i = 0; !e && i < b->n; i++) {
        idx_txn_check(m->t, b->key[i]);
        idx_txn_del(m->t, b->key[i]);
        if (!objects_check_entry(NULL, b->key[i], b->value[i], drop_ref, drop_count, m)) e = ERR_CORRUPT;
    }
    *more = b->n > 0;
    m->nothing = b->n == 0;
    return e;
}

static err drop_last(struct mut *m, void *arg)
{
    (void)arg;
    struct key k;
    key_of_space(&k, m->bucket, KEY_COUNTERS);
    idx_txn_del(m->t, key_str(&k));
    key_of_space(&k, m->bucket, KEY_GUARD);
    idx_txn_del(m->t, key_str(&k));
    return ERR_OK;
}

static err drop_draft(struct mut *m, void *arg)
{
    struct key k;
    key_of_draft(&k, *(uint64_t *)arg);
    idx_txn_del(m->t, key_str(&k));
    return ERR_OK;
}

err bucket_purge(struct objects *o, uint64_t id)
{
    bool more = true;
    err e = mut_run_shard(o, id, kill, NULL, NULL);
    while (!e && more) e = mut_run_shard(o, id, purge_some, &more, NULL);
    if (!e) e = mut_run_shard(o, id, drop_last, NULL, NULL);
    return e ? e : mut_run_shard(o, 0, drop_draft, &id, NULL);
}

static err mark_for_purge(struct mut *m, void *arg)
{
    struct key k;
    struct str value;
    key_of_draft(&k, *(uint64_t *)arg);
    idx_txn_check(m->t, key_str(&k));
    err e = idx_get(m->o->idx, m->a, key_str(&k), &value, NULL);
    if (e) return e;
    m->gives_back = true;
    mut_put(m, &k, draft_encode(m->a, DRAFT_PURGE));
    return ERR_OK;
}

/* The draft must still be there: once it went, the id belongs to a living bucket. */
void bucket_discard(struct objects *o, uint64_t id)
{
    if (mut_run_shard(o, 0, mark_for_purge, &id, NULL) == ERR_OK) bucket_purge(o, id);
}
