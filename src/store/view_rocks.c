#include "store/view.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "rt/rt.h"
#include "store/view_calls.h"
#include "store/view_files.h"
#include "store/view_hot.h"
#include "store/view_purge.h"
#include "store/view_resume.h"
#include "sys/sys.h"

#include <dirent.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMTABLE_BYTES ((size_t)16 << 20)
#define BLOCK_BYTES    4096u /* a look-up in a large index reads, verifies and unpacks one */
/* After an I/O error: so many times all over, and each time so many times resumed, after 0.1 s, 0.2 s …, 6 s
 * in all. */
#define MEND_TRIES   3u
#define RESUME_TRIES 6u
#define RESUME_NS    ((uint64_t)100000000)

struct view {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write_now, *write_wait;
    struct view_watch *watch;
    struct view_files *files;
    struct view_hot *hot;
    struct purge *purge; /* NULL: what was deleted stays for RocksDB to find */
    _Atomic uint64_t stalls, stall_ns, errors;
    atomic_bool stuck;
};

struct view_batch {
    rocksdb_writebatch_t *b;
    struct dead deleted;
    struct hot_keys hot;
};

/* RocksDB's error texts become ours; "incomplete" is not an error: the answer needs the disk, or time. */
static err take_error(struct view *v, char *msg, const char *what)
{
    if (!msg) return ERR_OK;
    err e = strncmp(msg, "Corruption", 10) == 0    ? ERR_CORRUPT
            : strstr(msg, "No space left") != NULL ? ERR_NO_SPACE
                                                   : ERR_IO;
    if (v) atomic_fetch_add(&v->errors, 1);
    /* Asked again and again on a full disk, it says the same. */
    bool known = v && e == ERR_NO_SPACE && atomic_exchange(&v->stuck, true);
    if (!known) LOG_ERROR("the index reported an error", LF_Z("call", what), LF_Z("message", msg));
    rocksdb_free(msg);
    return e;
}

static void met_full_disk(void *arg)
{
    struct view *v = arg;
    if (!atomic_exchange(&v->stuck, true))
        LOG_ERROR("the index met a full disk: it takes nothing until there is space");
}

static bool incomplete(char **msg)
{
    if (!*msg || strncmp(*msg, "Result incomplete", 17) != 0) return false;
    rocksdb_free(*msg);
    *msg = NULL;
    return true;
}

static void set_table_options(struct view *v, size_t cache_bytes)
{
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    v->cache = view_rocks_cache(cache_bytes, BLOCK_BYTES);
    rocksdb_block_based_options_set_block_cache(t, v->cache);
    rocksdb_block_based_options_set_block_size(t, BLOCK_BYTES);
    rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_whole_key_filtering(t, 1);
    rocksdb_block_based_options_set_format_version(t, 5);
    /* In parts, of which a look-up needs two: whole, those of a large index push one another out of the
     * cache. */
    rocksdb_block_based_options_set_index_type(t,
                                               rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(t, 1);
    rocksdb_block_based_options_set_metadata_block_size(t, BLOCK_BYTES);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(t, 1);
    /* Filters and indexes live in the cache too, so that its bound is the bound. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(t, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
    rocksdb_options_set_block_based_table_factory(v->options, t);
    rocksdb_block_based_options_destroy(t);
}

static void compaction_failed(void *arg, const char *message)
{
    (void)arg;
    LOG_WARN("the index could not be compacted, which is tried again", LF_Z("message", message));
}

static void set_options(struct view *v, const struct view_options *o)
{
    v->options = rocksdb_options_create();
    if (o->discard) {
        char *msg = NULL;
        rocksdb_options_t *changed = rocksdb_options_create();
        rocksdb_get_options_from_string(v->options, "avoid_flush_during_shutdown=true", changed, &msg);
        ASSERT(!msg);
        rocksdb_options_destroy(v->options);
        v->options = changed;
    }
    rocksdb_options_set_create_if_missing(v->options, !o->must_exist);
    size_t buffer = o->buffer ? o->buffer : MEMTABLE_BYTES;
    rocksdb_options_set_write_buffer_size(v->options, buffer);
    rocksdb_options_set_max_write_buffer_number(v->options, 3);
    rocksdb_options_set_max_background_jobs(v->options, 2); /* one flush at a time: view_resume.h needs it */
    rocksdb_options_set_level_compaction_dynamic_level_bytes(v->options, 1);
    rocksdb_options_set_max_bytes_for_level_base(v->options, 4 * buffer);
    rocksdb_options_set_target_file_size_base(v->options, 2 * buffer);
    rocksdb_options_set_compression(v->options, rocksdb_lz4_compression);
    rocksdb_options_set_max_open_files(v->options, 512);
    rocksdb_options_set_memtable_whole_key_filtering(v->options, 1);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(v->options, 0.02);
    rocksdb_options_set_bytes_per_sync(v->options, 1 << 20);
    rocksdb_options_set_paranoid_checks(v->options, 1);
    rocksdb_options_set_info_log_level(v->options, 3); /* errors */
    rocksdb_options_set_keep_log_file_num(v->options, 2);
    rocksdb_options_set_stats_dump_period_sec(v->options, 0);
    /* A get gives back no buffer and removes no file. */
    rocksdb_options_set_avoid_unnecessary_blocking_io(v->options, 1);
    v->watch = view_watch_new(v->options, compaction_failed, met_full_disk, v);
    v->files = view_files_new(v->options);
    set_table_options(v, o->cache);
    v->write_now = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(v->write_now, 1);
    rocksdb_writeoptions_set_no_slowdown(v->write_now, 1);
    v->write_wait = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(v->write_wait, 1);
}

static void remove_if_empty_log(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;
    size_t n = strlen(name);
    if (n < 5 || strcmp(name + n - 4, ".log") != 0 || strspn(name, "0123456789") != n - 4) return;
    int len = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (len < (int)sizeof path && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        unlink(path);
}

/* Each opening begins a log of RocksDB's own, which nothing is written to, and only a flush of the index lets
 * RocksDB remove those of earlier openings: a thousand short runs would leave a thousand. One that holds
 * nothing is not missed. Not done: the next opening does it. */
static void remove_empty_logs(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) remove_if_empty_log(dir, e->d_name);
    closedir(d);
}

err view_open(const struct view_options *o, struct view **out, char why[512])
{
    struct view *v = calloc(1, sizeof *v);
    if (!v) return ERR_NO_MEMORY;
    v->hot = view_hot_new();
    if (!v->hot) {
        free(v);
        return ERR_NO_MEMORY;
    }
    set_options(v, o);
    /* The threads that compact keep their share of the cores: what holds RocksDB's lock of its versions,
     * which loops take, must not wait behind everything else that runs. */
    rocksdb_env_t *env = rocksdb_create_default_env();
    rocksdb_env_lower_thread_pool_io_priority(env);
    rocksdb_env_destroy(env);
    char *msg = NULL;
    /* RocksDB's files are readable by all, so its folder is not; like them it stands outside the table of
     * calls. */
    if (!o->must_exist && !o->discard) (void)mkdir(o->dir, 0700);
    if (!o->discard) remove_empty_logs(o->dir);
    v->db = rocksdb_open(v->options, o->dir, &msg);
    if (!v->db) {
        snprintf(why, 512, "the index in %.200s cannot be opened (%.120s); it can be rebuilt: ingot recover",
                 o->dir, msg ? msg : "no reason given");
        err e = take_error(NULL, msg, "open");
        view_close(v);
        return e ? e : ERR_IO;
    }
    view_watch_open(v->watch, v->db);
    if (!o->discard) v->purge = purge_new(v->db);
    *out = v;
    return ERR_OK;
}

void view_stop(struct view *v)
{
    purge_stop(v->purge);
}

void view_close(struct view *v)
{
    if (!v) return;
    view_stop(v);
    purge_free(v->purge);
    view_watch_stop(v->watch);
    if (v->db) rocksdb_close(v->db);
    view_watch_free(v->watch);
    rocksdb_writeoptions_destroy(v->write_now);
    rocksdb_writeoptions_destroy(v->write_wait);
    rocksdb_options_destroy(v->options);
    rocksdb_cache_destroy(v->cache);
    view_files_free(v->files);
    view_hot_free(v->hot);
    free(v);
}

/* ---- reading ---- */

struct get_job {
    struct view *v;
    struct str key;
    enum view_got got;
    struct view_slice *slice;
    struct str value; /* as stored */
    char *msg;
};

static void get(struct get_job *j, enum view_from from)
{
    j->got = view_rocks_get(j->v->db, from, j->key.p, j->key.n, &j->slice, &j->value.p, &j->value.n, &j->msg);
}

static void get_from_disk(void *arg)
{
    get(arg, VIEW_FROM_DISK);
}

err view_get(struct view *v, struct str key, struct view_pin *pin)
{
    struct get_job j = {.v = v, .key = key};
    rt_breathe(); /* many gets from memory in a row would have the loop for themselves */
    get(&j, view_files_opening() ? VIEW_FROM_BLOCKS : VIEW_FROM_MEMORY);
    if (j.got == VIEW_NEEDS_DISK) rt_work("index-get", get_from_disk, &j);
    if (j.got == VIEW_FAILED) return take_error(v, j.msg, "get");
    if (j.got == VIEW_ABSENT) return ERR_NOT_FOUND;
    ASSERT(j.got == VIEW_GOT);
    *pin = (struct view_pin){.slice = j.slice};
    if (j.value.n < 8) {
        view_unpin(pin);
        return ERR_CORRUPT;
    }
    pin->value = str_slice(j.value, 8, j.value.n);
    pin->seq = get_le64(j.value.p);
    return ERR_OK;
}

err view_get_hot(struct view *v, struct arena *a, struct str key, struct str *value, uint64_t *seq)
{
    return view_hot_read(v->hot, v, a, key, value, seq);
}

void view_unpin(struct view_pin *pin)
{
    if (pin->slice) view_slice_give(pin->slice);
    pin->slice = NULL;
}

struct scan_job {
    struct view *v;
    const struct idx_range *r;
    bool cold;
    idx_scan_fn *fn;
    void *arg;
    struct purge_meter meter;
    err e;
};

static bool iter_entry(rocksdb_iterator_t *it, struct str *key, struct str *value, uint64_t *seq)
{
    size_t kn, vn;
    const char *k = rocksdb_iter_key(it, &kn), *p = rocksdb_iter_value(it, &vn);
    if (vn < 8) return false;
    *key = str_of(k, kn);
    *value = str_of(p + 8, vn - 8);
    *seq = get_le64(p);
    return true;
}

static err walk(struct scan_job *j, rocksdb_iterator_t *it)
{
    const struct idx_range *r = j->r;
    if (!r->reverse)
        rocksdb_iter_seek(it, r->lo.p, r->lo.n);
    else if (r->hi.p)
        rocksdb_iter_seek_for_prev(it, r->hi.p, r->hi.n);
    else
        rocksdb_iter_seek_to_last(it);
    while (rocksdb_iter_valid(it)) {
        struct str key, value, seek = STR_NONE;
        uint64_t seq;
        if (!iter_entry(it, &key, &value, &seq)) return ERR_CORRUPT;
        if (!r->reverse) purge_meter_step(&j->meter, key);
        enum idx_step step = IDX_NEXT;
        /* seek_for_prev lands on hi itself when it exists; hi is exclusive. */
        if (!r->reverse || !r->hi.p || str_cmp(key, r->hi) < 0) step = j->fn(j->arg, key, value, seq, &seek);
        if (step == IDX_STOP) break;
        if (step == IDX_SEEK) {
            ASSERT(!r->reverse && str_cmp(seek, key) > 0);
            purge_meter_from(&j->meter, seek);
            rocksdb_iter_seek(it, seek.p, seek.n);
        } else if (r->reverse) {
            rocksdb_iter_prev(it);
        } else {
            rocksdb_iter_next(it);
        }
    }
    char *msg = NULL;
    rocksdb_iter_get_error(it, &msg);
    return take_error(j->v, msg, "scan");
}

static void scan_on_worker(void *arg)
{
    struct scan_job *j = arg;
    rocksdb_readoptions_t *o = rocksdb_readoptions_create();
    if (j->r->hi.p) rocksdb_readoptions_set_iterate_upper_bound(o, j->r->hi.p, j->r->hi.n);
    if (j->r->lo.p) rocksdb_readoptions_set_iterate_lower_bound(o, j->r->lo.p, j->r->lo.n);
    if (j->cold) rocksdb_readoptions_set_fill_cache(o, 0);
    rocksdb_iterator_t *it = rocksdb_create_iterator(j->v->db, o);
    purge_meter_begin(&j->meter, j->r->lo);
    j->e = walk(j, it);
    /* The end of the range stands for the key that would have come. */
    if (!rocksdb_iter_valid(it) && !j->r->reverse && j->r->hi.p) purge_meter_step(&j->meter, j->r->hi);
    purge_meter_end();
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(o);
}

err view_scan(struct view *v, const struct idx_range *r, bool cold, idx_scan_fn *fn, void *arg)
{
    struct scan_job j = {.v = v, .r = r, .cold = cold, .fn = fn, .arg = arg};
    if (cold)
        rt_work_long("index-scan", scan_on_worker, &j);
    else
        rt_work("index-scan", scan_on_worker, &j);
    if (v->purge && rt_fiber_self()) purge_note_found(v->purge, &j.meter.found);
    return j.e;
}

/* ---- going on after an error ---- */

struct resume_job {
    struct view *v;
    bool done;
};

static void resume(void *arg)
{
    struct resume_job *j = arg;
    char why[256] = "";
    j->done = view_rocks_resume(j->v->watch, why);
    if (j->done)
        LOG_INFO("the index writes again");
    else
        LOG_DEBUG("the index cannot write yet", LF_Z("message", why));
}

static void resume_patiently(void *arg)
{
    struct resume_job *j = arg;
    resume(j);
    for (unsigned i = 0; i < RESUME_TRIES && !j->done; i++) {
        sys->sleep_ns(RESUME_NS << i);
        resume(j);
    }
}

/* After an I/O error, which may not come again. What RocksDB could not write is still in memory, so it is
 * written anew to other files; only when that fails again and again is the index given up. */
static bool mend(struct view *v)
{
    struct resume_job j = {.v = v};
    rt_work("index-mend", resume_patiently, &j);
    return j.done;
}

/* ---- writing ---- */

struct view_batch *view_batch_new(void)
{
    struct view_batch *b = calloc(1, sizeof *b);
    if (b) b->b = rocksdb_writebatch_create();
    return b;
}

void view_batch_free(struct view_batch *b)
{
    if (!b) return;
    rocksdb_writebatch_destroy(b->b);
    free(b);
}

void view_batch_put(struct view_batch *b, struct str key, uint64_t seq, struct str value)
{
    char prefix[8];
    put_le64(prefix, seq);
    view_rocks_put(b->b, key.p, key.n, prefix, sizeof prefix, value.p, value.n);
    hot_keys_add(&b->hot, key);
}

void view_batch_del(struct view_batch *b, struct str key)
{
    rocksdb_writebatch_delete(b->b, key.p, key.n);
    dead_add(&b->deleted, key);
    hot_keys_add(&b->hot, key);
}

void view_batch_clear(struct view_batch *b)
{
    rocksdb_writebatch_clear(b->b);
    b->deleted.n = 0;
    b->hot.n = 0;
    b->hot.many = false;
}

unsigned view_batch_count(const struct view_batch *b)
{
    return (unsigned)rocksdb_writebatch_count(b->b);
}

struct write_job {
    struct view *v;
    struct view_batch *b;
    char *msg;
};

/* Not on a loop, though it seldom takes long: it waits for the flush that another thread begins, and may
 * begin one itself. */
static void write_job(void *arg)
{
    struct write_job *j = arg;
    struct view *v = j->v;
    rocksdb_write(v->db, v->write_now, j->b->b, &j->msg);
    if (!incomplete(&j->msg)) return;
    uint64_t from = sys->mono_ns();
    atomic_fetch_add(&v->stalls, 1);
    rocksdb_write(v->db, v->write_wait, j->b->b, &j->msg);
    atomic_fetch_add(&v->stall_ns, sys->mono_ns() - from);
}

static err write_once(struct view *v, struct view_batch *b)
{
    struct write_job j = {.v = v, .b = b};
    rt_work("index-write", write_job, &j);
    return take_error(v, j.msg, "write");
}

err view_write(struct view *v, struct view_batch *b)
{
    err e = write_once(v, b);
    for (unsigned i = 0; i < MEND_TRIES && e == ERR_IO && mend(v); i++) e = write_once(v, b);
    view_hot_written(v->hot, &b->hot); /* after an error as well: nobody knows what was done */
    if (v->purge && !e) purge_note(v->purge, &b->deleted);
    if (e != ERR_NO_SPACE) view_batch_clear(b);
    return e;
}

bool view_stuck(const struct view *v)
{
    return atomic_load(&v->stuck);
}

bool view_resume(struct view *v)
{
    struct resume_job j = {.v = v};
    rt_work("index-resume", resume, &j);
    if (j.done) atomic_store(&v->stuck, false);
    return j.done;
}

struct flush_job {
    struct view *v;
    char *msg;
};

static void flush_and_wait(void *arg)
{
    struct flush_job *j = arg;
    j->msg = view_rocks_flush(j->v->watch);
}

static err flush_once(struct view *v)
{
    struct flush_job j = {.v = v};
    rt_work_long("index-flush", flush_and_wait, &j);
    return take_error(v, j.msg, "flush");
}

err view_flush(struct view *v)
{
    err e = flush_once(v);
    for (unsigned i = 0; i < MEND_TRIES && e == ERR_IO && mend(v); i++) e = flush_once(v);
    return e;
}

struct size_job {
    struct view *v;
    uint64_t files, memory;
};

/* Locks the list of versions, and may look into files. */
static void sizes(void *arg)
{
    struct size_job *j = arg;
    rocksdb_property_int(j->v->db, "rocksdb.estimate-live-data-size", &j->files);
    rocksdb_property_int(j->v->db, "rocksdb.cur-size-all-mem-tables", &j->memory);
}

uint64_t view_bytes(struct view *v)
{
    struct size_job j = {.v = v};
    rt_work("index-size", sizes, &j);
    return j.files + j.memory;
}

void view_get_stats(struct view *v, struct view_stats *out)
{
    *out = (struct view_stats){.stalls = atomic_load(&v->stalls),
                               .stall_ns = atomic_load(&v->stall_ns),
                               .errors = atomic_load(&v->errors),
                               .purges = v->purge ? purge_rounds(v->purge) : 0,
                               .purging = v->purge && !purge_idle(v->purge)};
}
