/* The bytes of docs/format/extents.md: fixed, salted, and lengths that agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "store/extents_format.h"

static const struct ext_head sample = {
    .flags = EXT_F_SEALED | EXT_F_LAST,
    .file = 7,
    .part = 2,
    .owner_len = 100,
    .offset = 8192,
    .blob_id = 12345,
    .blob_off = 1000,
    .blob_size = 21000,
    .data_len = 20000,
    .disk_len = 4096 + 20480,
    .meta_hash = 99,
    .created_ms = 1700000000000,
};

static void test_round_trip(void **state)
{
    (void)state;
    unsigned char p[EXT_HEADER];
    struct ext_head h;
    ext_head_encode(&sample, 55, p);
    assert_int_equal(ext_head_decode(p, 7, 55, 8192, &h), ERR_OK);
    assert_memory_equal(&h, &sample, sizeof h);
    struct ext_file_head fh = {.number = 9, .cls = EXT_LARGE, .final = true, .seed = 1, .created_ms = 5},
                         back;
    unsigned char page[EXT_ALIGN];
    ext_file_head_encode(&fh, page);
    assert_int_equal(ext_file_head_decode(page, 9, &back), ERR_OK);
    assert_true(back.number == 9 && back.cls == EXT_LARGE && back.final && back.seed == 1 &&
                back.created_ms == 5);
    assert_int_equal(ext_file_head_decode(page, 10, &back), ERR_CORRUPT);
}

/* What is on disk today is read by every later version: these bytes never change. */
static void test_fixed_bytes(void **state)
{
    (void)state;
    unsigned char p[EXT_HEADER];
    char hex[2 * EXT_HEADER + 1];
    ext_head_encode(&sample, 55, p);
    hex_encode(p, sizeof p, hex);
    assert_string_equal(hex, "494e474f54455854010080000300000007000000020000000020000000000000"
                             "3930000000000000e8030000000000000852000000000000204e000000000000"
                             "0060000000000000640000000e01000063000000000000000068e5cf8b010000"
                             "00000000000000000000000000000000000000000000000020fd9f6e278aff00");
    char data[] = "0123456789";
    assert_int_equal(ext_block_hash(1, 2, 3, data, 10), 0x1350bd4a4464a7cull);
    assert_int_equal(ext_meta_hash(&sample, 55, data, 10), 0xc7c3edf1dd3c6c73ull);
}

/* Another file, place, blob, block or seed: another checksum. */
static void test_salts(void **state)
{
    (void)state;
    unsigned char p[EXT_HEADER];
    struct ext_head h;
    ext_head_encode(&sample, 55, p);
    assert_int_equal(ext_head_decode(p, 7, 56, 8192, &h), ERR_CORRUPT);
    assert_int_equal(ext_head_decode(p, 8, 55, 8192, &h), ERR_CORRUPT);
    assert_int_equal(ext_head_decode(p, 7, 55, 12288, &h), ERR_CORRUPT);
    memset(p, 0, sizeof p);
    assert_int_equal(ext_head_decode(p, 7, 55, 8192, &h), ERR_NOT_FOUND);
    char data[EXT_BLOCK] = "bytes";
    uint64_t one = ext_block_hash(1, 0, 0, data, sizeof data);
    assert_int_not_equal(one, ext_block_hash(2, 0, 0, data, sizeof data));
    assert_int_not_equal(one, ext_block_hash(1, 1, 0, data, sizeof data));
    assert_int_not_equal(one, ext_block_hash(1, 0, 1, data, sizeof data));
    assert_int_not_equal(one, ext_block_hash(1, 0, 0, data, sizeof data - 1));
    h = sample;
    h.blob_id++;
    assert_int_not_equal(ext_meta_hash(&sample, 55, data, 10), ext_meta_hash(&h, 55, data, 10));
    assert_int_not_equal(ext_meta_hash(&sample, 55, data, 10), ext_meta_hash(&sample, 56, data, 10));
}

static err decode_changed(void (*change)(struct ext_head *h))
{
    unsigned char p[EXT_HEADER];
    struct ext_head h = sample;
    change(&h);
    ext_head_encode(&h, 55, p);
    return ext_head_decode(p, 7, 55, 8192, &h);
}

static void longer(struct ext_head *h)
{
    h->disk_len += 4096;
}
static void huge_data(struct ext_head *h)
{
    h->data_len = EXT_DATA_MAX + 1;
    h->blob_size = h->blob_off + h->data_len;
    h->disk_len = ext_disk_len(h->data_len, h->owner_len);
}
static void huge_owner(struct ext_head *h)
{
    h->owner_len = EXT_OWNER_MAX + 1;
    h->disk_len = ext_disk_len(h->data_len, h->owner_len);
}
static void wrong_size(struct ext_head *h)
{
    h->blob_size++;
}
static void open_ragged(struct ext_head *h)
{
    h->flags = 0;
    h->disk_len = 5000;
}
static void open_huge(struct ext_head *h)
{
    h->flags = 0;
    h->disk_len = EXT_OPEN_MAX + 4096;
}
static void inside(struct ext_head *h, uint64_t data_len, uint64_t disk_len)
{
    h->flags |= EXT_F_INSIDE;
    h->blob_off = 0;
    h->data_len = h->blob_size = data_len;
    h->disk_len = disk_len;
}
static void inside_whole(struct ext_head *h)
{
    inside(h, EXT_META_ROOM - 8 - h->owner_len, EXT_HEAD);
}
static void inside_too_long(struct ext_head *h)
{
    inside(h, EXT_META_ROOM - 8 - h->owner_len + 1, EXT_HEAD);
}
static void inside_of_two_pages(struct ext_head *h)
{
    inside(h, 100, 2 * EXT_HEAD);
}
static void inside_huge(struct ext_head *h)
{
    inside(h, (uint64_t)-8, EXT_HEAD);
}
static void new_flag(struct ext_head *h)
{
    h->flags |= 8;
}

/* A checksum that holds does not make lengths true. */
static void test_lengths(void **state)
{
    (void)state;
    assert_int_equal(decode_changed(longer), ERR_CORRUPT);
    assert_int_equal(decode_changed(huge_data), ERR_CORRUPT);
    assert_int_equal(decode_changed(huge_owner), ERR_CORRUPT);
    assert_int_equal(decode_changed(wrong_size), ERR_CORRUPT);
    assert_int_equal(decode_changed(open_ragged), ERR_CORRUPT);
    assert_int_equal(decode_changed(open_huge), ERR_CORRUPT);
    assert_int_equal(decode_changed(inside_whole), ERR_OK);
    assert_int_equal(decode_changed(inside_too_long), ERR_CORRUPT);
    assert_int_equal(decode_changed(inside_of_two_pages), ERR_CORRUPT);
    assert_int_equal(decode_changed(inside_huge), ERR_CORRUPT);
    assert_int_equal(decode_changed(new_flag), ERR_UNSUPPORTED_FORMAT);
    assert_int_equal(ext_disk_len(0, 0), 4096);
    assert_int_equal(ext_disk_len(1, 0), 8192);
    assert_int_equal(ext_disk_len(0, EXT_META_ROOM), 4096);
    assert_int_equal(ext_disk_len(0, EXT_META_ROOM + 1), 8192);
    assert_int_equal(ext_disk_len(EXT_DATA_MAX, 0), 4096 + EXT_DATA_MAX + 131072);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_fixed_bytes),
        cmocka_unit_test(test_salts),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
