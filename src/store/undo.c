/* Undoing: a batch whose record did not come into the log (log_withdraw) has changed cells and live counts
 * in memory. The view, which holds all batches before it and nothing of it, says what they were. */
#include "base/assert.h"
#include "base/bytes.h"
#include "store/engine_int.h"

/* What the batch published goes; its places are its writer's, who frees them. A blob that died before the
 * batch waits for its readers as it did. */
static void undo_new_blob(struct cell *c, uint64_t first_seq)
{
    if (!c->present && c->dead_seq < first_seq) return;
    if (!c->present) cells_revive(c);
    c->present = false;
    blob_places_drop(c->blob.places);
    c->blob.places = NULL;
}

/* Readers may share the places, so those stay unless the batch moved the blob. */
static void undo_old_blob(struct cell *c, struct blob_entry *was, uint64_t first_seq)
{
    ASSERT(c->present || c->dead_seq >= first_seq);
    if (!c->present) cells_revive(c);
    c->present = true;
    struct blob_places *not_needed = was->places;
    if (c->blob.where != was->where) {
        not_needed = c->blob.places;
        c->blob.places = was->places;
        c->blob.where = was->where;
    }
    c->blob.refs = was->refs;
    blob_places_drop(not_needed);
}

static err undo_blob(struct apply *a, struct cell *c, bool there, struct str value, uint64_t first_seq)
{
    struct blob_entry was = {0};
    err e = there ? blob_entry_decode(value, &was) : ERR_OK;
    if (e) return e;
    cells_lock(a->e->cells);
    if (there)
        undo_old_blob(c, &was, first_seq);
    else
        undo_new_blob(c, first_seq);
    cells_unlock(a->e->cells);
    return ERR_OK;
}

static err undo_cell(struct apply *a, struct cell *c, uint64_t first_seq)
{
    struct view_pin pin = {.value = STR_NONE};
    err e = view_get(a->e->view, cell_key(c), &pin);
    bool there = e == ERR_OK;
    if (e && e != ERR_NOT_FOUND) return e;
    e = ERR_OK;
    if (c->kind == CELL_BLOB) {
        e = undo_blob(a, c, there, pin.value, first_seq);
    } else {
        cells_lock(a->e->cells);
        cell_set_counters(c, there ? pin.value : STR(""));
        c->present = there;
        cells_unlock(a->e->cells);
    }
    view_unpin(&pin);
    return e;
}

static err undo_live(struct apply *a, uint32_t file)
{
    char key[INNER_KEY_MAX];
    struct view_pin pin = {.value = STR_NONE};
    err e = view_get(a->e->view, inner_key(key, INNER_FILE, file), &pin);
    bool there = e == ERR_OK;
    if (e && e != ERR_NOT_FOUND) return e;
    e = there && pin.value.n != 8 ? ERR_CORRUPT : ERR_OK;
    if (!e) {
        cells_lock(a->e->cells);
        a->e->live[file] = there ? get_le64(pin.value.p) : 0;
        cells_unlock(a->e->cells);
    }
    view_unpin(&pin);
    return e;
}

err apply_undo(struct apply *a, uint64_t first_seq)
{
    err e = ERR_OK;
    for (size_t i = 0; i < a->nheld && !e; i++) e = undo_cell(a, a->held[i], first_seq);
    for (size_t i = 0; i < a->nfiles && !e; i++) e = undo_live(a, a->files[i]);
    a->nfiles = 0;
    view_batch_clear(a->batch);
    return e;
}
