/* Multipart uploads: create, abort, list uploads, list parts. */
#include "api/s3/s3.h"

struct str s3_upload_id(const struct api_request *rq)
{
    return s3_arg(rq, "uploadId");
}

static bool can_composite(enum hash_alg alg)
{
    return alg != HASH_CRC64NVME;
}

static bool can_full(enum hash_alg alg)
{
    return alg == HASH_CRC32 || alg == HASH_CRC32C || alg == HASH_CRC64NVME;
}

/* The algorithm decides which types it can have: CRCs combine to a full object's, SHAs only to a composite.
 */
static err read_checksum(struct api_request *rq, struct obj_upload_in *in)
{
    struct str v = api_header(rq, "x-amz-checksum-algorithm");
    enum checksum_type type;
    bool has_type;
    err e = s3_arg_checksum_type(rq, &has_type, &type);
    if (e) return e;
    if (!v.p && has_type)
        return api_error(
            rq, ERR_INVALID_REQUEST,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
    if (!v.p) return ERR_OK;
    if (!hash_by_name(v, &in->checksum))
        return api_error(
            rq, ERR_INVALID_REQUEST,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
    in->has_checksum = true;
    if (!has_type) type = can_composite(in->checksum) ? CHECKSUM_COMPOSITE : CHECKSUM_FULL_OBJECT;
    if (type == CHECKSUM_COMPOSITE ? !can_composite(in->checksum) : !can_full(in->checksum))
        return api_error(rq, ERR_INVALID_REQUEST,
                         "The %s checksum type cannot be used with the %s checksum algorithm.",
                         s3_checksum_type(type), s3_checksum_lower(in->checksum));
    in->checksum_type = type;
    return ERR_OK;
}

err s3_create_multipart_upload(struct api_request *rq)
{
    struct obj_upload_in in = {.bucket = rq->bucket, .key = rq->key, .owner = rq->who->canonical_id};
    struct obj_upload_info out;
    struct buf b;
    err e = s3_read_meta(rq, true, &in.meta);
    if (!e) e = read_checksum(rq, &in);
    if (!e) e = upload_create(rq->objects, rq->arena, &in, &out);
    if (e) return e;
    if (in.has_checksum) {
        s3_set(rq, "x-amz-checksum-algorithm", str_c(hash_name(in.checksum)));
        s3_set(rq, "x-amz-checksum-type", str_c(s3_checksum_type(in.checksum_type)));
    }
    s3_doc(&b, "InitiateMultipartUploadResult");
    xml_elem(&b, "Bucket", rq->bucket);
    xml_elem(&b, "Key", rq->key);
    xml_elem(&b, "UploadId", out.upload_id);
    xml_close(&b, "InitiateMultipartUploadResult");
    return s3_reply_doc(rq, &b);
}

err s3_abort_multipart_upload(struct api_request *rq)
{
    err e = upload_abort(rq->objects, rq->arena, rq->bucket, rq->key, s3_upload_id(rq));
    return e ? e : s3_reply_empty(rq, 204);
}

/* ---- listing uploads ---- */

static void render_upload(struct api_request *rq, struct buf *b, const struct obj_upload_info *u, bool url)
{
    xml_open(b, "Upload");
    s3_xml_name(b, "Key", u->key, url);
    xml_elem(b, "UploadId", u->upload_id);
    s3_xml_owner(rq, b, "Initiator", u->initiator.n ? u->initiator : u->owner);
    s3_xml_owner(rq, b, "Owner", u->owner);
    xml_elem(b, "StorageClass", s3_storage_class(u->storage_class));
    s3_xml_time(b, "Initiated", u->initiated_ms);
    if (u->has_checksum) {
        xml_elem_z(b, "ChecksumAlgorithm", hash_name(u->checksum));
        xml_elem_z(b, "ChecksumType", s3_checksum_type(u->checksum_type));
    }
    xml_close(b, "Upload");
}

err s3_list_multipart_uploads(struct api_request *rq)
{
    struct upload_list_in in = {.bucket = rq->bucket,
                                .prefix = s3_arg(rq, "prefix"),
                                .delimiter = s3_arg(rq, "delimiter"),
                                .key_marker = s3_arg(rq, "key-marker"),
                                .id_marker = s3_arg(rq, "upload-id-marker")};
    struct upload_list_out out;
    struct buf b;
    bool url;
    err e = s3_arg_max(rq, "max-uploads", S3_LIST_MAX, S3_LIST_MAX, &in.max);
    if (!e) e = s3_arg_url(rq, &url);
    if (in.key_marker.n == 0) in.id_marker = STR_NONE; /* as S3: ignored without a key marker */
    if (!e) e = upload_list(rq->objects, rq->arena, &in, &out);
    if (e == ERR_INVALID_ARGUMENT && in.id_marker.n)
        return api_bad_argument(rq, "upload-id-marker", in.id_marker, "Invalid uploadId marker");
    if (e) return e;
    s3_doc(&b, "ListMultipartUploadsResult");
    xml_elem(&b, "Bucket", rq->bucket);
    s3_xml_name(&b, "KeyMarker", in.key_marker, url);
    xml_elem(&b, "UploadIdMarker", in.id_marker);
    s3_xml_name(&b, "NextKeyMarker", out.next_key, url);
    xml_elem(&b, "NextUploadIdMarker", out.next_id);
    if (in.prefix.p) s3_xml_name(&b, "Prefix", in.prefix, url);
    if (in.delimiter.n) s3_xml_name(&b, "Delimiter", in.delimiter, url);
    if (url) xml_elem_z(&b, "EncodingType", "url");
    xml_elem_u64(&b, "MaxUploads", in.max);
    xml_elem_bool(&b, "IsTruncated", out.truncated);
    for (size_t i = 0; i < out.n; i++) render_upload(rq, &b, &out.items[i], url);
    for (size_t i = 0; i < out.nprefixes; i++) {
        xml_open(&b, "CommonPrefixes");
        s3_xml_name(&b, "Prefix", out.prefixes[i], url);
        xml_close(&b, "CommonPrefixes");
    }
    xml_close(&b, "ListMultipartUploadsResult");
    return s3_reply_doc(rq, &b);
}

/* ---- listing parts ---- */

static void render_part(struct api_request *rq, struct buf *b, const struct obj_part_info *p)
{
    xml_open(b, "Part");
    xml_elem_u64(b, "PartNumber", p->number);
    s3_xml_time(b, "LastModified", p->modified_ms);
    s3_xml_etag(b, p->etag);
    s3_xml_checksums(rq, b, &p->sums);
    xml_elem_u64(b, "Size", p->size);
    xml_close(b, "Part");
}

err s3_list_parts(struct api_request *rq)
{
    struct obj_upload_info u;
    struct obj_part_info *parts = NULL;
    size_t n = 0;
    unsigned max, after;
    bool truncated = false;
    struct buf b;
    err e = s3_arg_max(rq, "max-parts", S3_LIST_MAX, S3_LIST_MAX, &max);
    if (!e) e = s3_arg_marker(rq, "part-number-marker", &after);
    if (!e)
        e = upload_parts(rq->objects, rq->arena, rq->bucket, rq->key, s3_upload_id(rq), after, max, &u,
                         &parts, &n, &truncated);
    if (e) return e;
    s3_doc(&b, "ListPartsResult");
    xml_elem(&b, "Bucket", rq->bucket);
    xml_elem(&b, "Key", rq->key);
    xml_elem(&b, "UploadId", u.upload_id);
    s3_xml_owner(rq, &b, "Initiator", u.initiator.n ? u.initiator : u.owner);
    s3_xml_owner(rq, &b, "Owner", u.owner);
    xml_elem(&b, "StorageClass", s3_storage_class(u.storage_class));
    xml_elem_u64(&b, "PartNumberMarker", after);
    xml_elem_u64(&b, "NextPartNumberMarker", n ? parts[n - 1].number : after);
    xml_elem_u64(&b, "MaxParts", max);
    xml_elem_bool(&b, "IsTruncated", truncated);
    if (u.has_checksum) {
        xml_elem_z(&b, "ChecksumAlgorithm", hash_name(u.checksum));
        xml_elem_z(&b, "ChecksumType", s3_checksum_type(u.checksum_type));
    }
    for (size_t i = 0; i < n; i++) render_part(rq, &b, &parts[i]);
    xml_close(&b, "ListPartsResult");
    return s3_reply_doc(rq, &b);
}
