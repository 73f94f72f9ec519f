/* The whole server on the engine, in the simulator, with the power cut at seeded disk calls: what was
 * answered is there after the next start, whole, and nothing else is. RocksDB's view is not simulated: its
 * files are on the real disk, and closing it keeps what was applied, which never is ahead of the log's
 * durable state.
 */
#include "sim_parts.h"
#include "store/engine_int.h"
#include <ftw.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static bool cut, bucket_there;
static uint64_t *trace; /* of the history that ended last, shared with its process */

static void first_life(void *arg)
{
    struct parts *p = arg;
    struct world *w = p->w;
    assemble(p);
    insist(&w->client[0], "PUT", "/simulated", 200, 409);
    bucket_there = true;
    for (unsigned i = 0; i < CLIENTS; i++) CHECK(rt_spawn(rt_self(), "client", client_life, &w->client[i]));
    CHECK(rt_sem_take(&w->done, CLIENTS, RT_FOREVER));
    cut = false;
    rt_stop(p->rt);
}

static void second_life(void *arg)
{
    struct parts *p = arg;
    struct world *w = p->w;
    int status;
    assemble(p);
    if (!bucket_there) {
        CHECK(ask(&w->client[0], "PUT", "/simulated", "", STR(""), SIGNED, &status));
        CHECK(status == 200 || status == 409);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &w->client[i];
        if (c->changing) settle(c, c->changes, c->to);
        for (unsigned k = 0; k < OWN_KEYS; k++) CHECK(get_own(c, k, false) && list_own(c, k, OWN_KEYS));
        for (unsigned k = 0; k < SHARED_KEYS; k++) get_shared(c, k);
        conn_close(&c->conn);
    }
    empty(w);
    CHECK(http_server_drain(p->http, rt_now() + 300 * RT_SEC));
    rt_stop(p->rt);
}

static void start(struct parts *p, void (*fn)(void *), uint64_t seed)
{
    *p = (struct parts){.w = p->w, .dir = dir};
    assert_int_equal(rt_new(&(struct rt_options){.backend = RT_SIM, .seed = seed, .watchdog_ns = -1}, &p->rt),
                     ERR_OK);
    assert_true(rt_spawn(rt_loop_at(p->rt, 0), "life", fn, p));
    rt_run(p->rt);
    uint64_t hash = sim_trace_hash();
    *trace = fold(*trace, &hash, sizeof hash);
}

enum { WHOLE = 10, BUSY, EARLY }; /* where the power went: after all, among requests, before any */

/* One history in a process of its own, whose end frees what the cut left in the middle. */
static int history(uint64_t seed, uint64_t at)
{
    struct world *w = calloc(1, sizeof *w);
    struct parts p = {.w = w};
    CHECK(w);
    w->seed = seed;
    w->bench.o = (struct bench_options){
        .access_key = ACCESS, .secret_key = SECRET, .region = REGION, .host = STR(HOST)};
    for (unsigned i = 0; i < CLIENTS; i++) client_init(w, i);
    rt_sem_init(&w->done, 0);
    cut = true;
    sim_crash_at(at);
    start(&p, first_life, seed);
    if (p.store.idx) view_close(CONTAINER(p.store.idx, struct engine, idx)->view);
    rt_free(p.rt);
    bool busy = cut && w->values > 0;
    sim_crash();
    for (unsigned i = 0; i < CLIENTS; i++) {
        w->client[i].conn.open = false;
        w->client[i].conn.signer.secret_key = SECRET;
        w->client[i].conn.signer.day[0] = 0;
    }
    start(&p, second_life, seed + 1);
    take_apart(&p);
    return !cut ? WHOLE : busy ? BUSY : EARLY;
}

static int drop(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

/* The history of one seed in a process of its own, on a new folder for RocksDB. */
static int run(uint64_t seed)
{
    int status;
    snprintf(dir, sizeof dir, "/tmp/ingot-sim-XXXXXX");
    assert_non_null(mkdtemp(dir));
    *trace = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(history(seed, 50 + (seed - 1) * 9));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(nftw(dir, drop, 16, FTW_DEPTH | FTW_PHYS), 0);
    assert_true(WIFEXITED(status));
    assert_in_range(WEXITSTATUS(status), WHOLE, EARLY);
    return WEXITSTATUS(status);
}

static void test_power_cuts(void **state)
{
    (void)state;
    unsigned seen[3] = {
        0}; /* the first cut is after the opening: a view half open keeps its lock in this process */
    trace = mmap(NULL, sizeof *trace, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(trace != MAP_FAILED);
    for (uint64_t seed = 1; seed <= 14; seed++) seen[run(seed) - WHOLE]++;
    assert_true(seen[BUSY - WHOLE] >= 5);
    /* RocksDB's own threads leave no mark on the history. */
    for (uint64_t seed = 3; seed <= 13; seed += 5) {
        run(seed);
        uint64_t first = *trace;
        run(seed);
        assert_true(first != 0 && *trace == first);
    }
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, -1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_power_cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
