#include "view_model.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "rt/sim.h"
#include "store/view_hot.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>

enum { MISS_OF = 8, STALL_OF = 64, LOOKS_OF = 8, STUCK_OF = 2, RESUMED_OF = 8, VIEWS_MAX = 256 };
#define LITTLE_SPACE ((uint64_t)1 << 20)

struct entry {
    unsigned refs; /* the table, the undo log, pins, scans */
    uint64_t seq;
    size_t nkey, nvalue;
    char bytes[]; /* key, value */
};

struct undo { /* what a change replaced; of a key that was not there `old` is NULL, of a removed one `now` */
    struct entry *old, *now;
};

struct view {
    uint64_t id;
    char file[4096];
    struct entry **v; /* by key */
    size_t n, cap;
    struct undo *undo;
    size_t nundo, undo_cap;
    size_t *batch; /* undo position before each batch since the last flush */
    size_t nbatch, batch_cap;
    uint64_t flushed; /* batches before these */
    uint64_t bytes, stalls;
    bool open, discard, broken;
    bool stuck; /* met a full disk: nothing is taken until view_resume */
    struct view_hot *hot;
};

struct view_batch {
    struct entry **v; /* seq 0: the key is removed */
    size_t n, cap;
    struct hot_keys hot;
};

struct view_model_counts view_model_counts;
static struct view *views[VIEWS_MAX];
static size_t nviews;

static void *grow(void *p, size_t n, size_t *cap, size_t each)
{
    if (n < *cap) return p;
    *cap = *cap ? 2 * *cap : 64;
    p = realloc(p, *cap * each);
    ASSERT(p);
    return p;
}

/* ---- entries ---- */

static struct entry *entry_new(struct str key, uint64_t seq, struct str value)
{
    struct entry *e = malloc(sizeof *e + key.n + value.n);
    ASSERT(e);
    *e = (struct entry){.refs = 1, .seq = seq, .nkey = key.n, .nvalue = value.n};
    if (key.n) memcpy(e->bytes, key.p, key.n);
    if (value.n) memcpy(e->bytes + key.n, value.p, value.n);
    return e;
}

static struct entry *entry_ref(struct entry *e)
{
    if (e) e->refs++;
    return e;
}

static void entry_drop(struct entry *e)
{
    if (e && --e->refs == 0) free(e);
}

static struct str entry_key(const struct entry *e)
{
    return str_of(e->bytes, e->nkey);
}

static struct str entry_value(const struct entry *e)
{
    return str_of(e->bytes + e->nkey, e->nvalue);
}

/* The first place whose key is not below. */
static size_t lower(struct entry *const *v, size_t n, struct str key)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (str_cmp(entry_key(v[mid]), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct entry *at_key(const struct view *v, struct str key, size_t *at)
{
    *at = lower(v->v, v->n, key);
    return *at < v->n && str_eq(entry_key(v->v[*at]), key) ? v->v[*at] : NULL;
}

/* Key holds `now` (NULL: nothing). Takes over the reference; gives back what was there. */
static struct entry *set(struct view *v, struct str key, struct entry *now)
{
    size_t at;
    struct entry *old = at_key(v, key, &at);
    if (old) v->bytes -= old->nkey + old->nvalue;
    if (now) v->bytes += now->nkey + now->nvalue;
    if (old && now) {
        v->v[at] = now;
    } else if (now) {
        v->v = grow(v->v, v->n, &v->cap, sizeof *v->v);
        memmove(v->v + at + 1, v->v + at, (v->n++ - at) * sizeof *v->v);
        v->v[at] = now;
    } else if (old) {
        memmove(v->v + at, v->v + at + 1, (--v->n - at) * sizeof *v->v);
    }
    return old;
}

/* ---- what is durable ---- */

static void forget_undo(struct view *v, size_t batches)
{
    size_t upto = batches < v->nbatch ? v->batch[batches] : v->nundo;
    for (size_t i = 0; i < upto; i++) {
        entry_drop(v->undo[i].old);
        entry_drop(v->undo[i].now);
    }
    if (v->nundo > upto) memmove(v->undo, v->undo + upto, (v->nundo - upto) * sizeof *v->undo);
    v->nundo -= upto;
    v->nbatch -= batches;
    v->flushed += batches;
    if (v->nbatch) memmove(v->batch, v->batch + batches, v->nbatch * sizeof *v->batch);
    for (size_t i = 0; i < v->nbatch; i++) v->batch[i] -= upto;
}

/* Back to the state after the first `keep` batches since the last flush. */
static void go_back(struct view *v, size_t keep)
{
    size_t upto = keep < v->nbatch ? v->batch[keep] : v->nundo;
    while (v->nundo > upto) {
        struct undo *u = &v->undo[--v->nundo];
        struct entry *any = u->old ? u->old : u->now;
        entry_drop(set(v, entry_key(any), u->old));
        entry_drop(u->now);
    }
    v->nbatch = keep;
    forget_undo(v, keep);
}

void view_model_crash(void)
{
    for (size_t i = 0; i < nviews; i++) {
        struct view *v = views[i];
        size_t all = v->nbatch, keep = all;
        switch (v->open ? sim_random() % 4 : 0) {
        case 1:
            keep = 0;
            break;
        case 2:
        case 3:
            keep = (size_t)(sim_random() % (all + 1));
            break;
        }
        if (all)
            *(keep == all ? &view_model_counts.kept
              : keep      ? &view_model_counts.partly
                          : &view_model_counts.lost) += 1;
        go_back(v, keep);
        v->open = v->broken = v->stuck = false;
    }
}

/* ---- life ---- */

static struct view *find_view(uint64_t id)
{
    for (size_t i = 0; i < nviews; i++)
        if (views[i]->id == id) return views[i];
    return NULL;
}

static struct view *add_view(void)
{
    ASSERT(nviews < VIEWS_MAX);
    struct view *v = calloc(1, sizeof *v);
    ASSERT(v);
    v->id = nviews + 1;
    return views[nviews++] = v;
}

/* The view that the folder's file names; a new one where there is none. */
static err identify(const char *file, bool must_exist, struct view **out)
{
    struct buf b;
    buf_init(&b, 64);
    err e = sys_read_file(file, 8, &b);
    if (e == ERR_OK) {
        *out = b.n == 8 ? find_view(get_le64(b.p)) : NULL;
        if (!*out) e = ERR_CORRUPT;
    } else if (e == ERR_NOT_FOUND && !must_exist) {
        char bytes[8];
        *out = add_view();
        put_le64(bytes, (*out)->id);
        e = sys_replace_file(file, str_of(bytes, 8), 0600);
    }
    buf_free(&b);
    return e;
}

err view_open(const struct view_options *o, struct view **out, char why[512])
{
    char file[4096];
    struct view *v = NULL;
    int rc = sys->mkdir(o->dir, 0700);
    int n = snprintf(file, sizeof file, "%s/CURRENT", o->dir);
    ASSERT(n > 0 && (size_t)n < sizeof file);
    err e = rc < 0 && rc != -EEXIST ? err_of_errno(-rc) : identify(file, o->must_exist, &v);
    if (!e && v->open) e = ERR_SERVICE_UNAVAILABLE;
    if (e) {
        snprintf(why, 512, "the index in %.200s cannot be opened (%s)", o->dir, err_name(e));
        return e;
    }
    memcpy(v->file, file, sizeof file);
    view_hot_free(v->hot); /* of a process that died */
    v->hot = view_hot_new();
    ASSERT(v->hot);
    v->open = true;
    v->broken = v->stuck = false;
    v->discard = o->discard;
    *out = v;
    return ERR_OK;
}

void view_stop(struct view *v)
{
    (void)v; /* nothing runs beside */
}

/* An orderly close leaves the newest state, unless it is to be dropped, or there was no space to write it. */
void view_close(struct view *v)
{
    if (!v) return;
    if (v->discard || v->stuck) go_back(v, 0);
    forget_undo(v, v->nbatch);
    v->open = false;
}

/* ---- reading ---- */

struct get_job {
    struct view *v;
    struct str key;
    struct entry *found;
};

static void look(void *arg)
{
    struct get_job *j = arg;
    size_t at;
    j->found = entry_ref(at_key(j->v, j->key, &at));
}

err view_get(struct view *v, struct str key, struct view_pin *pin)
{
    struct get_job j = {.v = v, .key = key};
    if (sim_random() % MISS_OF == 0)
        rt_work("index-get", look, &j);
    else
        look(&j);
    if (!j.found) return ERR_NOT_FOUND;
    *pin = (struct view_pin){entry_value(j.found), j.found->seq, j.found};
    return ERR_OK;
}

err view_get_hot(struct view *v, struct arena *a, struct str key, struct str *value, uint64_t *seq)
{
    return view_hot_read(v->hot, v, a, key, value, seq);
}

void view_unpin(struct view_pin *pin)
{
    entry_drop(pin->slice);
    pin->slice = NULL;
}

struct scan_job {
    struct view *v;
    const struct idx_range *r;
    idx_scan_fn *fn;
    void *arg;
};

static void walk(struct scan_job *j, struct entry *const *v, size_t n)
{
    for (size_t i = 0; i < n;) {
        struct str seek = STR_NONE;
        const struct entry *e = j->r->reverse ? v[n - 1 - i] : v[i];
        enum idx_step step = j->fn(j->arg, entry_key(e), entry_value(e), e->seq, &seek);
        if (step == IDX_STOP) return;
        if (step == IDX_SEEK) {
            ASSERT(!j->r->reverse && str_cmp(seek, entry_key(e)) > 0);
            i = lower(v, n, seek);
        } else {
            i++;
        }
    }
}

/* The callback may wait (it runs as a worker's fiber): it sees the entries of now. */
static void scan(void *arg)
{
    struct scan_job *j = arg;
    const struct idx_range *r = j->r;
    size_t from = lower(j->v->v, j->v->n, r->lo), to = r->hi.p ? lower(j->v->v, j->v->n, r->hi) : j->v->n;
    size_t n = to > from ? to - from : 0;
    struct entry **seen = malloc(n * sizeof *seen + 1);
    ASSERT(seen);
    for (size_t i = 0; i < n; i++) seen[i] = entry_ref(j->v->v[from + i]);
    walk(j, seen, n);
    for (size_t i = 0; i < n; i++) entry_drop(seen[i]);
    free(seen);
}

err view_scan(struct view *v, const struct idx_range *r, bool cold, idx_scan_fn *fn, void *arg)
{
    struct scan_job j = {v, r, fn, arg};
    (void)cold;
    rt_work("index-scan", scan, &j);
    return ERR_OK;
}

/* ---- writing ---- */

struct view_batch *view_batch_new(void)
{
    return calloc(1, sizeof(struct view_batch));
}

void view_batch_clear(struct view_batch *b)
{
    while (b->n > 0) entry_drop(b->v[--b->n]);
    b->hot = (struct hot_keys){0};
}

void view_batch_free(struct view_batch *b)
{
    if (!b) return;
    view_batch_clear(b);
    free(b->v);
    free(b);
}

static void batch_add(struct view_batch *b, struct entry *e)
{
    b->v = grow(b->v, b->n, &b->cap, sizeof *b->v);
    b->v[b->n++] = e;
}

void view_batch_put(struct view_batch *b, struct str key, uint64_t seq, struct str value)
{
    ASSERT(seq > 0);
    batch_add(b, entry_new(key, seq, value));
    hot_keys_add(&b->hot, key);
}

void view_batch_del(struct view_batch *b, struct str key)
{
    batch_add(b, entry_new(key, 0, STR("")));
    hot_keys_add(&b->hot, key);
}

unsigned view_batch_count(const struct view_batch *b)
{
    return (unsigned)b->n;
}

static void apply_one(struct view *v, struct entry *e)
{
    struct entry *now = e->seq ? e : NULL, *old = set(v, entry_key(e), entry_ref(now));
    if (!old && !now) return;
    v->undo = grow(v->undo, v->nundo, &v->undo_cap, sizeof *v->undo);
    v->undo[v->nundo++] = (struct undo){old, entry_ref(now)};
}

/* Entries are not on the simulated disk, but where that is nearly full RocksDB's own flushes meet its end,
 * now and then; until view_resume, which may find space before others do. */
static bool meets_full_disk(struct view *v)
{
    struct sys_statfs s;
    if (v->stuck) return true;
    if (sys->statfs(v->file, &s) < 0 || s.avail >= LITTLE_SPACE || sim_random() % STUCK_OF) return false;
    view_model_counts.stuck++;
    return v->stuck = true;
}

struct write_job {
    struct view *v;
    struct view_batch *b;
};

static void write_all(void *arg)
{
    struct write_job *j = arg;
    struct view *v = j->v;
    v->batch = grow(v->batch, v->nbatch, &v->batch_cap, sizeof *v->batch);
    v->batch[v->nbatch++] = v->nundo;
    for (size_t i = 0; i < j->b->n; i++) apply_one(v, j->b->v[i]);
}

err view_write(struct view *v, struct view_batch *b)
{
    struct write_job j = {v, b};
    bool stalled = sim_random() % STALL_OF == 0;
    if (v->broken) {
        view_batch_clear(b);
        return ERR_IO;
    }
    if (v->stuck || (sim_random() % LOOKS_OF == 0 && meets_full_disk(v))) return ERR_NO_SPACE;
    v->stalls += stalled;
    if (stalled)
        rt_work("index-stall", write_all, &j);
    else
        write_all(&j);
    view_hot_written(v->hot, &b->hot);
    view_batch_clear(b);
    return ERR_OK;
}

/* ---- flushing ---- */

struct flush_job {
    struct view *v;
    err e;
};

/* As RocksDB: after a flush that failed, nothing is written until it was opened anew. */
static void flush(void *arg)
{
    struct flush_job *j = arg;
    struct view *v = j->v;
    uint64_t upto = v->flushed + v->nbatch;
    int fd = sys->open(v->file, O_RDWR, 0), rc = fd;
    if (fd >= 0) rc = sys->fdatasync(fd);
    if (fd >= 0) sys->close(fd);
    v->broken = v->broken || rc < 0;
    if (rc < 0) j->e = err_of_errno(-rc);
    /* Another flush may have ended meanwhile. */
    if (!j->e && upto > v->flushed) forget_undo(v, (size_t)(upto - v->flushed));
}

err view_flush(struct view *v)
{
    struct flush_job j = {.v = v};
    if (v->broken) return ERR_IO;
    if (meets_full_disk(v)) return ERR_NO_SPACE;
    rt_work("index-flush", flush, &j);
    return j.e;
}

uint64_t view_bytes(struct view *v)
{
    return v->bytes;
}

void view_get_stats(struct view *v, struct view_stats *out)
{
    *out = (struct view_stats){.stalls = v->stalls};
}

bool view_stuck(const struct view *v)
{
    return v->stuck;
}

static void resume(void *arg)
{
    struct view *v = arg;
    if (sim_random() % RESUMED_OF == 0) v->stuck = false;
}

bool view_resume(struct view *v)
{
    rt_work("index-resume", resume, v);
    return !v->stuck;
}
