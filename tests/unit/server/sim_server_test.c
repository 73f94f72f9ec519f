/* The whole server in one simulated process: listener, HTTP, API, signatures, objects and the store in
 * memory, with clients on the simulated network. One seed is one history, to the byte.
 */
#include "sim_parts.h"

static void life(void *arg)
{
    struct parts *p = arg;
    struct world *w = p->w;
    assemble(p);
    for (unsigned i = 0; i < CLIENTS; i++) client_init(w, i);
    insist(&w->client[0], "PUT", "/simulated", 200, 409);
    rt_sem_init(&w->done, 0);
    for (unsigned i = 0; i < CLIENTS; i++) CHECK(rt_spawn(rt_self(), "client", client_life, &w->client[i]));
    CHECK(rt_sem_take(&w->done, CLIENTS, RT_FOREVER));
    empty(w);
    CHECK(http_server_drain(p->http, rt_now() + 300 * RT_SEC));
    struct http_stats st;
    http_get_stats(p->http, &st);
    CHECK(st.conns_open == 0 && st.requests_running == 0);
    rt_stop(p->rt);
}

struct history {
    uint64_t trace, answers;
    unsigned lost, did[SIM_OPS];
};

static struct history run(uint64_t seed, bool faults)
{
    static const struct sim_faults some = {.net_drop = 400, .net_slow = 500}, none;
    struct world *w = calloc(1, sizeof *w);
    struct parts p = {.w = w};
    assert_non_null(w);
    w->seed = seed;
    w->bench.o = (struct bench_options){
        .access_key = ACCESS, .secret_key = SECRET, .region = REGION, .host = STR(HOST)};
    sim_disk_reset();
    sim_clock_reset();
    sim_set_faults(faults ? &some : &none);
    assert_int_equal(rt_new(&(struct rt_options){.backend = RT_SIM, .seed = seed, .watchdog_ns = -1}, &p.rt),
                     ERR_OK);
    assert_true(rt_spawn(rt_loop_at(p.rt, 0), "life", life, &p));
    rt_run(p.rt);
    take_apart(&p);
    struct history h = {.trace = sim_trace_hash()};
    memcpy(h.did, w->did, sizeof h.did);
    for (unsigned i = 0; i < CLIENTS; i++) {
        h.answers = fold(h.answers, &w->client[i].answers, sizeof h.answers);
        h.lost += w->client[i].lost;
        client_free(&w->client[i]);
    }
    free(w);
    sim_set_faults(&none);
    return h;
}

enum { SEEDS = 20 };

static void test_histories(void **state)
{
    (void)state;
    struct history h[SEEDS];
    unsigned did[SIM_OPS] = {0}, lost = 0;
    for (unsigned i = 0; i < SEEDS; i++) {
        bool faults = i % 2;
        h[i] = run(100 + i, faults);
        struct history again = run(100 + i, faults);
        assert_true(again.trace == h[i].trace);
        assert_true(again.answers == h[i].answers);
        assert_true(faults || h[i].lost == 0);
        lost += h[i].lost;
        for (unsigned k = 0; k < SIM_OPS; k++) did[k] += h[i].did[k];
        for (unsigned k = 0; k < i; k++)
            assert_true(h[k].trace != h[i].trace && h[k].answers != h[i].answers);
    }
    assert_true(lost > SEEDS); /* the network was bad indeed */
    for (unsigned k = 0; k < SIM_OPS; k++) assert_true(did[k] > SEEDS);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, -1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
