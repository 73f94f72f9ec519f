/* ListParts and ListMultipartUploads. */
#include "object/list_int.h"
#include "object/upload_int.h"

err upload_parts(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str upload_id,
                 unsigned after, unsigned max, struct obj_upload_info *info, struct obj_part_info **parts,
                 size_t *n, bool *truncated)
{
    struct bref b;
    struct upload u;
    struct part *v;
    size_t have;
    *n = 0;
    *truncated = false;
    *parts = NULL;
    if (max > LIST_MAX) max = LIST_MAX;
    err e = bucket_find(o, bucket, &b);
    if (!e) e = upload_read(o, a, b.id, key, upload_id, &u);
    if (!e) e = upload_scan_parts(o, a, b.id, &u.id, after, max ? max + 1u : 0, &v, &have);
    if (e) return e;
    upload_info(&u, bucket, key, upload_id, info);
    *truncated = have > max;
    if (have > max) have = max;
    *parts = ARENA_ARRAY(a, struct obj_part_info, have);
    if (!*parts) return ERR_NO_MEMORY;
    for (; !e && *n < have; ++*n) e = part_info(a, &v[*n], &(*parts)[*n]);
    return e;
}

struct walk {
    struct upload_list_in in;
    struct arena *a;
    struct upload_list_out *out;
    struct key seek;
    err e;
};

static enum idx_step stop(struct walk *w, err e)
{
    w->e = e;
    return IDX_STOP;
}

static enum idx_step add_prefix(struct walk *w, struct str k, struct str group, struct str *seek)
{
    struct str p = arena_dup(w->a, group);
    if (!p.p) return stop(w, ERR_NO_MEMORY);
    w->out->prefixes[w->out->nprefixes++] = p;
    w->out->next_key = p;
    w->out->next_id = STR_NONE;
    key_of(&w->seek, get_be64(k.p), KEY_UPLOAD, group);
    if (!key_beyond(&w->seek)) UNREACHABLE();
    *seek = key_str(&w->seek);
    return IDX_SEEK;
}

static err add_upload(struct walk *w, struct str key, const struct vid *id, struct str value)
{
    struct upload u = {.has_checksum = false};
    struct str kept = arena_dup(w->a, value), name = arena_dup(w->a, key);
    char *text = arena_alloc_raw(w->a, VID_TEXT + 1);
    if (!kept.p || !name.p || !text) return ERR_NO_MEMORY;
    err e = rec_decode(kept, &u.rec);
    if (!e) e = upload_decode(&u);
    if (e) return e;
    vid_text(id, text);
    upload_info(&u, w->in.bucket, name, str_of(text, VID_TEXT), &w->out->items[w->out->n++]);
    w->out->next_key = name;
    w->out->next_id = str_of(text, VID_TEXT);
    return ERR_OK;
}

static enum idx_step on_upload(void *arg, struct str k, struct str value, uint64_t seq, struct str *seek)
{
    struct walk *w = arg;
    struct str key, group;
    struct vid id;
    (void)seq;
    if (!key_split_upload(k, &key, &id)) return stop(w, ERR_CORRUPT);
    bool grouped = list_group(key, w->in.prefix, w->in.delimiter, &group);
    /* a marker inside a common prefix has shown that prefix already */
    bool shown = grouped && w->in.key_marker.n && str_starts(w->in.key_marker, group);
    if (shown) {
        key_of(&w->seek, get_be64(k.p), KEY_UPLOAD, group);
        if (!key_beyond(&w->seek)) UNREACHABLE();
        *seek = key_str(&w->seek);
        return IDX_SEEK;
    }
    if (w->out->n + w->out->nprefixes == w->in.max) {
        w->out->truncated = true;
        return IDX_STOP;
    }
    if (grouped) return add_prefix(w, k, group, seek);
    err e = add_upload(w, key, &id, value);
    return e ? stop(w, e) : IDX_NEXT;
}

/* Behind one upload of the marker's key, or behind all of them. */
static err start_at(uint64_t bucket, const struct upload_list_in *in, struct key *lo)
{
    struct vid id;
    if (!in->id_marker.n || key_check(in->key_marker) != ERR_OK) return ERR_OK;
    if (!vid_parse(in->id_marker, &id)) return ERR_INVALID_ARGUMENT;
    struct key at;
    key_of_upload(&at, bucket, in->key_marker, &id);
    key_add(&at, "", 1);
    struct key prefix;
    key_of(&prefix, bucket, KEY_UPLOAD, in->prefix);
    if (str_cmp(key_str(&at), key_str(&prefix)) > 0) *lo = at;
    return ERR_OK;
}

err upload_list(struct objects *o, struct arena *a, const struct upload_list_in *in,
                struct upload_list_out *out)
{
    struct bref b;
    struct key lo, hi;
    *out = (struct upload_list_out){0};
    struct walk w = {.in = *in, .a = a, .out = out};
    struct obj_list_in as = {.prefix = in->prefix, .after = in->key_marker, .max = in->max};
    err e = bucket_find(o, in->bucket, &b);
    if (e || !list_possible(&as)) return e;
    as = list_bounded(&as);
    w.in.max = as.max;
    bool some = list_range(b.id, KEY_UPLOAD, &as, &lo, &hi);
    e = start_at(b.id, in, &lo);
    if (e || (!some && !in->id_marker.n)) return e;
    out->items = arena_alloc_raw(a, as.max * sizeof *out->items);
    out->prefixes = arena_alloc_raw(a, as.max * sizeof *out->prefixes);
    if (!out->items || !out->prefixes) return ERR_NO_MEMORY;
    struct idx_range r = {.lo = key_str(&lo), .hi = key_str(&hi)};
    e = idx_scan(o->idx, &r, on_upload, &w);
    return e ? e : w.e;
}
