/* DeleteObject. */
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
