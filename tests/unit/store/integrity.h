/* What the tests of peers' integrity bugs share: a small store, calls of the object layer in one line, a hook
 * that runs at a chosen commit, listings walked page by page. After each test the whole store is checked. */
#ifndef TESTS_STORE_INTEGRITY_H
#define TESTS_STORE_INTEGRITY_H

#include "plant.h"

#define BIG 50000u /* goes to extents */

static inline int begin(void **state)
{
    struct shop w;
    (void)state;
    dir_make();
    shop_open(&w);
    ASSERT(bucket_create(w.o, w.a, STR("plain"), STR("me"), STR("here")) == ERR_OK);
    ASSERT(bucket_create(w.o, w.a, STR("versioned"), STR("me"), STR("here")) == ERR_OK);
    ASSERT(bucket_set_versioning(w.o, w.a, STR("versioned"), VERSIONING_ENABLED) == ERR_OK);
    shop_close(&w);
    return 0;
}

/* Every test ends with a store in which every reference, count and byte agrees. */
static inline int end(void **state)
{
    (void)state;
    check_clean();
    engine_dir_remove();
    return 0;
}

#define NAMED(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* ---- uploads ---- */

struct parts {
    struct str key, id;
    struct upload_complete_part v[4];
    size_t n;
};

static inline void parts_begin(struct shop *w, struct parts *p, const char *key)
{
    struct obj_upload_in in = {.bucket = STR("plain"), .key = str_c(key), .owner = STR("me")};
    struct obj_upload_info u;
    ASSERT(upload_create(w->o, w->a, &in, &u) == ERR_OK);
    *p = (struct parts){.key = str_c(key), .id = u.upload_id};
}

static inline err parts_put(struct shop *w, struct parts *p, unsigned number, unsigned seed, size_t n)
{
    struct obj_put_in in = {.bucket = STR("plain"), .key = p->key, .size = (int64_t)n};
    struct obj_part_info out;
    err e = upload_part(w->o, w->a, p->id, number, &in, body_of_bytes(w->a, shop_bytes(w->a, seed, n)), &out);
    if (e) return e;
    p->v[number - 1] = (struct upload_complete_part){.number = number, .etag = out.etag};
    if (number > p->n) p->n = number;
    return ERR_OK;
}

static inline err parts_complete(struct shop *w, const struct parts *p)
{
    struct upload_complete_in in = {
        .bucket = STR("plain"), .key = p->key, .upload_id = p->id, .parts = p->v, .n = p->n};
    struct obj_info info;
    return upload_complete(w->o, w->a, &in, &info);
}

static inline err parts_abort(struct shop *w, const struct parts *p)
{
    return upload_abort(w->o, w->a, STR("plain"), p->key, p->id);
}

/* ---- versions ---- */

static inline struct str put_version(struct shop *w, const char *key, unsigned seed, size_t n)
{
    struct obj_put_in in = {
        .bucket = STR("versioned"), .key = str_c(key), .owner = STR("me"), .size = (int64_t)n};
    struct obj_info out;
    ASSERT(obj_put(w->o, w->a, &in, body_of_bytes(w->a, shop_bytes(w->a, seed, n)), &out) == ERR_OK);
    return out.version_id;
}

/* The id of the marker that a deletion makes; id.n > 0: this version goes for good. */
static inline struct str delete_version(struct shop *w, const char *key, struct str id)
{
    struct obj_delete_in in = {
        .bucket = STR("versioned"), .key = str_c(key), .version_id = id, .owner = STR("me")};
    struct obj_delete_out out;
    ASSERT(obj_delete(w->o, w->a, &in, &out) == ERR_OK);
    return out.version_id;
}

static inline err read_version(struct shop *w, const char *bucket, const char *key, struct str id,
                               struct str *data)
{
    struct obj_get_in in = {.bucket = str_c(bucket), .key = str_c(key), .version_id = id};
    struct obj_get_out g;
    err e = obj_get(w->o, w->a, &in, &g);
    if (e) return e;
    e = body_read_all(w->a, g.body, (size_t)32 << 20, data);
    body_close(g.body);
    return e;
}

/* It is there and its bytes are those of seed. */
static inline bool holds(struct shop *w, const char *bucket, const char *key, struct str id, unsigned seed,
                         size_t n)
{
    struct str data;
    err e = read_version(w, bucket, key, id, &data);
    return e == ERR_OK && str_eq(data, shop_bytes(w->a, seed, n));
}

/* ---- listings ---- */

/* Keys and common prefixes of all pages, in order, a space after each. */
static inline void list_all(struct shop *w, const char *bucket, struct str delimiter, unsigned page,
                            struct buf *out)
{
    struct obj_list_in in = {.bucket = str_c(bucket), .delimiter = delimiter, .max = page};
    struct obj_list_out l = {.truncated = true};
    buf_init(out, 0);
    for (unsigned pages = 0; l.truncated; pages++) {
        size_t k = 0, p = 0;
        ASSERT(pages < 1000 && obj_list(w->o, w->a, &in, &l) == ERR_OK && l.n + l.nprefixes <= page);
        while (k < l.n || p < l.nprefixes) {
            bool item = k < l.n && (p == l.nprefixes || str_cmp(l.items[k].key, l.prefixes[p]) < 0);
            struct str name = item ? l.items[k++].key : l.prefixes[p++];
            buf_fmt(out, "%.*s ", STR_FMT(name));
        }
        in.after = l.next_key;
        in.after_is_prefix = l.next_is_prefix;
    }
}

static inline bool lists(struct shop *w, const char *bucket, const char *delimiter, unsigned page,
                         const char *want)
{
    struct buf got;
    list_all(w, bucket, str_c(delimiter), page, &got);
    bool same = str_eq(buf_view(&got), str_c(want));
    if (!same) fprintf(stderr, "pages of %u: \"%.*s\"\n", page, STR_FMT(buf_view(&got)));
    buf_free(&got);
    return same;
}

static inline size_t count_versions(struct shop *w, const char *key)
{
    struct obj_list_in in = {.bucket = STR("versioned"), .prefix = str_c(key), .versions = true, .max = 1000};
    struct obj_list_out l;
    ASSERT(obj_list(w->o, w->a, &in, &l) == ERR_OK && !l.truncated);
    return l.n;
}

/* ---- something happens at a commit ---- */

struct at_commit {
    struct shop *w;
    void (*before)(struct at_commit *c);
    void (*after)(struct at_commit *c);
    struct parts *parts;
    struct idx_ops ops;
    const struct idx_ops *real;
    unsigned commits;
    bool busy;
};
static struct at_commit *hooked;

static inline err hooked_commit(struct idx *x, struct idx_txn *t, uint64_t *seq)
{
    struct at_commit *c = hooked;
    if (c->busy) return c->real->commit(x, t, seq);
    c->busy = true;
    if (c->before) c->before(c);
    err e = c->real->commit(x, t, seq);
    if (!e && c->after) c->after(c);
    c->commits++;
    c->busy = false;
    return e;
}

static inline void hook(struct at_commit *c)
{
    hooked = c;
    c->real = c->w->s.idx->ops;
    c->ops = *c->real;
    c->ops.commit = hooked_commit;
    c->w->s.idx->ops = &c->ops;
}

static inline void unhook(struct at_commit *c)
{
    c->w->s.idx->ops = c->real;
}

#endif
