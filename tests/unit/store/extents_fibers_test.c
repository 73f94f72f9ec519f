/* Many fibers on several loops: shared flushes, reads beside writes, frees in the background. */
#include "unit/rt/rt_matrix.h"
#include "unit/store/extents_util.h"

#define WRITERS 64
#define EACH    6

struct crowd {
    struct extents *x;
    struct rt_mutex mu;
    struct rt_cond done;
    int running;
    unsigned next;
    unsigned flush_errors;
};

static void leave(struct crowd *c)
{
    rt_mutex_lock(&c->mu);
    if (--c->running == 0) rt_cond_broadcast(&c->done);
    rt_mutex_unlock(&c->mu);
}

static void crowd_run(struct rt *r, struct crowd *c, int n, void (*fn)(void *))
{
    rt_mutex_init(&c->mu);
    rt_cond_init(&c->done);
    c->running = n;
    for (int i = 0; i < n; i++) CHECK(rt_spawn(rt_loop_at(r, (unsigned)i % rt_loops(r)), "crowd", fn, c));
    rt_mutex_lock(&c->mu);
    while (c->running) rt_cond_wait(&c->done, &c->mu, RT_FOREVER);
    rt_mutex_unlock(&c->mu);
}

static unsigned ticket(struct crowd *c)
{
    rt_mutex_lock(&c->mu);
    unsigned t = c->next++;
    rt_mutex_unlock(&c->mu);
    return t;
}

static void check_kept(struct extents *x, const struct kept *k)
{
    bool wrong = false;
    CHECK(read_kept(x, k, 200000, &wrong) == ERR_OK && !wrong);
}

/* Writes some blobs, small and streamed; reads each back; frees every other one, abandons one. */
static void writer(void *arg)
{
    struct crowd *c = arg;
    unsigned me = ticket(c);
    for (unsigned i = 0; i < EACH; i++) {
        struct kept k;
        uint64_t id = 1 + me * EACH + i, size = i % 3 == 2 ? 1500000 + me : 1000 * (me + 1) + i;
        CHECK(put_kept(c->x, id, size, i % 2 ? (int64_t)size : -1, 40000, &k) == ERR_OK);
        check_kept(c->x, &k);
        if (i % 2)
            for (size_t p = 0; p < k.n; p++) extents_free_place(c->x, &k.places[p]);
        kept_free(&k);
    }
    struct extent_writer *w = NULL;
    const struct extent_place *p;
    size_t n;
    CHECK(put_bytes(c->x, 100000 + me, 70000, -1, 70000, STR_NONE, &w, &p, &n) == ERR_OK);
    extent_writer_abandon(w);
    char *mib = calloc(1, 1 << 20);
    CHECK(mib && extent_writer_new(c->x, 200000 + me, 4 << 20, &w) == ERR_OK);
    CHECK(extent_write(w, mib, 600000) == ERR_OK);
    extent_writer_abandon(w); /* while its first half is being written */
    free(mib);
    leave(c);
}

static void crowd_body(struct rt *r)
{
    dir_new(false);
    struct crowd c = {
        .x = open_with((struct extents_options){.fds = 2, .file_max = 40 << 20, .extent_max = 1 << 20})};
    crowd_run(r, &c, WRITERS, writer);
    struct extents_stats st;
    extents_get_stats(c.x, &st);
    CHECK(st.flush_waiters >= WRITERS * (EACH + 1));
    CHECK(st.flushes < st.flush_waiters); /* shared */
    CHECK(st.corrupt == 0 && st.io_errors == 0 && st.writer_memory == 0);
    CHECK(extents_settle_frees(c.x) == ERR_OK);
    struct seen *s = calloc(1, sizeof *s);
    CHECK(extents_scan(c.x, false, on_visit, on_bad, s) == ERR_OK);
    CHECK(s->bad == 0 && s->open == 0);
    uint64_t live = 0, bytes = 0;
    for (size_t i = 0; i < s->n; i++) {
        CHECK((s->v[i].blob_id - 1) % EACH % 2 == 0 && s->v[i].blob_id < 100000);
        live += s->v[i].place.disk_len;
        bytes += s->v[i].place.data_len;
    }
    uint64_t want = 0;
    for (unsigned me = 0; me < WRITERS; me++) want += 1000 * (me + 1) + 1500000 + me + 1000 * (me + 1) + 4;
    CHECK(bytes == want);
    extents_get_stats(c.x, &st);
    CHECK(st.live == live && st.frees_queued == 0 && st.fds <= 2);
    free(s);
    extents_close(c.x);
    dir_free();
}

static void test_crowd(void **state)
{
    (void)state;
    matrix_run(NULL, crowd_body);
}

/* ---- the background fiber ---- */

static void background_body(struct rt *r)
{
    (void)r;
    dir_new(false);
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct kept k[20];
    for (uint64_t i = 0; i < 20; i++) CHECK(put_kept(x, i + 1, 60000, 60000, 60000, &k[i]) == ERR_OK);
    for (int i = 0; i < 20; i++) {
        extents_free_place(x, &k[i].places[0]);
        kept_free(&k[i]);
    }
    struct extents_stats st;
    for (int i = 0; i < 500; i++) {
        extents_get_stats(x, &st);
        if (st.frees_queued == 0 && st.files == 1) break;
        rt_sleep(10 * RT_MS);
    }
    CHECK(st.frees_queued == 0 && st.files == 1 && !file_exists(1)); /* without anyone asking */
    CHECK(put_kept(x, 30, 1000, 1000, 1000, &k[0]) == ERR_OK);
    extents_free_place(x, &k[0].places[0]);
    kept_free(&k[0]);
    extents_close(x); /* waits for the fiber that this free started */
    dir_free();
}

static void test_background(void **state)
{
    (void)state;
    matrix_run(NULL, background_body);
}

/* The runtime stops while the background fiber is in the middle of its work; the store is closed after that.
 */
static struct extents *left_open;
static struct kept left_kept[20];

static void stop_early_body(struct rt *r)
{
    (void)r;
    dir_new(false);
    left_open = open_with((struct extents_options){SMALL_LIMITS});
    for (uint64_t i = 0; i < 20; i++)
        CHECK(put_kept(left_open, i + 1, 60000, 60000, 60000, &left_kept[i]) == ERR_OK);
    for (int i = 0; i < 20; i += 2) extents_free_place(left_open, &left_kept[i].places[0]);
    rt_sleep(20 * RT_MS); /* about when it begins */
}

static void test_stop_early(void **state)
{
    (void)state;
    struct rt *r = matrix_new(RT_EPOLL, NULL);
    struct matrix_run m = {r, stop_early_body};
    assert_true(rt_spawn(rt_loop_at(r, 0), "test", matrix_fiber, &m));
    rt_run(r);
    rt_free(r);
    extents_close(left_open);
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    for (int i = 1; i < 20; i += 2) assert_reads(x, &left_kept[i], 60000);
    for (int i = 0; i < 20; i++) kept_free(&left_kept[i]);
    extents_close(x);
    dir_free();
}

/* ---- a flush that fails under a crowd ---- */

static _Atomic int sync_rc;

static int failing_fdatasync(int fd)
{
    (void)fd;
    return atomic_load(&sync_rc) ? atomic_load(&sync_rc) : sys_real.fdatasync(fd);
}

static void small_writer(void *arg)
{
    struct crowd *c = arg;
    unsigned me = ticket(c);
    struct kept k;
    err e = put_kept(c->x, me + 1, 5000, 5000, 5000, &k);
    CHECK(e == ERR_IO);
    rt_mutex_lock(&c->mu);
    c->flush_errors++;
    rt_mutex_unlock(&c->mu);
    leave(c);
}

static void flush_body(struct rt *r)
{
    dir_new(false);
    struct crowd c = {.x = open_with((struct extents_options){0})};
    atomic_store(&sync_rc, -EIO);
    crowd_run(r, &c, 32, small_writer);
    CHECK(c.flush_errors == 32);
    atomic_store(&sync_rc, 0);
    struct kept k;
    CHECK(put_kept(c.x, 100, 5000, 5000, 5000, &k) == ERR_OK);
    check_kept(c.x, &k);
    kept_free(&k);
    extents_close(c.x);
    dir_free();
}

static void test_flush_fails_for_all(void **state)
{
    (void)state;
    static struct sys_ops ops;
    ops = sys_real;
    ops.fdatasync = failing_fdatasync;
    sys = &ops;
    matrix_run(NULL, flush_body);
    sys = &sys_real;
}

/* ---- a flush covers what was written before it began, and nothing else ---- */

#define PAGES 16384
static _Atomic uint64_t tick, durable, written[PAGES]; /* by page of the only file */

static ssize_t timed_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    ssize_t put = sys_real.pwritev(fd, iov, n, off, flags);
    CHECK(off / 4096 < PAGES);
    atomic_store(&written[off / 4096], atomic_fetch_add(&tick, 1) + 1);
    return put;
}

static int timed_fdatasync(int fd)
{
    uint64_t began = atomic_fetch_add(&tick, 1) + 1;
    usleep(3000); /* others arrive meanwhile */
    int rc = sys_real.fdatasync(fd);
    if (atomic_load(&durable) < began) atomic_store(&durable, began); /* one at a time */
    return rc;
}

static void durable_writer(void *arg)
{
    struct crowd *c = arg;
    unsigned me = ticket(c);
    for (unsigned i = 0; i < 10; i++) {
        struct kept k;
        CHECK(put_kept(c->x, 1 + me * 10 + i, 5000, 5000, 5000, &k) == ERR_OK);
        CHECK(k.places[0].file == 1 &&
              atomic_load(&written[k.places[0].offset / 4096]) < atomic_load(&durable));
        kept_free(&k);
    }
    leave(c);
}

static void covers_body(struct rt *r)
{
    dir_new(false);
    struct crowd c = {.x = open_with((struct extents_options){0})};
    crowd_run(r, &c, 32, durable_writer);
    extents_close(c.x);
    dir_free();
}

static void test_flush_covers(void **state)
{
    (void)state;
    static struct sys_ops ops;
    ops = sys_real;
    ops.pwritev = timed_pwritev;
    ops.fdatasync = timed_fdatasync;
    sys = &ops;
    matrix_run(NULL, covers_body);
    sys = &sys_real;
}

/* ---- the ceiling of writers' memory ---- */

static void ceiling_body(struct rt *r)
{
    (void)r;
    dir_new(false);
    struct extents *x = open_with((struct extents_options){.memory_max = 4 << 20});
    struct extent_writer *w[64] = {0}, *last = NULL;
    int n = 0;
    err e = ERR_OK;
    for (; n < 64 && !e; n++) e = extent_writer_new(x, (uint64_t)n + 1, -1, &w[n]);
    CHECK(e == ERR_NO_MEMORY && n > 6 && n < 20);
    struct extents_stats st;
    extents_get_stats(x, &st);
    CHECK(st.writer_memory <= 4 << 20);
    extent_writer_abandon(w[0]);
    CHECK(extent_writer_new(x, 100, -1, &last) == ERR_OK);
    extent_writer_abandon(last);
    for (int i = 1; i < n - 1; i++) extent_writer_abandon(w[i]);
    extents_close(x);
    dir_free();
}

static void test_ceiling(void **state)
{
    (void)state;
    matrix_run(NULL, ceiling_body);
}

int main(void)
{
    quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd),        cmocka_unit_test(test_background),
        cmocka_unit_test(test_stop_early),   cmocka_unit_test(test_flush_fails_for_all),
        cmocka_unit_test(test_flush_covers), cmocka_unit_test(test_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
