/* Races: many fibers on several loops against one key, one upload, one bucket. Whatever the order, the rules
 * hold and the audit at the end finds every reference and counter right. */
#include "multi.h"

enum { FIBERS = 24, ROUNDS = 6, SEEDS = 10 };

struct race {
    struct world w;
    struct rt *rt;
    struct rt_sem done;
    void (*one)(struct race *r, unsigned i);
    unsigned next, wins, round;
    struct str id, etag[4];
};

struct runner {
    struct race *r;
    void (*body)(struct race *r);
    bool must_conflict; /* in simulation, where it is certain: without a conflict the test proves nothing */
};

/* ---- a store that lets others run at every call, so that reads and commits of different fibers interleave
 * ---- */

static unsigned conflicts;

static void elsewhere(void)
{
    uint8_t r;
    sys->random(&r, 1);
    if (!rt_fiber_self()) return;
    if (r % 4 == 0) rt_sleep(r * 1000);
    for (unsigned n = r % 8; n > 0; n--) rt_yield();
}

static err shaky_get(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq)
{
    elsewhere();
    err e = memory_idx_ops.get(x, a, key, value, seq);
    elsewhere();
    return e;
}

static err shaky_scan(struct idx *x, const struct idx_range *r, idx_scan_fn *fn, void *arg)
{
    elsewhere();
    err e = memory_idx_ops.scan(x, r, fn, arg);
    elsewhere();
    return e;
}

static err shaky_commit(struct idx *x, struct idx_txn *t, uint64_t *seq)
{
    elsewhere();
    err e = memory_idx_ops.commit(x, t, seq);
    if (e == ERR_CONFLICT) __atomic_fetch_add(&conflicts, 1, __ATOMIC_RELAXED);
    elsewhere();
    return e;
}

static err shaky_open(struct blobs *b, uint64_t id, struct blob_reader **out)
{
    elsewhere();
    return memory_blob_ops.open(b, id, out);
}

static void shake(struct world *w)
{
    static struct idx_ops idx;
    static struct blob_ops blobs;
    idx = memory_idx_ops;
    idx.get = shaky_get;
    idx.scan = shaky_scan;
    idx.commit = shaky_commit;
    blobs = memory_blob_ops;
    blobs.open = shaky_open;
    w->store.idx->ops = &idx;
    w->store.blobs->ops = &blobs;
}

static void racer(void *arg)
{
    struct race *r = arg;
    r->one(r, __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED));
    rt_sem_give(&r->done, 1);
}

/* n fibers, spread over the loops, from here to the end of all. */
static void run_all(struct race *r, unsigned n, void (*one)(struct race *r, unsigned i))
{
    r->one = one;
    r->next = r->wins = 0;
    for (unsigned i = 0; i < n; i++)
        CHECK(rt_spawn(rt_loop_at(r->rt, i % rt_loops(r->rt)), "racer", racer, r));
    CHECK(rt_sem_take(&r->done, n, RT_FOREVER));
}

static void fiber(void *arg)
{
    struct runner *u = arg;
    world_begin(&u->r->w);
    shake(&u->r->w);
    conflicts = 0;
    mk(&u->r->w, "bkt");
    u->body(u->r);
    CHECK(conflicts > 0 || !u->must_conflict);
    world_end(&u->r->w);
    rt_stop(u->r->rt);
}

static void run_on(enum rt_backend backend, uint64_t seed, void (*body)(struct race *r))
{
    struct race r = {.wins = 0};
    struct runner u = {&r, body, backend == RT_SIM};
    struct rt_options opt = {.backend = backend, .loops = 2, .seed = seed};
    assert_int_equal(rt_new(&opt, &r.rt), ERR_OK);
    rt_sem_init(&r.done, 0);
    assert_true(rt_spawn(rt_loop_at(r.rt, 0), "test", fiber, &u));
    rt_run(r.rt);
    rt_free(r.rt);
}

/* ---- N racing If-None-Match:* : one wins, the others are told ---- */

static err put_here(struct race *r, const char *key, unsigned i, struct obj_cond cond)
{
    char data[32];
    snprintf(data, sizeof data, "by %u", i);
    return put_cond(&r->w, "bkt", str_c(key), str_c(data), cond, NULL);
}

static void create_once(struct race *r, unsigned i)
{
    char key[16];
    snprintf(key, sizeof key, "once %u", r->round);
    err e = put_here(r, key, i, (struct obj_cond){.if_none_match = STR("*")});
    CHECK(e == ERR_OK || e == ERR_PRECONDITION_FAILED);
    if (!e) __atomic_fetch_add(&r->wins, 1, __ATOMIC_RELAXED);
}

static void body_create_once(struct race *r)
{
    for (r->round = 0; r->round < ROUNDS; r->round++) {
        run_all(r, FIBERS, create_once);
        CHECK(r->wins == 1);
    }
    CHECK(world_blobs(&r->w) == ROUNDS);
}

/* ---- compare and swap by If-Match: as many successes as distinct values seen ---- */

static void swap(struct race *r, unsigned i)
{
    (void)i;
    struct arena *a = arena_new(0);
    for (unsigned left = 3; left > 0;) {
        struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("counter")};
        struct obj_get_out g;
        struct str data;
        uint64_t n;
        arena_reset(a);
        CHECK(obj_get(r->w.o, a, &in, &g) == ERR_OK);
        CHECK(body_read_all(a, g.body, 100, &data) == ERR_OK && str_to_u64(data, &n));
        body_close(g.body);
        char next[24];
        snprintf(next, sizeof next, "%u", (unsigned)n + 1);
        err e = put_cond(&r->w, "bkt", STR("counter"), str_c(next),
                         (struct obj_cond){.if_match = g.info.etag}, NULL);
        CHECK(e == ERR_OK || e == ERR_PRECONDITION_FAILED);
        if (!e) left--;
    }
    arena_free(a);
}

static void body_swap(struct race *r)
{
    put(&r->w, "bkt", "counter", "0");
    run_all(r, 8, swap);
    CHECK(reads(&r->w, "bkt", "counter", STR_NONE, "24"));
}

/* ---- overwrites, deletions and reads of one key, versioned and not ---- */

static void churn(struct race *r, unsigned i)
{
    struct arena *a = arena_new(0);
    for (unsigned n = 0; n < 6; n++) {
        struct obj_delete_in d = {.bucket = STR("bkt"), .key = STR("hot"), .owner = STR("me")};
        struct obj_delete_out gone;
        struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("hot")};
        struct obj_get_out g;
        struct str data;
        arena_reset(a);
        if (i % 3 == 0) {
            CHECK(put_here(r, "hot", i, (struct obj_cond){0}) == ERR_OK);
        } else if (i % 3 == 1) {
            if (n % 2 == 1 &&
                obj_get(r->w.o, a, &(struct obj_get_in){.bucket = in.bucket, .key = in.key, .head = true},
                        &g) == ERR_OK)
                d.version_id = g.info.version_id; /* the version just seen, for good */
            CHECK(obj_delete(r->w.o, a, &d, &gone) == ERR_OK);
        } else {
            err e = obj_get(r->w.o, a, &in, &g);
            CHECK(e == ERR_OK || e == ERR_NO_SUCH_KEY);
            if (e) continue;
            rt_yield();
            CHECK(body_read_all(a, g.body, 100, &data) == ERR_OK && str_starts(data, STR("by ")));
            body_close(g.body);
        }
    }
    arena_free(a);
}

static void body_churn(struct race *r)
{
    static const enum versioning modes[] = {VERSIONING_OFF, VERSIONING_ENABLED, VERSIONING_SUSPENDED,
                                            VERSIONING_ENABLED};
    for (unsigned m = 0; m < 4; m++) {
        if (m) CHECK(bucket_set_versioning(r->w.o, r->w.a, STR("bkt"), modes[m]) == ERR_OK);
        run_all(r, FIBERS, churn);
        world_audit(&r->w);
    }
}

/* ---- Complete ‖ Abort ‖ UploadPart: one end, no torn object, nothing left over ---- */

static void end_upload(struct race *r, unsigned i)
{
    struct arena *a = arena_new(0);
    struct upload_complete_part list[2] = {{.number = 1, .etag = r->etag[0]},
                                           {.number = 2, .etag = r->etag[1]}};
    struct upload_complete_in in = {
        .bucket = STR("bkt"), .key = STR("k"), .upload_id = r->id, .parts = list, .n = 2};
    struct obj_put_in p = {.bucket = STR("bkt"), .key = STR("k"), .size = -1};
    struct obj_part_info info;
    struct obj_info o;
    char data[120];
    memset(data, (int)('a' + i), sizeof data);
    err e;
    switch (i % 4) {
    case 0:
        e = upload_complete(r->w.o, a, &in, &o);
        CHECK(e == ERR_OK || e == ERR_NO_SUCH_UPLOAD || e == ERR_INVALID_PART);
        if (!e) CHECK(o.size == 240 && o.parts == 2);
        break;
    case 1:
        e = upload_abort(r->w.o, a, STR("bkt"), STR("k"), r->id);
        CHECK(e == ERR_OK || e == ERR_NO_SUCH_UPLOAD);
        if (!e) __atomic_fetch_add(&r->wins, 1, __ATOMIC_RELAXED);
        break;
    default:
        e = upload_part(r->w.o, a, r->id, i % 4 == 2 ? 3 + i : 2, &p,
                        body_of_bytes(a, str_of(data, sizeof data)), &info);
        CHECK(e == ERR_OK || e == ERR_NO_SUCH_UPLOAD);
        break;
    }
    arena_free(a);
}

static void body_end_upload(struct race *r)
{
    for (r->round = 0; r->round < ROUNDS * 3; r->round++) {
        struct world *w = &r->w;
        err e;
        r->id = up_new(w, "k");
        CHECK(up_part(w, "k", r->id, 1, up_data(w, 1, 120), &r->etag[0]) == ERR_OK);
        CHECK(up_part(w, "k", r->id, 2, up_data(w, 2, 120), &r->etag[1]) == ERR_OK);
        run_all(r, 16, end_upload);
        CHECK(r->wins <= 1);
        /* the object is whole or it is not there */
        struct str data = up_read(w, "k", STR_NONE, 0, &e);
        CHECK(e == ERR_OK || e == ERR_NO_SUCH_KEY);
        if (!e) CHECK(data.n == 240 && memcmp(data.p, up_data(w, 1, 120).p, 120) == 0);
        if (r->wins == 1) CHECK(e == ERR_NO_SUCH_KEY);
        upload_abort(w->o, w->a, STR("bkt"), STR("k"), r->id);
        del(w, "bkt", "k", STR_NONE);
        world_audit(w);
        CHECK(world_blobs(w) == 0);
    }
}

/* ---- DeleteBucket against writes: either the write is refused or the bucket stays ---- */

static void bucket_race(struct race *r, unsigned i)
{
    struct arena *a = arena_new(0);
    char key[16];
    snprintf(key, sizeof key, "k%u", i);
    if (i % 6 == 0) {
        err e = bucket_delete(r->w.o, a, STR("target"));
        CHECK(e == ERR_OK || e == ERR_BUCKET_NOT_EMPTY || e == ERR_NO_SUCH_BUCKET);
    } else if (i % 6 == 1) {
        err e = bucket_create(r->w.o, a, STR("target"), STR("me"), STR("r"));
        CHECK(e == ERR_OK || e == ERR_BUCKET_OWNED);
    } else {
        err e = put_cond(&r->w, "target", str_c(key), STR("x"), (struct obj_cond){0}, NULL);
        CHECK(e == ERR_OK || e == ERR_NO_SUCH_BUCKET);
        if (e) goto out;
        /* what was stored is there, or was deleted by the one who stored it: nobody else does */
        struct obj_delete_in d = {.bucket = STR("target"), .key = str_c(key)};
        struct obj_get_in in = {.bucket = STR("target"), .key = str_c(key), .head = true};
        struct obj_get_out g;
        struct obj_delete_out gone;
        CHECK(obj_get(r->w.o, a, &in, &g) == ERR_OK);
        CHECK(obj_delete(r->w.o, a, &d, &gone) == ERR_OK);
    }
out:
    arena_free(a);
}

static void body_bucket(struct race *r)
{
    for (r->round = 0; r->round < ROUNDS * 2; r->round++) {
        mk(&r->w, "target");
        run_all(r, FIBERS, bucket_race);
        err e = bucket_delete(r->w.o, r->w.a, STR("target"));
        CHECK(e == ERR_OK || e == ERR_NO_SUCH_BUCKET);
        CHECK(objects_sweep(r->w.o) == ERR_OK);
        CHECK(world_audit(&r->w) == 3); /* id counter, name and guard of "bkt" */
    }
}

/* ---- copies while the source is replaced: the copy is one of the versions, whole ---- */

static void copy_race(struct race *r, unsigned i)
{
    struct arena *a = arena_new(0);
    struct obj_copy_out c;
    char to[16];
    snprintf(to, sizeof to, "copy %u", i);
    struct obj_copy_in in = {.src_bucket = STR("bkt"),
                             .src_key = STR("src"),
                             .bucket = STR("bkt"),
                             .key = str_c(to),
                             .want_sums = HASH_BIT(HASH_SHA1)};
    if (i % 2) {
        CHECK(put_here(r, "src", i, (struct obj_cond){0}) == ERR_OK);
    } else {
        CHECK(obj_copy(r->w.o, a, &in, &c) == ERR_OK);
        struct obj_get_in get_in = {.bucket = STR("bkt"), .key = str_c(to)};
        struct obj_get_out g;
        struct str data;
        struct hash_value sha;
        CHECK(obj_get(r->w.o, a, &get_in, &g) == ERR_OK && body_read_all(a, g.body, 100, &data) == ERR_OK);
        body_close(g.body);
        hash_once(HASH_SHA1, data.p, data.n, &sha);
        CHECK(memcmp(g.info.sums.value[HASH_SHA1].b, sha.b, 20) == 0);
    }
    arena_free(a);
}

static void body_copy(struct race *r)
{
    put(&r->w, "bkt", "src", "by nobody");
    for (unsigned i = 0; i < ROUNDS; i++) run_all(r, FIBERS, copy_race);
}

/* ---- version listings while the current version comes and goes: what stays is listed once ---- */

static void listing_race(struct race *r, unsigned i)
{
    struct arena *a = arena_new(0);
    for (unsigned n = 0; n < 8; n++) {
        arena_reset(a);
        if (i % 2) {
            struct obj_put_in p = {.bucket = STR("bkt"), .key = STR("v"), .size = 1};
            struct obj_info o;
            struct obj_delete_out gone;
            CHECK(obj_put(r->w.o, a, &p, body_of_bytes(a, STR("x")), &o) == ERR_OK);
            struct obj_delete_in d = {.bucket = STR("bkt"), .key = STR("v"), .version_id = o.version_id};
            CHECK(obj_delete(r->w.o, a, &d, &gone) == ERR_OK);
        } else {
            struct obj_list_in in = {.bucket = STR("bkt"), .prefix = STR("v"), .versions = true, .max = 1000};
            struct obj_list_out l;
            unsigned stable = 0;
            CHECK(obj_list(r->w.o, a, &in, &l) == ERR_OK);
            for (size_t k = 0; k < l.n; k++) stable += str_eq(l.items[k].version_id, r->id);
            CHECK(stable == 1 && l.items[0].is_latest);
        }
    }
    arena_free(a);
}

static void body_listing(struct race *r)
{
    CHECK(bucket_set_versioning(r->w.o, r->w.a, STR("bkt"), VERSIONING_ENABLED) == ERR_OK);
    r->id = put(&r->w, "bkt", "v", "stays").version_id;
    run_all(r, 8, listing_race);
}

#define RACE(name)                                                                                           \
    static void test_##name(void **state)                                                                    \
    {                                                                                                        \
        (void)state;                                                                                         \
        run_on(RT_EPOLL, 0, body_##name);                                                                    \
        for (uint64_t seed = 1; seed <= SEEDS; seed++) run_on(RT_SIM, seed, body_##name);                    \
    }
RACE(create_once)
RACE(swap)
RACE(churn)
RACE(end_upload)
RACE(bucket)
RACE(copy)
RACE(listing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_once), cmocka_unit_test(test_swap),   cmocka_unit_test(test_churn),
        cmocka_unit_test(test_end_upload),  cmocka_unit_test(test_bucket), cmocka_unit_test(test_copy),
        cmocka_unit_test(test_listing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
