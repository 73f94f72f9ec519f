/* Check: each kind of damage is planted alone, found, repaired where it can be, and then the store is clean.
 */
#include "plant.h"

/* One kind of finding: seen without repair and left, then repaired, then gone, and history agrees. */
static void found_and_repaired(uint64_t (*count)(const struct check_report *r), uint64_t want)
{
    for (int pass = 0; pass < 3; pass++) {
        struct check_report r = check_run(pass == 2, false);
        if (count(&r) != want) fprintf(stderr, "findings:\n%.*s", STR_FMT(buf_view(&r.lines)));
        ASSERT(count(&r) == want);
        ASSERT((r.repaired > 0) == (pass == 2));
        buf_free(&r.lines);
    }
    check_clean();
    struct buf repaired;
    index_read(&repaired);
    dir_drop("index");
    struct recover_report rec = recover_run();
    ASSERT(rec.lost_records == 0);
    buf_free(&rec.lines);
    index_same(&repaired);
    buf_free(&repaired);
    ASSERT(shop_kept() == SHOP_ROUNDS);
    check_clean();
}

static uint64_t wrong_refcounts(const struct check_report *r)
{
    return r->wrong_refcounts;
}
static uint64_t unreferenced_blobs(const struct check_report *r)
{
    return r->unreferenced_blobs;
}
static uint64_t wrong_counters(const struct check_report *r)
{
    return r->wrong_counters;
}

/* ---- tests ---- */

static void test_clean(void **state)
{
    (void)state;
    struct check_report r = check_run(false, false);
    assert_true(check_is_clean(&r));
    assert_true(r.entries > 150 && r.blobs > 100 && r.bytes_verified == 0);
    buf_free(&r.lines);
    r = check_run(false, true);
    assert_true(check_is_clean(&r));
    assert_true(r.bytes_verified > 5000000);
    buf_free(&r.lines);
    struct buf before;
    index_read(&before);
    r = check_run(true, true);
    assert_true(check_is_clean(&r) && r.repaired == 0);
    buf_free(&r.lines);
    index_same(&before);
    buf_free(&before);
}

static void crashing_load(void)
{
    struct shop w;
    shop_open(&w);
    struct blob_writer *lost;
    char block[65536] = "never published";
    ASSERT(blob_create(w.s.blobs, -1, &lost) == ERR_OK);
    for (int i = 0; i < 30; i++) ASSERT(blob_write(lost, block, sizeof block) == ERR_OK);
    for (unsigned i = 0; i < 20; i++) shop_put(&w, "plain", "again", 500 + i, shop_size(i));
    ASSERT(blob_seal(lost, STR("")) == ERR_OK);
    _exit(0);
}

/* What the next start frees by itself is no finding. */
static void test_clean_after_crash(void **state)
{
    (void)state;
    assert_int_equal(in_process("load", 0), 0);
    check_clean();
    check_clean();
    struct store s;
    engine_dir_open(&s, NULL);
    engine_close(&s);
    check_clean();
}

/* Deletes an object that a reader still holds. Extent files are small, so that nothing is added any more to
 * the one that has it. */
static void delete_under_reader_in_a_full_file(void)
{
    struct shop w;
    struct obj_get_in in = {.bucket = STR("plain"), .key = STR("big/0")};
    struct obj_get_out g;
    struct str some;
    char key[32];
    shop_open_files(&w, 1 << 20);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "big/%u", i);
        shop_put(&w, "plain", key, i, 250000);
    }
    ASSERT(obj_get(w.o, w.a, &in, &g) == ERR_OK && body_next(g.body, &some) == ERR_OK);
    shop_delete(&w, "plain", "big/0");
    _exit(0);
}

/* The log says that its extents are being freed, so they are no finding. */
static void test_clean_with_frees_pending(void **state)
{
    (void)state;
    assert_int_equal(in_process("delete", 0), 0);
    check_clean();
    struct shop w;
    shop_open(&w);
    assert_int_equal(extents_settle_frees(engine_of(&w.s)->extents), ERR_OK);
    shop_close(&w);
    check_clean();
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
}

static void test_refcount_too_high(void **state)
{
    (void)state;
    plant_refs(in_extents, 1000000);
    found_and_repaired(wrong_refcounts, 1);
}

/* The dangerous one: a delete too early would take the other owner's bytes. */
static void test_refcount_too_low(void **state)
{
    (void)state;
    plant_refs(is_shared, -1);
    found_and_repaired(wrong_refcounts, 1);
}

static void test_leaked_blob_in_log(void **state)
{
    (void)state;
    leak(5000);
    found_and_repaired(unreferenced_blobs, 1);
}

static void test_leaked_blob_in_extents(void **state)
{
    (void)state;
    leak(500000);
    found_and_repaired(unreferenced_blobs, 1);
}

static void test_leaked_extent(void **state)
{
    (void)state;
    struct store s;
    struct extent_small small = {.blob_id = 77, .data = STR("nobody's bytes"), .owner = STR("")};
    engine_dir_open(&s, NULL);
    assert_int_equal(extents_write_many(engine_of(&s)->extents, &small, 1), ERR_OK);
    extents_small_keep(&small, 1);
    engine_close(&s);
    struct check_report r = check_run(false, false);
    assert_true(r.unreferenced_bytes == 4096 && r.unreferenced_blobs == 0);
    assert_true(says(&r.lines, "blob 4d"));
    buf_free(&r.lines);
    r = check_run(true, false);
    assert_true(r.repaired > 0);
    buf_free(&r.lines);
    check_clean();
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
}

static void test_wrong_counter(void **state)
{
    (void)state;
    add_counter(shard_of("plain"), 2, -1234567);
    found_and_repaired(wrong_counters, 1);
}

/* Nothing counts towards it any more, and still it must be zero. */
static void test_wrong_counter_of_empty_bucket(void **state)
{
    (void)state;
    struct shop w;
    shop_open(&w);
    assert_int_equal(bucket_create(w.o, w.a, STR("empty"), STR("me"), STR("here")), ERR_OK);
    shop_put(&w, "empty", "x", 1, 10);
    shop_delete(&w, "empty", "x");
    shop_close(&w);
    check_clean();
    add_counter(shard_of("empty"), 1, 3);
    found_and_repaired(wrong_counters, 1);
}

static void test_wrong_live_count(void **state)
{
    (void)state;
    struct store s;
    char key[INNER_KEY_MAX];
    engine_dir_open(&s, NULL);
    uint32_t file;
    assert_true(extents_files(engine_of(&s)->extents, &file, 1) > 0);
    view_edit(&s, inner_key(key, INNER_FILE, file), STR("\1\2\3\0\0\0\0\0"));
    engine_close(&s);
    struct check_report r = check_run(false, false);
    assert_true(r.wrong_counters == 1 && says(&r.lines, "live bytes"));
    buf_free(&r.lines);
    r = check_run(true, false);
    assert_int_equal(r.repaired, 1);
    buf_free(&r.lines);
    check_clean();
}

/* A blob that entries refer to is not in the table: reported, and not one byte is freed. */
static void test_missing_blob(void **state)
{
    (void)state;
    struct store s;
    char key[INNER_KEY_MAX];
    leak(500000);
    engine_dir_open(&s, NULL);
    struct blob_entry b = pick(&s, is_shared);
    view_edit(&s, inner_key(key, INNER_BLOB, b.id), STR_NONE);
    engine_close(&s);
    for (int pass = 0; pass < 3; pass++) {
        struct check_report r = check_run(pass > 0, false);
        assert_true(r.missing_blobs == 1 && r.unreferenced_bytes > b.size && r.unreferenced_blobs == 1);
        assert_true(says(&r.lines, "which does not exist") && says(&r.lines, "which entries refer to"));
        assert_true(pass == 0 || says(&r.lines, "nothing was freed"));
        assert_int_equal(r.repaired, 0);
        buf_free(&r.lines);
    }
    blob_places_drop(b.places);
    /* The log knows it still. */
    struct recover_report rec = recover_run();
    buf_free(&rec.lines);
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
}

/* A record that nobody understands may refer to anything. */
static void test_bad_record(void **state)
{
    (void)state;
    struct store s;
    char key[32];
    leak(500000);
    put_be64(key, shard_of("plain"));
    memcpy(key + 8, "okeep/6", 7);
    engine_dir_open(&s, NULL);
    view_edit(&s, str_of(key, 15), STR("\377 from the future"));
    engine_close(&s);
    struct check_report r = check_run(true, false);
    assert_true(r.bad_records == 1 && r.unreferenced_blobs == 2 && r.repaired == 0);
    assert_true(says(&r.lines, "'o' keep/6: the record does not decode"));
    buf_free(&r.lines);
    r = check_run(false, false);
    assert_true(r.unreferenced_blobs == 2);
    buf_free(&r.lines);
}

/* ---- bytes ---- */

static void flip_extent(uint64_t at, bool deep_only)
{
    struct store s;
    char path[256], name[64];
    engine_dir_open(&s, NULL);
    struct blob_entry b = pick(&s, in_extents);
    engine_close(&s);
    snprintf(name, sizeof name, "extents/%08u.ext", b.places->v[0].file);
    dir_path(name, path);
    engine_flip(path, b.places->v[0].offset + at);
    for (int pass = 0; pass < 3; pass++) {
        struct check_report r = check_run(pass == 2, pass > 0);
        if (pass == 0 && deep_only)
            assert_true(check_is_clean(&r));
        else
            assert_true(r.corrupt_blobs == 1 && r.missing_blobs == 0 && says(&r.lines, "do not verify"));
        assert_int_equal(r.repaired, 0);
        assert_int_equal(r.unreferenced_bytes, 0);
        buf_free(&r.lines);
    }
    engine_flip(path, b.places->v[0].offset + at);
    blob_places_drop(b.places);
    check_clean(); /* repair took nothing away */
}

static void test_flipped_data(void **state)
{
    (void)state;
    flip_extent(4096 + 9000, true);
}

static void test_flipped_header(void **state)
{
    (void)state;
    flip_extent(40, false);
}

static void test_flipped_file_header(void **state)
{
    (void)state;
    struct names_of f = names_in("extents", ".ext");
    char path[256], name[128];
    snprintf(name, sizeof name, "extents/%s", f.name[0]);
    dir_path(name, path);
    engine_flip(path, 20);
    check_clean(); /* there are two copies */
    engine_flip(path, 4096 + 20);
    struct check_report r = check_run(true, false);
    assert_true(r.corrupt_blobs + r.missing_blobs > 0 || r.log_errors > 0);
    assert_int_equal(r.repaired, 0);
    buf_free(&r.lines);
}

static void test_deleted_extent_file(void **state)
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
    struct check_report r = check_run(true, false);
    assert_true(r.missing_blobs > 0 && r.corrupt_blobs == 0 && says(&r.lines, "bytes are missing"));
    assert_true(says(&r.lines, "'o' keep/"));
    assert_int_equal(r.repaired, 0);
    buf_free(&r.lines);
}

/* ---- log and archive ---- */

static void test_flipped_log(void **state)
{
    (void)state;
    struct store s;
    char path[256], name[64];
    engine_dir_open(&s, NULL);
    struct blob_entry b = pick(&s, in_log);
    engine_close(&s);
    snprintf(name, sizeof name, "log/%016llx.log", (unsigned long long)b.segment);
    dir_path(name, path);
    engine_flip(path, b.offset + 3);
    struct check_report r = check_run(false, true);
    /* Whether the store can still be opened depends on the segment; it is found in any case. */
    assert_true(r.log_errors > 0 && says(&r.lines, "commit"));
    buf_free(&r.lines);
}

static void expect_archive_damage(const char *what)
{
    struct check_report r = check_run(false, false);
    if (!r.log_errors) fprintf(stderr, "not detected: %s\n", what);
    assert_true(r.log_errors > 0 && says(&r.lines, "archive"));
    buf_free(&r.lines);
}

/* Every stretch of an archive file is under some checksum. */
static void test_flipped_archive(void **state)
{
    (void)state;
    struct names_of f = names_in("archive", ".arc");
    assert_true(f.n > 0);
    char path[256], name[128];
    snprintf(name, sizeof name, "archive/%s", f.name[0]);
    dir_path(name, path);
    uint64_t size = size_of(path);
    for (uint64_t at = 0; at < size; at += at < 200 ? 7 : size / 23) {
        engine_flip(path, at);
        snprintf(name, sizeof name, "byte %llu of %llu", (unsigned long long)at, (unsigned long long)size);
        expect_archive_damage(name);
        engine_flip(path, at);
    }
    check_clean();
}

static void test_archive_repaired(void **state)
{
    (void)state;
    dir_drop("archive");
    expect_archive_damage("no archive");
    struct check_report r = check_run(true, false);
    assert_true(r.repaired > 0);
    buf_free(&r.lines);
    check_clean();
    struct buf before;
    index_read(&before);
    dir_drop("index");
    struct recover_report rec = recover_run();
    assert_int_equal(rec.lost_records, 0);
    buf_free(&rec.lines);
    index_same(&before);
    buf_free(&before);
    assert_int_equal(shop_kept(), SHOP_ROUNDS);
}

static void test_cut_archive(void **state)
{
    (void)state;
    struct names_of f = names_in("archive", ".arc");
    char path[256], name[128];
    snprintf(name, sizeof name, "archive/%s", f.name[f.n - 1]);
    dir_path(name, path);
    assert_int_equal(truncate(path, (off_t)size_of(path) - 100), 0);
    expect_archive_damage("cut");
}

/* ---- refusals ---- */

static void test_in_use(void **state)
{
    (void)state;
    struct store s;
    char why[512];
    engine_dir_open(&s, NULL);
    struct check_options o = {.dir = engine_dir, .entry = objects_check_entry};
    struct check_report r;
    assert_int_equal(engine_check(&o, &r, why), ERR_SERVICE_UNAVAILABLE);
    assert_non_null(strstr(why, "is in use by process"));
    buf_free(&r.lines);
    struct recover_options ro = {.dir = engine_dir, .entry = objects_check_entry};
    struct recover_report rr;
    assert_int_equal(engine_recover(&ro, &rr, why), ERR_SERVICE_UNAVAILABLE);
    assert_non_null(strstr(why, "is in use by process"));
    buf_free(&rr.lines);
    engine_close(&s);
}

static void test_no_store(void **state)
{
    (void)state;
    char why[512];
    struct check_options o = {.dir = "/tmp", .entry = objects_check_entry};
    struct check_report r;
    assert_int_equal(engine_check(&o, &r, why), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "is not a data directory"));
    buf_free(&r.lines);
    struct recover_options ro = {.dir = "/tmp", .entry = objects_check_entry};
    struct recover_report rr;
    assert_int_equal(engine_recover(&ro, &rr, why), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "is not a data directory"));
    buf_free(&rr.lines);
}

int main(int argc, char **argv)
{
    uint64_t number;
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    if (is_role(argc, argv, "load", &number)) crashing_load();
    if (is_role(argc, argv, "delete", &number)) delete_under_reader_in_a_full_file();
    if (argc == 2) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        TEST(test_clean),
        TEST(test_clean_after_crash),
        TEST(test_clean_with_frees_pending),
        TEST(test_refcount_too_high),
        TEST(test_refcount_too_low),
        TEST(test_leaked_blob_in_log),
        TEST(test_leaked_blob_in_extents),
        TEST(test_leaked_extent),
        TEST(test_wrong_counter),
        TEST(test_wrong_counter_of_empty_bucket),
        TEST(test_wrong_live_count),
        TEST(test_missing_blob),
        TEST(test_bad_record),
        TEST(test_flipped_data),
        TEST(test_flipped_header),
        TEST(test_flipped_file_header),
        TEST(test_deleted_extent_file),
        TEST(test_flipped_log),
        TEST(test_flipped_archive),
        TEST(test_archive_repaired),
        TEST(test_cut_archive),
        TEST(test_in_use),
        cmocka_unit_test(test_no_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
