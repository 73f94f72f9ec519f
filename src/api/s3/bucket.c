/* Buckets: create, head, delete, location, versioning. */
#include "api/s3/s3.h"

/* aa-word-…-digit, the form of every region's name. */
static bool region_like(struct str v)
{
    unsigned dashes = 0;
    if (v.n < 6 || v.n > 64) return false;
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        if (c == '-')
            dashes++;
        else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return false;
    }
    char last = v.p[v.n - 1];
    return dashes >= 2 && last >= '0' && last <= '9';
}

/* No constraint means this server's region. Another one is refused, as an endpoint of AWS refuses another
 * region's. */
static err check_location(struct api_request *rq, struct str v)
{
    struct str here = api_region(rq->api);
    if (v.n == 0 || str_eq(v, here) || (str_eq(v, STR("EU")) && str_eq(here, STR("eu-west-1"))))
        return ERR_OK;
    if (!region_like(v)) {
        api_error_add(rq, "LocationConstraint", v);
        return ERR_INVALID_LOCATION;
    }
    return api_error(
        rq, ERR_ILLEGAL_LOCATION,
        "The %.*s location constraint is incompatible for the region specific endpoint this request was "
        "sent to.",
        STR_FMT(v));
}

/* What CreateBucketConfiguration may hold besides: nothing that is here yet. */
static err check_configuration(struct api_request *rq, const struct xml_node *root)
{
    for (const struct xml_node *n = root->first; n; n = n->next)
        if (!str_eq(n->name, STR("LocationConstraint"))) return api_not_there(rq, n->name);
    return check_location(rq, str_trim(xml_child_text(root, "LocationConstraint")));
}

err s3_create_bucket(struct api_request *rq)
{
    struct xml_node *root;
    err e = s3_read_xml(rq, S3_SMALL_DOC_MAX, true, "CreateBucketConfiguration", &root);
    if (!e && root) e = check_configuration(rq, root);
    if (!e) e = bucket_create(rq->objects, rq->arena, rq->bucket, rq->who->canonical_id, api_region(rq->api));
    /* In us-east-1, creating one's own bucket again succeeds. */
    if (e == ERR_BUCKET_OWNED && str_eq(api_region(rq->api), STR("us-east-1"))) e = ERR_OK;
    if (e) return e;
    s3_set(rq, "location", arena_fmt(rq->arena, "/%.*s", STR_FMT(rq->bucket)));
    return s3_reply_empty(rq, 200);
}

err s3_head_bucket(struct api_request *rq)
{
    struct bucket_info info;
    err e = bucket_get(rq->objects, rq->arena, rq->bucket, &info);
    if (e) return e;
    s3_set(rq, "x-amz-bucket-region", info.region);
    s3_set(rq, "x-amz-access-point-alias", STR("false"));
    s3_set(rq, "content-type", STR("application/xml"));
    return s3_reply_empty(rq, 200);
}

err s3_delete_bucket(struct api_request *rq)
{
    struct bucket_info info;
    err e = bucket_delete(rq->objects, rq->arena, rq->bucket);
    if (e == ERR_BUCKET_NOT_EMPTY && bucket_get(rq->objects, rq->arena, rq->bucket, &info) == ERR_OK &&
        info.versioning != VERSIONING_OFF)
        return api_error(
            rq, e,
            "The bucket you tried to delete is not empty. You must delete all versions in the bucket.");
    return e ? e : s3_reply_empty(rq, 204);
}

err s3_get_bucket_location(struct api_request *rq)
{
    struct bucket_info info;
    struct buf b;
    err e = bucket_get(rq->objects, rq->arena, rq->bucket, &info);
    if (e) return e;
    s3_doc(&b, "LocationConstraint");
    if (!str_eq(info.region, STR("us-east-1"))) xml_text(&b, info.region);
    xml_close(&b, "LocationConstraint");
    return s3_reply_doc(rq, &b);
}

err s3_get_bucket_versioning(struct api_request *rq)
{
    struct bucket_info info;
    struct buf b;
    err e = bucket_get(rq->objects, rq->arena, rq->bucket, &info);
    if (e) return e;
    s3_doc(&b, "VersioningConfiguration");
    if (info.versioning != VERSIONING_OFF)
        xml_elem_z(&b, "Status", info.versioning == VERSIONING_ENABLED ? "Enabled" : "Suspended");
    xml_close(&b, "VersioningConfiguration");
    return s3_reply_doc(rq, &b);
}

err s3_put_bucket_versioning(struct api_request *rq)
{
    struct xml_node *root;
    enum versioning v;
    err e = s3_read_xml(rq, S3_SMALL_DOC_MAX, false, "VersioningConfiguration", &root);
    if (e) return e;
    struct str status = str_trim(xml_child_text(root, "Status"));
    struct str mfa = str_trim(xml_child_text(root, "MfaDelete"));
    if (mfa.n && !str_eq(mfa, STR("Disabled"))) return api_not_there(rq, STR("MfaDelete"));
    if (str_eq(status, STR("Enabled")))
        v = VERSIONING_ENABLED;
    else if (str_eq(status, STR("Suspended")))
        v = VERSIONING_SUSPENDED;
    else
        return status.n ? ERR_MALFORMED_XML : ERR_ILLEGAL_VERSIONING;
    e = bucket_set_versioning(rq->objects, rq->arena, rq->bucket, v);
    return e ? e : s3_reply_empty(rq, 200);
}
