/* Collection of the log: when it nears its bound, its oldest segment is emptied and given back. What a
 * segment holds that is still needed: bodies of small blobs (moved to extents), commits that the view has
 * only in memory (flushed first), frees not yet done (settled), and its words themselves, for recovery
 * (archived without the bodies).
 *
 * One fiber, started when due. Each step is safe to repeat after a crash: moves are commits like any other.
 */
#include "base/assert.h"
#include "base/log.h"
#include "store/engine_int.h"
#include "store/living.h"
#include "sys/sys.h"

#define MOVE_BLOBS 256u
#define MOVE_BYTES ((size_t)4 << 20)
#define RETRY_NS   (5 * RT_SEC)

struct collect {
    struct engine *e;
    struct arena *ops;    /* of one record */
    struct arena *bodies; /* what waits to be moved: the segment is let go of before the last of it */
    struct living living; /* of a window's bodies */
    struct extent_small small[MOVE_BLOBS];
    size_t move_of[MOVE_BLOBS]; /* the operation of each */
    struct log_op moves[MOVE_BLOBS];
    size_t nsmall, nmoves, bytes;
    struct buf commit, stripped; /* one commit's operations; a record's payload */
    uint32_t nops;
    uint64_t segment, payload_at;
    err failed;
};

/* ---- moving bodies ---- */

/* *seen (may be NULL): readers may have found what a commit that failed says. */
static err submit(struct engine *e, struct log_op *ops, size_t n, bool *seen)
{
    struct commit_req r = {.ops = ops, .nops = n, .bound = 16};
    for (size_t i = 0; i < n; i++) r.bound += 2 * log_op_bound(&ops[i]); /* a move in vain frees its place */
    err e_ = n ? committer_submit(e, &r) : ERR_OK;
    if (seen) *seen = r.taken_back;
    return e_;
}

static bool is_read(struct engine *e, uint64_t blob)
{
    char key[INNER_KEY_MAX];
    struct cell *cell = cells_find(e->cells, inner_key(key, INNER_BLOB, blob));
    if (!cell) return false;
    cells_lock(e->cells);
    bool read = cell->pins > 1;
    cells_unlock(e->cells);
    cells_unpin(e->cells, cell);
    return read;
}

/* The moves were in effect for a while before they were taken back: who has such a blob open may have found
 * its copy. What nobody has open is freed; the rest, after a second, is for the next start to sweep. */
static void free_copies(struct collect *c)
{
    int64_t until = rt_now() + RT_SEC;
    for (size_t i = 0; i < c->nsmall; i++) {
        uint64_t blob = c->small[i].blob_id;
        while (is_read(c->e, blob) && rt_fiber_self() && rt_now() < until) rt_sleep(RT_MS);
        if (is_read(c->e, blob))
            extents_small_leave(&c->small[i], 1);
        else
            extents_small_abandon(&c->small[i], 1);
    }
}

/* One durable write for all, then one commit that says where they are now. */
static err flush_moves(struct collect *c)
{
    if (c->nmoves == 0) return ERR_OK;
    err e = c->nsmall ? extents_write_many(c->e->extents, c->small, c->nsmall) : ERR_OK;
    if (e) return e;
    for (size_t i = 0; i < c->nsmall; i++) {
        struct log_op *op = &c->moves[c->move_of[i]];
        op->places = &c->small[i].place;
        op->nplaces = 1;
    }
    bool seen;
    e = submit(c->e, c->moves, c->nmoves, &seen);
    if (e == ERR_OK) {
        space_wrote(c->e, c->bytes);
        extents_small_keep(c->small, c->nsmall);
    } else if (atomic_load(&c->e->state) == ENGINE_FAILED) {
        extents_small_leave(c->small, c->nsmall);
    } else if (seen) {
        free_copies(c);
    } else { /* nothing will ever point to the copies */
        extents_small_abandon(c->small, c->nsmall);
    }
    c->nsmall = c->nmoves = c->bytes = 0;
    arena_reset(c->bodies);
    return e;
}

/* A body that still lives here is queued to move, as a copy. */
static err consider_body(struct collect *c, const struct log_op *op)
{
    if (!living_has(&c->living, op->blob)) return ERR_OK;
    char key[INNER_KEY_MAX];
    struct cell *cell;
    err e = cells_pin(c->e->cells, inner_key(key, INNER_BLOB, op->blob), CELL_BLOB, &cell);
    if (e) return e;
    uint64_t offset = op->offset + c->payload_at;
    cells_lock(c->e->cells);
    bool lives = cell->present && cell->blob.where == BLOB_INLINE && cell->blob.segment == c->segment &&
                 cell->blob.offset == offset;
    cells_unlock(c->e->cells);
    cells_unpin(c->e->cells, cell);
    rt_breathe();
    if (!lives) return ERR_OK;
    c->moves[c->nmoves] =
        (struct log_op){.kind = LOG_MOVE, .blob = op->blob, .segment = c->segment, .offset = offset};
    if (log_body_sum(op->blob, op->body) == op->sum) {
        struct str data = arena_dup(c->bodies, op->body), owner = arena_dup(c->bodies, op->owner);
        if (!data.p || !owner.p) return ERR_NO_MEMORY;
        c->move_of[c->nsmall] = c->nmoves;
        c->small[c->nsmall++] = (struct extent_small){.blob_id = op->blob, .data = data, .owner = owner};
    } else {
        atomic_fetch_add(&c->e->counts.corrupt_blocks, 1);
        LOG_ERROR("a stored body does not verify and is lost", LF_U("blob", op->blob),
                  LF_U("segment", c->segment));
    }
    c->nmoves++;
    c->bytes += op->body.n;
    return c->nmoves == MOVE_BLOBS || c->bytes >= MOVE_BYTES ? flush_moves(c) : ERR_OK;
}

/* ---- one segment ---- */

static err collect_op(void *arg, uint64_t seq, struct log_op *op)
{
    struct collect *c = arg;
    (void)seq;
    if (!op) { /* the commit's end */
        buf_le32(&c->stripped, c->nops);
        buf_str(&c->stripped, buf_view(&c->commit));
        buf_clear(&c->commit);
        c->nops = 0;
        return ERR_OK;
    }
    err e = ERR_OK;
    struct log_op bare = *op;
    if (op->kind == TXN_PUBLISH && op->where == LOG_BODY_INLINE) {
        e = consider_body(c, op);
        bare.where = LOG_BODY_STRIPPED;
        bare.segment = c->segment;
        bare.offset = op->offset + c->payload_at;
        bare.body = STR_NONE;
    }
    log_op_encode(&c->commit, &bare);
    c->nops++;
    return e;
}

static err collect_record(struct collect *c, const struct log_record *r)
{
    c->segment = r->segment;
    c->payload_at = log_payload_at(r);
    buf_clear(&c->stripped);
    err e = log_payload_walk(r->payload, r->head.first_seq, r->head.commits, c->ops, collect_op, c);
    arena_reset(c->ops);
    if (!e && (c->stripped.overflow || c->commit.overflow)) e = ERR_NO_MEMORY;
    if (!e) e = archive_append(c->e->archive, r->head.first_seq, r->head.commits, buf_view(&c->stripped));
    if (rt_fiber_self()) rt_yield();
    return e;
}

static err ask_op(void *arg, uint64_t seq, struct log_op *op)
{
    struct collect *c = arg;
    (void)seq;
    bool body = op && op->kind == TXN_PUBLISH && op->where == LOG_BODY_INLINE;
    return body ? living_ask(&c->living, op->blob) : ERR_OK;
}

/* What the view does not know any more, although it has all commits of this segment, is not asked about one
 * by one. */
static err collect_window(void *arg, const struct log_record *r, size_t n)
{
    struct collect *c = arg;
    err e = ERR_OK;
    living_clear(&c->living);
    for (size_t i = 0; i < n && !e; i++) {
        e = log_payload_walk(r[i].payload, r[i].head.first_seq, r[i].head.commits, c->ops, ask_op, c);
        arena_reset(c->ops);
        rt_breathe();
    }
    if (!e) e = living_find(&c->living, c->e->view);
    for (size_t i = 0; i < n && !e; i++) e = collect_record(c, &r[i]);
    return e;
}

struct pending_frees {
    struct arena *a;
    uint64_t upto;
    struct log_op ops[256];
    size_t n;
    bool more;
};

static void add_pending(void *arg, const struct cell *c)
{
    struct pending_frees *p = arg;
    if (c->dead_seq > p->upto || !c->blob.places) return;
    struct str v = arena_dup(
        p->a, str_of((const char *)c->blob.places->v, c->blob.places->n * sizeof *c->blob.places->v));
    if (!v.p || p->n == sizeof p->ops / sizeof *p->ops) {
        p->more = true;
        return;
    }
    p->ops[p->n++] = (struct log_op){.kind = LOG_FREE,
                                     .blob = c->blob.id,
                                     .places = (const struct extent_place *)(const void *)v.p,
                                     .nplaces = c->blob.places->n};
}

/* Deleted blobs that readers still hold are not freed yet: the log says it again, further on, before it
 * forgets. */
static err carry_frees(struct engine *e, uint64_t upto)
{
    struct pending_frees *p = calloc(1, sizeof *p);
    if (p) p->a = arena_new(0);
    if (!p || !p->a) {
        free(p);
        return ERR_NO_MEMORY;
    }
    p->upto = upto;
    cells_lock(e->cells);
    cells_each_dead(e->cells, add_pending, p);
    cells_unlock(e->cells);
    err r = p->more ? ERR_NO_MEMORY : submit(e, p->ops, p->n, NULL);
    arena_free(p->a);
    free(p);
    return r;
}

/* A body was left behind that a commit had freed or overwritten, and that commit may not be in the log yet.
 */
static err wait_until_decided(struct engine *e, uint64_t taken_back)
{
    uint64_t begun = atomic_load(&e->batches_begun);
    while (atomic_load(&e->batches_decided) < begun) {
        if (atomic_load(&e->state) == ENGINE_FAILED) return ERR_IO;
        if (rt_fiber_self()) rt_sleep(RT_MS);
    }
    if (atomic_load(&e->state) == ENGINE_FAILED) return ERR_IO;
    return atomic_load(&e->batches_taken_back) == taken_back ? ERR_OK : ERR_NO_SPACE;
}

static err collect_segment(struct collect *c, const struct log_segment_info *s)
{
    struct engine *e = c->e;
    char why[512] = "";
    /* A batch of this segment may still be on its way into the view. */
    while (atomic_load(&e->visible) < s->last_seq) {
        if (atomic_load(&e->state) == ENGINE_FAILED) return ERR_IO;
        if (rt_fiber_self()) rt_sleep(RT_MS);
    }
    uint64_t taken_back = atomic_load(&e->batches_taken_back);
    err r = view_flush(e->view);
    if (r && r != ERR_NO_SPACE) engine_fail(e, "flush the index", r);
    if (!r) r = log_read_segment(e->log, s->number, collect_window, c, why);
    if (!r) r = flush_moves(c);
    if (!r) r = wait_until_decided(e, taken_back);
    if (!r) r = archive_sync(e->archive);
    if (!r) r = carry_frees(e, s->last_seq);
    if (!r) r = extents_settle_frees(e->extents);
    if (!r) r = log_retire(e->log, s->number);
    if (!r) atomic_fetch_add(&e->counts.log_collected, 1);
    if (why[0]) LOG_ERROR("log collection", LF_Z("reason", why));
    return r;
}

/* ---- when ---- */

static uint64_t log_size(struct engine *e)
{
    struct log_stats s;
    log_get_stats(e->log, &s);
    return s.bytes;
}

static bool closing(struct engine *e)
{
    rt_latch_lock(&e->q_lock);
    bool c = e->closing;
    rt_latch_unlock(&e->q_lock);
    return c;
}

/* With q_lock held. */
static void take_log_waiters(struct engine *e, struct list *taken)
{
    list_init(taken);
    for (struct list *w; (w = list_pop(&e->log_waiters));) list_append(taken, w);
}

static void wake(struct list *taken)
{
    for (struct list *w; (w = list_pop(taken));) park_wake(CONTAINER(w, struct park, link));
}

static void wake_log_waiters(struct engine *e)
{
    struct list taken;
    rt_latch_lock(&e->q_lock);
    take_log_waiters(e, &taken);
    rt_latch_unlock(&e->q_lock);
    wake(&taken);
}

static err consider_snapshot(struct engine *e)
{
    uint64_t bound = 2 * view_bytes(e->view);
    if (archive_bytes(e->archive) <= (bound > e->o.archive_bytes ? bound : e->o.archive_bytes)) return ERR_OK;
    return archive_snapshot(e->archive, e->view);
}

static err collect_all(struct engine *e)
{
    struct collect *c = calloc(1, sizeof *c);
    if (!c) return ERR_NO_MEMORY;
    c->e = e;
    c->ops = arena_new(0);
    c->bodies = arena_new(0);
    buf_init(&c->commit, 0);
    buf_init(&c->stripped, 0);
    struct log_segment_info s;
    err r = c->ops && c->bodies ? ERR_OK : ERR_NO_MEMORY;
    while (!r && !closing(e) && log_size(e) > e->o.log_bytes / 2 && log_oldest(e->log, &s) && !s.active) {
        r = collect_segment(c, &s);
        if (!r) wake_log_waiters(e);
        if (!r) r = consider_snapshot(e);
    }
    arena_free(c->ops);
    arena_free(c->bodies);
    buf_free(&c->commit);
    buf_free(&c->stripped);
    living_free(&c->living);
    free(c);
    return r;
}

static void run(void *arg)
{
    struct engine *e = arg;
    rt_set_patient(true);
    err r = collect_all(e);
    if (r && r != ERR_NO_SPACE)
        LOG_WARN("the log could not be collected and is tried again later", LF_Z("error", err_name(r)));
    if (r == ERR_NO_SPACE) space_note_full(e);
    struct list taken;
    rt_latch_lock(&e->q_lock);
    e->collecting = false;
    e->collect_after = r ? (int64_t)sys->mono_ns() + RETRY_NS : 0;
    take_log_waiters(e, &taken);
    engine_background_ended(e);
    rt_latch_unlock(&e->q_lock); /* a close may go on: the engine is not touched any more */
    wake(&taken);
}

void collect_consider(struct engine *e)
{
    if (log_size(e) <= e->o.log_bytes / 4 * 3) return;
    rt_latch_lock(&e->q_lock);
    bool start = !e->collecting && !e->closing && (int64_t)sys->mono_ns() >= e->collect_after;
    if (start) e->collecting = true;
    rt_latch_unlock(&e->q_lock);
    if (!start) return;
    if (!rt_fiber_self()) { /* start-up and tests: in place */
        run(e);
    } else if (!rt_spawn(rt_self(), "store-collect", run, e)) {
        rt_latch_lock(&e->q_lock);
        e->collecting = false;
        rt_latch_unlock(&e->q_lock);
    }
}

/* Writers may outrun collection only so far: then they wait for the next segment that comes back. */
void collect_admit(struct engine *e)
{
    if (log_size(e) <= e->o.log_bytes + 2 * e->segment_bytes) return;
    struct park p;
    rt_latch_lock(&e->q_lock);
    bool wait = e->collecting && rt_fiber_self();
    if (wait) {
        park_init(&p);
        list_append(&e->log_waiters, &p.link);
    }
    rt_latch_unlock(&e->q_lock);
    if (!wait) return;
    uint64_t from = sys->mono_ns();
    archive_hurry(e->archive);
    park_wait(&p);
    atomic_fetch_add(&e->counts.log_waits, 1);
    atomic_fetch_add(&e->counts.log_wait_ns, sys->mono_ns() - from);
}
