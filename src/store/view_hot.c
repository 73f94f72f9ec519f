#include "store/view_hot.h"
#include "base/assert.h"
#include "rt/rt.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS 512u /* power of two; 76 KiB in all */

struct slot {
    struct rt_latch latch;
    uint64_t writes; /* of any key that falls here */
    uint64_t hash;
    unsigned key_n; /* 0: empty */
    char key[IDX_HOT_KEY_MAX];
    struct hot_value value;
};

struct view_hot {
    struct slot slots[SLOTS];
};

struct view_hot *view_hot_new(void)
{
    return calloc(1, sizeof(struct view_hot));
}

void view_hot_free(struct view_hot *h)
{
    free(h);
}

static uint64_t hash_of(struct str key)
{
    return XXH3_64bits(key.p, key.n);
}

static struct slot *slot_of(struct view_hot *h, uint64_t hash)
{
    return &h->slots[hash & (SLOTS - 1)];
}

bool view_hot_get(struct view_hot *h, struct str key, struct hot_value *out, uint64_t *ticket)
{
    ASSERT(key.n > 0 && key.n <= IDX_HOT_KEY_MAX);
    struct slot *s = slot_of(h, hash_of(key));
    rt_latch_lock(&s->latch);
    bool found = str_eq(str_of(s->key, s->key_n), key);
    if (found) *out = s->value;
    *ticket = s->writes;
    rt_latch_unlock(&s->latch);
    return found;
}

void view_hot_keep(struct view_hot *h, struct str key, struct str value, uint64_t seq, uint64_t ticket)
{
    if (value.n > HOT_VALUE_MAX) return;
    uint64_t hash = hash_of(key);
    struct slot *s = slot_of(h, hash);
    rt_latch_lock(&s->latch);
    if (s->writes == ticket) {
        s->hash = hash;
        memcpy(s->key, key.p, key.n);
        s->key_n = (unsigned)key.n;
        s->value.seq = seq;
        s->value.n = (unsigned)value.n;
        if (value.n) memcpy(s->value.p, value.p, value.n);
    }
    rt_latch_unlock(&s->latch);
}

err view_hot_read(struct view_hot *h, struct view *v, struct arena *a, struct str key, struct str *value,
                  uint64_t *seq)
{
    struct hot_value hot;
    struct view_pin pin = {.value = STR_NONE};
    uint64_t ticket;
    bool known = view_hot_get(h, key, &hot, &ticket);
    err e = known ? ERR_OK : view_get(v, key, &pin);
    if (e) return e;
    if (!known) view_hot_keep(h, key, pin.value, pin.seq, ticket);
    *value = arena_dup(a, known ? str_of(hot.p, hot.n) : pin.value);
    *seq = known ? hot.seq : pin.seq;
    view_unpin(&pin);
    return value->p ? ERR_OK : ERR_NO_MEMORY;
}

/* Another key's value stays, but whoever looks for it now does not keep what it finds. */
static void forget(struct slot *s, uint64_t hash)
{
    rt_latch_lock(&s->latch);
    s->writes++;
    if (s->hash == hash) s->key_n = 0;
    rt_latch_unlock(&s->latch);
}

static void forget_all(struct view_hot *h)
{
    for (struct slot *s = h->slots; s < h->slots + SLOTS; s++) forget(s, s->hash);
}

/* Most batches write a few of them, such as counters, many times. */
void hot_keys_add(struct hot_keys *k, struct str key)
{
    if (key.n > IDX_HOT_KEY_MAX || k->many) return;
    uint64_t hash = hash_of(key);
    for (unsigned i = 0; i < k->n; i++)
        if (k->hash[i] == hash) return;
    if (k->n < sizeof k->hash / sizeof *k->hash)
        k->hash[k->n++] = hash;
    else
        k->many = true;
}

void view_hot_written(struct view_hot *h, const struct hot_keys *k)
{
    if (k->many)
        forget_all(h);
    else
        for (unsigned i = 0; i < k->n; i++) forget(slot_of(h, k->hash[i]), k->hash[i]);
}
