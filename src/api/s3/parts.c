/* Parts of a multipart upload: from a body, or from a range of another object. */
#include "api/s3/s3.h"

/* The part's checksum must be of the upload's algorithm. An upload that declared none takes any, as S3 does:
 * SDKs send one by default. */
static err check_algorithm(struct api_request *rq, const struct obj_upload_info *u, enum hash_alg sent)
{
    if (sent == HASH_ALGS || !u->has_checksum || sent == u->checksum) return ERR_OK;
    return api_error(rq, ERR_INVALID_REQUEST,
                     "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
                     s3_checksum_lower(u->checksum), s3_checksum_lower(sent));
}

err s3_upload_part(struct api_request *rq)
{
    struct obj_put_in in = {
        .bucket = rq->bucket, .key = rq->key, .owner = rq->who->canonical_id, .size = rq->payload_length};
    struct obj_upload_info u;
    struct obj_part_info out;
    enum hash_alg alg;
    unsigned number = 0;
    struct str id = s3_upload_id(rq);
    err e = s3_arg_part_number(rq, &number);
    if (!e) e = s3_check_length(rq, OBJ_PART_MAX_SIZE);
    if (!e) e = s3_upload_checksums(rq, &in, &alg);
    if (!e) e = upload_get(rq->objects, rq->arena, rq->bucket, rq->key, id, &u);
    if (!e) e = check_algorithm(rq, &u, alg);
    if (e) return e;
    if (alg == HASH_ALGS) alg = u.has_checksum ? u.checksum : HASH_CRC64NVME;
    in.want_sums = HASH_BIT(alg);
    e = upload_part(rq->objects, rq->arena, id, number, &in, rq->body, &out);
    if (e) return s3_digest_failed(rq, e, &in);
    s3_set(rq, "etag", s3_quoted(rq->arena, out.etag));
    out.sums.bits &= HASH_BIT(alg); /* one more may be kept for the sum of the whole */
    s3_set_checksums(rq, &out.sums, false);
    return s3_reply_empty(rq, 200);
}

/* bytes=first-last, both there. */
static err read_range(struct api_request *rq, struct upload_copy_in *in)
{
    struct str v = api_header(rq, "x-amz-copy-source-range"), last = v;
    if (!v.p) return ERR_OK;
    if (str_starts(v, STR("bytes="))) {
        last = str_slice(v, 6, v.n);
        struct str first = str_cut(&last, '-');
        if (str_to_u64(first, &in->first) && str_to_u64(last, &in->last) && in->first <= in->last) {
            in->has_range = true;
            return ERR_OK;
        }
    }
    return api_bad_argument(
        rq, "x-amz-copy-source-range", v,
        "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last "
        "are the zero-based offsets of the first and last bytes to copy");
}

static err bad_range(struct api_request *rq, const struct upload_copy_in *in)
{
    struct obj_get_in look = {
        .bucket = in->src_bucket, .key = in->src_key, .version_id = in->src_version_id, .head = true};
    struct obj_get_out out;
    err e = obj_get(rq->objects, rq->arena, &look, &out);
    if (e) return e;
    struct str text = arena_fmt(rq->arena, "Range specified is not valid for source object of size: %llu",
                                (unsigned long long)out.info.size);
    return api_bad_argument(rq, "x-amz-copy-source-range", api_header(rq, "x-amz-copy-source-range"),
                            text.p ? text.p : "");
}

err s3_upload_part_copy(struct api_request *rq)
{
    struct upload_copy_in in = {.src_bucket = rq->source.bucket,
                                .src_key = rq->source.key,
                                .src_version_id = rq->source.version_id,
                                .bucket = rq->bucket,
                                .key = rq->key,
                                .upload_id = s3_upload_id(rq)};
    struct obj_part_info out;
    struct str version = STR_NONE;
    struct buf b;
    err e = s3_no_body(rq);
    if (!e) e = s3_arg_part_number(rq, &in.number);
    if (!e) e = read_range(rq, &in);
    if (!e) e = s3_source_cond(rq, &in.src_cond);
    if (e) return e;
    e = upload_part_copy(rq->objects, rq->arena, &in, &out, &version);
    if (e == ERR_INVALID_RANGE) return bad_range(rq, &in);
    if (e) return s3_source_failed(rq, e, &in.src_cond);
    if (version.n) s3_set(rq, "x-amz-copy-source-version-id", version);
    s3_doc(&b, "CopyPartResult");
    s3_xml_time(&b, "LastModified", out.modified_ms);
    s3_xml_etag(&b, out.etag);
    s3_xml_checksums(rq, &b, &out.sums);
    xml_close(&b, "CopyPartResult");
    return s3_reply_doc(rq, &b);
}
