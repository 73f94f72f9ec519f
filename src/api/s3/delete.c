/* DeleteObject and DeleteObjects. */
#include "api/s3/s3.h"

err s3_delete_object(struct api_request *rq)
{
    struct obj_delete_in in = {.bucket = rq->bucket, .key = rq->key, .owner = rq->who->canonical_id};
    struct obj_delete_out out = {.delete_marker = false};
    err e = s3_arg_version(rq, &in.version_id);
    if (!e) e = s3_delete_cond(rq, &in.cond);
    if (e) return e;
    e = obj_delete(rq->objects, rq->arena, &in, &out);
    if (e) return s3_cond_failed(rq, e, &in.cond);
    s3_set_version(rq, out.version_id);
    if (out.delete_marker) s3_set(rq, "x-amz-delete-marker", STR("true"));
    return s3_reply_empty(rq, 204);
}

/* ---- many ---- */

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
static err delete_one(struct api_request *rq, const struct xml_node *o, struct obj_delete_in *in,
                      struct obj_delete_out *out)
{
    err e = key_cond(o, &in->cond);
    if (e) return e;
    if (in->key.n > OBJ_KEY_MAX) return ERR_KEY_TOO_LONG;
    if (in->version_id.n > OBJ_VERSION_ID_MAX) return ERR_NO_SUCH_VERSION;
    struct iam_needs needs = {.n = 1};
    needs.v[0] = (struct iam_need){in->version_id.n ? "s3:DeleteObjectVersion" : "s3:DeleteObject",
                                   in->bucket, in->key, in->version_id};
    e = iam_allow(rq->who, &needs);
    return e ? e : obj_delete(rq->objects, rq->arena, in, out);
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
static err check_document(const struct xml_node *root)
{
    size_t n = 0;
    for (const struct xml_node *o = root->first; o; o = o->next) {
        if (str_eq(o->name, STR("Quiet"))) continue;
        if (!str_eq(o->name, STR("Object")) || xml_child_text(o, "Key").n == 0) return ERR_MALFORMED_XML;
        n++;
    }
    return n >= 1 && n <= S3_LIST_MAX ? ERR_OK : ERR_MALFORMED_XML;
}

err s3_delete_objects(struct api_request *rq)
{
    struct xml_node *root;
    struct bucket_info info;
    struct buf b;
    if (!s3_has_body_digest(rq))
        return api_error(rq, ERR_INVALID_REQUEST,
                         "Missing required header for this request: Content-MD5 OR x-amz-checksum-*");
    err e = s3_read_xml(rq, S3_DELETE_DOC_MAX, false, "Delete", &root);
    if (!e) e = check_document(root);
    if (!e) e = bucket_get(rq->objects, rq->arena, rq->bucket, &info);
    if (e) return e;
    bool quiet = s3_lower_true(str_trim(xml_child_text(root, "Quiet")));
    s3_doc(&b, "DeleteResult");
    for (const struct xml_node *o = root->first; o; o = o->next) {
        if (!str_eq(o->name, STR("Object"))) continue;
        struct obj_delete_in in = {.bucket = rq->bucket,
                                   .key = xml_child_text(o, "Key"),
                                   .version_id = str_trim(xml_child_text(o, "VersionId")),
                                   .owner = rq->who->canonical_id};
        struct obj_delete_out out = {.delete_marker = false};
        e = delete_one(rq, o, &in, &out);
        if (e)
            render_error(&b, &in, e);
        else if (!quiet)
            render_deleted(&b, &in, &out);
    }
    xml_close(&b, "DeleteResult");
    return s3_reply_doc(rq, &b);
}
