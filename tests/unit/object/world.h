/* world: objects over the store in memory, for tests. world_end() audits everything: each entry of the index
 * decodes, each blob has exactly the references that entries hold, no blob is left over, and every counter is
 * right. */
#ifndef TEST_OBJECT_WORLD_H
#define TEST_OBJECT_WORLD_H

#include "base/assert.h"
#include "base/bytes.h"
#include "object/internal.h"
#include "rt/rt.h"
#include "store/memory.h"
#include "sys/sys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka's asserts jump, which a fiber must not: fibers use this one. */
#define CHECK(x) ASSERT(x)

struct world {
    struct store store;
    struct objects *o;
    struct arena *a;
};

static inline void world_begin(struct world *w)
{
    CHECK(store_memory_new(&w->store, 0) == ERR_OK);
    struct objects_options opt = {.store = &w->store, .min_part_size = 100};
    CHECK(objects_new(&opt, &w->o) == ERR_OK);
    w->a = arena_new((size_t)1 << 30);
    CHECK(w->a);
}

struct audit {
    struct memory_store *m;
    struct memory_map *refs;     /* BE64 blob id → uint64_t */
    struct memory_map *counters; /* counter key → int64_t[CNT_N] */
    unsigned entries;
};

static inline uint64_t *audit_slot(struct memory_map *map, struct str key, size_t n)
{
    struct memory_node *node = memory_map_make(map, key);
    CHECK(node);
    if (!node->value) node->value = calloc(n, 8);
    return node->value;
}

static inline void audit_ref(void *ctx, uint64_t blob, uint64_t min_size)
{
    struct audit *au = ctx;
    char be[8];
    put_be64(be, blob);
    struct memory_blob *b = memory_blob_find(au->m, blob);
    CHECK(b && b->size >= min_size);
    ++*audit_slot(au->refs, str_of(be, 8), 1);
}

static inline void audit_count(void *ctx, struct str key, unsigned i, int64_t delta)
{
    struct audit *au = ctx;
    audit_slot(au->counters, key, CNT_N)[i] += (uint64_t)delta;
}

static inline enum idx_step audit_entry(void *arg, struct str key, struct str value, uint64_t seq,
                                        struct str *seek)
{
    struct audit *au = arg;
    (void)seq;
    (void)seek;
    au->entries++;
    CHECK(objects_check_entry(NULL, key, value, audit_ref, audit_count, au));
    return IDX_NEXT;
}

static inline enum idx_step audit_counter(void *arg, struct str key, struct str value, uint64_t seq,
                                          struct str *seek)
{
    struct audit *au = arg;
    (void)seq;
    (void)seek;
    if (get_be64(key.p) == 0 || key_space_of(key) != KEY_COUNTERS) return IDX_NEXT;
    uint64_t *want = audit_slot(au->counters, key, CNT_N);
    for (unsigned i = 0; i < CNT_N; i++) {
        CHECK(get_le64(value.p + 8 * i) == want[i]);
        want[i] = 0;
    }
    return IDX_NEXT;
}

/* Everything that is kept agrees. Returns the number of index entries. */
static inline unsigned world_audit(struct world *w)
{
    struct audit au = {.m = CONTAINER(w->store.idx, struct memory_store, idx)};
    struct idx_range all = {.lo = str_of("\0\0\0\0\0\0\0\0", 8)};
    au.refs = memory_map_new();
    au.counters = memory_map_new();
    CHECK(idx_scan(w->store.idx, &all, audit_entry, &au) == ERR_OK);
    CHECK(idx_scan(w->store.idx, &all, audit_counter, &au) == ERR_OK);
    for (struct memory_node *n = memory_map_seek(au.counters, STR("")); n; n = memory_node_next(n))
        for (unsigned i = 0; i < CNT_N; i++) CHECK(((uint64_t *)n->value)[i] == 0);
    for (struct memory_node *n = memory_map_seek(au.m->blob_map, STR("")); n; n = memory_node_next(n)) {
        struct memory_blob *b = n->value;
        CHECK(b->pins == 0);
        CHECK(b->refs > 0 && b->refs == *audit_slot(au.refs, n->key, 1));
    }
    memory_map_free(au.refs, free);
    memory_map_free(au.counters, free);
    return au.entries;
}

static inline size_t world_blobs(struct world *w)
{
    struct memory_store *m = CONTAINER(w->store.idx, struct memory_store, idx);
    size_t n = 0;
    for (struct memory_node *it = memory_map_seek(m->blob_map, STR("")); it; it = memory_node_next(it)) n++;
    return n;
}

static inline void world_end(struct world *w)
{
    world_audit(w);
    arena_free(w->a);
    objects_free(w->o);
    store_memory_free(&w->store);
}

/* ---- short forms ---- */

static inline void mk(struct world *w, const char *bucket)
{
    CHECK(bucket_create(w->o, w->a, str_c(bucket), STR("me"), STR("r1")) == ERR_OK);
}

static inline err put_cond(struct world *w, const char *bucket, struct str key, struct str data,
                           struct obj_cond cond, struct obj_info *out)
{
    struct arena *a = arena_new(0);
    struct obj_put_in in = {
        .bucket = str_c(bucket), .key = key, .owner = STR("me"), .size = (int64_t)data.n, .cond = cond};
    struct obj_info mine;
    err e = obj_put(w->o, a, &in, body_of_bytes(a, data), &mine);
    if (!e && out) {
        *out = mine;
        out->version_id = arena_dup(w->a, mine.version_id);
        out->etag = arena_dup(w->a, mine.etag);
    }
    arena_free(a);
    return e;
}

static inline struct obj_info put(struct world *w, const char *bucket, const char *key, const char *data)
{
    struct obj_info i;
    CHECK(put_cond(w, bucket, str_c(key), str_c(data), (struct obj_cond){0}, &i) == ERR_OK);
    return i;
}

/* The whole data of a version, or the error. */
static inline err get(struct world *w, const char *bucket, const char *key, struct str version,
                      struct str *data, struct obj_get_out *out)
{
    struct obj_get_in in = {.bucket = str_c(bucket), .key = str_c(key), .version_id = version};
    err e = obj_get(w->o, w->a, &in, out);
    if (e) return e;
    e = body_read_all(w->a, out->body, (size_t)1 << 30, data);
    body_close(out->body);
    return e;
}

static inline bool reads(struct world *w, const char *bucket, const char *key, struct str version,
                         const char *want)
{
    struct str data;
    struct obj_get_out out;
    return get(w, bucket, key, version, &data, &out) == ERR_OK && str_eq(data, str_c(want));
}

static inline err get_err(struct world *w, const char *bucket, const char *key, struct str version)
{
    struct str data;
    struct obj_get_out out;
    return get(w, bucket, key, version, &data, &out);
}

static inline struct obj_delete_out del(struct world *w, const char *bucket, const char *key,
                                        struct str version)
{
    struct obj_delete_in in = {
        .bucket = str_c(bucket), .key = str_c(key), .version_id = version, .owner = STR("me")};
    struct obj_delete_out out;
    CHECK(obj_delete(w->o, w->a, &in, &out) == ERR_OK);
    return out;
}

#endif
