/* Everything that a store answers, as a list of names and states, written once while the store is whole and
 * compared after damage: each state must be the same, or an error that says that bytes are damaged; never
 * another answer. */
#ifndef TESTS_STORE_CATALOG_H
#define TESTS_STORE_CATALOG_H

#include "data_dir.h"
#include "hash/hash.h"

/* A name is a kind and up to three words, each with its length before it. */
enum catalog_kind {
    CAT_BUCKETS,
    CAT_BUCKET,   /* bucket */
    CAT_CONFIG,   /* bucket */
    CAT_OBJECTS,  /* bucket */
    CAT_VERSIONS, /* bucket */
    CAT_UPLOADS,  /* bucket */
    CAT_OBJECT,   /* bucket, key, version */
    CAT_PARTS,    /* bucket, key, upload */
    CAT_FINISH,   /* bucket, key, upload: completes it and reads the object: the bytes of its parts */
};

struct catalog_name {
    enum catalog_kind kind;
    struct str a, b, c;
};

static inline void catalog_info(struct buf *out, const struct obj_info *i)
{
    buf_fmt(out, "%.*s?%.*s latest %d marker %d size %llu etag %.*s at %lld owner %.*s parts %u\n",
            STR_FMT(i->key), STR_FMT(i->version_id), i->is_latest, i->delete_marker,
            (unsigned long long)i->size, STR_FMT(i->etag), (long long)i->modified_ms, STR_FMT(i->owner),
            i->parts);
}

static inline void catalog_entry(struct buf *out, const struct obj_entry *i)
{
    catalog_info(out, &(struct obj_info){.key = i->key,
                                         .version_id = i->version_id,
                                         .is_latest = i->is_latest,
                                         .delete_marker = i->delete_marker,
                                         .size = i->size,
                                         .etag = i->etag,
                                         .modified_ms = i->modified_ms,
                                         .owner = i->owner,
                                         .parts = i->parts});
}

static inline void catalog_pairs(struct buf *out, const char *what, const struct obj_pair *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_fmt(out, "%s %.*s=%.*s\n", what, STR_FMT(v[i].name), STR_FMT(v[i].value));
}

/* What is sent is what was hashed when it was put, or the answer is not believed. */
static inline void catalog_body(struct buf *out, const struct obj_info *i, struct str data)
{
    char hex[33];
    struct hash_value v;
    hash_once(HASH_MD5, data.p, data.n, &v);
    for (unsigned k = 0; k < 16; k++) snprintf(hex + 2 * k, 3, "%02x", v.b[k]);
    bool whole = data.n == i->size && (i->parts || str_eq(i->etag, str_c(hex)));
    buf_fmt(out, "body %s of %llu bytes%s\n", hex, (unsigned long long)data.n, whole ? "" : " WRONG");
}

static inline err catalog_object(struct shop *w, struct arena *a, const struct catalog_name *n,
                                 struct buf *out)
{
    struct obj_get_in in = {.bucket = n->a, .key = n->b, .version_id = n->c};
    struct obj_get_out g;
    struct str data;
    err e = obj_get(w->o, a, &in, &g);
    if (e) return e;
    e = body_read_all(a, g.body, (size_t)32 << 20, &data);
    body_close(g.body);
    if (e) return e;
    catalog_info(out, &g.info);
    buf_fmt(out, "type %.*s crc64 %llx\n", STR_FMT(g.info.meta.content_type),
            (unsigned long long)g.info.crc64xz);
    catalog_pairs(out, "meta", g.info.meta.user, g.info.meta.nuser);
    catalog_pairs(out, "tag", g.info.meta.tags, g.info.meta.ntags);
    catalog_body(out, &g.info, data);
    return ERR_OK;
}

static inline err catalog_list(struct shop *w, struct arena *a, const struct catalog_name *n, struct buf *out)
{
    struct obj_list_in in = {.bucket = n->a, .versions = n->kind == CAT_VERSIONS, .max = 1000};
    struct obj_list_out list;
    err e = obj_list(w->o, a, &in, &list);
    for (size_t i = 0; !e && i < list.n; i++) catalog_entry(out, &list.items[i]);
    return e;
}

static inline err catalog_uploads(struct shop *w, struct arena *a, const struct catalog_name *n,
                                  struct buf *out)
{
    struct upload_list_in in = {.bucket = n->a, .max = 1000};
    struct upload_list_out list;
    err e = upload_list(w->o, a, &in, &list);
    for (size_t i = 0; !e && i < list.n; i++)
        buf_fmt(out, "%.*s %.*s at %lld\n", STR_FMT(list.items[i].key), STR_FMT(list.items[i].upload_id),
                (long long)list.items[i].initiated_ms);
    return e;
}

static inline err catalog_parts(struct shop *w, struct arena *a, const struct catalog_name *n,
                                struct buf *out)
{
    struct obj_upload_info info;
    struct obj_part_info *parts;
    size_t np;
    bool more;
    err e = upload_parts(w->o, a, n->a, n->b, n->c, 0, 1000, &info, &parts, &np, &more);
    for (size_t i = 0; !e && i < np; i++)
        buf_fmt(out, "%u: %llu bytes %.*s\n", parts[i].number, (unsigned long long)parts[i].size,
                STR_FMT(parts[i].etag));
    return e;
}

static inline err catalog_finish(struct shop *w, struct arena *a, const struct catalog_name *n,
                                 struct buf *out)
{
    struct obj_upload_info info;
    struct obj_part_info *parts;
    struct upload_complete_part list[16];
    struct obj_info made;
    struct obj_get_in in = {.bucket = n->a, .key = n->b};
    struct obj_get_out g;
    struct str data;
    size_t np;
    bool more;
    err e = upload_parts(w->o, a, n->a, n->b, n->c, 0, 16, &info, &parts, &np, &more);
    if (e) return e;
    for (size_t i = 0; i < np; i++)
        list[i] = (struct upload_complete_part){.number = parts[i].number, .etag = parts[i].etag};
    struct upload_complete_in done = {.bucket = n->a, .key = n->b, .upload_id = n->c, .parts = list, .n = np};
    e = upload_complete(w->o, a, &done, &made);
    if (!e) e = obj_get(w->o, a, &in, &g);
    if (e) return e;
    e = body_read_all(a, g.body, (size_t)32 << 20, &data);
    body_close(g.body);
    if (!e) catalog_body(out, &g.info, data);
    return e;
}

static inline err catalog_bucket(struct shop *w, struct arena *a, const struct catalog_name *n,
                                 struct buf *out)
{
    struct bucket_info b;
    err e = bucket_get(w->o, a, n->a, &b);
    if (e) return e;
    buf_fmt(out,
            "id %llu owner %.*s region %.*s at %lld versioning %d: %llu objects, %llu versions, %llu bytes\n",
            (unsigned long long)b.id, STR_FMT(b.owner), STR_FMT(b.region), (long long)b.created_ms,
            b.versioning, (unsigned long long)b.objects, (unsigned long long)b.versions,
            (unsigned long long)b.bytes);
    return ERR_OK;
}

static inline err catalog_buckets(struct shop *w, struct arena *a, struct buf *out)
{
    struct bucket_list_in in = {.max = 1000};
    struct bucket_list_out list;
    err e = bucket_list(w->o, a, &in, &list);
    for (size_t i = 0; !e && i < list.n; i++) buf_fmt(out, "%.*s\n", STR_FMT(list.buckets[i].name));
    return e;
}

static inline err catalog_ask(struct shop *w, struct arena *a, const struct catalog_name *n, struct buf *out)
{
    struct str doc;
    err e;
    switch (n->kind) {
    case CAT_BUCKETS:
        return catalog_buckets(w, a, out);
    case CAT_BUCKET:
        return catalog_bucket(w, a, n, out);
    case CAT_CONFIG:
        e = bucket_get_config(w->o, a, n->a, "policy", &doc);
        if (!e) buf_str(out, doc);
        return e;
    case CAT_OBJECTS:
    case CAT_VERSIONS:
        return catalog_list(w, a, n, out);
    case CAT_UPLOADS:
        return catalog_uploads(w, a, n, out);
    case CAT_OBJECT:
        return catalog_object(w, a, n, out);
    case CAT_PARTS:
        return catalog_parts(w, a, n, out);
    case CAT_FINISH:
        return catalog_finish(w, a, n, out);
    }
    return ERR_INTERNAL;
}

/* ---- written ---- */

static inline void catalog_add(struct shop *w, struct buf *cat, enum catalog_kind kind, struct str a,
                               struct str b, struct str c)
{
    struct arena *mem = arena_new((size_t)64 << 20);
    struct catalog_name n = {kind, a, b, c};
    struct buf state;
    buf_init(&state, 0);
    err e = catalog_ask(w, mem, &n, &state);
    if (e && !(kind == CAT_CONFIG && e == ERR_NOT_FOUND))
        fprintf(stderr, "%d %.*s/%.*s: %s\n", kind, STR_FMT(a), STR_FMT(b), err_name(e));
    ASSERT(!e || (kind == CAT_CONFIG && e == ERR_NOT_FOUND));
    buf_char(cat, (char)kind);
    buf_lenstr(cat, a);
    buf_lenstr(cat, b);
    buf_lenstr(cat, c);
    buf_char(cat, e == ERR_OK);
    buf_lenstr(cat, buf_view(&state));
    buf_free(&state);
    arena_free(mem);
}

static inline void catalog_add_bucket(struct shop *w, struct arena *a, struct buf *cat, struct str bucket)
{
    struct obj_list_in lin = {.bucket = bucket, .versions = true, .max = 1000};
    struct upload_list_in uin = {.bucket = bucket, .max = 1000};
    struct obj_list_out list;
    struct upload_list_out uploads;
    for (enum catalog_kind k = CAT_BUCKET; k <= CAT_UPLOADS; k++)
        catalog_add(w, cat, k, bucket, STR(""), STR(""));
    ASSERT(obj_list(w->o, a, &lin, &list) == ERR_OK && !list.truncated);
    for (size_t i = 0; i < list.n; i++)
        if (!list.items[i].delete_marker)
            catalog_add(w, cat, CAT_OBJECT, bucket, list.items[i].key, list.items[i].version_id);
    ASSERT(upload_list(w->o, a, &uin, &uploads) == ERR_OK && !uploads.truncated);
    for (size_t i = 0; i < uploads.n; i++)
        catalog_add(w, cat, CAT_PARTS, bucket, uploads.items[i].key, uploads.items[i].upload_id);
}

/* finish: its uploads too, on a copy of the store: they end. */
static inline void catalog_write(struct shop *w, struct buf *cat, bool finish)
{
    struct arena *a = arena_new((size_t)64 << 20);
    struct bucket_list_in in = {.max = 1000};
    struct bucket_list_out list;
    buf_init(cat, 0);
    ASSERT(bucket_list(w->o, a, &in, &list) == ERR_OK);
    if (!finish) catalog_add(w, cat, CAT_BUCKETS, STR(""), STR(""), STR(""));
    for (size_t i = 0; i < list.n && !finish; i++) catalog_add_bucket(w, a, cat, list.buckets[i].name);
    for (size_t i = 0; i < list.n && finish; i++) {
        struct upload_list_in uin = {.bucket = list.buckets[i].name, .max = 1000};
        struct upload_list_out up;
        ASSERT(upload_list(w->o, a, &uin, &up) == ERR_OK);
        for (size_t k = 0; k < up.n; k++)
            catalog_add(w, cat, CAT_FINISH, uin.bucket, up.items[k].key, up.items[k].upload_id);
    }
    ASSERT(!cat->overflow && (finish || cat->n > 1000));
    arena_free(a);
}

/* ---- compared ---- */

struct catalog_result {
    unsigned same, errors;
    unsigned absent, other; /* what is never to be */
    unsigned wrong;         /* bytes that are not those of their ETag */
};

/* An answer that says that there is no such thing, rather than that it cannot be read. */
static inline bool catalog_denies(err e, enum catalog_kind kind)
{
    return e == ERR_NO_SUCH_KEY || e == ERR_NO_SUCH_BUCKET || e == ERR_NO_SUCH_UPLOAD ||
           e == ERR_NO_SUCH_VERSION || (e == ERR_NOT_FOUND && kind == CAT_CONFIG);
}

static inline void catalog_compare_one(struct shop *w, const struct catalog_name *n, bool had,
                                       struct str before, struct catalog_result *r)
{
    struct arena *mem = arena_new((size_t)64 << 20);
    struct buf now;
    size_t at;
    buf_init(&now, 0);
    err e = catalog_ask(w, mem, n, &now);
    if (had ? e == ERR_OK && str_eq(buf_view(&now), before) : e == ERR_NOT_FOUND) {
        r->same++;
    } else if (e && !catalog_denies(e, n->kind)) {
        r->errors++;
    } else {
        if (str_find(buf_view(&now), STR("WRONG"), &at)) r->wrong++;
        if (e)
            r->absent++;
        else
            r->other++;
        fprintf(stderr, "kind %d %.*s/%.*s?%.*s: %s\nwas: %.*snow: %.*s", n->kind, STR_FMT(n->a),
                STR_FMT(n->b), STR_FMT(n->c), err_name(e), STR_FMT(before), STR_FMT(buf_view(&now)));
    }
    buf_free(&now);
    arena_free(mem);
}

static inline struct catalog_result catalog_compare(struct shop *w, struct str cat)
{
    struct catalog_result r = {0};
    struct rd in = rd_of(cat);
    while (rd_left(&in) > 0) {
        struct catalog_name n = {.kind = (enum catalog_kind)rd_u8(&in)};
        n.a = rd_lenstr(&in);
        n.b = rd_lenstr(&in);
        n.c = rd_lenstr(&in);
        bool had = rd_u8(&in);
        struct str before = rd_lenstr(&in);
        ASSERT(!in.bad);
        catalog_compare_one(w, &n, had, before, &r);
    }
    return r;
}

#endif
