#include "store/tally.h"
#include "base/assert.h"
#include "store/memory_map.h"

struct tally {
    struct tally_blob *blobs; /* open addressing; id 0 is free */
    size_t n, cap;            /* cap: a power of two */
    struct memory_map *counters;
    bool failed;
};

struct tally *tally_new(void)
{
    struct tally *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->cap = 1024;
    t->blobs = calloc(t->cap, sizeof *t->blobs);
    t->counters = memory_map_new();
    if (t->blobs && t->counters) return t;
    tally_free(t);
    return NULL;
}

void tally_free(struct tally *t)
{
    if (!t) return;
    free(t->blobs);
    memory_map_free(t->counters, free);
    free(t);
}

bool tally_failed(const struct tally *t)
{
    return t->failed;
}

static struct tally_blob *slot(struct tally_blob *v, size_t cap, uint64_t id)
{
    size_t i = (size_t)((id * 0x9e3779b97f4a7c15u) >> 20) & (cap - 1);
    while (v[i].id && v[i].id != id) i = (i + 1) & (cap - 1);
    return &v[i];
}

static bool grow(struct tally *t)
{
    struct tally_blob *v = calloc(2 * t->cap, sizeof *v);
    if (!v) return false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->blobs[i].id) *slot(v, 2 * t->cap, t->blobs[i].id) = t->blobs[i];
    free(t->blobs);
    t->blobs = v;
    t->cap *= 2;
    return true;
}

struct tally_blob *tally_find(struct tally *t, uint64_t blob)
{
    struct tally_blob *b = slot(t->blobs, t->cap, blob);
    return b->id ? b : NULL;
}

void tally_ref(struct tally *t, uint64_t blob, uint64_t min_size)
{
    if (blob == 0) return;
    if (3 * t->n >= 2 * t->cap && !grow(t)) {
        t->failed = true;
        return;
    }
    struct tally_blob *b = slot(t->blobs, t->cap, blob);
    t->n += b->id == 0;
    b->id = blob;
    b->refs++;
    if (min_size > b->size) b->size = min_size;
}

void tally_count(struct tally *t, struct str key, unsigned i, int64_t delta)
{
    ASSERT(i < IDX_COUNTERS_MAX);
    struct memory_node *n = memory_map_make(t->counters, key);
    if (n && !n->value) n->value = calloc(1, sizeof(struct tally_counter));
    if (!n || !n->value) {
        t->failed = true;
        return;
    }
    struct tally_counter *c = n->value;
    c->want[i] += delta;
}

void tally_each_blob(struct tally *t, void (*fn)(void *arg, struct tally_blob *b), void *arg)
{
    for (size_t i = 0; i < t->cap; i++)
        if (t->blobs[i].id) fn(arg, &t->blobs[i]);
}

void tally_each_counter(struct tally *t, void (*fn)(void *arg, struct str key, const struct tally_counter *c),
                        void *arg)
{
    for (struct memory_node *n = memory_map_seek(t->counters, STR("")); n; n = memory_node_next(n))
        if (n->value) fn(arg, n->key, n->value);
}
