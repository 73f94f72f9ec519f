/* Regression 15: a server killed in the middle of DeleteBucket of a bucket with many uploads in progress left
 * counters that said other than what was there (they went with the first keys), until the sweeper had
 * finished. The purge's own steps are needed, so its source is part of this program. */
#include "unit/object/world.h"
#include "object/bucket_purge.c"

enum { UPLOADS = 700 };

static uint64_t uploads_counted(struct world *w, uint64_t id)
{
    struct key k;
    struct str value;
    key_of_space(&k, id, KEY_COUNTERS);
    if (idx_get(w->o->idx, w->a, key_str(&k), &value, NULL) != ERR_OK) return 0;
    return get_le64(value.p + 8 * CNT_UPLOADS);
}

static void right_after_every_step(void **state)
{
    (void)state;
    struct world w;
    struct bref b;
    world_begin(&w);
    mk(&w, "bkt");
    CHECK(bucket_find(w.o, STR("bkt"), &b) == ERR_OK);
    for (int i = 0; i < UPLOADS; i++) {
        struct obj_upload_in in = {.bucket = STR("bkt"), .key = arena_fmt(w.a, "k%d", i), .owner = STR("me")};
        struct obj_upload_info out;
        CHECK(upload_create(w.o, w.a, &in, &out) == ERR_OK);
    }
    assert_int_equal(uploads_counted(&w, b.id), UPLOADS);
    assert_int_equal(mut_run_shard(w.o, b.id, kill, NULL, NULL), ERR_OK);
    unsigned before = world_audit(&w), steps = 0;
    uint64_t counted = UPLOADS;
    for (bool more = true; more; steps++) {
        assert_int_equal(mut_run_shard(w.o, b.id, purge_some, &more, NULL), ERR_OK);
        unsigned left = world_audit(&w); /* a server killed here leaves this */
        assert_true(more ? left < before : left == before);
        assert_true(uploads_counted(&w, b.id) <= counted);
        counted = uploads_counted(&w, b.id);
        before = left;
    }
    assert_true(steps > 2);
    assert_int_equal(counted, 0);
    assert_int_equal(mut_run_shard(w.o, b.id, drop_last, NULL, NULL), ERR_OK);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(right_after_every_step)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
