/* multi: short forms for multipart uploads. */
#ifndef TEST_OBJECT_MULTI_H
#define TEST_OBJECT_MULTI_H

#include "world.h"

static inline struct str up_new(struct world *w, const char *key)
{
    struct obj_upload_in in = {.bucket = STR("bkt"), .key = str_c(key), .owner = STR("me")};
    struct obj_upload_info u;
    CHECK(upload_create(w->o, w->a, &in, &u) == ERR_OK);
    return u.upload_id;
}

/* n bytes of a pattern that no two parts share. */
static inline struct str up_data(struct world *w, unsigned seed, size_t n)
{
    char *p = arena_alloc_raw(w->a, n + 1);
    for (size_t i = 0; i < n; i++) p[i] = (char)(seed * 131 + i * 7 + (i >> 8));
    return str_of(p, n);
}

static inline err up_part(struct world *w, const char *key, struct str id, unsigned number, struct str data,
                          struct str *etag)
{
    struct arena *a = arena_new(0);
    struct obj_put_in in = {.bucket = STR("bkt"), .key = str_c(key), .size = (int64_t)data.n};
    struct obj_part_info p;
    err e = upload_part(w->o, a, id, number, &in, body_of_bytes(a, data), &p);
    if (!e && etag) *etag = arena_dup(w->a, p.etag);
    arena_free(a);
    return e;
}

static inline err up_done(struct world *w, const char *key, struct str id,
                          const struct upload_complete_part *parts, size_t n, struct obj_info *out)
{
    struct upload_complete_in in = {
        .bucket = STR("bkt"), .key = str_c(key), .upload_id = id, .parts = parts, .n = n};
    struct obj_info mine;
    return upload_complete(w->o, w->a, &in, out ? out : &mine);
}

/* An object of parts 1 to n, each of size bytes. Returns its data. */
static inline struct str up_object(struct world *w, const char *key, unsigned n, size_t size,
                                   struct obj_info *out)
{
    struct upload_complete_part *list = arena_alloc(w->a, n * sizeof *list);
    char *all = arena_alloc_raw(w->a, n * size + 1);
    struct str id = up_new(w, key);
    for (unsigned i = 0; i < n; i++) {
        struct str data = up_data(w, i + 1, size);
        memcpy(all + i * size, data.p, size);
        list[i].number = i + 1;
        CHECK(up_part(w, key, id, i + 1, data, &list[i].etag) == ERR_OK);
    }
    CHECK(up_done(w, key, id, list, n, out) == ERR_OK);
    return str_of(all, n * size);
}

static inline struct str up_read(struct world *w, const char *key, struct str range, unsigned part, err *e)
{
    struct obj_get_in in = {.bucket = STR("bkt"), .key = str_c(key), .range = range, .part_number = part};
    struct obj_get_out g;
    struct str data = STR_NONE;
    *e = obj_get(w->o, w->a, &in, &g);
    if (*e) return data;
    *e = body_read_all(w->a, g.body, (size_t)1 << 30, &data);
    body_close(g.body);
    CHECK(*e || data.n == g.length);
    return data;
}

#endif
