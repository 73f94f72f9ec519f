/* The model: what S3 says of one client's bucket, in a few hundred lines that keep nothing on a disk. */
#include "world.h"

const char *const key_names[KEYS] = {"a", "a/b", "a/b/c", "d", "e/f", "e/g"};
const char *const op_names[OP_KINDS] = {"PutObject",
                                        "GetObject",
                                        "HeadObject",
                                        "DeleteObject",
                                        "DeleteObjects",
                                        "CopyObject",
                                        "GetObjectAttributes",
                                        "GetObjectTagging",
                                        "PutObjectTagging",
                                        "DeleteObjectTagging",
                                        "CreateMultipartUpload",
                                        "UploadPart",
                                        "UploadPartCopy",
                                        "CompleteMultipartUpload",
                                        "AbortMultipartUpload",
                                        "ListParts",
                                        "ListObjects",
                                        "ListObjectsV2",
                                        "ListObjectVersions",
                                        "ListMultipartUploads",
                                        "ListBuckets",
                                        "HeadBucket",
                                        "GetBucketLocation",
                                        "GetBucketVersioning",
                                        "PutBucketVersioning",
                                        "CreateBucket",
                                        "DeleteBucket"};

/* ---- contents ---- */

static void hex16(const uint8_t *b, char out[33])
{
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", b[i]);
}

const struct content *content_new(const char *p, size_t n)
{
    struct content *c = malloc(sizeof *c);
    struct hash_value md5;
    ASSERT(c);
    *c = (struct content){.n = n, .p = p};
    hash_once(HASH_MD5, p, n, &md5);
    hex16(md5.b, c->md5);
    return c;
}

const struct content *content_random(size_t n)
{
    static uint64_t next; /* no two contents are the same */
    char *p = malloc(n + 8);
    ASSERT(p);
    uint64_t x = ++next * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < n; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(p + i, &x, 8);
    }
    return content_new(p, n);
}

const struct content *content_slice(const struct content *c, size_t from, size_t n)
{
    return content_new(c->p + from, n);
}

void part_etag(const struct upload *u, unsigned number, char out[ETAG_SIZE])
{
    snprintf(out, ETAG_SIZE, "%s",
             u->part[number - 1] ? u->part[number - 1]->md5 : "0123456789abcdef0123456789abcdef");
}

static unsigned nibble(char h)
{
    return (unsigned)(h <= '9' ? h - '0' : h - 'a' + 10);
}

/* ---- versions ---- */

static void remove_at(struct key_state *k, unsigned i)
{
    memmove(&k->v[i], &k->v[i + 1], (--k->n - i) * sizeof *k->v);
}

const struct version *model_find(const struct key_state *k, const char *id)
{
    for (unsigned i = 0; i < k->n; i++)
        if (id[0] == 0 || strcmp(k->v[i].id, id) == 0) return &k->v[i];
    return NULL;
}

static void push(const struct bucket *b, struct key_state *k, const struct version *v, const char *id)
{
    bool null = b->versioning != VERSIONING_ENABLED;
    for (unsigned i = 0; null && i < k->n; i++)
        if (strcmp(k->v[i].id, "null") == 0) remove_at(k, i--);
    ASSERT(k->n < VERSIONS_MAX);
    memmove(&k->v[1], &k->v[0], k->n++ * sizeof *k->v);
    k->v[0] = *v;
    snprintf(k->v[0].id, ID_SIZE, "%s", null ? "null" : id);
}

/* The id that an answer gives to a new version: none where the bucket never had versions. */
static const char *new_id(struct client *c, const struct bucket *b, const struct answer *a)
{
    if (!a) return "";
    if (b->versioning == VERSIONING_OFF)
        EXPECT(c, a->version[0] == 0, "a version id where there are no versions: %s", a->version);
    if (b->versioning == VERSIONING_SUSPENDED) /* HTTP does not say it of a new version */
        EXPECT(c, strcmp(a->version, "null") == 0 || (c->w->http && !a->version[0]),
               "the null version is called %s", a->version);
    if (b->versioning == VERSIONING_ENABLED)
        EXPECT(c, a->version[0] && strcmp(a->version, "null") != 0, "no version id: %s", a->version);
    return a->version;
}

static err check_cond(const struct key_state *k, const struct op *op)
{
    const struct version *cur = k->n && !k->v[0].marker ? &k->v[0] : NULL;
    if (op->cond == COND_NEW && cur) return ERR_PRECONDITION_FAILED;
    if (op->cond != COND_SAME) return ERR_OK;
    if (!cur) return ERR_NO_SUCH_KEY;
    return strcmp(cur->etag, op->cond_etag) == 0 ? ERR_OK : ERR_PRECONDITION_FAILED;
}

static err put(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    struct key_state *k = &b->key[op->k];
    err e = check_cond(k, op);
    if (e) return e;
    struct version v = {.c = op->body, .tag = op->tag, .meta = op->meta};
    snprintf(v.etag, sizeof v.etag, "%s", op->body->md5);
    if (a && !a->e) EXPECT(c, strcmp(a->etag, v.etag) == 0, "ETag %s, not %s", a->etag, v.etag);
    push(b, k, &v, a && !a->e ? new_id(c, b, a) : "");
    return ERR_OK;
}

/* The version that a read is about; the errors as S3 gives them. */
static err read_version(const struct key_state *k, const char *id, const struct version **out)
{
    *out = model_find(k, id);
    if (!*out) return id[0] ? ERR_NO_SUCH_VERSION : ERR_NO_SUCH_KEY;
    if ((*out)->marker) return id[0] ? ERR_METHOD_NOT_ALLOWED : ERR_NO_SUCH_KEY;
    return ERR_OK;
}

static err get(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    const struct version *v;
    err e = read_version(&b->key[op->k], op->version, &v);
    if (e) return e;
    uint64_t first = 0, n = v->c->n;
    if (op->ranged) {
        if (op->first >= v->c->n) return ERR_INVALID_RANGE;
        first = op->first;
        n = (op->last < v->c->n - 1 ? op->last : v->c->n - 1) - first + 1;
    }
    if (!a || a->e) return ERR_OK;
    EXPECT(c, strcmp(a->etag, v->etag) == 0, "ETag %s, not %s", a->etag, v->etag);
    EXPECT(c, a->meta == v->meta, "metadata %u, not %u", a->meta, v->meta);
    EXPECT(c, a->size == n, "%llu bytes, not %llu", (unsigned long long)a->size, (unsigned long long)n);
    if (op->kind == OP_GET)
        EXPECT(c, a->body.n == n && (n == 0 || memcmp(a->body.p, v->c->p + first, n) == 0), "wrong bytes");
    return ERR_OK;
}

static err attributes(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    const struct version *v;
    err e = read_version(&b->key[op->k], op->version, &v);
    if (e || !a || a->e) return e;
    EXPECT(c, strcmp(a->etag, v->etag) == 0 && a->size == v->c->n, "attributes: %s, %llu bytes", a->etag,
           (unsigned long long)a->size);
    return ERR_OK;
}

/* ---- deleting ---- */

static void delete_one(struct client *c, struct bucket *b, unsigned key, const char *version,
                       const char *made, bool answered)
{
    struct key_state *k = &b->key[key];
    if (version[0]) {
        for (unsigned i = 0; i < k->n; i++)
            if (strcmp(k->v[i].id, version) == 0) {
                remove_at(k, i);
                return;
            }
        return;
    }
    if (b->versioning == VERSIONING_OFF) {
        if (k->n) remove_at(k, 0);
        return;
    }
    if (answered) EXPECT(c, made[0], "a marker without an id");
    push(b, k, &(struct version){.marker = true}, made);
}

static err delete_many(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    for (unsigned i = 0; i < op->nmany; i++) {
        if (a && a->many[i]) continue; /* said to have failed: nothing changed */
        delete_one(c, b, op->many[i], op->many_version[i], a ? a->many_version[i] : "", a != NULL);
    }
    return ERR_OK;
}

/* ---- copies and tags ---- */

static err copy(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    const struct version *from;
    if (op->src_k == op->k && !op->replace && op->src_version[0] == 0) return ERR_INVALID_REQUEST;
    err e = read_version(&b->key[op->src_k], op->src_version, &from);
    if (e == ERR_METHOD_NOT_ALLOWED) return ERR_INVALID_REQUEST;
    if (e) return e;
    struct version v = *from;
    if (op->replace) v.meta = op->meta, v.tag = op->tag;
    if (a && !a->e) EXPECT(c, strcmp(a->etag, v.etag) == 0, "ETag of the copy %s, not %s", a->etag, v.etag);
    push(b, &b->key[op->k], &v, a && !a->e ? new_id(c, b, a) : "");
    return ERR_OK;
}

static err tags(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    const struct version *v;
    err e = read_version(&b->key[op->k], op->version, &v);
    if (e) return e;
    if (op->kind == OP_GET_TAGS && a && !a->e) EXPECT(c, a->tag == v->tag, "tag %u, not %u", a->tag, v->tag);
    unsigned at = (unsigned)(v - b->key[op->k].v);
    if (op->kind == OP_PUT_TAGS) b->key[op->k].v[at].tag = op->tag;
    if (op->kind == OP_DELETE_TAGS) b->key[op->k].v[at].tag = 0;
    return ERR_OK;
}

/* ---- uploads ---- */

static err create_upload(struct bucket *b, const struct op *op, const struct answer *a)
{
    struct upload *u = &b->key[op->k].up[op->upload];
    ASSERT(!u->live);
    *u = (struct upload){.live = true, .meta = op->meta};
    if (a && !a->e) snprintf(u->id, ID_SIZE, "%s", a->upload);
    return ERR_OK;
}

static struct upload *upload_of(struct bucket *b, const struct op *op)
{
    struct upload *u = &b->key[op->k].up[op->upload];
    return u->live && strcmp(u->id, op->upload_id) == 0 ? u : NULL;
}

static err upload_part_(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    struct upload *u = upload_of(b, op);
    const struct content *body = op->body;
    if (op->kind == OP_UPLOAD_PART_COPY) {
        const struct version *from;
        err e = read_version(&b->key[op->src_k], op->src_version, &from);
        if (!u) return ERR_NO_SUCH_UPLOAD;
        if (e == ERR_METHOD_NOT_ALLOWED) return ERR_INVALID_REQUEST;
        if (e) return e;
        if (op->ranged && op->last >= from->c->n) return ERR_INVALID_RANGE;
        body = op->ranged ? content_slice(from->c, op->first, op->last - op->first + 1) : from->c;
    }
    if (!u) return ERR_NO_SUCH_UPLOAD;
    if (a && !a->e)
        EXPECT(c, strcmp(a->etag, body->md5) == 0, "ETag of the part %s, not %s", a->etag, body->md5);
    u->part[op->part - 1] = body;
    return ERR_OK;
}

static err complete(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    struct upload *u = upload_of(b, op);
    struct version v = {.meta = 0};
    uint8_t sums[PARTS * 16];
    size_t n = 0;
    if (!u) return ERR_NO_SUCH_UPLOAD;
    err e = check_cond(&b->key[op->k], op);
    if (e) return e;
    for (unsigned i = 0; i < op->nparts; i++) {
        const struct content *p = u->part[op->parts[i] - 1];
        if (!p) return ERR_INVALID_PART;
        n += p->n;
    }
    for (unsigned i = 0; i + 1 < op->nparts; i++)
        if (u->part[op->parts[i] - 1]->n < MIN_PART) return ERR_ENTITY_TOO_SMALL;
    char *all = malloc(n + 1);
    ASSERT(all);
    size_t at = 0;
    for (unsigned i = 0; i < op->nparts; i++) {
        const struct content *p = u->part[op->parts[i] - 1];
        memcpy(all + at, p->p, p->n);
        at += p->n;
        for (unsigned j = 0; j < 16; j++)
            sums[16 * i + j] = (uint8_t)(nibble(p->md5[2 * j]) << 4 | nibble(p->md5[2 * j + 1]));
    }
    struct hash_value md5;
    char hex[33];
    hash_once(HASH_MD5, sums, 16 * (size_t)op->nparts, &md5);
    hex16(md5.b, hex);
    v.c = content_new(all, n);
    v.meta = u->meta;
    v.parts = op->nparts;
    snprintf(v.etag, sizeof v.etag, "%s-%u", hex, op->nparts);
    if (a && !a->e) EXPECT(c, strcmp(a->etag, v.etag) == 0, "ETag of the whole %s, not %s", a->etag, v.etag);
    u->live = false;
    push(b, &b->key[op->k], &v, a && !a->e ? new_id(c, b, a) : "");
    return ERR_OK;
}

static err abort_upload(struct bucket *b, const struct op *op)
{
    struct upload *u = upload_of(b, op);
    if (!u) return ERR_NO_SUCH_UPLOAD;
    u->live = false;
    return ERR_OK;
}

static err list_parts(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    const struct upload *u = upload_of(b, op);
    unsigned n = 0;
    if (!u) return ERR_NO_SUCH_UPLOAD;
    if (!a || a->e) return ERR_OK;
    for (unsigned i = 0; i < PARTS; i++) {
        if (!u->part[i]) continue;
        EXPECT(c, n < a->n && a->item[n].number == i + 1 && strcmp(a->item[n].etag, u->part[i]->md5) == 0,
               "part %u is not as it was sent", i + 1);
        n++;
    }
    EXPECT(c, a->n == n, "%u parts, not %u", a->n, n);
    return ERR_OK;
}

/* ---- buckets ---- */

static bool bucket_empty(const struct bucket *b)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (b->key[i].n) return false;
    return true;
}

static err bucket_op(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    switch (op->kind) {
    case OP_CREATE_BUCKET:
        if (b->there) return ERR_BUCKET_OWNED;
        *b = (struct bucket){.there = true};
        return ERR_OK;
    case OP_DELETE_BUCKET:
        if (!b->there) return ERR_NO_SUCH_BUCKET;
        if (!bucket_empty(b)) return ERR_BUCKET_NOT_EMPTY;
        *b = (struct bucket){.there = false};
        return ERR_OK;
    case OP_PUT_VERSIONING:
        if (b->there) b->versioning = op->to;
        break;
    case OP_GET_VERSIONING:
        if (b->there && a && !a->e)
            EXPECT(c, a->versioning == b->versioning, "versioning %d, not %d", (int)a->versioning,
                   (int)b->versioning);
        break;
    default:
        break;
    }
    return b->there ? ERR_OK : ERR_NO_SUCH_BUCKET;
}

err model_apply(struct client *c, struct bucket *b, const struct op *op, const struct answer *a)
{
    if (op->kind == OP_LIST_BUCKETS) {
        if (a && !a->e) {
            bool seen = false;
            for (unsigned i = 0; i < a->n; i++) seen = seen || strcmp(a->item[i].name, c->bucket_name) == 0;
            EXPECT(c, seen == b->there, "the list of buckets is wrong about %s", c->bucket_name);
        }
        return ERR_OK;
    }
    if (op->kind >= OP_HEAD_BUCKET) return bucket_op(c, b, op, a);
    if (!b->there) return ERR_NO_SUCH_BUCKET;
    switch (op->kind) {
    case OP_PUT:
        return put(c, b, op, a);
    case OP_GET:
    case OP_HEAD:
        return get(c, b, op, a);
    case OP_ATTRIBUTES:
        return attributes(c, b, op, a);
    case OP_DELETE:
        delete_one(c, b, op->k, op->version, a ? a->version : "", a && !a->e);
        return ERR_OK;
    case OP_DELETE_MANY:
        return delete_many(c, b, op, a);
    case OP_COPY:
        return copy(c, b, op, a);
    case OP_GET_TAGS:
    case OP_PUT_TAGS:
    case OP_DELETE_TAGS:
        return tags(c, b, op, a);
    case OP_CREATE_UPLOAD:
        return create_upload(b, op, a);
    case OP_UPLOAD_PART:
    case OP_UPLOAD_PART_COPY:
        return upload_part_(c, b, op, a);
    case OP_COMPLETE:
        return complete(c, b, op, a);
    case OP_ABORT:
        return abort_upload(b, op);
    case OP_LIST_PARTS:
        return list_parts(c, b, op, a);
    default:
        if (a && !a->e) model_list(c, b, op, a);
        return ERR_OK;
    }
}

bool op_changes(const struct op *op)
{
    switch (op->kind) {
    case OP_PUT:
    case OP_DELETE:
    case OP_DELETE_MANY:
    case OP_COPY:
    case OP_PUT_TAGS:
    case OP_DELETE_TAGS:
    case OP_CREATE_UPLOAD:
    case OP_UPLOAD_PART:
    case OP_UPLOAD_PART_COPY:
    case OP_COMPLETE:
    case OP_ABORT:
    case OP_PUT_VERSIONING:
    case OP_CREATE_BUCKET:
    case OP_DELETE_BUCKET:
        return true;
    default:
        return false;
    }
}

/* ---- comparing ---- */

static bool id_matches(const char *seen, char *want, bool learn)
{
    if (want[0] == 0 && strcmp(seen, "null") != 0) {
        if (learn) snprintf(want, ID_SIZE, "%s", seen);
        return true;
    }
    return strcmp(seen, want) == 0;
}

static bool version_matches(const struct version *seen, struct version *want, bool learn)
{
    if (seen->marker != want->marker || !id_matches(seen->id, want->id, learn)) return false;
    if (seen->marker) return true;
    return strcmp(seen->etag, want->etag) == 0 && seen->tag == want->tag && seen->meta == want->meta &&
           seen->c->n == want->c->n && (seen->c->n == 0 || memcmp(seen->c->p, want->c->p, seen->c->n) == 0);
}

static bool upload_matches(const struct upload *seen, struct upload *want, bool learn)
{
    if (!id_matches(seen->id, want->id, learn)) return false;
    for (unsigned i = 0; i < PARTS; i++) {
        if (!seen->part[i] != !want->part[i]) return false;
        if (seen->part[i] &&
            (seen->part[i]->n != want->part[i]->n || strcmp(seen->part[i]->md5, want->part[i]->md5) != 0))
            return false;
    }
    return true;
}

/* Uploads that were seen stand in any slot; one whose id nobody knows yet is matched last. */
static bool uploads_match(struct key_state *seen, struct key_state *want, bool learn)
{
    bool used[UPLOADS] = {false};
    unsigned live[2] = {0};
    for (unsigned i = 0; i < UPLOADS; i++) live[0] += seen->up[i].live, live[1] += want->up[i].live;
    if (live[0] != live[1]) return false;
    for (int unknown = 0; unknown < 2; unknown++)
        for (unsigned i = 0; i < UPLOADS; i++) {
            struct upload *u = &want->up[i];
            if (!u->live || (u->id[0] == 0) != unknown) continue;
            bool found = false;
            for (unsigned j = 0; j < UPLOADS && !found; j++) {
                found = !used[j] && seen->up[j].live && upload_matches(&seen->up[j], u, learn);
                if (found) used[j] = true;
            }
            if (!found) return false;
            if (unknown && !learn) continue;
        }
    return true;
}

bool key_matches(struct key_state *seen, struct key_state *want, bool learn)
{
    if (seen->n != want->n) return false;
    for (unsigned i = 0; i < want->n; i++)
        if (!version_matches(&seen->v[i], &want->v[i], learn)) return false;
    return uploads_match(seen, want, learn);
}
