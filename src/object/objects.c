/* The subsystem: what all calls share. */
#include "base/bytes.h"
#include "object/internal.h"
#include "object/sweeper.h"
#include "object/lane.h"

/* The system shard must be readable before anything is served. */
static err read_system(struct objects *o)
{
    struct key k;
    struct str value;
    struct arena *a = arena_new(0);
    if (!a) return ERR_NO_MEMORY;
    key_of_space(&k, 0, KEY_LAST_ID);
    err e = idx_get(o->idx, a, key_str(&k), &value, NULL);
    if (!e && value.n != 8) e = ERR_CORRUPT;
    arena_free(a);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

err objects_new(const struct objects_options *opt, struct objects **out)
{
    struct objects *o = calloc(1, sizeof *o);
    if (!o) return ERR_NO_MEMORY;
    *o = (struct objects){.magic = OBJECTS_MAGIC,
                          .idx = opt->store->idx,
                          .blobs = opt->store->blobs,
                          .min_part_size = opt->min_part_size ? opt->min_part_size : OBJ_PART_MIN_SIZE,
                          .cache = bucket_cache_new(),
                          .mill = mill_new(),
                          .arenas = SPARES_NONE,
                          .lanes = LANES_MAX};
    err e = o->cache && o->mill ? read_system(o) : ERR_NO_MEMORY;
    if (e) {
        objects_free(o);
        return e;
    }
    *out = o;
    return ERR_OK;
}

void objects_free(struct objects *o)
{
    if (!o) return;
    CHECK_MAGIC(o, OBJECTS_MAGIC);
    sweeper_free(o->sweeper);
    bucket_cache_free(o->cache);
    mill_free(o->mill);
    mut_free_spares(o);
    o->magic = 0;
    free(o);
}
