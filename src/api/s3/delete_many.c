/* DeleteObjects: up to 1,000 keys in one request.
 *
 * Each deletion waits for its own commit to be durable. Some run at once, in fibers of this loop, so that
 * they share commits; one thread runs them all, so that they may share the request's arena. A key that is
 * named twice has its deletions in no set order, as in S3.
 */
#include "api/s3/s3.h"
#include "base/assert.h"
#include "rt/rt.h"

#define FIBERS_MAX 32

struct deletion {
    const struct xml_node *node;
    struct obj_delete_in in;
    struct obj_delete_out out;
    err e;
};

struct batch {
    struct api_request *rq;
    struct deletion *v;
    size_t n, next;
    struct rt_sem done;
};

static err key_cond(const struct xml_node *o, struct obj_cond *c)
{
    struct str etag = str_trim(xml_child_text(o, "ETag"));
    struct str size = str_trim(xml_child_text(o, "Size"));
    struct str time = str_trim(xml_child_text(o, "LastModifiedTime"));
    *c = (struct obj_cond){.if_match = etag.n ? etag : STR_NONE};
    if (size.n) {
        c->has_size = true;
        if (!str_to_u64(size, &c->size)) return ERR_MALFORMED_XML;
    }
    if (time.n && !time_parse_iso(time, &c->last_modified) && !time_parse_http(time, &c->last_modified))
        return ERR_MALFORMED_XML;
    return ERR_OK;
}

/* One object of the request. Its own (action, resource) pair is asked for before it is touched. */
static err delete_one(struct api_request *rq, struct deletion *d)
{
    struct obj_delete_in *in = &d->in;
    err e = key_cond(d->node, &in->cond);
    if (e) return e;
    if (in->key.n > OBJ_KEY_MAX) return ERR_KEY_TOO_LONG;
    if (in->version_id.n > OBJ_VERSION_ID_MAX) return ERR_NO_SUCH_VERSION;
    struct iam_needs needs = {.n = 0};
    api_need_delete_key(rq, in->key, in->version_id, &needs);
    e = iam_allow(rq->who, &needs);
    return e ? e : obj_delete(rq->objects, rq->arena, in, &d->out);
}

static void render_deleted(struct buf *b, const struct obj_delete_in *in, const struct obj_delete_out *out)
{
    xml_open(b, "Deleted");
    xml_elem(b, "Key", in->key);
    if (in->version_id.n) xml_elem(b, "VersionId", in->version_id);
    if (out->delete_marker) {
        xml_elem_bool(b, "DeleteMarker", true);
        xml_elem(b, "DeleteMarkerVersionId", in->version_id.n ? in->version_id : out->version_id);
    }
    xml_close(b, "Deleted");
}

static void render_error(struct buf *b, const struct obj_delete_in *in, err e)
{
    xml_open(b, "Error");
    xml_elem(b, "Key", in->key);
    if (in->version_id.n) xml_elem(b, "VersionId", in->version_id);
    xml_elem(b, "Code", err_s3_code(e));
    xml_elem(b, "Message", err_message(e));
    xml_close(b, "Error");
}

/* Nothing is deleted unless the whole document is valid. */
static err read_document(struct api_request *rq, const struct xml_node *root, struct batch *b)
{
    size_t n = 0;
    for (const struct xml_node *o = root->first; o; o = o->next) n += str_eq(o->name, STR("Object"));
    if (n < 1 || n > S3_LIST_MAX) return ERR_MALFORMED_XML;
    *b = (struct batch){.rq = rq, .v = ARENA_ARRAY(rq->arena, struct deletion, n)};
    if (!b->v) return ERR_NO_MEMORY;
    for (const struct xml_node *o = root->first; o; o = o->next) {
        if (str_eq(o->name, STR("Quiet"))) continue;
        if (!str_eq(o->name, STR("Object")) || xml_child_text(o, "Key").n == 0) return ERR_MALFORMED_XML;
        struct deletion *d = &b->v[b->n++];
        d->node = o;
        d->in = (struct obj_delete_in){.bucket = rq->bucket,
                                       .key = xml_child_text(o, "Key"),
                                       .version_id = str_trim(xml_child_text(o, "VersionId")),
                                       .owner = rq->who->canonical_id};
    }
    return ERR_OK;
}

/* ---- some at once ---- */

static void work(struct batch *b)
{
    while (b->next < b->n) {
        struct deletion *d = &b->v[b->next++];
        d->e = delete_one(b->rq, d);
    }
}

static void fiber(void *arg)
{
    struct batch *b = arg;
    rt_set_patient(true);
    work(b);
    rt_sem_give(&b->done, 1);
}

static void delete_all(struct batch *b)
{
    int64_t started = 0;
    rt_sem_init(&b->done, 0);
    while (started + 1 < FIBERS_MAX && (size_t)started + 1 < b->n &&
           rt_spawn(rt_self(), "delete objects", fiber, b))
        started++;
    work(b);
    if (started == 0) return;
    bool all = rt_sem_take(&b->done, started, RT_FOREVER);
    ASSERT(all);
}

err s3_delete_objects(struct api_request *rq)
{
    struct xml_node *root;
    struct bucket_info info;
    struct batch batch;
    struct buf b;
    if (!s3_has_body_digest(rq))
        return api_error(rq, ERR_INVALID_REQUEST,
                         "Missing required header for this request: Content-MD5 OR x-amz-checksum-*");
    err e = s3_read_xml(rq, S3_DELETE_DOC_MAX, false, "Delete", &root);
    if (!e) e = read_document(rq, root, &batch);
    if (!e) e = bucket_get(rq->objects, rq->arena, rq->bucket, &info);
    if (e) return e;
    bool quiet = s3_lower_true(str_trim(xml_child_text(root, "Quiet")));
    delete_all(&batch);
    s3_doc(&b, "DeleteResult");
    for (size_t i = 0; i < batch.n; i++) {
        const struct deletion *d = &batch.v[i];
        if (d->e)
            render_error(&b, &d->in, d->e);
        else if (!quiet)
            render_deleted(&b, &d->in, &d->out);
    }
    xml_close(&b, "DeleteResult");
    return s3_reply_doc(rq, &b);
}
