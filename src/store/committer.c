/* The committer: fibers of all loops submit transactions; one of them at a time leads. The leader takes what
 * has queued, checks conflicts, gives sequences, encodes one record, writes it with one flush, and passes the
 * lead on; while the next record is on its way to the disk, it applies its own to the view, makes it visible
 * and wakes those who wait.
 *
 * Order of every commit: checked → durable → applied → visible → answered. Records are written in the order
 * of their sequences (one leader), batches are applied in the order of their tickets.
 *
 * Nothing is copied into the queue: a waiting transaction stays in its fiber's arena, so what the queue holds
 * is bounded by the fibers; the committer's own memory is a record of at most BATCH_BYTES, or one
 * transaction, for each batch in flight. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "store/engine_int.h"
#include "sys/sys.h"

#define BATCH_BYTES   ((size_t)2 << 20)
#define BATCH_COMMITS 1024u
#define RECORD_KEEP   ((size_t)4 << 20) /* larger buffers are given back after use */
#define UNREF_SLACK   256u              /* a moved body's one place, should it be freed by this commit */

struct batch {
    struct batch *next;
    struct list reqs; /* of commit_req, in order */
    struct apply apply;
    unsigned char *record;
    size_t cap;
    struct buf payload; /* a window into record */
    uint64_t segment, payload_at, first_seq, ticket;
    uint32_t commits;
    bool has_ticket, refused; /* refused: it takes no turn */
    err e;
};

struct turn_wait {
    struct park park;
    uint64_t ticket;
};

void engine_fail(struct engine *e, const char *what, err why)
{
    int expected = atomic_load(&e->state);
    while (expected != ENGINE_FAILED && !atomic_compare_exchange_weak(&e->state, &expected, ENGINE_FAILED))
        continue;
    if (expected == ENGINE_FAILED) return;
    atomic_fetch_add(&e->counts.io_errors, 1);
    LOG_ERROR("the store has failed and takes no more writes; what is on disk is decided at the next start",
              LF_Z("step", what), LF_Z("error", err_name(why)),
              LF_U("last_commit", atomic_load(&e->visible)));
}

/* ---- batches ---- */

static void batch_free(struct batch *b)
{
    if (!b) return;
    apply_free(&b->apply);
    free(b->record);
    free(b);
}

static struct batch *batch_get(struct engine *e)
{
    rt_latch_lock(&e->q_lock);
    struct batch *b = e->spare_batches;
    if (b) e->spare_batches = b->next;
    rt_latch_unlock(&e->q_lock);
    if (b || !(b = calloc(1, sizeof *b))) return b;
    list_init(&b->reqs);
    if (apply_init(&b->apply, e)) return b;
    batch_free(b);
    return NULL;
}

static void batch_put(struct engine *e, struct batch *b)
{
    if (b->cap > RECORD_KEEP) {
        free(b->record);
        b->record = NULL;
        b->cap = 0;
    }
    rt_latch_lock(&e->q_lock);
    b->next = e->spare_batches;
    e->spare_batches = b;
    rt_latch_unlock(&e->q_lock);
}

void committer_free(struct engine *e)
{
    for (struct batch *b = e->spare_batches, *next; b; b = next) {
        next = b->next;
        batch_free(b);
    }
    e->spare_batches = NULL;
}

static bool batch_room(struct batch *b, size_t payload)
{
    size_t need = LOG_RECORD_HEADER + payload;
    if (need > b->cap) {
        size_t cap = (size_t)64 << 10;
        while (cap < need) cap *= 2;
        free(b->record);
        b->record = log_alloc(cap);
        b->cap = b->record ? cap : 0;
        if (!b->record) return false;
    }
    b->payload = (struct buf){.p = (char *)b->record + LOG_RECORD_HEADER, .cap = b->cap - LOG_RECORD_HEADER};
    b->payload.max = b->payload.cap;
    return true;
}

/* ---- checking one transaction ---- */

static struct log_op op_of(const struct txn_op *t)
{
    struct log_op op = {.kind = t->kind, .key = t->key, .value = t->value, .n = t->n, .blob = t->blob};
    if (t->kind == TXN_ADD) memcpy(op.delta, t->delta, t->n * sizeof *t->delta);
    if (t->kind == TXN_PUBLISH) writer_log_op(t->writer, &op);
    return op;
}

static err check_zero(struct engine *e, const struct txn_check *c)
{
    struct cell *cell;
    err r = cells_pin(e->cells, c->key, CELL_COUNTERS, &cell);
    if (r) return r;
    if (cell->present && (unsigned)c->zero < cell->n && cell->v[c->zero] != 0) r = ERR_CONFLICT;
    cells_unpin(e->cells, cell);
    return r;
}

static bool published_before(const struct idx_txn *t, const struct txn_op *end)
{
    for (const struct txn_op *op = t->ops; op != end; op = op->next)
        if (op->kind == TXN_PUBLISH && op->blob == end->blob) return true;
    return false;
}

/* A reference needs its blob: alive as of the last assigned sequence, or published by this very transaction;
 * counted in the order of the operations. The cells are pinned by the submitter, so nothing is loaded here.
 */
static err check_refs(struct engine *e, const struct idx_txn *t)
{
    err r = ERR_OK;
    for (int pass = 0; pass < 2; pass++)
        for (const struct txn_op *op = t->ops; op && !r; op = op->next) {
            if (op->kind != TXN_REF && op->kind != TXN_UNREF) continue;
            char key[INNER_KEY_MAX];
            struct cell *c;
            r = cells_pin(e->cells, inner_key(key, INNER_BLOB, op->blob), CELL_BLOB, &c);
            if (r) break;
            uint64_t *trial = &c->blob.trial;
            if (pass == 0)
                *trial = c->present ? c->blob.refs : 0;
            else if (op->kind == TXN_UNREF)
                *trial -= *trial > 0;
            else if (c->present ? (*trial)++ == 0 : !published_before(t, op))
                r = ERR_CONFLICT;
            cells_unpin(e->cells, c);
        }
    return r;
}

static err check(struct engine *e, const struct idx_txn *t)
{
    bool refs = false;
    for (const struct txn_check *c = t->checks; c; c = c->next) {
        err r = ERR_OK;
        if (c->zero >= 0)
            r = check_zero(e, c);
        else if (resolver_conflicts(e->resolver, c->key, t->read_seq))
            r = ERR_CONFLICT;
        if (r) return r;
    }
    for (const struct txn_op *op = t->ops; op && !refs; op = op->next) refs = op->kind == TXN_REF;
    return refs ? check_refs(e, t) : ERR_OK;
}

/* ---- one batch ---- */

/* Encode one operation and let it take effect in memory. */
static err take_op(struct engine *e, struct batch *b, uint64_t seq, struct log_op *op, uint64_t *count)
{
    log_op_encode(&b->payload, op);
    if (op->kind == TXN_PUBLISH && op->where == LOG_BODY_INLINE) {
        op->segment = b->segment;
        op->offset += b->payload_at;
    }
    if (op->kind == TXN_PUT || op->kind == TXN_DEL) resolver_note(e->resolver, op->key, seq);
    ++*count;
    struct log_op freed;
    err r = apply_op(&b->apply, seq, op, &freed);
    if (r || freed.kind == 0) return r;
    log_op_encode(&b->payload, &freed);
    ++*count;
    return ERR_OK;
}

#define COUNT_BYTES 4u /* of operations, at the beginning of each commit */

static err take(struct engine *e, struct batch *b, struct commit_req *r)
{
    r->e = r->txn ? check(e, r->txn) : ERR_OK;
    if (r->e) {
        if (r->e == ERR_CONFLICT) atomic_fetch_add(&e->counts.conflicts, 1);
        return ERR_OK;
    }
    uint64_t count = 0, seq = b->first_seq + b->commits;
    size_t at = b->payload.n;
    buf_le32(&b->payload, 0); /* the count is known at the end */
    err fatal = ERR_OK;
    if (r->txn)
        for (const struct txn_op *t = r->txn->ops; t && !fatal; t = t->next) {
            struct log_op op = op_of(t);
            fatal = take_op(e, b, seq, &op, &count);
        }
    else
        for (size_t i = 0; i < r->nops && !fatal; i++) fatal = take_op(e, b, seq, &r->ops[i], &count);
    if (fatal) return fatal;
    ASSERT(!b->payload.overflow && b->payload.n - at <= r->bound);
    put_le32(b->payload.p + at, (uint32_t)count);
    r->seq = seq;
    b->commits++;
    return ERR_OK;
}

/* What has queued, as far as it fits into one record: the head in any case. Returns the most payload it can
 * take. */
static size_t gather(struct engine *e, struct batch *b)
{
    size_t total = 0, limit = BATCH_BYTES, room = log_room(e->log);
    unsigned n = 0;
    rt_latch_lock(&e->q_lock);
    while (!list_empty(&e->queue) && n < BATCH_COMMITS) {
        struct commit_req *r = CONTAINER(e->queue.next, struct commit_req, link);
        if (n == 0 && room >= r->bound && room < limit) limit = room;
        if (n > 0 && total + r->bound > limit) break;
        list_remove(&r->link);
        list_append(&b->reqs, &r->link);
        total += r->bound;
        n++;
    }
    atomic_fetch_sub(&e->counts.queue_depth, n);
    rt_latch_unlock(&e->q_lock);
    return total;
}

static void fail_all(struct batch *b, err e)
{
    LIST_EACH(it, &b->reqs) CONTAINER(it, struct commit_req, link)->e = e;
}

static void take_ticket(struct engine *e, struct batch *b)
{
    rt_latch_lock(&e->q_lock);
    if (!b->has_ticket) b->ticket = e->next_ticket++;
    b->has_ticket = true;
    rt_latch_unlock(&e->q_lock);
}

static void wait_for_turn(struct engine *e, uint64_t ticket)
{
    struct turn_wait w = {.ticket = ticket};
    rt_latch_lock(&e->q_lock);
    bool mine = e->turn == ticket;
    if (!mine) {
        park_init(&w.park);
        list_append(&e->turn_waiters, &w.park.link);
    }
    rt_latch_unlock(&e->q_lock);
    if (!mine) park_wait(&w.park);
}

/* The record did not come into the log, so what its commits did in memory is taken back and they fail, all
 * of them: what one was refused for may have been another's doing. Nothing else rests on them, for the lead
 * was not passed on; and once all earlier batches are in the view, the view says what was before. */
static void take_back(struct engine *e, struct batch *b)
{
    take_ticket(e, b);
    wait_for_turn(e, b->ticket);
    err r = atomic_load(&e->state) == ENGINE_FAILED ? ERR_IO : apply_undo(&b->apply, b->first_seq);
    if (r) {
        engine_fail(e, "take a commit back", r);
        b->e = ERR_IO;
        return;
    }
    resolver_take_back(e->resolver, b->first_seq);
    atomic_fetch_add(&e->batches_taken_back, 1);
    LIST_EACH(it, &b->reqs) CONTAINER(it, struct commit_req, link)->taken_back = true;
}

/* Those in the queue have had no effect yet; the caller holds the lead. */
static void refuse_queued(struct engine *e)
{
    struct list taken, *it;
    unsigned n = 0;
    list_init(&taken);
    rt_latch_lock(&e->q_lock);
    for (; (it = list_pop(&e->queue)); n++) list_append(&taken, it);
    atomic_fetch_sub(&e->counts.queue_depth, n);
    rt_latch_unlock(&e->q_lock);
    while ((it = list_pop(&taken))) {
        struct commit_req *r = CONTAINER(it, struct commit_req, link);
        r->e = ERR_NO_SPACE;
        park_wake(&r->park);
    }
}

/* ERR_NO_SPACE: there is no such record, and never will be. While that cannot be proven the commits can
 * neither succeed nor fail: they alone wait, and the whole record is written anew. */
static err append_record(struct engine *e, struct batch *b)
{
    err r;
    bool waited = false;
    while ((r = log_append(e->log, b->record, b->payload.n, b->commits)) == ERR_NO_SPACE) {
        space_note_full(e);
        if (space_release_ballast(e)) continue;
        err why = log_withdraw(e->log);
        if (!why) break;
        refuse_queued(e);
        r = ERR_IO;
        if ((why != ERR_NO_SPACE && why != ERR_NO_MEMORY) || !space_wait(e)) break;
        waited = true;
    }
    if (waited) space_unstuck(e);
    return r;
}

/* Durable already, so for space it waits here, too. */
static err apply_to_view(struct engine *e, struct batch *b)
{
    err r;
    bool waited = false;
    while ((r = view_write(e->view, b->apply.batch)) == ERR_NO_SPACE && space_wait(e)) waited = true;
    if (waited) space_unstuck(e);
    return r;
}

/* Checks, encodes and writes; b->e says whether the accepted ones are durable. */
static void write_batch(struct engine *e, struct batch *b, size_t bound)
{
    b->commits = 0;
    b->has_ticket = false;
    b->e = ERR_OK;
    /* It would wait behind what is stuck, or be stuck itself. */
    b->refused = atomic_load(&e->stuck) || view_stuck(e->view);
    if (b->refused) {
        fail_all(b, ERR_NO_SPACE);
        return;
    }
    if (atomic_load(&e->state) == ENGINE_FAILED) {
        fail_all(b, ERR_IO);
        return;
    }
    err r = batch_room(b, bound) ? log_reserve(e->log, bound, &b->segment, &b->payload_at) : ERR_NO_MEMORY;
    if (r == ERR_NO_SPACE && space_release_ballast(e))
        r = log_reserve(e->log, bound, &b->segment, &b->payload_at);
    if (r) {
        if (r == ERR_NO_SPACE) space_note_full(e);
        if (r != ERR_NO_SPACE && r != ERR_NO_MEMORY) engine_fail(e, "begin a log segment", r);
        fail_all(b, r);
        return;
    }
    b->first_seq = log_next_seq(e->log);
    atomic_fetch_add(&e->batches_begun, 1);
    err fatal = ERR_OK;
    LIST_EACH(it, &b->reqs) if (!fatal) fatal = take(e, b, CONTAINER(it, struct commit_req, link));
    if (fatal) {
        engine_fail(e, "apply a commit", fatal);
        b->e = ERR_IO;
    } else if (b->commits > 0) {
        b->e = append_record(e, b);
        if (b->e == ERR_NO_SPACE) {
            take_back(e, b);
        } else if (b->e) {
            engine_fail(e, "write the log", b->e);
            b->e = ERR_IO;
        }
        /* Before the next leader changes the counts of files that go into the view with this batch. */
        if (!b->e) apply_seal(&b->apply, b->first_seq + b->commits - 1);
    }
    atomic_fetch_add(&e->batches_decided, 1);
    if (b->e) fail_all(b, b->e);
}

static void pass_the_lead(struct engine *e, struct batch *b)
{
    struct commit_req *next = NULL;
    if (!b->refused) take_ticket(e, b);
    rt_latch_lock(&e->q_lock);
    if (list_empty(&e->queue)) {
        e->leading = false;
    } else {
        next = CONTAINER(e->queue.next, struct commit_req, link);
        next->lead = true;
    }
    rt_latch_unlock(&e->q_lock);
    if (next) park_wake(&next->park);
}

static void end_turn(struct engine *e)
{
    struct turn_wait *next = NULL;
    rt_latch_lock(&e->q_lock);
    e->turn++;
    LIST_EACH(it, &e->turn_waiters)
    {
        struct turn_wait *w = CONTAINER(it, struct turn_wait, park.link);
        if (w->ticket == e->turn) next = w;
    }
    if (next) list_remove(&next->park.link);
    rt_latch_unlock(&e->q_lock);
    if (next) park_wake(&next->park);
}

static void count_batch(struct engine *e, const struct batch *b)
{
    struct engine_counts *c = &e->counts;
    atomic_fetch_add(&c->commits, b->commits);
    atomic_fetch_add(&c->batches, 1);
    atomic_fetch_add(&c->commit_bytes, b->payload.n);
    if (b->commits > atomic_load(&c->batch_max)) atomic_store(&c->batch_max, b->commits);
    unsigned slot = 31u - (unsigned)__builtin_clz(b->commits);
    atomic_fetch_add(&c->batch_hist[slot > 15 ? 15 : slot], 1);
}

static void apply_batch(struct engine *e, struct batch *b)
{
    if (b->commits > 0 && !b->e) {
        /* A batch before this one may have failed: then the view must not run ahead of it. */
        if (atomic_load(&e->state) == ENGINE_FAILED) b->e = ERR_IO;
        uint64_t last = b->first_seq + b->commits - 1;
        if (!b->e) {
            b->e = apply_to_view(e, b);
            if (b->e) engine_fail(e, "apply to the index", b->e);
        }
        if (b->e)
            fail_all(b, b->e = ERR_IO);
        else
            atomic_store(&e->visible, last);
        count_batch(e, b);
    }
    apply_release(&b->apply);
}

static void lead(struct engine *e, struct commit_req *own)
{
    struct batch *b = batch_get(e);
    struct batch empty = {0};
    if (!b) { /* no memory: the own commit fails, the others get another leader */
        rt_latch_lock(&e->q_lock);
        list_remove(&own->link);
        atomic_fetch_sub(&e->counts.queue_depth, 1);
        rt_latch_unlock(&e->q_lock);
        own->e = ERR_NO_MEMORY;
        pass_the_lead(e, &empty);
        wait_for_turn(e, empty.ticket);
        end_turn(e);
        return;
    }
    size_t bound = gather(e, b);
    write_batch(e, b, bound);
    pass_the_lead(e, b);
    if (!b->refused) {
        wait_for_turn(e, b->ticket);
        apply_batch(e, b);
        end_turn(e);
    }
    struct list *it;
    while ((it = list_pop(&b->reqs))) {
        struct commit_req *r = CONTAINER(it, struct commit_req, link);
        if (r != own) park_wake(&r->park);
    }
    batch_put(e, b);
}

/* The caller's own request is always in the batch it leads: the lead goes to the head of the queue. */
err committer_submit(struct engine *e, struct commit_req *r)
{
    if (LOG_RECORD_HEADER + r->bound + 2 * LOG_ALIGN > e->segment_bytes) return ERR_ENTITY_TOO_LARGE;
    park_init(&r->park);
    r->lead = r->taken_back = false;
    r->e = ERR_OK;
    rt_latch_lock(&e->q_lock);
    list_append(&e->queue, &r->link);
    uint64_t depth = atomic_fetch_add(&e->counts.queue_depth, 1) + 1;
    if (depth > atomic_load(&e->counts.queue_peak)) atomic_store(&e->counts.queue_peak, depth);
    bool leader = !e->leading;
    e->leading = true;
    rt_latch_unlock(&e->q_lock);
    if (!leader) {
        park_wait(&r->park);
        leader = r->lead;
    }
    if (leader) lead(e, r);
    return r->e;
}

/* ---- the seam ---- */

/* Cells that the checks and operations of t need, pinned before it queues, so that the leader never waits for
 * the disk. Also adds up what the transaction can take in the log. */
static err pin_cells(struct engine *e, struct idx_txn *t, struct cell **cells, unsigned *n, size_t *bound)
{
    err r = ERR_OK;
    char key[INNER_KEY_MAX];
    for (const struct txn_op *t_op = t->ops; t_op && !r; t_op = t_op->next) {
        struct log_op op = op_of(t_op);
        *bound += log_op_bound(&op);
        if (op.kind == TXN_ADD)
            r = cells_pin(e->cells, op.key, CELL_COUNTERS, &cells[*n]);
        else if (op.kind == TXN_REF || op.kind == TXN_UNREF)
            r = cells_pin(e->cells, inner_key(key, INNER_BLOB, op.blob), CELL_BLOB, &cells[*n]);
        else
            continue;
        if (r) break;
        struct cell *c = cells[(*n)++];
        if (op.kind != TXN_UNREF) continue;
        cells_lock(e->cells);
        *bound += UNREF_SLACK + (c->blob.places ? c->blob.places->n * 50 : 0);
        cells_unlock(e->cells);
    }
    for (const struct txn_check *c = t->checks; c && !r; c = c->next) {
        if (c->zero < 0) continue;
        r = cells_pin(e->cells, c->key, CELL_COUNTERS, &cells[*n]);
        if (!r) ++*n;
    }
    return r;
}

static err commit(struct idx *x, struct idx_txn *t, uint64_t *seq)
{
    struct engine *e = engine_of_idx(x);
    CHECK_MAGIC(e, ENGINE_MAGIC);
    uint64_t from = sys->mono_ns();
    err r = space_admit(e, t->takes_space ? SPACE_TAKES : t->hides ? SPACE_HIDES : SPACE_GIVES_BACK);
    if (r) return r;
    struct cell **cells = ARENA_ARRAY(t->arena, struct cell *, (size_t)t->n_ops + t->n_checks + 1);
    if (!cells) return ERR_NO_MEMORY;
    struct commit_req req = {.txn = t, .bound = COUNT_BYTES};
    unsigned n = 0;
    r = pin_cells(e, t, cells, &n, &req.bound);
    if (!r) collect_admit(e);
    if (!r) r = committer_submit(e, &req);
    if (!r)
        for (struct txn_op *op = t->ops; op; op = op->next)
            if (op->kind == TXN_PUBLISH) writer_published(op->writer);
    while (n > 0) cells_unpin(e->cells, cells[--n]);
    if (r) return r;
    *seq = req.seq;
    atomic_fetch_add(&e->counts.commit_ns_sum, sys->mono_ns() - from);
    space_wrote(e, req.bound);
    collect_consider(e);
    return ERR_OK;
}

static uint64_t now(struct idx *x)
{
    return atomic_load(&engine_of_idx(x)->visible);
}

static err get(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq)
{
    struct engine *e = engine_of_idx(x);
    struct view_pin pin;
    err r = view_get(e->view, key, &pin);
    if (r) return r;
    *value = arena_dup(a, pin.value);
    *seq = pin.seq;
    view_unpin(&pin);
    return value->p ? ERR_OK : ERR_NO_MEMORY;
}

static err get_hot(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq)
{
    return view_get_hot(engine_of_idx(x)->view, a, key, value, seq);
}

static err scan(struct idx *x, const struct idx_range *r, idx_scan_fn *fn, void *arg)
{
    return view_scan(engine_of_idx(x)->view, r, false, fn, arg);
}

const struct idx_ops engine_idx_ops = {now, get, get_hot, scan, commit};
