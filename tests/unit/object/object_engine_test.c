/* Objects on the engine: a crowd of fibers does everything at once to a few keys, then the store is closed
 * and checked, every byte of it. */
#include "conformance/store_engine.h"
#include "multi.h"

enum { FIBERS = 12, STEPS = 40 };

struct crowd {
    struct objects *o;
    struct rt *rt;
    struct rt_sem done;
    struct store store;
    unsigned next, good;
};

static const char *const keys[] = {"a", "a/b", "c", "d"};

static struct str some_data(struct arena *a, unsigned *seed)
{
    static const size_t sizes[] = {0, 100, 5000, 70000, 1500000};
    size_t n = sizes[(unsigned)rand_r(seed) % 5];
    char *p = arena_alloc_raw(a, n + 1);
    memset(p, (int)((unsigned)rand_r(seed) % 26 + 'a'), n);
    return str_of(p, n);
}

static err put_some(struct crowd *c, struct arena *a, struct str key, unsigned *seed)
{
    struct str data = some_data(a, seed);
    struct obj_put_in in = {.bucket = STR("bkt"), .key = key, .owner = STR("me"), .size = (int64_t)data.n};
    struct obj_info o;
    return obj_put(c->o, a, &in, body_of_bytes(a, data), &o);
}

/* All of one letter, as every object here is. */
static err read_some(struct crowd *c, struct arena *a, struct str key)
{
    struct obj_get_in in = {.bucket = STR("bkt"), .key = key};
    struct obj_get_out g;
    uint64_t n = 0;
    char first = 0;
    err e = obj_get(c->o, a, &in, &g);
    if (e) return e == ERR_NO_SUCH_KEY ? ERR_OK : e;
    for (;;) {
        struct str v;
        e = body_next(g.body, &v);
        if (e || v.n == 0) break;
        if (n == 0) first = v.p[0];
        CHECK(v.p[0] == first && memcmp(v.p, v.p + 1, v.n - 1) == 0);
        n += v.n;
    }
    body_close(g.body);
    CHECK(e || n == g.length);
    return e;
}

static err copy_some(struct crowd *c, struct arena *a, struct str from, struct str to)
{
    struct obj_copy_in in = {.src_bucket = STR("bkt"),
                             .src_key = from,
                             .bucket = STR("bkt"),
                             .key = to,
                             .changes_something = true};
    struct obj_copy_out out;
    err e = obj_copy(c->o, a, &in, &out);
    return e == ERR_NO_SUCH_KEY ? ERR_OK : e;
}

static err delete_some(struct crowd *c, struct arena *a, struct str key, bool for_good)
{
    struct obj_delete_in in = {.bucket = STR("bkt"), .key = key};
    struct obj_delete_out out;
    struct obj_get_in look = {.bucket = STR("bkt"), .key = key, .head = true};
    struct obj_get_out g;
    if (for_good && obj_get(c->o, a, &look, &g) == ERR_OK) in.version_id = g.info.version_id;
    return obj_delete(c->o, a, &in, &out);
}

/* Two parts by copy, one by body; completed or aborted. All of one letter, or it is aborted. */
static err upload_some(struct crowd *c, struct arena *a, struct str key, unsigned *seed)
{
    struct obj_upload_in up = {.bucket = STR("bkt"), .key = key};
    struct obj_upload_info u;
    struct obj_part_info p;
    struct obj_info o;
    err e = upload_create(c->o, a, &up, &u);
    if (e) return e;
    char *bytes = arena_alloc_raw(a, 90000);
    memset(bytes, 'q', 90000);
    struct upload_complete_part list[3];
    for (unsigned i = 0; !e && i < 3; i++) {
        struct obj_put_in in = {.bucket = up.bucket, .key = key, .size = 30000};
        e = upload_part(c->o, a, u.upload_id, i + 1, &in, body_of_bytes(a, str_of(bytes, 30000)), &p);
        list[i] = (struct upload_complete_part){.number = i + 1, .etag = p.etag};
    }
    if (!e && rand_r(seed) % 4 == 0) return upload_abort(c->o, a, up.bucket, key, u.upload_id);
    struct upload_complete_in in = {
        .bucket = up.bucket, .key = key, .upload_id = u.upload_id, .parts = list, .n = 3};
    return e ? e : upload_complete(c->o, a, &in, &o);
}

static err step(struct crowd *c, struct arena *a, unsigned *seed)
{
    struct str key = str_c(keys[(unsigned)rand_r(seed) % 4]), other = str_c(keys[(unsigned)rand_r(seed) % 4]);
    switch ((unsigned)rand_r(seed) % 8) {
    case 0:
    case 1:
        return put_some(c, a, key, seed);
    case 2:
        return copy_some(c, a, key, other);
    case 3:
        return delete_some(c, a, key, false);
    case 4:
        return delete_some(c, a, key, true);
    case 5:
        return upload_some(c, a, key, seed);
    default:
        return read_some(c, a, key);
    }
}

static void one_of_many(void *arg)
{
    struct crowd *c = arg;
    unsigned seed = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < STEPS; i++) {
        struct arena *a = arena_new(0);
        err e = step(c, a, &seed);
        CHECK(e == ERR_OK || e == ERR_SLOW_DOWN);
        if (!e) __atomic_fetch_add(&c->good, 1, __ATOMIC_RELAXED);
        arena_free(a);
    }
    rt_sem_give(&c->done, 1);
}

static void fiber(void *arg)
{
    struct crowd *c = arg;
    engine_dir_open(&c->store, NULL);
    struct objects_options oo = {.store = &c->store, .min_part_size = 1};
    CHECK(objects_new(&oo, &c->o) == ERR_OK);
    for (unsigned round = 0; round < 3; round++) {
        struct arena *a = arena_new(0);
        if (round == 0) CHECK(bucket_create(c->o, a, STR("bkt"), STR("me"), STR("r")) == ERR_OK);
        if (round == 1) CHECK(bucket_set_versioning(c->o, a, STR("bkt"), VERSIONING_ENABLED) == ERR_OK);
        if (round == 2) CHECK(bucket_set_versioning(c->o, a, STR("bkt"), VERSIONING_SUSPENDED) == ERR_OK);
        arena_free(a);
        for (unsigned i = 0; i < FIBERS; i++)
            CHECK(rt_spawn(rt_loop_at(c->rt, i % rt_loops(c->rt)), "crowd", one_of_many, c));
        CHECK(rt_sem_take(&c->done, FIBERS, RT_FOREVER));
    }
    objects_free(c->o);
    engine_close(&c->store);
    rt_stop(c->rt);
}

static void test_crowd(void **state)
{
    (void)state;
    struct crowd c = {0};
    struct rt_options opt = {.loops = 2};
    engine_dir_make();
    assert_int_equal(rt_new(&opt, &c.rt), ERR_OK);
    rt_sem_init(&c.done, 0);
    assert_true(rt_spawn(rt_loop_at(c.rt, 0), "test", fiber, &c));
    rt_run(c.rt);
    rt_free(c.rt);
    assert_true(c.good > FIBERS * STEPS * 3 * 9 / 10);
    struct check_options co = {.dir = engine_dir, .deep = true, .entry = objects_check_entry};
    struct check_report report;
    char why[512] = "";
    assert_int_equal(engine_check(&co, &report, why), ERR_OK);
    if (report.lines.n) print_message("%.*s\n", (int)report.lines.n, report.lines.p);
    assert_true(report.entries > 0 && report.blobs > 0);
    assert_true(report.bad_records + report.missing_blobs + report.corrupt_blobs + report.wrong_refcounts +
                    report.unreferenced_blobs + report.wrong_counters + report.log_errors ==
                0);
    buf_free(&report.lines);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crowd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
