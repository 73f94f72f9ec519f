/* Multipart uploads. The world's least part size is 100 bytes. */
#include "multi.h"
#include "object/upload_int.h"
#include "object/upload_int.h"

static void test_main_path(void **state)
{
    (void)state;
    struct world w;
    struct obj_info i, again;
    struct obj_get_out g;
    struct str data;
    err e;
    world_begin(&w);
    mk(&w, "bkt");
    struct str id = up_new(&w, "k"), d[3] = {up_data(&w, 1, 150), up_data(&w, 2, 120), up_data(&w, 3, 10)};
    struct upload_complete_part list[3] = {{.number = 2}, {.number = 5}, {.number = 9000}};
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(up_part(&w, "k", id, list[n].number, d[n], &list[n].etag), ERR_OK);
    assert_int_equal(get_err(&w, "bkt", "k", STR_NONE), ERR_NO_SUCH_KEY); /* nothing shows before the end */
    size_t blobs = world_blobs(&w);
    assert_int_equal(up_done(&w, "k", id, list, 3, &i), ERR_OK);
    assert_int_equal(world_blobs(&w), blobs); /* and nothing was copied */
    assert_int_equal(i.size, 280);
    assert_int_equal(i.parts, 3);
    /* the ETag is the MD5 of the parts' MD5s */
    uint8_t md5s[48];
    for (unsigned n = 0; n < 3; n++) {
        struct hash_value v;
        hash_once(HASH_MD5, d[n].p, d[n].n, &v);
        memcpy(md5s + 16 * n, v.b, 16);
    }
    struct hash_value whole;
    char text[ETAG_TEXT];
    hash_once(HASH_MD5, md5s, 48, &whole);
    assert_true(str_eq(i.etag, str_of(text, etag_text(whole.b, 3, text))) && str_ends(i.etag, STR("-3")));
    /* and the whole's CRCs come from the parts' */
    char all[280];
    memcpy(all, d[0].p, 150);
    memcpy(all + 150, d[1].p, 120);
    memcpy(all + 270, d[2].p, 10);
    assert_true(i.crc64xz == crc64xz(0, all, 280));
    assert_int_equal(i.sums.bits, HASH_BIT(HASH_CRC64NVME));
    assert_true(get_be64(i.sums.value[HASH_CRC64NVME].b) == crc64nvme(0, all, 280));
    assert_int_equal(get(&w, "bkt", "k", STR_NONE, &data, &g), ERR_OK);
    assert_true(str_eq(data, str_of(all, 280)));
    assert_true(str_eq(up_read(&w, "k", STR("bytes=149-271"), 0, &e), str_of(all + 149, 123)));
    assert_true(str_eq(up_read(&w, "k", STR_NONE, 5, &e), d[1]));
    up_read(&w, "k", STR_NONE, 3, &e);
    assert_int_equal(e, ERR_INVALID_PART_NUMBER);
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("k"), .part_number = 9000, .head = true};
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_OK);
    assert_true(g.part_count == 3 && g.partial && g.first == 270 && g.length == 10);
    assert_true(get_be64(g.part_sums.value[HASH_CRC64NVME].b) == crc64nvme(0, d[2].p, d[2].n));
    /* Complete again: the same answer, also when the object is gone; the upload itself is over */
    assert_int_equal(up_done(&w, "k", id, list, 3, &again), ERR_OK);
    assert_true(str_eq(again.etag, i.etag) && again.seq == i.seq && again.size == i.size);
    assert_int_equal(up_part(&w, "k", id, 1, d[0], NULL), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(upload_abort(w.o, w.a, STR("bkt"), STR("k"), id), ERR_NO_SUCH_UPLOAD);
    assert_true(str_eq(up_read(&w, "k", STR_NONE, 2, &e), d[0]));
    del(&w, "bkt", "k", STR_NONE);
    assert_int_equal(world_blobs(&w), 0);
    assert_int_equal(up_done(&w, "k", id, list, 3, &again), ERR_OK);
    assert_int_equal(up_done(&w, "other", id, list, 3, &again), ERR_NO_SUCH_UPLOAD);
    world_end(&w);
}

static void test_bad_lists(void **state)
{
    (void)state;
    struct world w;
    struct obj_info i;
    struct upload_complete_part l[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    world_begin(&w);
    mk(&w, "bkt");
    struct str id = up_new(&w, "k");
    assert_int_equal(up_part(&w, "k", id, 1, up_data(&w, 1, 100), &l[0].etag), ERR_OK);
    assert_int_equal(up_part(&w, "k", id, 2, up_data(&w, 2, 99), &l[1].etag), ERR_OK);
    assert_int_equal(up_part(&w, "k", id, 3, up_data(&w, 3, 100), &l[2].etag), ERR_OK);
    assert_int_equal(up_part(&w, "k", id, 0, up_data(&w, 3, 1), NULL), ERR_INVALID_ARGUMENT);
    assert_int_equal(up_part(&w, "k", id, 10001, up_data(&w, 3, 1), NULL), ERR_INVALID_ARGUMENT);
    assert_int_equal(up_done(&w, "k", id, l, 0, &i), ERR_MALFORMED_XML);
    assert_int_equal(up_done(&w, "k", id, l, 3, &i), ERR_ENTITY_TOO_SMALL);
    struct upload_complete_part swapped[2] = {l[1], l[0]}, twice[2] = {l[0], {1, l[1].etag, {0}}},
                                wrong[1] = {l[0]}, missing[1] = {{.number = 7}};
    assert_int_equal(up_done(&w, "k", id, swapped, 2, &i), ERR_INVALID_PART_ORDER);
    assert_int_equal(up_done(&w, "k", id, twice, 2, &i),
                     ERR_INVALID_PART); /* the last line counts: not part 1's ETag */
    wrong[0].etag = l[1].etag;
    assert_int_equal(up_done(&w, "k", id, wrong, 1, &i), ERR_INVALID_PART);
    missing[0].etag = l[0].etag;
    assert_int_equal(up_done(&w, "k", id, missing, 1, &i), ERR_INVALID_PART);
    static const char *const ids[] = {"../../x", "", "00000000000000010000000000000001", "zz"};
    for (size_t n = 0; n < 4; n++) {
        assert_int_equal(up_done(&w, "k", str_c(ids[n]), l, 1, &i), ERR_NO_SUCH_UPLOAD);
        assert_int_equal(up_part(&w, "k", str_c(ids[n]), 1, STR("x"), NULL), ERR_NO_SUCH_UPLOAD);
        assert_int_equal(upload_abort(w.o, w.a, STR("bkt"), STR("k"), str_c(ids[n])), ERR_NO_SUCH_UPLOAD);
    }
    assert_int_equal(up_done(&w, "other", id, l, 1, &i), ERR_NO_SUCH_UPLOAD);
    struct upload_complete_in in = {.bucket = STR("bkt"),
                                    .key = STR("k"),
                                    .upload_id = id,
                                    .parts = l,
                                    .n = 2,
                                    .has_size = true,
                                    .size = 198};
    assert_int_equal(upload_complete(w.o, w.a, &in, &i), ERR_INVALID_REQUEST);
    in.size = 199;
    in.cond.if_match = STR("*");
    assert_int_equal(upload_complete(w.o, w.a, &in, &i), ERR_NO_SUCH_KEY);
    in.cond = (struct obj_cond){.if_none_match = STR("*")};
    put(&w, "bkt", "k", "in the way");
    assert_int_equal(upload_complete(w.o, w.a, &in, &i), ERR_PRECONDITION_FAILED);
    /* nothing of that harmed the upload; the part left out is dropped, quotes of an ETag do not matter */
    l[0].etag = arena_fmt(w.a, "\"%.*s\"", STR_FMT(l[0].etag));
    assert_int_equal(up_done(&w, "k", id, l, 2, &i), ERR_OK);
    assert_int_equal(world_blobs(&w), 2);
    world_end(&w);
}

static void test_resend_and_abort(void **state)
{
    (void)state;
    struct world w;
    struct str e1, e2;
    struct obj_upload_info u;
    world_begin(&w);
    mk(&w, "bkt");
    struct str id = up_new(&w, "k");
    assert_int_equal(up_part(&w, "k", id, 1, up_data(&w, 1, 100), &e1), ERR_OK);
    assert_int_equal(up_part(&w, "k", id, 1, up_data(&w, 2, 100), &e2), ERR_OK); /* the last one wins */
    assert_int_equal(world_blobs(&w), 1);
    struct upload_complete_part first = {.number = 1, .etag = e1};
    assert_int_equal(up_done(&w, "k", id, &first, 1, NULL), ERR_INVALID_PART);
    assert_int_equal(up_part(&w, "k", id, 2, up_data(&w, 3, 0), NULL), ERR_OK);
    /* a client that lists each upload of a part gets the last */
    struct str other = up_new(&w, "twice");
    assert_int_equal(up_part(&w, "twice", other, 1, up_data(&w, 1, 100), &e1), ERR_OK);
    assert_int_equal(up_part(&w, "twice", other, 1, up_data(&w, 2, 100), &e2), ERR_OK);
    struct upload_complete_part both[2] = {{.number = 1, .etag = e1}, {.number = 1, .etag = e2}};
    struct obj_info done;
    assert_int_equal(up_done(&w, "twice", other, both, 2, &done), ERR_OK);
    assert_true(done.parts == 1 && done.size == 100);
    del(&w, "bkt", "twice", STR_NONE);
    assert_int_equal(upload_get(w.o, w.a, STR("bkt"), STR("k"), id, &u), ERR_OK);
    assert_int_equal(upload_abort(w.o, w.a, STR("bkt"), STR("k"), id), ERR_OK);
    assert_int_equal(upload_abort(w.o, w.a, STR("bkt"), STR("k"), id), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(upload_get(w.o, w.a, STR("bkt"), STR("k"), id, &u), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(world_blobs(&w), 0);
    /* an empty object in one empty part */
    id = up_new(&w, "empty");
    assert_int_equal(up_part(&w, "empty", id, 1, STR(""), &first.etag), ERR_OK);
    struct obj_info i;
    assert_int_equal(up_done(&w, "empty", id, &first, 1, &i), ERR_OK);
    assert_true(i.size == 0 && reads(&w, "bkt", "empty", STR_NONE, ""));
    world_end(&w);
}

static void test_checksums(void **state)
{
    (void)state;
    static const struct {
        enum hash_alg alg;
        enum checksum_type type;
        err e;
    } t[] = {
        {HASH_CRC32, CHECKSUM_FULL_OBJECT, ERR_OK},
        {HASH_CRC32C, CHECKSUM_FULL_OBJECT, ERR_OK},
        {HASH_CRC64NVME, CHECKSUM_FULL_OBJECT, ERR_OK},
        {HASH_CRC32, CHECKSUM_COMPOSITE, ERR_OK},
        {HASH_CRC32C, CHECKSUM_COMPOSITE, ERR_OK},
        {HASH_SHA1, CHECKSUM_COMPOSITE, ERR_OK},
        {HASH_SHA256, CHECKSUM_COMPOSITE, ERR_OK},
        {HASH_SHA256, CHECKSUM_FULL_OBJECT, ERR_INVALID_REQUEST},
        {HASH_CRC64NVME, CHECKSUM_COMPOSITE, ERR_INVALID_REQUEST},
    };
    struct world w;
    world_begin(&w);
    mk(&w, "bkt");
    for (size_t n = 0; n < sizeof t / sizeof *t; n++) {
        enum hash_alg alg = t[n].alg;
        struct obj_upload_in in = {.bucket = STR("bkt"),
                                   .key = STR("k"),
                                   .has_checksum = true,
                                   .checksum = alg,
                                   .checksum_type = t[n].type};
        struct obj_upload_info u;
        assert_int_equal(upload_create(w.o, w.a, &in, &u), t[n].e);
        if (t[n].e) continue;
        assert_true(u.has_checksum && u.checksum == alg && u.checksum_type == t[n].type);
        struct upload_complete_part list[2] = {{.number = 1}, {.number = 2}};
        char all[250], digests[2 * HASH_MAX_SIZE];
        for (unsigned p = 0; p < 2; p++) {
            struct str data = up_data(&w, p + 1, p ? 50 : 200);
            memcpy(all + p * 200, data.p, data.n);
            struct obj_put_in pi = {
                .bucket = STR("bkt"), .key = STR("k"), .size = -1, .expect_bits = HASH_BIT(alg)};
            struct obj_part_info info;
            hash_once(alg, data.p, data.n, &pi.expect[alg]);
            memcpy(digests + p * hash_size(alg), pi.expect[alg].b, hash_size(alg));
            assert_int_equal(upload_part(w.o, w.a, u.upload_id, p + 1, &pi, body_of_bytes(w.a, data), &info),
                             ERR_OK);
            assert_int_equal(info.sums.bits, HASH_BIT(alg));
            list[p].etag = info.etag;
            list[p].sums = info.sums;
            enum hash_alg other = alg == HASH_SHA1 ? HASH_SHA256 : HASH_SHA1;
            pi = (struct obj_put_in){
                .bucket = STR("bkt"), .key = STR("k"), .size = -1, .want_sums = HASH_BIT(other)};
            assert_int_equal(upload_part(w.o, w.a, u.upload_id, p + 1, &pi, body_of_bytes(w.a, data), &info),
                             ERR_INVALID_REQUEST);
        }
        struct hash_value want;
        if (t[n].type == CHECKSUM_COMPOSITE)
            hash_once(alg, digests, 2 * hash_size(alg), &want);
        else
            hash_once(alg, all, sizeof all, &want);
        struct upload_complete_in ci = {.bucket = STR("bkt"),
                                        .key = STR("k"),
                                        .upload_id = u.upload_id,
                                        .parts = list,
                                        .n = 2,
                                        .expect_bits = HASH_BIT(alg)};
        struct obj_info i;
        assert_int_equal(upload_complete(w.o, w.a, &ci, &i), ERR_BAD_DIGEST);
        ci.expect[alg] = want;
        ci.has_type = true;
        ci.type = t[n].type == CHECKSUM_COMPOSITE ? CHECKSUM_FULL_OBJECT : CHECKSUM_COMPOSITE;
        assert_int_equal(upload_complete(w.o, w.a, &ci, &i), ERR_INVALID_REQUEST);
        ci.type = t[n].type;
        list[1].sums.value[alg].b[0] ^= 1;
        assert_int_equal(upload_complete(w.o, w.a, &ci, &i), ERR_INVALID_PART);
        list[1].sums.value[alg].b[0] ^= 1;
        assert_int_equal(upload_complete(w.o, w.a, &ci, &i), ERR_OK);
        assert_true(i.sums.bits == HASH_BIT(alg) && i.sums.type[alg] == t[n].type);
        assert_memory_equal(i.sums.value[alg].b, want.b, hash_size(alg));
        assert_int_equal(i.sums.parts, t[n].type == CHECKSUM_COMPOSITE ? 2 : 0);
    }
    world_end(&w);
}

/* A table of several chunks: ranges and parts found everywhere in it, pages of parts, and all of it freed. */
static void test_many_parts(void **state)
{
    (void)state;
    enum { PARTS = 1500, SIZE = 100 };
    struct world w;
    struct obj_info i;
    err e;
    world_begin(&w);
    mk(&w, "bkt");
    struct str all = up_object(&w, "k", PARTS, SIZE, &i);
    assert_true(i.parts == PARTS && i.size == PARTS * SIZE && i.crc64xz == crc64xz(0, all.p, all.n));
    assert_true(str_eq(up_read(&w, "k", STR_NONE, 0, &e), all));
    unsigned seed = 5;
    for (unsigned n = 0; n < 60; n++) {
        size_t from = (unsigned)rand_r(&seed) % all.n,
               to = from + (unsigned)rand_r(&seed) % (n % 2 ? 300 : 60000);
        if (to >= all.n) to = all.n - 1;
        struct str range = arena_fmt(w.a, "bytes=%zu-%zu", from, to);
        assert_true(str_eq(up_read(&w, "k", range, 0, &e), str_slice(all, from, to + 1)));
        unsigned part = 1 + (unsigned)rand_r(&seed) % PARTS;
        assert_true(
            str_eq(up_read(&w, "k", STR_NONE, part, &e), str_slice(all, (part - 1) * SIZE, part * SIZE)));
    }
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("k")};
    struct obj_part_info *parts;
    size_t n, seen = 0;
    bool truncated = true;
    while (truncated) {
        assert_int_equal(obj_parts(w.o, w.a, &in, (unsigned)seen, 400, &i, &parts, &n, &truncated), ERR_OK);
        for (size_t p = 0; p < n; p++)
            assert_true(parts[p].number == ++seen && parts[p].size == SIZE && parts[p].etag.n == 32);
    }
    assert_int_equal(seen, PARTS);
    assert_int_equal(obj_parts(w.o, w.a, &in, 0, 0, &i, &parts, &n, &truncated), ERR_OK);
    assert_true(n == 0 && !truncated);
    put(&w, "bkt", "k", "small again");
    assert_int_equal(world_blobs(&w), 1);
    world_end(&w);
}

struct planting {
    struct vid id;
    unsigned first, n;
    uint64_t size, blob;
};

/* Each claims that its size lies in the one small blob there is. */
static err plant_parts(struct mut *m, void *arg)
{
    const struct planting *p = arg;
    struct obj_checksums sums = {.bits = HASH_BIT(HASH_CRC64NVME)};
    struct piece piece = {.blob = p->blob, .len = p->size};
    struct rec r = {.kind = REC_PART, .size = p->size};
    err e = ERR_OK;
    r.f[REC_SUMS] = sums_encode(m->a, &sums);
    r.f[REC_PIECES] = pieces_encode(m->a, &piece, 1);
    version_stamp(&r);
    for (unsigned i = 0; i < p->n && !e; i++) {
        mut_ref(m, p->blob, 1);
        e = upload_put_part(m, &p->id, p->first + i, &r);
    }
    return e;
}

static struct str big_upload(struct world *w, const char *key, unsigned n, uint64_t size)
{
    struct str id = up_new(w, key);
    struct memory_store *m = CONTAINER(w->store.idx, struct memory_store, idx);
    struct planting p = {.size = size, .blob = get_be64(memory_map_seek(m->blob_map, STR(""))->key.p)};
    CHECK(vid_parse(id, &p.id));
    for (p.first = 1; p.first <= n; p.first += p.n) {
        p.n = n + 1 - p.first < 500 ? n + 1 - p.first : 500;
        CHECK(mut_run(w->o, STR("bkt"), plant_parts, &p, NULL) == ERR_OK);
    }
    return id;
}

/* The largest object that parts make: 10,000 of 5 GiB, which AWS calls 50 TB. Its arithmetic, not its bytes.
 */
static void test_fifty_terabytes(void **state)
{
    (void)state;
    enum { PARTS = OBJ_PART_MAX_NUMBER };
    const uint64_t size = PARTS * OBJ_PART_MAX_SIZE;
    struct world w;
    struct obj_info i;
    struct obj_get_out g;
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "a", "the one blob");
    struct upload_complete_part *list = arena_alloc(w.a, PARTS * sizeof *list);
    for (unsigned n = 0; n < PARTS; n++) {
        list[n].number = n + 1;
        list[n].etag = STR("00000000000000000000000000000000");
    }
    struct str id = big_upload(&w, "big", PARTS, OBJ_PART_MAX_SIZE);
    assert_int_equal(up_done(&w, "big", id, list, PARTS, &i), ERR_OK);
    assert_true(i.size == size && size > UINT64_C(50000000000000) && i.parts == PARTS);
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("big"), .head = true, .part_number = PARTS};
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_OK);
    assert_true(g.partial && g.part_count == PARTS && g.length == OBJ_PART_MAX_SIZE &&
                g.first == size - OBJ_PART_MAX_SIZE);
    in.part_number = 0;
    in.range = STR("bytes=49999999999999-50000000000001");
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_OK);
    assert_true(g.partial && g.first == UINT64_C(49999999999999) && g.length == 3 && g.info.size == size);
    in.range = STR("bytes=-1");
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_OK);
    assert_true(g.first == size - 1 && g.length == 1);
    in.range = arena_fmt(w.a, "bytes=%llu-", (unsigned long long)size);
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_INVALID_RANGE);
    struct obj_list_in li = {.bucket = STR("bkt"), .prefix = STR("big"), .max = 10};
    struct obj_list_out l;
    assert_int_equal(obj_list(w.o, w.a, &li, &l), ERR_OK);
    assert_true(l.n == 1 && l.items[0].size == size);
    struct bucket_info b;
    assert_int_equal(bucket_get(w.o, w.a, STR("bkt"), &b), ERR_OK);
    assert_true(b.bytes == size + 12);
    /* More than an object may have is refused, and nothing of it is there. */
    id = big_upload(&w, "bigger", 11, OBJ_MAX_SIZE / 10);
    assert_int_equal(up_done(&w, "bigger", id, list, 11, NULL), ERR_ENTITY_TOO_LARGE);
    assert_int_equal(up_done(&w, "bigger", id, list, 10, &i), ERR_OK);
    assert_true(i.size == OBJ_MAX_SIZE / 10 * 10);
    del(&w, "bkt", "big", STR_NONE);
    del(&w, "bkt", "bigger", STR_NONE);
    world_end(&w);
}

/* A GET that has begun holds all the parts that it will send. */
static void test_reader_holds_all_parts(void **state)
{
    (void)state;
    struct world w;
    struct obj_info i;
    struct obj_get_out g;
    struct str data, all;
    world_begin(&w);
    mk(&w, "bkt");
    all = up_object(&w, "k", 20, 100, &i);
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("k"), .range = STR("bytes=150-")};
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_OK);
    assert_int_equal(body_next(g.body, &data), ERR_OK);
    assert_true(str_eq(data, str_slice(all, 150, 200)));
    del(&w, "bkt", "k", STR_NONE);
    assert_int_equal(body_read_all(w.a, g.body, 10000, &data), ERR_OK);
    assert_true(str_eq(data, str_slice(all, 200, all.n)));
    body_close(g.body);
    /* closed half way, it lets go of all */
    up_object(&w, "k", 20, 100, &i);
    in.range = STR_NONE;
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_OK);
    assert_int_equal(body_next(g.body, &data), ERR_OK);
    del(&w, "bkt", "k", STR_NONE);
    body_close(g.body);
    assert_int_equal(world_blobs(&w), 0);
    world_end(&w);
}

static void test_list_parts(void **state)
{
    (void)state;
    struct world w;
    struct obj_upload_info u;
    struct obj_part_info *p;
    size_t n;
    bool truncated;
    world_begin(&w);
    mk(&w, "bkt");
    struct str id = up_new(&w, "k");
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(up_part(&w, "k", id, i * 10, up_data(&w, i, i), NULL), ERR_OK);
    assert_int_equal(upload_parts(w.o, w.a, STR("bkt"), STR("k"), id, 0, 3, &u, &p, &n, &truncated), ERR_OK);
    assert_true(n == 3 && truncated && p[2].number == 30 && p[2].size == 3 && str_eq(u.key, STR("k")));
    assert_int_equal(upload_parts(w.o, w.a, STR("bkt"), STR("k"), id, 30, 3, &u, &p, &n, &truncated), ERR_OK);
    assert_true(n == 2 && !truncated && p[0].number == 40);
    assert_int_equal(upload_parts(w.o, w.a, STR("bkt"), STR("k"), id, 99999, 3, &u, &p, &n, &truncated),
                     ERR_OK);
    assert_true(n == 0 && !truncated);
    assert_int_equal(upload_parts(w.o, w.a, STR("bkt"), STR("x"), id, 0, 3, &u, &p, &n, &truncated),
                     ERR_NO_SUCH_UPLOAD);
    world_end(&w);
}

static void test_list_uploads(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b/1", "b/2", "c", "c", "d/1"};
    struct world w;
    struct upload_list_out l;
    world_begin(&w);
    mk(&w, "bkt");
    for (unsigned i = 0; i < 6; i++) up_new(&w, keys[i]);
    struct upload_list_in in = {.bucket = STR("bkt"), .max = 1000};
    assert_int_equal(upload_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 6 && !l.truncated);
    for (unsigned i = 0; i < 6; i++) assert_true(str_eq(l.items[i].key, str_c(keys[i])));
    struct str first = l.items[3].upload_id, second = l.items[4].upload_id;
    in.delimiter = STR("/");
    assert_int_equal(upload_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 3 && l.nprefixes == 2 && str_eq(l.prefixes[1], STR("d/")));
    unsigned items = 0, prefixes = 0, pages = 0;
    in.max = 1;
    do {
        assert_int_equal(upload_list(w.o, w.a, &in, &l), ERR_OK);
        assert_int_equal(l.n + l.nprefixes, 1);
        items += (unsigned)l.n;
        prefixes += (unsigned)l.nprefixes;
        in.key_marker = l.next_key;
        in.id_marker = l.next_id;
        assert_true(++pages < 10);
    } while (l.truncated);
    assert_true(items == 3 && prefixes == 2);
    in = (struct upload_list_in){
        .bucket = STR("bkt"), .prefix = STR("c"), .key_marker = STR("c"), .id_marker = first, .max = 10};
    assert_int_equal(upload_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 1 && str_eq(l.items[0].upload_id, second));
    in.id_marker = STR_NONE;
    assert_int_equal(upload_list(w.o, w.a, &in, &l), ERR_OK);
    assert_int_equal(l.n, 0);
    /* deleting the bucket takes uploads along */
    assert_int_equal(up_part(&w, "c", first, 1, up_data(&w, 1, 500), NULL), ERR_OK);
    assert_int_equal(bucket_delete(w.o, w.a, STR("bkt")), ERR_OK);
    assert_int_equal(world_audit(&w), 1);
    assert_int_equal(world_blobs(&w), 0);
    world_end(&w);
}

static int64_t shift_ms;
static int64_t shifted_clock(void)
{
    return sys_real.real_ms() + shift_ms;
}

static void test_marks_are_swept(void **state)
{
    (void)state;
    struct world w;
    struct obj_info i;
    world_begin(&w);
    mk(&w, "bkt");
    struct str id = up_new(&w, "k");
    struct upload_complete_part p = {.number = 1};
    assert_int_equal(up_part(&w, "k", id, 1, up_data(&w, 1, 10), &p.etag), ERR_OK);
    assert_int_equal(up_done(&w, "k", id, &p, 1, &i), ERR_OK);
    assert_int_equal(objects_sweep(w.o), ERR_OK);
    assert_int_equal(up_done(&w, "k", id, &p, 1, &i), ERR_OK);
    unsigned entries = world_audit(&w);
    struct sys_ops later = sys_real;
    later.real_ms = shifted_clock;
    shift_ms = 25 * 3600 * 1000;
    sys = &later;
    assert_int_equal(objects_sweep(w.o), ERR_OK);
    sys = &sys_real;
    assert_int_equal(world_audit(&w), entries - 2);
    assert_int_equal(up_done(&w, "k", id, &p, 1, &i), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(get_err(&w, "bkt", "k", STR_NONE), ERR_OK);
    world_end(&w);
}

static void test_meta_and_versions(void **state)
{
    (void)state;
    struct world w;
    struct obj_upload_info u;
    struct obj_info i;
    struct obj_pair user = {STR("m"), STR("v")}, tag = {STR("t"), STR("")};
    world_begin(&w);
    mk(&w, "bkt");
    CHECK(bucket_set_versioning(w.o, w.a, STR("bkt"), VERSIONING_ENABLED) == ERR_OK);
    struct obj_info old = put(&w, "bkt", "k", "old");
    struct obj_upload_in in = {.bucket = STR("bkt"), .key = STR("k"), .owner = STR("you")};
    in.meta = (struct obj_meta){.content_type = STR("a/b"),
                                .user = &user,
                                .nuser = 1,
                                .tags = &tag,
                                .ntags = 1,
                                .storage_class = STR("GLACIER_IR")};
    assert_int_equal(upload_create(w.o, w.a, &in, &u), ERR_OK);
    struct upload_complete_part p = {.number = 1};
    assert_int_equal(up_part(&w, "k", u.upload_id, 1, up_data(&w, 1, 10), &p.etag), ERR_OK);
    assert_int_equal(up_done(&w, "k", u.upload_id, &p, 1, &i), ERR_OK);
    assert_true(i.version_id.n == VID_TEXT && str_eq(i.meta.content_type, STR("a/b")) && i.meta.nuser == 1 &&
                i.meta.ntags == 1);
    assert_true(str_eq(i.meta.storage_class, STR("GLACIER_IR")) && str_eq(i.owner, STR("you")));
    assert_true(reads(&w, "bkt", "k", old.version_id, "old"));
    put(&w, "bkt", "k", "new");
    err e = get_err(&w, "bkt", "k", i.version_id); /* a multipart version behind the current one */
    assert_int_equal(e, ERR_OK);
    del(&w, "bkt", "k", i.version_id);
    assert_int_equal(world_blobs(&w), 2);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_main_path),
        cmocka_unit_test(test_bad_lists),
        cmocka_unit_test(test_resend_and_abort),
        cmocka_unit_test(test_checksums),
        cmocka_unit_test(test_many_parts),
        cmocka_unit_test(test_fifty_terabytes),
        cmocka_unit_test(test_reader_holds_all_parts),
        cmocka_unit_test(test_list_parts),
        cmocka_unit_test(test_list_uploads),
        cmocka_unit_test(test_marks_are_swept),
        cmocka_unit_test(test_meta_and_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
