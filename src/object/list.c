/* ListObjects: one scan of the current records at one snapshot, which seeks past each common prefix. The
 * scan's callback runs on a worker while the caller waits, and fills the page in the caller's arena. */
#include "base/log.h"
#include "object/list_int.h"

#define SKIPPED_MAX 100000u /* delete markers passed before a page that has something is cut short */

bool list_group(struct str key, struct str prefix, struct str delimiter, struct str *group)
{
    size_t at;
    if (delimiter.n == 0 || !str_find(str_slice(key, prefix.n, key.n), delimiter, &at)) return false;
    *group = str_slice(key, 0, prefix.n + at + delimiter.n);
    return true;
}

bool list_range(uint64_t bucket, char space, const struct obj_list_in *in, struct key *lo, struct key *hi)
{
    struct key after;
    key_of(lo, bucket, space, in->prefix);
    *hi = *lo;
    if (!key_beyond(hi)) UNREACHABLE(); /* the space tag is no 0xff */
    if (in->after.n == 0) return true;
    key_of(&after, bucket, space, in->after);
    if (in->after_is_prefix) {
        if (!key_beyond(&after)) UNREACHABLE();
    } else {
        key_add(&after, "\1",
                1); /* keys hold no NUL: the least that can follow, also where NUL ends the key */
    }
    if (str_cmp(key_str(&after), key_str(lo)) > 0) *lo = after;
    return str_cmp(key_str(lo), key_str(hi)) < 0;
}

struct walk {
    const struct obj_list_in *in;
    struct arena *a;
    struct obj_list_out *out;
    struct key seek;
    unsigned skipped;
    err e;
};

static size_t entries(const struct walk *w)
{
    return w->out->n + w->out->nprefixes;
}

static enum idx_step stop(struct walk *w, err e)
{
    w->e = e;
    return IDX_STOP;
}

static enum idx_step add_prefix(struct walk *w, uint64_t shard, struct str group, struct str *seek)
{
    struct str p = arena_dup(w->a, group);
    if (!p.p) return stop(w, ERR_NO_MEMORY);
    w->out->prefixes[w->out->nprefixes++] = p;
    w->out->next_key = p;
    w->out->next_is_prefix = true;
    key_of(&w->seek, shard, KEY_CURRENT, group);
    if (!key_beyond(&w->seek)) UNREACHABLE();
    *seek = key_str(&w->seek);
    return IDX_SEEK;
}

static enum idx_step add_item(struct walk *w, struct str key, struct str value)
{
    struct rec r;
    struct obj_entry *item = &w->out->items[w->out->n];
    err e = rec_decode(value, &r);
    if (!e) e = entry_fill(w->a, key, &r, true, w->out->n ? item - 1 : NULL, item);
    if (e) return stop(w, e);
    w->out->n++;
    w->out->next_key = item->key;
    w->out->next_is_prefix = false;
    return IDX_NEXT;
}

/* A delete marker. Very many in a row end a page that has something already: the next one goes on from here.
 */
static enum idx_step skip(struct walk *w, struct str key)
{
    if (++w->skipped < SKIPPED_MAX || entries(w) == 0) return IDX_NEXT;
    struct str at = arena_dup(w->a, key);
    if (!at.p) return stop(w, ERR_NO_MEMORY);
    w->out->truncated = true;
    w->out->next_key = at;
    w->out->next_is_prefix = false;
    return IDX_STOP;
}

static enum idx_step on_current(void *arg, struct str k, struct str value, uint64_t seq, struct str *seek)
{
    struct walk *w = arg;
    struct str key = key_rest(k), group;
    (void)seq;
    if (rec_kind_of(value) == REC_MARKER) return skip(w, key);
    if (entries(w) == w->in->max) {
        w->out->truncated = true;
        return IDX_STOP;
    }
    if (list_group(key, w->in->prefix, w->in->delimiter, &group))
        return add_prefix(w, get_be64(k.p), group, seek);
    return add_item(w, key, value);
}

bool list_possible(const struct obj_list_in *in)
{
    return in->max > 0 && in->prefix.n <= OBJ_KEY_MAX &&
           !(in->prefix.n && memchr(in->prefix.p, 0, in->prefix.n));
}

/* What a client says may be any bytes; beyond every key it means the same as its first part. */
struct obj_list_in list_bounded(const struct obj_list_in *in)
{
    struct obj_list_in b = *in;
    if (b.max > LIST_MAX) b.max = LIST_MAX;
    b.after = str_slice(b.after, 0, OBJ_KEY_MAX + 1);
    return b;
}

static err list_current(struct objects *o, struct arena *a, uint64_t bucket, const struct obj_list_in *in,
                        struct obj_list_out *out)
{
    struct key lo, hi;
    struct obj_list_in bounded = list_bounded(in);
    struct walk w = {.in = &bounded, .a = a, .out = out};
    if (!list_range(bucket, KEY_CURRENT, &bounded, &lo, &hi)) return ERR_OK;
    out->items = arena_alloc_raw(a, bounded.max * sizeof *out->items);
    if (in->delimiter.n) out->prefixes = arena_alloc_raw(a, bounded.max * sizeof *out->prefixes);
    if (!out->items || (in->delimiter.n && !out->prefixes)) return ERR_NO_MEMORY;
    struct idx_range r = {.lo = key_str(&lo), .hi = key_str(&hi)};
    err e = idx_scan(o->idx, &r, on_current, &w);
    return e ? e : w.e;
}

err obj_list(struct objects *o, struct arena *a, const struct obj_list_in *in, struct obj_list_out *out)
{
    struct bref b;
    *out = (struct obj_list_out){0};
    err e = bucket_find(o, in->bucket, &b);
    if (e || !list_possible(in)) return e;
    e = in->versions ? list_versions(o, a, b.id, in, out) : list_current(o, a, b.id, in, out);
    if (e == ERR_CORRUPT || e == ERR_UNSUPPORTED_FORMAT)
        LOG_ERROR("a listing met a record that it cannot read", LF_Z("error", err_name(e)),
                  LF_S("bucket", in->bucket), LF_S("next-key-after", out->next_key));
    return e;
}
