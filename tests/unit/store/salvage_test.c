/* Salvage: archive and index are gone, so extents alone say what there was: blobs of several extents, all
 * versions of a key, objects of several parts. */
#include "integrity.h"

#define FILES (512u << 10) /* an extent then takes a quarter of this */
#define LONG  700000u

static void fill(struct str id[5], struct arena **ids)
{
    struct shop w;
    struct parts p;
    shop_open_files(&w, FILES);
    shop_put(&w, "plain", "long", 1, LONG);
    for (unsigned i = 0; i < 5; i++) id[i] = put_version(&w, "v", i, i == 2 ? LONG : BIG + i);
    put_version(&w, "one", 9, BIG);
    parts_begin(&w, &p, "m");
    ASSERT(parts_put(&w, &p, 1, 1, BIG) == ERR_OK && parts_put(&w, &p, 2, 2, BIG) == ERR_OK);
    ASSERT(parts_complete(&w, &p) == ERR_OK);
    for (unsigned i = 0; i < 300; i++)
        shop_put(&w, "plain", "again", i, 12000); /* the log forgets the rest */
    *ids = w.a;
    w.a = arena_new(0);
    shop_close(&w);
}

/* The name of the bucket that came back with this key in it. */
static void bucket_of(struct shop *w, const char *key, char name[80])
{
    struct bucket_list_in bin = {.max = 100};
    struct bucket_list_out l;
    ASSERT(bucket_list(w->o, w->a, &bin, &l) == ERR_OK);
    for (size_t i = 0; i < l.n; i++) {
        struct str data;
        snprintf(name, 80, "%.*s", STR_FMT(l.buckets[i].name));
        if (read_version(w, name, key, STR(""), &data) == ERR_OK) return;
    }
    ASSERT(!"no bucket has it");
}

static size_t versions_in(struct shop *w, const char *bucket, const char *key)
{
    struct obj_list_in in = {.bucket = str_c(bucket), .prefix = str_c(key), .versions = true, .max = 1000};
    struct obj_list_out l;
    ASSERT(obj_list(w->o, w->a, &in, &l) == ERR_OK);
    return l.n;
}

static struct recover_report lose_archive_and_index(void)
{
    dir_drop("archive");
    dir_drop("index");
    struct recover_report r = recover_run();
    ASSERT(r.lost_records > 0);
    return r;
}

static void test_every_version_and_every_extent(void **state)
{
    (void)state;
    struct str id[5];
    struct arena *ids;
    struct shop w;
    char bucket[80];
    fill(id, &ids);
    struct recover_report r = lose_archive_and_index();
    assert_true(says(&r.lines, "salvaged from its extents: shard 1 'o' long, 700000 bytes"));
    assert_true(says(&r.lines, "'v' v") && says(&r.lines, "'o' v, 50004 bytes"));
    buf_free(&r.lines);
    shop_open_files(&w, FILES);
    bucket_of(&w, "long", bucket);
    assert_true(holds(&w, bucket, "long", STR(""), 1, LONG));
    bucket_of(&w, "one", bucket);
    assert_int_equal(versions_in(&w, bucket, "v"), 5);
    for (unsigned i = 0; i < 5; i++) assert_true(holds(&w, bucket, "v", id[i], i, i == 2 ? LONG : BIG + i));
    assert_true(holds(&w, bucket, "v", STR(""), 4, BIG + 4)); /* the newest is the current one */
    assert_int_equal(versions_in(&w, bucket, "one"), 1);
    shop_close(&w);
    arena_free(ids);
    struct check_report c = check_run(true, true); /* nothing but what is left over of "again" */
    assert_true(c.missing_blobs == 0 && c.corrupt_blobs == 0 && c.bad_records == 0 && c.wrong_counters == 0);
    buf_free(&c.lines);
}

/* What came back works: versions are removed one by one, and the next older one takes the place. */
static void test_salvaged_versions_are_versions(void **state)
{
    (void)state;
    struct str id[5];
    struct arena *ids;
    struct shop w;
    char bucket[80];
    fill(id, &ids);
    struct recover_report r = lose_archive_and_index();
    buf_free(&r.lines);
    shop_open_files(&w, FILES);
    bucket_of(&w, "v", bucket);
    for (unsigned i = 4; i > 0; i--) {
        struct obj_delete_in in = {
            .bucket = str_c(bucket), .key = STR("v"), .version_id = id[i], .owner = STR("me")};
        struct obj_delete_out out;
        assert_int_equal(obj_delete(w.o, w.a, &in, &out), ERR_OK);
        assert_int_equal(versions_in(&w, bucket, "v"), i);
        unsigned now = i - 1;
        assert_true(holds(&w, bucket, "v", STR(""), now, now == 2 ? LONG : BIG + now));
    }
    shop_close(&w);
    arena_free(ids);
    struct check_report c = check_run(true, true);
    buf_free(&c.lines);
}

/* One of several extents is gone: that blob is not restored, it is named, and all others are. */
static bool is_long(const struct blob_entry *b)
{
    return b->size == LONG && b->places->n > 3;
}

static void test_a_missing_extent_is_said(void **state)
{
    (void)state;
    struct str id[5];
    struct arena *ids;
    struct store s;
    char path[256], name[64], line[96];
    fill(id, &ids);
    arena_free(ids);
    engine_dir_open(&s, &(struct engine_options){.extent_file_bytes = FILES});
    struct blob_entry b = pick(&s, is_long);
    engine_close(&s);
    snprintf(name, sizeof name, "extents/%08u.ext", b.places->v[1].file);
    dir_path(name, path);
    engine_flip(path, b.places->v[1].offset + 20); /* the head of its second extent */
    struct recover_report r = lose_archive_and_index();
    snprintf(line, sizeof line, "blob %llx: not all of its extents are there", (unsigned long long)b.id);
    assert_true(says(&r.lines, line) && says(&r.lines, "'o' one, 50000 bytes"));
    buf_free(&r.lines);
    blob_places_drop(b.places);
    struct check_report c = check_run(true, true);
    assert_true(c.missing_blobs == 0 && c.corrupt_blobs == 0);
    buf_free(&c.lines);
}

/* Archive and log are whole: whatever the index was, all of it is back, parts of objects and markers too. */
static void test_whole_history_brings_everything(void **state)
{
    (void)state;
    struct str id[5];
    struct arena *ids;
    struct buf before;
    fill(id, &ids);
    arena_free(ids);
    index_read(&before);
    dir_drop("index");
    struct recover_report r = recover_run();
    assert_true(r.lost_records == 0 && r.lost_blobs == 0 && r.salvaged == 0);
    buf_free(&r.lines);
    index_same(&before);
    buf_free(&before);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    const struct CMUnitTest tests[] = {
        NAMED(test_every_version_and_every_extent),
        NAMED(test_salvaged_versions_are_versions),
        NAMED(test_a_missing_extent_is_said),
        NAMED(test_whole_history_brings_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
