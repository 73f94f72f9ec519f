/* Long bodies: hashed on a worker beside the taking in. Digests and bytes are right for every way that a body
 * comes in pieces, and one that breaks off leaves nothing. */
#include "conformance/store_engine.h"
#include "object/lane.h"
#include "world.h"

struct chopped { /* gives views of odd lengths; fails at a place */
    struct body b;
    struct str all;
    size_t at, fail_at;
    unsigned seed;
};

static err chopped_next(struct body *b, struct str *out)
{
    struct chopped *c = (struct chopped *)b;
    if (c->at >= c->fail_at) return ERR_INCOMPLETE_BODY;
    size_t n = 1 + (unsigned)rand_r(&c->seed) % 100000;
    *out = str_slice(c->all, c->at, c->at + n);
    c->at += out->n;
    if (c->seed % 3 == 0) rt_yield();
    return ERR_OK;
}

static err chopped_read(struct body *b, char *p, size_t n, size_t *got)
{
    struct chopped *c = (struct chopped *)b;
    struct str v;
    err e = chopped_next(b, &v);
    if (e) return e;
    *got = v.n < n ? v.n : n;
    c->at -= v.n - *got;
    if (*got > 0) memcpy(p, v.p, *got);
    return ERR_OK;
}

static const struct body_ops chopped_ops = {"chopped", chopped_next, NULL, NULL};
static const struct body_ops read_ops = {"chopped", chopped_next, NULL, chopped_read}; /* without a copy */

struct test {
    struct world w;
    struct rt *rt;
    struct rt_sem done;
    bool engine; /* or in memory */
    struct str data;
    struct hash_value md5, sha;
    unsigned next;
};

static void put_long(void *arg)
{
    struct test *t = arg;
    unsigned i = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED);
    char key[16];
    snprintf(key, sizeof key, "k%u", i);
    struct arena *a = arena_new(0);
    struct chopped c = {.b = {.ops = &chopped_ops}, .all = t->data, .fail_at = SIZE_MAX, .seed = i};
    struct obj_put_in in = {.bucket = STR("bkt"),
                            .key = str_c(key),
                            .size = (int64_t)t->data.n,
                            .want_sums = HASH_BIT(HASH_SHA256)};
    struct obj_info o;
    if (i % 2) c.b.ops = &read_ops;
    if (i % 4 == 3) c.fail_at = t->data.n / 2 + i * 1000;
    err e = obj_put(t->w.o, a, &in, &c.b, &o);
    CHECK(e == (i % 4 == 3 ? ERR_INCOMPLETE_BODY : ERR_OK));
    if (!e) {
        char text[ETAG_TEXT];
        struct str got;
        struct obj_get_in gi = {.bucket = in.bucket, .key = in.key};
        struct obj_get_out g;
        CHECK(str_eq(o.etag, str_of(text, etag_text(t->md5.b, 0, text))));
        CHECK(memcmp(o.sums.value[HASH_SHA256].b, t->sha.b, 32) == 0);
        CHECK(obj_get(t->w.o, a, &gi, &g) == ERR_OK &&
              body_read_all(a, g.body, (size_t)1 << 30, &got) == ERR_OK);
        body_close(g.body);
        CHECK(str_eq(got, t->data));
    }
    arena_free(a);
    rt_sem_give(&t->done, 1);
}

static void begin(struct test *t)
{
    struct objects_options oo = {.store = &t->w.store};
    if (!t->engine) return world_begin(&t->w);
    engine_dir_open(&t->w.store, NULL);
    CHECK(objects_new(&oo, &t->w.o) == ERR_OK);
}

static void end(struct test *t)
{
    if (!t->engine) {
        CHECK(world_blobs(&t->w) == 9);
        return world_end(&t->w);
    }
    objects_free(t->w.o);
    engine_close(&t->w.store);
}

static void fiber(void *arg)
{
    enum { N = 12 };
    struct test *t = arg;
    begin(t);
    mk(&t->w, "bkt");
    size_t n = 3 * (size_t)LANE_MINIMUM + 12345;
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++) p[i] = (char)(i * 31 + (i >> 13));
    t->data = str_of(p, n);
    hash_once(HASH_MD5, p, n, &t->md5);
    hash_once(HASH_SHA256, p, n, &t->sha);
    t->w.o->lanes = 3; /* some with a lane, some without */
    for (unsigned i = 0; i < N; i++)
        CHECK(rt_spawn(rt_loop_at(t->rt, i % rt_loops(t->rt)), "put", put_long, t));
    CHECK(rt_sem_take(&t->done, N, RT_FOREVER));
    CHECK(t->w.o->lanes == 3);
    end(t);
    free(p);
    rt_stop(t->rt);
}

static void long_bodies(bool engine)
{
    struct test t = {.engine = engine};
    struct rt_options opt = {.backend = RT_EPOLL, .loops = 2};
    assert_int_equal(rt_new(&opt, &t.rt), ERR_OK);
    rt_sem_init(&t.done, 0);
    assert_true(rt_spawn(rt_loop_at(t.rt, 0), "test", fiber, &t));
    rt_run(t.rt);
    rt_free(t.rt);
}

static void test_long_bodies_in_memory(void **state)
{
    (void)state;
    long_bodies(false);
}

/* Pieces cross the halves of a writer's buffer, and are hashed while that is written. */
static void test_long_bodies_in_the_engine(void **state)
{
    (void)state;
    engine_dir_make();
    long_bodies(true);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_bodies_in_memory),
                                       cmocka_unit_test(test_long_bodies_in_the_engine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
