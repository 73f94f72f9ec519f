/* What the model says of a page of a listing. */
#include "world.h"

#include <string.h>

/* The common prefix that key is rolled up into; "" if none. */
static void rolled(const char *key, const struct op *op, char out[64])
{
    out[0] = 0;
    const char *at = op->delimiter ? strstr(key + strlen(op->prefix), op->delimiter) : NULL;
    if (at) snprintf(out, 64, "%.*s", (int)(at - key) + 1, key);
}

static void list_objects(struct client *c, const struct bucket *b, const struct op *op,
                         const struct answer *a)
{
    unsigned total = 0, at = 0;
    char last[64] = "", prefix[64];
    bool more = false;
    for (unsigned i = 0; i < KEYS && !more; i++) {
        const struct key_state *k = &b->key[i];
        const char *name = key_names[i];
        if (k->n == 0 || k->v[0].marker) continue;
        if (strncmp(name, op->prefix, strlen(op->prefix)) != 0 || strcmp(name, op->after) <= 0) continue;
        rolled(name, op, prefix);
        if (prefix[0] && strcmp(prefix, last) == 0) continue;
        more = total == op->max;
        if (more) break;
        total++;
        snprintf(last, sizeof last, "%s", prefix);
        if (prefix[0]) {
            bool seen = false;
            for (unsigned j = 0; j < a->n; j++)
                seen = seen || (a->item[j].kind == ITEM_PREFIX && strcmp(a->item[j].name, prefix) == 0);
            EXPECT(c, seen, "the list lacks the common prefix %s", prefix);
            continue;
        }
        while (at < a->n && a->item[at].kind != ITEM_KEY) at++;
        EXPECT(c, at < a->n && strcmp(a->item[at].name, name) == 0, "the list lacks %s", name);
        EXPECT(c, a->item[at].size == k->v[0].c->n && strcmp(a->item[at].etag, k->v[0].etag) == 0,
               "the list is wrong about %s", name);
        at++;
    }
    EXPECT(c, a->n == total, "the list has %u entries, not %u", a->n, total);
    EXPECT(c, a->truncated == more, "the list says it is %s", a->truncated ? "truncated" : "whole");
}

static void list_versions(struct client *c, const struct bucket *b, const struct op *op,
                          const struct answer *a)
{
    unsigned total = 0;
    bool more = false;
    for (unsigned i = 0; i < KEYS && !more; i++) {
        const char *name = key_names[i];
        if (strncmp(name, op->prefix, strlen(op->prefix)) != 0 || strcmp(name, op->after) < 0) continue;
        bool skip = strcmp(name, op->after) == 0;
        for (unsigned j = 0; j < b->key[i].n; j++) {
            const struct version *v = &b->key[i].v[j];
            if (skip) {
                skip = op->after_id[0] == 0 || strcmp(v->id, op->after_id) != 0;
                continue;
            }
            more = total == op->max;
            if (more) break;
            EXPECT(c, total < a->n, "the list of versions ends at %u", a->n);
            const struct item *it = &a->item[total++];
            EXPECT(c, strcmp(it->name, name) == 0 && strcmp(it->id, v->id) == 0 && it->latest == (j == 0),
                   "the list of versions has %s %s, not %s %s", it->name, it->id, name, v->id);
            EXPECT(c, (it->kind == ITEM_MARKER) == v->marker, "%s %s is and is not a marker", name, v->id);
            EXPECT(c, v->marker || (it->size == v->c->n && strcmp(it->etag, v->etag) == 0),
                   "the list of versions is wrong about %s %s", name, v->id);
        }
    }
    EXPECT(c, a->n == total && a->truncated == more, "%u versions, not %u", a->n, total);
}

static void list_uploads(struct client *c, const struct bucket *b, const struct op *op,
                         const struct answer *a)
{
    unsigned total = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        if (strncmp(key_names[i], op->prefix, strlen(op->prefix)) != 0) continue;
        for (unsigned j = 0; j < UPLOADS; j++) {
            const struct upload *u = &b->key[i].up[j];
            bool seen = false;
            if (!u->live) continue;
            total++;
            for (unsigned n = 0; n < a->n; n++)
                seen =
                    seen || (strcmp(a->item[n].name, key_names[i]) == 0 && strcmp(a->item[n].id, u->id) == 0);
            EXPECT(c, seen, "the list of uploads lacks %s of %s", u->id, key_names[i]);
        }
    }
    EXPECT(c, a->n == total, "%u uploads, not %u", a->n, total);
}

void model_list(struct client *c, const struct bucket *b, const struct op *op, const struct answer *a)
{
    if (op->kind == OP_LIST_V1 || op->kind == OP_LIST_V2) list_objects(c, b, op, a);
    if (op->kind == OP_LIST_VERSIONS) list_versions(c, b, op, a);
    if (op->kind == OP_LIST_UPLOADS) list_uploads(c, b, op, a);
}
