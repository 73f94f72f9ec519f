/* Buckets, and objects put whole: read, conditions, ranges, tags, deletion. */
#include "world.h"

static void test_buckets(void **state)
{
    (void)state;
    struct world w;
    struct bucket_info b;
    world_begin(&w);
    mk(&w, "bucket-one");
    assert_int_equal(bucket_create(w.o, w.a, STR("bucket-one"), STR("me"), STR("r1")), ERR_BUCKET_OWNED);
    assert_int_equal(bucket_create(w.o, w.a, STR("bucket-one"), STR("you"), STR("r1")), ERR_BUCKET_EXISTS);
    assert_int_equal(bucket_create(w.o, w.a, STR("Bad_Name"), STR("me"), STR("r1")), ERR_INVALID_BUCKET_NAME);
    assert_int_equal(bucket_get(w.o, w.a, STR("bucket-two"), &b), ERR_NO_SUCH_BUCKET);
    assert_int_equal(bucket_get(w.o, w.a, STR("bucket-one"), &b), ERR_OK);
    assert_true(str_eq(b.owner, STR("me")) && str_eq(b.region, STR("r1")) && b.created_ms > 0);
    uint64_t first = b.id;
    put(&w, "bucket-one", "k", "12345");
    assert_int_equal(bucket_get(w.o, w.a, STR("bucket-one"), &b), ERR_OK);
    assert_true(b.objects == 1 && b.versions == 1 && b.bytes == 5);
    assert_int_equal(bucket_delete(w.o, w.a, STR("bucket-one")), ERR_BUCKET_NOT_EMPTY);
    del(&w, "bucket-one", "k", STR_NONE);
    assert_int_equal(bucket_delete(w.o, w.a, STR("bucket-one")), ERR_OK);
    assert_int_equal(bucket_delete(w.o, w.a, STR("bucket-one")), ERR_NO_SUCH_BUCKET);
    assert_int_equal(get_err(&w, "bucket-one", "k", STR_NONE), ERR_NO_SUCH_BUCKET);
    assert_int_equal(put_cond(&w, "bucket-one", STR("k"), STR("x"), (struct obj_cond){0}, NULL),
                     ERR_NO_SUCH_BUCKET);
    assert_int_equal(world_audit(&w), 1); /* nothing but the id counter is left */
    mk(&w, "bucket-one");
    assert_int_equal(bucket_get(w.o, w.a, STR("bucket-one"), &b), ERR_OK);
    assert_true(b.id > first);
    world_end(&w);
}

static void test_bucket_names(void **state)
{
    (void)state;
    static const char *const good[] = {"abc", "a-b", "a.b.c", "1234", "192.168.5.4.5", "a1-2-3.x"};
    static const char *const bad[] = {
        "ab",   "Abc",         "a_b",     "-ab",         "ab-",        ".ab",        "ab.", "a..b", "a.-b",
        "a-.b", "192.168.5.4", "xn--abc", "abc-s3alias", "abc--ol-s3", "sthree-abc", "a b", "a/b",  ""};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(bucket_name_valid(str_c(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(bucket_name_valid(str_c(bad[i])));
    char longest[65];
    memset(longest, 'a', sizeof longest);
    assert_true(bucket_name_valid(str_of(longest, 63)));
    assert_false(bucket_name_valid(str_of(longest, 64)));
}

static void test_bucket_list(void **state)
{
    (void)state;
    struct world w;
    struct bucket_list_out out;
    world_begin(&w);
    mk(&w, "aaa");
    mk(&w, "abb");
    mk(&w, "acc");
    assert_int_equal(bucket_create(w.o, w.a, STR("add"), STR("you"), STR("r2")), ERR_OK);
    struct bucket_list_in in = {.owner = STR("me"), .max = 2};
    assert_int_equal(bucket_list(w.o, w.a, &in, &out), ERR_OK);
    assert_true(out.n == 2 && out.truncated && str_eq(out.buckets[1].name, STR("abb")));
    in.after = STR("abb");
    assert_int_equal(bucket_list(w.o, w.a, &in, &out), ERR_OK);
    assert_true(out.n == 1 && !out.truncated && str_eq(out.buckets[0].name, STR("acc")));
    in = (struct bucket_list_in){.prefix = STR("ab"), .max = 10};
    assert_int_equal(bucket_list(w.o, w.a, &in, &out), ERR_OK);
    assert_true(out.n == 1 && str_eq(out.buckets[0].name, STR("abb")));
    in = (struct bucket_list_in){.region = STR("r2"), .max = 10};
    assert_int_equal(bucket_list(w.o, w.a, &in, &out), ERR_OK);
    assert_true(out.n == 1 && str_eq(out.buckets[0].name, STR("add")) &&
                str_eq(out.buckets[0].owner, STR("you")));
    world_end(&w);
}

static void test_bucket_config(void **state)
{
    (void)state;
    struct world w;
    struct str doc;
    world_begin(&w);
    mk(&w, "bkt");
    assert_int_equal(bucket_get_config(w.o, w.a, STR("bkt"), "cors", &doc), ERR_NOT_FOUND);
    assert_int_equal(bucket_set_config(w.o, w.a, STR("bkt"), "cors", STR("<x/>")), ERR_OK);
    assert_int_equal(bucket_get_config(w.o, w.a, STR("bkt"), "cors", &doc), ERR_OK);
    assert_true(str_eq(doc, STR("<x/>")));
    assert_int_equal(bucket_set_config(w.o, w.a, STR("bkt"), "cors", STR_NONE), ERR_OK);
    assert_int_equal(bucket_get_config(w.o, w.a, STR("bkt"), "cors", &doc), ERR_NOT_FOUND);
    assert_int_equal(bucket_set_versioning(w.o, w.a, STR("bkt"), VERSIONING_ENABLED), ERR_OK);
    assert_int_equal(bucket_set_versioning(w.o, w.a, STR("bkt"), VERSIONING_OFF), ERR_ILLEGAL_VERSIONING);
    assert_int_equal(bucket_set_versioning(w.o, w.a, STR("none"), VERSIONING_ENABLED), ERR_NO_SUCH_BUCKET);
    world_end(&w);
}

/* A crash between the two transactions of DeleteBucket, and in the middle of CreateBucket. */
static err kill_guard_only(struct mut *m, void *arg)
{
    (void)arg;
    struct key k;
    struct guard g = m->guard;
    g.deleted = true;
    key_of_space(&k, m->bucket, KEY_GUARD);
    mut_put(m, &k, guard_encode(m->a, &g));
    return ERR_OK;
}

static void test_half_deleted_bucket(void **state)
{
    (void)state;
    struct world w;
    struct bucket_info b;
    struct bucket_list_out list;
    world_begin(&w);
    for (int swept = 0; swept < 2; swept++) {
        mk(&w, "bkt");
        assert_int_equal(mut_run(w.o, STR("bkt"), kill_guard_only, NULL, NULL), ERR_OK);
        bucket_forget(w.o, STR("bkt"));
        assert_int_equal(bucket_get(w.o, w.a, STR("bkt"), &b), ERR_NO_SUCH_BUCKET);
        assert_int_equal(bucket_list(w.o, w.a, &(struct bucket_list_in){.max = 10}, &list), ERR_OK);
        assert_int_equal(list.n, 0);
        if (swept) assert_int_equal(objects_sweep(w.o), ERR_OK);
        if (swept) assert_int_equal(world_audit(&w), 1);
        mk(&w, "bkt");
        put(&w, "bkt", "k", "data");
        assert_int_equal(objects_sweep(w.o), ERR_OK);
        assert_true(reads(&w, "bkt", "k", STR_NONE, "data"));
        del(&w, "bkt", "k", STR_NONE);
        assert_int_equal(bucket_delete(w.o, w.a, STR("bkt")), ERR_OK);
        assert_int_equal(world_audit(&w), 1);
    }
    world_end(&w);
}

static void test_put_get(void **state)
{
    (void)state;
    struct world w;
    struct str data;
    struct obj_get_out g;
    world_begin(&w);
    mk(&w, "bkt");
    struct obj_info i = put(&w, "bkt", "a/b", "hello world");
    assert_true(str_eq(i.etag, STR("5eb63bbbe01eeed093cb22bb8f5acdc3")));
    assert_true(i.version_id.n == 0 && i.size == 11 && i.seq > 0 && i.modified_ms > 0);
    assert_int_equal(get(&w, "bkt", "a/b", STR_NONE, &data, &g), ERR_OK);
    assert_true(str_eq(data, STR("hello world")) && g.info.seq == i.seq && !g.partial && g.length == 11);
    assert_int_equal(g.info.crc64xz, crc64xz(0, "hello world", 11));
    /* an object that came without a checksum has a CRC64NVME */
    assert_int_equal(g.info.sums.bits, HASH_BIT(HASH_CRC64NVME));
    assert_int_equal(get_be64(g.info.sums.value[HASH_CRC64NVME].b), crc64nvme(0, "hello world", 11));
    /* empty objects hold no blob; prefixes of keys are other keys */
    put(&w, "bkt", "a", "");
    assert_true(reads(&w, "bkt", "a", STR_NONE, ""));
    assert_int_equal(world_blobs(&w), 1);
    put(&w, "bkt", "a/b", "shorter");
    assert_int_equal(world_blobs(&w), 1);
    assert_true(reads(&w, "bkt", "a/b", STR_NONE, "shorter"));
    assert_int_equal(get_err(&w, "bkt", "a/", STR_NONE), ERR_NO_SUCH_KEY);
    assert_int_equal(get_err(&w, "bkt", "a", STR("null")), ERR_OK);
    assert_int_equal(get_err(&w, "bkt", "a", STR("nonsense")), ERR_INVALID_VERSION_ID);
    assert_int_equal(get_err(&w, "bkt", "a", STR("00000000000000010000000000000000")), ERR_NO_SUCH_VERSION);
    assert_int_equal(get_err(&w, "nope", "a", STR_NONE), ERR_NO_SUCH_BUCKET);
    world_end(&w);
}

static void test_keys(void **state)
{
    (void)state;
    struct world w;
    struct obj_info i;
    struct obj_cond none = {0};
    char longest[1025];
    memset(longest, 'k', sizeof longest);
    world_begin(&w);
    mk(&w, "bkt");
    assert_int_equal(put_cond(&w, "bkt", str_of(longest, 1025), STR("x"), none, &i), ERR_KEY_TOO_LONG);
    assert_int_equal(put_cond(&w, "bkt", str_of(longest, 1024), STR("x"), none, &i), ERR_OK);
    assert_int_equal(put_cond(&w, "bkt", STR("a\0b"), STR("x"), none, &i), ERR_INVALID_URI);
    assert_int_equal(put_cond(&w, "bkt", STR_NONE, STR("x"), none, &i), ERR_INVALID_URI);
    static const char *const odd[] = {"..", "../../etc", "\\",   "\xff\xff", "\x01", "a//b",
                                      "/",  "%2e%2e%2f", "null", " ",        "]]>"};
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
        put(&w, "bkt", odd[k], odd[k]);
        assert_true(reads(&w, "bkt", odd[k], STR_NONE, odd[k]));
    }
    world_end(&w);
}

static void test_meta(void **state)
{
    (void)state;
    struct world w;
    struct str data;
    struct obj_get_out g;
    world_begin(&w);
    mk(&w, "bkt");
    struct obj_pair user[] = {{STR("colour"), STR("blue")}, {STR("empty"), STR("")}};
    struct obj_pair tags[] = {{STR("a"), STR("1")}, {STR("b"), STR("")}};
    struct obj_put_in in = {.bucket = STR("bkt"),
                            .key = STR("k"),
                            .owner = STR("me"),
                            .size = -1,
                            .want_sums = HASH_BIT(HASH_SHA256)};
    in.meta = (struct obj_meta){.content_type = STR("text/x"),
                                .cache_control = STR("no-cache"),
                                .content_disposition = STR("d"),
                                .content_encoding = STR("gzip"),
                                .content_language = STR("ko"),
                                .expires = STR("soon"),
                                .website_redirect = STR("/x"),
                                .storage_class = STR("STANDARD_IA"),
                                .user = user,
                                .nuser = 2,
                                .tags = tags,
                                .ntags = 2};
    struct obj_info i;
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_OK);
    assert_int_equal(get(&w, "bkt", "k", STR_NONE, &data, &g), ERR_OK);
    const struct obj_meta *m = &g.info.meta;
    assert_true(str_eq(m->content_type, STR("text/x")) && str_eq(m->cache_control, STR("no-cache")));
    assert_true(str_eq(m->content_disposition, STR("d")) && str_eq(m->content_encoding, STR("gzip")));
    assert_true(str_eq(m->content_language, STR("ko")) && str_eq(m->expires, STR("soon")));
    assert_true(str_eq(m->website_redirect, STR("/x")) && str_eq(m->storage_class, STR("STANDARD_IA")));
    assert_true(m->nuser == 2 && str_eq(m->user[0].value, STR("blue")) && m->user[1].value.n == 0);
    assert_true(m->ntags == 2 && str_eq(m->tags[1].name, STR("b")) && str_eq(g.info.owner, STR("me")));
    assert_int_equal(g.info.sums.bits, HASH_BIT(HASH_SHA256));

    uint64_t seq = g.info.seq;
    assert_int_equal(obj_set_tags(w.o, w.a, STR("bkt"), STR("k"), STR_NONE, tags, 1, &i), ERR_OK);
    assert_true(i.meta.ntags == 1 && i.seq == seq);
    assert_int_equal(get(&w, "bkt", "k", STR_NONE, &data, &g), ERR_OK);
    assert_true(g.info.meta.ntags == 1 && g.info.seq == seq && g.info.meta.nuser == 2 &&
                str_eq(data, STR("abc")));
    assert_int_equal(obj_set_tags(w.o, w.a, STR("bkt"), STR("none"), STR_NONE, tags, 1, &i), ERR_NO_SUCH_KEY);

    char big[2049];
    memset(big, 'v', sizeof big);
    struct obj_pair heavy = {STR(""), str_of(big, sizeof big)};
    in.meta.user = &heavy;
    in.meta.nuser = 1;
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_METADATA_TOO_LARGE);
    world_end(&w);
}

static err fill_trailer(void *arg, struct obj_put_in *in)
{
    in->expect_bits |= HASH_BIT(HASH_CRC32C);
    in->expect[HASH_CRC32C] = *(struct hash_value *)arg;
    return ERR_OK;
}

static void test_digests_and_lengths(void **state)
{
    (void)state;
    struct world w;
    struct obj_info i;
    world_begin(&w);
    mk(&w, "bkt");
    struct obj_put_in in = {.bucket = STR("bkt"), .key = STR("k"), .owner = STR("me"), .size = 3};
    in.expect_bits = HASH_BIT(HASH_MD5);
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_BAD_DIGEST);
    hash_once(HASH_MD5, "abc", 3, &in.expect[HASH_MD5]);
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_OK);
    struct hash_value crc = {0};
    in.want_sums = HASH_BIT(HASH_CRC32C);
    in.at_end = fill_trailer;
    in.arg = &crc;
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_BAD_DIGEST);
    hash_once(HASH_CRC32C, "abc", 3, &crc);
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_OK);
    assert_int_equal(i.sums.bits, HASH_BIT(HASH_CRC32C));
    in = (struct obj_put_in){.bucket = STR("bkt"), .key = STR("k"), .size = 4};
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_INCOMPLETE_BODY);
    in.size = 2;
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_INCOMPLETE_BODY);
    in.size = (int64_t)OBJ_PUT_MAX_SIZE + 1;
    assert_int_equal(obj_put(w.o, w.a, &in, body_of_bytes(w.a, STR("abc")), &i), ERR_ENTITY_TOO_LARGE);
    assert_true(reads(&w, "bkt", "k", STR_NONE, "abc"));
    world_end(&w);
}

/* ---- conditions ---- */

static err put_if(struct world *w, const char *match, const char *none_match)
{
    struct obj_cond c = {.if_match = str_c(match), .if_none_match = str_c(none_match)};
    return put_cond(w, "bkt", STR("k"), STR("data"), c, NULL);
}

static void test_write_conditions(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    mk(&w, "bkt");
    assert_int_equal(put_if(&w, "*", NULL), ERR_NO_SUCH_KEY);
    assert_int_equal(put_if(&w, "abc", NULL), ERR_NO_SUCH_KEY);
    assert_int_equal(put_if(&w, NULL, "*"), ERR_OK);
    assert_int_equal(put_if(&w, NULL, "*"), ERR_PRECONDITION_FAILED);
    assert_int_equal(put_if(&w, "abc", NULL), ERR_PRECONDITION_FAILED);
    assert_int_equal(put_if(&w, "*", NULL), ERR_OK);
    assert_int_equal(put_if(&w, "\"8d777f385d3dfec8815d20f7496026dc\"", NULL), ERR_OK);
    assert_int_equal(put_if(&w, "x, 8d777f385d3dfec8815d20f7496026dc", NULL), ERR_OK);
    assert_int_equal(put_if(&w, "W/\"8d777f385d3dfec8815d20f7496026dc\"", NULL), ERR_PRECONDITION_FAILED);
    assert_int_equal(put_if(&w, NULL, "8d777f385d3dfec8815d20f7496026dc"), ERR_PRECONDITION_FAILED);
    assert_int_equal(put_if(&w, NULL, "other"), ERR_OK);
    /* a delete marker is nothing */
    assert_int_equal(bucket_set_versioning(w.o, w.a, STR("bkt"), VERSIONING_ENABLED), ERR_OK);
    del(&w, "bkt", "k", STR_NONE);
    assert_int_equal(put_if(&w, "*", NULL), ERR_NO_SUCH_KEY);
    assert_int_equal(put_if(&w, NULL, "*"), ERR_OK);
    /* deletion */
    struct obj_delete_out out;
    struct obj_delete_in d = {.bucket = STR("bkt"), .key = STR("k"), .cond = {.if_match = STR("bad")}};
    assert_int_equal(obj_delete(w.o, w.a, &d, &out), ERR_PRECONDITION_FAILED);
    d.cond = (struct obj_cond){.has_size = true, .size = 3};
    assert_int_equal(obj_delete(w.o, w.a, &d, &out), ERR_PRECONDITION_FAILED);
    d.cond.size = 4;
    assert_int_equal(obj_delete(w.o, w.a, &d, &out), ERR_OK);
    assert_true(out.delete_marker);
    world_end(&w);
}

static err read_if(struct world *w, struct obj_cond c)
{
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("k"), .cond = c, .head = true};
    struct obj_get_out out;
    return obj_get(w->o, w->a, &in, &out);
}

static void test_read_conditions(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    mk(&w, "bkt");
    struct obj_info i = put(&w, "bkt", "k", "data");
    int64_t now = i.modified_ms, before = now - 5000, after = now + 5000;
    struct str wrong = STR("\"nope\"");
    assert_int_equal(read_if(&w, (struct obj_cond){.if_match = i.etag}), ERR_OK);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_match = wrong}), ERR_PRECONDITION_FAILED);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_none_match = i.etag}), ERR_NOT_MODIFIED);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_none_match = STR("*")}), ERR_NOT_MODIFIED);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_none_match = wrong}), ERR_OK);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_modified_since = before}), ERR_OK);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_modified_since = now / 1000 * 1000}),
                     ERR_NOT_MODIFIED);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_unmodified_since = before}), ERR_PRECONDITION_FAILED);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_unmodified_since = after}), ERR_OK);
    /* a tag that matches outweighs the date beside it */
    assert_int_equal(read_if(&w, (struct obj_cond){.if_match = i.etag, .if_unmodified_since = before}),
                     ERR_OK);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_none_match = wrong, .if_modified_since = after}),
                     ERR_OK);
    assert_int_equal(read_if(&w, (struct obj_cond){.if_none_match = i.etag, .if_modified_since = before}),
                     ERR_NOT_MODIFIED);
    world_end(&w);
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        err e;
        const char *data;
        bool partial;
    } t[] = {
        {"bytes=0-0", ERR_OK, "0", true},
        {"bytes=2-4", ERR_OK, "234", true},
        {"bytes=7-", ERR_OK, "789", true},
        {"bytes=-3", ERR_OK, "789", true},
        {"bytes=-30", ERR_OK, "0123456789", true},
        {"bytes=5-500", ERR_OK, "56789", true},
        {"bytes=10-", ERR_INVALID_RANGE, "", false},
        {"bytes=-0", ERR_INVALID_RANGE, "", false},
        {"bytes=4-2", ERR_OK, "0123456789", false},
        {"bytes=0-1,4-5", ERR_OK, "0123456789", false},
        {"lines=0-1", ERR_OK, "0123456789", false},
        {"bytes=", ERR_OK, "0123456789", false},
        {"bytes=-", ERR_OK, "0123456789", false},
        {"bytes=a-b", ERR_OK, "0123456789", false},
        {"bytes=1-99999999999999999999", ERR_OK, "123456789", true},
        {"bytes=99999999999999999999-", ERR_INVALID_RANGE, "", false},
    };
    struct world w;
    struct obj_get_out g;
    struct str data;
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "k", "0123456789");
    put(&w, "bkt", "empty", "");
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("k"), .range = str_c(t[i].range)};
        assert_int_equal(obj_get(w.o, w.a, &in, &g), t[i].e);
        if (t[i].e) continue;
        assert_int_equal(body_read_all(w.a, g.body, 100, &data), ERR_OK);
        body_close(g.body);
        assert_true(str_eq(data, str_c(t[i].data)) && g.partial == t[i].partial && g.length == data.n);
    }
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("empty"), .range = STR("bytes=0-1")};
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_INVALID_RANGE);
    in.range = STR("bytes=-1");
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_INVALID_RANGE);
    in = (struct obj_get_in){
        .bucket = STR("bkt"), .key = STR("k"), .range = STR("bytes=0-1"), .part_number = 1};
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_INVALID_REQUEST);
    in.range = STR_NONE;
    in.head = true;
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_OK);
    assert_true(g.length == 10 && g.part_count == 0);
    in.part_number = 2;
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_INVALID_PART_NUMBER);
    world_end(&w);
}

/* A GET that has begun gives the object as it was, whatever happens to the key. */
static void test_reader_is_pinned(void **state)
{
    (void)state;
    struct world w;
    struct obj_get_out g;
    struct str data;
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "k", "the first");
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("k")};
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_OK);
    put(&w, "bkt", "k", "the second");
    del(&w, "bkt", "k", STR_NONE);
    assert_int_equal(body_read_all(w.a, g.body, 100, &data), ERR_OK);
    assert_true(str_eq(data, STR("the first")));
    body_close(g.body);
    assert_int_equal(world_blobs(&w), 0);
    world_end(&w);
}

static void test_damage_is_an_error(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "k", "precious");
    struct memory_store *m = CONTAINER(w.store.idx, struct memory_store, idx);
    uint64_t blob = get_be64(memory_map_seek(m->blob_map, STR(""))->key.p);
    memory_blob_corrupt(&w.store, blob, 3);
    assert_int_equal(get_err(&w, "bkt", "k", STR_NONE), ERR_CORRUPT);
    world_end(&w);
}

/* A record of a newer program is neither read nor overwritten nor deleted. */
static err plant(struct mut *m, void *arg)
{
    struct key k;
    key_of_current(&k, m->bucket, STR("k"));
    mut_put(m, &k, *(struct str *)arg);
    return ERR_OK;
}

static void test_newer_records_are_left_alone(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    mk(&w, "bkt");
    struct rec r = {.kind = REC_OBJECT};
    version_stamp(&r);
    struct str old = rec_encode(w.a, &r);
    char *newer = arena_alloc(w.a, old.n + 3);
    memcpy(newer, old.p, old.n);
    memcpy(newer + old.n, "\x29\x01x", 3); /* field 20, must be understood */
    struct str planted = str_of(newer, old.n + 3);
    assert_int_equal(mut_run(w.o, STR("bkt"), plant, &planted, NULL), ERR_OK);
    assert_int_equal(get_err(&w, "bkt", "k", STR_NONE), ERR_UNSUPPORTED_FORMAT);
    assert_int_equal(put_cond(&w, "bkt", STR("k"), STR("x"), (struct obj_cond){0}, NULL),
                     ERR_UNSUPPORTED_FORMAT);
    struct obj_delete_in in = {.bucket = STR("bkt"), .key = STR("k")};
    struct obj_delete_out d;
    assert_int_equal(obj_delete(w.o, w.a, &in, &d), ERR_UNSUPPORTED_FORMAT);
    struct obj_list_in list = {.bucket = STR("bkt"), .max = 10};
    struct obj_list_out l;
    assert_int_equal(obj_list(w.o, w.a, &list, &l), ERR_UNSUPPORTED_FORMAT);
    planted = old;
    assert_int_equal(mut_run(w.o, STR("bkt"), plant, &planted, NULL), ERR_OK);
    assert_true(reads(&w, "bkt", "k", STR_NONE, ""));
    /* no audit: what was planted is in no counter */
    arena_free(w.a);
    objects_free(w.o);
    store_memory_free(&w.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_bucket_names),
        cmocka_unit_test(test_bucket_list),
        cmocka_unit_test(test_bucket_config),
        cmocka_unit_test(test_half_deleted_bucket),
        cmocka_unit_test(test_put_get),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_meta),
        cmocka_unit_test(test_digests_and_lengths),
        cmocka_unit_test(test_write_conditions),
        cmocka_unit_test(test_read_conditions),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_reader_is_pinned),
        cmocka_unit_test(test_damage_is_an_error),
        cmocka_unit_test(test_newer_records_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
