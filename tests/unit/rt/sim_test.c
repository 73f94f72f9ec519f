/* The simulator: virtual time, one seed one history, network with its faults, disk with its power cuts. */
#include "rt_matrix.h"
#include "rt/sim.h"
#include "sys/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <time.h>

static void sim_run(uint64_t seed, void (*body)(struct rt *r))
{
    struct rt *r;
    assert_int_equal(rt_new(&(struct rt_options){.backend = RT_SIM, .seed = seed}, &r), ERR_OK);
    struct matrix_run m = {r, body};
    assert_true(rt_spawn(rt_loop_at(r, 0), "test", matrix_fiber, &m));
    rt_run(r);
    rt_free(r);
}

static void no_faults(void)
{
    sim_set_faults(&(struct sim_faults){0});
}

/* ---- time jumps ---- */

static void hours(struct rt *r)
{
    CHECK(rt_loops(r) == 1);
    int64_t t = rt_now();
    int64_t ms = sys->real_ms();
    rt_sleep(5000 * RT_SEC);
    CHECK(rt_now() - t >= 5000 * RT_SEC && rt_now() - t < 5001 * RT_SEC);
    CHECK(sys->real_ms() - ms >= 5000 * 1000);
}

static void test_time(void **state)
{
    (void)state;
    time_t before = time(NULL);
    sim_run(1, hours);
    assert_true(time(NULL) - before < 30);
}

/* ---- one seed, one history: network, disk, workers, locks all take part ---- */

enum { CLIENTS = 20, ROUNDS = 10 };
static struct rt_addr server;
static struct rt_sem done;
static unsigned failed, order[CLIENTS], norder;

static void serve(void *arg)
{
    struct rt_sock *s = arg;
    char buf[3000];
    ssize_t n;
    while ((n = rt_read(s, buf, sizeof buf, rt_now() + 10 * RT_SEC)) > 0) {
        struct iovec v = {buf, (size_t)n};
        if (rt_writev(s, &v, 1, rt_now() + 10 * RT_SEC, false) != n) break;
    }
    rt_sock_close(s);
}

static void on_readable(void *arg, enum rt_idle_event ev)
{
    if (ev == RT_TIMEOUT || !rt_spawn(rt_self(), "serve", serve, arg)) rt_sock_close(arg);
}

static void on_accept(void *arg, struct rt_sock *s, const struct rt_addr *peer)
{
    (void)arg;
    (void)peer;
    CHECK(rt_sock_fd(s) == -1);
    rt_when_readable(s, rt_now() + 60 * RT_SEC, on_readable, s);
}

static bool read_full(struct rt_sock *s, char *p, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t k = rt_read(s, p + got, n - got, rt_now() + 60 * RT_SEC);
        if (k <= 0) return false;
        got += (size_t)k;
    }
    return true;
}

static bool exchange(struct rt_sock *s, unsigned i, unsigned round)
{
    static char out[CLIENTS][40000], in[CLIENTS][40000];
    size_t n = 1 + (i * 7919 + round * 4001) % 40000;
    memset(out[i], 'a' + (int)(i + round) % 26, n);
    struct iovec v = {out[i], n};
    if (rt_writev(s, &v, 1, rt_now() + 60 * RT_SEC, false) != (ssize_t)n) return false;
    if (!read_full(s, in[i], n)) return false;
    CHECK(memcmp(in[i], out[i], n) == 0);
    return true;
}

static void client(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    struct rt_sock *s;
    bool ok = rt_connect(&server, rt_now() + RT_SEC, &s) == 0;
    if (ok) {
        for (unsigned round = 0; round < ROUNDS && ok; round++) ok = exchange(s, i, round);
        rt_sock_close(s);
    }
    failed += !ok;
    order[norder++] = i;
    rt_sem_give(&done, 1);
}

static void writer(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    char name[32], block[1000], back[1000];
    snprintf(name, sizeof name, "/data/file-%u", i);
    int fd = sys->open(name, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    for (unsigned k = 0; k < ROUNDS; k++) {
        memset(block, (int)(i + k), sizeof block);
        CHECK(rt_pwrite(fd, block, sizeof block, k * sizeof block) == sizeof block);
        CHECK(rt_pread(fd, back, sizeof back, k * sizeof back) == sizeof back &&
              memcmp(back, block, sizeof back) == 0);
    }
    CHECK(rt_fdatasync(fd) == 0);
    CHECK(sys->close(fd) == 0);
    rt_sem_give(&done, 1);
}

static void world(struct rt *r)
{
    struct rt_listener *l;
    norder = failed = 0;
    rt_sem_init(&done, 0);
    CHECK(rt_addr_parse(STR("127.0.0.1:0"), &server) == ERR_OK);
    CHECK(rt_listen(r, &server, 0, on_accept, NULL, &l) == ERR_OK);
    rt_listener_addr(l, &server);
    CHECK(sys_mkdirs("/data", 0700) == ERR_OK);
    for (uintptr_t i = 0; i < CLIENTS; i++) {
        CHECK(rt_spawn(rt_self(), "client", client, (void *)i));
        CHECK(rt_spawn(rt_self(), "writer", writer, (void *)i));
    }
    CHECK(rt_sem_take(&done, 2 * CLIENTS, RT_FOREVER));
    rt_sleep(20 * RT_SEC); /* the serving fibers see their ends */
    rt_listener_close(l);
    struct rt_stats st;
    rt_get_stats(r, &st);
    CHECK(st.fibers_live <= 5 && st.sockets == 0 && st.work_queued == 0);
}

static uint64_t history(uint64_t seed)
{
    sim_disk_reset();
    sim_run(seed, world);
    assert_int_equal(norder, CLIENTS);
    return sim_trace_hash();
}

static void test_one_seed_one_history(void **state)
{
    (void)state;
    no_faults();
    unsigned first[CLIENTS], other = 0;
    uint64_t h = history(7);
    assert_int_equal(failed, 0);
    memcpy(first, order, sizeof order);
    for (int i = 0; i < 3; i++) {
        assert_true(history(7) == h);
        assert_memory_equal(first, order, sizeof order);
    }
    for (uint64_t seed = 8; seed < 12; seed++) {
        assert_true(history(seed) != h);
        other += memcmp(first, order, sizeof order) != 0;
    }
    assert_true(other >= 3); /* the seed chooses who comes first */
}

static void test_network_faults(void **state)
{
    (void)state;
    sim_set_faults(&(struct sim_faults){.net_drop = 200, .net_slow = 500, .disk_slow = 300});
    unsigned lost = 0;
    for (uint64_t seed = 20; seed < 26; seed++) {
        uint64_t h = history(seed);
        lost += failed;
        assert_true(history(seed) == h);
    }
    assert_true(lost > 0 && lost < 6 * CLIENTS);
    no_faults();
}

/* ---- deadlines, refusals and full windows, in virtual time ---- */

static void no_reader(void *arg, struct rt_sock *s, const struct rt_addr *peer)
{
    (void)peer;
    *(struct rt_sock **)arg = s;
}

static void limits(struct rt *r)
{
    struct rt_listener *l;
    struct rt_sock *a, *b = NULL;
    static char big[1 << 20];
    char c;
    CHECK(rt_addr_parse(STR("[::1]:0"), &server) == ERR_OK);
    CHECK(rt_listen(r, &server, 0, no_reader, &b, &l) == ERR_OK);
    rt_listener_addr(l, &server);
    struct rt_listener *again;
    CHECK(rt_listen(r, &server, 0, no_reader, &b, &again) == ERR_INVALID_SETTING);
    CHECK(rt_connect(&server, rt_now() + RT_SEC, &a) == 0);
    int64_t t = rt_now();
    CHECK(rt_read(a, &c, 1, t + 3600 * RT_SEC) == -ETIMEDOUT);
    CHECK(rt_now() - t >= 3600 * RT_SEC);
    struct iovec v = {big, sizeof big};
    CHECK(rt_writev(a, &v, 1, rt_now() + RT_SEC, false) == -ETIMEDOUT); /* the window is full */
    CHECK(b && read_full(b, big, 200000));
    rt_sock_abort(a);
    CHECK(rt_read(a, &c, 1, RT_FOREVER) == -ECANCELED);
    rt_sock_close(a);
    while (rt_read(b, big, sizeof big, rt_now() + RT_SEC) > 0) {
    }
    CHECK(rt_read(b, &c, 1, rt_now() + RT_SEC) == 0);
    rt_sock_close(b);
    rt_listener_close(l);
    CHECK(rt_connect(&server, rt_now() + RT_SEC, &a) == -ECONNREFUSED);
}

static void test_limits(void **state)
{
    (void)state;
    no_faults();
    for (uint64_t seed = 0; seed < 20; seed++) sim_run(seed, limits);
}

/* ---- nothing left to happen ends the run ---- */

static void stuck(struct rt *r)
{
    (void)r;
    struct rt_waiter w;
    rt_waiter_init(&w);
    rt_wait(&w, RT_FOREVER);
    CHECK(!"woken by nobody");
}

static void test_stuck(void **state)
{
    (void)state;
    sim_run(3, stuck);
}

/* ---- power cuts: what was flushed is there, what was not may be, and nothing else is ---- */

enum { BLOCK = 4096, BLOCKS = 6 };
static bool name_flushed, moved;
static unsigned flushed;

static void fill(char *p, unsigned i)
{
    memset(p, 'A' + (int)i, BLOCK);
}

static void append_flush(struct rt *r)
{
    (void)r;
    char block[BLOCK];
    name_flushed = moved = false;
    flushed = 0;
    CHECK(sys_mkdirs("/d", 0700) == ERR_OK);
    int fd = sys->open("/d/log.tmp", O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK(rt_fdatasync(fd) == 0);
    CHECK(sys->rename("/d/log.tmp", "/d/log") == 0);
    CHECK(sys->fsync_dir("/d") == 0);
    name_flushed = true;
    for (unsigned i = 0; i < BLOCKS; i++) {
        fill(block, i);
        struct iovec v = {block, BLOCK};
        if (i % 2) {
            CHECK(rt_pwritev(fd, &v, 1, i * BLOCK, RWF_DSYNC) == BLOCK);
        } else {
            CHECK(rt_pwrite(fd, block, BLOCK, i * BLOCK) == BLOCK);
            CHECK(rt_fdatasync(fd) == 0);
        }
        flushed = i + 1;
    }
    CHECK(sys->close(fd) == 0);
    CHECK(sys->rename("/d/log", "/d/moved") == 0);
    moved = true;
}

struct outcome {
    unsigned whole, torn, absent, gone, renamed;
};

/* The durable prefix is whole; the block in flight is anything made of its own bytes and zeros, by sectors.
 */
static void check_after_cut(struct outcome *o)
{
    char block[BLOCK], want[BLOCK];
    struct stat st;
    bool log = sys_sim.stat("/d/log", &st) == 0, away = sys_sim.stat("/d/moved", &st) == 0;
    assert_false(log && away);
    if (!name_flushed && !log) {
        o->gone++;
        return;
    }
    assert_true(log || away);
    if (!moved && flushed < BLOCKS) assert_true(log);
    o->renamed += away;
    int fd = sys_sim.open(log ? "/d/log" : "/d/moved", O_RDONLY, 0);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        fill(want, i);
        ssize_t n = sys_sim.pread(fd, block, BLOCK, i * BLOCK);
        if (i < flushed) {
            assert_int_equal(n, BLOCK);
            assert_memory_equal(block, want, BLOCK);
        } else if (n <= 0 || i > flushed) {
            assert_true(n <= 0);
            o->absent++;
        } else {
            unsigned kept = 0;
            for (ssize_t at = 0; at < n; at += 512) {
                char zero[512] = {0};
                bool mine = memcmp(block + at, want, 512) == 0;
                assert_true(mine || memcmp(block + at, zero, 512) == 0);
                kept += mine;
            }
            if (kept == BLOCK / 512)
                o->whole++;
            else
                o->torn++;
        }
    }
    assert_int_equal(sys_sim.close(fd), 0);
}

static void test_power_cuts(void **state)
{
    (void)state;
    no_faults();
    sim_disk_reset();
    sim_run(1, append_flush);
    uint64_t calls = sim_disk_ops();
    assert_true(calls > 15);
    struct outcome o = {0};
    for (uint64_t op = 0; op <= calls; op++) {
        for (uint64_t seed = 0; seed < 24; seed++) {
            sim_disk_reset();
            sim_crash_at(op);
            sim_run(seed, append_flush);
            sim_crash();
            check_after_cut(&o);
        }
    }
    /* Every kind of outcome was met. */
    assert_true(o.gone > 0 && o.renamed > 0 && o.absent > 0 && o.torn + o.whole > 0);
}

/* A write that no flush followed: kept, lost and torn all happen. */
static void unflushed(struct rt *r)
{
    (void)r;
    char block[BLOCK];
    int fd = sys->open("/f", O_CREAT | O_RDWR, 0600);
    fill(block, 0);
    CHECK(rt_pwrite(fd, block, BLOCK, 0) == BLOCK && rt_fdatasync(fd) == 0 && sys->fsync_dir("/") == 0);
    fill(block, 1);
    CHECK(rt_pwrite(fd, block, BLOCK, 0) == BLOCK); /* over what is durable */
    fill(block, 2);
    CHECK(rt_pwrite(fd, block, BLOCK, BLOCK) == BLOCK);
    CHECK(sys->open("/g", O_CREAT | O_RDWR, 0600) >= 0);
}

static void test_unflushed(void **state)
{
    (void)state;
    unsigned old = 0, fresh = 0, mixed = 0, reordered = 0, g = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        char block[BLOCK], a[BLOCK], b[BLOCK];
        struct stat st;
        sim_disk_reset();
        sim_run(seed, unflushed);
        sim_crash();
        int fd = sys_sim.open("/f", O_RDONLY, 0);
        assert_true(fd >= 0);
        assert_int_equal(sys_sim.pread(fd, block, BLOCK, 0), BLOCK);
        fill(a, 0);
        fill(b, 1);
        bool is_old = memcmp(block, a, BLOCK) == 0, is_new = memcmp(block, b, BLOCK) == 0;
        for (unsigned at = 0; at < BLOCK; at += 512)
            assert_true(memcmp(block + at, a, 512) == 0 || memcmp(block + at, b, 512) == 0);
        fill(a, 2);
        bool second = sys_sim.pread(fd, block, BLOCK, BLOCK) == BLOCK && memcmp(block, a, BLOCK) == 0;
        old += is_old;
        fresh += is_new;
        mixed += !is_old && !is_new;
        reordered += is_old && second; /* the later write survived, the earlier did not */
        g += sys_sim.stat("/g", &st) == 0;
        sys_sim.close(fd);
    }
    assert_true(old > 10 && fresh > 10 && mixed > 10 && reordered > 0);
    assert_true(g > 10 && g < 190);
}

/* ---- faults and limits of the disk ---- */

static void full(struct rt *r)
{
    (void)r;
    static char mb[1 << 20];
    struct sys_statfs fs;
    int fd = sys->open("/full", O_CREAT | O_RDWR, 0600);
    CHECK(rt_pwrite(fd, mb, sizeof mb, 0) == sizeof mb);
    CHECK(rt_pwrite(fd, mb, sizeof mb, sizeof mb) == -ENOSPC);
    CHECK(rt_pwrite(fd, mb, sizeof mb, 0) == sizeof mb); /* over itself */
    CHECK(sys->statfs("/", &fs) == 0 && fs.total == 1500000 && fs.avail == 1500000 - sizeof mb);
    CHECK(sys->unlink("/full") == 0 && sys->close(fd) == 0);
    CHECK(sys->statfs("/", &fs) == 0 && fs.avail < 1500000); /* the cut may still bring it back */
    CHECK(sys->fsync_dir("/") == 0);
    CHECK(sys->statfs("/", &fs) == 0 && fs.avail == 1500000);
}

static void failing(struct rt *r)
{
    (void)r;
    char c = 'x';
    int fd = sys->open("/e", O_CREAT | O_RDWR, 0600), direct = sys->open("/e", O_RDWR | O_DIRECT, 0);
    CHECK(fd >= 0 && direct >= 0);
    CHECK(rt_pwrite(direct, &c, 1, 0) == -EINVAL);
    CHECK(sys->lock(fd) == 0 && sys->lock(direct) == -EWOULDBLOCK);
    CHECK(rt_pwrite(fd, &c, 1, 0) == -EIO);
    CHECK(rt_fdatasync(fd) == -EIO);
    sys->close(fd);
    CHECK(rt_pwrite(fd, &c, 1, 0) == -EBADF);
    CHECK(sys->lock(direct) == 0);
    CHECK(sys->open("/none/e", O_CREAT | O_RDWR, 0600) == -ENOENT);
    CHECK(sys->open("/e", O_CREAT | O_EXCL | O_RDWR, 0600) == -EEXIST);
}

static void test_disk_faults(void **state)
{
    (void)state;
    sim_disk_reset();
    sim_set_faults(&(struct sim_faults){.disk_bytes = 1500000});
    sim_run(5, full);
    sim_set_faults(&(struct sim_faults){.disk_eio = 65536, .disk_sync_eio = 65536});
    sim_disk_reset();
    sim_run(5, failing);
    no_faults();
    sim_disk_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),      cmocka_unit_test(test_one_seed_one_history),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_network_faults),
        cmocka_unit_test(test_stuck),     cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_unflushed), cmocka_unit_test(test_disk_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
