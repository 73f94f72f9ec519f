/* Regression 23: collection of the log took a body for dead because a commit had deleted it whose record was
 * not in the log yet, and gave the segment back. The record found no space and was withdrawn, so the body
 * lived again, and was gone. (A power cut between the two would have lost it as well.) */
#include "base/bytes.h"
#include "conformance/store_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BODY 1000u

static const struct engine_options small = {.log_bytes = 4 << 20, .segment_bytes = 1 << 20, .blob_cache = 1};

static struct sys_ops slow;
static atomic_bool hold, held, go, full;

static bool is_log(int fd)
{
    char link[64], target[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n < 0) return false;
    target[n] = 0;
    return strstr(target, "/log/0000") != NULL;
}

/* The one record waits, and then there is no space for it, nor when the ballast was given up. */
static ssize_t slow_pwritev(int fd, const struct iovec *v, int n, uint64_t off, int flags)
{
    bool record = is_log(fd) && get_le32(v->iov_base) != 0;
    if (record && atomic_load(&full)) return -ENOSPC;
    if (!record || !atomic_exchange(&hold, false)) return sys_real.pwritev(fd, v, n, off, flags);
    atomic_store(&full, true);
    atomic_store(&held, true);
    while (!atomic_load(&go)) usleep(1000);
    return -ENOSPC;
}

static uint64_t put_blob(struct store *s)
{
    char body[BODY];
    struct blob_writer *w;
    struct arena *a = arena_new(0);
    memset(body, 'x', sizeof body);
    ASSERT(blob_create(s->blobs, BODY, &w) == ERR_OK && blob_write(w, body, BODY) == ERR_OK);
    ASSERT(blob_seal(w, STR("owner")) == ERR_OK);
    uint64_t id = blob_writer_id(w);
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
    idx_txn_publish(t, w);
    ASSERT(idx_commit(s->idx, t, NULL) == ERR_OK);
    arena_free(a);
    return id;
}

static err drop_blob(struct store *s, uint64_t id)
{
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
    idx_txn_unref(t, id);
    err e = idx_commit(s->idx, t, NULL);
    arena_free(a);
    return e;
}

/* Words alone, without a body: collection has nothing to move, so it needs no commit. */
static void fill_log(struct store *s)
{
    char key[12], value[4000];
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < 900; i++) {
        struct arena *a = arena_new(0);
        put_be64(key, 1);
        put_be32(key + 8, i);
        struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
        idx_txn_put(t, str_of(key, sizeof key), str_of(value, sizeof value));
        ASSERT(idx_commit(s->idx, t, NULL) == ERR_OK);
        arena_free(a);
    }
}

struct test {
    struct store s;
    uint64_t blob;
};

static bool readable(struct store *s, uint64_t id)
{
    struct blob_reader *r;
    struct str v;
    if (blob_open(s->blobs, id, &r) != ERR_OK) return false;
    bool good = blob_view(r, 0, BODY, &v) == ERR_OK && v.p[0] == 'x';
    blob_close(r);
    return good;
}

static void prepare(struct test *t)
{
    struct engine *e = engine_of(&t->s);
    e->collect_after = INT64_MAX; /* not yet */
    t->blob = put_blob(&t->s);
    fill_log(&t->s);
    atomic_store(&hold, true);
}

static void collect_beside(struct test *t)
{
    struct engine *e = engine_of(&t->s);
    while (!atomic_load(&held)) rt_sleep(RT_MS);
    e->collect_after = 0;
    collect_consider(e);
    for (unsigned i = 0; i < 300 && atomic_load(&e->counts.log_collected) == 0; i++) rt_sleep(RT_MS);
    atomic_store(&go, true);
}

static void part(void *arg, unsigned i)
{
    struct test *t = arg;
    while (i == 1 && !atomic_load(&hold) && !atomic_load(&held)) rt_sleep(RT_MS);
    if (i == 1) {
        collect_beside(t);
        return;
    }
    engine_dir_open(&t->s, &small);
    prepare(t);
    ASSERT(drop_blob(&t->s, t->blob) == ERR_NO_SPACE);
    atomic_store(&full, false);
    ASSERT(readable(&t->s, t->blob));
}

static void close_it(void *arg)
{
    struct test *t = arg;
    engine_close(&t->s);
}

static void test_a_withdrawn_delete_kept_its_body(void **state)
{
    (void)state;
    struct test t = {0};
    engine_dir_make();
    slow = sys_real;
    slow.pwritev = slow_pwritev;
    sys = &slow;
    engine_parallel_then(2, part, close_it, &t);
    sys = &sys_real;
    engine_dir_open(&t.s, &small);
    assert_true(readable(&t.s, t.blob));
    engine_close(&t.s);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_withdrawn_delete_kept_its_body)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
