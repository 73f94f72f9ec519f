/* Repair: what check found and understands, put right by commits of the engine's own, so that log, archive
 * and index agree. Counts are set, not changed by a difference: whichever of them was wrong, all say the same
 * afterwards. */
#include "store/check_int.h"
#include "base/assert.h"
#include "base/bytes.h"

#define BATCH_OPS     256u
#define BATCH_BYTES   ((size_t)1 << 20)
#define PLACE_BYTES   64u /* of a freed extent in the log, at most */
#define COUNTER_BOUND (64 + IDX_KEY_MAX + 8 * IDX_COUNTERS_MAX)

struct repair {
    struct check *c;
    struct log_op ops[BATCH_OPS];
    struct arena *arena; /* keys and values of ops */
    size_t nops, bound, at;
};

static err commit_ops(struct repair *r)
{
    struct commit_req req = {.ops = r->ops, .nops = r->nops, .bound = r->bound + 16};
    err e = r->nops ? committer_submit(r->c->e, &req) : ERR_OK;
    if (!e) r->c->r->repaired += r->nops;
    r->nops = r->bound = 0;
    arena_reset(r->arena);
    return e;
}

/* Room for an operation of this bound, so that what it points to in the arena lives until its commit. */
static err make_room(struct repair *r, size_t bound)
{
    return r->nops == BATCH_OPS || r->bound + bound > BATCH_BYTES ? commit_ops(r) : ERR_OK;
}

static void add_op(struct repair *r, const struct log_op *op, size_t bound)
{
    r->ops[r->nops++] = *op;
    r->bound += bound;
}

/* ---- references ---- */

static void mark_freed(struct check *c, const struct blob_entry *b)
{
    for (size_t i = 0; b->places && i < b->places->n; i++) {
        struct census_place *p = census_place_at(&c->census, b->places->v[i].file, b->places->v[i].offset);
        if (p) p->state = PLACE_FREED;
    }
}

static err repair_blob(void *arg, const struct blob_entry *b)
{
    struct repair *r = arg;
    struct check *c = r->c;
    const struct census *n = &c->census;
    while (r->at < n->nblobs && n->id[r->at] < b->id) r->at++;
    if (r->at == n->nblobs || n->id[r->at] != b->id) return ERR_OK;
    uint64_t refs = n->refs[r->at] & CENSUS_REFS_MAX;
    bool lowers = refs < b->refs;
    if (refs == b->refs || refs == CENSUS_REFS_MAX || (lowers && c->unknown)) return ERR_OK;
    if (refs == 0) mark_freed(c, b);
    struct log_op op = {.kind = LOG_REFS, .blob = b->id, .refs = refs};
    size_t bound = log_op_bound(&op) + (refs || !b->places ? 0 : 64 + b->places->n * PLACE_BYTES);
    err e = make_room(r, bound);
    if (!e) add_op(r, &op, bound);
    return e;
}

/* ---- counters ---- */

static err repair_counter(struct repair *r, struct memory_node *node)
{
    const int64_t *want = node->value;
    struct view_pin pin = {.value = STR("")};
    err e = view_get(r->c->e->view, node->key, &pin);
    if (e && e != ERR_NOT_FOUND) return e;
    bool wrong = census_counter_wrong(node, pin.value);
    size_t n = pin.value.n / 8 < IDX_COUNTERS_MAX ? pin.value.n / 8 : IDX_COUNTERS_MAX;
    view_unpin(&pin);
    e = wrong ? make_room(r, COUNTER_BOUND) : ERR_OK;
    if (!wrong || e) return e;
    for (size_t i = n; i < IDX_COUNTERS_MAX; i++)
        if (want[i]) n = i + 1;
    char bytes[8 * IDX_COUNTERS_MAX];
    for (size_t i = 0; i < n; i++) put_le64(bytes + 8 * i, (uint64_t)want[i]);
    struct log_op op = {
        .kind = TXN_PUT, .key = node->key, .value = arena_dup(r->arena, str_of(bytes, 8 * n))};
    if (!op.value.p) return ERR_NO_MEMORY;
    add_op(r, &op, COUNTER_BOUND);
    return ERR_OK;
}

static err repair_counters(struct repair *r)
{
    err e = ERR_OK;
    struct memory_node *n = memory_map_seek(r->c->census.counters, STR(""));
    for (; n && !e; n = memory_node_next(n)) e = repair_counter(r, n);
    return e;
}

/* ---- extent files ---- */

/* Frees all of a file but what blobs still claim. */
static err reclaim(struct check *c, uint32_t file, struct view_batch *batch)
{
    size_t n, kept = 0;
    const struct census_place *v = census_places_of(&c->census, file, &n);
    struct extent_place *keep = calloc(n + 1, sizeof *keep);
    uint64_t live = 0, freed = 0;
    if (!keep) return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        if (v[i].state == PLACE_FREED) continue;
        keep[kept] = (struct extent_place){
            .file = file, .offset = (uint64_t)v[i].page * 4096, .disk_len = (uint64_t)v[i].pages * 4096};
        live += keep[kept++].disk_len;
    }
    err e = c->space_wrong ? extents_reclaim(c->e->extents, file, keep, kept, &freed) : ERR_OK;
    free(keep);
    if (e == ERR_CORRUPT || e == ERR_NOT_FOUND) { /* a file that cannot be trusted stays as it is */
        check_finding(c, "extent file %u: its space was not freed (%s)", file, err_name(e));
        return ERR_OK;
    }
    if (freed) c->r->repaired++;
    if (e || (file < c->e->nlive ? c->e->live[file] : 0) == live) return e;
    char key[INNER_KEY_MAX], value[8];
    put_le64(value, live);
    view_batch_put(batch, inner_key(key, INNER_FILE, file), atomic_load(&c->e->visible), str_of(value, 8));
    if (file < c->e->nlive) c->e->live[file] = live;
    extents_set_live(c->e->extents, file, live);
    c->r->repaired++;
    return ERR_OK;
}

/* A file's live count is what the blob table adds up to: it is no part of the log, so it is written to the
 * index alone. */
static err repair_space(struct check *c)
{
    size_t n = extents_files(c->e->extents, NULL, 0);
    uint32_t *files = calloc(n + 1, sizeof *files);
    struct view_batch *batch = view_batch_new();
    err e = files && batch ? ERR_OK : ERR_NO_MEMORY;
    if (!e) n = extents_files(c->e->extents, files, n);
    for (size_t i = 0; i < n && !e; i++) e = reclaim(c, files[i], batch);
    if (!e && view_batch_count(batch)) e = view_write(c->e->view, batch);
    view_batch_free(batch);
    free(files);
    return e ? e : extents_settle_frees(c->e->extents);
}

/* ---- all of it ---- */

err check_repair(struct check *c)
{
    struct repair *r = calloc(1, sizeof *r);
    if (!r || !(r->arena = arena_new(0))) {
        free(r);
        return ERR_NO_MEMORY;
    }
    r->c = c;
    err e = blob_table_walk(c->e->view, repair_blob, r);
    if (!e) e = commit_ops(r);
    if (!e && !c->unknown) e = repair_counters(r);
    if (!e) e = commit_ops(r);
    if (!e && !c->unknown) e = repair_space(c);
    if (!e && c->archive_damaged) {
        e = archive_snapshot(c->e->archive, c->e->view);
        c->r->repaired += !e;
    }
    if (!e && c->unknown)
        check_finding(c, "not everything was understood, so nothing was freed and no count was lowered");
    arena_free(r->arena);
    free(r);
    return e;
}
