#include "store/resolver.h"
#include "sys/sys.h"

#include <xxhash.h>

/* With 64 writers between a read and its commit, one in 2,048 commits meets a foreign key and reads again. */
#define SLOTS (1u << 17)

struct resolver {
    uint64_t seed; /* so that nobody can choose keys that share a slot */
    uint64_t last[SLOTS];
};

struct resolver *resolver_new(void)
{
    struct resolver *r = calloc(1, sizeof *r);
    if (r) sys->random(&r->seed, sizeof r->seed);
    return r;
}

void resolver_free(struct resolver *r)
{
    free(r);
}

static size_t slot(const struct resolver *r, struct str key)
{
    return XXH3_64bits_withSeed(key.p, key.n, r->seed) % SLOTS;
}

void resolver_note(struct resolver *r, struct str key, uint64_t seq)
{
    r->last[slot(r, key)] = seq;
}

void resolver_take_back(struct resolver *r, uint64_t first)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (r->last[i] >= first) r->last[i] = first - 1;
}

bool resolver_conflicts(const struct resolver *r, struct str key, uint64_t read_seq)
{
    return r->last[slot(r, key)] > read_seq;
}
