/* Salvage: commits are lost, but the bytes of extents say whose they are. A blob's last extent carries pairs
 * of index key and record (docs/format/record.md); a blob that no surviving record names, published or
 * deleted, was published by a lost one, so its pairs are restored where the key is free, or beside the entry
 * that has the key (an older version). A blob that a
 * surviving entry refers to is restored in any case.
 *
 * What a surviving record deleted is never brought back. What a lost record deleted cannot be told from what
 * it wrote.
 *
 * Memory: 8 bytes for each publication and deletion in archive and log, 80 bytes and its owner bytes for each
 * extent that no blob claims. */
#include "base/array.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "store/recover_int.h"

#define OWNER_FORMAT 1

struct stray { /* an extent that no blob of the table claims */
    uint64_t blob, blob_off, blob_size, owner_at;
    struct extent_place place;
    uint32_t part, owner_len;
    bool last;
};

struct salvage {
    struct recover *r;
    struct census census;
    uint64_t *named; /* blobs that surviving records published or let go */
    size_t nnamed, named_cap;
    struct stray *v;
    size_t n, cap;
    struct buf owners;
    err e;
};

/* ---- what surviving records name ---- */

static void note_named(struct salvage *s, uint64_t blob)
{
    if (array_grow(&s->named, &s->named_cap, s->nnamed + 1, sizeof *s->named, SIZE_MAX))
        s->named[s->nnamed++] = blob;
    else
        s->e = ERR_NO_MEMORY;
}

static err named_op(void *arg, uint64_t seq, struct log_op *op)
{
    struct salvage *s = arg;
    (void)seq;
    if (op &&
        (op->kind == TXN_PUBLISH || op->kind == TXN_UNREF || op->kind == LOG_FREE || op->kind == LOG_REFS))
        note_named(s, op->blob);
    return s->e;
}

static err named_record(void *arg, const struct log_record *rec, uint64_t from)
{
    struct salvage *s = arg;
    (void)from;
    err e = log_payload_walk(rec->payload, rec->head.first_seq, rec->head.commits, s->r->arena, named_op, s);
    arena_reset(s->r->arena);
    return e;
}

static err no_entry(void *arg, struct str key, uint64_t seq, struct str value)
{
    (void)arg, (void)key, (void)seq, (void)value;
    return ERR_OK;
}

static void no_gap(void *arg, uint64_t first, uint64_t last)
{
    (void)arg, (void)first, (void)last;
}

static void no_damage(void *arg, const char *line)
{
    (void)arg, (void)line;
}

static err read_named(struct salvage *s, char why[512])
{
    struct recover *r = s->r;
    const struct history_reader h = {no_entry, named_record, no_gap, no_damage, s};
    uint64_t last;
    err e = history_read(r->o->dir, r->e->super.store_id, r->log, 0, &h, &last, why);
    if (s->nnamed) qsort(s->named, s->nnamed, sizeof *s->named, array_by_u64);
    return e;
}

static bool is_named(const struct salvage *s, uint64_t blob)
{
    return s->nnamed && bsearch(&blob, s->named, s->nnamed, sizeof blob, array_by_u64) != NULL;
}

/* ---- stray extents ---- */

static bool see_extent(void *arg, const struct extent_visit *v)
{
    struct salvage *s = arg;
    recover_progress(s->r, "read extents", v->file, "files");
    if (v->open || census_find(&s->census, v->blob_id) != SIZE_MAX) return true;
    if (!array_grow(&s->v, &s->cap, s->n + 1, sizeof *s->v, SIZE_MAX)) {
        s->e = ERR_NO_MEMORY;
        return false;
    }
    s->v[s->n++] = (struct stray){.blob = v->blob_id,
                                  .blob_off = v->blob_off,
                                  .blob_size = v->blob_size,
                                  .owner_at = s->owners.n,
                                  .place = v->place,
                                  .part = v->part,
                                  .owner_len = (uint32_t)v->owner.n,
                                  .last = v->last};
    buf_str(&s->owners, v->owner);
    if (s->owners.overflow) s->e = ERR_NO_MEMORY;
    return !s->e;
}

/* Newest blobs first, so that of several versions of a key the last one comes back. */
static int by_blob(const void *a, const void *b)
{
    const struct stray *x = a, *y = b;
    if (x->blob != y->blob) return x->blob > y->blob ? -1 : 1;
    return x->part < y->part ? -1 : x->part > y->part;
}

/* All extents of one blob, from its first byte to its last. */
static bool whole(const struct stray *v, size_t n)
{
    uint64_t off = 0;
    for (size_t i = 0; i < n; i++) {
        if (v[i].part != i || v[i].blob_off != off || v[i].last != (i + 1 == n)) return false;
        off += v[i].place.data_len;
    }
    return off == v[n - 1].blob_size;
}

/* ---- restoring ---- */

struct refers {
    uint64_t blob;
    bool yes;
};

static void on_ref(void *ctx, uint64_t blob, uint64_t min_size)
{
    struct refers *f = ctx;
    (void)min_size;
    f->yes = f->yes || blob == f->blob;
}

static void on_count(void *ctx, struct str key, unsigned i, int64_t delta)
{
    (void)ctx, (void)key, (void)i, (void)delta;
}

/* The layer above understands the pair, and it is about this blob. */
static bool sound(const struct salvage *s, struct str key, struct str value, uint64_t blob)
{
    const struct recover_options *o = s->r->o;
    struct refers f = {.blob = blob};
    if (key.n < 9 || key.n > IDX_KEY_MAX || value.n > IDX_VALUE_MAX || get_be64(key.p) == IDX_SHARD_INTERNAL)
        return false;
    return o->entry(o->arg, key, value, on_ref, on_count, &f) && f.yes;
}

static err apply_one(struct salvage *s, const struct log_op *op)
{
    struct log_op freed;
    return apply_op(&s->r->apply, s->r->reached, op, &freed);
}

static err is_taken(struct salvage *s, struct str key, bool *taken)
{
    struct view_pin pin;
    err e = view_get(s->r->e->view, key, &pin);
    *taken = e == ERR_OK;
    if (*taken) view_unpin(&pin);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err restore_under(struct salvage *s, struct str key, struct str value, const struct stray *last,
                         unsigned *n)
{
    struct census_key text;
    struct log_op put = {.kind = TXN_PUT, .key = key, .value = value};
    ++*n;
    s->r->out->salvaged++;
    recover_line(s->r, "salvaged from its extents: %s, %llu bytes", census_key_text(key, &text),
                 (unsigned long long)last->blob_size);
    return apply_one(s, &put);
}

/* Another entry has its key: it may belong beside that one. A blob that an entry refers to is known by that
 * entry, and needs none of its own. */
static err restore_beside(struct salvage *s, struct str key, struct str value, const struct stray *last,
                          unsigned *n)
{
    const struct recover_options *o = s->r->o;
    struct census_key text;
    char other[IDX_KEY_MAX];
    size_t len;
    bool taken = true;
    bool wanted = census_is_missing(&s->census, last->blob);
    if (!wanted && o->beside && o->beside(o->arg, key, value, other, &len)) {
        err e = is_taken(s, str_of(other, len), &taken);
        if (e) return e;
        if (!taken && sound(s, str_of(other, len), value, last->blob))
            return restore_under(s, str_of(other, len), value, last, n);
    }
    recover_line(s->r, "not restored: %s, %llu bytes in blob %llx; it has another version now",
                 census_key_text(key, &text), (unsigned long long)last->blob_size,
                 (unsigned long long)last->blob);
    return ERR_OK;
}

static err restore_pair(struct salvage *s, struct str key, struct str value, const struct stray *last,
                        unsigned *n)
{
    bool taken;
    err e = is_taken(s, key, &taken);
    if (e) return e;
    return taken ? restore_beside(s, key, value, last, n) : restore_under(s, key, value, last, n);
}

static err restore_pairs(struct salvage *s, const struct stray *last, unsigned *n)
{
    struct rd pairs = rd_of(str_of(s->owners.p + last->owner_at, last->owner_len));
    if (last->owner_len == 0 || rd_u8(&pairs) != OWNER_FORMAT) return ERR_OK;
    err e = ERR_OK;
    while (!e && rd_left(&pairs) > 0) {
        struct str key = rd_lenstr(&pairs), value = rd_lenstr(&pairs);
        if (!pairs.bad && sound(s, key, value, last->blob)) e = restore_pair(s, key, value, last, n);
    }
    return e;
}

static err publish(struct salvage *s, const struct stray *v, size_t n)
{
    struct extent_place *places = calloc(n, sizeof *places);
    if (!places) return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) places[i] = v[i].place;
    struct log_op op = {.kind = TXN_PUBLISH,
                        .blob = v->blob,
                        .size = v[n - 1].blob_size,
                        .where = LOG_BODY_EXTENTS,
                        .places = places,
                        .nplaces = n};
    err e = apply_one(s, &op);
    free(places);
    return e;
}

static err restore_blob(struct salvage *s, const struct stray *v, size_t n)
{
    bool wanted = census_is_missing(&s->census, v->blob);
    unsigned pairs = 0;
    if (!whole(v, n)) {
        if (wanted || !is_named(s, v->blob))
            recover_line(s->r, "blob %llx: not all of its extents are there; it was not restored",
                         (unsigned long long)v->blob);
        return ERR_OK;
    }
    err e = is_named(s, v->blob) ? ERR_OK : restore_pairs(s, &v[n - 1], &pairs);
    if (e || (!wanted && !pairs)) return e;
    e = publish(s, v, n);
    return e ? e : recover_write(s->r);
}

static err restore_all(struct salvage *s)
{
    if (s->n) qsort(s->v, s->n, sizeof *s->v, by_blob);
    err e = ERR_OK;
    for (size_t i = 0, n; i < s->n && !e; i += n) {
        for (n = 1; i + n < s->n && s->v[i + n].blob == s->v[i].blob;) n++;
        e = restore_blob(s, s->v + i, n);
    }
    return e;
}

err recover_salvage(struct recover *r, char why[512])
{
    struct salvage s = {.r = r};
    buf_init(&s.owners, (size_t)1 << 30);
    err e = recover_census(r, &s.census);
    if (!e) e = read_named(&s, why);
    if (!e) e = extents_scan(r->e->extents, false, see_extent, NULL, &s);
    if (!e) e = s.e;
    if (!e) e = restore_all(&s);
    census_free(&s.census);
    free(s.named);
    free(s.v);
    buf_free(&s.owners);
    return e;
}
