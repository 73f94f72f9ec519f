/* What the tests of check and recovery share: a data directory filled through the object layer until the log
 * was collected again and again, its index as bytes, and ways to plant damage. No runtime: everything runs in
 * place. */
#ifndef TESTS_STORE_DATA_DIR_H
#define TESTS_STORE_DATA_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/log.h"
#include "conformance/store_engine.h"
#include "object/object.h"
#include "store/log_int.h"

#include <sys/wait.h>

/* What costs a process each is done less often where a process costs seconds and these tests show nothing
 * more. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FEWER 4u
#endif
#endif
#ifndef FEWER
#define FEWER 1u
#endif

/* In memory where that can be: flushes are no part of these tests. */
static inline void dir_make(void)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(engine_dir, sizeof engine_dir, "%s/ingot-check-XXXXXX", base);
    ASSERT(mkdtemp(engine_dir));
}

struct shop {
    struct store s;
    struct objects *o;
    struct arena *a;
};

/* file_bytes: of an extent file; 0: as usual. */
static inline void shop_open_files(struct shop *w, uint64_t file_bytes)
{
    /* Small segments, so that a test's load makes the collector run often. */
    struct engine_options o = {.segment_bytes = 256 << 10,
                               .log_bytes = 1 << 20,
                               .inline_max = 16 << 10,
                               .extent_file_bytes = file_bytes};
    engine_dir_open(&w->s, &o);
    struct objects_options oo = {.store = &w->s, .min_part_size = 100};
    ASSERT(objects_new(&oo, &w->o) == ERR_OK);
    w->a = arena_new((size_t)1 << 30);
    ASSERT(w->a);
}

static inline void shop_open(struct shop *w)
{
    shop_open_files(w, 0);
}

static inline void shop_close(struct shop *w)
{
    arena_free(w->a);
    objects_free(w->o);
    engine_close(&w->s);
}

static inline struct str shop_bytes(struct arena *a, unsigned seed, size_t n)
{
    char *p = arena_alloc_raw(a, n + 1);
    uint64_t x = seed * 0x9e3779b97f4a7c15u + n;
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        p[i] = (char)(x >> 56);
    }
    return str_of(p, n);
}

static inline void shop_put(struct shop *w, const char *bucket, const char *key, unsigned seed, size_t n)
{
    struct arena *a = arena_new((size_t)64 << 20);
    struct obj_put_in in = {
        .bucket = str_c(bucket), .key = str_c(key), .owner = STR("me"), .size = (int64_t)n};
    struct obj_info out;
    ASSERT(obj_put(w->o, a, &in, body_of_bytes(a, shop_bytes(a, seed, n)), &out) == ERR_OK);
    arena_free(a);
}

static inline void shop_delete(struct shop *w, const char *bucket, const char *key)
{
    struct arena *a = arena_new(0);
    struct obj_delete_in in = {.bucket = str_c(bucket), .key = str_c(key), .owner = STR("me")};
    struct obj_delete_out out;
    ASSERT(obj_delete(w->o, a, &in, &out) == ERR_OK);
    arena_free(a);
}

/* ERR_OK: it is there and whole. */
static inline err shop_get(struct shop *w, const char *bucket, const char *key, unsigned seed, size_t n)
{
    struct arena *a = arena_new((size_t)64 << 20);
    struct obj_get_in in = {.bucket = str_c(bucket), .key = str_c(key)};
    struct obj_get_out g;
    struct str data;
    err e = obj_get(w->o, a, &in, &g);
    if (!e) {
        e = body_read_all(a, g.body, (size_t)32 << 20, &data);
        body_close(g.body);
        if (!e) ASSERT(str_eq(data, shop_bytes(a, seed, n)));
    }
    arena_free(a);
    return e;
}

static inline void shop_copy(struct shop *w, const char *from, const char *to)
{
    struct arena *a = arena_new(0);
    struct obj_copy_in in = {.src_bucket = STR("plain"),
                             .src_key = str_c(from),
                             .bucket = STR("plain"),
                             .key = str_c(to),
                             .owner = STR("me")};
    struct obj_copy_out out;
    ASSERT(obj_copy(w->o, a, &in, &out) == ERR_OK);
    arena_free(a);
}

/* An upload of three parts; completed or left in progress. */
static inline void shop_multi(struct shop *w, const char *key, unsigned seed, size_t part, bool complete)
{
    struct arena *a = arena_new((size_t)64 << 20);
    struct obj_upload_in in = {.bucket = STR("plain"), .key = str_c(key), .owner = STR("me")};
    struct obj_upload_info u;
    struct upload_complete_part list[3] = {{0}};
    ASSERT(upload_create(w->o, a, &in, &u) == ERR_OK);
    for (unsigned i = 0; i < 3; i++) {
        struct obj_put_in p = {.bucket = STR("plain"), .key = str_c(key), .size = (int64_t)part};
        struct obj_part_info out;
        ASSERT(upload_part(w->o, a, u.upload_id, i + 1, &p, body_of_bytes(a, shop_bytes(a, seed + i, part)),
                           &out) == ERR_OK);
        list[i] = (struct upload_complete_part){.number = i + 1, .etag = out.etag};
    }
    struct upload_complete_in done = {
        .bucket = STR("plain"), .key = str_c(key), .upload_id = u.upload_id, .parts = list, .n = 3};
    struct obj_info info;
    if (complete) ASSERT(upload_complete(w->o, a, &done, &info) == ERR_OK);
    arena_free(a);
}

#define SHOP_ROUNDS 60u
static inline size_t shop_size(unsigned i)
{
    static const size_t sizes[] = {0, 100, 4000, 12000, 20000, 70000, 300000};
    return sizes[i % 7];
}

/* A bit of everything, the log collected meanwhile. Objects "keep/N" stay as shop_size(N) says, "gone/N" do
 * not. */
static inline void shop_fill(void)
{
    struct shop w;
    char key[64], to[64];
    shop_open(&w);
    ASSERT(bucket_create(w.o, w.a, STR("plain"), STR("me"), STR("here")) == ERR_OK);
    ASSERT(bucket_create(w.o, w.a, STR("versioned"), STR("me"), STR("here")) == ERR_OK);
    ASSERT(bucket_set_versioning(w.o, w.a, STR("versioned"), VERSIONING_ENABLED) == ERR_OK);
    for (unsigned i = 0; i < SHOP_ROUNDS; i++) {
        snprintf(key, sizeof key, "keep/%u", i);
        shop_put(&w, "plain", key, i, shop_size(i));
        snprintf(to, sizeof to, "copy/%u", i);
        if (i % 5 == 0) shop_copy(&w, key, to);
        snprintf(key, sizeof key, "gone/%u", i);
        shop_put(&w, "plain", key, i, shop_size(i + 3));
        shop_put(&w, "plain", "again", i, shop_size(i));
        shop_put(&w, "versioned", "v", i, shop_size(i + 1));
        if (i % 10 == 3) shop_delete(&w, "versioned", "v");
        snprintf(key, sizeof key, "multi/%u", i);
        if (i % 8 == 0) shop_multi(&w, key, 1000 + i, i % 16 ? 50000 : 3000, i % 24 != 0);
        if (i >= 4) {
            snprintf(key, sizeof key, "gone/%u", i - 4);
            shop_delete(&w, "plain", key);
        }
    }
    for (unsigned i = SHOP_ROUNDS - 4; i < SHOP_ROUNDS; i++) {
        snprintf(key, sizeof key, "gone/%u", i);
        shop_delete(&w, "plain", key);
    }
    struct engine_stats st;
    engine_get_stats(&w.s, &st);
    ASSERT(st.log_collected > 3);
    shop_close(&w);
}

/* How many "keep/N" are there and whole. */
static inline unsigned shop_kept(void)
{
    struct shop w;
    char key[64];
    unsigned n = 0;
    shop_open(&w);
    for (unsigned i = 0; i < SHOP_ROUNDS; i++) {
        snprintf(key, sizeof key, "keep/%u", i);
        n += shop_get(&w, "plain", key, i, shop_size(i)) == ERR_OK;
        snprintf(key, sizeof key, "gone/%u", i);
        ASSERT(shop_get(&w, "plain", key, i, shop_size(i + 3)) == ERR_NO_SUCH_KEY);
    }
    shop_close(&w);
    return n;
}

/* ---- the index as bytes ---- */

static inline enum idx_step index_entry(void *arg, struct str key, struct str value, uint64_t seq,
                                        struct str *seek)
{
    struct buf *b = arg;
    (void)seek;
    buf_lenstr(b, key);
    buf_le64(b, seq);
    buf_lenstr(b, value);
    return IDX_NEXT;
}

/* Every entry, the engine's own too, with its sequence. */
static inline void index_read(struct buf *out)
{
    struct store s;
    buf_init(out, 0);
    engine_dir_open(&s, &(struct engine_options){.read_only = true});
    struct idx_range all = {STR(""), STR_NONE, false};
    ASSERT(view_scan(engine_of(&s)->view, &all, true, index_entry, out) == ERR_OK && !out->overflow);
    engine_close(&s);
}

static inline void index_same(struct buf *before)
{
    struct buf now;
    index_read(&now);
    ASSERT(str_eq(buf_view(before), buf_view(&now)));
    buf_free(&now);
}

/* ---- check and recovery ---- */

static inline struct check_report check_run(bool repair, bool deep)
{
    struct check_options o = {
        .dir = engine_dir, .repair = repair, .deep = deep, .entry = objects_check_entry};
    struct check_report r;
    char why[512];
    err e = engine_check(&o, &r, why);
    if (e) fprintf(stderr, "engine_check: %s\n", why);
    ASSERT(e == ERR_OK);
    return r;
}

static inline bool check_is_clean(const struct check_report *r)
{
    return !(r->bad_records || r->missing_blobs || r->corrupt_blobs || r->wrong_refcounts ||
             r->unreferenced_blobs || r->unreferenced_bytes || r->wrong_counters || r->log_errors) &&
           r->lines.n == 0;
}

static inline void check_clean(void)
{
    struct check_report r = check_run(false, true);
    if (!check_is_clean(&r)) fprintf(stderr, "findings:\n%.*s", STR_FMT(buf_view(&r.lines)));
    ASSERT(check_is_clean(&r));
    buf_free(&r.lines);
}

static inline struct recover_report recover_run(void)
{
    struct recover_options o = {
        .dir = engine_dir, .entry = objects_check_entry, .mend = objects_mend, .beside = objects_beside};
    struct recover_report r;
    char why[512];
    err e = engine_recover(&o, &r, why);
    if (e) fprintf(stderr, "engine_recover: %s\n", why);
    ASSERT(e == ERR_OK);
    return r;
}

/* ---- damage ---- */

static inline void dir_path(const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", engine_dir, name);
}

static inline void dir_drop(const char *name)
{
    char path[256];
    dir_path(name, path);
    nftw(path, engine_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void dir_copy(const char *from, const char *to)
{
    char command[1024];
    snprintf(command, sizeof command, "rm -rf %s && cp -a %s %s", to, from, to);
    ASSERT(system(command) == 0);
}

struct names_of {
    const char *suffix;
    char name[64][64];
    unsigned n;
};

static inline bool names_add(void *arg, const char *name)
{
    struct names_of *f = arg;
    if (str_ends(str_c(name), str_c(f->suffix)) && f->n < 64) snprintf(f->name[f->n++], 64, "%.63s", name);
    return true;
}

static inline int names_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Names of folder that end in suffix, in order. */
static inline struct names_of names_in(const char *folder, const char *suffix)
{
    char path[256];
    struct names_of f = {.suffix = suffix};
    dir_path(folder, path);
    sys->list(path, names_add, &f);
    qsort(f.name, f.n, 64, names_order);
    return f;
}

static inline uint64_t size_of(const char *path)
{
    struct stat st;
    ASSERT(stat(path, &st) == 0);
    return (uint64_t)st.st_size;
}

/* Another process of this program (a fork alone has no threads for RocksDB): main hands `role` and a number
 * to run_role, on the same directory. It is to end by _exit, as a crash ends: nothing is closed. Returns its
 * exit code. */
static inline int in_process(const char *role, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    fflush(NULL);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "test", role, engine_dir, text, (char *)NULL);
        _exit(99);
    }
    int status;
    ASSERT(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* false: this process was not started by in_process. */
static inline bool is_role(int argc, char **argv, const char *role, uint64_t *number)
{
    if (argc != 4 || strcmp(argv[1], role) != 0) return false;
    snprintf(engine_dir, sizeof engine_dir, "%s", argv[2]);
    return str_to_u64(str_c(argv[3]), number);
}

#endif
