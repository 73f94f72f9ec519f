/* ListObjectVersions: current and noncurrent records live in two ranges of one shard. One scan at one
 * snapshot walks as many current records as the page can need, then seeks to the noncurrent ones of those
 * keys, and weaves them in. Each key's versions come newest first: the current one, then the others as they
 * are stored. */
#include "object/list_int.h"

struct group { /* a key with its versions, or a common prefix */
    struct str key;
    bool prefix;
    bool resumed;     /* its current version was on an earlier page */
    struct str value; /* current record */
};

struct walk {
    struct obj_list_in in;
    struct arena *a;
    struct obj_list_out *out;
    uint64_t shard;
    struct group *groups; /* wanted of them, or fewer and then all there are */
    size_t ngroups, wanted;
    size_t g;         /* group being emitted */
    bool opened;      /* its current version or prefix is on the page */
    struct key from;  /* where the current records start */
    struct key vfrom; /* where the noncurrent ones do */
    struct key seek;
    bool full;
    err e;
};

static enum idx_step stop(struct walk *w, err e)
{
    w->e = e;
    return IDX_STOP;
}

/* ---- first: current records ---- */

static enum idx_step seek_to(struct walk *w, char space, struct str rest, struct str *seek)
{
    key_of(&w->seek, w->shard, space, rest);
    if (!key_beyond(&w->seek)) UNREACHABLE();
    *seek = key_str(&w->seek);
    return IDX_SEEK;
}

static enum idx_step gather(struct walk *w, struct str key, struct str value, struct str *seek)
{
    struct str group;
    struct group *g = &w->groups[w->ngroups];
    *g = (struct group){.prefix = list_group(key, w->in.prefix, w->in.delimiter, &group)};
    g->key = arena_dup(w->a, g->prefix ? group : key);
    if (!g->prefix) g->value = arena_dup(w->a, value);
    if (!g->key.p || (!g->prefix && !g->value.p)) return stop(w, ERR_NO_MEMORY);
    w->ngroups++;
    return g->prefix ? seek_to(w, KEY_CURRENT, group, seek) : IDX_NEXT;
}

/* ---- then: the page, in order ---- */

static bool take_place(struct walk *w)
{
    if (w->out->n + w->out->nprefixes < w->in.max) return true;
    w->out->truncated = true;
    w->full = true;
    return false;
}

static bool emit_version(struct walk *w, struct str key, struct str value, bool current)
{
    struct rec r;
    if (!take_place(w)) return false;
    struct obj_entry *item = &w->out->items[w->out->n];
    w->e = rec_decode(value, &r);
    if (!w->e) w->e = entry_fill(w->a, key, &r, current, w->out->n ? item - 1 : NULL, item);
    if (w->e) return false;
    item->version_id = version_text(w->a, &r);
    w->out->n++;
    w->out->next_key = item->key;
    w->out->next_version = item->version_id;
    w->out->next_is_prefix = false;
    return true;
}

static bool emit_prefix(struct walk *w, const struct group *g)
{
    if (!take_place(w)) return false;
    w->out->prefixes[w->out->nprefixes++] = g->key;
    w->out->next_key = g->key;
    w->out->next_version = STR_NONE;
    w->out->next_is_prefix = true;
    return true;
}

/* Put the present group's first line on the page, if it is not there yet. */
static bool open_group(struct walk *w)
{
    const struct group *g = &w->groups[w->g];
    if (w->opened || g->resumed) return true;
    w->opened = true;
    return g->prefix ? emit_prefix(w, g) : emit_version(w, g->key, g->value, true);
}

/* All groups that come before key, whole. */
static bool advance_to(struct walk *w, struct str key)
{
    while (w->g < w->ngroups) {
        const struct group *g = &w->groups[w->g];
        int c = g->prefix && str_starts(key, g->key) ? 0 : str_cmp(g->key, key);
        if (c > 0) return true;
        if (!open_group(w)) return false;
        if (c == 0) return true;
        w->g++;
        w->opened = false;
    }
    return true;
}

static enum idx_step weave(struct walk *w, struct str k, struct str value, struct str *seek)
{
    struct str key;
    struct vid v;
    if (!key_split_version(k, &key, &v)) return stop(w, ERR_CORRUPT);
    if (!advance_to(w, key)) return IDX_STOP;
    if (w->g == w->ngroups) return IDX_STOP; /* keys beyond what the page can hold */
    const struct group *g = &w->groups[w->g];
    if (g->prefix && str_starts(key, g->key)) return seek_to(w, KEY_VERSION, g->key, seek);
    if (!str_eq(g->key, key)) return IDX_NEXT;
    return emit_version(w, key, value, false) ? IDX_NEXT : IDX_STOP;
}

static enum idx_step on_record(void *arg, struct str k, struct str value, uint64_t seq, struct str *seek)
{
    (void)seq;
    struct walk *w = arg;
    char space = key_space_of(k);
    if (space == KEY_CURRENT && w->ngroups < w->wanted && str_starts(key_rest(k), w->in.prefix))
        return gather(w, key_rest(k), value, seek);
    if (str_cmp(k, key_str(&w->vfrom)) >= 0) return weave(w, k, value, seek);
    /* Enough current records, a space between the two, or versions of an earlier page. */
    *seek = key_str(&w->vfrom);
    return IDX_SEEK;
}

/* ---- where to start ---- */

/* After a version of key: its current record is a group already begun, and the noncurrent ones go on behind
 * the marker. */
static err resume(struct objects *o, struct walk *w, const struct obj_list_in *in)
{
    struct found cur;
    struct vid at;
    err e = version_find(o, w->a, w->shard, in->after, STR_NONE, &cur);
    if (e) return e == ERR_NO_SUCH_KEY ? ERR_OK : e;
    bool null = str_eq(in->after_version, STR("null"));
    if (!null && !vid_parse(in->after_version, &at)) return ERR_INVALID_ARGUMENT;
    if (null) {
        e = vid_decode(cur.rec.f[REC_OLD_NULL], &at);
        if (e) return e;
        /* Without its null version the key is listed again from its second version on: twice is better than
         * never. */
        if (rec_is_null(&cur.rec) || vid_none(&at)) at = cur.rec.vid;
    }
    w->groups[w->ngroups++] = (struct group){.key = in->after, .resumed = true};
    key_of_version(&w->vfrom, w->shard, in->after, &at);
    key_add(&w->vfrom, "", 1);
    return ERR_OK;
}

static err place(struct objects *o, struct walk *w, const struct obj_list_in *in)
{
    struct key vhi, hi;
    if (!list_range(w->shard, KEY_CURRENT, &w->in, &w->from, &hi)) w->from = hi;
    list_range(w->shard, KEY_VERSION, &w->in, &w->vfrom, &vhi);
    struct str group;
    bool resumable = in->after_version.n && !in->after_is_prefix && str_starts(in->after, in->prefix) &&
                     key_check(in->after) == ERR_OK &&
                     !list_group(in->after, in->prefix, in->delimiter, &group);
    w->wanted = w->in.max + 1u + resumable;
    return resumable ? resume(o, w, in) : ERR_OK;
}

static err allocate(struct walk *w)
{
    size_t n = w->in.max;
    w->out->items = arena_alloc_raw(w->a, n * sizeof *w->out->items);
    w->out->prefixes = w->in.delimiter.n ? arena_alloc_raw(w->a, n * sizeof *w->out->prefixes) : NULL;
    w->groups = arena_alloc_raw(w->a, (n + 2) * sizeof *w->groups);
    bool short_of = !w->out->items || !w->groups || (w->in.delimiter.n && !w->out->prefixes);
    return short_of ? ERR_NO_MEMORY : ERR_OK;
}

err list_versions(struct objects *o, struct arena *a, uint64_t bucket, const struct obj_list_in *in,
                  struct obj_list_out *out)
{
    struct walk w = {.in = list_bounded(in), .a = a, .out = out, .shard = bucket};
    struct key end;
    err e = allocate(&w);
    if (!e) e = place(o, &w, in);
    if (e) return e;
    key_of(&end, bucket, KEY_VERSION, in->prefix);
    if (!key_beyond(&end)) UNREACHABLE();
    struct idx_range r = {.lo = key_str(&w.from), .hi = key_str(&end)};
    e = idx_scan(o->idx, &r, on_record, &w);
    if (!e) e = w.e;
    while (!e && !w.full && w.g < w.ngroups) { /* groups behind the last noncurrent version */
        if (!open_group(&w)) e = w.e;
        w.g++;
        w.opened = false;
    }
    return e;
}
