/* System calls that fail: every call of a whole life, once, in four ways; a flush; a full disk; a file system
 * that can do less. */
#include "unit/store/extents_util.h"

#include <linux/falloc.h>

/* ---- every call once ---- */

static const struct {
    uint64_t size;
    int64_t hint;
} plan[] = {{5000, 5000}, {140000, 140000}, {90000, -1}, {0, 0}, {40000, 40000}};
#define PLANNED (sizeof plan / sizeof *plan)

struct life {
    struct kept k[PLANNED];
    struct extent_small many[3];
    char *data[3];
    bool many_ok, freed, abandoned;
    struct extent_place abandoned_at;
};

static void write_some_blobs(struct extents *x, struct life *l)
{
    for (size_t i = 0; i < PLANNED; i++) put_kept(x, i + 1, plan[i].size, plan[i].hint, 30000, &l->k[i]);
    struct extent_writer *w = NULL;
    const struct extent_place *p;
    size_t n;
    if (put_bytes(x, 50, 30000, 30000, 30000, STR_NONE, &w, &p, &n) == ERR_OK) {
        l->abandoned_at = *p;
        l->abandoned = true;
    }
    extent_writer_abandon(w);
    for (uint64_t i = 0; i < 3; i++) {
        l->data[i] = malloc(9000);
        fill_pattern(100 + i, 0, l->data[i], 9000);
        l->many[i] =
            (struct extent_small){.blob_id = 100 + i, .data = str_of(l->data[i], 9000), .owner = STR("m")};
    }
    l->many_ok = extents_write_many(x, l->many, 3) == ERR_OK;
    if (l->many_ok) extents_small_keep(l->many, 3);
}

/* What the writer was told is kept reads as it was written, or not at all; with may_fail an error is an
 * answer. */
static void verify(struct extents *x, const struct life *l, bool may_fail)
{
    for (size_t i = 0; i < PLANNED; i++) {
        if (l->k[i].n == 0 || (i == 4 && l->freed)) continue;
        bool wrong = false;
        err e = read_kept(x, &l->k[i], 100000, &wrong);
        assert_false(wrong);
        if (!may_fail) assert_int_equal(e, ERR_OK);
    }
    for (uint64_t i = 0; i < 3 && l->many_ok; i++) {
        bool wrong = false;
        err e = read_extent(x, &l->many[i].place, 100 + i, 0, 10000, &wrong);
        assert_false(wrong);
        if (!may_fail) assert_int_equal(e, ERR_OK);
    }
}

static void live_once(struct life *l)
{
    char why[512];
    struct extents *x;
    struct extents_options o = {.dir = test_dir, SMALL_LIMITS};
    if (extents_open(&o, &x, why) != ERR_OK) return;
    write_some_blobs(x, l);
    verify(x, l, true);
    if (l->k[4].n) {
        extents_free_place(x, &l->k[4].places[0]);
        l->freed = true;
    }
    extents_settle_frees(x);
    struct seen *s = calloc(1, sizeof *s);
    extents_scan(x, false, on_visit, on_bad, s);
    free(s);
    extents_close(x);
}

/* Afterwards, on a healthy disk: all that was acknowledged is there, nothing that was given up. */
static void live_again(struct life *l)
{
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    verify(x, l, false);
    if (l->freed) extents_free_place(x, &l->k[4].places[0]); /* as the log replays */
    if (l->abandoned) extents_free_unknown(x, &l->abandoned_at);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    struct seen *s = scan(x, false);
    for (size_t i = 0; i < s->n; i++) {
        uint64_t id = s->v[i].blob_id;
        assert_true(id != 50 && !(id == 5 && l->freed));
    }
    free(s);
    verify(x, l, false);
    struct kept k;
    assert_int_equal(put_kept(x, 200, 100000, 100000, 50000, &k), ERR_OK);
    assert_reads(x, &k, 50000);
    kept_free(&k);
    extents_close(x);
}

static void every_call(enum sys_fault_kind kind)
{
    bool hit = true;
    uint64_t k = 0;
    for (; hit; k++) {
        dir_new(true);
        struct life l = {0};
        sys_fault_install(k, kind);
        live_once(&l);
        hit = sys_fault_hit();
        sys_fault_remove();
        live_again(&l);
        if (!hit) /* nothing failed: all was acknowledged */
            for (size_t i = 0; i < PLANNED; i++) assert_true(l.k[i].n > 0 && l.many_ok && l.abandoned);
        for (size_t i = 0; i < PLANNED; i++) kept_free(&l.k[i]);
        for (int i = 0; i < 3; i++) free(l.data[i]);
        dir_free();
    }
    assert_true(k > 60); /* each of them was made to fail */
}

static void test_every_eio(void **state)
{
    (void)state;
    every_call(SYS_FAULT_EIO);
}

static void test_every_enospc(void **state)
{
    (void)state;
    every_call(SYS_FAULT_ENOSPC);
}

static void test_every_eintr(void **state)
{
    (void)state;
    every_call(SYS_FAULT_EINTR);
}

static void test_every_short(void **state)
{
    (void)state;
    every_call(SYS_FAULT_SHORT);
}

/* ---- chosen calls ---- */

static struct {
    int fdatasync, fallocate, punch, direct, write; /* what each answers; 0: the real thing */
    unsigned syncs;
    uint64_t spoilt; /* offset of a byte that reads through the page cache get wrong */
} rule;

/* What was called, one letter each: Write, flush (F: fdatasync, S: fsync, D: directory), Punch, Unlink. */
static char called[4096];

static void note(char c)
{
    size_t n = strlen(called);
    if (n + 1 < sizeof called) called[n] = c;
}

static int r_fsync(int fd)
{
    note('S');
    return sys_real.fsync(fd);
}

static int r_fsync_dir(const char *path)
{
    note('D');
    return sys_real.fsync_dir(path);
}

static int r_unlink(const char *path)
{
    note('U');
    return sys_real.unlink(path);
}

static int r_open(const char *path, int flags, unsigned mode)
{
    return flags & O_DIRECT && rule.direct ? rule.direct : sys_real.open(path, flags, mode);
}

static int r_fdatasync(int fd)
{
    rule.syncs++;
    note('F');
    return rule.fdatasync ? rule.fdatasync : sys_real.fdatasync(fd);
}

static int r_fallocate(int fd, int mode, uint64_t off, uint64_t n)
{
    if (mode & FALLOC_FL_PUNCH_HOLE) note('P');
    if (mode & FALLOC_FL_PUNCH_HOLE && rule.punch) return rule.punch;
    if (!(mode & FALLOC_FL_PUNCH_HOLE) && rule.fallocate) return rule.fallocate;
    return sys_real.fallocate(fd, mode, off, n);
}

/* The page cache holds a wrong bit; a descriptor past it does not. */
static ssize_t spoil(int fd, char *p, ssize_t got, uint64_t off)
{
    if (rule.spoilt > 0 && got > 0 && !(fcntl(fd, F_GETFL) & O_DIRECT) && off <= rule.spoilt &&
        off + (uint64_t)got > rule.spoilt)
        p[rule.spoilt - off] ^= 4;
    return got;
}

static ssize_t r_pread(int fd, void *p, size_t n, uint64_t off)
{
    return spoil(fd, p, sys_real.pread(fd, p, n, off), off);
}

static ssize_t r_pread_nowait(int fd, void *p, size_t n, uint64_t off)
{
    return spoil(fd, p, sys_real.pread_nowait(fd, p, n, off), off);
}

static ssize_t r_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    note('W');
    return rule.write ? rule.write : sys_real.pwritev(fd, iov, n, off, flags);
}

static struct sys_ops ruled;

static int rules_on(void **state)
{
    memset(&rule, 0, sizeof rule);
    memset(called, 0, sizeof called);
    ruled = sys_real;
    ruled.open = r_open;
    ruled.fdatasync = r_fdatasync;
    ruled.fallocate = r_fallocate;
    ruled.pwritev = r_pwritev;
    ruled.fsync = r_fsync;
    ruled.fsync_dir = r_fsync_dir;
    ruled.unlink = r_unlink;
    ruled.pread = r_pread;
    ruled.pread_nowait = r_pread_nowait;
    sys = &ruled;
    return setup(state);
}

static int rules_off(void **state)
{
    sys = &sys_real;
    return teardown(state);
}

/* A failed flush is an error to whoever waits, and the file is never written or flushed again. */
static void test_flush_fails(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept a, b, c;
    assert_int_equal(put_kept(x, 1, 10000, 10000, 10000, &a), ERR_OK);
    rule.fdatasync = -EIO;
    rule.syncs = 0;
    assert_int_equal(put_kept(x, 2, 10000, 10000, 10000, &b), ERR_IO);
    assert_int_equal(rule.syncs, 1);
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_int_equal(st.io_errors, 1);
    rule.fdatasync = 0;
    assert_int_equal(put_kept(x, 3, 10000, 10000, 10000, &c), ERR_OK);
    assert_int_not_equal(c.places[0].file, a.places[0].file);
    assert_reads(x, &a, 10000);
    assert_reads(x, &c, 10000);
    kept_free(&a);
    kept_free(&c);
    extents_close(x);
}

/* A writer that began before the flush failed cannot be acknowledged after it. */
static void test_flush_failed_before(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct extent_writer *w;
    char *mib = calloc(1, 1 << 20);
    assert_int_equal(extent_writer_new(x, 1, 5 << 20, &w), ERR_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(extent_write(w, mib, 1 << 20), ERR_OK);
    rule.fdatasync = -EIO;
    struct kept k;
    assert_int_equal(put_kept(x, 2, 3 << 20, 3 << 20, 1 << 20, &k), ERR_IO);
    rule.fdatasync = 0;
    for (int i = 0; i < 2; i++) extent_write(w, mib, 1 << 20);
    const struct extent_place *p;
    size_t n;
    assert_int_equal(extent_seal(w, STR_NONE, &p, &n), ERR_IO);
    extent_writer_abandon(w);
    assert_int_equal(put_kept(x, 3, 3 << 20, 3 << 20, 1 << 20, &k), ERR_OK);
    kept_free(&k);
    free(mib);
    extents_close(x);
}

static void test_disk_full(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept a, b;
    assert_int_equal(put_kept(x, 1, 3 << 20, 3 << 20, 1 << 20, &a), ERR_OK);
    rule.fallocate = -ENOSPC;
    assert_int_equal(put_kept(x, 2, 3 << 20, 3 << 20, 1 << 20, &b), ERR_NO_SPACE);
    assert_int_equal(put_kept(x, 3, 30000, 30000, 30000, &b), ERR_NO_SPACE);
    struct extent_small s = {.blob_id = 4, .data = STR("x"), .owner = STR("y")};
    assert_int_equal(extents_write_many(x, &s, 1), ERR_NO_SPACE);
    rule.fallocate = -EDQUOT;
    assert_int_equal(put_kept(x, 5, 30000, 30000, 30000, &b), ERR_NO_SPACE);
    rule.fallocate = 0;
    rule.write = -ENOSPC;
    assert_int_equal(put_kept(x, 6, 3 << 20, 3 << 20, 1 << 20, &b), ERR_NO_SPACE);
    assert_reads(x, &a, 1 << 20);
    extents_free_place(x, &a.places[0]); /* deleting works on a full disk */
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    rule.write = 0;
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_int_equal(st.io_errors, 0);
    assert_int_equal(st.live, 0);
    assert_int_equal(put_kept(x, 7, 3 << 20, 3 << 20, 1 << 20, &b), ERR_OK); /* and it recovers alone */
    assert_reads(x, &b, 1 << 20);
    uint32_t large = b.places[0].file;
    assert_true(disk_bytes(large) < (4 << 20));
    kept_free(&a);
    kept_free(&b);
    extents_close(x);
}

/* No O_DIRECT, no fallocate, no holes: all works, space returns with the last extent of a file. */
static void test_poor_file_system(void **state)
{
    (void)state;
    rule.direct = -EINVAL;
    rule.fallocate = rule.punch = -EOPNOTSUPP;
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct kept k[20];
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(put_kept(x, i + 1, 60000, 60000, 60000, &k[i]), ERR_OK);
    for (int i = 0; i < 20; i++) assert_reads(x, &k[i], 60000);
    uint32_t first = k[0].places[0].file;
    for (int i = 0; i < 5; i++) extents_free_place(x, &k[i].places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 15); /* their heads are gone */
    free(s);
    assert_true(file_exists(first));
    for (int i = 5; i < 20; i++)
        if (k[i].places[0].file == first) extents_free_place(x, &k[i].places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_false(file_exists(first));
    for (int i = 0; i < 20; i++) kept_free(&k[i]);
    extents_close(x);
}

/* Frees that fail stay queued and are asked again; settle says so. */
static void test_punch_fails(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k;
    assert_int_equal(put_kept(x, 1, 50000, 50000, 50000, &k), ERR_OK);
    uint64_t before = disk_bytes(k.places[0].file);
    rule.punch = -EIO;
    extents_free_place(x, &k.places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_IO);
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_int_equal(st.frees_queued, 1);
    rule.punch = 0;
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    extents_get_stats(x, &st);
    assert_int_equal(st.frees_queued, 0);
    assert_true(disk_bytes(k.places[0].file) + 50000 <= before);
    kept_free(&k);
    extents_close(x);
}

/* What is wrong in memory alone is read again from the disk, and nobody is told of damage. */
static void test_second_look(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k;
    assert_int_equal(put_kept(x, 1, 50000, 50000, 50000, &k), ERR_OK);
    const struct extent_place *p = &k.places[0];
    uint64_t at[] = {p->offset + 40, p->offset + EXT_HEADER + 9, p->offset + EXT_HEAD,
                     p->offset + EXT_HEAD + 49999};
    for (int i = 0; i < 4; i++)
        for (size_t step = 20000; step <= 50000; step += 30000) {
            rule.spoilt = at[i];
            assert_reads(x, &k, step);
            rule.direct = -EINVAL; /* without that way it is damage */
            bool wrong = false;
            assert_int_equal(read_kept(x, &k, step, &wrong), ERR_CORRUPT);
            assert_false(wrong);
            rule.direct = 0;
        }
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_int_equal(st.corrupt, 8);
    kept_free(&k);
    extents_close(x);
}

static void expect(const char *calls)
{
    assert_string_equal(called, calls);
    memset(called, 0, sizeof called);
}

/* Nothing is said to be durable before the calls that make it so, in their order. */
static void test_order(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    memset(called, 0, sizeof called);
    struct kept k[12], large;
    assert_int_equal(put_kept(x, 1, 60000, 60000, 60000, &k[0]), ERR_OK);
    expect("WWSDWF"); /* two headers, durable with their name; the extent in one write; flushed */
    assert_int_equal(put_kept(x, 2, 60000, 60000, 60000, &k[1]), ERR_OK);
    expect("WF");
    assert_int_equal(put_kept(x, 3, 60000, -1, 60000, &large), ERR_OK);
    expect("WWSDWWWF"); /* a stream: open head and data, the rest, the sealed head */
    struct extent_small v[3] = {
        {.blob_id = 4, .data = STR("a")}, {.blob_id = 5, .data = STR("b")}, {.blob_id = 6}};
    assert_int_equal(extents_write_many(x, v, 3), ERR_OK);
    extents_small_keep(v, 3);
    expect("WF");
    for (uint64_t i = 2; i < 12; i++)
        assert_int_equal(put_kept(x, 5 + i, 60000, 60000, 60000, &k[i]), ERR_OK);
    memset(called, 0, sizeof called);
    extents_free_place(x, &k[0].places[0]);
    extents_free_place(x, &large.places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    expect("PPSS");
    for (int i = 1; i < 12; i++)
        if (k[i].places[0].file == k[0].places[0].file) extents_free_place(x, &k[i].places[0]);
    for (int i = 0; i < 3; i++) extents_free_place(x, &v[i].place);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    expect("PSUD");
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    expect("");
    for (int i = 0; i < 12; i++) kept_free(&k[i]);
    kept_free(&large);
    extents_close(x);
}

int main(void)
{
    quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_eio),
        cmocka_unit_test(test_every_enospc),
        cmocka_unit_test(test_every_eintr),
        cmocka_unit_test(test_every_short),
        cmocka_unit_test_setup_teardown(test_flush_fails, rules_on, rules_off),
        cmocka_unit_test_setup_teardown(test_flush_failed_before, rules_on, rules_off),
        cmocka_unit_test_setup_teardown(test_disk_full, rules_on, rules_off),
        cmocka_unit_test_setup_teardown(test_poor_file_system, rules_on, rules_off),
        cmocka_unit_test_setup_teardown(test_order, rules_on, rules_off),
        cmocka_unit_test_setup_teardown(test_punch_fails, rules_on, rules_off),
        cmocka_unit_test_setup_teardown(test_second_look, rules_on, rules_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
