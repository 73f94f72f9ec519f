/* The formats: what is written reads back, what is not understood is refused or kept, what is damaged is an
 * error. Writes the seeds of the fuzz target when a folder is named: object_record_test DIR. */
#include "base/codec.h"
#include "world.h"

static struct rec sample(struct arena *a)
{
    struct rec r = {
        .kind = REC_OBJECT, .flags = REC_NULL, .modified_ms = 1234567890123, .size = 300, .crc64xz = 77};
    struct obj_pair user[] = {{STR("a"), STR("b")}, {STR("c"), STR("")}};
    struct obj_meta m = {
        .content_type = STR("text/plain"), .user = user, .nuser = 2, .tags = user, .ntags = 1};
    struct obj_checksums sums = {.bits = HASH_BIT(HASH_SHA256) | HASH_BIT(HASH_CRC32), .parts = 3};
    struct piece pieces[] = {{1, 0, 100}, {2, 50, 200}};
    sums.type[HASH_SHA256] = CHECKSUM_COMPOSITE;
    sums.value[HASH_SHA256].b[31] = 9;
    r.vid = (struct vid){.order = 42, .rand = {1, 2, 3, 4, 5, 6, 7, 8}};
    CHECK(rec_set_meta(a, &r, &m) == ERR_OK);
    r.f[REC_OWNER] = STR("me");
    r.f[REC_SUMS] = sums_encode(a, &sums);
    r.f[REC_PIECES] = pieces_encode(a, pieces, 2);
    r.f[REC_OLD_NULL] = vid_encode(a, &r.vid);
    return r;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    struct rec r = sample(a), got;
    struct obj_meta m;
    struct obj_checksums sums;
    struct piece *p;
    struct vid v;
    size_t n;
    struct str bytes = rec_encode(a, &r);
    assert_int_equal(rec_decode(bytes, &got), ERR_OK);
    assert_true(got.kind == REC_OBJECT && rec_is_null(&got) && got.modified_ms == r.modified_ms &&
                got.size == 300);
    assert_true(got.crc64xz == 77 && vid_eq(&got.vid, &r.vid) && got.tail.p == NULL);
    assert_int_equal(rec_get_meta(a, &got, &m), ERR_OK);
    assert_true(str_eq(m.content_type, STR("text/plain")) && m.nuser == 2 && m.ntags == 1 &&
                str_eq(m.user[1].name, STR("c")));
    assert_int_equal(sums_decode(got.f[REC_SUMS], &sums), ERR_OK);
    assert_true(sums.parts == 3 && sums.type[HASH_SHA256] == CHECKSUM_COMPOSITE &&
                sums.value[HASH_SHA256].b[31] == 9);
    assert_true(sums.bits == (HASH_BIT(HASH_SHA256) | HASH_BIT(HASH_CRC32)) &&
                sums.type[HASH_CRC32] == CHECKSUM_FULL_OBJECT);
    assert_int_equal(pieces_decode(a, got.f[REC_PIECES], &p, &n), ERR_OK);
    assert_true(n == 2 && p[1].blob == 2 && p[1].off == 50 && p[1].len == 200);
    assert_int_equal(vid_decode(got.f[REC_OLD_NULL], &v), ERR_OK);
    assert_true(vid_eq(&v, &r.vid));
    arena_free(a);
}

/* Appends a field as a newer program would. */
static struct str with_field(struct arena *a, struct str rec, unsigned tag, bool must, struct str value)
{
    struct buf b;
    buf_init(&b, 0);
    buf_str(&b, rec);
    buf_varint(&b, tag << 1 | must);
    buf_lenstr(&b, value);
    struct str out = arena_dup(a, buf_view(&b));
    buf_free(&b);
    return out;
}

static void test_newer_formats(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    struct rec r = sample(a), got;
    struct str bytes = rec_encode(a, &r);
    /* unknown and optional: kept, byte for byte; also reserved ones */
    struct str more =
        with_field(a, with_field(a, bytes, REC_RESTORE, false, STR("ongoing")), 200, false, STR("new"));
    more = with_field(a, more, 300, false, STR(""));
    assert_int_equal(rec_decode(more, &got), ERR_OK);
    assert_true(str_eq(rec_encode(a, &got), more));
    assert_true(str_eq(got.f[REC_RESTORE], STR("ongoing")));
    /* unknown and needed: refused */
    assert_int_equal(rec_decode(with_field(a, bytes, 200, true, STR("x")), &got), ERR_UNSUPPORTED_FORMAT);
    assert_int_equal(rec_decode(with_field(a, bytes, REC_ENCRYPTION, true, STR("x")), &got),
                     ERR_UNSUPPORTED_FORMAT);
    char *copy = arena_alloc(a, bytes.n);
    memcpy(copy, bytes.p, bytes.n);
    copy[0] = 2;
    assert_int_equal(rec_decode(str_of(copy, bytes.n), &got), ERR_UNSUPPORTED_FORMAT);
    copy[0] = 1;
    copy[2] |= 0x40;
    assert_int_equal(rec_decode(str_of(copy, bytes.n), &got), ERR_UNSUPPORTED_FORMAT);
    copy[2] &= ~0x40;
    copy[3] = 0x40; /* an optional flag */
    assert_int_equal(rec_decode(str_of(copy, bytes.n), &got), ERR_OK);
    assert_true(str_eq(rec_encode(a, &got), str_of(copy, bytes.n)));
    copy[1] = 77;
    assert_int_equal(rec_decode(str_of(copy, bytes.n), &got), ERR_UNSUPPORTED_FORMAT);
    arena_free(a);
}

static void test_damage(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    struct rec r = sample(a), got;
    struct str bytes = rec_encode(a, &r);
    unsigned fine = 0;
    for (size_t n = 0; n < bytes.n; n++) fine += rec_decode(str_of(bytes.p, n), &got) == ERR_OK;
    assert_true(fine <= 8); /* only cuts between fields can decode */
    assert_int_equal(rec_decode(with_field(a, bytes, REC_OWNER, false, STR("again")), &got), ERR_CORRUPT);
    assert_int_equal(rec_decode(with_field(a, bytes, REC_PIECES, false, STR("x")), &got), ERR_CORRUPT);
    struct obj_checksums sums;
    assert_int_equal(sums_decode(STR("\0\x09\0abcd"), &sums), ERR_UNSUPPORTED_FORMAT);
    assert_int_equal(sums_decode(STR("\0\x01\0abc"), &sums), ERR_CORRUPT);
    struct piece *p;
    size_t n;
    assert_int_equal(pieces_decode(a, STR("\x05\x01\0\x01"), &p, &n), ERR_CORRUPT);
    assert_int_equal(pieces_decode(a, STR("\x01\x01\0\0"), &p, &n), ERR_CORRUPT);
    struct guard g;
    assert_int_equal(guard_decode(STR("\x02\x01\0\0\0\0\0\0\0\0\0\0\0"), &g), ERR_UNSUPPORTED_FORMAT);
    assert_int_equal(guard_decode(STR("\x01\x01\x01\0\0\0\0\0\0\0\0\0\0"), &g), ERR_UNSUPPORTED_FORMAT);
    assert_int_equal(guard_decode(STR("\x01"), &g), ERR_CORRUPT);
    arena_free(a);
}

static void test_tables(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct arena *a = arena_new(0);
    struct part *parts = ARENA_ARRAY(a, struct part, (size_t)N);
    struct vid id = {.order = 9};
    struct str *chunks, directory;
    unsigned count;
    struct table t;
    for (unsigned i = 0; i < N; i++) {
        parts[i] = (struct part){.number = i * 2 + 1, .size = 10 + i, .crc64xz = i, .modified_ms = i};
        parts[i].pieces = ARENA_NEW(a, struct piece);
        *parts[i].pieces = (struct piece){i + 1, i, 10 + i};
        parts[i].npieces = 1;
    }
    assert_int_equal(table_encode(a, &id, parts, N, &chunks, &count, &directory), ERR_OK);
    assert_true(count > 3 && count < 60);
    assert_int_equal(table_decode(a, directory, &t), ERR_OK);
    assert_true(t.nchunks == count && vid_eq(&t.id, &id));
    uint64_t off = 0;
    unsigned at = 0;
    for (unsigned c = 0; c < count; c++) {
        struct part *got;
        size_t n;
        assert_true(chunks[c].n <= TABLE_CHUNK);
        assert_int_equal(chunk_decode(a, chunks[c], &got, &n), ERR_OK);
        assert_true(t.first_number[c] == got[0].number && t.first_off[c] == off);
        for (size_t i = 0; i < n; i++, at++) {
            assert_true(got[i].number == parts[at].number && got[i].size == parts[at].size &&
                        got[i].pieces[0].blob == at + 1);
            assert_int_equal(table_chunk_of(&t, got[i].number), c);
            assert_int_equal(table_chunk_at(&t, off), c);
            off += got[i].size;
        }
    }
    assert_int_equal(at, N);
    assert_int_equal(table_chunk_at(&t, UINT64_MAX), count - 1);
    arena_free(a);
}

static void test_ids(void **state)
{
    (void)state;
    struct vid v = vid_new(0), w = vid_new(v.order + 1000000000000u), got;
    char text[VID_TEXT + 1];
    assert_true(w.order == v.order + 1000000000001u && !vid_eq(&v, &w));
    vid_text(&v, text);
    assert_true(vid_parse(str_c(text), &got) && vid_eq(&got, &v));
    assert_false(vid_parse(str_of(text, 31), &got));
    text[20] = 'A'; /* one spelling only */
    assert_false(vid_parse(str_c(text), &got));
    assert_false(vid_parse(STR("00000000000000000000000000000000"), &got));
    /* noncurrent versions sort newest first, and keys by bytes whatever follows them */
    struct key older, newer, next;
    key_of_version(&older, 7, STR("k"), &v);
    key_of_version(&newer, 7, STR("k"), &w);
    key_of_version(&next, 7, STR("k\x01"), &w);
    assert_true(str_cmp(key_str(&newer), key_str(&older)) < 0 &&
                str_cmp(key_str(&older), key_str(&next)) < 0);
    struct str key;
    assert_true(key_split_version(key_str(&newer), &key, &got) && str_eq(key, STR("k")) && vid_eq(&got, &w));
    struct key last = {.n = 3, .b = "a\xff\xff"};
    assert_true(key_beyond(&last) && str_eq(key_str(&last), STR("b")));
}

/* ---- seeds ---- */

static void seed(const char *dir, const char *name, char kind, struct str bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    CHECK(f);
    fputc(kind, f);
    CHECK(fwrite(bytes.p, 1, bytes.n, f) == bytes.n);
    fclose(f);
}

static void write_seeds(const char *dir)
{
    struct arena *a = arena_new(0);
    struct rec r = sample(a);
    struct piece piece = {5, 0, 10};
    struct part parts[2] = {{.number = 1, .size = 10, .pieces = &piece, .npieces = 1}, {.number = 3}};
    struct str *chunks, directory;
    unsigned count;
    struct guard g = {.versioning = VERSIONING_ENABLED};
    struct bucket_rec b = {.id = 3, .owner = STR("me"), .region = STR("r")};
    seed(dir, "object", 0, rec_encode(a, &r));
    CHECK(table_encode(a, &r.vid, parts, 2, &chunks, &count, &directory) == ERR_OK);
    seed(dir, "chunk", 1, chunks[0]);
    r.f[REC_TABLE] = directory;
    r.f[REC_PIECES] = STR_NONE;
    r.parts = 2;
    seed(dir, "multipart", 0, rec_encode(a, &r));
    r.kind = REC_UPLOAD;
    r.f[REC_UPLOAD_SUM] = upload_sum_encode(a, HASH_SHA256, CHECKSUM_COMPOSITE);
    seed(dir, "upload", 0, rec_encode(a, &r));
    struct key k;
    key_of_current(&k, 1, STR("k"));
    r.kind = REC_OBJECT;
    struct str value = rec_encode(a, &r);
    char *entry = arena_alloc(a, 1 + k.n + value.n);
    entry[0] = (char)k.n;
    memcpy(entry + 1, k.b, k.n);
    memcpy(entry + 1 + k.n, value.p, value.n);
    seed(dir, "entry", 2, str_of(entry, 1 + k.n + value.n));
    seed(dir, "guard", 3, guard_encode(a, &g));
    seed(dir, "bucket", 3, bucket_rec_encode(a, &b));
    arena_free(a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_newer_formats),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_tables),
        cmocka_unit_test(test_ids),
    };
    if (argc > 1) write_seeds(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
