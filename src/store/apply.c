/* Applying: what an operation of the log does to cells and view. The committer, replay and recovery all go
 * through here, so what a commit did and what its replay does cannot differ. One caller at a time. */
#include "base/array.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "store/engine_int.h"

bool apply_init(struct apply *a, struct engine *e)
{
    *a = (struct apply){.e = e, .batch = view_batch_new()};
    buf_init(&a->scratch, 0);
    return a->batch != NULL;
}

void apply_free(struct apply *a)
{
    apply_release(a);
    view_batch_free(a->batch);
    buf_free(&a->scratch);
    free(a->held);
    free(a->files);
}

void engine_free_places(void *engine, const struct blob_places *p)
{
    struct engine *e = engine;
    /* After a failure nobody knows whether the commit that let these go will be there at the next start; if
     * it is, replay frees them. */
    if (e->o.read_only || atomic_load(&e->state) == ENGINE_FAILED) return;
    for (size_t i = 0; i < p->n; i++) extents_free_place(e->extents, &p->v[i]);
}

/* Takes over one pin of c. */
static err hold(struct apply *a, struct cell *c)
{
    if (!array_grow(&a->held, &a->held_cap, a->nheld + 1, sizeof *a->held, SIZE_MAX)) {
        cells_unpin(a->e->cells, c);
        return ERR_NO_MEMORY;
    }
    a->held[a->nheld++] = c;
    return ERR_OK;
}

static err hold_key(struct apply *a, struct str key, enum cell_kind kind, struct cell **c)
{
    err e = cells_pin(a->e->cells, key, kind, c);
    return e ? e : hold(a, *c);
}

static err hold_blob(struct apply *a, uint64_t id, struct cell **c)
{
    char key[INNER_KEY_MAX];
    return hold_key(a, inner_key(key, INNER_BLOB, id), CELL_BLOB, c);
}

/* ---- live bytes of extent files ---- */

static err note_file(struct apply *a, uint32_t file)
{
    for (size_t i = 0; i < a->nfiles; i++)
        if (a->files[i] == file) return ERR_OK;
    if (!array_grow(&a->files, &a->files_cap, a->nfiles + 1, sizeof *a->files, SIZE_MAX))
        return ERR_NO_MEMORY;
    a->files[a->nfiles++] = file;
    return ERR_OK;
}

#define FILES_MAX (1u << 26)

static err live_add(struct apply *a, const struct extent_place *p, size_t n, bool add)
{
    struct engine *e = a->e;
    err r = ERR_OK;
    cells_lock(e->cells);
    for (size_t i = 0; i < n && !r; i++) {
        if (p[i].file >= FILES_MAX) {
            r = ERR_CORRUPT;
            break;
        }
        size_t had = e->nlive;
        if (!array_grow(&e->live, &e->nlive, (size_t)p[i].file + 1, sizeof *e->live, FILES_MAX)) {
            r = ERR_NO_MEMORY;
            break;
        }
        memset(e->live + had, 0, (e->nlive - had) * sizeof *e->live);
        uint64_t *live = &e->live[p[i].file];
        if (add)
            *live += p[i].disk_len;
        else
            *live -= p[i].disk_len < *live ? p[i].disk_len : *live;
        r = note_file(a, p[i].file);
    }
    cells_unlock(e->cells);
    return r;
}

/* ---- blobs ---- */

static void put_entry(struct apply *a, uint64_t seq, const struct cell *c)
{
    buf_clear(&a->scratch);
    blob_entry_encode(&a->scratch, &c->blob);
    ASSERT(!a->scratch.overflow);
    view_batch_put(a->batch, cell_key(c), seq, buf_view(&a->scratch));
}

static err apply_publish(struct apply *a, uint64_t seq, const struct log_op *op)
{
    char key[INNER_KEY_MAX];
    struct cell *c = cells_make(a->e->cells, inner_key(key, INNER_BLOB, op->blob), CELL_BLOB);
    err e = c ? hold(a, c) : ERR_NO_MEMORY;
    if (e) return e;
    struct blob_entry b = {.id = op->blob, .size = op->size, .refs = 1};
    if (op->where == LOG_BODY_EXTENTS) {
        b.where = BLOB_EXTENTS;
        b.places = blob_places_copy(op->places, op->nplaces);
        if (!b.places) return ERR_NO_MEMORY;
        e = live_add(a, op->places, op->nplaces, true);
    } else {
        b.where = BLOB_INLINE;
        b.segment = op->segment;
        b.offset = op->offset;
        b.sum = op->sum;
    }
    cells_lock(a->e->cells);
    c->blob = b;
    cells_unlock(a->e->cells);
    put_entry(a, seq, c);
    return e;
}

static err apply_refs(struct apply *a, uint64_t seq, const struct log_op *op, struct log_op *freed)
{
    struct cell *c;
    err e = hold_blob(a, op->blob, &c);
    if (e) return e;
    /* What a damaged store has lost can still be let go. */
    if (!c->present) return ERR_OK;
    cells_lock(a->e->cells);
    uint64_t *refs = &c->blob.refs;
    *refs = op->kind == TXN_REF ? *refs + 1 : op->kind == TXN_UNREF ? *refs - 1 : op->refs;
    if (*refs == 0) cells_note_dead(a->e->cells, c, seq);
    cells_unlock(a->e->cells);
    if (c->present) {
        put_entry(a, seq, c);
        return ERR_OK;
    }
    view_batch_del(a->batch, cell_key(c));
    if (c->blob.where != BLOB_EXTENTS) return ERR_OK;
    *freed = (struct log_op){
        .kind = LOG_FREE, .blob = op->blob, .places = c->blob.places->v, .nplaces = c->blob.places->n};
    return live_add(a, freed->places, freed->nplaces, false);
}

static err apply_move(struct apply *a, uint64_t seq, const struct log_op *op, struct log_op *freed)
{
    struct cell *c;
    err e = hold_blob(a, op->blob, &c);
    if (e) return e;
    bool still = c->present && c->blob.where == BLOB_INLINE && c->blob.segment == op->segment &&
                 c->blob.offset == op->offset;
    if (!still) { /* deleted meanwhile: the new extents are nobody's */
        if (op->nplaces == 0) return ERR_OK;
        *freed =
            (struct log_op){.kind = LOG_FREE, .blob = op->blob, .places = op->places, .nplaces = op->nplaces};
        for (size_t i = 0; i < op->nplaces && !a->e->o.read_only; i++)
            extents_free_place(a->e->extents, &op->places[i]);
        return ERR_OK;
    }
    struct blob_places *p = op->nplaces ? blob_places_copy(op->places, op->nplaces) : NULL;
    if (op->nplaces && !p) return ERR_NO_MEMORY;
    cells_lock(a->e->cells);
    c->blob.where = p ? BLOB_EXTENTS : BLOB_LOST;
    c->blob.places = p;
    cells_unlock(a->e->cells);
    put_entry(a, seq, c);
    return live_add(a, op->places, op->nplaces, true);
}

/* ---- keys ---- */

/* A counter that is overwritten or deleted as a whole: its cell, if in memory, must follow. */
static err follow_counters(struct apply *a, const struct log_op *op)
{
    struct cell *c = cells_find(a->e->cells, op->key);
    if (!c) return ERR_OK;
    err e = hold(a, c);
    if (e || c->kind != CELL_COUNTERS) return e;
    cells_lock(a->e->cells);
    cell_set_counters(c, op->kind == TXN_PUT ? op->value : STR(""));
    c->present = op->kind == TXN_PUT;
    c->settled = true;
    cells_unlock(a->e->cells);
    return ERR_OK;
}

static err apply_add(struct apply *a, uint64_t seq, const struct log_op *op)
{
    struct cell *c;
    err e = hold_key(a, op->key, CELL_COUNTERS, &c);
    if (e) return e;
    char value[8 * IDX_COUNTERS_MAX];
    cells_lock(a->e->cells);
    if (!c->present) c->n = 0;
    while (c->n < op->n) c->v[c->n++] = 0;
    for (unsigned i = 0; i < op->n; i++) c->v[i] = (int64_t)((uint64_t)c->v[i] + (uint64_t)op->delta[i]);
    c->present = true;
    for (unsigned i = 0; i < c->n; i++) put_le64(value + 8 * i, (uint64_t)c->v[i]);
    cells_unlock(a->e->cells);
    view_batch_put(a->batch, op->key, seq, str_of(value, 8 * (size_t)c->n));
    return ERR_OK;
}

err apply_op(struct apply *a, uint64_t seq, const struct log_op *op, struct log_op *freed)
{
    freed->kind = 0;
    switch (op->kind) {
    case TXN_PUT:
        view_batch_put(a->batch, op->key, seq, op->value);
        return follow_counters(a, op);
    case TXN_DEL:
        view_batch_del(a->batch, op->key);
        return follow_counters(a, op);
    case TXN_ADD:
        return apply_add(a, seq, op);
    case TXN_PUBLISH:
        return apply_publish(a, seq, op);
    case TXN_REF:
    case TXN_UNREF:
    case LOG_REFS:
        return apply_refs(a, seq, op, freed);
    case LOG_MOVE:
        return apply_move(a, seq, op, freed);
    case LOG_FREE: /* says again what its commit did; replay frees the places itself */
        return ERR_OK;
    default:
        UNREACHABLE();
    }
}

void apply_seal(struct apply *a, uint64_t seq)
{
    char key[INNER_KEY_MAX], value[8];
    for (size_t i = 0; i < a->nfiles; i++) {
        cells_lock(a->e->cells);
        uint64_t live = a->e->live[a->files[i]];
        cells_unlock(a->e->cells);
        put_le64(value, live);
        struct str k = inner_key(key, INNER_FILE, a->files[i]);
        if (live)
            view_batch_put(a->batch, k, seq, str_of(value, 8));
        else
            view_batch_del(a->batch, k);
    }
    a->nfiles = 0;
    view_batch_put(a->batch, inner_key(key, INNER_APPLIED, 0), seq, STR(""));
}

void apply_release(struct apply *a)
{
    for (size_t i = 0; i < a->nheld; i++) cells_unpin(a->e->cells, a->held[i]);
    a->nheld = 0;
}
