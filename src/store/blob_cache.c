#include "store/blob_cache.h"
#include "rt/rt.h"

#define BUCKETS 8192u

struct blob_cache {
    struct rt_latch lock;
    size_t max, bytes;
    uint64_t hits, misses;
    struct list lru; /* least recently used first */
    struct small_body *buckets[BUCKETS];
};

struct small_body *small_body_new(uint64_t id, size_t cap)
{
    struct small_body *b = malloc(sizeof *b + cap);
    if (!b) return NULL;
    *b = (struct small_body){.users = 1, .id = id, .cap = cap, .p = b->first};
    list_init(&b->lru);
    return b;
}

bool small_body_grow(struct small_body *b, size_t cap)
{
    if (cap <= b->cap) return true;
    bool first = b->p == b->first;
    char *p = realloc(first ? NULL : b->p, cap);
    if (!p) return false;
    if (first) memcpy(p, b->first, b->n);
    b->p = p;
    b->cap = cap;
    return true;
}

void small_body_drop(struct small_body *b)
{
    if (!b || __atomic_sub_fetch(&b->users, 1, __ATOMIC_ACQ_REL) > 0) return;
    if (b->p != b->first) free(b->p);
    free(b);
}

struct blob_cache *blob_cache_new(size_t bytes)
{
    struct blob_cache *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->max = bytes;
    list_init(&c->lru);
    return c;
}

static size_t weight(const struct small_body *b)
{
    return b->cap + sizeof *b;
}

static struct small_body **find(struct blob_cache *c, uint64_t id)
{
    /* Ids are dense within an opening: their low bits spread by themselves. */
    struct small_body **at = &c->buckets[id % BUCKETS];
    while (*at && (*at)->id != id) at = &(*at)->chain;
    return at;
}

/* With the lock held: out of the cache; the cache's use is the caller's to drop. */
static struct small_body *take(struct blob_cache *c, struct small_body **at)
{
    struct small_body *b = *at;
    *at = b->chain;
    list_remove(&b->lru);
    c->bytes -= weight(b);
    return b;
}

void blob_cache_free(struct blob_cache *c)
{
    if (!c) return;
    while (!list_empty(&c->lru)) {
        struct small_body *b = CONTAINER(c->lru.next, struct small_body, lru);
        small_body_drop(take(c, find(c, b->id)));
    }
    free(c);
}

struct small_body *blob_cache_get(struct blob_cache *c, uint64_t id)
{
    rt_latch_lock(&c->lock);
    struct small_body *b = *find(c, id);
    if (b) {
        c->hits++;
        __atomic_add_fetch(&b->users, 1, __ATOMIC_RELAXED);
        list_remove(&b->lru);
        list_append(&c->lru, &b->lru);
    } else {
        c->misses++;
    }
    rt_latch_unlock(&c->lock);
    return b;
}

void blob_cache_put(struct blob_cache *c, struct small_body *b)
{
    if (weight(b) > c->max) return;
    struct small_body *out[64];
    unsigned n = 0;
    rt_latch_lock(&c->lock);
    struct small_body **at = find(c, b->id);
    if (!*at) {
        __atomic_add_fetch(&b->users, 1, __ATOMIC_RELAXED);
        b->chain = NULL;
        *at = b;
        list_append(&c->lru, &b->lru);
        c->bytes += weight(b);
    }
    while (c->bytes > c->max && n < sizeof out / sizeof *out) {
        struct small_body *oldest = CONTAINER(c->lru.next, struct small_body, lru);
        out[n++] = take(c, find(c, oldest->id));
    }
    rt_latch_unlock(&c->lock);
    while (n > 0) small_body_drop(out[--n]);
}

void blob_cache_remove(struct blob_cache *c, uint64_t id)
{
    rt_latch_lock(&c->lock);
    struct small_body **at = find(c, id);
    struct small_body *b = *at ? take(c, at) : NULL;
    rt_latch_unlock(&c->lock);
    small_body_drop(b);
}

void blob_cache_get_stats(struct blob_cache *c, struct blob_cache_stats *out)
{
    rt_latch_lock(&c->lock);
    *out = (struct blob_cache_stats){c->bytes, c->hits, c->misses};
    rt_latch_unlock(&c->lock);
}
