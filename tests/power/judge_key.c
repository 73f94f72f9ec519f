/* What one key may hold at a cut. */
#include "power/judge_int.h"

static struct obj_entry *find(struct judge_list *l, const char *key, const char *version)
{
    for (size_t i = 0; i < l->n; i++) {
        struct obj_entry *o = &l->v[i];
        if (!str_eq(o->key, str_c(key)) || (version && !str_eq(o->version_id, str_c(version)))) continue;
        l->known[i] = true;
        return o;
    }
    return NULL;
}

/* ---- a key of a bucket without versions ---- */

struct allowed {
    const char *digest[2]; /* NULL: no object */
    unsigned n;
};

/* A key's operations came one after another, so at most one of them is uncertain at a cut. */
static struct allowed allowed_at(struct judge *j, size_t from, size_t to)
{
    struct allowed al = {.n = 1};
    for (size_t i = from; i < to; i++) {
        const struct op *o = &j->o->history->v[i];
        enum op_state s = history_at(o, j->o->cut);
        if ((o->kind != OP_PUT && o->kind != OP_DELETE) || s == OP_NOT) continue;
        if (s == OP_DONE) al.n = 0;
        if (al.n == 2) judge_say(j, "the history of %s overlaps", o->key);
        al.digest[al.n < 2 ? al.n++ : 1] = o->kind == OP_PUT ? o->value : NULL;
    }
    return al;
}

static bool is_allowed(const struct allowed *al, const char *digest)
{
    for (unsigned i = 0; i < al->n; i++) {
        const char *d = al->digest[i];
        if (d && digest ? strcmp(d, digest) == 0 : d == digest) return true;
    }
    return false;
}

void judge_key(struct judge *j, size_t from, size_t to, struct judge_list *listed)
{
    const struct op *o = &j->o->history->v[from];
    struct allowed al = allowed_at(j, from, to);
    char hex[DIGEST_TEXT];
    struct obj_info info;
    err e = judge_digest(j, o->bucket, str_c(o->key), STR_NONE, hex, &info);
    struct obj_entry *entry = find(listed, o->key, NULL);
    if (e && e != ERR_NO_SUCH_KEY) {
        judge_say(j, "%s/%s cannot be read: %s", o->bucket, o->key, err_name(e));
        return;
    }
    bool there = e == ERR_OK;
    if (!is_allowed(&al, there ? hex : NULL))
        judge_say(j, "%s/%s is %s, not %s%s%s", o->bucket, o->key, there ? hex : "gone",
                  al.digest[0] ? al.digest[0] : "absent", al.n > 1 ? " or " : "",
                  al.n > 1 && al.digest[1] ? al.digest[1] : "");
    if (there != (entry != NULL))
        judge_say(j, "%s/%s is %s and %s", o->bucket, o->key, there ? "there" : "gone",
                  entry ? "listed" : "not listed");
    if (there && entry && (info.size != entry->size || !str_eq(info.etag, entry->etag)))
        judge_say(j, "%s/%s is listed with another size or ETag", o->bucket, o->key);
}

/* ---- a key with versions ---- */

static enum op_state removed_at(struct judge *j, size_t from, size_t to, const char *version)
{
    for (size_t i = from; i < to; i++) {
        const struct op *o = &j->o->history->v[i];
        if (o->kind == OP_VDEL && strcmp(o->name, version) == 0) return history_at(o, j->o->cut);
    }
    return OP_NOT;
}

static void judge_one_version(struct judge *j, const struct op *o, enum op_state made, enum op_state removed,
                              struct judge_list *listed)
{
    char hex[DIGEST_TEXT];
    struct obj_info info;
    struct obj_entry *entry = made == OP_NOT ? NULL : find(listed, o->key, o->name);
    if (!entry) {
        if (made == OP_DONE && removed == OP_NOT)
            judge_say(j, "%s/%s version %s is gone", o->bucket, o->key, o->name);
        return;
    }
    if (removed == OP_DONE) judge_say(j, "%s/%s version %s came back", o->bucket, o->key, o->name);
    if (entry->delete_marker != (o->kind == OP_VMARK))
        judge_say(j, "%s/%s version %s: a marker or not", o->bucket, o->key, o->name);
    if (o->kind == OP_VMARK || entry->delete_marker) return;
    err e = judge_digest(j, o->bucket, str_c(o->key), str_c(o->name), hex, &info);
    if (e || strcmp(hex, o->value) != 0)
        judge_say(j, "%s/%s version %s: %s, %s, not %s", o->bucket, o->key, o->name, err_name(e), hex,
                  o->value);
}

static void judge_latest(struct judge *j, const struct op *newest, struct judge_list *listed)
{
    char hex[DIGEST_TEXT];
    struct obj_info info;
    struct obj_entry *entry = newest ? find(listed, newest->key, newest->name) : NULL;
    if (!entry) return;
    err e = judge_digest(j, newest->bucket, str_c(newest->key), STR_NONE, hex, &info);
    bool right = newest->kind == OP_VMARK ? e == ERR_NO_SUCH_KEY : !e && strcmp(hex, newest->value) == 0;
    if (!entry->is_latest || !right)
        judge_say(j, "%s/%s: %s is not the current version", newest->bucket, newest->key, newest->name);
}

void judge_versions(struct judge *j, size_t from, size_t to, struct judge_list *listed)
{
    const struct op *newest = NULL;
    bool certain = true;
    for (size_t i = from; i < to; i++) {
        const struct op *o = &j->o->history->v[i];
        enum op_state s = history_at(o, j->o->cut);
        certain = certain && s != OP_MAYBE;
        if ((o->kind != OP_VPUT && o->kind != OP_VMARK) || !o->name[0]) continue;
        enum op_state removed = removed_at(j, from, to, o->name);
        judge_one_version(j, o, s, removed, listed);
        if (s == OP_DONE && removed == OP_NOT) newest = o;
    }
    if (certain) judge_latest(j, newest, listed);
}

/* ---- uploads ---- */

static enum op_state ended_at(struct judge *j, size_t from, size_t to, const char *upload)
{
    for (size_t i = from; i < to; i++) {
        const struct op *o = &j->o->history->v[i];
        if (o->kind == OP_UEND && strcmp(o->name, upload) == 0) return history_at(o, j->o->cut);
    }
    return OP_NOT;
}

static bool has_part(const struct obj_part_info *parts, size_t n, const char *value)
{
    for (size_t i = 0; i < n; i++) {
        char text[128];
        snprintf(text, sizeof text, "%u:%.*s", parts[i].number, STR_FMT(parts[i].etag));
        if (strcmp(text, value) == 0) return true;
    }
    return false;
}

static void judge_parts(struct judge *j, size_t from, size_t to, const struct op *create)
{
    struct obj_upload_info info;
    struct obj_part_info *parts;
    size_t n = 0;
    bool more;
    err e = upload_parts(j->objects, j->a, str_c(create->bucket), str_c(create->key), str_c(create->name), 0,
                         OBJ_PART_MAX_NUMBER, &info, &parts, &n, &more);
    if (e) {
        judge_say(j, "%s/%s upload %s is gone: %s", create->bucket, create->key, create->name, err_name(e));
        return;
    }
    for (size_t i = from; i < to; i++) {
        const struct op *o = &j->o->history->v[i];
        if (o->kind != OP_UPART || strcmp(o->name, create->name) != 0) continue;
        if (history_at(o, j->o->cut) == OP_DONE && !has_part(parts, n, o->value))
            judge_say(j, "%s/%s upload %s lost part %s", o->bucket, o->key, o->name, o->value);
    }
}

void judge_uploads(struct judge *j, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const struct op *o = &j->o->history->v[i];
        struct obj_upload_info info;
        if (o->kind != OP_UCREATE || !o->name[0] || history_at(o, j->o->cut) != OP_DONE) continue;
        enum op_state ended = ended_at(j, from, to, o->name);
        if (ended == OP_NOT) judge_parts(j, from, to, o);
        if (ended == OP_DONE &&
            upload_get(j->objects, j->a, str_c(o->bucket), str_c(o->key), str_c(o->name), &info) == ERR_OK)
            judge_say(j, "%s/%s upload %s came back", o->bucket, o->key, o->name);
    }
}
