/* PutObject. */
#include "api/s3/s3.h"

/* A chunked body says its length at its end: the object layer then stops at the most that one PUT may have.
 */
err s3_check_length(struct api_request *rq, uint64_t max)
{
    if (rq->payload_length < 0) return rq->x->chunked ? ERR_OK : ERR_MISSING_CONTENT_LENGTH;
    if ((uint64_t)rq->payload_length <= max) return ERR_OK;
    api_error_add(rq, "ProposedSize", arena_fmt(rq->arena, "%lld", (long long)rq->payload_length));
    api_error_add(rq, "MaxSizeAllowed", arena_fmt(rq->arena, "%llu", (unsigned long long)max));
    return ERR_ENTITY_TOO_LARGE;
}

err s3_put_object(struct api_request *rq)
{
    struct obj_put_in in = {
        .bucket = rq->bucket, .key = rq->key, .owner = rq->who->canonical_id, .size = rq->payload_length};
    struct obj_info out;
    enum hash_alg alg;
    err e = s3_check_length(rq, OBJ_PUT_MAX_SIZE);
    if (!e) e = s3_read_meta(rq, true, &in.meta);
    if (!e) e = s3_write_cond(rq, &in.cond);
    if (!e) e = s3_upload_checksums(rq, &in, &alg);
    if (e) return e;
    if (alg == HASH_ALGS) in.want_sums = HASH_BIT(HASH_CRC64NVME); /* as S3 does for uploads without one */
    e = obj_put(rq->objects, rq->arena, &in, rq->body, &out);
    if (e) return s3_cond_failed(rq, s3_digest_failed(rq, e, &in), &in.cond);
    s3_set(rq, "etag", s3_quoted(rq->arena, out.etag));
    s3_set_new_version(rq, out.version_id);
    s3_set_checksums(rq, &out.sums, true);
    return s3_reply_empty(rq, 200);
}
