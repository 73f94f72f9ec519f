/* The whole server in one simulated process: listener, HTTP, API, signatures, objects and the store in
 * memory, with clients on the simulated network. One seed is one history, to the byte.
 */
#include "api/api.h"
#include "auth/auth.h"
#include "base/log.h"
#include "sim_client.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define ACCESS STR("SIMULATEDKEY")
#define SECRET STR("simulated-secret")
#define REGION STR("us-east-1")
#define HOST   "127.0.0.1:9000"

struct parts {
    struct world *w;
    struct rt *rt;
    struct store store;
    struct objects *objects;
    struct auth *auth;
    struct api *api;
    struct http_server *http;
};

static void assemble(struct parts *p)
{
    struct auth_key key = {.access_key = ACCESS,
                           .secret_key = SECRET,
                           .who = {.canonical_id = STR("c1"),
                                   .display_name = STR("root"),
                                   .account = STR("000000000001"),
                                   .root = true}};
    struct rt_addr want, bound;
    CHECK(store_memory_new(&p->store, 0) == ERR_OK);
    CHECK(auth_new(&(struct auth_options){.keys = &key, .nkeys = 1, .region = REGION}, &p->auth) == ERR_OK);
    CHECK(objects_new(&(struct objects_options){.store = &p->store}, &p->objects) == ERR_OK);
    objects_start(p->objects);
    struct api_options o = {.rt = p->rt, .objects = p->objects, .auth = p->auth, .region = REGION};
    CHECK(api_new(&o, &p->api) == ERR_OK);
    struct http_callbacks cb = {api_handle, api_refuse, api_done, p->api};
    CHECK(http_server_new(p->rt, &(struct http_limits){0}, &cb, &p->http) == ERR_OK);
    CHECK(rt_addr_parse(STR(HOST), &want) == ERR_OK);
    CHECK(http_server_listen(p->http, &want, NULL, &bound) == ERR_OK);
    p->w->bench.addr = bound;
}

static void take_apart(struct parts *p)
{
    http_server_free(p->http);
    api_free(p->api);
    auth_free(p->auth);
    objects_free(p->objects);
    store_memory_free(&p->store);
    rt_free(p->rt);
}

/* Ask until there is an answer; after a lost one, `again` is as good as `status`. */
static void insist(struct client *c, const char *method, const char *path, int status, int again)
{
    int got;
    unsigned lost = c->lost;
    while (!ask(c, method, path, "", STR(""), SIGNED, &got)) rt_sleep(300 * RT_SEC);
    CHECK(got == status || (c->lost > lost && got == again));
}

/* Nothing but the models' objects is there: when they are gone, the bucket is empty and can go. */
static void empty(struct world *w)
{
    char path[64];
    struct client *c = &w->client[0];
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned k = 0; k < OWN_KEYS; k++) {
            if (w->client[i].own[k] == 0) continue;
            insist(c, "DELETE", "/simulated", 409, 409);
            own_path(&w->client[i], k, path);
            insist(c, "DELETE", path, 204, 204);
        }
    for (unsigned k = 0; k < SHARED_KEYS; k++) {
        snprintf(path, sizeof path, "/simulated/shared/%u", k);
        insist(c, "DELETE", path, 204, 204);
    }
    insist(c, "DELETE", "/simulated", 204, 404);
    insist(c, "GET", "/simulated", 404, 404);
    CHECK(said(c, "<Code>NoSuchBucket</Code>"));
    conn_close(&c->conn);
}

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
