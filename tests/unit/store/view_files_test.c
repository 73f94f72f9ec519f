/* What a loop may read of the index: what RocksDB holds, and what the page cache holds; never the disk. */
#include "base/bytes.h"
#include "base/str.h"
#include "store/view_calls.h"
#include "store/view_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { KEYS = 20000, VALUE = 300, TMPFS = 0x01021994 };

static char dir[64];
static rocksdb_options_t *options;
static rocksdb_cache_t *cache;
static struct view_files *files;
static rocksdb_t *db;

static void open_db(void)
{
    char *msg = NULL;
    options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    cache = rocksdb_cache_create_lru(64 << 10); /* next to nothing */
    rocksdb_block_based_options_set_block_cache(t, cache);
    rocksdb_options_set_block_based_table_factory(options, t);
    rocksdb_block_based_options_destroy(t);
    files = view_files_new(options);
    db = rocksdb_open(options, dir, &msg);
    assert_null(msg);
}

static void close_db(void)
{
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    rocksdb_cache_destroy(cache);
    view_files_free(files);
}

static size_t key_of(unsigned i, char out[16])
{
    return (size_t)snprintf(out, 16, "key%08u", i);
}

static void value_of(unsigned i, char out[VALUE])
{
    unsigned seed = i;
    for (unsigned at = 0; at < VALUE; at++) out[at] = (char)rand_r(&seed);
}

static void fill(void)
{
    char *msg = NULL, key[16], value[VALUE];
    rocksdb_writeoptions_t *w = rocksdb_writeoptions_create();
    for (unsigned i = 0; i < KEYS; i++) {
        value_of(i, value);
        rocksdb_put(db, w, key, key_of(i, key), value, VALUE, &msg);
        assert_null(msg);
    }
    rocksdb_writeoptions_destroy(w);
    rocksdb_flushoptions_t *f = rocksdb_flushoptions_create();
    rocksdb_flush(db, f, &msg);
    assert_null(msg);
    rocksdb_flushoptions_destroy(f);
}

/* How many of the keys came; every one that did has its value. */
static unsigned reads(enum view_from from)
{
    unsigned n = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned k = i * 7919 % KEYS; /* no block twice in a row */
        struct view_slice *s;
        const char *p;
        char *msg, key[16], want[VALUE];
        size_t len;
        enum view_got got = view_rocks_get(db, from, key, key_of(k, key), &s, &p, &len, &msg);
        assert_true(got == VIEW_GOT || (got == VIEW_NEEDS_DISK && from != VIEW_FROM_DISK));
        if (got != VIEW_GOT) continue;
        value_of(k, want);
        assert_int_equal(len, VALUE);
        assert_memory_equal(p, want, VALUE);
        view_slice_give(s);
        n++;
    }
    return n;
}

static void each_table(void (*fn)(const char *path))
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (strstr(e->d_name, ".sst")) fn(path);
    }
    closedir(d);
}

static void forget(const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    close(fd);
}

static void zero_the_middle(const char *path)
{
    static const char zeros[64 << 10];
    int fd = open(path, O_WRONLY);
    off_t size = lseek(fd, 0, SEEK_END);
    assert_true(fd >= 0 && pwrite(fd, zeros, sizeof zeros, size / 2) == sizeof zeros);
    close(fd);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/ingot-files-XXXXXX");
    assert_non_null(mkdtemp(dir));
    open_db();
    fill();
    close_db(); /* what was written into RocksDB's memory is in files now */
    open_db();
    return 0;
}

static int teardown(void **state)
{
    char command[100];
    (void)state;
    close_db();
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void test_page_cache_is_read_in_place(void **state)
{
    (void)state;
    assert_int_equal(reads(VIEW_FROM_DISK), KEYS);
    assert_true(reads(VIEW_FROM_BLOCKS) < KEYS / 10);
    assert_true(reads(VIEW_FROM_MEMORY) > KEYS - KEYS / 10); /* the machine may want its memory back */
    struct view_slice *s;
    const char *p;
    char *msg;
    size_t n;
    assert_int_equal(view_rocks_get(db, VIEW_FROM_MEMORY, "no such key", 11, &s, &p, &n, &msg), VIEW_ABSENT);
}

static void test_the_disk_is_not(void **state)
{
    (void)state;
    struct statfs fs;
    assert_int_equal(statfs(dir, &fs), 0);
    if (fs.f_type == TMPFS) skip(); /* has no disk */
    each_table(forget);
    unsigned n = reads(VIEW_FROM_MEMORY);
    assert_true(n < KEYS / 10);
    assert_int_equal(reads(VIEW_FROM_DISK), KEYS);
}

/* What goes wrong on the loop is met again by the worker, who says so: here damage, of which a loop's read
 * tells nothing. */
static void test_damage_is_not_said_without_waiting(void **state)
{
    (void)state;
    struct view_slice *s;
    const char *p;
    char *msg, key[16];
    size_t n;
    unsigned failed = 0;
    assert_int_equal(reads(VIEW_FROM_DISK), KEYS);
    each_table(zero_the_middle);
    assert_true(reads(VIEW_FROM_MEMORY) < KEYS);
    for (unsigned i = 0; i < KEYS; i++) {
        enum view_got got = view_rocks_get(db, VIEW_FROM_DISK, key, key_of(i, key), &s, &p, &n, &msg);
        assert_true(got == VIEW_GOT || got == VIEW_FAILED);
        if (got == VIEW_FAILED) {
            assert_non_null(strstr(msg, "Corruption"));
            rocksdb_free(msg);
            failed++;
        } else {
            view_slice_give(s);
        }
    }
    assert_true(failed > 0);
}

static void test_opening(void **state)
{
    (void)state;
    bool opening = false;
    for (int tries = 0; !opening && tries < 50;
         tries++) { /* a moment later it may be over, on a busy machine */
        close_db();
        open_db();
        opening = view_files_opening();
    }
    assert_true(opening);
    for (int tries = 0; view_files_opening() && tries < 200; tries++) usleep(10000);
    assert_false(view_files_opening());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_page_cache_is_read_in_place),
        TEST(test_the_disk_is_not),
        TEST(test_damage_is_not_said_without_waiting),
        TEST(test_opening),
    };
    return cmocka_run_group_tests_name("files of the index", tests, NULL, NULL);
}
