/* A log that cannot be written for want of space: the commits of the record fail, what they did in memory is
 * taken back, nothing of them is there after a crash, and nothing waits, but when it cannot be proven that
 * the record is nowhere. */
#include "unit/store/data_dir.h"

/* What a write of the log does instead of being done. */
enum fault {
    DONE,
    NOTHING,   /* nothing is written */
    HALF,      /* the first half is written, then nothing */
    NO_HEAD,   /* all but the first block */
    ALL_OF_IT, /* everything: what fails is the flush */
    FAULTS,
    STUCK = FAULTS, /* everything, and it cannot be written over */
    SMALL           /* nothing, of small records alone */
};
static _Atomic int fault;
static _Atomic unsigned one_of; /* of so many writes of records one fails */
static _Atomic uint64_t turns, failed;

static bool is_log(int fd)
{
    char link[64], target[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n < 0) return false;
    target[n] = 0;
    return strstr(target, "/log/0000") != NULL;
}

static bool is_record(const struct iovec *v)
{
    return get_le32(v->iov_base) != 0;
}

static ssize_t write_part(int fd, const struct iovec *v, size_t from, size_t to, uint64_t off, int flags)
{
    struct iovec part = {(char *)v->iov_base + from, to - from};
    if (to > from) ASSERT(sys_real.pwritev(fd, &part, 1, off + from, flags) == (ssize_t)(to - from));
    return -ENOSPC;
}

static ssize_t faulty_pwritev(int fd, const struct iovec *v, int n, uint64_t off, int flags)
{
    int how = atomic_load(&fault);
    bool record = n == 1 && is_log(fd) && (is_record(v) || how == STUCK);
    if (how == SMALL && v->iov_len > 2 * LOG_ALIGN) record = false;
    if (how == DONE || !record || (atomic_fetch_add(&turns, 1) + 1) % atomic_load(&one_of) != 0)
        return sys_real.pwritev(fd, v, n, off, flags);
    atomic_fetch_add(&failed, 1);
    size_t half = v->iov_len / 2 / LOG_ALIGN * LOG_ALIGN;
    switch (how) {
    case HALF:
        return write_part(fd, v, 0, half, off, flags);
    case NO_HEAD:
        return write_part(fd, v, LOG_ALIGN, v->iov_len, off, flags);
    case ALL_OF_IT:
        return write_part(fd, v, 0, v->iov_len, off, flags);
    case STUCK:
        return is_record(v) ? write_part(fd, v, 0, v->iov_len, off, flags) : -ENOSPC;
    default:
        return -ENOSPC;
    }
}

static struct sys_ops faulty;

static void fail_writes(enum fault how, unsigned each)
{
    atomic_store(&one_of, each);
    atomic_store(&fault, (int)how);
}

/* The disk is looked at anew: it has space, so only the log's writes refuse. */
static void look_again(struct shop *w)
{
    atomic_store(&engine_of(&w->s)->space_checked_ns, 0);
}

static err try_put(struct shop *w, const char *key, unsigned seed, size_t n)
{
    struct arena *a = arena_new((size_t)64 << 20);
    struct obj_put_in in = {
        .bucket = STR("plain"), .key = str_c(key), .owner = STR("me"), .size = (int64_t)n};
    struct obj_info out;
    look_again(w);
    err e = obj_put(w->o, a, &in, body_of_bytes(a, shop_bytes(a, seed, n)), &out);
    arena_free(a);
    return e;
}

static err try_delete(struct shop *w, const char *key)
{
    struct arena *a = arena_new(0);
    struct obj_delete_in in = {.bucket = STR("plain"), .key = str_c(key), .owner = STR("me")};
    struct obj_delete_out out;
    look_again(w);
    err e = obj_delete(w->o, a, &in, &out);
    arena_free(a);
    return e;
}

static err try_copy(struct shop *w, const char *from, const char *to)
{
    struct arena *a = arena_new(0);
    struct obj_copy_in in = {.src_bucket = STR("plain"),
                             .src_key = str_c(from),
                             .bucket = STR("plain"),
                             .key = str_c(to),
                             .owner = STR("me")};
    struct obj_copy_out out;
    look_again(w);
    err e = obj_copy(w->o, a, &in, &out);
    arena_free(a);
    return e;
}

static const size_t sizes[] = {0, 100, 12000, 40000, 300000};
#define SIZES (sizeof sizes / sizeof *sizes)

static void begin(struct shop *w)
{
    char key[32], to[32];
    shop_open(w);
    ASSERT(bucket_create(w->o, w->a, STR("plain"), STR("me"), STR("here")) == ERR_OK);
    for (unsigned i = 0; i < SIZES; i++) {
        snprintf(key, sizeof key, "old/%u", i);
        shop_put(w, "plain", key, i, sizes[i]);
        snprintf(to, sizeof to, "kept/%u", i); /* two references */
        shop_copy(w, key, to);
    }
}

/* Everything that was acknowledged, nothing else. */
static void is_as_before(struct shop *w)
{
    char key[32];
    for (unsigned i = 0; i < SIZES; i++) {
        snprintf(key, sizeof key, "old/%u", i);
        ASSERT(shop_get(w, "plain", key, i, sizes[i]) == ERR_OK);
        snprintf(key, sizeof key, "kept/%u", i);
        ASSERT(shop_get(w, "plain", key, i, sizes[i]) == ERR_OK);
        snprintf(key, sizeof key, "new/%u", i);
        ASSERT(shop_get(w, "plain", key, i, sizes[i]) == ERR_NO_SUCH_KEY);
    }
}

static void try_all(struct shop *w, err want)
{
    char key[32], to[32];
    for (unsigned i = 0; i < SIZES; i++) {
        snprintf(key, sizeof key, "new/%u", i);
        ASSERT(try_put(w, key, i, sizes[i]) == want);
        snprintf(key, sizeof key, "old/%u", i);
        snprintf(to, sizeof to, "copied/%u", i);
        ASSERT(try_copy(w, key, to) == want);
        ASSERT(try_put(w, key, i + 50, sizes[SIZES - 1 - i]) == want);
        ASSERT(try_delete(w, key) == want);
    }
}

static void refused(struct shop *w, enum fault how)
{
    uint64_t seq = log_next_seq(engine_of(&w->s)->log);
    fail_writes(how, 1);
    try_all(w, ERR_NO_SPACE);
    ASSERT(engine_state(&w->s) == ENGINE_FULL);
    ASSERT(log_next_seq(engine_of(&w->s)->log) == seq && idx_now(w->s.idx) == seq - 1);
    is_as_before(w);
}

/* An open reader keeps what a deletion that failed had taken from it. */
static void refused_under_a_reader(struct shop *w, enum fault how)
{
    struct arena *a = arena_new((size_t)64 << 20);
    struct obj_get_in in = {.bucket = STR("plain"), .key = STR("old/4")};
    struct obj_get_out g;
    struct str data;
    ASSERT(obj_get(w->o, a, &in, &g) == ERR_OK);
    refused(w, how);
    ASSERT(body_read_all(a, g.body, (size_t)32 << 20, &data) == ERR_OK);
    body_close(g.body);
    ASSERT(str_eq(data, shop_bytes(a, 4, sizes[4])));
    arena_free(a);
}

static void test_goes_on(void **state)
{
    (void)state;
    for (enum fault how = NOTHING; how < FAULTS; how++) {
        struct shop w;
        char key[32];
        engine_dir_make_fast();
        begin(&w);
        refused_under_a_reader(&w, how);
        fail_writes(DONE, 1);
        try_all(&w, ERR_OK);
        assert_int_equal(engine_state(&w.s), ENGINE_OK);
        shop_close(&w);
        check_clean();
        shop_open(&w);
        for (unsigned i = 0; i < SIZES; i++) {
            snprintf(key, sizeof key, "new/%u", i);
            assert_int_equal(shop_get(&w, "plain", key, i, sizes[i]), ERR_OK);
            snprintf(key, sizeof key, "copied/%u", i);
            assert_int_equal(shop_get(&w, "plain", key, i, sizes[i]), ERR_OK);
            snprintf(key, sizeof key, "old/%u", i);
            assert_int_equal(shop_get(&w, "plain", key, i, sizes[i]), ERR_NO_SUCH_KEY);
        }
        shop_close(&w);
        engine_dir_remove();
    }
}

static int refused_then_dead(enum fault how)
{
    struct shop w;
    sys = &faulty;
    begin(&w);
    refused(&w, how);
    _exit(0);
}

static void test_crash(void **state)
{
    (void)state;
    for (enum fault how = NOTHING; how < FAULTS; how++) {
        struct shop w;
        engine_dir_make_fast();
        assert_int_equal(in_process("refused", how), 0);
        shop_open(&w);
        is_as_before(&w);
        try_all(&w, ERR_OK);
        shop_close(&w);
        check_clean();
        engine_dir_remove();
    }
}

/* ---- many at a time ---- */

#define FIBERS 24u
#define KEYS   5u
#define OPS    (60u / FEWER)

struct crowd {
    struct shop w;
    unsigned seed[FIBERS][KEYS], size[FIBERS][KEYS]; /* seed 0: absent */
    _Atomic uint64_t done, refused;
};

static uint64_t next_random(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

static void holds(struct crowd *c, unsigned i, unsigned k)
{
    char key[32];
    snprintf(key, sizeof key, "%u/%u", i, k);
    ASSERT(shop_get(&c->w, "plain", key, c->seed[i][k], sizes[c->size[i][k]]) ==
           (c->seed[i][k] ? ERR_OK : ERR_NO_SUCH_KEY));
}

static void crowd_work(void *arg, unsigned i)
{
    struct crowd *c = arg;
    uint64_t x = 77 + i;
    for (unsigned op = 1; op <= OPS; op++) {
        char key[32], to[32];
        unsigned k = (unsigned)next_random(&x) % KEYS, k2 = (k + 1) % KEYS;
        unsigned seed = 1 + i * 1000 + op, size = (unsigned)next_random(&x) % SIZES;
        snprintf(key, sizeof key, "%u/%u", i, k);
        snprintf(to, sizeof to, "%u/%u", i, k2);
        fail_writes(NOTHING + (enum fault)(next_random(&x) % (FAULTS - NOTHING)), 4);
        err e = ERR_NO_SUCH_KEY;
        switch (next_random(&x) % 4) {
        case 0:
            e = try_delete(&c->w, key);
            if (!e) c->seed[i][k] = 0;
            break;
        case 1:
            e = try_copy(&c->w, key, to);
            if (!e) {
                c->seed[i][k2] = c->seed[i][k];
                c->size[i][k2] = c->size[i][k];
            }
            if (e == ERR_NO_SUCH_KEY && c->seed[i][k] == 0) e = ERR_OK;
            break;
        default:
            e = try_put(&c->w, key, seed, sizes[size]);
            if (!e) {
                c->seed[i][k] = seed;
                c->size[i][k] = size;
            }
        }
        ASSERT(e == ERR_OK || e == ERR_NO_SPACE);
        atomic_fetch_add(e ? &c->refused : &c->done, 1);
        holds(c, i, k);
        holds(c, i, k2);
    }
}

static void crowd_end(void *arg)
{
    struct crowd *c = arg;
    fail_writes(DONE, 1);
    shop_close(&c->w);
}

static void test_crowd(void **state)
{
    (void)state;
    struct crowd *c = calloc(1, sizeof *c);
    ASSERT(c);
    engine_dir_make_fast();
    begin(&c->w);
    engine_parallel_then(FIBERS, crowd_work, crowd_end, c);
    assert_true(atomic_load(&c->done) > 0 && atomic_load(&c->refused) > 0);
    check_clean();
    shop_open(&c->w);
    is_as_before(&c->w);
    for (unsigned i = 0; i < FIBERS; i++)
        for (unsigned k = 0; k < KEYS; k++) holds(c, i, k);
    shop_close(&c->w);
    engine_dir_remove();
    free(c);
}

/* ---- when nothing can be proven ---- */

static void stuck_work(void *arg, unsigned i)
{
    struct crowd *c = arg;
    if (i == 0) {
        fail_writes(STUCK, 1);
        ASSERT(try_put(&c->w, "waits", 1, 100) == ERR_OK);
        return;
    }
    while (!atomic_load(&engine_of(&c->w.s)->stuck)) rt_sleep(RT_MS);
    atomic_store(&engine_of(&c->w.s)->space_checked_ns, (int64_t)sys->mono_ns());
    ASSERT(try_delete(&c->w, "old/1") == ERR_NO_SPACE);
    ASSERT(shop_get(&c->w, "plain", "old/1", 1, sizes[1]) == ERR_OK);
    fail_writes(DONE, 1);
}

static void test_stuck(void **state)
{
    (void)state;
    struct crowd *c = calloc(1, sizeof *c);
    ASSERT(c);
    engine_dir_make_fast();
    begin(&c->w);
    engine_parallel_then(2, stuck_work, crowd_end, c);
    check_clean();
    shop_open(&c->w);
    assert_int_equal(shop_get(&c->w, "plain", "waits", 1, 100), ERR_OK);
    is_as_before(&c->w);
    shop_close(&c->w);
    engine_dir_remove();
    free(c);
}

/* ---- below the object layer ---- */

static struct str key_of(char out[16], unsigned i)
{
    put_be64(out, 1);
    put_be32(out + 8, i);
    return str_of(out, 12);
}

/* What a commit published that was withdrawn may be published by another one. */
static void test_published_again(void **state)
{
    (void)state;
    char key[16];
    for (unsigned big = 0; big < 2; big++) {
        struct store s;
        struct blob_writer *w;
        size_t n = big ? 300000 : 5;
        engine_dir_make_fast();
        engine_dir_open(&s, NULL);
        struct arena *a = arena_new(0);
        assert_int_equal(blob_create(s.blobs, (int64_t)n, &w), ERR_OK);
        assert_int_equal(blob_write(w, shop_bytes(a, 1, n).p, n), ERR_OK);
        assert_int_equal(blob_seal(w, STR("")), ERR_OK);
        uint64_t id = w->id;
        for (unsigned again = 0; again < 3; again++) {
            struct idx_txn *t = idx_txn_new(a, 1, idx_now(s.idx));
            atomic_store(&engine_of(&s)->space_checked_ns, 0);
            idx_txn_check(t, key_of(key, 0));
            idx_txn_put(t, key_of(key, 0), STR("v"));
            idx_txn_publish(t, w);
            fail_writes(again < 2 ? ALL_OF_IT : DONE, 1);
            assert_int_equal(idx_commit(s.idx, t, NULL), again < 2 ? ERR_NO_SPACE : ERR_OK);
        }
        struct blob_reader *r;
        struct str v;
        assert_int_equal(blob_open(s.blobs, id, &r), ERR_OK);
        assert_int_equal(blob_view(r, 0, 5, &v), ERR_OK);
        assert_memory_equal(v.p, shop_bytes(a, 1, n).p, 5);
        blob_close(r);
        arena_free(a);
        engine_close(&s);
        engine_dir_remove();
    }
}

#define ROUNDS    (30u / FEWER)
#define MANY_KEYS 3000u /* the index takes them on a worker, while the next record is on its way */

struct pair {
    struct store s;
    _Atomic uint64_t added;
    _Atomic bool over;
};

static void add_one(struct pair *p, unsigned keys)
{
    struct arena *a = arena_new((size_t)64 << 20);
    char key[16];
    int64_t one = 1;
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(p->s.idx));
    atomic_store(&engine_of(&p->s)->space_checked_ns, 0);
    for (unsigned i = 1; i <= keys; i++) idx_txn_put(t, key_of(key, i), STR("v"));
    idx_txn_add(t, key_of(key, 0), &one, 1);
    err e = idx_commit(p->s.idx, t, NULL);
    ASSERT(e == ERR_OK || e == ERR_NO_SPACE);
    if (!e) atomic_fetch_add(&p->added, 1);
    arena_free(a);
}

/* One adds and is durable; the other adds behind it, and its record finds no space (but in one batch they
 * are both there). */
static void pair_work(void *arg, unsigned i)
{
    struct pair *p = arg;
    struct log *l = engine_of(&p->s)->log;
    for (unsigned round = 0; i == 0 && round < ROUNDS; round++) {
        add_one(p, MANY_KEYS);
        rt_sleep(RT_MS);
    }
    if (i == 0) atomic_store(&p->over, true);
    while (i == 1 && !atomic_load(&p->over)) {
        struct log_stats st;
        log_get_stats(l, &st);
        uint64_t flushes = st.flushes;
        while (st.flushes == flushes && !atomic_load(&p->over)) {
            rt_yield();
            log_get_stats(l, &st);
        }
        add_one(p, 0);
    }
}

static void pair_end(void *arg)
{
    struct pair *p = arg;
    fail_writes(DONE, 1);
    engine_close(&p->s);
}

static void test_behind_a_batch_on_its_way(void **state)
{
    (void)state;
    struct pair p = {.over = false};
    char key[16];
    struct str v;
    engine_dir_make_fast();
    engine_dir_open(&p.s, NULL);
    fail_writes(SMALL, 1);
    engine_parallel_then(2, pair_work, pair_end, &p);
    engine_dir_open(&p.s, NULL);
    struct arena *a = arena_new(0);
    assert_int_equal(idx_get(p.s.idx, a, key_of(key, 0), &v, NULL), ERR_OK);
    assert_int_equal(get_le64(v.p), atomic_load(&p.added));
    arena_free(a);
    engine_close(&p.s);
    engine_dir_remove();
}

int main(int argc, char **argv)
{
    uint64_t number;
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    faulty = sys_real;
    faulty.pwritev = faulty_pwritev;
    if (is_role(argc, argv, "refused", &number)) return refused_then_dead((enum fault)number);
    sys = &faulty;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),         cmocka_unit_test(test_crash),
        cmocka_unit_test(test_crowd),           cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_published_again), cmocka_unit_test(test_behind_a_batch_on_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
