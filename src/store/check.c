/* Check: opens the store as it is, walks over all of it, says what does not agree, and on demand puts it
 * right. */
#include "store/check_int.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "sys/sys.h"

#include <stdarg.h>

#define LINES_MAX 10000u

/* ---- saying ---- */

void check_finding(struct check *c, const char *fmt, ...)
{
    if (c->lines == LINES_MAX) {
        c->unsaid++;
        return;
    }
    char line[5 * IDX_KEY_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    buf_cstr(&c->r->lines, line);
    buf_char(&c->r->lines, '\n');
    c->lines++;
}

void check_progress(struct check *c, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
    const struct store_progress *p = &c->o->progress;
    if (p->fn) p->fn(p->arg, phase, done, total, unit);
}

/* ---- the index ---- */

static void bad_blob(void *arg, struct str key)
{
    struct check *c = arg;
    char hex[2 * INNER_KEY_MAX + 1] = "";
    for (size_t i = 8; i < key.n && i < INNER_KEY_MAX; i++)
        snprintf(hex + 2 * (i - 8), 3, "%02x", (unsigned char)key.p[i]);
    c->r->bad_records++;
    c->unknown = true;
    check_finding(c, "index: the engine's own entry %s does not decode or contradicts itself", hex);
}

static void bad_entry(void *arg, struct str key)
{
    struct check *c = arg;
    struct census_key text;
    c->r->bad_records++;
    c->unknown = true;
    check_finding(c, "entry %s: the record does not decode", census_key_text(key, &text));
}

static void missing(void *arg, struct str key, uint64_t blob)
{
    struct check *c = arg;
    struct census_key text;
    c->unknown = true;
    check_finding(c, "entry %s: refers to blob %llx, which does not exist", census_key_text(key, &text),
                  (unsigned long long)blob);
}

static void entries_read(void *arg, uint64_t done)
{
    check_progress(arg, "read the index", done, 0, "entries");
}

static err check_index(struct check *c)
{
    const struct census_watch w = {bad_blob, bad_entry, missing, entries_read, c};
    struct view *v = c->e->view;
    err e = census_blobs(&c->census, v, &w);
    if (!e) e = census_entries(&c->census, v, c->o, &w);
    c->r->entries = c->census.entries;
    c->r->blobs = c->census.nblobs;
    c->r->missing_blobs += c->census.nmissing;
    return e;
}

/* ---- counters ---- */

static void say_counter(struct check *c, struct memory_node *n, struct str have)
{
    struct census_key text;
    const int64_t *want = n->value;
    census_key_text(n->key, &text);
    for (unsigned i = 0; i < IDX_COUNTERS_MAX; i++) {
        int64_t is = 8 * (size_t)i + 8 <= have.n ? (int64_t)get_le64(have.p + 8 * i) : 0;
        if (is != want[i])
            check_finding(c, "counter %s number %u: is %lld, entries count %lld", text.text, i, (long long)is,
                          (long long)want[i]);
    }
}

err check_counters(struct check *c)
{
    for (struct memory_node *n = memory_map_seek(c->census.counters, STR("")); n; n = memory_node_next(n)) {
        struct view_pin pin = {.value = STR("")};
        err e = view_get(c->e->view, n->key, &pin);
        if (e && e != ERR_NOT_FOUND) return e;
        if (census_counter_wrong(n, pin.value)) {
            c->r->wrong_counters++;
            say_counter(c, n, pin.value);
        }
        view_unpin(&pin);
    }
    return ERR_OK;
}

/* ---- all of it ---- */

static err walk(struct check *c)
{
    err e = check_history(c);
    if (!e) e = check_index(c);
    if (!e) e = check_counters(c);
    if (!e) e = check_space(c);
    if (!e) e = check_blobs(c);
    if (!e || e == ERR_NO_MEMORY) return e;
    if (e != ERR_CORRUPT && e != ERR_UNSUPPORTED_FORMAT) return e;
    /* RocksDB refused a block of its own: what lies behind it is not known, so nothing is repaired. */
    c->unknown = c->unreadable = true;
    c->r->bad_records++;
    check_finding(c, "the index in %s cannot be read to its end; it can be rebuilt: ingot recover",
                  c->e->dir);
    return ERR_OK;
}

static bool repairable(const struct check_report *r)
{
    return r->wrong_refcounts || r->unreferenced_blobs || r->unreferenced_bytes || r->wrong_counters ||
           r->log_errors;
}

static err run(struct check *c, char why[512])
{
    struct super s;
    census_init(&c->census);
    err e = c->census.e;
    if (!e && !c->o->repair) e = super_load(c->o->dir, false, &s, why);
    c->unclean = !e && !c->o->repair && s.clean_seq == 0;
    if (!e) e = walk(c);
    if (!e && c->o->repair && !c->unreadable && repairable(c->r)) e = check_repair(c);
    if (c->unsaid) {
        c->lines = 0;
        check_finding(c, "… and %llu more findings", (unsigned long long)c->unsaid);
    }
    census_free(&c->census);
    free(c->pending);
    free(c->tails);
    return e;
}

/* So damaged that it cannot be opened is a finding, not a failure to look. */
static err check_refused(struct check *c, const char *why)
{
    c->r->log_errors++;
    check_finding(c, "the store cannot be opened: %s", why);
    return ERR_OK;
}

/* A folder without a superblock is a damaged store if it has a log, and else none at all. */
static err check_no_super(struct check *c, char why[512])
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%.4000s/log", c->o->dir);
    snprintf(why, 512, "%.400s is not a data directory: it has no ingot.super", c->o->dir);
    if (sys->stat(path, &st) < 0) return ERR_NOT_FOUND;
    return check_refused(c, "ingot.super is missing; run: ingot recover");
}

err engine_check(const struct check_options *o, struct check_report *out, char why[512])
{
    struct check c = {.o = o, .r = out};
    struct super s;
    *out = (struct check_report){0};
    buf_init(&out->lines, 0);
    err e = super_load(o->dir, o->repair, &s, why);
    if (e == ERR_NOT_FOUND) return check_no_super(&c, why);
    if (e == ERR_CORRUPT) return check_refused(&c, why);
    if (e) return e;
    struct engine_options eo = {.dir = o->dir, .progress = o->progress, .read_only = !o->repair};
    e = engine_open(&eo, &c.store, why);
    if (e == ERR_CORRUPT) return check_refused(&c, why);
    if (e) return e;
    c.e = engine_of(&c.store);
    snprintf(why, 512, "the check of %.400s could not be completed", o->dir);
    e = run(&c, why);
    if (e) snprintf(why, 512, "the check of %.400s could not be completed: %s", o->dir, err_name(e));
    engine_close(&c.store);
    return e;
}
