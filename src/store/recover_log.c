/* A log that the server would refuse is replaced: what lives in it goes to extents first, as in collection.
 */
#include "store/recover_int.h"
#include "sys/sys.h"

#include <errno.h>

#define MOVE_BLOBS 256u
#define MOVE_BYTES ((size_t)4 << 20)

struct empty {
    struct recover *r;
    struct arena *bodies; /* copies: the record they lie in does not stay */
    struct extent_small small[MOVE_BLOBS];
    struct log_op moves[MOVE_BLOBS];
    size_t n, bytes;
    uint64_t segment, payload_at, done;
};

static err flush(struct empty *m)
{
    struct recover *r = m->r;
    if (m->n == 0) return ERR_OK;
    err e = extents_write_many(r->e->extents, m->small, m->n);
    bool written = e == ERR_OK;
    for (size_t i = 0; i < m->n && !e; i++) {
        struct log_op freed;
        m->moves[i].places = &m->small[i].place;
        m->moves[i].nplaces = 1;
        e = apply_op(&r->apply, r->reached, &m->moves[i], &freed);
    }
    if (!e) e = recover_write(r);
    if (written && !e)
        extents_small_keep(m->small, m->n);
    else if (written)
        extents_small_leave(m->small, m->n);
    m->n = m->bytes = 0;
    arena_reset(m->bodies);
    return e;
}

static err queue(struct empty *m, uint64_t blob, uint64_t segment, uint64_t offset, struct str body,
                 struct str owner)
{
    struct extent_small s = {
        .blob_id = blob, .data = arena_dup(m->bodies, body), .owner = arena_dup(m->bodies, owner)};
    if (!s.data.p || !s.owner.p) return ERR_NO_MEMORY;
    m->moves[m->n] = (struct log_op){.kind = LOG_MOVE, .blob = blob, .segment = segment, .offset = offset};
    m->small[m->n++] = s;
    m->bytes += body.n + owner.n;
    recover_progress(m->r, "move bodies out of the log", ++m->done, "blobs");
    return m->n == MOVE_BLOBS || m->bytes >= MOVE_BYTES ? flush(m) : ERR_OK;
}

static bool lives_there(const struct blob_entry *b, uint64_t segment, uint64_t offset)
{
    return b->where == BLOB_INLINE && b->segment == segment && b->offset == offset;
}

static err move_op(void *arg, uint64_t seq, struct log_op *op)
{
    struct empty *m = arg;
    struct engine *e = m->r->e;
    char key[INNER_KEY_MAX];
    struct cell *c;
    (void)seq;
    if (!op || op->kind != TXN_PUBLISH || op->where != LOG_BODY_INLINE) return ERR_OK;
    err r = cells_pin(e->cells, inner_key(key, INNER_BLOB, op->blob), CELL_BLOB, &c);
    if (r) return r;
    uint64_t offset = op->offset + m->payload_at;
    bool lives = c->present && lives_there(&c->blob, m->segment, offset);
    cells_unpin(e->cells, c);
    if (!lives || log_body_sum(op->blob, op->body) != op->sum) return ERR_OK;
    return queue(m, op->blob, m->segment, offset, op->body, op->owner);
}

static err move_record(void *arg, const struct log_record *rec)
{
    struct empty *m = arg;
    m->segment = rec->segment;
    m->payload_at = log_payload_at(rec);
    err e = log_payload_walk(rec->payload, rec->head.first_seq, rec->head.commits, m->r->arena, move_op, m);
    arena_reset(m->r->arena);
    return e;
}

/* What records did not give: the table says where the body is and what it sums to, so it may be whole
 * although the record around it is not. Whose it is, is lost then. */
static err move_rest(void *arg, const struct blob_entry *b)
{
    struct empty *m = arg;
    struct recover *r = m->r;
    if (b->where != BLOB_INLINE) return ERR_OK;
    char *p = b->size <= EXTENT_SMALL_MAX ? malloc(b->size + 1) : NULL;
    err e = !p ? ERR_CORRUPT : r->log ? log_read(r->log, b->segment, b->offset, p, b->size) : ERR_NOT_FOUND;
    if (!e && log_body_sum(b->id, str_of(p, b->size)) != b->sum) e = ERR_CORRUPT;
    if (!e) {
        e = queue(m, b->id, b->segment, b->offset, str_of(p, b->size), STR(""));
    } else if (e != ERR_NO_MEMORY) {
        struct log_op freed,
            lost = {.kind = LOG_MOVE, .blob = b->id, .segment = b->segment, .offset = b->offset};
        r->out->lost_records++;
        recover_line(r, "blob %llx: its %llu bytes were in the log and are lost", (unsigned long long)b->id,
                     (unsigned long long)b->size);
        e = apply_op(&r->apply, r->reached, &lost, &freed);
        if (!e) e = recover_write(r);
    }
    free(p);
    return e;
}

err recover_empty_log(struct recover *r, char why[512])
{
    struct empty *m = calloc(1, sizeof *m);
    if (!m || !(m->bodies = arena_new(MOVE_BYTES * 4))) {
        free(m);
        return ERR_NO_MEMORY;
    }
    m->r = r;
    char place[512];
    err e = r->log ? log_replay(r->log, 0, move_record, m, place) : ERR_OK;
    if (e) snprintf(why, 512, "%s", place);
    if (!e) e = flush(m);
    if (!e) e = blob_table_walk(r->e->view, move_rest, m);
    if (!e) e = flush(m);
    arena_free(m->bodies);
    free(m);
    return e;
}

err recover_new_log(struct recover *r, const char *suffix, char why[512])
{
    char from[4096], to[4200];
    recover_path(r, "log", from);
    snprintf(to, sizeof to, "%s.old-%s", from, suffix);
    int rc = sys->rename(from, to);
    if (rc >= 0) {
        rc = sys->fsync_dir(r->o->dir);
        recover_line(r, "the old log was set aside as log.old-%s", suffix);
    }
    if (rc < 0 && rc != -ENOENT) {
        snprintf(why, 512, "%.400s cannot be set aside: %s", from, strerror(-rc));
        return err_of_errno(-rc);
    }
    struct log_options o = {
        .dir = r->o->dir, .epoch = r->e->super.epoch, .segment_bytes = ENGINE_SEGMENT_BYTES};
    memcpy(o.store_id, r->e->super.store_id, sizeof o.store_id);
    struct log *l = NULL;
    uint64_t segment, offset;
    err e = log_open(&o, &l, why);
    if (e) return e;
    log_start_at(l, r->reached + 1);
    e = log_reserve(l, LOG_ALIGN, &segment, &offset); /* an empty segment that says where commits go on */
    if (e) snprintf(why, 512, "a new log cannot be begun in %.300s: %s", r->o->dir, err_name(e));
    log_close(l);
    return e;
}
