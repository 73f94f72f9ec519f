/* The engine against the store in memory: the same random operations give the same answers, also after being
 * opened again, on a log so small that it is collected all the time. INGOT_RANDOM_OPS sets how many (100,000
 * where the test's directory is in memory), INGOT_SEED which. */
#include "conformance/store_engine.h"

#include "base/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SHARD 5u
#define SLOTS 300u /* objects: a key, perhaps with a blob */

static uint64_t seed;
static uint64_t rnd(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

/* The two stores give different ids to the same blob. */
struct side {
    struct store s;
    uint64_t blob[SLOTS];
    uint64_t seqs[64]; /* after the last commits: moves of the engine's collection take sequences, too */
};
static struct side sides[2]; /* the engine, then memory */
static uint64_t sizes[SLOTS], stamps[SLOTS], written[SLOTS], stamp, commits, opened_at;

static struct str slot_key(char out[16], uint64_t slot)
{
    put_be64(out, SHARD);
    put_be32(out + 8, (uint32_t)(slot * 2654435761u)); /* spread over the order */
    return str_of(out, 12);
}

static void pattern(char *p, size_t n, uint64_t s)
{
    for (size_t i = 0; i < n; i++) p[i] = (char)(i * 13 + (i >> 8) + s * 7);
}

enum act { PUT_PLAIN, PUT_BLOB, DELETE, COPY_REF, STALE, ACTS };

struct step {
    enum act act;
    uint64_t slot, other, size, stamp;
    uint64_t back; /* commits since what it rests on was read */
};

static err run(struct side *d, const struct step *p)
{
    struct arena *a = arena_new(0);
    char key[16], value[16], counter[20];
    struct blob_writer *w = NULL;
    struct idx_txn *t = idx_txn_new(a, SHARD, d->seqs[(commits - p->back) % 64]);
    struct str k = slot_key(key, p->slot);
    if (p->act == STALE) idx_txn_check(t, k);
    put_le64(value, p->stamp);
    put_le64(value + 8, p->size);
    if (p->act == DELETE)
        idx_txn_del(t, k);
    else
        idx_txn_put(t, k, str_of(value, 16));
    if (d->blob[p->slot]) idx_txn_unref(t, d->blob[p->slot]);
    if (p->act == PUT_BLOB) {
        char *body = malloc(p->size + 1);
        pattern(body, p->size, p->stamp);
        ASSERT(blob_create(d->s.blobs, (int64_t)p->size, &w) == ERR_OK);
        ASSERT(blob_write(w, body, p->size) == ERR_OK && blob_seal(w, STR("o")) == ERR_OK);
        idx_txn_publish(t, w);
        free(body);
    }
    if (p->act == COPY_REF) idx_txn_ref(t, d->blob[p->other]);
    memset(counter, 0xfe, sizeof counter);
    put_be64(counter, SHARD);
    int64_t delta[2] = {1, (int64_t)p->size};
    idx_txn_add(t, str_of(counter, sizeof counter), delta, 2);
    uint64_t id = w ? blob_writer_id(w) : p->act == COPY_REF ? d->blob[p->other] : 0;
    err e = idx_commit(d->s.idx, t, &d->seqs[(commits + 1) % 64]);
    if (e)
        blob_abandon(w);
    else
        d->blob[p->slot] = id;
    arena_free(a);
    return e;
}

/* Whole contents as one string. */
static enum idx_step collect_entry(void *arg, struct str key, struct str value, uint64_t seq,
                                   struct str *seek)
{
    (void)seek;
    ASSERT(seq > 0);
    buf_lenstr(arg, key);
    buf_lenstr(arg, value);
    return IDX_NEXT;
}

static void compare_all(void)
{
    struct buf b[2];
    for (int i = 0; i < 2; i++) {
        buf_init(&b[i], 0);
        struct idx_range all = {STR(""), STR_NONE, false};
        ASSERT(idx_scan(sides[i].s.idx, &all, collect_entry, &b[i]) == ERR_OK);
    }
    ASSERT(str_eq(buf_view(&b[0]), buf_view(&b[1])));
    buf_free(&b[0]);
    buf_free(&b[1]);
}

static void compare_reader(struct blob_reader *r, uint64_t size, uint64_t s)
{
    char *want = malloc(size + 1);
    pattern(want, size, s);
    ASSERT(blob_size(r) == size);
    struct str v;
    for (uint64_t at = 0; at < size; at += v.n) {
        ASSERT(blob_view(r, at, 1 + rnd(300000), &v) == ERR_OK);
        ASSERT(memcmp(v.p, want + at, v.n) == 0);
    }
    free(want);
}

static void compare_blob(uint64_t slot)
{
    struct blob_reader *r;
    if (!sides[0].blob[slot]) return;
    for (int i = 0; i < 2; i++) {
        ASSERT(blob_open(sides[i].s.blobs, sides[i].blob[slot], &r) == ERR_OK);
        compare_reader(r, sizes[slot], stamps[slot]);
        blob_close(r);
    }
}

static const struct engine_options small_log = {
    .log_bytes = 4 << 20, .segment_bytes = 1 << 20, .inline_max = 8192, .blob_cache = 1 << 20};

static void reopen(void)
{
    engine_close(&sides[0].s);
    engine_dir_open(&sides[0].s, &small_log);
    compare_all();
    for (uint64_t i = 0; i < SLOTS; i += 1 + rnd(5)) compare_blob(i);
}

static struct step choose(void)
{
    struct step p = {.act = (enum act)rnd(ACTS), .slot = rnd(SLOTS), .other = rnd(SLOTS), .stamp = ++stamp};
    if (p.act == STALE) p.back = rnd(40);
    if (p.back > commits - opened_at)
        p.back = 0; /* the engine's memory of recent writes begins at its opening */
    if (p.act == STALE)
        p.slot = rnd(20); /* few, so that the engine's shared slots of the resolver do not differ */
    if (p.act == PUT_BLOB) p.size = rnd(20) ? rnd(10000) : rnd(300000);
    if (p.act == COPY_REF && !sides[1].blob[p.other]) p.act = PUT_PLAIN;
    if (p.act == COPY_REF) {
        p.size = sizes[p.other];
        p.stamp = stamps[p.other];
        if (p.other == p.slot) p.act = DELETE;
    }
    return p;
}

static void test_same_answers(void **state)
{
    (void)state;
    const char *ops = getenv("INGOT_RANDOM_OPS"), *from = getenv("INGOT_SEED");
    uint64_t n = engine_dir_make_fast() ? 100000 : 2000;
    if (ops) n = strtoull(ops, NULL, 10);
    seed = from ? strtoull(from, NULL, 10) : 20261122;
    engine_dir_open(&sides[0].s, &small_log);
    ASSERT(store_memory_new(&sides[1].s, 0) == ERR_OK);
    uint64_t conflicts = 0, collected = 0, too_many = 0;
    for (uint64_t i = 0; i < n; i++) {
        struct step p = choose();
        err got = run(&sides[0], &p);
        /* Its memory of recent writes may see a conflict too many, seldom; never one too few. */
        if (got == ERR_CONFLICT && p.act == STALE && written[p.slot] <= commits - p.back) {
            too_many++;
            continue;
        }
        err want = run(&sides[1], &p);
        if (got != want)
            fprintf(stderr, "seed %s, step %llu: act %d slot %llu: engine %s, memory %s\n",
                    from ? from : "20261122", (unsigned long long)i, (int)p.act, (unsigned long long)p.slot,
                    err_name(got), err_name(want));
        ASSERT(got == want);
        conflicts += want == ERR_CONFLICT;
        if (!want) {
            written[p.slot] = ++commits;
            sizes[p.slot] = p.size;
            stamps[p.slot] = p.stamp;
        }
        if (rnd(10) == 0) compare_blob(rnd(SLOTS));
        if (rnd(n / 20 + 1) == 0 || i == n - 1) {
            struct engine_stats st;
            engine_get_stats(&sides[0].s, &st);
            collected += st.log_collected;
            reopen();
            opened_at = commits;
        }
    }
    assert_true(conflicts > n / 100 && too_many < 10 + n / 1000);
    if (n >= 20000) assert_true(collected > 10);
    engine_close(&sides[0].s);
    store_memory_free(&sides[1].s);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
