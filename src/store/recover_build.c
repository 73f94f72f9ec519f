/* The index out of history: what the archive's snapshot holds, then each record after it. Where history has
 * holes and the old index can be read, and reaches beyond them, that index is the better base. */
#include "base/assert.h"
#include "base/bytes.h"
#include "store/recover_int.h"
#include "sys/sys.h"

#define BATCH      1000u
#define TELL_EVERY 1024u

/* ---- planning ---- */

struct plan {
    struct recover *r;
    bool say;
    struct recover_read read;
    uint64_t lost, last, epoch, done;
    struct buf gaps; /* lines */
};

static void plan_tell(struct plan *p)
{
    if (++p->done % TELL_EVERY == 0) recover_progress(p->r, "read archive and log", p->done, "records");
}

static err plan_entry(void *arg, struct str key, uint64_t seq, struct str value)
{
    struct plan *p = arg;
    (void)key, (void)seq, (void)value;
    p->read.entries++;
    plan_tell(p);
    return ERR_OK;
}

static void read_record(struct recover_read *r, const struct log_record *rec)
{
    r->records++;
    r->commits += rec->head.commits;
}

static err plan_record(void *arg, const struct log_record *rec, uint64_t from)
{
    struct plan *p = arg;
    (void)from;
    if (rec->head.epoch > p->epoch) p->epoch = rec->head.epoch;
    read_record(&p->read, rec);
    plan_tell(p);
    return ERR_OK;
}

static void plan_lost(struct plan *p, uint64_t first, uint64_t last)
{
    p->lost += last - first + 1;
    buf_fmt(&p->gaps, "commits %llu to %llu are lost\n", (unsigned long long)first, (unsigned long long)last);
}

static void plan_gap(void *arg, uint64_t first, uint64_t last)
{
    struct plan *p = arg;
    p->read.missing += last - first + 1;
    plan_lost(p, first, last);
}

static void plan_lost_end(struct plan *p, uint64_t last)
{
    plan_lost(p, p->last + 1, last);
    p->last = last;
    p->r->damaged = true;
}

static void plan_damage(void *arg, const char *line)
{
    struct plan *p = arg;
    if (p->say) recover_line(p->r, "%s", line);
    p->r->damaged = true;
}

static err plan(struct recover *r, struct plan *p, uint64_t from, bool say, char why[512])
{
    const struct history_reader h = {plan_entry, plan_record, plan_gap, plan_damage, p};
    *p = (struct plan){.r = r, .say = say};
    buf_init(&p->gaps, 0);
    err e = history_read(r->o->dir, r->e->super.store_id, r->log, from, &h, &p->last, why);
    p->read.last = p->last;
    /* What was acknowledged when it was closed in order, and is nowhere now. */
    uint64_t clean = r->e->super.clean_seq;
    if (!e && clean > p->last) plan_lost_end(p, clean);
    return e;
}

/* ---- the old index ---- */

static err open_old(struct recover *r, struct view **v)
{
    char path[4096], why[512];
    struct stat st;
    recover_path(r, "index/CURRENT", path);
    if (sys->stat(path, &st) < 0) return ERR_NOT_FOUND; /* or RocksDB would make the folder */
    recover_path(r, "index", path);
    struct view_options vo = {.dir = path, .cache = r->e->o.index_cache, .discard = true, .must_exist = true};
    return view_open(&vo, v, why);
}

static enum idx_step read_over(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    (void)arg, (void)key, (void)value, (void)seq, (void)seek;
    return IDX_NEXT;
}

struct old_index {
    uint64_t applied; /* the commit that it has reached; 0: not known */
    bool whole;       /* all of it can be read */
};

/* Whether it is whole is looked at only where that matters: when history does not say all that it says. */
static struct old_index look_at_old(struct recover *r, const struct plan *p)
{
    struct old_index old = {0};
    struct view *v = NULL;
    struct view_pin pin;
    char key[INNER_KEY_MAX];
    if (open_old(r, &v) != ERR_OK) return old;
    if (view_get(v, inner_key(key, INNER_APPLIED, 0), &pin) == ERR_OK) {
        old.applied = pin.seq;
        view_unpin(&pin);
    }
    struct idx_range all = {STR(""), STR_NONE, false};
    bool needed = old.applied && (p->lost || old.applied > p->last);
    old.whole = needed && view_scan(v, &all, true, read_over, NULL) == ERR_OK;
    view_close(v);
    return old;
}

static void settle_plan(struct recover *r, const struct plan *p, uint64_t from)
{
    r->from = from;
    r->reached = p->last;
    r->planned = p->read;
    if (p->epoch > r->epoch) r->epoch = p->epoch;
    r->out->lost_records = p->lost;
    for (struct str rest = buf_view(&p->gaps); rest.n;) {
        struct str line = str_cut(&rest, '\n');
        recover_line(r, "%.*s", STR_FMT(line));
    }
}

/* The log as it is would be refused: it has damage, ends too early, or is not there. */
static bool log_refused(struct recover *r)
{
    return !r->log || log_damage(r->log) || log_next_seq(r->log) != r->reached + 1;
}

err recover_plan(struct recover *r, char why[512])
{
    struct plan a, b = {0};
    struct old_index old = {0};
    err e = plan(r, &a, 0, true, why);
    if (!e) old = look_at_old(r, &a);
    if (!e && old.whole) e = plan(r, &b, old.applied, false, why);
    /* The index says that there were commits which neither archive nor log have. */
    if (!e && old.applied > a.last) plan_lost_end(&a, old.applied);
    if (!e && old.whole && b.lost < a.lost) {
        recover_line(
            r, "the old index is whole and reaches commit %llu: it is used where archive and log have holes",
            (unsigned long long)old.applied);
        settle_plan(r, &b, old.applied);
    } else if (!e) {
        settle_plan(r, &a, 0);
    }
    buf_free(&a.gaps);
    buf_free(&b.gaps);
    r->damaged = r->damaged || r->out->lost_records;
    r->log_damaged = log_refused(r);
    /* A store that never had a commit has no log, and needs none. */
    if (!r->log && r->reached == 0) r->log_damaged = false;
    r->damaged = r->damaged || r->log_damaged;
    return e;
}

/* ---- building ---- */

struct build {
    struct recover *r;
    struct recover_read read;
    uint64_t done;
    bool based; /* the base is written */
};

err recover_write(struct recover *r)
{
    apply_seal(&r->apply, r->reached);
    err e = view_write(r->e->view, r->apply.batch);
    apply_release(&r->apply);
    return e;
}

static err put_entry(struct build *b, struct str key, uint64_t seq, struct str value)
{
    struct view_batch *batch = b->r->apply.batch;
    bool applied = key.n > 8 && get_be64(key.p) == IDX_SHARD_INTERNAL && key.p[8] == INNER_APPLIED;
    if (!applied) view_batch_put(batch, key, seq, value);
    if (++b->done % TELL_EVERY == 0) recover_progress(b->r, "rebuild the index", b->done, "entries");
    return view_batch_count(batch) < BATCH ? ERR_OK : view_write(b->r->e->view, batch);
}

static err build_entry(void *arg, struct str key, uint64_t seq, struct str value)
{
    struct build *b = arg;
    b->read.entries++;
    return put_entry(b, key, seq, value);
}

static err end_base(struct build *b)
{
    if (b->based) return ERR_OK;
    b->based = true;
    err e = view_write(b->r->e->view, b->r->apply.batch);
    return e ? e : engine_load_live(b->r->e);
}

static err build_record(void *arg, const struct log_record *rec, uint64_t from)
{
    struct build *b = arg;
    struct recover *r = b->r;
    err e = end_base(b);
    if (!e) e = engine_apply_record(&r->apply, rec, from, r->arena);
    read_record(&b->read, rec);
    r->out->log_records += rec->head.commits;
    if (++b->done % TELL_EVERY == 0) recover_progress(r, "rebuild the index", b->done, "records");
    return e;
}

static void build_gap(void *arg, uint64_t first, uint64_t last)
{
    struct build *b = arg;
    b->read.missing += last - first + 1;
}

static void build_damage(void *arg, const char *line)
{
    (void)arg, (void)line; /* said when it was planned for; more of it is seen by same_again */
}

/* A disk that reads now this and now that would make an index with holes that nobody was told of. */
static err same_again(const struct recover *r, const struct build *b, char why[512])
{
    const struct recover_read *was = &r->planned, *is = &b->read;
    if (was->entries == is->entries && was->records == is->records && was->commits == is->commits &&
        was->missing == is->missing && was->last == is->last)
        return ERR_OK;
    snprintf(why, 512,
             "archive and log in %.300s did not read the same twice: look at the disk; recovery changed "
             "nothing",
             r->o->dir);
    return ERR_IO;
}

struct old_scan {
    struct build *b;
    err e;
};

static enum idx_step old_entry(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct old_scan *s = arg;
    (void)seek;
    s->e = put_entry(s->b, key, seq, value);
    return s->e ? IDX_STOP : IDX_NEXT;
}

static err copy_old_index(struct recover *r, struct build *b)
{
    struct view *v = NULL;
    struct old_scan s = {.b = b};
    struct idx_range all = {STR(""), STR_NONE, false};
    err e = open_old(r, &v);
    if (!e) e = view_scan(v, &all, true, old_entry, &s);
    view_close(v);
    return e ? e : s.e;
}

err recover_build(struct recover *r, char why[512])
{
    struct build b = {.r = r};
    const struct history_reader h = {build_entry, build_record, build_gap, build_damage, &b};
    err e = r->from ? copy_old_index(r, &b) : ERR_OK;
    if (!e) e = history_read(r->o->dir, r->e->super.store_id, r->log, r->from, &h, &b.read.last, why);
    if (!e) e = same_again(r, &b, why);
    if (!e) e = end_base(&b);
    return e ? e : recover_write(r);
}
