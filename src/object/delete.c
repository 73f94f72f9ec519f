/* DeleteObject: of the current version by the bucket's versioning, or of one version for good. Also the
 * fields of a version that may change in place. */
#include "object/internal.h"

/* The version a change is about, with its key checked. cur is the current record, already read. */
static err locate(struct mut *m, struct str key, struct str version_id, const struct found *cur,
                  struct found *out)
{
    struct vid v;
    bool null = str_eq(version_id, STR("null"));
    if (!null && !vid_parse(version_id, &v)) return ERR_INVALID_VERSION_ID;
    if (!cur->value.p) return ERR_NO_SUCH_VERSION;
    if (null ? rec_is_null(&cur->rec) : vid_eq(&cur->rec.vid, &v)) {
        *out = *cur;
        return null || !rec_is_null(&cur->rec) ? ERR_OK : ERR_NO_SUCH_VERSION;
    }
    if (null) {
        err e = vid_decode(cur->rec.f[REC_OLD_NULL], &v);
        if (e) return e;
        if (vid_none(&v)) return ERR_NO_SUCH_VERSION;
    }
    err e = version_noncurrent(m, key, &v, out);
    if (!e && rec_is_null(&out->rec) != null) return ERR_NO_SUCH_VERSION;
    return e == ERR_NOT_FOUND ? ERR_NO_SUCH_VERSION : e;
}

struct deletion {
    const struct obj_delete_in *in;
    struct rec marker; /* the one made, if any */
    bool made, removed_marker, versioned;
};

static err delete_version(struct mut *m, struct deletion *d, const struct found *cur)
{
    struct found victim;
    err e = locate(m, d->in->key, d->in->version_id, cur, &victim);
    if (e == ERR_NO_SUCH_VERSION) {
        m->nothing = true;
        return ERR_OK;
    }
    if (!e) e = cond_write(&d->in->cond, &victim.rec);
    if (e) return e;
    d->removed_marker = victim.rec.kind == REC_MARKER;
    return version_remove(m, d->in->key, cur, &victim);
}

static err delete_current(struct mut *m, struct deletion *d, const struct found *cur)
{
    err e = cond_write(&d->in->cond, cur->value.p && cur->rec.kind == REC_OBJECT ? &cur->rec : NULL);
    if (e) return e;
    if (m->guard.versioning == VERSIONING_OFF) {
        m->nothing = !cur->value.p;
        return m->nothing ? ERR_OK : version_remove(m, d->in->key, cur, cur);
    }
    d->made = true;
    m->hides = true; /* deleting works on a full disk, also where it only hides; not without end */
    return version_push(m, d->in->key, cur, &d->marker);
}

static err build(struct mut *m, void *arg)
{
    struct deletion *d = arg;
    struct found cur;
    d->made = d->removed_marker = false;
    d->versioned = m->guard.versioning != VERSIONING_OFF;
    err e = version_current(m, d->in->key, &cur);
    if (e) return e;
    return d->in->version_id.n ? delete_version(m, d, &cur) : delete_current(m, d, &cur);
}

err obj_delete(struct objects *o, struct arena *a, const struct obj_delete_in *in, struct obj_delete_out *out)
{
    struct deletion d = {.in = in, .marker = {.kind = REC_MARKER}};
    *out = (struct obj_delete_out){0};
    err e = key_check(in->key);
    if (e) return e;
    d.marker.f[REC_OWNER] = in->owner.n ? in->owner : STR_NONE;
    version_stamp(&d.marker);
    e = mut_run(o, in->bucket, build, &d, NULL);
    if (e) return e;
    out->delete_marker = d.made || d.removed_marker;
    if (d.made)
        out->version_id = version_text(a, &d.marker);
    else if (in->version_id.n)
        out->version_id = in->version_id;
    return ERR_OK;
}

/* ---- tags ---- */

struct retag {
    struct arena *a;
    struct str key, version_id, tags;
    struct found made; /* as rewritten; its bytes in a */
    enum versioning versioning;
};

static err rewrite_tags(struct mut *m, void *arg)
{
    struct retag *t = arg;
    struct found cur, f;
    err e = version_current(m, t->key, &cur);
    if (!e && t->version_id.n)
        e = locate(m, t->key, t->version_id, &cur, &f);
    else if (!e)
        e = (f = cur).value.p ? ERR_OK : ERR_NO_SUCH_KEY;
    if (e) return e;
    if (f.rec.kind == REC_MARKER) return t->version_id.n ? ERR_METHOD_NOT_ALLOWED : ERR_NO_SUCH_KEY;
    f.rec.f[REC_TAGS] = t->tags;
    version_rewrite(m, t->key, &f);
    t->versioning = m->guard.versioning;
    t->made = f;
    t->made.value = arena_dup(t->a, rec_encode(m->a, &f.rec));
    return t->made.value.p ? rec_decode(t->made.value, &t->made.rec) : ERR_NO_MEMORY;
}

err obj_set_tags(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str version_id,
                 const struct obj_pair *tags, size_t n, struct obj_info *out)
{
    struct retag t = {.a = a, .key = key, .version_id = version_id, .tags = pairs_encode(a, tags, n)};
    err e = key_check(key);
    if (!e && n && !t.tags.p) e = ERR_NO_MEMORY;
    if (!e) e = mut_run(o, bucket, rewrite_tags, &t, NULL);
    return e ? e : info_fill(a, bucket, key, &t.made, t.versioning, out);
}
