/* Ways to damage a store, and what recovery is to say after those that lose nothing. */
#ifndef TESTS_STORE_PLANT_H
#define TESTS_STORE_PLANT_H

#include "data_dir.h"

/* The first blob of the table that ok accepts. */
struct pick {
    bool (*ok)(const struct blob_entry *b);
    struct blob_entry found;
};

static inline enum idx_step pick_blob(void *arg, struct str key, struct str value, uint64_t seq,
                                      struct str *seek)
{
    struct pick *p = arg;
    struct blob_entry b = {.id = get_be64(key.p + 9)};
    (void)seq, (void)seek;
    ASSERT(blob_entry_decode(value, &b) == ERR_OK);
    if (p->ok(&b)) {
        p->found = b;
        return IDX_STOP;
    }
    blob_places_drop(b.places);
    return IDX_NEXT;
}

static inline struct blob_entry pick(struct store *s, bool (*ok)(const struct blob_entry *b))
{
    char lo[INNER_KEY_MAX], hi[INNER_KEY_MAX];
    struct pick p = {.ok = ok};
    struct idx_range r = {inner_key(lo, INNER_BLOB, 0), inner_key(hi, INNER_BLOB + 1, 0), false};
    ASSERT(view_scan(engine_of(s)->view, &r, true, pick_blob, &p) == ERR_OK && p.found.id);
    return p.found;
}

static inline bool in_extents(const struct blob_entry *b)
{
    return b->where == BLOB_EXTENTS && b->size > 10000;
}

static inline bool in_log(const struct blob_entry *b)
{
    return b->where == BLOB_INLINE && b->size > 10;
}

static inline bool is_shared(const struct blob_entry *b)
{
    return b->refs > 1 && b->where == BLOB_EXTENTS;
}

/* Behind the log's back: value p NULL removes. */
static inline void view_edit(struct store *s, struct str key, struct str value)
{
    struct engine *e = engine_of(s);
    struct view_batch *b = view_batch_new();
    if (value.p)
        view_batch_put(b, key, atomic_load(&e->visible), value);
    else
        view_batch_del(b, key);
    ASSERT(view_write(e->view, b) == ERR_OK);
    view_batch_free(b);
}

static inline uint64_t plant_refs(bool (*ok)(const struct blob_entry *b), int64_t by)
{
    struct store s;
    struct buf value;
    char key[INNER_KEY_MAX];
    buf_init(&value, 0);
    engine_dir_open(&s, NULL);
    struct blob_entry b = pick(&s, ok);
    b.refs += (uint64_t)by;
    blob_entry_encode(&value, &b);
    view_edit(&s, inner_key(key, INNER_BLOB, b.id), buf_view(&value));
    blob_places_drop(b.places);
    buf_free(&value);
    engine_close(&s);
    return b.id;
}

static inline void leak(size_t n)
{
    struct store s;
    struct arena *a = arena_new(0);
    struct blob_writer *w;
    engine_dir_open(&s, &(struct engine_options){.inline_max = 16 << 10});
    ASSERT(blob_create(s.blobs, (int64_t)n, &w) == ERR_OK);
    ASSERT(blob_write(w, shop_bytes(a, 1, n).p, n) == ERR_OK && blob_seal(w, STR("")) == ERR_OK);
    struct idx_txn *t = idx_txn_new(a, 1, 0);
    idx_txn_publish(t, w);
    ASSERT(idx_commit(s.idx, t, NULL) == ERR_OK);
    arena_free(a);
    engine_close(&s);
}

static inline void add_counter(uint64_t shard, unsigned i, int64_t delta)
{
    struct store s;
    struct arena *a = arena_new(0);
    char key[9];
    int64_t d[IDX_COUNTERS_MAX] = {0};
    d[i] = delta;
    put_be64(key, shard);
    key[8] = 'c';
    engine_dir_open(&s, NULL);
    struct idx_txn *t = idx_txn_new(a, shard, 0);
    idx_txn_add(t, str_of(key, 9), d, i + 1);
    ASSERT(idx_commit(s.idx, t, NULL) == ERR_OK);
    arena_free(a);
    engine_close(&s);
}

static inline uint64_t shard_of(const char *bucket)
{
    struct shop w;
    struct bucket_info b;
    shop_open(&w);
    ASSERT(bucket_get(w.o, w.a, str_c(bucket), &b) == ERR_OK);
    uint64_t id = b.id;
    shop_close(&w);
    return id;
}

/* In a segment that is not the last, so that it is not taken for a torn tail. */
static inline void flip_old_segment(void)
{
    struct names_of f = names_in("log", ".log");
    unsigned first = 0;
    while (strncmp(f.name[first], "free-", 5) == 0) first++;
    char path[256], name[128];
    snprintf(name, sizeof name, "log/%s", f.name[first]);
    dir_path(name, path);
    engine_flip(path, 4096 + 70);
}

static inline void recovers_without_loss(void)
{
    struct recover_report r = recover_run();
    if (r.lost_records || r.lost_blobs || r.salvaged) fprintf(stderr, "%.*s", STR_FMT(buf_view(&r.lines)));
    assert_true(r.lost_records == 0 && r.lost_blobs == 0 && r.salvaged == 0);
    assert_true(r.entries > 150 && r.blobs > 100 && r.extents > 50);
    buf_free(&r.lines);
}

/* ---- each test on a store of its own ---- */

static inline int setup(void **state)
{
    (void)state;
    dir_make();
    shop_fill();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    engine_dir_remove();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* What check or recovery said. */
static inline bool says(const struct buf *lines, const char *text)
{
    size_t at;
    bool found = str_find(buf_view(lines), str_c(text), &at);
    if (!found) fprintf(stderr, "no \"%s\" in:\n%.*s", text, STR_FMT(buf_view(lines)));
    return found;
}

#endif
