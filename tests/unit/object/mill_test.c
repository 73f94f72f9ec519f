/* Who waits for whom in the mill, in virtual time, and that digests are right whatever the order. */
#include "object/mill.h"
#include "base/assert.h"
#include "rt/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define CHECK(x) ASSERT(x) /* cmocka's jump off a fiber's stack */
#define PIECE    70000u
#define SOON     (RT_MS / 10) /* far below the patience of 2 ms, far above what a worker takes to begin */

static char bytes[PIECE];

static void sim_run(uint64_t seed, void (*fn)(void *))
{
    struct rt *r;
    for (unsigned i = 0; i < PIECE; i++) bytes[i] = (char)(i * 7 + i / 251);
    assert_int_equal(rt_new(&(struct rt_options){.backend = RT_SIM, .seed = seed, .workers = 2}, &r), ERR_OK);
    sim_set_faults(&(struct sim_faults){0});
    assert_true(rt_spawn(rt_loop_at(r, 0), "test", fn, r));
    rt_run(r);
    rt_free(r);
}

struct body {
    struct mill_body b;
    struct hash_set *set;
    uint64_t fed;
};

static void begin(struct mill *m, struct body *b)
{
    *b = (struct body){.set = hash_set_new(HASH_BIT(HASH_MD5) | HASH_BIT(HASH_CRC32C))};
    CHECK(b->set);
    mill_open(m, &b->b, b->set);
}

static void put(struct mill *m, struct body *b)
{
    mill_put(m, &b->b, str_of(bytes, PIECE));
    b->fed++;
}

/* How long until all of it is hashed. */
static int64_t wait_all(struct mill *m, struct body *b)
{
    int64_t from = rt_now();
    mill_wait(m, &b->b, 0);
    return rt_now() - from;
}

static void finish(struct mill *m, struct body *b)
{
    struct hash_value want, got;
    mill_wait(m, &b->b, 0);
    mill_close(m, &b->b);
    struct hash_set *s = hash_set_new(HASH_BIT(HASH_MD5) | HASH_BIT(HASH_CRC32C));
    CHECK(s);
    for (uint64_t i = 0; i < b->fed; i++) hash_set_update(s, bytes, PIECE);
    static const enum hash_alg algs[] = {HASH_MD5, HASH_CRC32C};
    for (unsigned i = 0; i < 2; i++) {
        hash_set_final(s, algs[i], &want);
        hash_set_final(b->set, algs[i], &got);
        CHECK(memcmp(want.b, got.b, hash_size(algs[i])) == 0);
    }
    hash_set_free(s);
    hash_set_free(b->set);
}

/* ---- patience ---- */

static void patience(void *rt)
{
    struct mill *m = mill_new();
    struct body quick, late;
    CHECK(m);
    begin(m, &quick);
    CHECK((put(m, &quick), wait_all(m, &quick)) < SOON); /* alone: nobody to wait for */
    begin(m, &late);
    put(m, &late);
    put(m, &quick);
    CHECK(wait_all(m, &quick) < SOON); /* both have a piece there */
    mill_wait(m, &late.b, 0);

    put(m, &quick); /* the other came quickly until now, and has none */
    int64_t first = wait_all(m, &quick);
    CHECK(first >= 2 * RT_MS && first < 2 * RT_MS + SOON);
    put(m, &quick); /* it is not waited for a second time */
    CHECK(wait_all(m, &quick) < SOON);

    rt_sleep(RT_SEC);
    put(m, &late); /* after a second neither is quick, and nobody waits */
    CHECK(wait_all(m, &late) < SOON);
    put(m, &quick);
    CHECK(wait_all(m, &quick) < SOON);
    put(m, &late); /* both are quick again */
    put(m, &quick);
    CHECK(wait_all(m, &quick) < SOON);
    mill_wait(m, &late.b, 0);
    put(m, &quick);
    CHECK(wait_all(m, &quick) >= 2 * RT_MS);

    put(m, &late);
    finish(m, &late); /* who has gone is not waited for */
    put(m, &quick);
    CHECK(wait_all(m, &quick) < SOON);
    finish(m, &quick);
    mill_free(m);
    rt_stop(rt);
}

static void test_patience(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) sim_run(seed, patience);
}

/* ---- many bodies, in any order ---- */

enum { BODIES = 30 };
static struct mill *mill;
static struct rt_sem all_done;

static void upload(void *arg)
{
    struct body b;
    (void)arg;
    begin(mill, &b);
    for (uint64_t n = sim_random() % 40; n > 0; n--) {
        if (sim_random() % 8 == 0) rt_sleep((int64_t)(sim_random() % (20 * RT_MS)));
        if (b.b.left == MILL_PIECES || sim_random() % 4 == 0)
            mill_wait(mill, &b.b, (unsigned)(sim_random() % MILL_PIECES));
        put(mill, &b);
    }
    finish(mill, &b);
    rt_sem_give(&all_done, 1);
}

static void many(void *rt)
{
    mill = mill_new();
    CHECK(mill);
    rt_sem_init(&all_done, 0);
    for (unsigned i = 0; i < BODIES; i++) CHECK(rt_spawn(rt_self(), "upload", upload, NULL));
    CHECK(rt_sem_take(&all_done, BODIES, rt_now() + 60 * RT_SEC)); /* none is forgotten */
    mill_free(mill);
    rt_stop(rt);
}

static void test_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) sim_run(seed, many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_patience), cmocka_unit_test(test_any_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
