/* Integrity bugs of peers that damage, crashes, repair and recovery can bring, by their numbers in
 * docs/reliability.md. What operations do to one another is in integrity_objects_test.c. */
#include "dying.h"
#include "integrity.h"
#include "object/internal.h"

/* A store that was filled and then damaged; not every such test can leave it clean. */
#define DAMAGED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void sweep_and_close(struct shop *w)
{
    objects_sweep(w->o);
    shop_close(w);
}

/* ---- 3: start-up beside stale files ---- */

static void shell(const char *format)
{
    char command[512];
    snprintf(command, sizeof command, "cd %.60s && %.400s", engine_dir, format);
    ASSERT(system(command) == 0);
}

static void test_03_stale_files_cost_nothing(void **state)
{
    (void)state;
    shell("mkdir index.new log.old-1 index.old-1 && cp -r index/* index.new && cp log/* log.old-1 && "
          "echo old > ingot.super.tmp && cp archive/* index.old-1 && "
          "for f in extents/*.ext; do cp $f extents/00000099.ext; cp $f $f.bak; done; "
          "for f in archive/*; do cp $f $f.tmp; done");
    for (int starts = 0; starts < 2; starts++) {
        struct shop w;
        shop_open(&w);
        shop_put(&w, "plain", "again", 900, 20000);
        sweep_and_close(&w);
    }
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    shell("rm -rf extents/00000099.ext");
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    check_clean();
}

/* ---- 4: collection of the log ---- */

static void small_open(struct shop *w)
{
    struct engine_options o = {.segment_bytes = 64 << 10, .log_bytes = 128 << 10, .inline_max = 16 << 10};
    engine_dir_open(&w->s, &o);
    struct objects_options oo = {.store = &w->s, .min_part_size = 100};
    ASSERT(objects_new(&oo, &w->o) == ERR_OK);
    w->a = arena_new((size_t)64 << 20);
}

static void collect_and_die(uint64_t k)
{
    struct shop w;
    dying_after(k);
    small_open(&w);
    for (unsigned i = 0; i < 40; i++) shop_put(&w, "plain", "again", i, 9000);
    struct engine_stats st;
    engine_get_stats(&w.s, &st);
    ASSERT(st.log_collected > 1);
    _exit(DYING_ENDED);
}

static void bodies_are_there(void)
{
    struct shop w;
    char key[32];
    small_open(&w);
    for (unsigned i = 0; i < 12; i++) {
        snprintf(key, sizeof key, "k%u", i);
        ASSERT(holds(&w, "plain", key, STR(""), i, 5000 + i));
    }
    shop_close(&w);
    check_clean();
}

/* Bodies leave the log for extents, and the segment is given back: whatever of it a crash leaves. */
static void test_04_bodies_move_whole_or_not_at_all(void **state)
{
    (void)state;
    struct shop w;
    char key[32];
    small_open(&w);
    for (unsigned i = 0; i < 12; i++) {
        snprintf(key, sizeof key, "k%u", i);
        shop_put(&w, "plain", key, i, 5000 + i);
    }
    shop_close(&w);
    dying_everywhere("collect", 13, bodies_are_there);
}

/* ---- 5: what is not known is not deleted ---- */

static void crashing_load(void)
{
    struct shop w;
    shop_open(&w);
    for (unsigned i = 0; i < 10; i++) shop_put(&w, "plain", "again", 500 + i, shop_size(i + 4));
    ASSERT(view_flush(engine_of(&w.s)->view) == ERR_OK);
    fflush(NULL);
    _exit(0);
}

static struct sys_ops odd;

static bool of_extents(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    return n > 4 && memcmp(path + n - 4, ".ext", 4) == 0;
}

static ssize_t no_pread(int fd, void *p, size_t n, uint64_t off)
{
    return of_extents(fd) ? -EIO : sys_real.pread(fd, p, n, off);
}

static ssize_t no_pread_nowait(int fd, void *p, size_t n, uint64_t off)
{
    return of_extents(fd) ? -EIO : sys_real.pread_nowait(fd, p, n, off);
}

/* Opens, if that is possible, sweeps and works. */
static void start_and_work(bool put)
{
    struct shop w;
    char why[512];
    if (engine_dir_try(&w.s, false, why) != ERR_OK) return;
    struct objects_options oo = {.store = &w.s, .min_part_size = 100};
    if (objects_new(&oo, &w.o) == ERR_OK) {
        w.a = arena_new(0);
        if (put) shop_put(&w, "plain", "again", 600, 100);
        objects_sweep(w.o);
        arena_free(w.a);
        objects_free(w.o);
    }
    (void)extents_settle_frees(engine_of(&w.s)->extents); /* what was to be freed is, before the end */
    engine_close(&w.s);
}

/* The disk with the extents answers EIO while the server starts after a crash, sweeps, and ends. */
static void test_05_unreadable_extents_are_kept(void **state)
{
    (void)state;
    assert_int_equal(in_process("load", 0), 0);
    odd = sys_real;
    odd.pread = no_pread;
    odd.pread_nowait = no_pread_nowait;
    sys = &odd;
    start_and_work(true);
    sys = &sys_real;
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    check_clean();
}

/* Leaves out the file that was being written when the process died. */
static void drop_unfinished(struct names_of *f)
{
    unsigned n = 0;
    char name[128], path[256];
    for (unsigned i = 0; i < f->n; i++) {
        snprintf(name, sizeof name, "index/%s", f->name[i]);
        dir_path(name, path);
        if (size_of(path) >= 1000) memmove(f->name[n++], f->name[i], sizeof f->name[i]);
    }
    f->n = n;
}

/* Crashes until one leaves several tables; each adds one, unless they were just compacted. With a single
 * table the engine's own entries share its blocks with those of blobs: damage there is refused at the start,
 * and nothing is swept.
 */
static struct names_of crashed_tables(void)
{
    struct names_of f = {.n = 0};
    for (unsigned tries = 0; tries < 16 && f.n < 2; tries++) {
        assert_int_equal(in_process("load", 0), 0);
        f = names_in("index", ".sst");
        drop_unfinished(&f);
    }
    assert_true(f.n >= 2);
    return f;
}

/* After a crash what no blob claims is freed. A table of blobs that cannot be read claims nothing. */
static void test_05_an_unreadable_index_frees_nothing(void **state)
{
    (void)state;
    char original[64], copy[64], path[256], name[128];
    struct names_of f = crashed_tables();
    snprintf(original, sizeof original, "%s", engine_dir);
    snprintf(copy, sizeof copy, "%.50s-copy", original);
    const unsigned flips = 24 / FEWER, of_each = (flips + f.n - 1) / f.n;
    for (unsigned i = 0; i < flips; i++) {
        dir_copy(original, copy);
        snprintf(engine_dir, sizeof engine_dir, "%s", copy);
        snprintf(name, sizeof name, "index/%s", f.name[i % f.n]);
        dir_path(name, path);
        engine_flip(path, size_of(path) * (i / f.n) / of_each + 30);
        start_and_work(false);
        dir_drop("index");
        struct recover_report r = recover_run();
        assert_int_equal(r.lost_records + r.lost_blobs, 0);
        buf_free(&r.lines);
        assert_int_equal(shop_kept(), SHOP_ROUNDS);
        check_clean();
        snprintf(engine_dir, sizeof engine_dir, "%s", original);
    }
    snprintf(engine_dir, sizeof engine_dir, "%s", copy);
    engine_dir_remove();
    snprintf(engine_dir, sizeof engine_dir, "%s", original);
}

static void big_objects(unsigned n, bool put)
{
    struct shop w;
    char key[32];
    shop_open_files(&w, 1 << 20);
    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "big/%u", i);
        if (put) shop_put(&w, "plain", key, i, 250000);
        assert_true(holds(&w, "plain", key, STR(""), i, 250000));
    }
    shop_close(&w);
}

/* Counts say that nothing lives in any file: a wrong count leaks, it does not delete. */
static void test_05_a_wrong_count_deletes_nothing(void **state)
{
    (void)state;
    struct shop w;
    uint32_t file[64];
    char key[INNER_KEY_MAX];
    big_objects(20, true); /* in many files, for the newest one stays in any case */
    shop_open_files(&w, 1 << 20);
    size_t n = extents_files(engine_of(&w.s)->extents, file, 64);
    assert_true(n > 4 && n < 64);
    for (size_t i = 0; i < n; i++)
        view_edit(&w.s, inner_key(key, INNER_FILE, file[i]), STR("\0\0\0\0\0\0\0\0"));
    shop_close(&w);
    for (int starts = 0; starts < 2; starts++) {
        shop_open_files(&w, 1 << 20);
        shop_put(&w, "plain", "again", 900, 250000);
        shop_delete(&w, "plain", "again");
        assert_int_equal(extents_settle_frees(engine_of(&w.s)->extents), ERR_OK);
        shop_close(&w);
    }
    big_objects(20, false);
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    struct check_report r = check_run(true, false);
    assert_true(r.repaired > 0);
    buf_free(&r.lines);
    big_objects(20, false);
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    check_clean();
}

/* ---- 7: what was deleted stays deleted ---- */

static void delete_some(bool much)
{
    struct shop w;
    char key[32];
    shop_open(&w);
    for (unsigned i = 0; i < SHOP_ROUNDS; i += 2) {
        snprintf(key, sizeof key, "keep/%u", i);
        shop_delete(&w, "plain", key);
    }
    for (unsigned i = 0; much && i < 300; i++) shop_put(&w, "plain", "again", i, 12000);
    shop_close(&w);
}

static void deleted_are_gone(void)
{
    struct shop w;
    char key[32];
    shop_open(&w);
    for (unsigned i = 0; i < SHOP_ROUNDS; i++) {
        snprintf(key, sizeof key, "keep/%u", i);
        assert_int_equal(shop_get(&w, "plain", key, i, shop_size(i)), i % 2 ? ERR_OK : ERR_NO_SUCH_KEY);
    }
    shop_close(&w);
    check_clean();
}

/* The index is that of a day ago: what came after is in the log, or the start is refused and recovery has it.
 */
static void test_07_an_older_index_brings_nothing_back(void **state)
{
    (void)state;
    struct store s;
    char why[512];
    shell("cp -r index index-before");
    delete_some(false);
    shell("cp -r index index-after && rm -rf index && cp -r index-before index");
    deleted_are_gone();
    shell("rm -rf index && mv index-after index");
    delete_some(true);
    shell("rm -rf index && mv index-before index");
    assert_int_equal(engine_dir_try(&s, false, why), ERR_CORRUPT);
    assert_non_null(strstr(why, "ingot recover"));
    recovers_without_loss();
    deleted_are_gone();
}

/* ---- 10: buffers that are used again ---- */

static _Atomic unsigned writing;

static ssize_t slow_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    bool ours = of_extents(fd);
    writing += ours;
    if (ours) usleep(20000);
    ssize_t rc = sys_real.pwritev(fd, iov, n, off, flags);
    writing -= ours;
    return rc;
}

static ssize_t slow_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    return slow_pwritev(fd, &iov, 1, off, 0);
}

/* A client goes away in the middle: when its request has ended nothing writes from its buffers any more. */
static void broken_uploads(void *arg, unsigned i)
{
    struct shop *w = arg;
    (void)i;
    for (unsigned round = 0; round < 6; round++) {
        struct arena *a = arena_new((size_t)64 << 20);
        size_t got = 1500000 + round * 400000;
        struct obj_put_in in = {.bucket = STR("plain"), .key = STR("broken"), .size = 8 << 20};
        struct obj_info out;
        char key[16];
        ASSERT(obj_put(w->o, a, &in, body_of_bytes(a, shop_bytes(a, round, got)), &out) != ERR_OK);
        ASSERT(atomic_load(&writing) == 0);
        snprintf(key, sizeof key, "k%u", round);
        shop_put(w, "plain", key, 50 + round, got);
        arena_free(a);
    }
}

static void test_10_no_write_from_a_buffer_given_back(void **state)
{
    (void)state;
    struct shop w;
    char key[16];
    odd = sys_real;
    odd.pwritev = slow_pwritev;
    odd.pwrite = slow_pwrite;
    shop_open(&w);
    sys = &odd;
    engine_parallel(1, broken_uploads, &w);
    sys = &sys_real;
    for (unsigned round = 0; round < 6; round++) {
        snprintf(key, sizeof key, "k%u", round);
        assert_true(holds(&w, "plain", key, STR(""), 50 + round, 1500000 + round * 400000));
    }
    shop_close(&w);
}

/* ---- 11, 12: reports are true, of every version ---- */

static bool is_unique(const struct blob_entry *b)
{
    return b->where == BLOB_EXTENTS && b->size == 300000 && b->refs == 1;
}

/* What the report names is what cannot be read, no more and no less. */
static void named_is_lost(const struct buf *lines, unsigned at_least)
{
    struct shop w;
    unsigned lost = 0;
    shop_open(&w);
    for (unsigned i = 0; i < SHOP_ROUNDS; i++) {
        char key[32], line[64];
        size_t at;
        snprintf(key, sizeof key, "keep/%u", i);
        snprintf(line, sizeof line, "'o' %s:", key);
        bool whole = shop_get(&w, "plain", key, i, shop_size(i)) == ERR_OK;
        assert_int_equal(str_find(buf_view(lines), str_c(line), &at), !whole);
        lost += !whole;
    }
    shop_close(&w);
    assert_true(lost >= at_least);
}

static void drop_extents_of(bool (*ok)(const struct blob_entry *b))
{
    struct store s;
    char name[64];
    engine_dir_open(&s, NULL);
    struct blob_entry b = pick(&s, ok);
    engine_close(&s);
    snprintf(name, sizeof name, "extents/%08u.ext", b.places->v[0].file);
    blob_places_drop(b.places);
    dir_drop(name);
}

/* Repair puts right what it can and does not call the rest whole. */
static void test_11_repair_does_not_hide_what_is_lost(void **state)
{
    (void)state;
    plant_refs(is_shared, 5);
    add_counter(shard_of("plain"), 1, 77);
    drop_extents_of(is_unique);
    struct check_report r = check_run(true, true);
    uint64_t missing = r.missing_blobs;
    assert_true(r.repaired > 0 && missing > 0);
    buf_free(&r.lines);
    r = check_run(false, true); /* a census of its own, on disk */
    assert_true(r.missing_blobs == missing && r.wrong_refcounts == 0 && r.wrong_counters == 0);
    named_is_lost(&r.lines, 1);
    buf_free(&r.lines);
}

static void test_11_recovery_counts_what_is_lost(void **state)
{
    (void)state;
    drop_extents_of(is_unique);
    dir_drop("index");
    struct recover_report r = recover_run();
    assert_true(r.lost_blobs > 0);
    named_is_lost(&r.lines, 1);
    struct check_report c = check_run(false, true);
    assert_int_equal(c.missing_blobs + c.corrupt_blobs, r.lost_blobs);
    buf_free(&c.lines);
    buf_free(&r.lines);
}

static bool is_middle(const struct blob_entry *b)
{
    return b->size == BIG + 2;
}

/* Five versions, the third is hit: it alone is named, and recovery brings back all of them. */
static void test_12_older_versions_are_looked_at_too(void **state)
{
    (void)state;
    struct shop w;
    struct store s;
    struct str id[5], data;
    char name[64], path[256];
    shop_open(&w);
    for (unsigned i = 0; i < 5; i++) id[i] = put_version(&w, "k", i, BIG + i);
    shop_copy(&w, "keep/6", "copied"); /* so that repair has something to look at */
    struct arena *ids = w.a;
    w.a = arena_new((size_t)64 << 20);
    shop_close(&w);
    engine_dir_open(&s, NULL);
    struct blob_entry b = pick(&s, is_middle);
    engine_close(&s);
    snprintf(name, sizeof name, "extents/%08u.ext", b.places->v[0].file);
    dir_path(name, path);
    engine_flip(path, b.places->v[0].offset + 4096 + 9000);
    for (int pass = 0; pass < 2; pass++) {
        struct check_report r = check_run(pass == 1, true);
        assert_true(r.corrupt_blobs == 1 && says(&r.lines, "'v' k") && r.unreferenced_blobs == 0);
        assert_int_equal(r.repaired, 0);
        buf_free(&r.lines);
    }
    dir_drop("index");
    struct recover_report rec = recover_run();
    assert_int_equal(rec.lost_records, 0);
    buf_free(&rec.lines);
    shop_open(&w);
    assert_int_equal(count_versions(&w, "k"), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_true(i == 2 ? read_version(&w, "versioned", "k", id[i], &data) == ERR_CORRUPT
                           : holds(&w, "versioned", "k", id[i], i, BIG + i));
    shop_close(&w);
    engine_flip(path, b.places->v[0].offset + 4096 + 9000);
    blob_places_drop(b.places);
    arena_free(ids);
    check_clean();
}

/* ---- 13, 17: a bucket whose state cannot be read ---- */

static void guard_becomes(const char *bucket, struct str value)
{
    struct store s;
    struct key k;
    key_of_space(&k, shard_of(bucket), KEY_GUARD);
    engine_dir_open(&s, NULL);
    view_edit(&s, key_str(&k), value);
    engine_close(&s);
}

static void bucket_fails_closed(const char *bucket)
{
    struct shop w;
    struct obj_info out;
    struct obj_delete_out gone;
    struct str data;
    shop_open(&w);
    struct obj_put_in in = {.bucket = str_c(bucket), .key = STR("v"), .owner = STR("me"), .size = 3};
    struct obj_delete_in del = {.bucket = str_c(bucket), .key = STR("v"), .owner = STR("me")};
    assert_true(objects_sweep(w.o) == ERR_OK);
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("new")), &out), ERR_CORRUPT);
    assert_int_equal(obj_delete(w.o, w.a, &del, &gone), ERR_CORRUPT);
    assert_int_equal(read_version(&w, bucket, "v", STR(""), &data), ERR_CORRUPT);
    assert_int_equal(bucket_delete(w.o, w.a, str_c(bucket)), ERR_CORRUPT);
    assert_int_equal(bucket_create(w.o, w.a, str_c(bucket), STR("me"), STR("here")), ERR_CORRUPT);
    assert_int_equal(bucket_set_versioning(w.o, w.a, str_c(bucket), VERSIONING_SUSPENDED), ERR_CORRUPT);
    sweep_and_close(&w);
}

static void all_comes_back(struct buf *before)
{
    dir_drop("index");
    recovers_without_loss();
    struct buf now;
    index_read(&now);
    assert_true(str_eq(buf_view(before), buf_view(&now)));
    buf_free(&now);
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    check_clean();
}

/* Nobody may take it for a deleted one and empty it. */
static void test_13_a_bucket_without_its_state_is_not_emptied(void **state)
{
    (void)state;
    struct buf before;
    index_read(&before);
    guard_becomes("plain", STR_NONE);
    bucket_fails_closed("plain");
    all_comes_back(&before);
    buf_free(&before);
}

/* A default in its place would turn versioning off: the next PUT would overwrite for good. */
static void test_17_unreadable_state_is_not_replaced_by_a_default(void **state)
{
    (void)state;
    struct buf before;
    index_read(&before);
    guard_becomes("versioned", STR("\1\7"));
    bucket_fails_closed("versioned");
    all_comes_back(&before);
    buf_free(&before);
    struct shop w;
    struct bucket_info b;
    shop_open(&w);
    assert_int_equal(bucket_get(w.o, w.a, STR("versioned"), &b), ERR_OK);
    assert_int_equal(b.versioning, VERSIONING_ENABLED);
    shop_close(&w);
}

/* ---- 4, 15: what is on disk before what ---- */

static bool unflushed, words_unflushed;
static unsigned log_writes, early, given_back, words_lost;

static bool lies_in(int fd, const char *folder)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = 0;
    return strstr(path, folder) != NULL;
}

static ssize_t order_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    if (of_extents(fd) && !flags) unflushed = true;
    if (lies_in(fd, "/archive/") && !flags) words_unflushed = true;
    if (lies_in(fd, "/log/")) {
        log_writes++;
        early += unflushed;
    }
    return sys_real.pwritev(fd, iov, n, off, flags);
}

static ssize_t order_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    return order_pwritev(fd, &iov, 1, off, 0);
}

static void flushed(int fd)
{
    if (of_extents(fd)) unflushed = false;
    if (lies_in(fd, "/archive/")) words_unflushed = false;
}

static int order_fdatasync(int fd)
{
    flushed(fd);
    return sys_real.fdatasync(fd);
}

static int order_fsync(int fd)
{
    flushed(fd);
    return sys_real.fsync(fd);
}

/* A segment's name goes: it is a spare from now on. */
static int order_rename(const char *from, const char *to)
{
    bool goes = strstr(to, "/log/free-") && strstr(from, ".log");
    given_back += goes;
    words_lost += goes && words_unflushed;
    return sys_real.rename(from, to);
}

static int order_unlink(const char *path)
{
    bool goes = strstr(path, "/log/") && !strstr(path, "/log/free-");
    given_back += goes;
    words_lost += goes && words_unflushed;
    return sys_real.unlink(path);
}

static void watch_order(void)
{
    odd = sys_real;
    odd.pwritev = order_pwritev;
    odd.pwrite = order_pwrite;
    odd.fdatasync = order_fdatasync;
    odd.fsync = order_fsync;
    odd.rename = order_rename;
    odd.unlink = order_unlink;
    sys = &odd;
}

/* What recovery needs of a segment is in the archive, flushed, before the segment goes. */
static void test_04_words_are_archived_before_the_segment_goes(void **state)
{
    (void)state;
    struct shop w;
    small_open(&w);
    watch_order();
    for (unsigned i = 0; i < 60; i++) shop_put(&w, "plain", "k", i, 9000);
    sys = &sys_real;
    assert_true(given_back >= 3);
    assert_int_equal(words_lost, 0);
    shop_close(&w);
}

static void test_15_bytes_are_flushed_before_the_commit(void **state)
{
    (void)state;
    struct shop w;
    shop_open(&w);
    watch_order();
    for (unsigned i = 0; i < 6; i++) {
        shop_put(&w, "plain", "k", i, i % 2 ? 300000 : 4000000);
        shop_multi(&w, "m", i, BIG, true);
    }
    sys = &sys_real;
    assert_true(log_writes >= 12);
    assert_int_equal(early, 0);
    shop_close(&w);
}

int main(int argc, char **argv)
{
    uint64_t number;
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    if (is_role(argc, argv, "collect", &number)) collect_and_die(number);
    if (is_role(argc, argv, "load", &number)) crashing_load();
    if (argc == 2) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        DAMAGED(test_03_stale_files_cost_nothing),
        NAMED(test_04_bodies_move_whole_or_not_at_all),
        NAMED(test_04_words_are_archived_before_the_segment_goes),
        DAMAGED(test_05_unreadable_extents_are_kept),
        DAMAGED(test_05_an_unreadable_index_frees_nothing),
        DAMAGED(test_05_a_wrong_count_deletes_nothing),
        DAMAGED(test_07_an_older_index_brings_nothing_back),
        NAMED(test_10_no_write_from_a_buffer_given_back),
        DAMAGED(test_11_repair_does_not_hide_what_is_lost),
        DAMAGED(test_11_recovery_counts_what_is_lost),
        DAMAGED(test_12_older_versions_are_looked_at_too),
        DAMAGED(test_13_a_bucket_without_its_state_is_not_emptied),
        NAMED(test_15_bytes_are_flushed_before_the_commit),
        DAMAGED(test_17_unreadable_state_is_not_replaced_by_a_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
