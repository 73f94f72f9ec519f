/* Buckets by name. Every request needs one, so what a name means is kept in memory: id and versioning,
 * nothing that changes often. Changes go through this process: each calls bucket_forget after its commit and
 * before its answer. A reader that looked before the commit and would store after the forget is stopped by
 * the generation. */
#include "object/internal.h"
#include "base/log.h"

#include <xxhash.h>

#define SLOTS       1024u /* power of two */
#define ENTRIES_MAX 4096u /* beyond, the cache starts anew */
#define NAME_MAX    63

struct entry {
    struct entry *next;
    struct bref ref;
    uint8_t n;
    char name[NAME_MAX];
};

struct bucket_cache {
    struct rt_latch lock; /* held for a look-up or a change */
    uint64_t generation;
    unsigned n;
    struct entry *slots[SLOTS];
};

struct bucket_cache *bucket_cache_new(void)
{
    return calloc(1, sizeof(struct bucket_cache));
}

static void clear(struct bucket_cache *c)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        for (struct entry *e; (e = c->slots[i]) != NULL;) {
            c->slots[i] = e->next;
            free(e);
        }
    }
    c->n = 0;
}

void bucket_cache_free(struct bucket_cache *c)
{
    if (!c) return;
    clear(c);
    free(c);
}

static struct entry **slot_of(struct bucket_cache *c, struct str name)
{
    struct entry **at = &c->slots[XXH3_64bits(name.p, name.n) & (SLOTS - 1)];
    while (*at && !str_eq(str_of((*at)->name, (*at)->n), name)) at = &(*at)->next;
    return at;
}

static bool look(struct bucket_cache *c, struct str name, struct bref *out, uint64_t *generation)
{
    rt_latch_lock(&c->lock);
    const struct entry *e = *slot_of(c, name);
    if (e) *out = e->ref;
    *generation = c->generation;
    rt_latch_unlock(&c->lock);
    return e != NULL;
}

static void keep(struct bucket_cache *c, struct str name, const struct bref *ref, uint64_t generation)
{
    if (name.n > NAME_MAX) return;
    rt_latch_lock(&c->lock);
    if (c->generation == generation) {
        if (c->n >= ENTRIES_MAX) clear(c);
        struct entry **at = slot_of(c, name);
        if (!*at && (*at = calloc(1, sizeof **at)) != NULL) {
            memcpy((*at)->name, name.p, name.n);
            (*at)->n = (uint8_t)name.n;
            c->n++;
        }
        if (*at) (*at)->ref = *ref;
    }
    rt_latch_unlock(&c->lock);
}

void bucket_forget(struct objects *o, struct str name)
{
    struct bucket_cache *c = o->cache;
    rt_latch_lock(&c->lock);
    c->generation++;
    struct entry **at = slot_of(c, name), *e = *at;
    if (e) {
        *at = e->next;
        free(e);
        c->n--;
    }
    rt_latch_unlock(&c->lock);
}

/* A name without a guard. Deletion drops the name before the guard, so with the name still there this is
 * damage: what lies in the shard is not known to be dead, and nobody may empty it. */
static err without_guard(struct objects *o, struct arena *a, const struct key *name, struct bucket_rec *out)
{
    struct str value;
    struct bucket_rec now;
    err e = idx_get(o->idx, a, key_str(name), &value, NULL);
    if (!e) e = bucket_rec_decode(value, &now);
    if (e && e != ERR_NOT_FOUND) return e;
    if (!e && now.id == out->id) {
        LOG_ERROR("the state of a bucket is missing", LF_S("bucket", key_rest(key_str(name))),
                  LF_U("bucket-id", out->id));
        return ERR_CORRUPT;
    }
    out->id = 0; /* deleted between our two reads */
    return ERR_NO_SUCH_BUCKET;
}

err bucket_read(struct objects *o, struct arena *a, struct str name, struct bucket_rec *out, struct guard *g)
{
    struct key k, gk;
    struct str value;
    struct guard guard;
    *out = (struct bucket_rec){0};
    if (!bucket_name_valid(name)) return ERR_NO_SUCH_BUCKET;
    key_of(&k, 0, KEY_NAME, name);
    err e = idx_get(o->idx, a, key_str(&k), &value, NULL);
    if (e == ERR_NOT_FOUND) return ERR_NO_SUCH_BUCKET;
    if (!e) e = bucket_rec_decode(value, out);
    if (e) return e;
    key_of_space(&gk, out->id, KEY_GUARD);
    e = idx_get(o->idx, a, key_str(&gk), &value, NULL);
    if (e == ERR_NOT_FOUND) return without_guard(o, a, &k, out);
    if (!e) e = guard_decode(value, &guard);
    if (!e && guard.deleted) return ERR_NO_SUCH_BUCKET;
    if (!e && g) *g = guard;
    return e;
}

err bucket_find(struct objects *o, struct str name, struct bref *out)
{
    uint64_t generation;
    CHECK_MAGIC(o, OBJECTS_MAGIC);
    if (look(o->cache, name, out, &generation)) return ERR_OK;
    struct bucket_rec b;
    struct guard g;
    struct arena *a = arena_new(0);
    if (!a) return ERR_NO_MEMORY;
    err e = bucket_read(o, a, name, &b, &g);
    arena_free(a);
    if (e) return e;
    *out = (struct bref){.id = b.id, .versioning = g.versioning};
    keep(o->cache, name, out, generation);
    return ERR_OK;
}
