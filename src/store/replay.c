/* Replay: at opening, the log's commits that the view does not have are applied again, and what was being
 * freed when the process ended is freed again. */
#include "base/array.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "store/engine_int.h"

struct replay {
    struct engine *e;
    struct apply apply;
    struct arena *arena;
    uint64_t from; /* applied before */
    uint64_t total;
};

struct record_walk {
    struct apply *a;
    const struct log_record *r;
    uint64_t from;
};

static err replay_op(void *arg, uint64_t seq, struct log_op *op)
{
    struct record_walk *w = arg;
    struct engine *e = w->a->e;
    if (!op) return ERR_OK;
    if (op->kind == LOG_FREE) {
        for (size_t i = 0; i < op->nplaces && !e->o.read_only; i++)
            extents_free_unknown(e->extents, &op->places[i]);
        return ERR_OK;
    }
    if (seq <= w->from) return ERR_OK;
    if (op->kind == TXN_PUBLISH && op->where == LOG_BODY_INLINE) {
        op->segment = w->r->segment;
        op->offset += log_payload_at(w->r);
    }
    struct log_op freed; /* its LOG_FREE follows in the log */
    return apply_op(w->a, seq, op, &freed);
}

err engine_apply_record(struct apply *a, const struct log_record *r, uint64_t from, struct arena *arena)
{
    struct record_walk w = {a, r, from};
    uint64_t last = r->head.first_seq + r->head.commits - 1;
    err e = log_payload_walk(r->payload, r->head.first_seq, r->head.commits, arena, replay_op, &w);
    arena_reset(arena);
    if (!e && last > from) {
        apply_seal(a, last);
        e = view_write(a->e->view, a->batch);
    }
    apply_release(a);
    return e;
}

static err replay_record(void *arg, const struct log_record *r)
{
    struct replay *p = arg;
    err e = engine_apply_record(&p->apply, r, p->from, p->arena);
    const struct store_progress *progress = &p->e->o.progress;
    p->total += r->head.commits;
    if (progress->fn) progress->fn(progress->arg, "replay the log", p->total, 0, "commits");
    if (rt_fiber_self()) rt_yield();
    return e;
}

/* ---- counts of extent files ---- */

struct live_load {
    struct engine *engine;
    err e;
};

static enum idx_step live_entry(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct live_load *l = arg;
    struct engine *e = l->engine;
    (void)seq, (void)seek;
    if (key.n != 17 || value.n != 8) return IDX_NEXT;
    uint64_t file = get_be64(key.p + 9);
    if (file > UINT32_MAX) return IDX_NEXT;
    size_t had = e->nlive;
    if (!array_grow(&e->live, &e->nlive, file + 1, sizeof *e->live, (size_t)UINT32_MAX + 1)) {
        l->e = ERR_NO_MEMORY; /* no count is not a count of nothing */
        return IDX_STOP;
    }
    memset(e->live + had, 0, (e->nlive - had) * sizeof *e->live);
    e->live[file] = get_le64(value.p);
    return IDX_NEXT;
}

err engine_load_live(struct engine *e)
{
    char lo[INNER_KEY_MAX], hi[INNER_KEY_MAX];
    struct idx_range r = {inner_key(lo, INNER_FILE, 0), inner_key(hi, INNER_FILE + 1, 0), false};
    struct live_load l = {e, ERR_OK};
    err scanned = view_scan(e->view, &r, true, live_entry, &l);
    return scanned ? scanned : l.e;
}

static err tell_live(struct engine *e)
{
    size_t n = extents_files(e->extents, NULL, 0);
    uint32_t *files = calloc(n + 1, sizeof *files);
    if (!files) return ERR_NO_MEMORY;
    n = extents_files(e->extents, files, n);
    for (size_t i = 0; i < n; i++)
        extents_set_live(e->extents, files[i], files[i] < e->nlive ? e->live[files[i]] : 0);
    free(files);
    return ERR_OK;
}

/* ---- what a crash left in extent files ---- */

bool engine_knows(struct engine *e, const struct extent_visit *v)
{
    char key[INNER_KEY_MAX];
    struct cell *c;
    if (v->open || cells_pin(e->cells, inner_key(key, INNER_BLOB, v->blob_id), CELL_BLOB, &c) != ERR_OK)
        return !v->open;
    bool found = false;
    const struct blob_places *p = c->present ? c->blob.places : NULL;
    for (size_t i = 0; p && i < p->n && !found; i++)
        found = p->v[i].file == v->place.file && p->v[i].offset == v->place.offset;
    cells_unpin(e->cells, c);
    return found;
}

static bool free_unknown(void *arg, const struct extent_visit *v)
{
    struct engine *e = arg;
    if (!engine_knows(e, v)) extents_free_unknown(e->extents, &v->place);
    return true;
}

/* ---- all of it ---- */

static err check_reach(struct engine *e, uint64_t applied, uint64_t clean_seq, char why[512])
{
    uint64_t last = log_next_seq(e->log) - 1, want = applied > clean_seq ? applied : clean_seq;
    if (last >= want) return ERR_OK;
    snprintf(why, 512,
             "the log in %.200s ends at commit %llu, but commit %llu was acknowledged: the log is damaged or "
             "incomplete. "
             "Run: ingot recover --data %.100s",
             e->dir, (unsigned long long)last, (unsigned long long)want, e->dir);
    return ERR_CORRUPT;
}

static err replay_log(struct engine *e, uint64_t applied, uint64_t walk_from, char why[512])
{
    struct replay p = {.e = e, .arena = arena_new(0), .from = applied};
    err r = p.arena && apply_init(&p.apply, e) ? ERR_OK : ERR_NO_MEMORY;
    if (!r) {
        r = log_replay(e->log, walk_from, replay_record, &p, why);
        apply_free(&p.apply);
    }
    arena_free(p.arena);
    if (r && !why[0]) snprintf(why, 512, "the log in %.300s cannot be replayed: %s", e->dir, err_name(r));
    return r;
}

err engine_replay(struct engine *e, bool clean, uint64_t clean_seq, char why[512])
{
    char key[INNER_KEY_MAX];
    struct view_pin pin;
    uint64_t applied = 0;
    why[0] = 0;
    err r = view_get(e->view, inner_key(key, INNER_APPLIED, 0), &pin);
    if (r == ERR_OK) {
        applied = pin.seq;
        view_unpin(&pin);
    } else if (r != ERR_NOT_FOUND) {
        snprintf(why, 512, "the index in %.200s cannot be read; it can be rebuilt: ingot recover", e->dir);
        return r;
    }
    if (applied + 1 < log_first_seq(e->log)) {
        snprintf(why, 512,
                 "the index in %.150s/index is missing or too old (commit %llu, the log begins at %llu). "
                 "Run: ingot "
                 "recover --data %.100s",
                 e->dir, (unsigned long long)applied, (unsigned long long)log_first_seq(e->log), e->dir);
        return ERR_CORRUPT;
    }
    r = engine_load_live(e);
    /* After an orderly close all frees were done: the log before the view's end need not be read. */
    if (!r) r = replay_log(e, applied, clean ? applied : 0, why);
    if (!r) r = check_reach(e, applied, clean_seq, why);
    if (!r) atomic_store(&e->visible, log_next_seq(e->log) - 1);
    if (!r && !e->o.read_only) r = tell_live(e);
    if (!r && !clean && !e->o.read_only) r = extents_scan(e->extents, true, free_unknown, NULL, e);
    if (r == ERR_CORRUPT && !why[0])
        snprintf(why, 512, "the index in %.200s is damaged; it can be rebuilt: ingot recover", e->dir);
    if (r && !why[0]) snprintf(why, 512, "the store in %.300s cannot be opened: %s", e->dir, err_name(r));
    return r;
}
