/* ListBuckets: the names of the system shard, in order. */
#include "object/internal.h"

struct walk {
    const struct bucket_list_in *in;
    struct arena *a;
    struct bucket_list_out *out;
    size_t max;
    err e;
};

static enum idx_step on_name(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    (void)seq;
    (void)seek;
    struct walk *w = arg;
    struct bucket_rec b;
    w->e = bucket_rec_decode(value, &b);
    if (w->e) return IDX_STOP;
    if (w->in->owner.n && !str_eq(w->in->owner, b.owner)) return IDX_NEXT;
    if (w->in->region.n && !str_eq(w->in->region, b.region)) return IDX_NEXT;
    if (w->out->n == w->max) {
        w->out->truncated = true;
        return IDX_STOP;
    }
    w->out->buckets[w->out->n++] = (struct bucket_info){.name = arena_dup(w->a, key_rest(key)),
                                                        .id = b.id,
                                                        .owner = arena_dup(w->a, b.owner),
                                                        .region = arena_dup(w->a, b.region),
                                                        .created_ms = b.created_ms};
    return IDX_NEXT;
}

/* Names whose bucket is dead (a deletion that a crash cut short) do not exist. The last name stays where it
 * is, for it is the continuation. */
static void drop_dead(struct objects *o, struct bucket_list_out *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < out->n; i++) {
        struct bref b;
        bool last = out->truncated && i + 1 == out->n;
        if (!last && bucket_find(o, out->buckets[i].name, &b) == ERR_NO_SUCH_BUCKET) continue;
        out->buckets[kept++] = out->buckets[i];
    }
    out->n = kept;
}

err bucket_list(struct objects *o, struct arena *a, const struct bucket_list_in *in,
                struct bucket_list_out *out)
{
    CHECK_MAGIC(o, OBJECTS_MAGIC);
    *out = (struct bucket_list_out){0};
    if (in->max == 0 || in->prefix.n > IDX_KEY_MAX / 2 || in->after.n > IDX_KEY_MAX / 2) return ERR_OK;
    struct key lo, hi, after;
    key_of(&lo, 0, KEY_NAME, in->prefix);
    hi = lo;
    if (!key_beyond(&hi)) UNREACHABLE(); /* the space tag is no 0xff */
    key_of(&after, 0, KEY_NAME, in->after);
    key_add(&after, "", 1);
    bool later = in->after.n > 0 && str_cmp(key_str(&after), key_str(&lo)) > 0;
    struct idx_range r = {.lo = later ? key_str(&after) : key_str(&lo), .hi = key_str(&hi)};
    struct walk w = {.in = in, .a = a, .out = out, .max = in->max};
    out->buckets = arena_alloc_raw(a, w.max * sizeof *out->buckets);
    if (!out->buckets) return ERR_NO_MEMORY;
    err e = idx_scan(o->idx, &r, on_name, &w);
    if (!e) e = w.e;
    if (!e && arena_overflowed(a)) e = ERR_NO_MEMORY;
    if (!e) drop_dead(o, out);
    return e;
}
