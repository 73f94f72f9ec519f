/* The conformance suite of the store's two seams: each implementation includes it and passes a fixture. */
#ifndef CONFORMANCE_STORE_SUITE_H
#define CONFORMANCE_STORE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "store/store.h"

struct fixture {
    void (*open)(struct store *s, uint64_t capacity /* 0: unlimited */);
    void (*close)(struct store *s);
    void (*corrupt)(struct store *s, uint64_t blob, uint64_t off);
    /* Run fn(arg, 0) … fn(arg, n - 1) at the same time; fn fails by ASSERT. */
    void (*parallel)(unsigned n, void (*fn)(void *arg, unsigned i), void *arg);
    void (*settle)(struct store *s); /* do what is done in the background otherwise; may be NULL */
};
static const struct fixture *fx;

#define SHARD 7u
static char key_space[64][80];

/* A key of shard SHARD; a few may be in use at once. */
static struct str K(const char *name) {
    static unsigned next;
    char *k = key_space[next++ % 64];
    put_be64(k, SHARD);
    size_t n = strlen(name);
    ASSERT(n <= 72);
    memcpy(k + 8, name, n);
    return str_of(k, n + 8);
}

static err
put(struct store *s, const char *name, struct str value)
{
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, SHARD, idx_now(s->idx));
    idx_txn_put(t, K(name), value);
    err e = idx_commit(s->idx, t, NULL);
    arena_free(a);
    return e;
}

static err del(struct store *s, const char *name)
{
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, SHARD, idx_now(s->idx));
    idx_txn_del(t, K(name));
    err e = idx_commit(s->idx, t, NULL);
    arena_free(a);
    return e;
}

typedef err get_fn(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq);

static void assert_got(struct store *s, get_fn *get, const char *name, const char *want)
{
    struct arena *a = arena_new(0);
    struct str v;
    err e = get(s->idx, a, K(name), &v, NULL);
    if (!want) {
        assert_int_equal(e, ERR_NOT_FOUND);
    } else {
        assert_int_equal(e, ERR_OK);
        assert_int_equal(v.n, strlen(want));
        assert_memory_equal(v.p, want, v.n);
    }
    arena_free(a);
}

static void assert_value(struct store *s, const char *name, const char *want)
{
    assert_got(s, idx_get, name, want);
    if (K(name).n > IDX_HOT_KEY_MAX) return;
    assert_got(s, idx_get_hot, name, want);
    assert_got(s, idx_get_hot, name, want); /* what the first has kept */
}

static int open_store(void **state)
{
    struct store *s = calloc(1, sizeof *s);
    fx->open(s, 0);
    *state = s;
    return 0;
}

static int close_store(void **state)
{
    fx->close(*state);
    free(*state);
    return 0;
}

/* ---- index ---- */

static void test_get_put_del(void **state)
{
    struct store *s = *state;
    assert_value(s, "a", NULL);
    uint64_t before = idx_now(s->idx);
    assert_int_equal(put(s, "a", STR("one")), ERR_OK);
    assert_true(idx_now(s->idx) == before + 1);
    assert_value(s, "a", "one");
    assert_int_equal(put(s, "a", STR("two")), ERR_OK);
    assert_value(s, "a", "two");
    assert_int_equal(put(s, "b", STR("")), ERR_OK);
    assert_value(s, "b", "");
    assert_int_equal(del(s, "a"), ERR_OK);
    assert_value(s, "a", NULL);
    assert_int_equal(del(s, "a"), ERR_OK);
    assert_value(s, "b", "");
}

static void test_sequences(void **state)
{
    struct store *s = *state;
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, SHARD, idx_now(s->idx));
    idx_txn_put(t, K("x"), STR("1"));
    idx_txn_put(t, K("y"), STR("2"));
    idx_txn_put(t, K("x"), STR("3"));
    idx_txn_del(t, K("y"));
    idx_txn_put(t, K("z"), STR("4"));
    uint64_t seq = 0, got = 0;
    assert_int_equal(idx_commit(s->idx, t, &seq), ERR_OK);
    assert_true(seq == idx_now(s->idx));
    struct str v;
    assert_int_equal(idx_get(s->idx, a, K("x"), &v, &got), ERR_OK);
    assert_true(got == seq && str_eq(v, STR("3")));
    assert_value(s, "y", NULL);
    assert_int_equal(put(s, "z", STR("5")), ERR_OK);
    assert_int_equal(idx_get(s->idx, a, K("x"), &v, &got), ERR_OK);
    assert_true(got == seq);
    assert_int_equal(idx_get(s->idx, a, K("z"), &v, &got), ERR_OK);
    assert_true(got == seq + 1);
    arena_free(a);
}

static void test_large_values(void **state)
{
    struct store *s = *state;
    struct arena *a = arena_new(0);
    char *big = malloc(IDX_VALUE_MAX);
    for (size_t i = 0; i < IDX_VALUE_MAX; i++) big[i] = (char)(i * 31 >> 3);
    assert_int_equal(put(s, "big", str_of(big, IDX_VALUE_MAX)), ERR_OK);
    struct str v;
    assert_int_equal(idx_get(s->idx, a, K("big"), &v, NULL), ERR_OK);
    assert_int_equal(v.n, IDX_VALUE_MAX);
    assert_memory_equal(v.p, big, v.n);
    struct idx_txn *t = idx_txn_new(a, SHARD, 0);
    for (int i = 0; i < 3; i++) idx_txn_put(t, K("big"), str_of(big, IDX_VALUE_MAX));
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_ENTITY_TOO_LARGE);
    arena_free(a);
    a = arena_new(8192);
    t = idx_txn_new(a, SHARD, 0);
    idx_txn_put(t, K("big"), str_of(big, 65536));
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_NO_MEMORY);
    free(big);
    arena_free(a);
}

struct walk {
    struct store *s;
    char seen[512];
    unsigned calls, stop_after;
    const char *skip_from, *skip_to; /* at skip_from, seek to skip_to */
    char seek[80];
    bool write_inside;
};

static enum idx_step walk_step(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct walk *w = arg;
    ASSERT(key.n > 8 && seq > 0);
    (void)value;
    size_t at = strlen(w->seen);
    ASSERT(at + key.n < sizeof w->seen);
    memcpy(w->seen + at, key.p + 8, key.n - 8);
    w->seen[at + key.n - 8] = ' ';
    w->seen[at + key.n - 7] = 0;
    w->calls++;
    if (w->stop_after && w->calls == w->stop_after) return IDX_STOP;
    if (w->skip_from && str_eq(str_slice(key, 8, key.n), str_c(w->skip_from))) {
        put_be64(w->seek, SHARD);
        memcpy(w->seek + 8, w->skip_to, strlen(w->skip_to));
        *seek = str_of(w->seek, 8 + strlen(w->skip_to));
        return IDX_SEEK;
    }
    return IDX_NEXT;
}

static void fill_walk_keys(struct store *s)
{
    static const char *const names[] = {"a", "a/1", "a/2", "a/3", "b", "c/1", "c/2", "d", "gone", NULL};
    for (int i = 0; names[i]; i++) assert_int_equal(put(s, names[i], STR("v")), ERR_OK);
    assert_int_equal(del(s, "gone"), ERR_OK);
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, SHARD + 1, 0);
    char other[9];
    put_be64(other, SHARD + 1);
    other[8] = 'z';
    idx_txn_put(t, str_of(other, 9), STR("other shard"));
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_OK);
    arena_free(a);
}

static void assert_walk(struct store *s, struct str lo, struct str hi, bool reverse, struct walk w,
                        const char *want)
{
    struct idx_range r = {lo, hi, reverse};
    assert_int_equal(idx_scan(s->idx, &r, walk_step, &w), ERR_OK);
    assert_string_equal(w.seen, want);
}

static void test_scan(void **state)
{
    struct store *s = *state;
    fill_walk_keys(s);
    struct walk w = {0};
    struct str all = K(""), end = K("\xff");
    assert_walk(s, all, end, false, w, "a a/1 a/2 a/3 b c/1 c/2 d ");
    assert_walk(s, all, end, true, w, "d c/2 c/1 b a/3 a/2 a/1 a ");
    assert_walk(s, K("a/1"), K("c/1"), false, w, "a/1 a/2 a/3 b ");
    assert_walk(s, K("a/1"), K("c/1"), true, w, "b a/3 a/2 a/1 ");
    assert_walk(s, K("a/1\x01"), K("a/3"), false, w, "a/2 ");
    assert_walk(s, K("d"), K("d"), false, w, "");
    assert_walk(s, K("d"), K("a"), true, w, "");
    assert_walk(s, K("d"), STR_NONE, false, w, "d z ");
    assert_walk(s, K("a/4"), STR_NONE, true, w, "z d c/2 c/1 b ");
    w.stop_after = 3;
    assert_walk(s, all, end, false, w, "a a/1 a/2 ");
    assert_walk(s, all, end, true, w, "d c/2 c/1 ");
}

static void test_scan_seek(void **state)
{
    struct store *s = *state;
    fill_walk_keys(s);
    struct str all = K(""), end = K("\xff");
    assert_walk(s, all, end, false, (struct walk){.skip_from = "a/1", .skip_to = "a0"}, "a a/1 b c/1 c/2 d ");
    assert_walk(s, all, end, false, (struct walk){.skip_from = "a", .skip_to = "c/2"}, "a c/2 d ");
    assert_walk(s, all, end, false, (struct walk){.skip_from = "b", .skip_to = "zz"}, "a a/1 a/2 a/3 b ");
    /* A seek past the range ends the scan, even where entries follow. */
    assert_walk(s, all, K("c"), false, (struct walk){.skip_from = "a/2", .skip_to = "c/1"}, "a a/1 a/2 ");
}

static void test_conflicts(void **state)
{
    struct store *s = *state;
    struct arena *a = arena_new(0);
    assert_int_equal(put(s, "k", STR("1")), ERR_OK);
    uint64_t seq = idx_now(s->idx);
    assert_int_equal(put(s, "other", STR("1")), ERR_OK);

    struct idx_txn *t = idx_txn_new(a, SHARD, seq);
    idx_txn_check(t, K("k"));
    idx_txn_check(t, K("absent"));
    idx_txn_put(t, K("k"), STR("2"));
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_OK);

    t = idx_txn_new(a, SHARD, seq);
    idx_txn_check(t, K("k"));
    idx_txn_put(t, K("k"), STR("3"));
    idx_txn_put(t, K("witness"), STR("3"));
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_CONFLICT);
    assert_value(s, "k", "2");
    assert_value(s, "witness", NULL);

    /* A delete is a write, also of what did not exist. */
    seq = idx_now(s->idx);
    assert_int_equal(del(s, "k"), ERR_OK);
    t = idx_txn_new(a, SHARD, seq);
    idx_txn_check(t, K("k"));
    idx_txn_put(t, K("witness"), STR("4"));
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_CONFLICT);
    seq = idx_now(s->idx);
    assert_int_equal(put(s, "absent", STR("1")), ERR_OK);
    t = idx_txn_new(a, SHARD, seq);
    idx_txn_check(t, K("absent"));
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_CONFLICT);

    /* Adding to a counter conflicts with nothing. */
    seq = idx_now(s->idx);
    int64_t one = 1;
    t = idx_txn_new(a, SHARD, seq);
    idx_txn_add(t, K("n"), &one, 1);
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_OK);
    t = idx_txn_new(a, SHARD, seq);
    idx_txn_check(t, K("n"));
    idx_txn_add(t, K("n"), &one, 1);
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_OK);
    arena_free(a);
}

static err add(struct store *s, const char *name, int64_t x, int64_t y, unsigned n)
{
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, SHARD, 0);
    int64_t d[2] = {x, y};
    idx_txn_add(t, K(name), d, n);
    err e = idx_commit(s->idx, t, NULL);
    arena_free(a);
    return e;
}

static int64_t counter(struct store *s, const char *name, unsigned i)
{
    struct arena *a = arena_new(0);
    struct str v = STR_NONE;
    err e = idx_get(s->idx, a, K(name), &v, NULL);
    ASSERT(e == ERR_OK || e == ERR_NOT_FOUND);
    int64_t x = v.n >= 8 * (i + 1) ? (int64_t)get_le64(v.p + 8 * i) : 0;
    arena_free(a);
    return x;
}

static void test_counters(void **state)
{
    struct store *s = *state;
    assert_int_equal(add(s, "n", 5, 0, 1), ERR_OK);
    assert_int_equal(counter(s, "n", 0), 5);
    assert_int_equal(add(s, "n", -7, 100, 2), ERR_OK);
    assert_int_equal(counter(s, "n", 0), -2);
    assert_int_equal(counter(s, "n", 1), 100);
    assert_int_equal(add(s, "n", 2, 0, 1), ERR_OK);
    assert_int_equal(counter(s, "n", 0), 0);
    assert_int_equal(counter(s, "n", 1), 100);
    assert_int_equal(del(s, "n"), ERR_OK);
    assert_int_equal(counter(s, "n", 1), 0);
    assert_int_equal(add(s, "n", 1, 0, 1), ERR_OK);
    assert_int_equal(counter(s, "n", 0), 1);
    assert_int_equal(counter(s, "n", 1), 0);
}

static void test_check_zero(void **state)
{
    struct store *s = *state;
    struct arena *a = arena_new(0);
    for (int round = 0; round < 3; round++) {
        static const err want[3] = {ERR_OK, ERR_CONFLICT, ERR_OK};
        struct idx_txn *t = idx_txn_new(a, SHARD, idx_now(s->idx));
        idx_txn_check_zero(t, K("n"), 1);
        idx_txn_put(t, K("deleted"), STR("yes"));
        assert_int_equal(idx_commit(s->idx, t, NULL), want[round]);
        assert_int_equal(add(s, "n", 3, round == 0 ? 1 : -1, 2), ERR_OK);
    }
    arena_free(a);
}

/* ---- blobs ---- */

static void blob_bytes(char *p, size_t at, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) p[i] = (char)(((at + i) * 2654435761u) >> 11 ^ seed);
}

/* Up to n bytes into the writer's own room; 0: it has none. */
static size_t fill_room(struct blob_writer *w, size_t at, size_t n, unsigned seed)
{
    char *p;
    size_t room;
    assert_int_equal(blob_room(w, &p, &room), ERR_OK);
    if (!p) return 0;
    if (n > room) n = room;
    blob_bytes(p, at, n, seed);
    assert_int_equal(blob_filled(w, n), ERR_OK);
    return n;
}

/* Odd seeds: of known size, in turn by the writer's own room and by copies. */
static struct blob_writer *write_blob(struct store *s, size_t n, unsigned seed)
{
    struct blob_writer *w;
    assert_int_equal(blob_create(s->blobs, seed & 1 ? (int64_t)n : -1, &w), ERR_OK);
    char piece[3000];
    for (size_t at = 0; at < n;) {
        if (seed & 1) at += fill_room(w, at, n - at < 200000 ? n - at : 200000, seed);
        size_t m = n - at < sizeof piece ? n - at : sizeof piece;
        blob_bytes(piece, at, m, seed);
        assert_int_equal(blob_write(w, piece, m), ERR_OK);
        at += m;
    }
    assert_int_equal(blob_seal(w, STR("owner")), ERR_OK);
    return w;
}

enum blob_act { PUBLISH, REF, UNREF };
static err blob_commit(struct store *s, enum blob_act act, struct blob_writer *w, uint64_t id)
{
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, SHARD, idx_now(s->idx));
    if (act == PUBLISH) idx_txn_publish(t, w);
    if (act == REF) idx_txn_ref(t, id);
    if (act == UNREF) idx_txn_unref(t, id);
    err e = idx_commit(s->idx, t, NULL);
    arena_free(a);
    return e;
}

static uint64_t store_blob(struct store *s, size_t n, unsigned seed)
{
    struct blob_writer *w = write_blob(s, n, seed);
    uint64_t id = blob_writer_id(w);
    assert_int_equal(blob_commit(s, PUBLISH, w, 0), ERR_OK);
    return id;
}

static err read_blob(struct blob_reader *r, unsigned seed, uint64_t from, uint64_t to, size_t step)
{
    for (uint64_t at = from; at < to;) {
        struct str v;
        err e = blob_view(r, at, step, &v);
        if (e) return e;
        for (size_t i = 0; i < v.n && at + i < to; i++)
            ASSERT(v.p[i] == (char)(((at + i) * 2654435761u) >> 11 ^ seed));
        at += v.n;
    }
    return ERR_OK;
}

static void assert_blob(struct store *s, uint64_t id, size_t n, unsigned seed)
{
    struct blob_reader *r;
    assert_int_equal(blob_open(s->blobs, id, &r), ERR_OK);
    assert_true(blob_size(r) == n);
    assert_int_equal(read_blob(r, seed, 0, n, 65536), ERR_OK);
    if (n > 10) assert_int_equal(read_blob(r, seed, n / 3, n / 3 + 7, 7), ERR_OK);
    if (n > 0) assert_int_equal(read_blob(r, seed, n - 1, n, 1000), ERR_OK);
    blob_close(r);
}

static void assert_no_blob(struct store *s, uint64_t id)
{
    struct blob_reader *r;
    assert_int_equal(blob_open(s->blobs, id, &r), ERR_NOT_FOUND);
}

static void test_blob_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 511, 4096, 32768, 65535, 65536, 65537, 1000003, 5 << 20};
    struct store *s = *state;
    uint64_t ids[10];
    for (unsigned i = 0; i < 10; i++) ids[i] = store_blob(s, sizes[i], i);
    for (unsigned i = 0; i < 10; i++) {
        assert_blob(s, ids[i], sizes[i], i);
        for (unsigned j = 0; j < i; j++) assert_true(ids[i] != ids[j]);
    }
}

static void test_blob_references(void **state)
{
    static const size_t sizes[] = {100, 300000};
    struct store *s = *state;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t id = store_blob(s, sizes[i], i);
        assert_int_equal(blob_commit(s, REF, NULL, id), ERR_OK);
        assert_int_equal(blob_commit(s, UNREF, NULL, id), ERR_OK);
        assert_blob(s, id, sizes[i], i);
        assert_int_equal(blob_commit(s, UNREF, NULL, id), ERR_OK);
        assert_no_blob(s, id);
        assert_int_equal(blob_commit(s, REF, NULL, id), ERR_CONFLICT);
        assert_int_equal(blob_commit(s, UNREF, NULL, id), ERR_OK);
    }
}

static void test_blob_references_in_one_txn(void **state)
{
    struct store *s = *state;
    struct arena *a = arena_new(0);
    struct blob_writer *w = write_blob(s, 5000, 3);
    uint64_t id = blob_writer_id(w), old = store_blob(s, 10, 4);
    struct idx_txn *t = idx_txn_new(a, SHARD, idx_now(s->idx));
    idx_txn_publish(t, w);
    idx_txn_ref(t, id);
    idx_txn_unref(t, old);
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_OK);
    assert_no_blob(s, old);
    assert_int_equal(blob_commit(s, UNREF, NULL, id), ERR_OK);
    assert_blob(s, id, 5000, 3);
    t = idx_txn_new(a, SHARD, idx_now(s->idx));
    idx_txn_unref(t, id);
    idx_txn_ref(t, id);
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_CONFLICT);
    assert_blob(s, id, 5000, 3);
    arena_free(a);
}

static void test_blob_pins(void **state)
{
    static const size_t sizes[] = {1000, 700000};
    struct store *s = *state;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t id = store_blob(s, sizes[i], i);
        struct blob_reader *r, *r2;
        assert_int_equal(blob_open(s->blobs, id, &r), ERR_OK);
        assert_int_equal(blob_open(s->blobs, id, &r2), ERR_OK);
        assert_int_equal(read_blob(r, i, 0, 1, 1), ERR_OK);
        assert_int_equal(blob_commit(s, UNREF, NULL, id), ERR_OK);
        assert_no_blob(s, id);
        assert_int_equal(read_blob(r, i, 0, sizes[i], 4096), ERR_OK);
        blob_close(r);
        assert_int_equal(read_blob(r2, i, 0, sizes[i], 100000), ERR_OK);
        blob_close(r2);
    }
}

static void test_blob_unpublished(void **state)
{
    struct store *s = *state;
    struct blob_writer *w;
    assert_int_equal(blob_create(s->blobs, -1, &w), ERR_OK);
    blob_abandon(w);
    w = write_blob(s, 200000, 1);
    uint64_t id = blob_writer_id(w);
    assert_no_blob(s, id);
    blob_abandon(w);
    assert_no_blob(s, id);
    blob_abandon(NULL);
    blob_close(NULL);

    /* A failed commit leaves the writer with the caller, who may try again. */
    w = write_blob(s, 2000, 2);
    id = blob_writer_id(w);
    struct arena *a = arena_new(0);
    uint64_t seq = idx_now(s->idx);
    assert_int_equal(put(s, "k", STR("v")), ERR_OK);
    struct idx_txn *t = idx_txn_new(a, SHARD, seq);
    idx_txn_check(t, K("k"));
    idx_txn_publish(t, w);
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_CONFLICT);
    assert_no_blob(s, id);
    assert_int_equal(blob_commit(s, PUBLISH, w, 0), ERR_OK);
    assert_blob(s, id, 2000, 2);
    arena_free(a);
}

static void test_blob_corrupt(void **state)
{
    static const size_t sizes[] = {3000, 400000};
    struct store *s = *state;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t id = store_blob(s, sizes[i], i), other = store_blob(s, sizes[i], 9);
        fx->corrupt(s, id, sizes[i] - 5);
        struct blob_reader *r;
        assert_int_equal(blob_open(s->blobs, id, &r), ERR_OK);
        assert_int_equal(read_blob(r, i, sizes[i] - 10, sizes[i], 10), ERR_CORRUPT);
        blob_close(r);
        assert_blob(s, other, sizes[i], 9);
    }
}

/* ---- space ---- */

static void test_no_space(void **state)
{
    (void)state;
    struct store s;
    fx->open(&s, 32 << 20);
    uint64_t first = store_blob(&s, 10 << 20, 1);
    assert_int_equal(put(&s, "k", STR("v")), ERR_OK);
    /* Fill up: at some point a write is refused, early or late, and leaves nothing behind. */
    err e = ERR_OK;
    for (int i = 0; i < 100 && !e; i++) {
        struct blob_writer *w = NULL;
        static char mib[1 << 20];
        e = blob_create(s.blobs, sizeof mib, &w);
        if (!e) e = blob_write(w, mib, sizeof mib);
        if (!e) e = blob_seal(w, STR("filler"));
        if (!e) e = blob_commit(&s, PUBLISH, w, 0);
        if (e) blob_abandon(w);
    }
    assert_int_equal(e, ERR_NO_SPACE);
    char *big = calloc(1, 2 << 20);
    e = put(&s, "big", str_of(big, 2 << 20)); /* the engine's log is written ahead: it may still have room */
    assert_true(e == ERR_NO_SPACE || e == ERR_OK);
    assert_value(&s, "k", "v");
    if (e) assert_value(&s, "big", NULL);
    /* Deleting works on a full disk, and space comes back. */
    assert_int_equal(add(&s, "n", 1, 0, 1), ERR_OK);
    assert_int_equal(del(&s, "k"), ERR_OK);
    assert_int_equal(blob_commit(&s, UNREF, NULL, first), ERR_OK);
    for (int i = 0; i < 5000 && (e = put(&s, "big", str_of(big, 2 << 20))) == ERR_NO_SPACE; i++) {
        struct timespec ms = {0, 1000000};
        if (fx->settle) fx->settle(&s);
        nanosleep(&ms, NULL);
    }
    assert_int_equal(e, ERR_OK);
    free(big);
    fx->close(&s);
}

/* ---- many at once ---- */

#define WORKERS 8u
#define ROUNDS  100u

static void race(void *arg, unsigned me)
{
    struct store *s = arg;
    struct arena *a = arena_new(0);
    char own[24];
    put_be64(own, SHARD);
    memcpy(own + 8, "own-", 4);
    put_be32(own + 12, me);
    char shared[12], total[13], list[12];
    put_be64(shared, SHARD), put_be64(total, SHARD), put_be64(list, SHARD);
    memcpy(shared + 8, "race", 4), memcpy(total + 8, "total", 5), memcpy(list + 8, "pair", 4);
    for (unsigned i = 0; i < ROUNDS;) {
        uint64_t seq = idx_now(s->idx);
        struct str v = STR_NONE;
        get_fn *get = me % 2 ? idx_get_hot : idx_get;
        err e = get(s->idx, a, str_of(shared, 12), &v, NULL);
        ASSERT(e == ERR_OK || e == ERR_NOT_FOUND);
        uint64_t n = v.n == 8 ? get_le64(v.p) : 0;
        char next[8];
        put_le64(next, n + 1);
        put_be32(own + 16, i);
        struct blob_writer *w;
        ASSERT(blob_create(s->blobs, 8, &w) == ERR_OK);
        ASSERT(blob_write(w, next, 8) == ERR_OK && blob_seal(w, STR("o")) == ERR_OK);
        uint64_t id = blob_writer_id(w);
        struct idx_txn *t = idx_txn_new(a, SHARD, seq);
        idx_txn_check(t, str_of(shared, 12));
        idx_txn_put(t, str_of(shared, 12), str_of(next, 8));
        idx_txn_put(t, str_of(own, 20), str_of(next, 8));
        int64_t d[2] = {1, (int64_t)n};
        idx_txn_add(t, str_of(total, 13), d, 2);
        idx_txn_publish(t, w);
        e = idx_commit(s->idx, t, NULL);
        ASSERT(e == ERR_OK || e == ERR_CONFLICT);
        if (e) {
            blob_abandon(w);
        } else {
            i++;
            struct blob_reader *r;
            ASSERT(blob_open(s->blobs, id, &r) == ERR_OK);
            ASSERT(blob_view(r, 0, 8, &v) == ERR_OK && v.n == 8 && get_le64(v.p) == n + 1);
            blob_close(r);
        }
        arena_reset(a);
    }
    arena_free(a);
}

/* Every success saw the number it replaced: lost updates, torn transactions or stale reads change the sums.
 */
static void test_race(void **state)
{
    struct store *s = *state;
    fx->parallel(WORKERS, race, s);
    uint64_t n = WORKERS * ROUNDS;
    assert_int_equal(counter(s, "race", 0), n);
    assert_int_equal(counter(s, "total", 0), n);
    assert_int_equal(counter(s, "total", 1), n * (n - 1) / 2);
}

static enum idx_step equal_step(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    (void)key, (void)seq, (void)seek;
    uint64_t *first = arg;
    ASSERT(value.n == 8);
    if (first[1]++ == 0) first[0] = get_le64(value.p);
    ASSERT(get_le64(value.p) == first[0]);
    return IDX_NEXT;
}

static void snapshot(void *arg, unsigned me)
{
    struct store *s = arg;
    struct arena *a = arena_new(0);
    char lo[12], hi[12], key[13];
    put_be64(lo, SHARD), put_be64(hi, SHARD), put_be64(key, SHARD);
    memcpy(lo + 8, "snap", 4), memcpy(hi + 8, "snaq", 4), memcpy(key + 8, "snap", 4);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (me < WORKERS / 2) { /* writers set all keys to one value */
            char v[8];
            put_le64(v, me * ROUNDS + i);
            struct idx_txn *t = idx_txn_new(a, SHARD, 0);
            for (int k = 0; k < 20; k++)
                key[12] = (char)('a' + k), idx_txn_put(t, str_of(key, 13), str_of(v, 8));
            ASSERT(idx_commit(s->idx, t, NULL) == ERR_OK);
        } else { /* readers never see two */
            uint64_t seen[2] = {0, 0};
            struct idx_range r = {str_of(lo, 12), str_of(hi, 12), i % 2};
            ASSERT(idx_scan(s->idx, &r, equal_step, seen) == ERR_OK);
            ASSERT(seen[1] == 0 || seen[1] == 20);
        }
        arena_reset(a);
    }
    arena_free(a);
}

static void test_scan_snapshot(void **state)
{
    fx->parallel(WORKERS, snapshot, *state);
}

#define SUITE_TEST(f) cmocka_unit_test_setup_teardown(f, open_store, close_store)
static int run_suite(const char *name, const struct fixture *fixture)
{
    fx = fixture;
    const struct CMUnitTest tests[] = {
        SUITE_TEST(test_get_put_del),
        SUITE_TEST(test_sequences),
        SUITE_TEST(test_large_values),
        SUITE_TEST(test_scan),
        SUITE_TEST(test_scan_seek),
        SUITE_TEST(test_conflicts),
        SUITE_TEST(test_counters),
        SUITE_TEST(test_check_zero),
        SUITE_TEST(test_blob_sizes),
        SUITE_TEST(test_blob_references),
        SUITE_TEST(test_blob_references_in_one_txn),
        SUITE_TEST(test_blob_pins),
        SUITE_TEST(test_blob_unpublished),
        SUITE_TEST(test_blob_corrupt),
        cmocka_unit_test(test_no_space),
        SUITE_TEST(test_race),
        SUITE_TEST(test_scan_snapshot),
    };
    return _cmocka_run_group_tests(name, tests, sizeof tests / sizeof *tests, NULL, NULL);
}

#endif
