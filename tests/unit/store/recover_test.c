/* Recovery: the index made again is the index that was, entry by entry, whatever happened on the way; after
 * damage, all that the rest still says. */
#include "plant.h"

static unsigned dirs_like(const char *prefix)
{
    struct names_of f = names_in(".", "");
    unsigned n = 0;
    for (unsigned i = 0; i < f.n; i++) n += strncmp(f.name[i], prefix, strlen(prefix)) == 0;
    return n;
}

/* ---- whole archive and log ---- */

static void test_deleted_index(void **state)
{
    (void)state;
    struct buf before;
    index_read(&before);
    dir_drop("index");
    recovers_without_loss();
    index_same(&before);
    buf_free(&before);
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    check_clean();
    assert_int_equal(dirs_like("index.old-"), 0);
    assert_int_equal(dirs_like("log.old-"), 0);
}

static void test_old_index_is_set_aside(void **state)
{
    (void)state;
    struct buf before;
    index_read(&before);
    recovers_without_loss();
    recovers_without_loss();
    index_same(&before);
    buf_free(&before);
    assert_int_equal(dirs_like("index.old-"), 2);
    check_clean();
}

static void test_with_a_snapshot(void **state)
{
    (void)state;
    struct store s;
    engine_dir_open(&s, NULL);
    assert_int_equal(archive_snapshot(engine_of(&s)->archive, engine_of(&s)->view), ERR_OK);
    engine_close(&s);
    struct shop w;
    shop_open(&w);
    for (unsigned i = 0; i < 30; i++) shop_put(&w, "plain", "later", i, shop_size(i));
    shop_delete(&w, "plain", "keep/7");
    shop_close(&w);
    struct buf before;
    index_read(&before);
    dir_drop("index");
    recovers_without_loss();
    index_same(&before);
    buf_free(&before);
    assert_int_equal(shop_kept(), SHOP_ROUNDS - 1);
    check_clean();
}

static void crashing_load(void)
{
    struct shop w;
    shop_open(&w);
    for (unsigned i = 0; i < 20; i++) shop_put(&w, "plain", "again", 500 + i, shop_size(i));
    shop_delete(&w, "plain", "keep/6"); /* its extents are not freed yet */
    _exit(0);
}

/* What the log took and the index never saw is there too; what was deleted is not. */
static void test_after_a_crash(void **state)
{
    (void)state;
    assert_int_equal(in_process("load", 0), 0);
    dir_drop("index");
    recovers_without_loss();
    struct shop w;
    shop_open(&w);
    assert_int_equal(shop_get(&w, "plain", "again", 519, shop_size(19)), ERR_OK);
    assert_int_equal(shop_get(&w, "plain", "keep/6", 6, shop_size(6)), ERR_NO_SUCH_KEY);
    shop_close(&w);
    check_clean();
    assert_int_equal(shop_kept(), SHOP_ROUNDS - 1);
}

static void test_lost_superblock(void **state)
{
    (void)state;
    struct buf before;
    index_read(&before);
    dir_drop("ingot.super");
    struct recover_report r = recover_run();
    assert_true(r.lost_records == 0 && says(&r.lines, "written anew"));
    buf_free(&r.lines);
    index_same(&before);
    buf_free(&before);
    check_clean();
    struct shop w;
    shop_open(&w); /* blob ids go on above all that were used */
    for (unsigned i = 0; i < 10; i++) shop_put(&w, "plain", "new", i, 100);
    shop_close(&w);
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    check_clean();
}

static void test_errors(void **state)
{
    (void)state;
    bool hit = true;
    for (uint64_t k = 0; hit; k += 7) {
        struct recover_options o = {.dir = engine_dir, .entry = objects_check_entry};
        struct recover_report r;
        char why[512];
        sys_fault_install(k, SYS_FAULT_EIO);
        err e = engine_recover(&o, &r, why);
        hit = sys_fault_hit();
        sys_fault_remove();
        assert_true(e == ERR_OK || why[0]);
        /* A read error is not taken for a hole that recovery may leave behind. */
        assert_true(e != ERR_OK || r.lost_records == 0);
        buf_free(&r.lines);
    }
    recovers_without_loss();
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
    check_clean();
}

/* ---- damage ---- */

/* The archive is gone, the old index is not: nothing is lost, and history is whole again. */
static void test_lost_archive(void **state)
{
    (void)state;
    struct buf before;
    index_read(&before);
    dir_drop("archive");
    struct recover_report r = recover_run();
    assert_true(r.lost_records == 0 && says(&r.lines, "the old index is whole"));
    buf_free(&r.lines);
    check_clean();
    index_same(&before);
    dir_drop("index");
    recovers_without_loss();
    index_same(&before);
    buf_free(&before);
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
}

static void last_segment(char path[256])
{
    struct names_of f = names_in("log", ".log");
    char name[128];
    ASSERT(f.n > 0);
    for (unsigned i = 0; i < f.n; i++)
        if (strncmp(f.name[i], "free-", 5) != 0) snprintf(name, sizeof name, "log/%s", f.name[i]);
    dir_path(name, path);
}

/* As a crash leaves it: nothing but the index says how far the log went. */
static void forget_clean_end(void)
{
    struct super s;
    char why[512];
    ASSERT(super_load(engine_dir, true, &s, why) == ERR_OK);
    s.clean_seq = 0;
    ASSERT(super_save(engine_dir, &s, why) == ERR_OK);
}

/* The last segment is gone, and no orderly close told where the log ended. The index has seen it: its entries
 * come back, what it says are bodies in that segment is lost, and said. */
static void test_lost_last_segment(void **state)
{
    (void)state;
    char path[256], why[512];
    struct store s;
    forget_clean_end();
    last_segment(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(engine_dir_try(&s, false, why), ERR_CORRUPT);
    struct recover_report r = recover_run();
    assert_true(says(&r.lines, "the old index is whole"));
    assert_true(says(&r.lines, "were in the log and are lost"));
    assert_true(r.lost_records > 0 && r.salvaged == 0);
    buf_free(&r.lines);
    struct check_report c = check_run(false, true);
    assert_true(c.missing_blobs > 0 && c.log_errors == 0 && c.bad_records == 0 && c.wrong_counters == 0);
    buf_free(&c.lines);
    assert_true(shop_kept() >= SHOP_ROUNDS / 2);
}

/* The index is whole again, and what it names is not: the objects that are hit are named. */
static void test_missing_extent_file(void **state)
{
    (void)state;
    struct store s;
    char name[64];
    engine_dir_open(&s, NULL);
    struct blob_entry b = pick(&s, in_extents);
    engine_close(&s);
    snprintf(name, sizeof name, "extents/%08u.ext", b.places->v[0].file);
    blob_places_drop(b.places);
    dir_drop(name);
    dir_drop("index");
    struct recover_report r = recover_run();
    assert_true(r.lost_records == 0 && r.lost_blobs > 0 && says(&r.lines, "bytes are missing"));
    assert_true(says(&r.lines, "'o' keep/") && says(&r.lines, "are missing or do not verify"));
    buf_free(&r.lines);
    shop_kept(); /* what is there is right */
}

/* Closed in order: the superblock alone says that there was more. */
static void test_lost_last_segment_and_index(void **state)
{
    (void)state;
    char path[256];
    last_segment(path);
    assert_int_equal(unlink(path), 0);
    dir_drop("index");
    struct recover_report r = recover_run();
    assert_true(r.lost_records > 0 && says(&r.lines, "are lost"));
    buf_free(&r.lines);
}

/* Rot in a body that lives in the log: what recovery moves out of the log must not get a new, valid
 * checksum. */
static void test_rotten_body_in_log(void **state)
{
    (void)state;
    struct store s;
    char name[64], path[256];
    engine_dir_open(&s, NULL);
    struct blob_entry b = pick(&s, in_log);
    engine_close(&s);
    snprintf(name, sizeof name, "log/%016llx.log", (unsigned long long)b.segment);
    dir_path(name, path);
    engine_flip(path, b.offset + 3);
    flip_old_segment(); /* so that the log is replaced, wherever the body is */
    struct recover_report r = recover_run();
    snprintf(name, sizeof name, "blob %llx: its %llu bytes were in the log and are lost",
             (unsigned long long)b.id, (unsigned long long)b.size);
    assert_true(r.lost_records > 0 && says(&r.lines, name));
    buf_free(&r.lines);
    struct check_report c = check_run(false, true);
    assert_true(c.missing_blobs > 0 && c.corrupt_blobs == 0 && c.log_errors == 0);
    buf_free(&c.lines);
    shop_kept(); /* what is there is right */
}

/* ---- what makes a rename last ---- */

static struct sys_ops watching;
static unsigned renames, unsynced;
static bool pending;

static int watch_rename(const char *from, const char *to)
{
    int rc = sys_real.rename(from, to);
    if (strstr(to, "/free-")) return rc; /* a spare that is lost is made again */
    unsynced += pending;
    renames++;
    pending = rc >= 0;
    return rc;
}

static int watch_fsync_dir(const char *path)
{
    int rc = sys_real.fsync_dir(path);
    if (rc >= 0) pending = false;
    return rc;
}

/* Each rename is durable before the next one: their order is what makes a crash harmless. */
static void test_renames_last(void **state)
{
    (void)state;
    flip_old_segment();
    watching = sys_real;
    watching.rename = watch_rename;
    watching.fsync_dir = watch_fsync_dir;
    sys = &watching;
    struct recover_report r = recover_run();
    sys = &sys_real;
    buf_free(&r.lines);
    assert_true(renames >= 5); /* snapshot, index, log, first segment, index.new, superblock */
    assert_true(unsynced == 0 && !pending);
}

/* The same, and the index cannot be read to its end: that commits are lost is said all the same. */
static void test_lost_last_segment_and_index_damaged(void **state)
{
    (void)state;
    char path[256], name[128];
    forget_clean_end();
    last_segment(path);
    assert_int_equal(unlink(path), 0);
    struct names_of f = names_in("index", ".sst");
    assert_true(f.n > 0);
    snprintf(name, sizeof name, "index/%s", f.name[0]);
    dir_path(name, path);
    engine_flip(path, 2000);
    struct recover_report r = recover_run();
    assert_true(r.lost_records > 0 && says(&r.lines, "are lost"));
    buf_free(&r.lines);
    struct check_report c = check_run(false, true);
    assert_true(c.log_errors == 0 && c.bad_records == 0 && c.wrong_counters == 0);
    buf_free(&c.lines);
}

/* Archive and index are gone: extents give back what the log does not say. */
static void test_lost_archive_and_index(void **state)
{
    (void)state;
    dir_drop("archive");
    dir_drop("index");
    struct recover_report r = recover_run();
    assert_true(r.lost_records > 100 && r.salvaged > 20);
    assert_true(says(&r.lines, "are lost") &&
                says(&r.lines, "salvaged from its extents: shard 1 'o' keep/6, 300000 bytes"));
    buf_free(&r.lines);
    struct check_report c = check_run(true, true);
    assert_true(c.missing_blobs == 0 && c.corrupt_blobs == 0 && c.wrong_counters == 0 &&
                c.wrong_refcounts == 0 && c.log_errors == 0);
    buf_free(&c.lines);
    check_clean();
}

struct came_back {
    struct shop w;
    struct str bucket;
    unsigned whole, versions;
};

/* Every object of the bucket that has a new name is whole, if its bytes were in extents. */
static void read_recovered(struct came_back *c)
{
    struct bucket_list_in bin = {.max = 100};
    struct bucket_list_out buckets;
    struct obj_list_out list;
    shop_open(&c->w);
    assert_int_equal(bucket_list(c->w.o, c->w.a, &bin, &buckets), ERR_OK);
    for (size_t i = 0; i < buckets.n; i++) {
        if (!str_starts(buckets.buckets[i].name, STR("recovered-"))) continue;
        struct obj_list_in in = {.bucket = buckets.buckets[i].name, .max = 1000};
        assert_int_equal(obj_list(c->w.o, c->w.a, &in, &list), ERR_OK);
        c->bucket = in.bucket;
        for (size_t k = 0; k < list.n; k++) {
            struct str key = list.items[k].key;
            uint64_t number;
            if (!str_starts(key, STR("keep/")) || !str_to_u64(str_of(key.p + 5, key.n - 5), &number))
                continue;
            struct arena *a = arena_new((size_t)64 << 20);
            char bucket[80], name[80];
            snprintf(bucket, sizeof bucket, "%.*s", STR_FMT(in.bucket));
            snprintf(name, sizeof name, "%.*s", STR_FMT(key));
            c->whole +=
                shop_get(&c->w, bucket, name, (unsigned)number, shop_size((unsigned)number)) == ERR_OK;
            arena_free(a);
        }
    }
}

/* The names of buckets are lost too: what came back can be reached, under names that say so, and a new bucket
 * does not get the id of an old one. */
static void test_lost_names(void **state)
{
    (void)state;
    dir_drop("archive");
    dir_drop("index");
    struct recover_report r = recover_run();
    assert_true(says(&r.lines, "the name of bucket 1 is lost") &&
                says(&r.lines, "the name of bucket 2 is lost"));
    assert_true(says(&r.lines, "versioning is now enabled") &&
                says(&r.lines, "its parts are now those of key recovered/"));
    buf_free(&r.lines);
    struct came_back c = {.whole = 0};
    read_recovered(&c);
    assert_true(c.whole >= 16);
    assert_int_equal(bucket_create(c.w.o, c.w.a, STR("plain"), STR("me"), STR("here")), ERR_OK);
    struct bucket_info b;
    assert_int_equal(bucket_get(c.w.o, c.w.a, STR("plain"), &b), ERR_OK);
    assert_true(b.id > 2 && b.objects == 0);
    struct obj_list_in in = {.bucket = STR("plain"), .max = 10};
    struct obj_list_out list;
    assert_int_equal(obj_list(c.w.o, c.w.a, &in, &list), ERR_OK);
    assert_int_equal(list.n, 0);
    shop_close(&c.w);
    struct check_report ck = check_run(true, true);
    assert_true(ck.bad_records == 0 && ck.wrong_counters == 0 && ck.missing_blobs == 0);
    buf_free(&ck.lines);
    check_clean();
}

/* Deletes an object whose extents a reader still holds: they are on disk when the process dies. */
static void delete_under_reader(void)
{
    struct shop w;
    shop_open(&w);
    struct obj_get_in in = {.bucket = STR("plain"), .key = STR("keep/6")};
    struct obj_get_out g;
    struct str some;
    ASSERT(obj_get(w.o, w.a, &in, &g) == ERR_OK && body_next(g.body, &some) == ERR_OK);
    shop_delete(&w, "plain", "keep/6");
    _exit(0);
}

static bool find_extent(void *arg, const struct extent_visit *v)
{
    struct extent_visit *found = arg;
    if (v->blob_id == found->blob_id) *found = *v;
    return true;
}

static uint64_t deleted_blob;

static void note_blob(void *ctx, uint64_t blob, uint64_t min_size)
{
    (void)ctx, (void)min_size;
    deleted_blob = blob;
}

/* Fills key with that of keep/6, notes its blob, and deletes it while its extents must stay. */
static void delete_with_bytes_left(char key[15])
{
    struct shop w;
    struct bucket_info b;
    struct str value;
    shop_open(&w);
    assert_int_equal(bucket_get(w.o, w.a, STR("plain"), &b), ERR_OK);
    put_be64(key, b.id);
    memcpy(key + 8, "okeep/6", 7);
    assert_int_equal(idx_get(w.s.idx, w.a, str_of(key, 15), &value, NULL), ERR_OK);
    assert_true(objects_check_entry(NULL, str_of(key, 15), value, note_blob, NULL, NULL) && deleted_blob);
    shop_close(&w);
    assert_int_equal(in_process("delete", 0), 0);
}

static void stays_deleted(const char key[15])
{
    struct store s;
    struct arena *a = arena_new(0);
    struct str value;
    struct extent_visit v = {.blob_id = deleted_blob};
    engine_dir_open(&s, &(struct engine_options){.read_only = true});
    assert_int_equal(idx_get(s.idx, a, str_of(key, 15), &value, NULL), ERR_NOT_FOUND);
    assert_int_equal(extents_scan(engine_of(&s)->extents, false, find_extent, NULL, &v), ERR_OK);
    assert_true(v.blob_size == 300000); /* or this test would show nothing */
    engine_close(&s);
    arena_free(a);
}

/* Its bytes are there and say whose they are; archive and index, which would say that it is gone, are not:
 * one record of its deletion is enough for it to stay deleted. */
static void test_deleted_stays_deleted(void **state)
{
    (void)state;
    char key[15];
    size_t at;
    delete_with_bytes_left(key);
    dir_drop("archive");
    dir_drop("index");
    struct recover_report r = recover_run();
    assert_true(r.salvaged > 20 && says(&r.lines, "'o' keep/13, 300000 bytes"));
    assert_false(str_find(buf_view(&r.lines), STR("keep/6,"), &at));
    buf_free(&r.lines);
    stays_deleted(key);
}

/* As after a crash between setting the damaged log aside and beginning a new one: no record of the deletion
 * is left, but the snapshot is whole, so nothing is missing and nothing comes back. */
static void test_deleted_stays_deleted_without_log(void **state)
{
    (void)state;
    char key[15];
    delete_with_bytes_left(key);
    flip_old_segment();
    recovers_without_loss();
    dir_drop("log");
    recovers_without_loss();
    stays_deleted(key);
    check_clean();
}

int main(int argc, char **argv)
{
    uint64_t number;
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    if (is_role(argc, argv, "load", &number)) crashing_load();
    if (is_role(argc, argv, "delete", &number)) delete_under_reader();
    const struct CMUnitTest tests[] = {
        TEST(test_deleted_index),
        TEST(test_old_index_is_set_aside),
        TEST(test_with_a_snapshot),
        TEST(test_after_a_crash),
        TEST(test_lost_superblock),
        TEST(test_errors),
        TEST(test_lost_archive),
        TEST(test_lost_last_segment),
        TEST(test_lost_last_segment_and_index_damaged),
        TEST(test_lost_last_segment_and_index),
        TEST(test_missing_extent_file),
        TEST(test_rotten_body_in_log),
        TEST(test_renames_last),
        TEST(test_lost_archive_and_index),
        TEST(test_lost_names),
        TEST(test_deleted_stays_deleted),
        TEST(test_deleted_stays_deleted_without_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
