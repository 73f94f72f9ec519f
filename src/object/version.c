/* Versions of one key. The current one sits at its fixed key, be it object or delete marker; older ones stand
 * behind it, newest first. While any version lives there is a current one. At most one version is the null
 * one; when it is not the current one, the current record holds its id, so that it is found and replaced
 * without a search. */
#include "object/internal.h"
#include "base/bytes.h"
#include "base/log.h"

#define READS_MAX 16

static err decode(struct found *f, uint64_t seq, bool current)
{
    err e = rec_decode(f->value, &f->rec);
    if (!e && f->rec.kind != REC_OBJECT && f->rec.kind != REC_MARKER) return ERR_CORRUPT;
    f->current = current;
    f->seq = f->rec.f[REC_SEQ].n == 8 ? get_le64(f->rec.f[REC_SEQ].p) : seq;
    return e;
}

static err get(struct objects *o, struct arena *a, const struct key *k, bool current, struct found *out,
               uint64_t *seq)
{
    err e = idx_get(o->idx, a, key_str(k), &out->value, seq);
    if (e) return e;
    e = decode(out, *seq, current);
    if (e)
        LOG_AT(LOG_LEVEL_ERROR,
               e == ERR_UNSUPPORTED_FORMAT ? STR("a record was written by a newer version: it is not touched")
                                           : STR("a record is damaged"),
               LF_U("bucket-id", get_be64(k->b)), LF_S("key", key_rest(key_str(k))));
    return e;
}

/* By id, in one of two places. Between two reads a version may move from one to the other: look again when
 * the current record changed. */
static err find_id(struct objects *o, struct arena *a, uint64_t bucket, struct str key,
                   const struct vid *want, struct found *out)
{
    struct key ck, vk;
    uint64_t last = 0, seq;
    key_of_current(&ck, bucket, key);
    for (unsigned i = 0; i < READS_MAX; i++) {
        err e = get(o, a, &ck, true, out, &seq);
        if (e) return e == ERR_NOT_FOUND ? ERR_NO_SUCH_VERSION : e;
        struct vid v;
        if (want) {
            if (vid_eq(&out->rec.vid, want)) return rec_is_null(&out->rec) ? ERR_NO_SUCH_VERSION : ERR_OK;
            v = *want;
        } else {
            if (rec_is_null(&out->rec)) return ERR_OK;
            e = vid_decode(out->rec.f[REC_OLD_NULL], &v);
            if (e) return e;
            if (vid_none(&v)) return ERR_NO_SUCH_VERSION;
        }
        if (seq == last) return ERR_NO_SUCH_VERSION;
        last = seq;
        key_of_version(&vk, bucket, key, &v);
        e = get(o, a, &vk, false, out, &seq);
        if (!e && rec_is_null(&out->rec) != !want) return ERR_NO_SUCH_VERSION;
        if (e != ERR_NOT_FOUND) return e;
    }
    return ERR_SLOW_DOWN;
}

err version_find(struct objects *o, struct arena *a, uint64_t bucket, struct str key, struct str version_id,
                 struct found *out)
{
    if (version_id.n == 0) {
        struct key k;
        uint64_t seq;
        key_of_current(&k, bucket, key);
        err e = get(o, a, &k, true, out, &seq);
        return e == ERR_NOT_FOUND ? ERR_NO_SUCH_KEY : e;
    }
    if (str_eq(version_id, STR("null"))) return find_id(o, a, bucket, key, NULL, out);
    struct vid v;
    if (!vid_parse(version_id, &v)) return ERR_INVALID_VERSION_ID;
    return find_id(o, a, bucket, key, &v, out);
}

err version_current(struct mut *m, struct str key, struct found *out)
{
    struct key k;
    uint64_t seq;
    *out = (struct found){0};
    key_of_current(&k, m->bucket, key);
    idx_txn_check(m->t, key_str(&k));
    err e = get(m->o, m->a, &k, true, out, &seq);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

err version_noncurrent(struct mut *m, struct str key, const struct vid *v, struct found *out)
{
    struct key k;
    uint64_t seq;
    *out = (struct found){0};
    key_of_version(&k, m->bucket, key, v);
    idx_txn_check(m->t, key_str(&k));
    return get(m->o, m->a, &k, false, out, &seq);
}

/* A missing chunk of a table: the object was replaced while we read; the next attempt sees it. When it stays
 * missing the store is damaged, and a version that somebody wants removed still goes. */
static bool missing_for_good(const struct mut *m)
{
    return m->attempt >= 3;
}

static err release_table(struct mut *m, uint64_t bucket, const struct rec *r)
{
    struct table t;
    err e = table_decode(m->a, r->f[REC_TABLE], &t);
    for (unsigned c = 0; !e && c < t.nchunks; c++) {
        struct part *parts;
        size_t n;
        struct key k;
        key_of_table(&k, bucket, &t.id, c);
        idx_txn_del(m->t, key_str(&k));
        e = table_load(m->o->idx, m->a, bucket, &t, c, &parts, &n);
        table_breathe(c);
        if (e == ERR_NOT_FOUND) {
            if (!missing_for_good(m)) return ERR_CONFLICT;
            e = ERR_OK;
            continue;
        }
        for (size_t i = 0; !e && i < n; i++)
            for (size_t p = 0; p < parts[i].npieces; p++) mut_ref(m, parts[i].pieces[p].blob, -1);
    }
    return e;
}

err version_release(struct mut *m, uint64_t bucket, const struct rec *r)
{
    if (r->f[REC_TABLE].n) return release_table(m, bucket, r);
    struct piece *v;
    size_t n;
    err e = pieces_decode(m->a, r->f[REC_PIECES], &v, &n);
    for (size_t i = 0; !e && i < n; i++) mut_ref(m, v[i].blob, -1);
    return e;
}

static void count(struct mut *m, const struct rec *r, int sign)
{
    m->count[CNT_VERSIONS] += sign;
    m->count[CNT_BYTES] += sign * (int64_t)r->size;
}

static void count_current(struct mut *m, const struct rec *r, int sign)
{
    if (r->kind == REC_OBJECT) m->count[CNT_OBJECTS] += sign;
}

/* The version's bytes for a place where it did not commit itself: its own sequence goes along. */
static struct str moved(struct mut *m, const struct found *f, struct str old_null)
{
    struct rec r = f->rec;
    char *seq = arena_alloc_raw(m->a, 8);
    if (!seq) return STR_NONE;
    put_le64(seq, f->seq);
    r.f[REC_SEQ] = str_of(seq, 8);
    r.f[REC_OLD_NULL] = old_null;
    return rec_encode(m->a, &r);
}

void version_rewrite(struct mut *m, struct str key, const struct found *f)
{
    struct key k;
    if (f->current)
        key_of_current(&k, m->bucket, key);
    else
        key_of_version(&k, m->bucket, key, &f->rec.vid);
    mut_put(m, &k, moved(m, f, f->rec.f[REC_OLD_NULL]));
}

static err drop_noncurrent(struct mut *m, struct str key, const struct found *f)
{
    struct key k;
    key_of_version(&k, m->bucket, key, &f->rec.vid);
    idx_txn_del(m->t, key_str(&k));
    count(m, &f->rec, -1);
    return version_release(m, m->bucket, &f->rec);
}

/* A new null version replaces the old one wherever it stands behind the current one. */
static err drop_old_null(struct mut *m, struct str key, const struct found *cur)
{
    struct vid v;
    struct found f;
    err e = vid_decode(cur->rec.f[REC_OLD_NULL], &v);
    if (e || vid_none(&v)) return e;
    e = version_noncurrent(m, key, &v, &f);
    if (e == ERR_NOT_FOUND) return missing_for_good(m) ? ERR_OK : ERR_CONFLICT;
    return e ? e : drop_noncurrent(m, key, &f);
}

static err retire(struct mut *m, struct str key, const struct found *cur, bool null, struct str *old_null)
{
    err e = ERR_OK;
    count_current(m, &cur->rec, -1);
    if (null && rec_is_null(&cur->rec)) {
        count(m, &cur->rec, -1);
        return version_release(m, m->bucket, &cur->rec);
    }
    struct key k;
    key_of_version(&k, m->bucket, key, &cur->rec.vid);
    mut_put(m, &k, moved(m, cur, STR_NONE));
    if (null)
        e = drop_old_null(m, key, cur);
    else
        *old_null = rec_is_null(&cur->rec) ? vid_encode(m->a, &cur->rec.vid) : cur->rec.f[REC_OLD_NULL];
    return e;
}

void version_stamp(struct rec *r)
{
    r->vid = vid_new(0);
    r->modified_ms = (int64_t)(r->vid.order / 1000000u);
}

err version_push(struct mut *m, struct str key, const struct found *cur, struct rec *r)
{
    bool null = m->guard.versioning != VERSIONING_ENABLED;
    struct str old_null = STR_NONE;
    err e = cur->value.p ? retire(m, key, cur, null, &old_null) : ERR_OK;
    if (e) return e;
    if (cur->value.p && r->vid.order <= cur->rec.vid.order) {
        r->vid.order = cur->rec.vid.order + 1;
        if (r->modified_ms < cur->rec.modified_ms) r->modified_ms = cur->rec.modified_ms;
    }
    r->flags = (uint16_t)((r->flags & ~REC_NULL) | (null ? REC_NULL : 0));
    r->f[REC_SEQ] = STR_NONE;
    r->f[REC_OLD_NULL] = old_null;
    count(m, r, 1);
    count_current(m, r, 1);
    struct key k;
    key_of_current(&k, m->bucket, key);
    mut_put(m, &k, rec_encode(m->a, r));
    return ERR_OK;
}

/* ---- removal ---- */

struct newest {
    struct arena *a;
    struct str key, value;
    uint64_t seq;
};

static enum idx_step take_first(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    (void)seek;
    struct newest *n = arg;
    n->key = arena_dup(n->a, key);
    n->value = arena_dup(n->a, value);
    n->seq = seq;
    return IDX_STOP;
}

/* The newest noncurrent version takes the fixed key, or nothing is left of the key. */
static err promote(struct mut *m, struct str key, const struct found *cur)
{
    struct key lo, hi, at;
    struct newest n = {.a = m->a};
    key_of_versions(&lo, m->bucket, key);
    hi = lo;
    if (!key_beyond(&hi)) UNREACHABLE(); /* the prefix ends in NUL */
    struct idx_range r = {.lo = key_str(&lo), .hi = key_str(&hi)};
    err e = idx_scan(m->o->idx, &r, take_first, &n);
    if (e) return e;
    key_of_current(&at, m->bucket, key);
    if (!n.key.p) {
        idx_txn_del(m->t, key_str(&at));
        return arena_overflowed(m->a) ? ERR_NO_MEMORY : ERR_OK;
    }
    struct found f = {.value = n.value};
    e = decode(&f, n.seq, false);
    if (e) return e;
    idx_txn_check(m->t, n.key);
    idx_txn_del(m->t, n.key);
    mut_put(m, &at, moved(m, &f, rec_is_null(&f.rec) ? STR_NONE : cur->rec.f[REC_OLD_NULL]));
    count_current(m, &f.rec, 1);
    return ERR_OK;
}

err version_remove(struct mut *m, struct str key, const struct found *cur, const struct found *victim)
{
    m->gives_back = true;
    if (victim->current) {
        count(m, &victim->rec, -1);
        count_current(m, &victim->rec, -1);
        err e = version_release(m, m->bucket, &victim->rec);
        return e ? e : promote(m, key, cur);
    }
    if (rec_is_null(&victim->rec)) {
        struct found f = *cur;
        f.rec.f[REC_OLD_NULL] = STR_NONE;
        version_rewrite(m, key, &f);
    }
    return drop_noncurrent(m, key, victim);
}
