/* Regression 25: recovery reads archive and log once to see what is there and once to use it. A read that
 * failed, or gave other bytes, in the second made it leave out what the first had seen, and say that nothing
 * was lost. */
#include "plant.h"
#include "sys/sys.h"

#include <errno.h>

static const struct sys_ops *inner;
static uint64_t bad_read, reads;
static bool flips;         /* a byte of the read is another; else it fails */
static bool history[1024]; /* by descriptor: of archive or log */

static int open_noted(const char *path, int flags, unsigned mode)
{
    int fd = inner->open(path, flags, mode);
    if (fd >= 0) history[fd % 1024] = strstr(path, "/archive/") || strstr(path, "/log/");
    return fd;
}

static ssize_t pread_once_bad(int fd, void *p, size_t n, uint64_t off)
{
    bool bad = history[fd % 1024] && reads++ == bad_read;
    if (bad && !flips) return -EIO;
    ssize_t got = inner->pread(fd, p, n, off);
    if (bad && got > 0) ((char *)p)[got / 2] ^= 1;
    return got;
}

static err recover_with_bad_read(uint64_t k, struct recover_report *r, char why[512])
{
    struct recover_options o = {
        .dir = engine_dir, .entry = objects_check_entry, .mend = objects_mend, .beside = objects_beside};
    inner = sys;
    struct sys_ops ops = *sys;
    ops.open = open_noted;
    ops.pread = pread_once_bad;
    bad_read = k;
    reads = 0;
    sys = &ops;
    err e = engine_recover(&o, r, why);
    sys = inner;
    return e;
}

/* A snapshot that many records follow, and no index. */
static void archive_alone(void)
{
    struct store s;
    engine_dir_open(&s, NULL);
    assert_int_equal(archive_snapshot(engine_of(&s)->archive, engine_of(&s)->view), ERR_OK);
    engine_close(&s);
    struct shop w;
    shop_open(&w);
    for (unsigned i = 0; i < 30; i++) shop_put(&w, "plain", "later", i, shop_size(i));
    shop_close(&w);
}

static void all_is_there(void)
{
    struct shop w;
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    shop_open(&w);
    assert_int_equal(shop_get(&w, "plain", "later", 29, shop_size(29)), ERR_OK);
    shop_close(&w);
}

static void each_read(bool flip)
{
    char whole[256];
    unsigned refused = 0, lost = 0, good = 0;
    archive_alone();
    dir_drop("index");
    snprintf(whole, sizeof whole, "%s.whole", engine_dir);
    dir_copy(engine_dir, whole);
    flips = flip;
    bool hit = true;
    for (uint64_t k = 0; hit; k += FEWER) {
        struct recover_report r;
        char why[512];
        err e = recover_with_bad_read(k, &r, why);
        hit = reads > bad_read;
        if (!e && r.lost_records == 0 && r.lost_blobs == 0) all_is_there();
        assert_true(!e || why[0]);
        *(e ? &refused : r.lost_records + r.lost_blobs ? &lost : &good) += 1;
        buf_free(&r.lines);
        dir_copy(whole, engine_dir);
    }
    assert_true(good > 0 && refused > 0);
    assert_true(flip || lost == 0); /* what cannot be read now may be readable later: nothing is given up */
    nftw(whole, engine_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    recovers_without_loss();
    all_is_there();
}

static void test_a_read_that_fails(void **state)
{
    (void)state;
    each_read(false);
}

static void test_a_read_of_other_bytes(void **state)
{
    (void)state;
    each_read(true);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    const struct CMUnitTest tests[] = {TEST(test_a_read_that_fails), TEST(test_a_read_of_other_bytes)};
    return cmocka_run_group_tests_name("regression 25", tests, NULL, NULL);
}
