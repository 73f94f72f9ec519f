/* Archive and log: every frame and record verifies and decodes, and no commit is missing between them. */
#include "store/check_int.h"
#include "base/array.h"
#include "store/history.h"

struct log_walk_state {
    struct check *c;
    struct arena *arena;
    uint64_t records;
};

static void on_damage(void *arg, const char *line)
{
    struct log_walk_state *s = arg;
    s->c->r->log_errors++;
    if (strncmp(line, "archive:", 8) == 0) s->c->archive_damaged = true;
    check_finding(s->c, "%s", line);
}

static void on_gap(void *arg, uint64_t first, uint64_t last)
{
    (void)arg, (void)first, (void)last; /* a line of damage says it too */
}

static err on_entry(void *arg, struct str key, uint64_t seq, struct str value)
{
    (void)arg, (void)key, (void)seq, (void)value;
    return ERR_OK;
}

static err note_pending(struct check *c, const struct log_op *op)
{
    for (size_t i = 0; i < op->nplaces; i++) {
        if (!array_grow(&c->pending, &c->pending_cap, c->npending + 1, sizeof *c->pending, SIZE_MAX))
            return ERR_NO_MEMORY;
        c->pending[c->npending++] = (uint64_t)op->places[i].file << 32 | op->places[i].offset / LOG_ALIGN;
    }
    return ERR_OK;
}

static err on_op(void *arg, uint64_t seq, struct log_op *op)
{
    (void)arg, (void)seq, (void)op; /* that it decodes is all */
    return ERR_OK;
}

static err on_record(void *arg, const struct log_record *rec, uint64_t from)
{
    struct log_walk_state *s = arg;
    (void)from;
    err e = log_payload_walk(rec->payload, rec->head.first_seq, rec->head.commits, s->arena, on_op, s);
    arena_reset(s->arena);
    if (e == ERR_CORRUPT || e == ERR_UNSUPPORTED_FORMAT) {
        s->c->r->log_errors++;
        s->c->unknown = true;
        check_finding(s->c, "%s: the record of commit %llu does not decode", rec->segment ? "log" : "archive",
                      (unsigned long long)rec->head.first_seq);
        e = ERR_OK;
    }
    if (++s->records % 256 == 0) check_progress(s->c, "read archive and log", s->records, 0, "records");
    return e;
}

/* What the next start frees again because the log says so. */
static err pending_op(void *arg, uint64_t seq, struct log_op *op)
{
    (void)seq;
    return op && op->kind == LOG_FREE ? note_pending(arg, op) : ERR_OK;
}

static err pending_record(void *arg, const struct log_record *rec)
{
    struct log_walk_state *s = arg;
    err e =
        log_payload_walk(rec->payload, rec->head.first_seq, rec->head.commits, s->arena, pending_op, s->c);
    arena_reset(s->arena);
    return e == ERR_NO_MEMORY ? e : ERR_OK;
}

err check_history(struct check *c)
{
    struct log_walk_state s = {.c = c, .arena = arena_new((size_t)1 << 30)};
    const struct history_reader r = {on_entry, on_record, on_gap, on_damage, &s};
    const uint8_t *id = c->e->super.store_id;
    char why[512] = "";
    uint64_t last = 0;
    struct log *log = NULL;
    if (!s.arena) return ERR_NO_MEMORY;
    err e = history_open_log(c->e->dir, id, &r, &log, why);
    if (!e) e = history_read(c->e->dir, id, log, 0, &r, &last, why);
    if (e && e != ERR_NO_MEMORY) {
        c->r->log_errors++;
        check_finding(c, "%s", why);
        e = ERR_OK;
    } else if (!e && last < atomic_load(&c->e->visible)) {
        c->r->log_errors++;
        check_finding(c, "log: commits %llu to %llu are in the index alone", (unsigned long long)last + 1,
                      (unsigned long long)atomic_load(&c->e->visible));
    }
    if (!e && c->unclean && log) e = log_replay(log, 0, pending_record, &s, why);
    log_close(log);
    arena_free(s.arena);
    if (c->npending) qsort(c->pending, c->npending, sizeof *c->pending, array_by_u64);
    return e;
}
