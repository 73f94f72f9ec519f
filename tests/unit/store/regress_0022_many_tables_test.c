/* Regression 22: a start opens 16 tables of the index at once, the others when they are needed. A read that
 * is to stay in memory was told "found, empty" by RocksDB where the table was not open, which was taken for a
 * damaged entry: a store with more tables did not start. */
#include "conformance/store_engine.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { KEYS = 8192, VALUE = 1000, TABLES = 40 };

static const struct engine_options small = {.index_buffer = 64 << 10};

static struct str key_of(unsigned i, char out[32])
{
    put_be64(out, 1);
    int n = snprintf(out + 8, 24, "o%010u", i);
    return str_of(out, 8 + (size_t)n);
}

static void put_all(struct store *s)
{
    struct arena *a = arena_new(0);
    for (unsigned i = 0; i < KEYS;) {
        arena_reset(a);
        struct idx_txn *t = idx_txn_new(a, 1, 0);
        for (unsigned n = 0; n < 64; n++, i++) {
            char key[32], value[VALUE];
            unsigned seed = i;
            for (unsigned at = 0; at < VALUE; at++) value[at] = (char)rand_r(&seed);
            idx_txn_put(t, key_of(i, key), str_of(value, VALUE));
        }
        ASSERT(idx_commit(s->idx, t, NULL) == ERR_OK);
    }
    arena_free(a);
}

static unsigned tables(void)
{
    char path[128];
    unsigned n = 0;
    snprintf(path, sizeof path, "%s/index", engine_dir);
    DIR *d = opendir(path);
    ASSERT(d);
    for (struct dirent *e; (e = readdir(d));) n += strstr(e->d_name, ".sst") != NULL;
    closedir(d);
    return n;
}

static void test_every_entry_is_read(void **state)
{
    (void)state;
    struct store s;
    engine_dir_make();
    engine_dir_open(&s, &small);
    put_all(&s);
    engine_close(&s);
    assert_true(tables() > TABLES);
    engine_dir_open(&s, &small);
    struct arena *a = arena_new(0);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        struct str value;
        arena_reset(a);
        assert_int_equal(idx_get(s.idx, a, key_of(i, key), &value, NULL), ERR_OK);
        unsigned seed = i;
        assert_int_equal(value.n, VALUE);
        assert_int_equal(value.p[0], (char)rand_r(&seed));
    }
    arena_free(a);
    engine_close(&s);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_entry_is_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
