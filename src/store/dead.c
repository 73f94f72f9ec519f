#include "store/dead.h"
#include "base/assert.h"

void dead_bound(struct dead_range *r, bool hi, struct str key)
{
    ASSERT(key.n <= IDX_KEY_MAX);
    memcpy(hi ? r->hi.p : r->lo.p, key.p, key.n);
    *(hi ? &r->hi.n : &r->lo.n) = key.n;
}

/* The range of that prefix; a new one takes the place of the least when all are taken. */
static struct dead_range *range_of(struct dead *d, struct str key)
{
    struct dead_range *least = &d->r[0];
    for (unsigned i = 0; i < d->n; i++) {
        if (memcmp(d->r[i].lo.p, key.p, DEAD_PREFIX) == 0) return &d->r[i];
        if (d->r[i].count < least->count) least = &d->r[i];
    }
    if (d->n < DEAD_RANGES) least = &d->r[d->n++];
    least->count = least->look = 0;
    dead_bound(least, false, key);
    dead_bound(least, true, key);
    return least;
}

static void widen(struct dead_range *r, struct str lo, struct str hi)
{
    if (str_cmp(lo, str_of(r->lo.p, r->lo.n)) < 0) dead_bound(r, false, lo);
    if (str_cmp(hi, str_of(r->hi.p, r->hi.n)) > 0) dead_bound(r, true, hi);
}

/* The engine's own shard is never listed, and every overwrite deletes there. */
static bool listed(struct str key)
{
    return key.n >= DEAD_PREFIX && memcmp(key.p, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) != 0;
}

void dead_add(struct dead *d, struct str key)
{
    if (!listed(key)) return;
    struct dead_range *r = range_of(d, key);
    widen(r, key, key);
    r->count++;
}

void dead_merge(struct dead *d, struct dead *from)
{
    for (unsigned i = 0; i < from->n; i++) {
        const struct dead_range *f = &from->r[i];
        struct str lo = str_of((char *)(uintptr_t)f->lo.p, f->lo.n);
        struct dead_range *r = range_of(d, lo);
        widen(r, lo, str_of((char *)(uintptr_t)f->hi.p, f->hi.n));
        r->count += f->count;
    }
    from->n = 0;
}
