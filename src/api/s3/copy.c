/* CopyObject. The source was parsed by the rule and authorised as it stands in rq->source. */
#include "api/s3/s3.h"

static err directive(struct api_request *rq, const char *header, const char *what, bool *replace)
{
    struct str v = api_header(rq, header);
    *replace = str_eq(v, STR("REPLACE"));
    if (!v.p || *replace || str_eq(v, STR("COPY"))) return ERR_OK;
    return api_bad_argument(rq, header, v, what);
}

static err algorithm(struct api_request *rq, unsigned *want)
{
    struct str v = api_header(rq, "x-amz-checksum-algorithm");
    enum hash_alg alg;
    if (!v.p) return ERR_OK;
    if (!hash_by_name(v, &alg))
        return api_error(
            rq, ERR_INVALID_REQUEST,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
    *want = HASH_BIT(alg);
    return ERR_OK;
}

static err read_args(struct api_request *rq, struct obj_copy_in *in)
{
    *in = (struct obj_copy_in){.src_bucket = rq->source.bucket,
                               .src_key = rq->source.key,
                               .src_version_id = rq->source.version_id,
                               .bucket = rq->bucket,
                               .key = rq->key,
                               .owner = rq->who->canonical_id};
    err e = directive(rq, "x-amz-metadata-directive", "Unknown metadata directive.", &in->replace_meta);
    if (!e) e = directive(rq, "x-amz-tagging-directive", "Unknown tagging directive.", &in->replace_tags);
    if (!e) e = s3_read_meta(rq, in->replace_tags, &in->meta);
    if (!e) e = s3_source_cond(rq, &in->src_cond);
    if (!e) e = s3_write_cond(rq, &in->cond);
    if (!e) e = algorithm(rq, &in->want_sums);
    if (e) return e;
    in->changes_something = in->replace_meta || in->replace_tags || in->src_version_id.n || in->want_sums ||
                            api_header(rq, "x-amz-storage-class").p ||
                            api_header(rq, "x-amz-website-redirect-location").p;
    return ERR_OK;
}

static err copy_failed(struct api_request *rq, err e, const struct obj_copy_in *in)
{
    if (e == ERR_INVALID_REQUEST && !in->src_version_id.n)
        return api_error(
            rq, e,
            "This copy request is illegal because it is trying to copy an object to itself without changing "
            "the object's metadata, storage class, website redirect location or encryption attributes.");
    if (e == ERR_PRECONDITION_FAILED && (in->cond.if_match.p || in->cond.if_none_match.p))
        return s3_cond_failed(rq, e, &in->cond);
    return s3_source_failed(rq, e, &in->src_cond);
}

err s3_copy_object(struct api_request *rq)
{
    struct obj_copy_in in;
    struct obj_copy_out out;
    struct buf b;
    err e = s3_no_body(rq);
    if (!e) e = read_args(rq, &in);
    if (e) return e;
    e = obj_copy(rq->objects, rq->arena, &in, &out);
    if (e) return copy_failed(rq, e, &in);
    s3_set_new_version(rq, out.info.version_id);
    if (out.src_version_id.n) s3_set(rq, "x-amz-copy-source-version-id", out.src_version_id);
    s3_doc(&b, "CopyObjectResult");
    s3_xml_time(&b, "LastModified", out.info.modified_ms);
    s3_xml_etag(&b, out.info.etag);
    s3_xml_checksums(rq, &b, &out.info.sums);
    xml_close(&b, "CopyObjectResult");
    return s3_reply_doc(rq, &b);
}
