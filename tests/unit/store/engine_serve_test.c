/* Collection while serving: many fibers write, read, pin and delete on a log that is collected all the time;
 * afterwards all is there, the check is clean, and recovery without the index brings the same back. */
#include "conformance/store_engine.h"

#include "base/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define FIBERS  16u
#define OBJECTS 24u /* a fiber */
#define ROUNDS  150u
#define SHARD   9u

/* What each fiber knows of its objects: size and stamp; stamp 0: absent. */
static uint64_t sizes[FIBERS][OBJECTS], stamps[FIBERS][OBJECTS];
static struct store store;

static struct str key_of(char out[16], unsigned fiber, uint64_t object)
{
    put_be64(out, SHARD);
    put_be32(out + 8, fiber);
    put_be32(out + 12, (uint32_t)object);
    return str_of(out, 16);
}

static void pattern(char *p, size_t n, uint64_t stamp)
{
    for (size_t i = 0; i < n; i++) p[i] = (char)(i * 29 + (i >> 7) + stamp * 3);
}

static void change(struct arena *a, unsigned me, uint64_t object, uint64_t size, uint64_t stamp)
{
    char key[16], value[16];
    struct str old = STR_NONE, k = key_of(key, me, object);
    struct blob_writer *w = NULL;
    uint64_t seq = idx_now(store.idx);
    err e = idx_get(store.idx, a, k, &old, NULL);
    ASSERT(e == (stamps[me][object] ? ERR_OK : ERR_NOT_FOUND));
    struct idx_txn *t = idx_txn_new(a, SHARD, seq);
    if (old.n) idx_txn_unref(t, get_le64(old.p));
    if (stamp) {
        char *body = malloc(size + 1);
        pattern(body, size, stamp);
        ASSERT(blob_create(store.blobs, stamp % 2 ? (int64_t)size : -1, &w) == ERR_OK);
        ASSERT(blob_write(w, body, size) == ERR_OK && blob_seal(w, STR("o")) == ERR_OK);
        free(body);
        put_le64(value, blob_writer_id(w));
        put_le64(value + 8, size);
        idx_txn_put(t, k, str_of(value, 16));
        idx_txn_publish(t, w);
    } else {
        idx_txn_del(t, k);
    }
    ASSERT(idx_commit(store.idx, t, NULL) == ERR_OK);
    sizes[me][object] = size;
    stamps[me][object] = stamp;
}

static struct blob_reader *pin(struct arena *a, unsigned me, uint64_t object)
{
    char key[16];
    struct str v;
    struct blob_reader *r = NULL;
    if (!stamps[me][object]) return NULL;
    ASSERT(idx_get(store.idx, a, key_of(key, me, object), &v, NULL) == ERR_OK);
    ASSERT(blob_open(store.blobs, get_le64(v.p), &r) == ERR_OK);
    return r;
}

static void verify(struct blob_reader *r, uint64_t size, uint64_t stamp)
{
    if (!r) return;
    char *want = malloc(size + 1);
    struct str v;
    pattern(want, size, stamp);
    ASSERT(blob_size(r) == size);
    for (uint64_t at = 0; at < size; at += v.n) {
        ASSERT(blob_view(r, at, 100000, &v) == ERR_OK);
        ASSERT(memcmp(v.p, want + at, v.n) == 0);
    }
    free(want);
    blob_close(r);
}

static void serve(void *arg, unsigned me)
{
    (void)arg;
    struct arena *a = arena_new(0);
    uint64_t r = me * 7919 + 17;
    for (unsigned i = 0; i < ROUNDS; i++) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        uint64_t object = (r >> 33) % OBJECTS, roll = (r >> 20) % 10;
        uint64_t size = (r >> 45) % (roll == 0 ? 200000 : 12000);
        /* Held over its own replacement, and over whatever is collected meanwhile. */
        struct blob_reader *held = pin(a, me, object);
        uint64_t held_size = sizes[me][object], held_stamp = stamps[me][object];
        change(a, me, object, size, roll < 3 && stamps[me][object] ? 0 : i + 1);
        if (roll % 2) rt_yield();
        verify(held, held_size, held_stamp);
        uint64_t other = (r >> 50) % OBJECTS;
        verify(pin(a, me, other), sizes[me][other], stamps[me][other]);
        arena_reset(a);
    }
    arena_free(a);
}

static void verify_all(void)
{
    struct arena *a = arena_new(0);
    for (unsigned f = 0; f < FIBERS; f++)
        for (uint64_t o = 0; o < OBJECTS; o++) verify(pin(a, f, o), sizes[f][o], stamps[f][o]);
    arena_free(a);
}

/* In a fiber: what runs in the background ends in order. */
static void verify_and_close(void *arg)
{
    struct engine_stats st;
    (void)arg;
    engine_get_stats(&store, &st);
    ASSERT(st.log_collected > 5);
    verify_all();
    engine_close(&store);
}

static bool check_entry(void *arg, struct str key, struct str value,
                        void (*ref)(void *ctx, uint64_t blob, uint64_t min),
                        void (*count)(void *ctx, struct str key, unsigned i, int64_t delta), void *ctx)
{
    (void)arg, (void)key, (void)count;
    if (value.n != 16) return false;
    ref(ctx, get_le64(value.p), get_le64(value.p + 8));
    return true;
}

static void assert_clean(void)
{
    struct check_options o = {.dir = engine_dir, .deep = true, .entry = check_entry};
    struct check_report r;
    char why[512];
    assert_int_equal(engine_check(&o, &r, why), ERR_OK);
    if (r.lines.n) fprintf(stderr, "%.*s", (int)r.lines.n, r.lines.p);
    assert_int_equal(r.lines.n, 0);
    buf_free(&r.lines);
}

static const struct engine_options small_log = {
    .log_bytes = 4 << 20, .segment_bytes = 1 << 20, .blob_cache = 1 << 20};

static void test_serve(void **state)
{
    (void)state;
    engine_dir_make_fast();
    engine_dir_open(&store, &small_log);
    engine_parallel_then(FIBERS, serve, verify_and_close, NULL);
    assert_clean();
    engine_dir_open(&store, &small_log);
    verify_all();
    engine_close(&store);

    char cmd[128], why[512];
    struct recover_report r;
    struct recover_options ro = {.dir = engine_dir, .entry = check_entry};
    snprintf(cmd, sizeof cmd, "%s/index", engine_dir);
    nftw(cmd, engine_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(engine_open(&(struct engine_options){.dir = engine_dir}, &store, why), ERR_CORRUPT);
    assert_non_null(strstr(why, "ingot recover"));
    assert_int_equal(engine_recover(&ro, &r, why), ERR_OK);
    assert_int_equal(r.lost_records, 0);
    buf_free(&r.lines);
    engine_dir_open(&store, &small_log);
    verify_all();
    engine_close(&store);
    assert_clean();
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_serve)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
