/* Recovery: the index rebuilt from archive, log and extents alone.
 *
 *   1. the newest whole snapshot, the archived records after it, the log after those
 *   2. if any of it was damaged: extents that no record names tell by their owner bytes what they were
 *   3. if the log was damaged: what it holds moves to extents, and a new log begins, since the old one would
 * be refused
 *
 * The old index, and a damaged log, are set aside, not removed. */
#include "base/assert.h"
#include "base/bytes.h"
#include "store/engine_int.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdarg.h>

#define LINES_MAX  10000u
#define MOVE_BLOBS 64u

struct recover {
    struct engine *e;
    struct recover_report *out;
    struct store_progress progress;
    struct apply apply;
    struct arena *arena;
    uint64_t reached;  /* the last commit that is in the view */
    uint64_t snapshot; /* of this commit */
    bool entries_ended, damaged, log_damaged;
    unsigned lines;
    /* moving bodies out of a damaged log */
    struct extent_small small[MOVE_BLOBS];
    struct log_op moves[MOVE_BLOBS];
    size_t nmoves;
};

static void __attribute__((format(printf, 2, 3))) say(struct recover *r, const char *fmt, ...)
{
    char line[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (++r->lines > LINES_MAX) return;
    buf_cstr(&r->out->lines, line);
    buf_char(&r->out->lines, '\n');
}

static void show(struct recover *r, const char *phase, uint64_t done, const char *unit)
{
    if (r->progress.fn && done % 256 == 0) r->progress.fn(r->progress.arg, phase, done, 0, unit);
}

/* ---- 1. archive and log ---- */

static err write_batch(struct recover *r, uint64_t seq)
{
    apply_seal(&r->apply, seq);
    err e = view_write(r->e->view, r->apply.batch);
    apply_release(&r->apply);
    r->reached = seq;
    return e;
}

static err on_entry(void *arg, uint64_t snapshot_seq, struct str key, uint64_t seq, struct str value)
{
    struct recover *r = arg;
    r->snapshot = snapshot_seq;
    r->out->entries++;
    view_batch_put(r->apply.batch, key, seq, value);
    show(r, "read the snapshot", r->out->entries, "entries");
    return view_batch_count(r->apply.batch) >= 1000 ? view_write(r->e->view, r->apply.batch) : ERR_OK;
}

static err end_entries(struct recover *r)
{
    if (r->entries_ended) return ERR_OK;
    r->entries_ended = true;
    if (!r->snapshot) return ERR_OK;
    err e = write_batch(r, r->snapshot);
    return e ? e : engine_load_live(r->e);
}

struct walk {
    struct recover *r;
    uint64_t segment, payload_at;
};

static err on_op(void *arg, uint64_t seq, struct log_op *op)
{
    struct walk *w = arg;
    if (!op || seq <= w->r->reached) return ERR_OK;
    if (op->kind == TXN_PUBLISH && op->where == LOG_BODY_INLINE) {
        op->segment = w->segment;
        op->offset += w->payload_at;
    }
    struct log_op freed;
    return apply_op(&w->r->apply, seq, op, &freed);
}

static err take_commits(struct recover *r, struct str payload, uint64_t first, uint32_t commits,
                        struct walk w)
{
    uint64_t last = first + commits - 1;
    w.r = r;
    if (last <= r->reached) return ERR_OK;
    err e = log_payload_walk(payload, first, commits, r->arena, on_op, &w);
    arena_reset(r->arena);
    if (!e) e = write_batch(r, last);
    r->out->log_records += commits;
    show(r, "replay commits", r->out->log_records, "commits");
    return e;
}

static err on_archived(void *arg, uint64_t first_seq, uint32_t commits, struct str payload)
{
    struct recover *r = arg;
    err e = end_entries(r);
    return e ? e : take_commits(r, payload, first_seq, commits, (struct walk){0});
}

static void on_damage(void *arg, const char *line)
{
    struct recover *r = arg;
    r->damaged = true;
    say(r, "%s", line);
}

static err on_record(void *arg, const struct log_record *rec)
{
    struct recover *r = arg;
    uint64_t first = rec->head.first_seq;
    if (first > r->reached + 1) {
        uint64_t lost = first - r->reached - 1;
        r->out->lost_records += lost;
        r->damaged = true;
        say(r, "commits %llu to %llu are lost", (unsigned long long)r->reached + 1,
            (unsigned long long)first - 1);
    }
    return take_commits(r, rec->payload, first, rec->head.commits,
                        (struct walk){.segment = rec->segment, .payload_at = log_payload_at(rec)});
}

static err read_everything(struct recover *r, char why[512])
{
    struct archive_reader ar = {on_entry, on_archived, on_damage, r};
    uint64_t last;
    err e = archive_read(r->e->dir, r->e->super.store_id, &ar, &last);
    if (!e) e = end_entries(r);
    if (e) {
        snprintf(why, 512, "the archive in %.300s cannot be read: %s", r->e->dir, err_name(e));
        return e;
    }
    char damage[512] = "";
    e = log_replay(r->e->log, r->reached, on_record, r, damage);
    r->log_damaged = log_damage(r->e->log) > 0;
    if (r->log_damaged) {
        r->damaged = true;
        say(r, "%s", damage);
    }
    if (e) snprintf(why, 512, "the log in %.300s cannot be read: %s", r->e->dir, err_name(e));
    return e;
}

/* ---- 2. extents that no record names ---- */

/* Owner bytes: format 1, then pairs of key and value. */
static bool owner_entries(struct str owner, struct rd *pairs)
{
    if (owner.n < 2 || owner.p[0] != 1) return false;
    *pairs = rd_of(str_slice(owner, 1, owner.n));
    return true;
}

static err adopt_entries(struct recover *r, struct rd *pairs, uint64_t seq, unsigned *n)
{
    while (rd_left(pairs) > 0) {
        struct view_pin pin;
        struct log_op op = {.kind = TXN_PUT, .key = rd_lenstr(pairs), .value = rd_lenstr(pairs)}, freed;
        if (pairs->bad || op.key.n < 8 || op.key.n > IDX_KEY_MAX) return ERR_OK;
        err e = view_get(r->e->view, op.key, &pin);
        if (e == ERR_OK) view_unpin(&pin);
        if (e != ERR_NOT_FOUND) continue; /* a later version is there */
        e = apply_op(&r->apply, seq, &op, &freed);
        if (e) return e;
        ++*n;
    }
    return ERR_OK;
}

/* Only blobs of one extent: of longer ones the log or the archive is needed to know all parts. */
static bool on_extent(void *arg, const struct extent_visit *v)
{
    struct recover *r = arg;
    struct rd pairs;
    r->out->extents++;
    show(r, "read extents", r->out->extents, "extents");
    if (v->open || engine_knows(r->e, v)) return true;
    if (!r->damaged || !v->last || v->blob_off != 0 || !owner_entries(v->owner, &pairs)) return true;
    char key[INNER_KEY_MAX];
    struct view_pin pin;
    if (view_get(r->e->view, inner_key(key, INNER_BLOB, v->blob_id), &pin) == ERR_OK) {
        view_unpin(&pin);
        return true;
    }
    uint64_t seq = r->reached + 1;
    unsigned n = 0;
    struct log_op freed, publish = {.kind = TXN_PUBLISH,
                                    .blob = v->blob_id,
                                    .size = v->blob_size,
                                    .where = LOG_BODY_EXTENTS,
                                    .places = &v->place,
                                    .nplaces = 1};
    err e = adopt_entries(r, &pairs, seq, &n);
    if (!e && n > 0) {
        e = apply_op(&r->apply, seq, &publish, &freed);
        if (!e) e = write_batch(r, seq);
        say(r, "blob %llu, %llu bytes: no record named it; its extent gave back %u entries",
            (unsigned long long)v->blob_id, (unsigned long long)v->blob_size, n);
    }
    return e == ERR_OK;
}

/* ---- 3. a damaged log ---- */

static err flush_moves(struct recover *r)
{
    if (r->nmoves == 0) return ERR_OK;
    err e = extents_write_many(r->e->extents, r->small, r->nmoves);
    for (size_t i = 0; i < r->nmoves && !e; i++) {
        struct log_op freed;
        r->moves[i].places = &r->small[i].place;
        r->moves[i].nplaces = 1;
        e = apply_op(&r->apply, r->reached, &r->moves[i], &freed);
    }
    if (!e) e = write_batch(r, r->reached);
    r->nmoves = 0;
    return e;
}

static err move_op(void *arg, uint64_t seq, struct log_op *op)
{
    struct walk *w = arg;
    struct recover *r = w->r;
    char key[INNER_KEY_MAX];
    struct cell *c;
    (void)seq;
    if (!op || op->kind != TXN_PUBLISH || op->where != LOG_BODY_INLINE) return ERR_OK;
    err e = cells_pin(r->e->cells, inner_key(key, INNER_BLOB, op->blob), CELL_BLOB, &c);
    if (e) return e;
    uint64_t offset = op->offset + w->payload_at;
    bool lives = c->present && c->blob.where == BLOB_INLINE && c->blob.segment == w->segment &&
                 c->blob.offset == offset;
    cells_unpin(r->e->cells, c);
    if (!lives || log_body_sum(op->blob, op->body) != op->sum) return ERR_OK;
    r->moves[r->nmoves] =
        (struct log_op){.kind = LOG_MOVE, .blob = op->blob, .segment = w->segment, .offset = offset};
    r->small[r->nmoves++] = (struct extent_small){.blob_id = op->blob, .data = op->body, .owner = op->owner};
    return r->nmoves == MOVE_BLOBS ? flush_moves(r) : ERR_OK;
}

static err move_record(void *arg, const struct log_record *rec)
{
    struct walk w = {arg, rec->segment, log_payload_at(rec)};
    err e = log_payload_walk(rec->payload, rec->head.first_seq, rec->head.commits, w.r->arena, move_op, &w);
    if (!e) e = flush_moves(w.r); /* the bytes are the record's */
    arena_reset(w.r->arena);
    return e;
}

static err replace_log(struct recover *r, char why[512])
{
    int64_t now = sys->real_ms();
    char damage[512];
    err e = log_replay(r->e->log, 0, move_record, r, damage);
    if (!e) e = view_flush(r->e->view);
    struct archive *a = NULL;
    if (!e) e = archive_open(r->e->dir, r->e->super.store_id, &a, why);
    if (!e) e = archive_snapshot(a, r->e->view);
    archive_close(a);
    if (!e) e = log_restart(r->e->log, r->reached + 1, now);
    if (e)
        snprintf(why, 512, "a new log could not be begun in %.300s: %s", r->e->dir, err_name(e));
    else
        say(r, "the damaged log was set aside as log.old-%lld", (long long)now);
    return e;
}

/* ---- all of it ---- */

static err set_index_aside(struct engine *e, char why[512])
{
    char from[4096], to[4096];
    snprintf(from, sizeof from, "%s/index", e->dir);
    snprintf(to, sizeof to, "%s/index.old-%lld", e->dir, (long long)sys->real_ms());
    int rc = sys->rename(from, to);
    if (rc == -ENOENT) return ERR_OK;
    if (rc >= 0) rc = sys->fsync_dir(e->dir);
    if (rc < 0) snprintf(why, 512, "the old index in %.300s cannot be set aside: %s", e->dir, strerror(-rc));
    return rc < 0 ? err_of_errno(-rc) : ERR_OK;
}

static err open_super(struct recover *r, char why[512])
{
    struct engine *e = r->e;
    uint64_t epoch = 0;
    err x = super_load(e->dir, true, &e->super, why);
    if (x == ERR_NOT_FOUND || x == ERR_CORRUPT) {
        x = log_identity(e->dir, e->super.store_id, &epoch);
        if (x) {
            snprintf(why, 512,
                     "%.300s holds neither a readable ingot.super nor a log: it is not a data directory",
                     e->dir);
            return ERR_INVALID_SETTING;
        }
        say(r, "ingot.super was missing or damaged and is made anew");
        e->super.epoch = epoch;
        e->super.created_ms = sys->real_ms();
    }
    if (x) return x;
    e->super.epoch++;
    e->super.clean_seq = 0;
    return super_save(e->dir, &e->super, why);
}

static err open_parts(struct recover *r, char why[512])
{
    struct engine *e = r->e;
    char index[4096];
    err x = super_lock(e->dir, &e->lock_fd, why);
    if (!x) x = open_super(r, why);
    if (!x) x = set_index_aside(e, why);
    snprintf(index, sizeof index, "%s/index", e->dir);
    struct view_options vo = {.dir = index, .cache = e->o.index_cache};
    if (!x) x = view_open(&vo, &e->view, why);
    struct log_options lo = {
        .dir = e->dir, .epoch = e->super.epoch, .segment_bytes = e->segment_bytes, .salvage = true};
    memcpy(lo.store_id, e->super.store_id, sizeof lo.store_id);
    if (!x) x = log_open(&lo, &e->log, why);
    struct extents_options xo = {.dir = e->dir};
    if (!x) x = extents_open(&xo, &e->extents, why);
    if (!x) x = engine_make_memory(e);
    return x;
}

static enum idx_step count_entry(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct recover_report *out = arg;
    (void)value, (void)seq, (void)seek;
    if (get_be64(key.p) != IDX_SHARD_INTERNAL)
        out->entries++;
    else if (key.p[8] == INNER_BLOB)
        out->blobs++;
    return IDX_NEXT;
}

static err recover_all(struct recover *r, char why[512])
{
    err e = open_parts(r, why);
    if (!e) e = apply_init(&r->apply, r->e) ? ERR_OK : ERR_NO_MEMORY;
    if (e) return e;
    e = read_everything(r, why);
    if (!e) e = extents_scan(r->e->extents, false, on_extent, NULL, r);
    if (!e && r->log_damaged) e = replace_log(r, why);
    if (!e) e = view_flush(r->e->view);
    r->out->entries = 0;
    struct idx_range all = {STR(""), STR_NONE, false};
    if (!e) e = view_scan(r->e->view, &all, true, count_entry, r->out);
    apply_free(&r->apply);
    if (!e && r->damaged) say(r, "run ingot check --repair: counters and references may need it");
    return e;
}

err engine_recover(const char *dir, struct store_progress progress, struct recover_report *out, char why[512])
{
    *out = (struct recover_report){0};
    buf_init(&out->lines, 0);
    snprintf(why, 512, "the recovery of %.300s failed", dir);
    struct recover *r = calloc(1, sizeof *r);
    struct engine_options o = {.dir = dir};
    if (!r || !(r->e = engine_new(&o, why))) {
        free(r);
        return ERR_NO_MEMORY;
    }
    r->out = out;
    r->progress = progress;
    r->arena = arena_new(0);
    err e = r->arena ? recover_all(r, why) : ERR_NO_MEMORY;
    arena_free(r->arena);
    engine_free(r->e);
    free(r);
    return e;
}
