/* The engine's life: reopened, killed, refused, failing, recovered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "conformance/store_engine.h"

#include <signal.h>
#include <sys/wait.h>

#define SHARD 3u

static struct str key_of(char out[32], const char *name, uint64_t n)
{
    put_be64(out, SHARD);
    int len = snprintf(out + 8, 24, "%s%08llu", name, (unsigned long long)n);
    return str_of(out, 8 + (size_t)len);
}

static void pattern(char *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) p[i] = (char)((i * 2654435761u >> 9) + seed * 101);
}

/* One object: a blob of n bytes and an entry that holds its id; what it replaces is let go. */
static err put_object(struct store *s, uint64_t number, size_t n, uint64_t seed)
{
    struct arena *a = arena_new(0);
    char key[32], counter[32], value[24], *body = malloc(n + 1);
    struct str old = STR_NONE, k = key_of(key, "obj", number);
    struct blob_writer *w;
    uint64_t seq = idx_now(s->idx);
    err e = idx_get(s->idx, a, k, &old, NULL);
    if (e == ERR_NOT_FOUND) e = ERR_OK;
    pattern(body, n, seed);
    if (!e) e = blob_create(s->blobs, (int64_t)n, &w);
    if (!e) {
        e = blob_write(w, body, n);
        if (!e) e = blob_seal(w, STR("owner"));
        put_le64(value, blob_writer_id(w));
        put_le64(value + 8, n);
        put_le64(value + 16, seed);
        struct idx_txn *t = idx_txn_new(a, SHARD, seq);
        idx_txn_check(t, k);
        idx_txn_put(t, k, str_of(value, 24));
        idx_txn_publish(t, w);
        if (old.n) idx_txn_unref(t, get_le64(old.p));
        int64_t d[2] = {old.n ? 0 : 1, (int64_t)n - (old.n ? (int64_t)get_le64(old.p + 8) : 0)};
        idx_txn_add(t, key_of(counter, "count", 0), d, 2);
        if (!e) e = idx_commit(s->idx, t, NULL);
        if (e) blob_abandon(w);
    }
    free(body);
    arena_free(a);
    return e;
}

static err delete_object(struct store *s, uint64_t number)
{
    struct arena *a = arena_new(0);
    char key[32], counter[32];
    struct str old, k = key_of(key, "obj", number);
    uint64_t seq = idx_now(s->idx);
    err e = idx_get(s->idx, a, k, &old, NULL);
    if (!e) {
        struct idx_txn *t = idx_txn_new(a, SHARD, seq);
        idx_txn_check(t, k);
        idx_txn_del(t, k);
        idx_txn_unref(t, get_le64(old.p));
        int64_t d[2] = {-1, -(int64_t)get_le64(old.p + 8)};
        idx_txn_add(t, key_of(counter, "count", 0), d, 2);
        e = idx_commit(s->idx, t, NULL);
    }
    arena_free(a);
    return e;
}

/* ERR_NOT_FOUND, or its seed, every byte compared. */
static err read_object(struct store *s, uint64_t number, uint64_t *seed)
{
    struct arena *a = arena_new(0);
    char key[32];
    struct str v, view;
    struct blob_reader *r;
    err e = idx_get(s->idx, a, key_of(key, "obj", number), &v, NULL);
    if (!e) e = blob_open(s->blobs, get_le64(v.p), &r);
    if (!e) {
        size_t n = get_le64(v.p + 8);
        char *want = malloc(n + 1);
        *seed = get_le64(v.p + 16);
        pattern(want, n, *seed);
        ASSERT(blob_size(r) == n);
        for (size_t at = 0; at < n && !e; at += view.n) {
            e = blob_view(r, at, n - at, &view);
            if (!e) ASSERT(memcmp(view.p, want + at, view.n) == 0);
        }
        free(want);
        blob_close(r);
    }
    arena_free(a);
    return e;
}

static void assert_object(struct store *s, uint64_t number, uint64_t seed)
{
    uint64_t got = 0;
    assert_int_equal(read_object(s, number, &got), ERR_OK);
    assert_int_equal(got, seed);
}

/* What the entries above refer to and count, for the check. */
static bool check_entry(void *arg, struct str key, struct str value,
                        void (*ref)(void *ctx, uint64_t blob, uint64_t min),
                        void (*count)(void *ctx, struct str key, unsigned i, int64_t delta), void *ctx)
{
    (void)arg;
    char counter[32];
    struct str c = key_of(counter, "count", 0);
    if (str_eq(key, c)) return true;
    if (value.n != 24) return false;
    ref(ctx, get_le64(value.p), get_le64(value.p + 8));
    count(ctx, c, 0, 1);
    count(ctx, c, 1, (int64_t)get_le64(value.p + 8));
    return true;
}

static struct check_report check(bool repair)
{
    struct check_options o = {.dir = engine_dir, .deep = true, .repair = repair, .entry = check_entry};
    struct check_report r;
    char why[512];
    assert_int_equal(engine_check(&o, &r, why), ERR_OK);
    return r;
}

static void assert_clean(void)
{
    struct check_report r = check(false);
    if (r.lines.n) fprintf(stderr, "%.*s", (int)r.lines.n, r.lines.p);
    assert_int_equal(r.lines.n, 0);
    buf_free(&r.lines);
}

static const size_t sizes[] = {0, 10, 4096, 65536, 65537, 700000};

static void fill(struct store *s, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) assert_int_equal(put_object(s, i, sizes[i % 6], i), ERR_OK);
}

static void test_reopen(void **state)
{
    (void)state;
    struct store s;
    uint64_t seq = 0;
    for (int round = 0; round < 3; round++) {
        engine_dir_open(&s, NULL);
        assert_int_equal(idx_now(s.idx), seq);
        for (uint64_t i = 0; i < 12; i++) {
            uint64_t got;
            assert_int_equal(read_object(&s, i, &got), round ? ERR_OK : ERR_NOT_FOUND);
            if (round) assert_int_equal(got, i);
        }
        fill(&s, 0, 12);
        seq = idx_now(s.idx);
        engine_close(&s);
        assert_clean();
    }
}

/* ---- refusals ---- */

static void test_lock(void **state)
{
    (void)state;
    struct store s, second;
    char why[512], pid[32];
    engine_dir_open(&s, NULL);
    assert_int_equal(engine_dir_try(&second, false, why), ERR_SERVICE_UNAVAILABLE);
    snprintf(pid, sizeof pid, "process %ld;", (long)getpid());
    assert_non_null(strstr(why, pid));
    assert_non_null(strstr(why, engine_dir));
    engine_close(&s);
    engine_dir_open(&s, NULL);
    engine_close(&s);
}

static void set_flags(uint64_t compatible, uint64_t read_only, uint64_t incompatible)
{
    struct super s;
    char why[512];
    /* Loading refuses the flags, but has decoded by then. */
    super_load(engine_dir, true, &s, why);
    s.compatible = compatible;
    s.read_only = read_only;
    s.incompatible = incompatible;
    assert_int_equal(super_save(engine_dir, &s, why), ERR_OK);
}

static void test_features(void **state)
{
    (void)state;
    struct store s;
    char why[512], path[128];
    engine_dir_open(&s, NULL);
    engine_close(&s);
    set_flags(0, 0, 4);
    assert_int_equal(engine_dir_try(&s, false, why), ERR_UNSUPPORTED_FORMAT);
    assert_non_null(strstr(why, "incompatible flags 4"));
    assert_int_equal(engine_dir_try(&s, true, why), ERR_UNSUPPORTED_FORMAT);
    set_flags(0, 8, 0);
    assert_int_equal(engine_dir_try(&s, false, why), ERR_UNSUPPORTED_FORMAT);
    assert_int_equal(engine_dir_try(&s, true, why), ERR_OK);
    engine_close(&s);
    set_flags(16, 0, 0);
    assert_int_equal(engine_dir_try(&s, false, why), ERR_OK);
    engine_close(&s);
    snprintf(path, sizeof path, "%s/ingot.super", engine_dir);
    engine_flip(path, 20);
    assert_int_equal(engine_dir_try(&s, false, why), ERR_CORRUPT);
    assert_non_null(strstr(why, "recover"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(engine_dir_try(&s, false, why), ERR_CORRUPT);
}

/* ---- death ---- */

/* The child commits and says so; the parent kills it and holds the store against what was said. */
static void child(int fd, uint64_t from)
{
    struct store s;
    engine_dir_open(&s, &(struct engine_options){.segment_bytes = 1 << 20, .log_bytes = 4 << 20});
    for (uint64_t i = from;; i++) {
        uint64_t object = i % 40;
        ASSERT(put_object(&s, object, sizes[i % 6] / 2, i) == ERR_OK);
        if (write(fd, &i, sizeof i) != sizeof i) _exit(1);
    }
}

static void test_kill(void **state)
{
    (void)state;
    uint64_t said = 0, count = 0, last[40] = {0};
    for (int round = 0; round < 6; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) { /* a program of its own: threads do not survive a fork */
            char fd[16], from[24];
            close(fds[0]);
            snprintf(fd, sizeof fd, "%d", fds[1]);
            snprintf(from, sizeof from, "%llu", (unsigned long long)said + 1);
            execl("/proc/self/exe", "engine_test", engine_dir, fd, from, (char *)NULL);
            _exit(1);
        }
        close(fds[1]);
        uint64_t i;
        for (unsigned n = 0; n < 40u + 23u * (unsigned)round && read(fds[0], &i, sizeof i) == sizeof i; n++) {
            last[i % 40] = said = i;
            count++;
        }
        kill(pid, SIGKILL);
        while (read(fds[0], &i, sizeof i) == sizeof i) last[i % 40] = said = i;
        close(fds[0]);
        waitpid(pid, NULL, 0);
        struct store s;
        engine_dir_open(&s, &(struct engine_options){.segment_bytes = 1 << 20, .log_bytes = 4 << 20});
        for (uint64_t k = 0; k < 40; k++) {
            uint64_t got = 0;
            err e = read_object(&s, k, &got);
            /* One commit may have been on its way: it is there wholly or not at all. */
            if (got != last[k]) assert_int_equal(got, said + 1);
            if (last[k]) assert_int_equal(e, ERR_OK);
            if (got > said) last[k] = said = got;
        }
        engine_close(&s);
        assert_clean();
    }
    assert_true(count > 100);
}

/* ---- the disk fails ---- */

static struct sys_ops failing;
static int fail_log_writes;

static ssize_t failing_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    if (fail_log_writes) return -EIO;
    return sys_real.pwritev(fd, iov, n, off, flags);
}

static void test_eio(void **state)
{
    (void)state;
    struct store s;
    engine_dir_open(&s, NULL);
    fill(&s, 0, 3);
    assert_int_equal(put_object(&s, 5, 700000, 5), ERR_OK);
    failing = sys_real;
    failing.pwritev = failing_pwritev;
    sys = &failing;
    fail_log_writes = 1;
    assert_int_equal(delete_object(&s, 5), ERR_IO);
    assert_int_equal(engine_state(&s), ENGINE_FAILED);
    fail_log_writes = 0;
    /* Never tried again, though the disk has recovered; reads go on. */
    assert_int_equal(put_object(&s, 8, 100, 8), ERR_IO);
    assert_int_equal(delete_object(&s, 1), ERR_IO);
    for (uint64_t i = 0; i < 3; i++) assert_object(&s, i, i);
    /* A delete that may not have happened frees nothing. */
    extents_settle_frees(engine_of(&s)->extents);
    sys = &sys_real;
    engine_close(&s);
    engine_dir_open(&s, NULL);
    uint64_t got;
    for (uint64_t i = 0; i < 3; i++) assert_object(&s, i, i);
    assert_object(&s, 5, 5);
    assert_int_equal(read_object(&s, 8, &got), ERR_NOT_FOUND);
    assert_int_equal(put_object(&s, 8, 100, 8), ERR_OK);
    engine_close(&s);
    assert_clean();
}

/* The k-th system call of a start, a few commits and a close fails once: an error or none, but what was
 * acknowledged is there at the next start, and the store is sound. */
static void test_every_call_fails_once(void **state)
{
    (void)state;
    static const enum sys_fault_kind kinds[] = {SYS_FAULT_EIO, SYS_FAULT_ENOSPC, SYS_FAULT_EINTR,
                                                SYS_FAULT_SHORT};
    for (unsigned kind = 0; kind < 4; kind++) {
        engine_dir_remove();
        engine_dir_make();
        uint64_t acknowledged = 0, k = 0;
        for (bool reached = true; reached; k += 1 + k / 40) {
            struct store s;
            char why[512];
            sys_fault_install(k, kinds[kind]);
            err e = engine_dir_try(&s, false, why);
            if (!e) {
                if (put_object(&s, 1, 3000, k + 1) == ERR_OK) acknowledged = k + 1;
                if (put_object(&s, 2, 100000, k + 1) == ERR_OK) delete_object(&s, 2);
                engine_close(&s);
            }
            reached = sys_fault_calls() > k;
            sys_fault_remove();
            engine_dir_open(&s, NULL);
            uint64_t got = 0;
            read_object(&s, 1, &got);
            assert_true(got == acknowledged || got == k + 1);
            acknowledged = got;
            engine_close(&s);
        }
        assert_true(k > 40);
        assert_clean();
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, engine_dir_setup, engine_dir_teardown)
int main(int argc, char **argv)
{
    if (argc == 4) {
        snprintf(engine_dir, sizeof engine_dir, "%s", argv[1]);
        child((int)strtol(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        T(test_kill),     T(test_reopen), T(test_lock),
        T(test_features), T(test_eio),    T(test_every_call_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
