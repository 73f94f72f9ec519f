/* What a scan steps over after many deletions, as RocksDB counts it: marks of deleted keys, and entries
 * hidden by them. Times say nothing on a busy machine. */
#include "base/bytes.h"
#include "rt/rt.h"
#include "store/dead.h"
#include "store/view.h"

#include <rocksdb/c.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define KEYS  60000u
#define FROM  10000u
#define TO    50000u
#define BATCH 500u

static struct str key_of(unsigned i, char out[32])
{
    put_be64(out, 5);
    int n = snprintf(out + 8, 24, "o%08u", i);
    return str_of(out, 8 + (size_t)n);
}

struct scanned {
    struct view *v;
    unsigned keys;
    uint64_t skipped;
    err e;
};

static enum idx_step on_key(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct scanned *s = arg;
    (void)key, (void)value, (void)seq, (void)seek;
    s->keys++;
    return IDX_NEXT;
}

/* On one thread, for RocksDB counts by thread. */
static void scan_job(void *arg)
{
    struct scanned *s = arg;
    char lo[32], hi[32];
    struct idx_range r = {.lo = key_of(0, lo), .hi = key_of(KEYS, hi)};
    rocksdb_perfcontext_t *c = rocksdb_perfcontext_create();
    rocksdb_set_perf_level(rocksdb_enable_count);
    rocksdb_perfcontext_reset(c);
    s->e = view_scan(s->v, &r, false, on_key, s);
    s->skipped = rocksdb_perfcontext_metric(c, rocksdb_internal_delete_skipped_count);
    rocksdb_set_perf_level(rocksdb_disable);
    rocksdb_perfcontext_destroy(c);
}

static void fill_and_delete(struct view *v)
{
    struct view_batch *b = view_batch_new();
    assert_non_null(b);
    for (unsigned i = 0; i < KEYS + (TO - FROM); i++) {
        char key[32];
        if (i < KEYS)
            view_batch_put(b, key_of(i, key), i + 1, STR("some value of an object's record"));
        else
            view_batch_del(b, key_of(FROM + i - KEYS, key));
        if ((i + 1) % BATCH == 0) assert_int_equal(view_write(v, b), ERR_OK);
    }
    view_batch_free(b);
}

static void settle(struct view *v)
{
    struct view_stats st;
    for (int tries = 0; tries < 6000; tries++) {
        view_get_stats(v, &st);
        if (!st.purging) break;
        rt_sleep(20 * RT_MS);
    }
    assert_false(st.purging);
}

static char dir[] = "/tmp/ingot-purge-XXXXXX";
static bool purges;
static struct scanned result;

static void body(void *arg)
{
    struct rt *r = arg;
    char why[512], path[64];
    snprintf(path, sizeof path, "%s/index", dir);
    struct view_options o = {.dir = path, .cache = 8 << 20, .discard = !purges};
    struct view *v;
    assert_int_equal(view_open(&o, &v, why), ERR_OK);
    fill_and_delete(v);
    settle(v);
    result = (struct scanned){.v = v};
    rt_work("scan", scan_job, &result);
    struct view_stats st;
    view_get_stats(v, &st);
    assert_int_equal(st.purges > 0, purges);
    view_close(v);
    rt_stop(r);
}

static void run(bool with)
{
    struct rt *r;
    purges = with;
    snprintf(dir, sizeof dir, "/tmp/ingot-purge-XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct rt_options o = {.loops = 1, .backend = RT_EPOLL};
    assert_int_equal(rt_new(&o, &r), ERR_OK);
    assert_true(rt_spawn(rt_loop_at(r, 0), "test", body, r));
    rt_run(r);
    rt_free(r);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(result.e, ERR_OK);
    assert_int_equal(result.keys, KEYS - (TO - FROM));
}

/* A view that is not to change purges nothing: that is what a scan meets without. */
static void test_scan_after_mass_delete(void **state)
{
    (void)state;
    run(false);
    assert_true(result.skipped >= TO - FROM);
    run(true);
    assert_true(result.skipped < 2048); /* of the last deletions, too few to start a round */
}

/* Nobody remembers what was deleted before a restart, and few marks among many keys are not worth a rewrite
 * of all: the first scan that steps over them says where they are. */
static void forgotten_body(void *arg)
{
    struct rt *r = arg;
    char why[512], path[64];
    snprintf(path, sizeof path, "%s/index", dir);
    struct view_options o = {.dir = path, .cache = 8 << 20};
    struct view *v;
    assert_int_equal(view_open(&o, &v, why), ERR_OK);
    uint64_t skipped[2];
    for (int i = 0; i < 2; i++) {
        result = (struct scanned){.v = v};
        rt_work("scan", scan_job, &result);
        assert_int_equal(result.e, ERR_OK);
        skipped[i] = result.skipped;
        result.keys = 0;
        char lo[32], hi[32];
        struct idx_range range = {.lo = key_of(0, lo), .hi = key_of(KEYS, hi)};
        assert_int_equal(view_scan(v, &range, false, on_key, &result), ERR_OK);
        assert_int_equal(result.keys, KEYS - (TO - FROM));
        settle(v);
    }
    assert_true(skipped[0] >= TO - FROM);
    assert_int_equal(skipped[1], 0);
    view_close(v);
    rt_stop(r);
}

static void test_scan_says_where_marks_are(void **state)
{
    (void)state;
    char why[512], path[64], command[64];
    snprintf(dir, sizeof dir, "/tmp/ingot-purge-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/index", dir);
    struct view_options o = {.dir = path, .cache = 8 << 20};
    struct view *v;
    assert_int_equal(view_open(&o, &v, why), ERR_OK);
    fill_and_delete(v); /* outside of fibers no round begins */
    assert_int_equal(view_flush(v), ERR_OK);
    view_close(v);
    struct rt *r;
    struct rt_options ro = {.loops = 1, .backend = RT_EPOLL};
    assert_int_equal(rt_new(&ro, &r), ERR_OK);
    assert_true(rt_spawn(rt_loop_at(r, 0), "test", forgotten_body, r));
    rt_run(r);
    rt_free(r);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* ---- the bookkeeping ---- */

static void test_ranges(void **state)
{
    (void)state;
    struct dead *d = calloc(1, sizeof *d), *more = calloc(1, sizeof *more);
    assert_true(d && more);
    char key[32], own[17] = "\377\377\377\377\377\377\377\377b1234567";
    dead_add(d, STR("short"));
    dead_add(d, str_of(own, 16));
    assert_int_equal(d->n, 0);
    dead_add(d, key_of(7, key));
    dead_add(d, key_of(3, key));
    dead_add(more, key_of(9, key));
    dead_add(more, STR("another!opq"));
    dead_merge(d, more);
    assert_int_equal(more->n, 0);
    assert_int_equal(d->n, 2);
    assert_int_equal(d->r[0].count, 3);
    assert_true(str_eq(str_of(d->r[0].lo.p, d->r[0].lo.n), key_of(3, key)));
    assert_true(str_eq(str_of(d->r[0].hi.p, d->r[0].hi.n), key_of(9, key)));
    assert_int_equal(d->r[1].count, 1);
    /* More prefixes than there is room for: the least gives way, the largest stays. */
    for (unsigned i = 0; i < 40; i++) {
        char other[16];
        int n = snprintf(other, sizeof other, "shrd%04uo", i);
        dead_add(d, str_of(other, (size_t)n));
    }
    assert_int_equal(d->n, DEAD_RANGES);
    assert_int_equal(d->r[0].count, 3);
    free(d);
    free(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_after_mass_delete),
        cmocka_unit_test(test_scan_says_where_marks_are),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
