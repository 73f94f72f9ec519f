/* Regression 1: collection of the log read the last bodies of a segment after it had given the segment's
 * memory back. Many small blobs on a small log: segments are collected in between; every blob reads back,
 * also after opening again. */
#include "conformance/store_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BLOBS 3000u
#define SIZE  4096u

static void fill(char out[SIZE], unsigned i)
{
    for (unsigned k = 0; k < SIZE; k++) out[k] = (char)(i * 31 + k * 7 + (k >> 8));
}

static void put_one(struct store *s, unsigned i, uint64_t *id)
{
    char body[SIZE], key[8 + 4];
    struct blob_writer *w;
    struct arena *a = arena_new(0);
    fill(body, i);
    assert_int_equal(blob_create(s->blobs, SIZE, &w), ERR_OK);
    assert_int_equal(blob_write(w, body, SIZE), ERR_OK);
    assert_int_equal(blob_seal(w, STR("owner")), ERR_OK);
    *id = blob_writer_id(w);
    put_be64(key, 1);
    put_be32(key + 8, i);
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
    idx_txn_put(t, str_of(key, sizeof key), STR("value"));
    idx_txn_publish(t, w);
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_OK);
    arena_free(a);
}

static void read_one(struct store *s, unsigned i, uint64_t id)
{
    char body[SIZE];
    struct blob_reader *r;
    uint64_t off = 0;
    fill(body, i);
    assert_int_equal(blob_open(s->blobs, id, &r), ERR_OK);
    assert_int_equal(blob_size(r), SIZE);
    while (off < SIZE) {
        struct str v;
        assert_int_equal(blob_view(r, off, SIZE - off, &v), ERR_OK);
        assert_memory_equal(v.p, body + off, v.n);
        off += v.n;
    }
    blob_close(r);
}

static void bodies_survive_collection(void **state)
{
    (void)state;
    static uint64_t id[BLOBS];
    struct store s;
    struct engine_stats stats;
    struct engine_options o = {
        .log_bytes = 4 << 20, .segment_bytes = 1 << 20, .inline_max = 64 << 10, .blob_cache = 1};
    engine_dir_make();
    engine_dir_open(&s, &o);
    for (unsigned i = 0; i < BLOBS; i++) put_one(&s, i, &id[i]);
    engine_get_stats(&s, &stats);
    assert_true(stats.log_collected > 0);
    for (unsigned i = 0; i < BLOBS; i++) read_one(&s, i, id[i]);
    engine_close(&s);
    engine_dir_open(&s, &o);
    for (unsigned i = 0; i < BLOBS; i++) read_one(&s, i, id[i]);
    engine_close(&s);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bodies_survive_collection)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
