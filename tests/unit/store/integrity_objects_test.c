/* Integrity bugs of peers that a store of objects can have, by their numbers in docs/reliability.md: what
 * operations do to one another. Damage and crashes are in integrity_store_test.c. */
#include "integrity.h"

/* ---- 1, 2: uploads ---- */

static void test_01_abort_after_complete_frees_nothing(void **state)
{
    (void)state;
    struct shop w;
    struct parts p;
    shop_open(&w);
    parts_begin(&w, &p, "k");
    for (unsigned i = 1; i <= 3; i++) assert_int_equal(parts_put(&w, &p, i, i, BIG), ERR_OK);
    assert_int_equal(parts_complete(&w, &p), ERR_OK);
    assert_int_equal(parts_abort(&w, &p), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(parts_complete(&w, &p), ERR_OK); /* a client that asks again */
    assert_int_equal(parts_abort(&w, &p), ERR_NO_SUCH_UPLOAD);
    shop_put(&w, "plain", "other", 9, BIG);
    struct str data;
    assert_int_equal(read_version(&w, "plain", "k", STR(""), &data), ERR_OK);
    assert_int_equal(data.n, 3 * BIG);
    for (unsigned i = 0; i < 3; i++)
        assert_true(str_eq(str_slice(data, i * BIG, (i + 1) * BIG), shop_bytes(w.a, i + 1, BIG)));
    shop_close(&w);
}

static void retry_part(struct at_commit *c)
{
    if (c->commits == 0) ASSERT(parts_put(c->w, c->parts, 2, 2, BIG) == ERR_OK);
}

static void complete_now(struct at_commit *c)
{
    if (c->commits == 0) ASSERT(parts_complete(c->w, c->parts) == ERR_OK);
}

static void two_parts(struct shop *w, struct parts *p)
{
    shop_open(w);
    parts_begin(w, p, "k");
    assert_int_equal(parts_put(w, p, 1, 1, BIG), ERR_OK);
    assert_int_equal(parts_put(w, p, 2, 2, BIG), ERR_OK);
}

static void both_parts_there(struct shop *w)
{
    struct str data;
    assert_int_equal(read_version(w, "plain", "k", STR(""), &data), ERR_OK);
    assert_int_equal(data.n, 2 * BIG);
    assert_true(str_eq(str_slice(data, 0, BIG), shop_bytes(w->a, 1, BIG)));
    assert_true(str_eq(str_slice(data, BIG, data.n), shop_bytes(w->a, 2, BIG)));
}

/* The same part arrives again between what Complete read and its commit. */
static void test_02_part_sent_again_during_complete(void **state)
{
    (void)state;
    struct shop w;
    struct parts p;
    two_parts(&w, &p);
    struct at_commit c = {.w = &w, .before = retry_part, .parts = &p};
    hook(&c);
    assert_int_equal(parts_complete(&w, &p), ERR_OK);
    unhook(&c);
    both_parts_there(&w);
    shop_close(&w);
}

/* And the other way round: Complete is done between what UploadPart read and its commit. */
static void test_02_complete_during_a_part_sent_again(void **state)
{
    (void)state;
    struct shop w;
    struct parts p;
    two_parts(&w, &p);
    struct parts again = p;
    struct at_commit c = {.w = &w, .before = complete_now, .parts = &p};
    hook(&c);
    assert_int_equal(parts_put(&w, &again, 2, 7, BIG), ERR_NO_SUCH_UPLOAD);
    unhook(&c);
    both_parts_there(&w);
    shop_close(&w);
}

/* ---- 6, 16: versions ---- */

static void test_06_removing_one_version_leaves_the_others(void **state)
{
    (void)state;
    struct shop w;
    struct str id[5];
    shop_open(&w);
    for (unsigned i = 0; i < 5; i++) id[i] = put_version(&w, "k", i, shop_size(i + 2));
    struct str marker = delete_version(&w, "k", STR(""));
    delete_version(&w, "k", id[2]);
    delete_version(&w, "k", id[2]); /* again: nothing to do */
    for (unsigned i = 0; i < 5; i++)
        assert_true(holds(&w, "versioned", "k", id[i], i, shop_size(i + 2)) == (i != 2));
    assert_int_equal(count_versions(&w, "k"), 5);
    delete_version(&w, "k", marker);
    assert_true(holds(&w, "versioned", "k", STR(""), 4, shop_size(6)));
    delete_version(&w, "k", id[4]);
    assert_true(holds(&w, "versioned", "k", STR(""), 3, shop_size(5)));
    shop_close(&w);
}

static void test_16_no_ghost_after_its_delete_marker(void **state)
{
    (void)state;
    struct shop w;
    struct str data;
    shop_open(&w);
    struct str id = put_version(&w, "k", 1, BIG), first = delete_version(&w, "k", STR("")),
               second = delete_version(&w, "k", STR(""));
    assert_true(lists(&w, "versioned", "", 10, ""));
    assert_int_equal(read_version(&w, "versioned", "k", STR(""), &data), ERR_NO_SUCH_KEY);
    delete_version(&w, "k", id); /* markers alone are left: still nothing to be seen */
    assert_true(lists(&w, "versioned", "", 10, ""));
    assert_int_equal(count_versions(&w, "k"), 2);
    delete_version(&w, "k", second);
    assert_int_equal(count_versions(&w, "k"), 1);
    delete_version(&w, "k", first);
    assert_int_equal(count_versions(&w, "k"), 0);
    assert_true(lists(&w, "versioned", "", 10, ""));
    assert_int_equal(bucket_delete(w.o, w.a, STR("versioned")), ERR_OK);
    shop_close(&w);
}

/* ---- 8, 9, 14: listings ---- */

static void each_listed_is_readable(struct shop *w, const char *bucket, bool versions, unsigned want)
{
    struct obj_list_in in = {.bucket = str_c(bucket), .versions = versions, .max = 1000};
    struct obj_list_out l;
    struct str data;
    unsigned n = 0;
    assert_int_equal(obj_list(w->o, w->a, &in, &l), ERR_OK);
    for (size_t i = 0; i < l.n; i++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", STR_FMT(l.items[i].key));
        if (versions && l.items[i].delete_marker) continue;
        assert_int_equal(read_version(w, bucket, key, versions ? l.items[i].version_id : STR(""), &data),
                         ERR_OK);
        assert_int_equal(data.n, l.items[i].size);
        n++;
    }
    assert_int_equal(n, want);
}

static void mixed_load(void)
{
    struct shop w;
    char key[32];
    shop_open(&w);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k/%u", i % 10);
        shop_put(&w, "plain", key, i, shop_size(i));
        put_version(&w, key, i, shop_size(i + 1));
        if (i % 4 == 3) shop_delete(&w, "plain", key);
        if (i % 4 == 3) delete_version(&w, key, STR(""));
    }
    shop_multi(&w, "m", 5, BIG, true);
    shop_multi(&w, "open", 5, BIG, false);
    fflush(NULL);
    _exit(0);
}

static void test_08_what_is_listed_can_be_read(void **state)
{
    (void)state;
    struct shop w;
    assert_int_equal(in_process("mixed", 0), 0); /* it dies; the next start brings it back */
    for (int pass = 0; pass < 2; pass++) {
        shop_open(&w);
        each_listed_is_readable(&w, "plain", false, 8);
        each_listed_is_readable(&w, "versioned", false, 7);
        each_listed_is_readable(&w, "versioned", true, 40);
        shop_close(&w);
        dir_drop("index"); /* and so does recovery */
        struct recover_report r = recover_run();
        assert_int_equal(r.lost_records, 0);
        buf_free(&r.lines);
    }
}

static void test_09_a_key_does_not_hide_what_is_below_it(void **state)
{
    (void)state;
    struct shop w;
    shop_open(&w);
    shop_put(&w, "plain", "file1", 1, 100);
    shop_put(&w, "plain", "file1/file2", 2, BIG);
    shop_put(&w, "plain", "file1/", 3, 0);
    shop_put(&w, "plain", "file10", 4, 10);
    for (unsigned page = 1; page < 6; page++) {
        assert_true(lists(&w, "plain", "", page, "file1 file1/ file1/file2 file10 "));
        assert_true(lists(&w, "plain", "/", page, "file1 file1/ file10 "));
    }
    shop_delete(&w, "plain", "file1");
    assert_true(holds(&w, "plain", "file1/file2", STR(""), 2, BIG));
    assert_true(lists(&w, "plain", "/", 10, "file1/ file10 "));
    shop_put(&w, "plain", "file1", 5, 100);
    shop_delete(&w, "plain", "file1/file2");
    shop_delete(&w, "plain", "file1/");
    assert_true(holds(&w, "plain", "file1", STR(""), 5, 100));
    assert_true(lists(&w, "plain", "", 10, "file1 file10 "));
    shop_close(&w);
}

static void test_14_delimiter_listing_is_complete(void **state)
{
    (void)state;
    struct shop w;
    char key[32];
    shop_open(&w);
    for (unsigned i = 0; i < 40; i++) { /* prefixes of many keys, keys between and after them */
        snprintf(key, sizeof key, "%c/%02u", 'a' + (char)(i / 8), i);
        shop_put(&w, "plain", key, i, 10);
    }
    shop_put(&w, "plain", "a", 1, 10);
    shop_put(&w, "plain", "b0", 1, 10);
    shop_put(&w, "plain", "c.", 1, 10);
    shop_put(&w, "plain", "z", 1, 10);
    for (unsigned page = 1; page < 12; page++)
        assert_true(lists(&w, "plain", "/", page, "a a/ b/ b0 c. c/ d/ e/ z "));
    shop_delete(&w, "plain", "z"); /* the last page ends in a prefix */
    for (unsigned page = 1; page < 12; page++)
        assert_true(lists(&w, "plain", "/", page, "a a/ b/ b0 c. c/ d/ e/ "));
    shop_close(&w);
}

/* ---- 15, 18, 19: writes beside reads ---- */

static void not_yet(struct at_commit *c)
{
    struct str data;
    ASSERT(read_version(c->w, "plain", "new", STR(""), &data) == ERR_NO_SUCH_KEY);
    ASSERT(lists(c->w, "plain", "", 10, ""));
}

/* The answer is not given yet; whoever sees the object already can read all of it. */
static void at_once(struct at_commit *c)
{
    ASSERT(holds(c->w, "plain", "new", STR(""), 3, 300000));
    ASSERT(lists(c->w, "plain", "", 10, "new "));
}

static void test_15_visible_only_when_readable(void **state)
{
    (void)state;
    struct shop w;
    shop_open(&w);
    struct at_commit c = {.w = &w, .before = not_yet, .after = at_once};
    hook(&c);
    shop_put(&w, "plain", "new", 3, 300000);
    unhook(&c);
    assert_int_equal(c.commits, 1);
    shop_close(&w);
}

static err copy_onto_itself(struct shop *w, const char *bucket, const char *key)
{
    struct obj_pair user[] = {{STR("a"), STR("b")}};
    struct obj_copy_in in = {.src_bucket = str_c(bucket),
                             .src_key = str_c(key),
                             .bucket = str_c(bucket),
                             .key = str_c(key),
                             .owner = STR("me"),
                             .replace_meta = true,
                             .meta = {.user = user, .nuser = 1}};
    struct obj_copy_out out;
    return obj_copy(w->o, w->a, &in, &out);
}

static void test_18_self_copy_keeps_the_data(void **state)
{
    (void)state;
    static const char *const buckets[] = {"plain", "versioned"};
    struct shop w;
    char key[32];
    struct str before, after;
    shop_open(&w);
    for (unsigned i = 0; i < 14; i++) {
        snprintf(key, sizeof key, "k%u", i);
        shop_put(&w, buckets[i / 7], key, i, shop_size(i));
        for (int times = 0; times < 3; times++)
            assert_int_equal(copy_onto_itself(&w, buckets[i / 7], key), ERR_OK);
        assert_true(holds(&w, buckets[i / 7], key, STR(""), i, shop_size(i)));
    }
    shop_multi(&w, "m", 5, BIG, true);
    assert_int_equal(read_version(&w, "plain", "m", STR(""), &before), ERR_OK);
    assert_int_equal(copy_onto_itself(&w, "plain", "m"), ERR_OK);
    assert_int_equal(read_version(&w, "plain", "m", STR(""), &after), ERR_OK);
    assert_true(str_eq(before, after));
    shop_close(&w);
}

static void all_listed(struct at_commit *c)
{
    ASSERT(lists(c->w, "plain", "", 2, "a k z "));
}

/* While a key is overwritten, copied over or retagged it is in every listing. */
static void test_19_listing_beside_an_overwrite(void **state)
{
    (void)state;
    struct shop w;
    struct obj_pair tag[] = {{STR("a"), STR("b")}};
    struct obj_info info;
    struct parts p;
    shop_open(&w);
    shop_put(&w, "plain", "a", 1, 10);
    shop_put(&w, "plain", "k", 1, 10);
    shop_put(&w, "plain", "z", 1, 10);
    parts_begin(&w, &p, "k");
    assert_int_equal(parts_put(&w, &p, 1, 5, BIG), ERR_OK);
    struct at_commit c = {.w = &w, .before = all_listed, .after = all_listed};
    hook(&c);
    shop_put(&w, "plain", "k", 2, BIG);
    shop_copy(&w, "a", "k");
    assert_int_equal(copy_onto_itself(&w, "plain", "k"), ERR_OK);
    assert_int_equal(obj_set_tags(w.o, w.a, STR("plain"), STR("k"), STR(""), tag, 1, &info), ERR_OK);
    assert_int_equal(parts_complete(&w, &p), ERR_OK);
    unhook(&c);
    assert_true(c.commits >= 5);
    assert_true(holds(&w, "plain", "k", STR(""), 5, BIG));
    shop_close(&w);
}

int main(int argc, char **argv)
{
    uint64_t number;
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    if (is_role(argc, argv, "mixed", &number)) mixed_load();
    if (argc == 2) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        NAMED(test_01_abort_after_complete_frees_nothing),
        NAMED(test_02_part_sent_again_during_complete),
        NAMED(test_02_complete_during_a_part_sent_again),
        NAMED(test_06_removing_one_version_leaves_the_others),
        NAMED(test_08_what_is_listed_can_be_read),
        NAMED(test_09_a_key_does_not_hide_what_is_below_it),
        NAMED(test_14_delimiter_listing_is_complete),
        NAMED(test_15_visible_only_when_readable),
        NAMED(test_16_no_ghost_after_its_delete_marker),
        NAMED(test_18_self_copy_keeps_the_data),
        NAMED(test_19_listing_beside_an_overwrite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
