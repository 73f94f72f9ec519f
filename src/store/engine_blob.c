/* Blobs of the engine: small ones wait in memory and ride in the commit record; those a little larger wait in
 * memory, too, and share one write and one flush of extents; larger ones go to extents as they come. */
#include "base/assert.h"
#include "base/log.h"
#include "base/pages.h"
#include "store/engine_int.h"

#define WRITER_MAGIC 0x65777231u
#define READER_MAGIC 0x65726431u
#define WINDOW_MIN   ((size_t)64 << 10)
#define WINDOW_MAX   ((size_t)256 << 10) /* read ahead of a sequential reader; also the largest view */

struct engine_writer {
    struct blob_writer w;
    unsigned magic;
    bool sealed;
    struct engine *e;
    int64_t hint;
    struct small_body *body; /* until it outgrows memory */
    struct extent_writer *x; /* then */
    char *owner;             /* inline, once sealed; its memory stays with a spare writer */
    size_t owner_len, owner_cap;
    const struct extent_place *places; /* extents, once sealed: x's, or shared */
    size_t nplaces;
    struct extent_small shared;
};

struct engine_reader {
    struct blob_reader r;
    unsigned magic;
    struct list link; /* among the spare ones */
    struct engine *e;
    struct cell *cell;          /* pinned: keeps the extents */
    struct small_body *body;    /* inline, once read */
    struct blob_places *places; /* extents */
    struct extent_table *table; /* of places->v[at] */
    size_t at;
    uint64_t at_off; /* of its first byte in the blob */
    char *buf;
    size_t cap, window;
    struct str held;   /* verified bytes in buf … */
    uint64_t held_off; /* … from here */
};

static struct engine *engine_of_blobs(struct blobs *b)
{
    return CONTAINER(b, struct engine, blobs);
}

/* ---- writing ---- */

#define OWNER_KEPT 4096u /* bytes that a spare writer may hold */

static struct engine_writer *writer_new(struct engine *e)
{
    struct engine_writer *w = spares_take(&e->spare_writers);
    if (!w && !(w = calloc(1, sizeof *w))) return NULL;
    *w = (struct engine_writer){.magic = WRITER_MAGIC, .e = e, .owner = w->owner, .owner_cap = w->owner_cap};
    return w;
}

static void writer_free(struct engine_writer *w)
{
    w->magic = 0;
    small_body_drop(w->body);
    w->body = NULL;
    if (w->owner_cap <= OWNER_KEPT && spares_give(&w->e->spare_writers, w)) return;
    free(w->owner);
    free(w);
}

void writers_free(struct engine *e)
{
    for (struct engine_writer *w; (w = spares_take(&e->spare_writers)) != NULL;) {
        free(w->owner);
        free(w);
    }
}

static err create(struct blobs *b, int64_t size_hint, struct blob_writer **out)
{
    struct engine *e = engine_of_blobs(b);
    CHECK_MAGIC(e, ENGINE_MAGIC);
    err r = space_admit(e, SPACE_TAKES);
    if (r) return r;
    struct engine_writer *w = writer_new(e);
    if (!w) return ERR_NO_MEMORY;
    w->hint = size_hint;
    w->w.id = e->super.epoch << 40 | (atomic_fetch_add(&e->next_blob, 1) + 1);
    size_t cap = size_hint >= 0 && (uint64_t)size_hint <= e->body_max ? (size_t)size_hint : 0;
    w->body = small_body_new(w->w.id, cap);
    if (!w->body) {
        writer_free(w);
        return ERR_NO_MEMORY;
    }
    *out = &w->w;
    return ERR_OK;
}

static err extents_failed(struct engine *e, err r)
{
    if (r == ERR_NO_SPACE) space_note_full(e);
    if (r == ERR_IO) atomic_fetch_add(&e->counts.io_errors, 1);
    return r;
}

/* Too much to hold in memory: what came so far becomes the beginning of an extent. */
static err spill(struct engine_writer *w)
{
    err r = extent_writer_new(w->e->extents, w->w.id, w->hint, &w->x);
    if (!r && w->body->n > 0) r = extent_write(w->x, w->body->p, w->body->n);
    if (r) return r;
    small_body_drop(w->body);
    w->body = NULL;
    return ERR_OK;
}

static err write_bytes(struct blob_writer *bw, const void *p, size_t n)
{
    struct engine_writer *w = (struct engine_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(!w->sealed);
    err r = ERR_OK;
    if (w->body && n > w->e->body_max - w->body->n) r = spill(w);
    if (!r && !w->body) r = extent_write(w->x, p, n);
    if (!r) space_wrote(w->e, n);
    if (r || !w->body) return extents_failed(w->e, r);
    struct small_body *b = w->body;
    if (b->n + n > b->cap) {
        size_t cap = b->cap ? b->cap : 4096;
        while (cap < b->n + n) cap *= 2;
        if (!small_body_grow(b, cap)) return ERR_NO_MEMORY;
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return ERR_OK;
}

/* A body that will not stay in memory goes into the extent's own buffer; the others are small. */
static err room(struct blob_writer *bw, char **p, size_t *n)
{
    struct engine_writer *w = (struct engine_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(!w->sealed);
    if (w->body && (w->hint < 0 || (uint64_t)w->hint <= w->e->body_max)) return ERR_OK;
    err r = w->body ? spill(w) : ERR_OK;
    if (!r) r = extent_room(w->x, p, n);
    return extents_failed(w->e, r);
}

static err filled(struct blob_writer *bw, size_t n)
{
    struct engine_writer *w = (struct engine_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    err r = extent_filled(w->x, n);
    if (!r) space_wrote(w->e, n);
    return extents_failed(w->e, r);
}

static err seal_shared(struct engine_writer *w, struct str owner)
{
    w->shared =
        (struct extent_small){.blob_id = w->w.id, .data = str_of(w->body->p, w->body->n), .owner = owner};
    err r = extents_write_shared(w->e->extents, &w->shared);
    if (r) return extents_failed(w->e, r);
    w->places = &w->shared.place;
    w->nplaces = 1;
    w->sealed = true;
    return ERR_OK;
}

static bool owner_room(struct engine_writer *w, size_t n)
{
    if (n <= w->owner_cap) return true;
    char *p = realloc(w->owner, n);
    if (!p) return false;
    w->owner = p;
    w->owner_cap = n;
    return true;
}

static err seal(struct blob_writer *bw, struct str owner)
{
    struct engine_writer *w = (struct engine_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(!w->sealed);
    if (w->x) {
        err r = extent_seal(w->x, owner, &w->places, &w->nplaces);
        w->sealed = r == ERR_OK;
        return extents_failed(w->e, r);
    }
    if (w->body->n > w->e->o.inline_max) return seal_shared(w, owner);
    if (!owner_room(w, owner.n)) return ERR_NO_MEMORY;
    if (owner.n) memcpy(w->owner, owner.p, owner.n);
    w->owner_len = owner.n;
    w->sealed = true;
    return ERR_OK;
}

static void abandon(struct blob_writer *bw)
{
    struct engine_writer *w = (struct engine_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    /* After a failure nobody knows whether the commit that published these bytes will be there at the next
     * start; if it is not, that start frees them. */
    bool unknown = w->sealed && atomic_load(&w->e->state) == ENGINE_FAILED;
    if (w->x && unknown)
        extent_writer_leave(w->x);
    else if (w->x)
        extent_writer_abandon(w->x);
    if (w->shared.pinned && unknown)
        extents_small_leave(&w->shared, 1);
    else if (w->shared.pinned)
        extents_small_abandon(&w->shared, 1);
    writer_free(w);
}

void writer_log_op(const struct blob_writer *bw, struct log_op *op)
{
    const struct engine_writer *w = (const struct engine_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(w->sealed);
    op->blob = bw->id;
    op->size = bw->size;
    if (w->places) {
        op->where = LOG_BODY_EXTENTS;
        op->places = w->places;
        op->nplaces = w->nplaces;
        return;
    }
    op->where = LOG_BODY_INLINE;
    op->owner = str_of(w->owner, w->owner_len);
    op->body = str_of(w->body->p, w->body->n);
    op->sum = log_body_sum(bw->id, op->body);
}

void writer_published(struct blob_writer *bw)
{
    struct engine_writer *w = (struct engine_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    if (w->x) extent_writer_keep(w->x);
    if (w->shared.pinned) extents_small_keep(&w->shared, 1);
    if (w->body) blob_cache_put(w->e->cache, w->body);
    writer_free(w);
}

/* ---- reading ---- */

static err corrupt(struct engine_reader *r, const char *where)
{
    atomic_fetch_add(&r->e->counts.corrupt_blocks, 1);
    LOG_ERROR("stored bytes do not verify", LF_U("blob", r->r.id), LF_Z("in", where));
    return ERR_CORRUPT;
}

static err read_inline(struct engine_reader *r, const struct blob_entry *b)
{
    struct small_body *body = small_body_new(r->r.id, b->size);
    if (!body) return ERR_NO_MEMORY;
    body->n = b->size;
    err e = log_read(r->e->log, b->segment, b->offset, body->p, body->n);
    if (!e && log_body_sum(r->r.id, str_of(body->p, body->n)) != b->sum) e = corrupt(r, "log");
    if (e) {
        small_body_drop(body);
        return e;
    }
    blob_cache_put(r->e->cache, body);
    r->body = body;
    return ERR_OK;
}

/* Find where the bytes are. They may move from the log to extents at any time, but a body once read stays
 * with us. */
static err locate(struct engine_reader *r)
{
    if (r->body || r->places) return ERR_OK;
    if (r->r.size <= r->e->body_max && (r->body = blob_cache_get(r->e->cache, r->r.id))) return ERR_OK;
    for (;;) {
        cells_lock(r->e->cells);
        struct blob_entry b = r->cell->blob;
        if (b.where == BLOB_EXTENTS) {
            r->places = b.places;
            __atomic_add_fetch(&r->places->users, 1, __ATOMIC_RELAXED);
        }
        cells_unlock(r->e->cells);
        if (b.where == BLOB_EXTENTS) return ERR_OK;
        if (b.where == BLOB_LOST) return corrupt(r, "log, found damaged when it was collected");
        err e = read_inline(r, &b);
        if (e != ERR_NOT_FOUND) return e;
        /* The segment went: the entry has changed, or the log has lost it. */
        cells_lock(r->e->cells);
        bool same = r->cell->blob.where == BLOB_INLINE && r->cell->blob.segment == b.segment;
        bool dead = !r->cell->present;
        cells_unlock(r->e->cells);
        if (same) return dead ? ERR_NOT_FOUND : corrupt(r, "log, segment missing");
    }
}

/* Make places->v[at] the extent that holds off. */
static void seek_extent(struct engine_reader *r, uint64_t off)
{
    if (off < r->at_off) {
        r->at = 0;
        r->at_off = 0;
        extent_table_free(r->table);
        r->table = NULL;
    }
    while (off - r->at_off >= r->places->v[r->at].data_len && r->at + 1 < r->places->n) {
        r->at_off += r->places->v[r->at++].data_len;
        extent_table_free(r->table);
        r->table = NULL;
    }
}

static bool buffer_for(struct engine_reader *r, size_t n)
{
    size_t cap = n + 2 * EXTENT_BLOCK_MAX;
    if (cap <= r->cap) return true;
    free(r->buf);
    r->buf = pages_alloc(cap);
    r->cap = r->buf ? cap : 0;
    return r->buf != NULL;
}

static err view_extents(struct engine_reader *r, uint64_t off, size_t n, struct str *out)
{
    if (off < r->held_off || off >= r->held_off + r->held.n) {
        bool sequential = r->held.n > 0 && off == r->held_off + r->held.n;
        if (sequential && r->window < WINDOW_MAX) r->window *= 2;
        size_t want = sequential && n < r->window ? r->window : n;
        seek_extent(r, off);
        const struct extent_place *p = &r->places->v[r->at];
        uint64_t in = off - r->at_off;
        if (in >= p->data_len) return corrupt(r, "blob table, too few bytes");
        if (want > p->data_len - in) want = (size_t)(p->data_len - in);
        r->held.n = 0;
        if (!buffer_for(r, want)) return ERR_NO_MEMORY;
        err e = extent_read(r->e->extents, p, r->r.id, &r->table, in, want, r->buf, r->cap, &r->held);
        if (e == ERR_CORRUPT) return corrupt(r, "extent");
        if (e) return extents_failed(r->e, e);
        r->held_off = off;
    }
    *out = str_slice(r->held, (size_t)(off - r->held_off), (size_t)(off - r->held_off) + n);
    return ERR_OK;
}

/* A small body is kept in memory, wherever it came from. */
static err keep_small(struct engine_reader *r)
{
    struct str whole;
    err e = view_extents(r, 0, r->r.size, &whole);
    if (e) return e;
    struct small_body *body = small_body_new(r->r.id, whole.n);
    if (!body) return ERR_NO_MEMORY;
    memcpy(body->p, whole.p, whole.n);
    body->n = whole.n;
    blob_cache_put(r->e->cache, body);
    r->body = body;
    return ERR_OK;
}

static err view(struct blob_reader *br, uint64_t off, size_t n, struct str *out)
{
    struct engine_reader *r = (struct engine_reader *)br;
    CHECK_MAGIC(r, READER_MAGIC);
    if (n > WINDOW_MAX) n = WINDOW_MAX;
    err e = locate(r);
    if (e) return e;
    if (r->places && !r->body && br->size > 0 && br->size <= r->e->o.inline_max && r->places->n == 1)
        e = keep_small(r);
    if (e) return e;
    if (!r->body) return view_extents(r, off, n, out);
    if (r->body->n != br->size) return corrupt(r, "log, length");
    *out = str_slice(str_of(r->body->p, r->body->n), (size_t)off, (size_t)off + n);
    return ERR_OK;
}

#define SPARE_READERS 256u

/* A cleared one, or NULL; the lock of cells is held. */
static struct engine_reader *spare_reader(struct engine *e)
{
    struct list *l = list_pop(&e->spare_readers);
    if (!l) return NULL;
    e->nspare_readers--;
    struct engine_reader *r = CONTAINER(l, struct engine_reader, link);
    *r = (struct engine_reader){0};
    return r;
}

void readers_free(struct engine *e)
{
    for (struct list *l; (l = list_pop(&e->spare_readers));) free(CONTAINER(l, struct engine_reader, link));
}

static void close_reader(struct blob_reader *br)
{
    struct engine_reader *r = (struct engine_reader *)br;
    CHECK_MAGIC(r, READER_MAGIC);
    r->magic = 0;
    extent_table_free(r->table);
    small_body_drop(r->body);
    free(r->buf);
    struct engine *e = r->e;
    struct cell *cell = r->cell;
    blob_places_drop(r->places);
    cells_lock(e->cells);
    bool keep = e->nspare_readers < SPARE_READERS;
    if (keep) {
        list_push(&e->spare_readers, &r->link);
        e->nspare_readers++;
    }
    cells_unlock(e->cells);
    cells_unpin(e->cells, cell);
    if (!keep) free(r);
}

static err open_reader(struct blobs *b, uint64_t id, struct blob_reader **out)
{
    struct engine *e = engine_of_blobs(b);
    CHECK_MAGIC(e, ENGINE_MAGIC);
    char key[INNER_KEY_MAX];
    struct cell *c;
    err r = cells_pin(e->cells, inner_key(key, INNER_BLOB, id), CELL_BLOB, &c);
    if (r) return r;
    cells_lock(e->cells);
    struct engine_reader *rd = spare_reader(e);
    /* Gone for readers once the commit that took the last reference is visible, not before. */
    bool there = c->present || c->dead_seq > atomic_load(&e->visible);
    uint64_t size = c->blob.size;
    cells_unlock(e->cells);
    if (!rd) rd = calloc(1, sizeof *rd);
    if (!rd || !there) {
        free(rd);
        cells_unpin(e->cells, c);
        return there ? ERR_NO_MEMORY : ERR_NOT_FOUND;
    }
    rd->r = (struct blob_reader){.blobs = b, .id = id, .size = size};
    rd->magic = READER_MAGIC;
    rd->e = e;
    rd->cell = c;
    rd->window = WINDOW_MIN;
    /* A small body is taken now: the pin keeps extents, but not the log's segment once the blob is deleted.
     * Damage is for who asks for the bytes. */
    if (locate(rd) == ERR_NOT_FOUND) {
        close_reader(&rd->r);
        return ERR_NOT_FOUND;
    }
    *out = &rd->r;
    return ERR_OK;
}

const struct blob_ops engine_blob_ops = {create,  write_bytes, room, filled,      seal,
                                         abandon, open_reader, view, close_reader};
