/* Regression 4: when the loops ended in the middle of a background fiber that frees extents, closing the
 * store waited for a lock that nobody would give back (an assertion, outside of fibers), and a store whose
 * collection was cut short was marked as closed in order, so that what it had half done stayed for good. */
#include "conformance/store_engine.h"

#include "store/extents_impl.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <cmocka.h>

static struct store store;
static struct rt *rt;

static void free_and_stop(void *arg)
{
    char body[1000], key[9] = {0, 0, 0, 0, 0, 0, 0, 1, 'k'};
    struct engine_options o = {.inline_max = 100};
    struct blob_writer *w;
    (void)arg;
    memset(body, 7, sizeof body);
    engine_dir_open(&store, &o);
    struct arena *a = arena_new(0);
    ASSERT(blob_create(store.blobs, sizeof body, &w) == ERR_OK);
    ASSERT(blob_write(w, body, sizeof body) == ERR_OK && blob_seal(w, STR("o")) == ERR_OK);
    uint64_t id = blob_writer_id(w);
    struct idx_txn *t = idx_txn_new(a, 1, 0);
    idx_txn_put(t, str_of(key, sizeof key), STR("v"));
    idx_txn_publish(t, w);
    ASSERT(idx_commit(store.idx, t, NULL) == ERR_OK);
    t = idx_txn_new(a, 1, 0);
    idx_txn_del(t, str_of(key, sizeof key));
    idx_txn_unref(t, id);
    ASSERT(idx_commit(store.idx, t, NULL) == ERR_OK);
    arena_free(a);
    struct extents *x = engine_of(&store)->extents;
    while (!x->drain_mu.held) rt_sleep(10000);
    rt_stop(rt);
}

/* In a process of its own: what the fiber held is never given back, its end frees it. */
static int scene(void)
{
    struct super super;
    char why[512];
    ASSERT(rt_new(&(struct rt_options){.backend = RT_SIM, .seed = 1, .watchdog_ns = -1}, &rt) == ERR_OK);
    ASSERT(rt_spawn(rt_loop_at(rt, 0), "test", free_and_stop, NULL));
    rt_run(rt);
    bool busy = extents_busy(engine_of(&store)->extents);
    engine_close(&store);
    ASSERT(super_load(engine_dir, true, &super, why) == ERR_OK);
    return busy && super.clean_seq == 0 ? 0 : 1; /* the next start looks at what is there */
}

static void closes_all_the_same(void **state)
{
    (void)state;
    int status;
    engine_dir_make();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(scene());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(closes_all_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
