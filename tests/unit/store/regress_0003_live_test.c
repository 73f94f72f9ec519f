/* Regression 3: the live bytes of extent files that a batch wrote into the view were read after the next
 * leader had begun to change them. When the view kept the one batch and a crash lost the next, replay counted
 * it again. A process is left in the middle of many writes and deletes, with a view that is written out
 * often; then the counts must be those of the blobs that are there. */
#include "conformance/store_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/wait.h>

#define FIBERS 6u
#define ROUNDS 8u
#define MANY   3000u
#define SIZE   5000u
#define VALUE  70000u /* fills the view's buffer: each batch may be the last that is written out */

static const struct engine_options options = {
    .log_bytes = 64 << 20, .segment_bytes = 4 << 20, .inline_max = 1, .index_buffer = 64 << 10};

struct life {
    struct store s;
    _Atomic unsigned commits;
    unsigned until;
};

static uint64_t put_one(struct store *s, struct arena *a, unsigned fiber, uint64_t old)
{
    static const char body[VALUE];
    char key[12];
    struct blob_writer *w;
    ASSERT(blob_create(s->blobs, SIZE, &w) == ERR_OK);
    ASSERT(blob_write(w, body, SIZE) == ERR_OK && blob_seal(w, STR("owner")) == ERR_OK);
    uint64_t id = blob_writer_id(w);
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
    put_be64(key, 1);
    put_be32(key + 8, fiber);
    idx_txn_put(t, str_of(key, sizeof key), str_of(body, VALUE));
    idx_txn_publish(t, w);
    if (old) idx_txn_unref(t, old);
    ASSERT(idx_commit(s->idx, t, NULL) == ERR_OK);
    return id;
}

/* More than a loop applies by itself: the batch waits for a worker, and those behind it for their turn. */
static void put_many(struct store *s, struct arena *a)
{
    static const char body[100];
    char key[12];
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
    put_be64(key, 1);
    for (uint32_t i = 0; i < MANY; i++) {
        put_be32(key + 8, 1000 + i);
        idx_txn_put(t, str_of(key, sizeof key), str_of(body, sizeof body));
    }
    ASSERT(idx_commit(s->idx, t, NULL) == ERR_OK);
}

/* Replaces its blob again and again; the process ends when enough was done, with everything under way. */
static void work(void *arg, unsigned i)
{
    struct life *l = arg;
    uint64_t old = 0;
    for (;;) {
        struct arena *a = arena_new(0);
        if (i == 0)
            put_many(&l->s, a);
        else
            old = put_one(&l->s, a, i, old);
        arena_free(a);
        if (atomic_fetch_add(&l->commits, 1) == l->until) _exit(0);
    }
}

static void live_once(unsigned round)
{
    struct life l = {.until = 500 + round * 13};
    engine_dir_open(&l.s, &options);
    engine_parallel(FIBERS, work, &l);
}

static bool no_entry(void *arg, struct str key, struct str value,
                     void (*ref)(void *ctx, uint64_t blob, uint64_t min_size),
                     void (*count)(void *ctx, struct str counter_key, unsigned i, int64_t delta), void *ctx)
{
    (void)arg, (void)key, (void)value, (void)ref, (void)count, (void)ctx;
    return true;
}

static void check_once(unsigned round)
{
    struct check_options o = {.dir = engine_dir, .entry = no_entry};
    struct check_report r = {0};
    char why[512] = "";
    ASSERT(engine_check(&o, &r, why) == ERR_OK);
    bool live = r.lines.n && memmem(r.lines.p, r.lines.n, "live bytes", 10);
    if (live) fprintf(stderr, "round %u: %.*s\n", round, (int)r.lines.n, r.lines.p);
    _exit(live);
}

/* Each in a process of its own: RocksDB's threads do not survive a fork. */
static int in_process(void (*fn)(unsigned round), unsigned round)
{
    int status;
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) fn(round);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void counts_survive_a_crash(void **state)
{
    (void)state;
    engine_dir_make_fast();
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_int_equal(in_process(live_once, round), 0);
        assert_int_equal(in_process(check_once, round), 0);
    }
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_survive_a_crash)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
