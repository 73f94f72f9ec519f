/* Server-side copies: of objects and into parts. */
#include "multi.h"

static struct obj_copy_in copy_in(const char *from, const char *to)
{
    return (struct obj_copy_in){.src_bucket = STR("bkt"),
                                .src_key = str_c(from),
                                .bucket = STR("bkt"),
                                .key = str_c(to),
                                .owner = STR("me")};
}

static void test_copy(void **state)
{
    (void)state;
    struct world w;
    struct obj_copy_out c;
    world_begin(&w);
    mk(&w, "bkt");
    mk(&w, "other");
    struct obj_info src = put(&w, "bkt", "k", "shared bytes");
    struct obj_copy_in in = copy_in("k", "copy");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_true(str_eq(c.info.etag, src.etag) && c.info.size == 12 && c.src_version_id.n == 0 &&
                c.info.seq > src.seq);
    assert_int_equal(world_blobs(&w), 1);
    in.bucket = STR("other");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_int_equal(world_blobs(&w), 1);
    del(&w, "bkt", "k", STR_NONE);
    assert_true(reads(&w, "bkt", "copy", STR_NONE, "shared bytes") &&
                reads(&w, "other", "copy", STR_NONE, "shared bytes"));
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_NO_SUCH_KEY);
    in.src_key = STR("copy");
    in.src_bucket = STR("nope");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_NO_SUCH_BUCKET);
    del(&w, "bkt", "copy", STR_NONE);
    del(&w, "other", "copy", STR_NONE);
    assert_int_equal(world_blobs(&w), 0);
    world_end(&w);
}

/* The record is there and its bytes are not: damage, not a source that changes. */
static void test_lost_source(void **state)
{
    (void)state;
    struct world w;
    struct obj_copy_out c;
    struct obj_part_info part;
    struct str version;
    struct obj_upload_info u;
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "k", "shared bytes");
    struct obj_upload_in up = {.bucket = STR("bkt"), .key = STR("m")};
    assert_int_equal(upload_create(w.o, w.a, &up, &u), ERR_OK);
    struct memory_store *m = CONTAINER(w.store.idx, struct memory_store, idx);
    struct str blob = arena_dup(w.a, memory_map_seek(m->blob_map, STR(""))->key);
    memory_blob_free(memory_map_remove(m->blob_map, blob));
    struct obj_copy_in in = copy_in("k", "copy");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_CORRUPT);
    in.want_sums = HASH_BIT(HASH_SHA256); /* needs the bytes */
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_CORRUPT);
    struct upload_copy_in pc = {.src_bucket = STR("bkt"),
                                .src_key = STR("k"),
                                .bucket = STR("bkt"),
                                .key = STR("m"),
                                .upload_id = u.upload_id,
                                .number = 1};
    assert_int_equal(upload_part_copy(w.o, w.a, &pc, &part, &version), ERR_CORRUPT);
    pc.has_range = true;
    pc.last = 3;
    assert_int_equal(upload_part_copy(w.o, w.a, &pc, &part, &version), ERR_CORRUPT);
    assert_int_equal(get_err(&w, "bkt", "copy", STR_NONE), ERR_NO_SUCH_KEY);
    /* no audit: the blob is gone behind the records' back */
    arena_free(w.a);
    objects_free(w.o);
    store_memory_free(&w.store);
}

static void test_directives(void **state)
{
    (void)state;
    struct world w;
    struct obj_copy_out c;
    struct obj_info i;
    struct obj_pair user = {STR("a"), STR("1")}, tag = {STR("t"), STR("1")}, user2 = {STR("b"), STR("2")};
    world_begin(&w);
    mk(&w, "bkt");
    struct obj_put_in p = {.bucket = STR("bkt"), .key = STR("k"), .size = 3, .owner = STR("you")};
    p.meta = (struct obj_meta){.content_type = STR("x/y"),
                               .user = &user,
                               .nuser = 1,
                               .tags = &tag,
                               .ntags = 1,
                               .storage_class = STR("STANDARD_IA"),
                               .website_redirect = STR("/r")};
    assert_int_equal(obj_put(w.o, w.a, &p, body_of_bytes(w.a, STR("abc")), &i), ERR_OK);
    struct obj_copy_in in = copy_in("k", "c");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_true(str_eq(c.info.meta.content_type, STR("x/y")) && c.info.meta.nuser == 1 &&
                c.info.meta.ntags == 1);
    assert_true(c.info.meta.storage_class.n == 0 && c.info.meta.website_redirect.n == 0 &&
                str_eq(c.info.owner, STR("me")));
    in.replace_meta = true;
    in.meta = (struct obj_meta){.user = &user2, .nuser = 1, .storage_class = STR("GLACIER_IR")};
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_true(c.info.meta.content_type.n == 0 && str_eq(c.info.meta.user[0].name, STR("b")) &&
                c.info.meta.ntags == 1);
    assert_true(str_eq(c.info.meta.storage_class, STR("GLACIER_IR")));
    in.replace_meta = false;
    in.replace_tags = true;
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_true(c.info.meta.ntags == 0 && c.info.meta.nuser == 1 &&
                str_eq(c.info.meta.user[0].name, STR("a")));
    /* a checksum that the source lacks is computed; one that it has is kept */
    struct hash_value sha;
    hash_once(HASH_SHA256, "abc", 3, &sha);
    in.want_sums = HASH_BIT(HASH_SHA256);
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_int_equal(c.info.sums.bits, HASH_BIT(HASH_SHA256));
    assert_memory_equal(c.info.sums.value[HASH_SHA256].b, sha.b, 32);
    in = copy_in("c", "d");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_int_equal(c.info.sums.bits, HASH_BIT(HASH_SHA256));
    world_end(&w);
}

/* ceph tracker 70746: copying an object onto itself must not free it. */
static void test_self_copy(void **state)
{
    (void)state;
    struct world w;
    struct obj_copy_out c;
    struct obj_info i;
    err e;
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "k", "data");
    struct str all = up_object(&w, "m", 3, 100, &i);
    struct obj_copy_in in = copy_in("k", "k");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_INVALID_REQUEST);
    assert_true(reads(&w, "bkt", "k", STR_NONE, "data"));
    in.replace_meta = true;
    in.meta.content_type = STR("new/type");
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
        assert_true(reads(&w, "bkt", "k", STR_NONE, "data") &&
                    str_eq(c.info.meta.content_type, STR("new/type")));
        assert_int_equal(world_blobs(&w), 4);
    }
    in = copy_in("m", "m");
    in.changes_something = true;
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_true(str_eq(up_read(&w, "m", STR_NONE, 0, &e), all) && c.info.parts == 3 &&
                str_eq(c.info.etag, i.etag));
    world_audit(&w);
    world_end(&w);
}

static void test_versions_and_conditions(void **state)
{
    (void)state;
    struct world w;
    struct obj_copy_out c;
    world_begin(&w);
    mk(&w, "bkt");
    CHECK(bucket_set_versioning(w.o, w.a, STR("bkt"), VERSIONING_ENABLED) == ERR_OK);
    struct obj_info one = put(&w, "bkt", "k", "one");
    put(&w, "bkt", "k", "two");
    /* restoring an old version by copying it onto its own key */
    struct obj_copy_in in = copy_in("k", "k");
    in.src_version_id = one.version_id;
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_true(str_eq(c.src_version_id, one.version_id) && !str_eq(c.info.version_id, one.version_id));
    assert_true(reads(&w, "bkt", "k", STR_NONE, "one"));
    struct obj_delete_out d = del(&w, "bkt", "k", STR_NONE);
    in.src_version_id = d.version_id;
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_INVALID_REQUEST);
    in.src_version_id = STR_NONE;
    in.changes_something = true;
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_NO_SUCH_KEY);
    in.src_version_id = STR("junk");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_INVALID_VERSION_ID);
    in = copy_in("k", "to");
    in.src_version_id = one.version_id;
    in.src_cond.if_match = STR("nope");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_PRECONDITION_FAILED);
    in.src_cond = (struct obj_cond){.if_none_match = one.etag};
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_PRECONDITION_FAILED);
    in.src_cond = (struct obj_cond){.if_modified_since = one.modified_ms + 5000};
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_PRECONDITION_FAILED);
    in.src_cond = (struct obj_cond){.if_match = one.etag};
    in.cond.if_none_match = STR("*");
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_OK);
    assert_int_equal(obj_copy(w.o, w.a, &in, &c), ERR_PRECONDITION_FAILED);
    world_end(&w);
}

static void test_part_copy(void **state)
{
    (void)state;
    struct world w;
    struct obj_info i;
    struct obj_part_info p;
    struct str version, all;
    err e;
    world_begin(&w);
    mk(&w, "bkt");
    all = up_object(&w, "src", 4, 100, &i); /* a source of several pieces */
    put(&w, "bkt", "plain", "a plain object of some bytes");
    size_t blobs = world_blobs(&w);
    struct str id = up_new(&w, "dst");
    struct upload_complete_part list[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    struct upload_copy_in in = {.src_bucket = STR("bkt"),
                                .src_key = STR("src"),
                                .bucket = STR("bkt"),
                                .key = STR("dst"),
                                .upload_id = id};
    in.number = 1;
    in.has_range = true;
    in.first = 50;
    in.last = 249;
    assert_int_equal(upload_part_copy(w.o, w.a, &in, &p, &version), ERR_OK);
    struct hash_value md5;
    char text[ETAG_TEXT];
    hash_once(HASH_MD5, all.p + 50, 200, &md5);
    assert_true(str_eq(p.etag, str_of(text, etag_text(md5.b, 0, text))) && p.size == 200);
    list[0].etag = p.etag;
    in.number = 2;
    in.has_range = false;
    assert_int_equal(upload_part_copy(w.o, w.a, &in, &p, &version), ERR_OK);
    assert_int_equal(upload_part_copy(w.o, w.a, &in, &p, &version), ERR_OK); /* again, over itself */
    list[1].etag = p.etag;
    in.number = 3;
    in.src_key = STR("plain");
    assert_int_equal(upload_part_copy(w.o, w.a, &in, &p, &version), ERR_OK);
    list[2].etag = p.etag;
    assert_int_equal(world_blobs(&w), blobs);
    in.has_range = true;
    in.last = 28;
    in.first = 0;
    assert_int_equal(upload_part_copy(w.o, w.a, &in, &p, &version), ERR_INVALID_RANGE);
    in.last = 5;
    in.first = 6;
    assert_int_equal(upload_part_copy(w.o, w.a, &in, &p, &version), ERR_INVALID_RANGE);
    in.number = 10001;
    assert_int_equal(upload_part_copy(w.o, w.a, &in, &p, &version), ERR_INVALID_ARGUMENT);
    in.number = 1;
    in.upload_id = STR("no");
    assert_int_equal(upload_part_copy(w.o, w.a, &in, &p, &version), ERR_NO_SUCH_UPLOAD);
    world_audit(&w);
    assert_int_equal(up_done(&w, "dst", id, list, 3, &i), ERR_OK);
    assert_int_equal(i.size, 200 + 400 + 28);
    del(&w, "bkt", "src", STR_NONE);
    del(&w, "bkt", "plain", STR_NONE);
    char want[628];
    memcpy(want, all.p + 50, 200);
    memcpy(want + 200, all.p, 400);
    memcpy(want + 600, "a plain object of some bytes", 28);
    assert_true(str_eq(up_read(&w, "dst", STR_NONE, 0, &e), str_of(want, 628)));
    assert_true(i.crc64xz == crc64xz(0, want, 628));
    for (size_t from = 0; from < 628; from += 37) {
        struct str range = arena_fmt(w.a, "bytes=%zu-%zu", from, from + 60);
        assert_true(str_eq(up_read(&w, "dst", range, 0, &e), str_slice(str_of(want, 628), from, from + 61)));
    }
    del(&w, "bkt", "dst", STR_NONE);
    assert_int_equal(world_blobs(&w), 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_lost_source),
        cmocka_unit_test(test_directives),
        cmocka_unit_test(test_self_copy),
        cmocka_unit_test(test_versions_and_conditions),
        cmocka_unit_test(test_part_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
