/* What the tests of extents share: a directory of their own, patterned bytes, put and get of one blob. */
#ifndef TESTS_EXTENTS_UTIL_H
#define TESTS_EXTENTS_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/assert.h"
#include "base/log.h"
#include "rt/rt.h"
#include "store/extents.h"
#include "store/extents_format.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdatomic.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Small ceilings, so that a test meets all of them: extents of 64 KiB, streamed in two writes; files of 512
 * KiB. */
#define SMALL_LIMITS .file_max = 512 << 10, .extent_max = 64 << 10, .writer_buffer = 32 << 10

/* Blocks that a file system takes for its own map of a file. */
#define SLACK 16384

struct kept { /* a blob as its writer saw it */
    uint64_t id, size;
    struct extent_place *places;
    size_t n;
};

static char test_dir[64];

/* in_memory: where flushes cost nothing, for tests of very many lives. */
static inline void dir_new(bool in_memory)
{
    const char *base = in_memory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(test_dir, sizeof test_dir, "%s/extents-test-XXXXXX", base);
    ASSERT(mkdtemp(test_dir));
}

static inline bool remove_one(void *arg, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    unlink(path);
    return true;
}

static inline void dir_free(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/extents", test_dir);
    sys_real.list(path, remove_one, path);
    rmdir(path);
    rmdir(test_dir);
}

static inline void file_path(uint32_t number, char out[128])
{
    snprintf(out, 128, "%s/extents/%08u.ext", test_dir, number);
}

/* Bytes of a blob: each 8 of them tell which blob and where. */
static inline void fill_pattern(uint64_t id, uint64_t from, char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint64_t word = ((from + i) / 8 + (id << 40)) * 0x9e3779b97f4a7c15ull;
        size_t skip = (from + i) % 8, k = 8 - skip < n - i ? 8 - skip : n - i;
        memcpy(p + i, (char *)&word + skip, k);
        i += k;
    }
}

static inline bool is_pattern(uint64_t id, uint64_t from, struct str s)
{
    char want[4096];
    for (size_t i = 0; i < s.n; i += sizeof want) {
        size_t k = s.n - i < sizeof want ? s.n - i : sizeof want;
        fill_pattern(id, from + i, want, k);
        if (memcmp(s.p + i, want, k) != 0) return false;
    }
    return true;
}

/* Write size bytes in steps; sealed on ERR_OK. */
static inline err put_bytes(struct extents *x, uint64_t id, uint64_t size, int64_t hint, size_t step,
                            struct str owner, struct extent_writer **w, const struct extent_place **places,
                            size_t *n)
{
    err e = extent_writer_new(x, id, hint, w);
    if (e) return e;
    char *p = malloc(step);
    ASSERT(p);
    for (uint64_t at = 0; at < size && !e; at += step) {
        size_t k = size - at < step ? (size_t)(size - at) : step;
        fill_pattern(id, at, p, k);
        e = extent_write(*w, p, k);
    }
    free(p);
    return e ? e : extent_seal(*w, owner, places, n);
}

static inline err put_kept(struct extents *x, uint64_t id, uint64_t size, int64_t hint, size_t step,
                           struct kept *k)
{
    struct extent_writer *w = NULL;
    const struct extent_place *places;
    char owner[64];
    snprintf(owner, sizeof owner, "owner of %llu", (unsigned long long)id);
    *k = (struct kept){.id = id, .size = size};
    err e = put_bytes(x, id, size, hint, step, str_c(owner), &w, &places, &k->n);
    if (e) {
        k->n = 0;
        extent_writer_abandon(w);
        return e;
    }
    k->places = malloc(k->n * sizeof *places);
    ASSERT(k->places);
    memcpy(k->places, places, k->n * sizeof *places);
    extent_writer_keep(w);
    return ERR_OK;
}

static inline void kept_free(struct kept *k)
{
    free(k->places);
    k->places = NULL;
    k->n = 0;
}

/* All bytes of one extent, in steps; ERR_CORRUPT also when they are not the pattern: a test tells the two
 * apart by *wrong. */
static inline err read_extent(struct extents *x, const struct extent_place *p, uint64_t id, uint64_t blob_off,
                              size_t step, bool *wrong)
{
    struct extent_table *t = NULL;
    char *buf = malloc(step + 2 * EXTENT_BLOCK_MAX);
    ASSERT(buf);
    struct str view;
    err e = p->data_len ? ERR_OK : extent_read(x, p, id, &t, 0, 0, buf, step + 2 * EXTENT_BLOCK_MAX, &view);
    for (uint64_t at = 0; at < p->data_len && !e; at += step) {
        size_t k = p->data_len - at < step ? (size_t)(p->data_len - at) : step;
        e = extent_read(x, p, id, &t, at, k, buf, step + 2 * EXTENT_BLOCK_MAX, &view);
        if (!e && (view.n != k || !is_pattern(id, blob_off + at, view))) *wrong = true;
    }
    extent_table_free(t);
    free(buf);
    return e;
}

static inline err read_kept(struct extents *x, const struct kept *k, size_t step, bool *wrong)
{
    uint64_t at = 0;
    err e = ERR_OK;
    for (size_t i = 0; i < k->n && !e; i++) {
        e = read_extent(x, &k->places[i], k->id, at, step, wrong);
        at += k->places[i].data_len;
    }
    if (!e && at != k->size) *wrong = true;
    return e;
}

static inline void assert_reads(struct extents *x, const struct kept *k, size_t step)
{
    bool wrong = false;
    assert_int_equal(read_kept(x, k, step, &wrong), ERR_OK);
    assert_false(wrong);
}

static inline struct extents *open_with(struct extents_options o)
{
    char why[512] = "";
    struct extents *x;
    o.dir = test_dir;
    err e = extents_open(&o, &x, why);
    if (e) fail_msg("extents_open: %s", why);
    return x;
}

/* What a scan met. */
#define SEEN_MAX 1024
struct seen {
    size_t n, open, bad;
    struct extent_visit v[SEEN_MAX];
    uint64_t bad_at[64];
    char owner[SEEN_MAX][64];
};

static inline bool on_visit(void *arg, const struct extent_visit *v)
{
    struct seen *s = arg;
    ASSERT(s->n < SEEN_MAX);
    snprintf(s->owner[s->n], 64, "%.*s", STR_FMT(v->owner));
    s->v[s->n++] = *v;
    if (v->open) s->open++;
    return true;
}

static inline void on_bad(void *arg, uint32_t file, uint64_t offset)
{
    struct seen *s = arg;
    (void)file;
    if (s->bad < 64) s->bad_at[s->bad] = offset;
    s->bad++;
}

static inline struct seen *scan(struct extents *x, bool tail)
{
    struct seen *s = calloc(1, sizeof *s);
    ASSERT(s);
    assert_int_equal(extents_scan(x, tail, on_visit, on_bad, s), ERR_OK);
    return s;
}

static inline uint64_t disk_bytes(uint32_t file)
{
    char path[128];
    struct stat st;
    file_path(file, path);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static inline bool file_exists(uint32_t file)
{
    char path[128];
    file_path(file, path);
    return access(path, F_OK) == 0;
}

static inline void quiet(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ASSERT(fd >= 0);
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, fd);
}

static inline int setup(void **state)
{
    (void)state;
    dir_new(false);
    return 0;
}

static inline int setup_in_memory(void **state)
{
    (void)state;
    dir_new(true);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    dir_free();
    return 0;
}

#endif
