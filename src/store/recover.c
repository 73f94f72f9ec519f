/* Recovery: the index is made again in DIR/index.new, then takes the old one's place.
 *
 * Whole archive and log: nothing else is touched. A crash before the last rename leaves a directory index.new
 * that the next recovery begins anew.
 *
 * After damage, in this order:
 *   1. bytes that live in a log which must be replaced go to extents, and index.new refers to them there
 *   2. index.new is on disk; a snapshot of it in the archive makes history whole again, up to its last commit
 *   3. the old index is set aside: from here on a server refuses to start, until recovery ran to its end
 *   4. the damaged log is set aside, a new one begins
 *   5. index.new becomes the index
 * A recovery that follows a crash finds the snapshot of step 2 and goes on from there. Nothing is deleted but
 * index.new. */
#include "store/recover_int.h"
#include "base/assert.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>

#define LINES_MAX 10000u

/* ---- saying ---- */

void recover_line(struct recover *r, const char *fmt, ...)
{
    if (r->lines == LINES_MAX) {
        r->unsaid++;
        return;
    }
    char line[5 * IDX_KEY_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    buf_cstr(&r->out->lines, line);
    buf_char(&r->out->lines, '\n');
    r->lines++;
}

void recover_progress(struct recover *r, const char *phase, uint64_t done, const char *unit)
{
    if (r->o->progress.fn) r->o->progress.fn(r->o->progress.arg, phase, done, 0, unit);
}

void recover_path(const struct recover *r, const char *name, char out[4096])
{
    int n = snprintf(out, 4096, "%s/%s", r->o->dir, name);
    ASSERT(n > 0 && n < 4096); /* engine_new refused longer ones */
}

static bool exists(const struct recover *r, const char *name)
{
    char path[4096];
    struct stat st;
    recover_path(r, name, path);
    return sys->stat(path, &st) == 0;
}

/* ---- opening ---- */

/* The superblock, or what the log says of whose it is. */
static err identify(struct recover *r, char why[512])
{
    struct super *s = &r->e->super;
    err e = super_load(r->o->dir, true, s, why);
    if (e != ERR_NOT_FOUND && e != ERR_CORRUPT) return e;
    e = log_identity(r->o->dir, s->store_id, &r->epoch);
    if (e) {
        snprintf(
            why, 512,
            "%.400s has neither a readable ingot.super nor a readable log: nothing says whose data it is",
            r->o->dir);
        return ERR_CORRUPT;
    }
    r->new_super = true;
    s->created_ms = sys->real_ms();
    recover_line(
        r, "ingot.super was missing or damaged; the log says whose data this is, and it is written anew");
    return ERR_OK;
}

static bool remove_file(void *arg, const char *name)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    sys->unlink(path);
    return true;
}

static err open_new_index(struct recover *r, char why[512])
{
    char path[4096];
    recover_path(r, "index.new", path);
    sys->list(path, remove_file, path); /* of a recovery that did not end; RocksDB has no folders in it */
    struct view_options vo = {.dir = path, .cache = r->e->o.index_cache};
    err e = view_open(&vo, &r->e->view, why);
    if (!e) e = engine_make_memory(r->e);
    if (!e && !apply_init(&r->apply, r->e)) e = ERR_NO_MEMORY;
    return e;
}

static void ignore_damage(void *arg, const char *line)
{
    recover_line(arg, "%s", line);
    ((struct recover *)arg)->damaged = ((struct recover *)arg)->log_damaged = true;
}

static err open_all(struct recover *r, char why[512])
{
    if (!exists(r, "ingot.super") && !exists(r, "log")) {
        snprintf(why, 512, "%.400s is not a data directory: it has neither ingot.super nor a log", r->o->dir);
        return ERR_NOT_FOUND;
    }
    const struct history_reader said = {.damage = ignore_damage, .arg = r};
    err e = super_lock(r->o->dir, &r->e->lock_fd, why);
    if (!e) e = identify(r, why);
    if (!e) e = history_open_log(r->o->dir, r->e->super.store_id, &said, &r->log, why);
    return e;
}

/* ---- the end ---- */

static err rename_durably(struct recover *r, const char *from, const char *to, char why[512])
{
    char a[4096], b[4096];
    recover_path(r, from, a);
    recover_path(r, to, b);
    int rc = sys->rename(a, b);
    if (rc >= 0) rc = sys->fsync_dir(r->o->dir);
    if (rc >= 0) return ERR_OK;
    snprintf(why, 512, "%.200s cannot be renamed to %.200s: %s", a, b, strerror(-rc));
    return err_of_errno(-rc);
}

static void aside_suffix(char out[40])
{
    time_t now = (time_t)(sys->real_ms() / 1000);
    struct tm tm;
    gmtime_r(&now, &tm);
    size_t n = strftime(out, 20, "%Y%m%dT%H%M%S", &tm);
    snprintf(out + n, 20, "-%03d", (int)(sys->real_ms() % 1000));
}

static err make_snapshot(struct recover *r, char why[512])
{
    struct archive *a = NULL;
    err e = archive_open(r->o->dir, r->e->super.store_id, &a, why);
    if (!e) e = archive_snapshot(a, r->e->view);
    archive_close(a);
    if (e && !why[0])
        snprintf(why, 512, "the archive in %.300s cannot be written: %s", r->o->dir, err_name(e));
    return e;
}

static void close_new_index(struct recover *r)
{
    apply_free(&r->apply);
    cells_free(r->e->cells);
    view_close(r->e->view);
    r->e->cells = NULL;
    r->e->view = NULL;
}

/* Steps 2 to 5. */
static err take_over(struct recover *r, char why[512])
{
    char suffix[40], aside[64];
    aside_suffix(suffix);
    snprintf(aside, sizeof aside, "index.old-%s", suffix);
    err e = view_flush(r->e->view);
    if (!e && r->damaged) e = make_snapshot(r, why);
    close_new_index(r);
    if (!e && exists(r, "index")) e = rename_durably(r, "index", aside, why);
    if (!e && r->log_damaged) e = recover_new_log(r, suffix, why);
    if (!e) e = rename_durably(r, "index.new", "index", why);
    struct super *s = &r->e->super;
    s->clean_seq = 0; /* the next start looks at what a crash may have left */
    if (s->epoch < r->epoch) s->epoch = r->epoch;
    return e ? e : super_save(r->o->dir, s, why);
}

static err count(struct recover *r)
{
    struct census c;
    err e = recover_census(r, &c);
    r->out->entries = c.entries;
    r->out->blobs = c.nblobs;
    r->out->extents = c.nplaces;
    if (c.nblobs && c.id[c.nblobs - 1] >> 40 > r->epoch) r->epoch = c.id[c.nblobs - 1] >> 40;
    census_free(&c);
    return e;
}

static err mend(struct recover *r, char why[512])
{
    struct extents_options xo = {.dir = r->o->dir};
    err e = extents_open(&xo, &r->e->extents, why);
    if (!e && r->out->lost_records) e = recover_salvage(r, why);
    if (!e && r->out->lost_records) e = recover_mend(r);
    if (!e && r->log_damaged) e = recover_empty_log(r, why);
    if (!e) e = recover_count(r);
    return e;
}

static err run(struct recover *r, char why[512])
{
    err e = open_all(r, why);
    if (!e) e = recover_plan(r, why);
    if (!e) e = open_new_index(r, why);
    if (e) return e;
    e = recover_build(r, why);
    if (!e && r->damaged) e = mend(r, why);
    if (!e) e = count(r);
    if (!e) return take_over(r, why);
    apply_free(&r->apply);
    return e;
}

/* An index that is whole again says nothing of the bytes: what it names is looked for, so that what is lost
 * is named. */
static err look_for_bytes(const struct recover_options *o, struct recover_report *out, char why[512])
{
    struct check_options co = {.dir = o->dir, .progress = o->progress, .entry = o->entry, .arg = o->arg};
    struct check_report c;
    err e = engine_check(&co, &c, why);
    out->lost_blobs = c.missing_blobs + c.corrupt_blobs;
    if (out->lost_blobs || c.log_errors || c.bad_records) buf_str(&out->lines, buf_view(&c.lines));
    buf_free(&c.lines);
    return e;
}

err engine_recover(const struct recover_options *o, struct recover_report *out, char why[512])
{
    struct recover *r = calloc(1, sizeof *r);
    struct engine_options eo = {.dir = o->dir, .read_only = true};
    *out = (struct recover_report){0};
    buf_init(&out->lines, 0);
    why[0] = 0;
    if (!r || !(r->e = engine_new(&eo, why)) || !(r->arena = arena_new((size_t)1 << 30))) {
        if (r && r->e) engine_free(r->e);
        free(r);
        if (!why[0]) snprintf(why, 512, "out of memory");
        return ERR_NO_MEMORY;
    }
    r->o = o;
    r->out = out;
    err e = run(r, why);
    if (e && !why[0]) snprintf(why, 512, "the recovery of %.400s failed: %s", o->dir, err_name(e));
    if (r->unsaid) {
        r->lines = 0;
        recover_line(r, "… and %llu more lines", (unsigned long long)r->unsaid);
    }
    log_close(r->log);
    arena_free(r->arena);
    engine_free(r->e);
    free(r);
    return e ? e : look_for_bytes(o, out, why);
}
