/* Operations straight to the object layer, without HTTP: the same work for the engine at a fraction of the
 * cost. */
#include "world.h"

static void say(char *to, size_t size, struct str s)
{
    snprintf(to, size, "%.*s", STR_FMT(s));
}

static struct str opt(const char *z)
{
    return z && z[0] ? str_c(z) : STR_NONE;
}

/* ---- metadata and tags: a number each ---- */

struct extras {
    char meta[16], tag[16];
    struct obj_pair m, t;
};

static struct obj_meta extras_of(const struct op *op, struct extras *x)
{
    struct obj_meta meta = {.nuser = op->meta != 0, .ntags = op->tag != 0, .user = &x->m, .tags = &x->t};
    snprintf(x->meta, sizeof x->meta, "%u", op->meta);
    snprintf(x->tag, sizeof x->tag, "%u", op->tag);
    x->m = (struct obj_pair){STR("m"), str_c(x->meta)};
    x->t = (struct obj_pair){STR("t"), str_c(x->tag)};
    return meta;
}

static unsigned number_of(const struct obj_pair *v, size_t n)
{
    uint64_t x = 0;
    return n == 1 && str_to_u64(v[0].value, &x) ? (unsigned)x : 0;
}

static struct obj_cond cond_of(const struct op *op)
{
    struct obj_cond c = {.has_size = false};
    if (op->cond == COND_NEW) c.if_none_match = STR("*");
    if (op->cond == COND_SAME) c.if_match = str_c(op->cond_etag);
    return c;
}

/* ---- a body whose sender may go away in the middle ---- */

struct sender {
    struct body body;
    struct str rest;
    bool leaves;
};

static err sender_next(struct body *b, struct str *out)
{
    struct sender *s = (struct sender *)b;
    size_t n = s->rest.n < 5000 ? s->rest.n : 5000;
    rt_sleep(50000);
    if (s->leaves && s->rest.n <= (size_t)s->body.length / 2) return ERR_INCOMPLETE_BODY;
    *out = str_of(s->rest.p, n);
    s->rest = str_slice(s->rest, n, s->rest.n);
    return ERR_OK;
}

static const struct body_ops sender_ops = {.name = "sender", .next = sender_next};

static struct sender sender_of(const struct op *op)
{
    return (struct sender){.body = {.ops = &sender_ops, .length = (int64_t)op->body->n},
                           .rest = str_of(op->body->p, op->body->n),
                           .leaves = op->leave != STAY};
}

/* ---- one each ---- */

struct call {
    struct objects *o;
    struct arena *arena;
    const struct op *op;
    struct answer *a;
};

static err put(struct call *k)
{
    const struct op *op = k->op;
    struct extras x;
    struct sender s = sender_of(op);
    struct obj_put_in in = {.bucket = str_c(op->bucket),
                            .key = str_c(op->key),
                            .owner = STR("c1"),
                            .meta = extras_of(op, &x),
                            .cond = cond_of(op),
                            .size = (int64_t)op->body->n};
    struct obj_info i;
    err e = obj_put(k->o, k->arena, &in, &s.body, &i);
    if (e) return e;
    say(k->a->etag, ETAG_SIZE, i.etag);
    say(k->a->version, ID_SIZE, i.version_id);
    return ERR_OK;
}

static err read_body(struct answer *a, struct body *body)
{
    for (;;) {
        struct str v;
        err e = body_next(body, &v);
        if (e || v.n == 0) return e;
        buf_str(&a->body, v);
    }
}

static err get(struct call *k)
{
    const struct op *op = k->op;
    char range[80];
    struct obj_get_in in = {.bucket = str_c(op->bucket),
                            .key = str_c(op->key),
                            .version_id = opt(op->version),
                            .head = op->kind != OP_GET};
    struct obj_get_out out;
    snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)op->first,
             (unsigned long long)op->last);
    if (op->ranged) in.range = str_c(range);
    err e = obj_get(k->o, k->arena, &in, &out);
    if (e) return e;
    say(k->a->etag, ETAG_SIZE, out.info.etag);
    say(k->a->version, ID_SIZE, out.info.version_id);
    k->a->meta = number_of(out.info.meta.user, out.info.meta.nuser);
    k->a->tag = number_of(out.info.meta.tags, out.info.meta.ntags);
    k->a->size = out.length;
    if (out.body) e = read_body(k->a, out.body);
    body_close(out.body);
    return e;
}

static err attributes(struct call *k)
{
    struct obj_get_in in = {
        .bucket = str_c(k->op->bucket), .key = str_c(k->op->key), .version_id = opt(k->op->version)};
    struct obj_info i;
    struct obj_part_info *parts;
    size_t n;
    bool truncated;
    err e = obj_parts(k->o, k->arena, &in, 0, 100, &i, &parts, &n, &truncated);
    if (e) return e;
    say(k->a->etag, ETAG_SIZE, i.etag);
    k->a->size = i.size;
    return ERR_OK;
}

static err delete_one(struct call *k, const char *key, const char *version, char made[ID_SIZE])
{
    struct obj_delete_in in = {
        .bucket = str_c(k->op->bucket), .key = str_c(key), .version_id = opt(version), .owner = STR("c1")};
    struct obj_delete_out out;
    err e = obj_delete(k->o, k->arena, &in, &out);
    if (!e) say(made, ID_SIZE, out.version_id);
    return e;
}

static err delete_many(struct call *k)
{
    err worst = ERR_OK;
    for (unsigned i = 0; i < k->op->nmany; i++) {
        k->a->many[i] =
            delete_one(k, key_names[k->op->many[i]], k->op->many_version[i], k->a->many_version[i]);
        if (k->a->many[i] == ERR_NO_SUCH_BUCKET) worst = ERR_NO_SUCH_BUCKET;
    }
    return worst;
}

static err copy(struct call *k)
{
    const struct op *op = k->op;
    struct extras x;
    struct obj_copy_in in = {.src_bucket = str_c(op->bucket),
                             .src_key = str_c(op->src_key),
                             .src_version_id = opt(op->src_version),
                             .bucket = str_c(op->bucket),
                             .key = str_c(op->key),
                             .owner = STR("c1"),
                             .replace_meta = op->replace,
                             .replace_tags = op->replace,
                             .changes_something = op->replace || op->src_version[0]};
    struct obj_copy_out out;
    if (op->replace) in.meta = extras_of(op, &x);
    err e = obj_copy(k->o, k->arena, &in, &out);
    if (e) return e;
    say(k->a->etag, ETAG_SIZE, out.info.etag);
    say(k->a->version, ID_SIZE, out.info.version_id);
    return ERR_OK;
}

static err set_tags(struct call *k)
{
    const struct op *op = k->op;
    struct extras x;
    struct obj_meta m = extras_of(op, &x);
    struct obj_info i;
    return obj_set_tags(k->o, k->arena, str_c(op->bucket), str_c(op->key), opt(op->version), m.tags,
                        op->kind == OP_PUT_TAGS ? m.ntags : 0, &i);
}

static err create_upload(struct call *k)
{
    const struct op *op = k->op;
    struct extras x;
    struct obj_upload_in in = {.bucket = str_c(op->bucket), .key = str_c(op->key), .owner = STR("c1")};
    struct obj_upload_info u;
    in.meta = extras_of(op, &x);
    in.meta.ntags = 0;
    err e = upload_create(k->o, k->arena, &in, &u);
    if (!e) say(k->a->upload, ID_SIZE, u.upload_id);
    return e;
}

static err upload_a_part(struct call *k)
{
    const struct op *op = k->op;
    struct sender s = sender_of(op);
    struct obj_put_in in = {.bucket = str_c(op->bucket), .key = str_c(op->key), .size = (int64_t)op->body->n};
    struct obj_part_info p;
    err e = upload_part(k->o, k->arena, str_c(op->upload_id), op->part, &in, &s.body, &p);
    if (!e) say(k->a->etag, ETAG_SIZE, p.etag);
    return e;
}

static err copy_part(struct call *k)
{
    const struct op *op = k->op;
    struct upload_copy_in in = {.src_bucket = str_c(op->bucket),
                                .src_key = str_c(op->src_key),
                                .src_version_id = opt(op->src_version),
                                .has_range = op->ranged,
                                .first = op->first,
                                .last = op->last,
                                .bucket = str_c(op->bucket),
                                .key = str_c(op->key),
                                .upload_id = str_c(op->upload_id),
                                .number = op->part};
    struct obj_part_info p;
    struct str from;
    err e = upload_part_copy(k->o, k->arena, &in, &p, &from);
    if (!e) say(k->a->etag, ETAG_SIZE, p.etag);
    return e;
}

static err complete(struct call *k)
{
    const struct op *op = k->op;
    struct upload_complete_part parts[PARTS] = {{.number = 0}};
    struct upload_complete_in in = {.bucket = str_c(op->bucket),
                                    .key = str_c(op->key),
                                    .upload_id = str_c(op->upload_id),
                                    .cond = cond_of(op),
                                    .parts = parts,
                                    .n = op->nparts};
    struct obj_info i;
    for (unsigned n = 0; n < op->nparts; n++) {
        parts[n].number = op->parts[n];
        parts[n].etag = str_c(op->part_etags[n]);
    }
    err e = upload_complete(k->o, k->arena, &in, &i);
    if (e) return e;
    say(k->a->etag, ETAG_SIZE, i.etag);
    say(k->a->version, ID_SIZE, i.version_id);
    return ERR_OK;
}

/* ---- lists ---- */

static struct item *next_item(struct answer *a)
{
    ASSERT(a->n < sizeof a->item / sizeof *a->item);
    struct item *i = &a->item[a->n++];
    *i = (struct item){.kind = ITEM_KEY};
    return i;
}

static void add_object(struct answer *a, const struct obj_entry *o)
{
    struct item *i = next_item(a);
    i->kind = o->delete_marker ? ITEM_MARKER : ITEM_KEY;
    say(i->name, sizeof i->name, o->key);
    say(i->id, ID_SIZE, o->version_id.n ? o->version_id : STR("null"));
    say(i->etag, ETAG_SIZE, o->etag);
    i->size = o->size;
    i->latest = o->is_latest;
}

static err list(struct call *k)
{
    const struct op *op = k->op;
    struct obj_list_in in = {.bucket = str_c(op->bucket),
                             .prefix = str_c(op->prefix),
                             .delimiter = opt(op->delimiter),
                             .after = opt(op->after),
                             .after_version = opt(op->after_id),
                             .versions = op->kind == OP_LIST_VERSIONS,
                             .max = op->max};
    struct obj_list_out out;
    err e = obj_list(k->o, k->arena, &in, &out);
    if (e) return e;
    for (size_t i = 0; i < out.n; i++) add_object(k->a, &out.items[i]);
    for (size_t i = 0; i < out.nprefixes; i++) {
        struct item *it = next_item(k->a);
        it->kind = ITEM_PREFIX;
        say(it->name, sizeof it->name, out.prefixes[i]);
    }
    k->a->truncated = out.truncated;
    say(k->a->next, sizeof k->a->next, out.next_key);
    say(k->a->next_id, ID_SIZE, out.next_version);
    return ERR_OK;
}

static err list_uploads(struct call *k)
{
    struct upload_list_in in = {.bucket = str_c(k->op->bucket), .prefix = str_c(k->op->prefix), .max = 1000};
    struct upload_list_out out;
    err e = upload_list(k->o, k->arena, &in, &out);
    for (size_t i = 0; !e && i < out.n; i++) {
        struct item *it = next_item(k->a);
        it->kind = ITEM_UPLOAD;
        say(it->name, sizeof it->name, out.items[i].key);
        say(it->id, ID_SIZE, out.items[i].upload_id);
    }
    return e;
}

static err list_parts(struct call *k)
{
    struct obj_upload_info u;
    struct obj_part_info *parts;
    size_t n;
    bool truncated;
    err e = upload_parts(k->o, k->arena, str_c(k->op->bucket), str_c(k->op->key), str_c(k->op->upload_id), 0,
                         1000, &u, &parts, &n, &truncated);
    for (size_t i = 0; !e && i < n; i++) {
        struct item *it = next_item(k->a);
        it->kind = ITEM_PART;
        it->number = parts[i].number;
        it->size = parts[i].size;
        say(it->etag, ETAG_SIZE, parts[i].etag);
    }
    return e;
}

/* ---- buckets ---- */

static err list_buckets(struct call *k)
{
    struct bucket_list_in in = {.max = 100};
    struct bucket_list_out out;
    err e = bucket_list(k->o, k->arena, &in, &out);
    for (size_t i = 0; !e && i < out.n; i++) {
        struct item *it = next_item(k->a);
        it->kind = ITEM_BUCKET;
        say(it->name, sizeof it->name, out.buckets[i].name);
    }
    return e;
}

static err look_at_bucket(struct call *k)
{
    struct bucket_info b;
    err e = bucket_get(k->o, k->arena, str_c(k->op->bucket), &b);
    if (!e) k->a->versioning = b.versioning;
    return e;
}

static err on_bucket(struct call *k)
{
    struct str name = str_c(k->op->bucket);
    switch (k->op->kind) {
    case OP_CREATE_BUCKET:
        return bucket_create(k->o, k->arena, name, STR("c1"), STR("us-east-1"));
    case OP_DELETE_BUCKET:
        return bucket_delete(k->o, k->arena, name);
    case OP_PUT_VERSIONING:
        return bucket_set_versioning(k->o, k->arena, name, k->op->to);
    default:
        return look_at_bucket(k);
    }
}

static err (*const calls[OP_KINDS])(struct call *k) = {
    [OP_PUT] = put,
    [OP_GET] = get,
    [OP_HEAD] = get,
    [OP_GET_TAGS] = get,
    [OP_DELETE_MANY] = delete_many,
    [OP_COPY] = copy,
    [OP_ATTRIBUTES] = attributes,
    [OP_PUT_TAGS] = set_tags,
    [OP_DELETE_TAGS] = set_tags,
    [OP_CREATE_UPLOAD] = create_upload,
    [OP_UPLOAD_PART] = upload_a_part,
    [OP_UPLOAD_PART_COPY] = copy_part,
    [OP_COMPLETE] = complete,
    [OP_LIST_PARTS] = list_parts,
    [OP_LIST_V1] = list,
    [OP_LIST_V2] = list,
    [OP_LIST_VERSIONS] = list,
    [OP_LIST_UPLOADS] = list_uploads,
    [OP_LIST_BUCKETS] = list_buckets,
};

void direct_send(struct world *w, const struct op *op, struct answer *a)
{
    struct call k = {w->objects, arena_new(0), op, a};
    ASSERT(k.arena);
    if (op->kind == OP_DELETE)
        a->e = delete_one(&k, op->key, op->version, a->version);
    else if (op->kind == OP_ABORT)
        a->e = upload_abort(k.o, k.arena, str_c(op->bucket), str_c(op->key), str_c(op->upload_id));
    else
        a->e = calls[op->kind] ? calls[op->kind](&k) : on_bucket(&k);
    if (a->e == ERR_INCOMPLETE_BODY) a->lost = true;
    arena_free(k.arena);
}
