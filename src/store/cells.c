#include "store/cells.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "store/park.h"

#include <xxhash.h>

#define BUCKETS  65536u
#define IDLE_MAX 32768u /* cells that stay although nobody pins them: some 300 bytes each */
/* Memory of cells that is kept for the next ones: the allocator has locks of its own, and who frees a cell is
 * seldom who made it. */
#define SPARE_MAX 1024u
#define SPARE_KEY 64u

struct cells {
    struct rt_latch lock;
    struct view *view;
    void (*free_places)(void *arg, const struct blob_places *p);
    void *arg;
    struct list idle, dead;
    size_t nidle, nspare;
    struct cell *spare; /* with room for SPARE_KEY bytes */
    struct cell *buckets[BUCKETS];
};

struct cells *cells_new(struct view *v, void (*free_places)(void *arg, const struct blob_places *p),
                        void *arg)
{
    struct cells *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->view = v;
    t->free_places = free_places;
    t->arg = arg;
    list_init(&t->idle);
    list_init(&t->dead);
    return t;
}

void cells_lock(struct cells *t)
{
    rt_latch_lock(&t->lock);
}

void cells_unlock(struct cells *t)
{
    rt_latch_unlock(&t->lock);
}

void blob_places_drop(struct blob_places *p)
{
    if (p && __atomic_sub_fetch(&p->users, 1, __ATOMIC_ACQ_REL) == 0) free(p);
}

void cells_free(struct cells *t)
{
    if (!t) return;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct cell *c = t->buckets[i], *next; c; c = next) {
            next = c->chain;
            blob_places_drop(c->blob.places);
            free(c);
        }
    for (struct cell *c = t->spare, *next; c; c = next) {
        next = c->chain;
        free(c);
    }
    free(t);
}

static struct cell **slot_of(struct cells *t, uint64_t hash)
{
    return &t->buckets[hash % BUCKETS];
}

static struct cell *lookup(struct cells *t, struct str key, uint64_t hash)
{
    for (struct cell *c = *slot_of(t, hash); c; c = c->chain)
        if (c->hash == hash && str_eq(cell_key(c), key)) return c;
    return NULL;
}

static void unlink_cell(struct cells *t, struct cell *c)
{
    struct cell **at = slot_of(t, c->hash);
    while (*at != c) at = &(*at)->chain;
    *at = c->chain;
}

static void pin(struct cells *t, struct cell *c)
{
    if (c->pins++ > 0) return;
    list_remove(&c->lru);
    t->nidle--;
}

/* Pinned once. */
static void cell_init(struct cell *c, struct str key, uint64_t hash, enum cell_kind kind)
{
    *c = (struct cell){0};
    memcpy(c->key, key.p, key.n);
    c->key_len = key.n;
    c->hash = hash;
    c->kind = kind;
    c->pins = 1;
    list_init(&c->lru);
    list_init(&c->waiters);
    list_init(&c->dead);
}

static struct cell *take_spare(struct cells *t, struct str key)
{
    struct cell *c = key.n <= SPARE_KEY ? t->spare : NULL;
    if (!c) return NULL;
    t->spare = c->chain;
    t->nspare--;
    return c;
}

static bool keep_spare(struct cells *t, struct cell *c)
{
    if (c->key_len > SPARE_KEY || t->nspare >= SPARE_MAX) return false;
    c->chain = t->spare;
    t->spare = c;
    t->nspare++;
    return true;
}

/* The cell of a key, pinned; *made: it was not there. Lets the lock go to allocate. NULL: no memory. */
static struct cell *find_or_make(struct cells *t, struct str key, uint64_t hash, enum cell_kind kind,
                                 bool *made)
{
    struct cell *c = lookup(t, key, hash), *fresh = c ? NULL : take_spare(t, key);
    if (!c && !fresh) {
        cells_unlock(t);
        fresh = malloc(sizeof *fresh + (key.n > SPARE_KEY ? key.n : SPARE_KEY));
        cells_lock(t);
        c = lookup(t, key, hash); /* another may have been faster */
    }
    *made = !c && fresh;
    if (*made) {
        cell_init(fresh, key, hash, kind);
        fresh->chain = *slot_of(t, hash);
        return *slot_of(t, hash) = fresh;
    }
    free(fresh);
    if (c) pin(t, c);
    ASSERT(!c || c->kind == kind);
    return c;
}

void cell_set_counters(struct cell *c, struct str value)
{
    size_t n = value.n / 8;
    c->n = n > IDX_COUNTERS_MAX ? IDX_COUNTERS_MAX : (unsigned)n;
    for (unsigned i = 0; i < c->n; i++) c->v[i] = (int64_t)get_le64(value.p + 8 * i);
}

/* The cell is ours while it is loading, except that a commit may settle it first. */
static void load(struct cells *t, struct cell *c)
{
    struct view_pin value = {.value = STR_NONE};
    struct blob_entry blob = {0};
    err e = view_get(t->view, cell_key(c), &value);
    bool present = e == ERR_OK;
    if (e == ERR_NOT_FOUND) e = ERR_OK;
    if (present && c->kind == CELL_BLOB) {
        blob.id = get_be64(c->key + c->key_len - 8);
        e = blob_entry_decode(value.value, &blob);
    }
    struct list waiters;
    list_init(&waiters);
    cells_lock(t);
    if (!c->settled) {
        c->present = present;
        c->error = e;
        if (c->kind == CELL_BLOB)
            c->blob = blob;
        else if (present)
            cell_set_counters(c, value.value);
    }
    c->loading = false;
    for (struct list *w; (w = list_pop(&c->waiters));) list_append(&waiters, w);
    cells_unlock(t);
    view_unpin(&value);
    for (struct list *w; (w = list_pop(&waiters));) park_wake(CONTAINER(w, struct park, link));
}

err cells_pin(struct cells *t, struct str key, enum cell_kind kind, struct cell **out)
{
    uint64_t hash = XXH3_64bits(key.p, key.n);
    struct park park;
    bool mine, wait = false;
    cells_lock(t);
    struct cell *c = find_or_make(t, key, hash, kind, &mine);
    if (mine) {
        c->loading = true;
    } else if (c && c->loading) {
        wait = true;
        park_init(&park);
        list_append(&c->waiters, &park.link);
    }
    cells_unlock(t);
    if (!c) return ERR_NO_MEMORY;
    if (mine) load(t, c);
    if (wait) park_wait(&park);
    err e = c->error;
    if (e)
        cells_unpin(t, c);
    else
        *out = c;
    return e;
}

struct cell *cells_make(struct cells *t, struct str key, enum cell_kind kind)
{
    uint64_t hash = XXH3_64bits(key.p, key.n);
    bool made; /* else someone asked for it before it existed */
    cells_lock(t);
    struct cell *c = find_or_make(t, key, hash, kind, &made);
    if (c) {
        ASSERT(!c->present && !c->dead_seq);
        c->present = c->settled = true;
    }
    cells_unlock(t);
    return c;
}

struct cell *cells_find(struct cells *t, struct str key)
{
    cells_lock(t);
    struct cell *c = lookup(t, key, XXH3_64bits(key.p, key.n));
    if (c) pin(t, c);
    cells_unlock(t);
    return c;
}

/* With the lock held: an unpinned cell goes or waits in the list of idle ones. Returns what has gone. */
static struct cell *retire(struct cells *t, struct cell *c)
{
    struct cell *gone = c;
    if (c->present && !c->error) {
        list_append(&t->idle, &c->lru);
        if (++t->nidle <= IDLE_MAX) return NULL;
        gone = CONTAINER(list_pop(&t->idle), struct cell, lru);
        t->nidle--;
    }
    unlink_cell(t, gone);
    return gone;
}

void cells_unpin(struct cells *t, struct cell *c)
{
    struct blob_places *freed = NULL, *places = NULL;
    struct cell *gone = NULL;
    cells_lock(t);
    ASSERT(c->pins > 0);
    if (--c->pins == 0) {
        if (c->dead_seq) {
            list_remove(&c->dead);
            freed = c->blob.places;
            c->blob.places = NULL;
        }
        gone = retire(t, c);
        if (gone) places = gone->blob.places;
        if (gone && keep_spare(t, gone)) gone = NULL;
    }
    cells_unlock(t);
    free(gone);
    blob_places_drop(places);
    if (freed) t->free_places(t->arg, freed);
    blob_places_drop(freed);
}

void cells_note_dead(struct cells *t, struct cell *c, uint64_t seq)
{
    c->present = false;
    c->dead_seq = seq;
    list_append(&t->dead, &c->dead);
}

void cells_revive(struct cell *c)
{
    c->dead_seq = 0;
    list_remove(&c->dead);
}

void cells_each_dead(struct cells *t, void (*fn)(void *arg, const struct cell *c), void *arg)
{
    LIST_EACH(it, &t->dead) fn(arg, CONTAINER(it, struct cell, dead));
}
