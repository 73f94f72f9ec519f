/* All that a client's bucket holds, read through the API, against the model. */
#include "world.h"

#include <string.h>

enum { TRIES = 400 };

/* Reads may meet errors of the disk and broken connections: ask again. false: the engine is down for good. */
static bool ask(struct client *c, struct op *op)
{
    struct answer *a = &c->look;
    for (unsigned i = 0; i < TRIES; i++) {
        send_op(c, op, a);
        if (!a->lost && err_status(a->e) < 500) return true;
        rt_sleep(RT_SEC);
    }
    c->w->stop = true;
    return false;
}

static struct op op_of(struct client *c, enum op_kind kind, const char *key, const char *version)
{
    struct op op = {.kind = kind, .key = key, .prefix = "", .after = "", .max = 1000};
    snprintf(op.bucket, sizeof op.bucket, "%s", c->bucket_name);
    if (version) snprintf(op.version, ID_SIZE, "%s", version);
    return op;
}

static unsigned number_of(struct client *c, const char *name)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (strcmp(key_names[i], name) == 0) return i;
    EXPECT(c, false, "a key that nobody put: %s", name);
    return 0;
}

/* ---- reading ---- */

static bool read_version(struct client *c, const char *key, struct version *v)
{
    struct op op = op_of(c, OP_GET, key, v->id);
    if (!ask(c, &op)) return false;
    EXPECT(c, c->look.e == ERR_OK, "version %s of %s is listed, but reading it gives %s", v->id, key,
           err_name(c->look.e));
    EXPECT(c, strcmp(c->look.etag, v->etag) == 0, "the list and the object differ in ETags: %s, %s", v->etag,
           c->look.etag);
    char *p = malloc(c->look.body.n + 1);
    ASSERT(p);
    if (c->look.body.n) memcpy(p, c->look.body.p, c->look.body.n);
    v->c = content_new(p, c->look.body.n);
    v->meta = c->look.meta;
    if (strchr(v->etag, '-') == NULL)
        EXPECT(c, strcmp(v->c->md5, v->etag) == 0, "the bytes do not have their ETag");
    op.kind = OP_GET_TAGS;
    if (!ask(c, &op)) return false;
    EXPECT(c, c->look.e == ERR_OK, "tags: %s", err_name(c->look.e));
    v->tag = c->look.tag;
    return true;
}

static bool read_versions(struct client *c, struct bucket *seen)
{
    struct op op = op_of(c, OP_LIST_VERSIONS, NULL, NULL);
    if (!ask(c, &op)) return false;
    seen->there = c->look.e == ERR_OK;
    EXPECT(c, seen->there || c->look.e == ERR_NO_SUCH_BUCKET, "listing gives %s", err_name(c->look.e));
    for (unsigned i = 0; i < c->look.n; i++) {
        const struct item *it = &c->look.item[i];
        struct key_state *k = &seen->key[number_of(c, it->name)];
        EXPECT(c, k->n < VERSIONS_MAX, "too many versions of %s", it->name);
        EXPECT(c, it->latest == (k->n == 0), "which version of %s is the latest?", it->name);
        struct version *v = &k->v[k->n++];
        *v = (struct version){.marker = it->kind == ITEM_MARKER};
        snprintf(v->id, ID_SIZE, "%s", it->id);
        snprintf(v->etag, ETAG_SIZE, "%s", it->etag);
    }
    for (unsigned k = 0; k < KEYS; k++)
        for (unsigned i = 0; i < seen->key[k].n; i++)
            if (!seen->key[k].v[i].marker && !read_version(c, key_names[k], &seen->key[k].v[i])) return false;
    return true;
}

static bool read_parts(struct client *c, const char *key, struct upload *u)
{
    struct op op = op_of(c, OP_LIST_PARTS, key, NULL);
    snprintf(op.upload_id, ID_SIZE, "%s", u->id);
    if (!ask(c, &op)) return false;
    EXPECT(c, c->look.e == ERR_OK, "an upload is listed, but its parts are not: %s", err_name(c->look.e));
    for (unsigned i = 0; i < c->look.n; i++) {
        const struct item *it = &c->look.item[i];
        struct content *p = calloc(1, sizeof *p);
        ASSERT(p);
        EXPECT(c, it->number >= 1 && it->number <= PARTS, "part %u", it->number);
        p->n = it->size;
        snprintf(p->md5, sizeof p->md5, "%.32s", it->etag);
        u->part[it->number - 1] = p;
    }
    return true;
}

static bool read_uploads(struct client *c, struct bucket *seen)
{
    struct op op = op_of(c, OP_LIST_UPLOADS, NULL, NULL);
    if (!ask(c, &op)) return false;
    for (unsigned i = 0; i < c->look.n; i++) {
        struct key_state *k = &seen->key[number_of(c, c->look.item[i].name)];
        unsigned slot = 0;
        while (slot < UPLOADS && k->up[slot].live) slot++;
        EXPECT(c, slot < UPLOADS, "too many uploads of %s", c->look.item[i].name);
        k->up[slot].live = true;
        snprintf(k->up[slot].id, ID_SIZE, "%s", c->look.item[i].id);
    }
    for (unsigned k = 0; k < KEYS; k++)
        for (unsigned i = 0; i < UPLOADS; i++)
            if (seen->key[k].up[i].live && !read_parts(c, key_names[k], &seen->key[k].up[i])) return false;
    return true;
}

static bool read_bucket(struct client *c, struct bucket *seen)
{
    struct op op = op_of(c, OP_GET_VERSIONING, NULL, NULL);
    if (!ask(c, &op)) return false;
    seen->versioning = c->look.versioning;
    return read_versions(c, seen) && (!seen->there || read_uploads(c, seen));
}

/* ---- comparing ---- */

static void describe(const char *what, const struct key_state *k)
{
    fprintf(stderr, "  %s:", what);
    for (unsigned i = 0; i < k->n; i++)
        fprintf(stderr, " %s%s[%s %s %zu tag %u meta %u]", k->v[i].marker ? "marker " : "", k->v[i].id, "",
                k->v[i].etag, k->v[i].c ? k->v[i].c->n : 0, k->v[i].tag, k->v[i].meta);
    for (unsigned i = 0; i < UPLOADS; i++) {
        if (!k->up[i].live) continue;
        fprintf(stderr, " upload %s", k->up[i].id);
        for (unsigned n = 0; n < PARTS; n++)
            if (k->up[i].part[n])
                fprintf(stderr, " %u:%s/%zu", n + 1, k->up[i].part[n]->md5, k->up[i].part[n]->n);
    }
    fprintf(stderr, "\n");
}

static void choose_key(struct client *c, unsigned k, struct bucket *seen, struct bucket *before,
                       struct bucket *after, bool maybe, struct bucket *out)
{
    if (key_matches(&seen->key[k], &before->key[k], false)) {
        out->key[k] = before->key[k];
        return;
    }
    bool changed = maybe && key_matches(&seen->key[k], &after->key[k], true);
    if (!changed) {
        describe("seen", &seen->key[k]);
        describe("before", &before->key[k]);
        if (maybe) describe("or after", &after->key[k]);
    }
    EXPECT(c, changed, "%s is not what it was%s", key_names[k], maybe ? " nor what it would be" : "");
    out->key[k] = after->key[k];
}

void observe(struct client *c, bool maybe)
{
    struct bucket *v = calloc(4, sizeof *v), *seen = &v[0], *before = &v[1], *after = &v[2], *out = &v[3];
    ASSERT(v);
    bool read = read_bucket(c, seen);
    if (read && maybe && engine_down(c->w)) {
        /* The operation may be in the log and not in the index: only the next start says which. */
        c->w->stop = true;
    } else if (read) {
        *before = *after = c->b;
        if (maybe && model_apply(c, after, &c->op, NULL) != ERR_OK) maybe = false;
        bool same = seen->there == before->there && seen->versioning == before->versioning;
        EXPECT(c, same || (maybe && seen->there == after->there && seen->versioning == after->versioning),
               "the bucket is %s, versioning %d", seen->there ? "there" : "gone", (int)seen->versioning);
        out->there = seen->there;
        out->versioning = seen->versioning;
        for (unsigned k = 0; k < KEYS; k++) choose_key(c, k, seen, before, after, maybe, out);
        c->b = *out;
        c->pending = false;
        struct op op = op_of(c, OP_LIST_V2, NULL, NULL);
        if (c->b.there && ask(c, &op)) model_list(c, &c->b, &op, &c->look);
    }
    free(v);
}
