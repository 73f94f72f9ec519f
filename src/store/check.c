/* Check: every record's bytes exist and verify, no byte is unreferenced, counters are right; and what of it
 * can be put right. Offline: it holds the directory's lock; without repair nothing on disk changes.
 *
 *   1. the index: each entry says what it refers to and counts (the layer above decodes it)
 *   2. the blob table: references, sizes, places; bytes when deep
 *   3. extent files: what lies in them that no blob names
 *   4. counters */
#include "base/assert.h"
#include "base/bytes.h"
#include "store/engine_int.h"
#include "store/tally.h"

#include <stdarg.h>

#define LINES_MAX 10000u

struct place_list { /* of one extent file, to be sorted */
    struct extent_place *v;
    size_t n, cap;
    uint64_t live;
};

struct fix {
    struct fix *next;
    struct log_op op;
    uint64_t times;
};

struct check {
    const struct check_options *o;
    struct check_report *out;
    struct engine *e;
    struct tally *tally;
    struct arena *arena; /* fixes */
    struct place_list *files;
    size_t nfiles;
    struct fix *fixes;
    unsigned lines;
    bool no_memory;
};

static void __attribute__((format(printf, 2, 3))) say(struct check *c, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (++c->lines > LINES_MAX) return;
    buf_cstr(&c->out->lines, line);
    buf_char(&c->out->lines, '\n');
}

static void show(struct check *c, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
    if (c->o->progress.fn && (done % 256 == 0 || done == total))
        c->o->progress.fn(c->o->progress.arg, phase, done, total, unit);
}

/* Hex of a key, shortened, for a line. */
static const char *shown(struct str key, char out[140])
{
    size_t n = key.n < 64 ? key.n : 64;
    for (size_t i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", (unsigned char)key.p[i]);
    if (n < key.n) snprintf(out + 2 * n, 4, "...");
    return out;
}

static void fix(struct check *c, struct log_op op, uint64_t times)
{
    struct fix *f = ARENA_NEW(c->arena, struct fix);
    if (f && op.key.n) op.key = arena_dup(c->arena, op.key);
    if (!f || (op.key.n && !op.key.p)) {
        c->no_memory = true;
        return;
    }
    *f = (struct fix){c->fixes, op, times};
    c->fixes = f;
}

/* ---- 1. entries ---- */

static void on_ref(void *ctx, uint64_t blob, uint64_t min_size)
{
    struct check *c = ctx;
    tally_ref(c->tally, blob, min_size);
}

static void on_count(void *ctx, struct str key, unsigned i, int64_t delta)
{
    struct check *c = ctx;
    tally_count(c->tally, key, i, delta);
}

static enum idx_step on_entry(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct check *c = arg;
    char hex[140];
    (void)seq, (void)seek;
    c->out->entries++;
    show(c, "read the index", c->out->entries, 0, "entries");
    if (!c->o->entry || c->o->entry(c->o->arg, key, value, on_ref, on_count, c)) return IDX_NEXT;
    c->out->bad_records++;
    say(c, "entry %s: the record does not decode", shown(key, hex));
    return IDX_NEXT;
}

/* ---- 2. blobs ---- */

static void note_place(struct check *c, const struct extent_place *p)
{
    if (p->file >= c->nfiles) {
        size_t n = (size_t)p->file + 64;
        struct place_list *grown = realloc(c->files, n * sizeof *grown);
        if (!grown) {
            c->no_memory = true;
            return;
        }
        memset(grown + c->nfiles, 0, (n - c->nfiles) * sizeof *grown);
        c->files = grown;
        c->nfiles = n;
    }
    struct place_list *f = &c->files[p->file];
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 64;
        struct extent_place *v = realloc(f->v, cap * sizeof *v);
        if (!v) {
            c->no_memory = true;
            return;
        }
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n++] = *p;
    f->live += p->disk_len;
}

static err read_all(struct check *c, uint64_t id)
{
    struct blob_reader *r;
    err e = blob_open(&c->e->blobs, id, &r);
    if (e) return e;
    for (uint64_t at = 0; at < blob_size(r) && !e;) {
        struct str v;
        e = blob_view(r, at, (size_t)256 << 10, &v);
        if (e) break;
        at += v.n;
        c->out->bytes_verified += v.n;
    }
    blob_close(r);
    return e;
}

/* Structure without the bytes: the log still has the segment; each extent's header and table verify. */
static err check_structure(struct check *c, const struct blob_entry *b)
{
    if (b->where == BLOB_LOST) return ERR_CORRUPT;
    if (b->where == BLOB_INLINE) return log_read(c->e->log, b->segment, b->offset, NULL, 0);
    uint64_t sum = 0;
    err e = ERR_OK;
    for (size_t i = 0; i < b->places->n && !e; i++) {
        char buf[2 * EXTENT_BLOCK_MAX];
        struct extent_table *t = NULL;
        struct str view;
        e = extent_read(c->e->extents, &b->places->v[i], b->id, &t, 0, 0, buf, sizeof buf, &view);
        extent_table_free(t);
        sum += b->places->v[i].data_len;
    }
    return !e && sum != b->size ? ERR_CORRUPT : e;
}

static void check_references(struct check *c, const struct blob_entry *b)
{
    struct tally_blob *t = tally_find(c->tally, b->id);
    unsigned long long id = b->id;
    if (!t) {
        c->out->unreferenced_blobs++;
        c->out->unreferenced_bytes += b->size;
        say(c, "blob %llu: %llu bytes that no entry refers to", id, (unsigned long long)b->size);
        fix(c, (struct log_op){.kind = TXN_UNREF, .blob = b->id}, b->refs);
        return;
    }
    t->seen = true;
    if (t->refs != b->refs) {
        c->out->wrong_refcounts++;
        say(c, "blob %llu: %llu references are counted, %u exist", id, (unsigned long long)b->refs, t->refs);
        if (t->refs > b->refs)
            fix(c, (struct log_op){.kind = TXN_REF, .blob = b->id}, t->refs - b->refs);
        else
            fix(c, (struct log_op){.kind = TXN_UNREF, .blob = b->id}, b->refs - t->refs);
    }
    if (t->size > b->size) {
        c->out->corrupt_blobs++;
        say(c, "blob %llu: has %llu bytes, a record expects %llu", id, (unsigned long long)b->size,
            (unsigned long long)t->size);
    }
}

static enum idx_step on_blob(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct check *c = arg;
    struct blob_entry b = {.id = key.n == 17 ? get_be64(key.p + 9) : 0};
    (void)seq, (void)seek;
    c->out->blobs++;
    show(c, c->o->deep ? "verify every byte" : "check blobs", c->out->blobs, 0, "blobs");
    if (blob_entry_decode(value, &b) != ERR_OK) {
        c->out->corrupt_blobs++;
        say(c, "blob %llu: its table entry does not decode", (unsigned long long)b.id);
        return IDX_NEXT;
    }
    for (size_t i = 0; b.places && i < b.places->n; i++) note_place(c, &b.places->v[i]);
    check_references(c, &b);
    err e = check_structure(c, &b);
    if (!e && c->o->deep) e = read_all(c, b.id);
    if (e) {
        c->out->corrupt_blobs++;
        say(c, "blob %llu: its bytes cannot be read: %s", (unsigned long long)b.id, err_name(e));
    }
    blob_places_drop(b.places);
    return c->no_memory ? IDX_STOP : IDX_NEXT;
}

static void on_tallied(void *arg, struct tally_blob *b)
{
    struct check *c = arg;
    if (b->seen) return;
    c->out->missing_blobs++;
    say(c, "blob %llu: %u references, but it does not exist", (unsigned long long)b->id, b->refs);
}

/* ---- 3. extent files ---- */

static int by_offset(const void *a, const void *b)
{
    const struct extent_place *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool on_extent(void *arg, const struct extent_visit *v)
{
    struct check *c = arg;
    struct extent_place *found = NULL;
    if (v->file < c->nfiles && c->files[v->file].n)
        found = bsearch(&v->place, c->files[v->file].v, c->files[v->file].n, sizeof *found, by_offset);
    if (!found) {
        c->out->unreferenced_bytes += v->place.disk_len;
        say(c, "extent file %u at %llu: %llu bytes of blob %llu that no entry refers to", v->file,
            (unsigned long long)v->place.offset, (unsigned long long)v->place.disk_len,
            (unsigned long long)v->blob_id);
    }
    return true;
}

static void check_live(struct check *c, uint32_t file)
{
    uint64_t want = file < c->nfiles ? c->files[file].live : 0;
    uint64_t have = file < c->e->nlive ? c->e->live[file] : 0;
    if (want == have) return;
    c->out->wrong_counters++;
    say(c, "extent file %u: %llu live bytes are counted, %llu exist", file, (unsigned long long)have,
        (unsigned long long)want);
}

static err check_extents(struct check *c)
{
    size_t n = extents_files(c->e->extents, NULL, 0);
    uint32_t *files = calloc(n + 1, sizeof *files);
    if (!files) return ERR_NO_MEMORY;
    n = extents_files(c->e->extents, files, n);
    for (size_t i = 0; i < c->nfiles; i++)
        if (c->files[i].n) qsort(c->files[i].v, c->files[i].n, sizeof *c->files[i].v, by_offset);
    for (size_t i = 0; i < n; i++) check_live(c, files[i]);
    free(files);
    return extents_scan(c->e->extents, false, on_extent, NULL, c);
}

/* ---- 4. counters ---- */

static void on_counter(void *arg, struct str key, const struct tally_counter *t)
{
    struct check *c = arg;
    struct view_pin pin = {.value = STR_NONE};
    char hex[140];
    err e = view_get(c->e->view, key, &pin);
    if (e && e != ERR_NOT_FOUND) return;
    struct log_op op = {.kind = TXN_ADD, .key = key, .n = IDX_COUNTERS_MAX};
    bool wrong = false;
    for (unsigned i = 0; i < IDX_COUNTERS_MAX; i++) {
        int64_t have = pin.value.n >= 8 * ((size_t)i + 1) ? (int64_t)get_le64(pin.value.p + 8 * i) : 0;
        op.delta[i] = t->want[i] - have;
        if (op.delta[i] == 0) continue;
        wrong = true;
        say(c, "counter %u of %s: is %lld, should be %lld", i, shown(key, hex), (long long)have,
            (long long)t->want[i]);
    }
    while (op.n > 1 && op.delta[op.n - 1] == 0) op.n--;
    view_unpin(&pin);
    if (!wrong) return;
    c->out->wrong_counters++;
    fix(c, op, 1);
}

/* ---- repair ---- */

static err repair_entries(struct check *c)
{
    err e = ERR_OK;
    for (struct fix *f = c->fixes; f && !e; f = f->next) {
        for (uint64_t i = 0; i < f->times && !e; i++) {
            struct log_op op = f->op;
            struct commit_req r = {.ops = &op, .nops = 1, .bound = log_op_bound(&op) + 4096};
            if (op.kind == TXN_UNREF) r.bound += (size_t)1 << 20; /* the extents of a large blob */
            e = committer_submit(c->e, &r);
        }
        c->out->repaired++;
    }
    return e;
}

static err repair_extents(struct check *c)
{
    size_t n = extents_files(c->e->extents, NULL, 0);
    uint32_t *files = calloc(n + 1, sizeof *files);
    struct apply a;
    if (!files || !apply_init(&a, c->e)) {
        free(files);
        return ERR_NO_MEMORY;
    }
    n = extents_files(c->e->extents, files, n);
    err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        struct place_list none = {0}, *f = files[i] < c->nfiles ? &c->files[files[i]] : &none;
        uint64_t freed = 0;
        char key[INNER_KEY_MAX], value[8];
        e = extents_reclaim(c->e->extents, files[i], f->v, f->n, &freed);
        extents_set_live(c->e->extents, files[i], f->live);
        if (files[i] < c->e->nlive) c->e->live[files[i]] = f->live;
        put_le64(value, f->live);
        view_batch_put(a.batch, inner_key(key, INNER_FILE, files[i]), atomic_load(&c->e->visible),
                       str_of(value, 8));
        if (freed) c->out->repaired++;
    }
    if (!e) e = view_write(c->e->view, a.batch);
    if (!e) e = extents_settle_frees(c->e->extents);
    apply_free(&a);
    free(files);
    return e;
}

/* ---- all of it ---- */

static err check_all(struct check *c)
{
    char lo[INNER_KEY_MAX], hi[INNER_KEY_MAX];
    put_be64(hi, IDX_SHARD_INTERNAL);
    struct idx_range entries = {STR(""), str_of(hi, 8), false};
    err e = view_scan(c->e->view, &entries, true, on_entry, c);
    struct idx_range blobs = {inner_key(lo, INNER_BLOB, 0), inner_key(hi, INNER_BLOB + 1, 0), false};
    if (!e) e = view_scan(c->e->view, &blobs, true, on_blob, c);
    if (!e && (c->no_memory || tally_failed(c->tally))) e = ERR_NO_MEMORY;
    if (!e && c->o->entry) tally_each_blob(c->tally, on_tallied, c);
    if (!e) e = check_extents(c);
    if (!e) tally_each_counter(c->tally, on_counter, c);
    /* Extents first: freeing a blob later must not meet a place that was given away. */
    if (!e && c->o->repair && (c->out->unreferenced_bytes || c->out->wrong_counters)) e = repair_extents(c);
    if (!e && c->o->repair) e = repair_entries(c);
    return !e && c->no_memory ? ERR_NO_MEMORY : e;
}

err engine_check(const struct check_options *o, struct check_report *out, char why[512])
{
    *out = (struct check_report){0};
    buf_init(&out->lines, 0);
    struct engine_options eo = {.dir = o->dir, .progress = o->progress, .read_only = !o->repair};
    struct store s;
    err e = engine_open(&eo, &s, why);
    struct check c = {.o = o, .out = out};
    if (e == ERR_CORRUPT) { /* a finding, and the last one: nothing more can be known */
        out->log_errors++;
        say(&c, "%s", why);
        return ERR_OK;
    }
    if (e) return e;
    c.e = engine_of(&s);
    c.tally = tally_new();
    c.arena = arena_new((size_t)1 << 30);
    e = c.tally && c.arena ? check_all(&c) : ERR_NO_MEMORY;
    if (e) snprintf(why, 512, "the check of %.300s could not be completed: %s", o->dir, err_name(e));
    for (size_t i = 0; i < c.nfiles; i++) free(c.files[i].v);
    free(c.files);
    tally_free(c.tally);
    arena_free(c.arena);
    engine_close(&s);
    return e;
}
