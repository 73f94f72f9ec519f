/* After commits were lost: entries that say where others belong are made again, so that what came back can be
 * reached. A bucket whose name is lost gets one; so does an upload whose parts came back alone. An id of a
 * bucket that still has entries is not given out again. */
#include "base/array.h"
#include "base/bytes.h"
#include "object/bucket_int.h"
#include "object/upload_int.h"
#include "sys/sys.h"

#define IDS_MAX ((size_t)1 << 20) /* buckets, and uploads of one bucket, that are looked at */

struct ids {
    struct vid *v; /* of a bucket: its id in order */
    size_t n, cap;
    err e;
};

struct mend {
    const struct recover_edit *ed;
    struct arena *a;
    struct ids named, shards;
    uint64_t last;
    err e;
};

static void ids_add(struct ids *s, const struct vid *v)
{
    if (array_grow(&s->v, &s->cap, s->n + 1, sizeof *s->v, IDS_MAX))
        s->v[s->n++] = *v;
    else
        s->e = ERR_NO_MEMORY;
}

static int by_id(const void *a, const void *b)
{
    const struct vid *x = a, *y = b;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    return memcmp(x->rand, y->rand, sizeof x->rand);
}

static void ids_sort(struct ids *s)
{
    if (s->n) qsort(s->v, s->n, sizeof *s->v, by_id);
}

static bool ids_have(const struct ids *s, const struct vid *v)
{
    return s->n && bsearch(v, s->v, s->n, sizeof *v, by_id) != NULL;
}

static err put(struct mend *m, const struct key *k, struct str value)
{
    return value.p ? m->ed->put(m->ed->ctx, key_str(k), value) : ERR_NO_MEMORY;
}

/* ---- what there is ---- */

static enum idx_step see_name(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct mend *m = arg;
    struct bucket_rec b;
    (void)key, (void)seq, (void)seek;
    if (bucket_rec_decode(value, &b) != ERR_OK) return IDX_NEXT;
    if (b.id > m->last) m->last = b.id;
    ids_add(&m->named, &(struct vid){.order = b.id});
    return m->named.e ? IDX_STOP : IDX_NEXT;
}

/* One key of each shard. */
static enum idx_step see_shard(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct mend *m = arg;
    (void)value, (void)seq;
    uint64_t shard = get_be64(key.p);
    ids_add(&m->shards, &(struct vid){.order = shard});
    char *next = arena_alloc_raw(m->a, 8);
    if (m->shards.e || !next) return IDX_STOP;
    put_be64(next, shard + 1);
    *seek = str_of(next, 8);
    return IDX_SEEK;
}

static err look(struct mend *m)
{
    char lo[8], hi[8];
    struct key names, beyond;
    key_of_space(&names, 0, KEY_NAME);
    key_of_space(&beyond, 0, KEY_NAME + 1);
    struct idx_range r = {.lo = key_str(&names), .hi = key_str(&beyond)};
    err e = m->ed->scan(m->ed->ctx, &r, see_name, m);
    put_be64(lo, 1);
    put_be64(hi, UINT64_MAX); /* the last shard is the engine's own */
    r = (struct idx_range){.lo = str_of(lo, 8), .hi = str_of(hi, 8)};
    if (!e) e = m->ed->scan(m->ed->ctx, &r, see_shard, m);
    if (!e) e = m->named.e ? m->named.e : m->shards.e;
    ids_sort(&m->named);
    return e;
}

/* ---- buckets ---- */

struct sample { /* what an entry of the bucket says of it */
    struct mend *m;
    bool found, versioned;
    struct str owner;
};

static enum idx_step see_sample(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct sample *s = arg;
    struct rec r;
    (void)key, (void)seq, (void)seek;
    if (rec_decode(value, &r) != ERR_OK) return IDX_NEXT;
    s->found = true;
    if (!s->owner.n && r.f[REC_OWNER].n) s->owner = arena_dup(s->m->a, r.f[REC_OWNER]);
    s->versioned = s->versioned || ((r.kind == REC_OBJECT || r.kind == REC_MARKER) && !rec_is_null(&r));
    return s->versioned && s->owner.n ? IDX_STOP : IDX_NEXT;
}

static err take_sample(struct mend *m, uint64_t shard, struct sample *s)
{
    static const char spaces[] = {KEY_CURRENT, KEY_VERSION, KEY_UPLOAD, KEY_PART};
    err e = ERR_OK;
    *s = (struct sample){.m = m};
    for (unsigned i = 0; i < sizeof spaces && !e; i++) {
        struct key lo, hi;
        key_of_space(&lo, shard, spaces[i]);
        key_of_space(&hi, shard, (char)(spaces[i] + 1));
        struct idx_range r = {.lo = key_str(&lo), .hi = key_str(&hi)};
        e = m->ed->scan(m->ed->ctx, &r, see_sample, s);
    }
    return e;
}

/* Its guard says that it was deleted, or a draft that it is to be emptied. */
static err is_going(struct mend *m, uint64_t shard, bool *guarded, bool *going)
{
    struct key k;
    struct str value;
    struct guard g = {.deleted = false};
    key_of_space(&k, shard, KEY_GUARD);
    err e = m->ed->get(m->ed->ctx, m->a, key_str(&k), &value);
    *guarded = e == ERR_OK;
    if (!e) e = guard_decode(value, &g);
    *going = g.deleted;
    if (e && e != ERR_NOT_FOUND) return e;
    key_of_draft(&k, shard);
    e = m->ed->get(m->ed->ctx, m->a, key_str(&k), &value);
    *going = *going || e == ERR_OK;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err name_bucket(struct mend *m, uint64_t shard, const struct sample *s)
{
    char name[64], line[256];
    struct key k;
    struct bucket_rec b = {.id = shard, .owner = s->owner, .created_ms = sys->real_ms()};
    snprintf(name, sizeof name, "recovered-%llu-%llu", (unsigned long long)shard,
             (unsigned long long)b.created_ms);
    key_of(&k, 0, KEY_NAME, str_c(name));
    snprintf(line, sizeof line, "the name of bucket %llu is lost; what came back of it is in bucket %s",
             (unsigned long long)shard, name);
    m->ed->say(m->ed->ctx, line);
    return put(m, &k, bucket_rec_encode(m->a, &b));
}

static err guard_bucket(struct mend *m, uint64_t shard, const struct sample *s)
{
    char line[160];
    struct key k;
    struct guard g = {.versioning = s->versioned ? VERSIONING_ENABLED : VERSIONING_OFF};
    key_of_space(&k, shard, KEY_GUARD);
    snprintf(line, sizeof line, "the state of bucket %llu is lost; versioning is now %s, as its objects say",
             (unsigned long long)shard, s->versioned ? "enabled" : "off");
    m->ed->say(m->ed->ctx, line);
    return put(m, &k, guard_encode(m->a, &g));
}

/* ---- uploads ---- */

struct upload_scan {
    struct mend *m;
    struct ids ids;
};

static enum idx_step see_upload(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct upload_scan *s = arg;
    struct str name;
    struct vid id;
    (void)value, (void)seq, (void)seek;
    if (key_split_upload(key, &name, &id)) ids_add(&s->ids, &id);
    return s->ids.e ? IDX_STOP : IDX_NEXT;
}

static enum idx_step see_part(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct upload_scan *s = arg;
    (void)value, (void)seq, (void)seek;
    if (key.n != KEY_HEAD + VID_SIZE + 2 || get_be16(key.p + KEY_HEAD + VID_SIZE) == 0) return IDX_NEXT;
    struct vid id = vid_get(key.p + KEY_HEAD);
    if (s->ids.n == 0 || !vid_eq(&s->ids.v[s->ids.n - 1], &id)) ids_add(&s->ids, &id);
    return s->ids.e ? IDX_STOP : IDX_NEXT;
}

static err make_upload(struct mend *m, uint64_t shard, const struct vid *id, struct str owner)
{
    char text[VID_TEXT + 1], name[64], line[256];
    struct key k;
    struct rec r = {.kind = REC_UPLOAD, .vid = *id, .modified_ms = sys->real_ms()};
    r.f[REC_OWNER] = owner.n ? owner : STR_NONE;
    vid_text(id, text);
    snprintf(name, sizeof name, "recovered/%s", text);
    key_of_upload(&k, shard, str_c(name), id);
    snprintf(line, sizeof line,
             "upload %s of bucket %llu: its key is lost, its parts are now those of key %s", text,
             (unsigned long long)shard, name);
    m->ed->say(m->ed->ctx, line);
    return put(m, &k, rec_encode(m->a, &r));
}

static err scan_space(struct mend *m, uint64_t shard, char space, idx_scan_fn *fn, struct upload_scan *s)
{
    struct key lo, hi;
    key_of_space(&lo, shard, space);
    key_of_space(&hi, shard, (char)(space + 1));
    struct idx_range r = {.lo = key_str(&lo), .hi = key_str(&hi)};
    err e = m->ed->scan(m->ed->ctx, &r, fn, s);
    return e ? e : s->ids.e;
}

static err mend_uploads(struct mend *m, uint64_t shard, struct str owner)
{
    struct upload_scan known = {.m = m}, parts = {.m = m};
    err e = scan_space(m, shard, KEY_UPLOAD, see_upload, &known);
    if (!e) e = scan_space(m, shard, KEY_PART, see_part, &parts);
    ids_sort(&known.ids);
    for (size_t i = 0; i < parts.ids.n && !e; i++)
        if (!ids_have(&known.ids, &parts.ids.v[i])) e = make_upload(m, shard, &parts.ids.v[i], owner);
    free(known.ids.v);
    free(parts.ids.v);
    return e;
}

/* ---- versions ---- */

/* Of a bucket with versions, what another version of the key has replaced is an older one; so is one that is
 * newer than the current one, for nothing says that it was not deleted. */
bool objects_beside(void *arg, struct str key, struct str value, char out[IDX_KEY_MAX], size_t *n)
{
    struct rec r;
    struct key k;
    (void)arg;
    if (key.n < KEY_HEAD || key_space_of(key) != KEY_CURRENT || rec_decode(value, &r) != ERR_OK) return false;
    if (r.kind != REC_OBJECT || rec_is_null(&r)) return false;
    key_of_version(&k, get_be64(key.p), key_rest(key), &r.vid);
    memcpy(out, k.b, k.n);
    *n = k.n;
    return true;
}

/* ---- all of it ---- */

static err mend_bucket(struct mend *m, uint64_t shard)
{
    struct sample s;
    bool guarded, going;
    err e = is_going(m, shard, &guarded, &going);
    if (e || going) return e;
    e = take_sample(m, shard, &s);
    bool named = ids_have(&m->named, &(struct vid){.order = shard});
    if (e || (!s.found && !guarded && !named)) return e;
    if (!named) e = name_bucket(m, shard, &s);
    if (!e && !guarded) e = guard_bucket(m, shard, &s);
    return e ? e : mend_uploads(m, shard, s.owner);
}

static err raise_last_id(struct mend *m)
{
    struct key k;
    struct str value;
    char le[8];
    key_of_space(&k, 0, KEY_LAST_ID);
    err e = m->ed->get(m->ed->ctx, m->a, key_str(&k), &value);
    if (e && e != ERR_NOT_FOUND) return e;
    if (!e && value.n == 8 && get_le64(value.p) >= m->last) return ERR_OK;
    put_le64(le, m->last);
    return put(m, &k, str_of(le, 8));
}

err objects_mend(void *arg, const struct recover_edit *ed)
{
    (void)arg;
    struct mend m = {.ed = ed, .a = arena_new((size_t)256 << 20)};
    if (!m.a) return ERR_NO_MEMORY;
    err e = look(&m);
    for (size_t i = 0; i < m.shards.n && !e; i++) {
        uint64_t shard = m.shards.v[i].order;
        if (shard > m.last) m.last = shard;
        e = mend_bucket(&m, shard);
    }
    /* A name without any entry of its bucket. */
    ids_sort(&m.shards);
    for (size_t i = 0; i < m.named.n && !e; i++)
        if (!ids_have(&m.shards, &m.named.v[i])) e = mend_bucket(&m, m.named.v[i].order);
    if (!e && m.last) e = raise_last_id(&m);
    free(m.named.v);
    free(m.shards.v);
    arena_free(m.a);
    return e;
}
