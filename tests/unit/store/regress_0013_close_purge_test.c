/* Regression 13: the index's compaction after many deletions rests between its rounds in a fiber. A store
 * that was closed then freed what that fiber looks at next, for the closing ran on a worker, which does not
 * wait for fibers. Once engine_close has returned, no fiber of the store is left. */
#include "conformance/store_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define KEYS 4096u /* deleted at once: twice what starts a round */

static struct str key_of(unsigned i, char out[32])
{
    put_be64(out, 1);
    int n = snprintf(out + 8, 24, "o%010u", i);
    return str_of(out, 8 + (size_t)n);
}

static void commit_all(struct store *s, bool put)
{
    struct arena *a = arena_new(0);
    for (unsigned i = 0; i < KEYS;) {
        arena_reset(a);
        struct idx_txn *t = idx_txn_new(a, 1, 0);
        for (unsigned n = 0; n < 64; n++, i++) {
            char key[32];
            if (put)
                idx_txn_put(t, key_of(i, key), STR("v"));
            else
                idx_txn_del(t, key_of(i, key));
        }
        ASSERT(idx_commit(s->idx, t, NULL) == ERR_OK);
    }
    arena_free(a);
}

static void close_behind_deletions(void *arg)
{
    struct rt *rt = arg;
    struct rt_stats st;
    struct store s;
    rt_get_stats(rt, &st);
    uint64_t before = st.fibers_live;
    engine_dir_open(&s, NULL);
    commit_all(&s, true);
    commit_all(&s, false);
    engine_close(&s);
    rt_get_stats(rt, &st);
    ASSERT(st.fibers_live == before);
    rt_stop(rt);
}

static void waits_for_the_purge(void **state)
{
    struct rt *rt;
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        engine_dir_make();
        ASSERT(rt_new(&(struct rt_options){.backend = RT_EPOLL, .loops = 1, .watchdog_ns = -1}, &rt) ==
               ERR_OK);
        ASSERT(rt_spawn(rt_loop_at(rt, 0), "test", close_behind_deletions, rt));
        rt_run(rt);
        rt_free(rt);
        engine_dir_remove();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(waits_for_the_purge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
