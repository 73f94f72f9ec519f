/* ListObjects and ListObjectsV2. */
#include "api/s3/s3.h"

#define ENTRY_TEXT 384 /* bytes of an entry, its key of usual length */

struct listing {
    struct obj_list_in in;
    struct obj_list_out out;
    bool url, owner;
};

static err read_common(struct api_request *rq, struct listing *l)
{
    l->in.bucket = rq->bucket;
    l->in.prefix = s3_arg(rq, "prefix");
    l->in.delimiter = s3_arg(rq, "delimiter");
    err e = s3_arg_max(rq, "max-keys", S3_LIST_MAX, S3_LIST_MAX, &l->in.max);
    if (!e) e = s3_arg_url(rq, &l->url);
    return e;
}

/* A marker that is itself a common prefix stands for all under it: the page that gave it as NextMarker had
 * rolled them up. */
static bool is_common_prefix(struct str marker, struct str prefix, struct str delimiter)
{
    size_t at;
    if (delimiter.n == 0 || !str_starts(marker, prefix)) return false;
    struct str rest = str_slice(marker, prefix.n, marker.n);
    return str_find(rest, delimiter, &at) && at + delimiter.n == rest.n;
}

static void render_checksum(struct buf *b, const struct obj_entry *i)
{
    S3_EACH_CHECKSUM(alg)
    if (i->sums & HASH_BIT(alg)) xml_elem_z(b, "ChecksumAlgorithm", hash_name(alg));
    if (i->sums) xml_elem_z(b, "ChecksumType", s3_checksum_type(i->sums_type));
}

static void render_object(struct api_request *rq, struct buf *b, const struct listing *l,
                          const struct obj_entry *i)
{
    xml_open(b, "Contents");
    s3_xml_name(b, "Key", i->key, l->url);
    s3_xml_time(b, "LastModified", i->modified_ms);
    s3_xml_etag(b, i->etag);
    render_checksum(b, i);
    xml_elem_u64(b, "Size", i->size);
    if (l->owner) s3_xml_owner(rq, b, "Owner", i->owner);
    xml_elem(b, "StorageClass", s3_storage_class(i->storage_class));
    xml_close(b, "Contents");
}

static void render_page(struct api_request *rq, struct buf *b, const struct listing *l)
{
    buf_reserve(b, l->out.n * ENTRY_TEXT); /* most pages then grow no more */
    for (size_t i = 0; i < l->out.n; i++) render_object(rq, b, l, &l->out.items[i]);
    for (size_t i = 0; i < l->out.nprefixes; i++) {
        xml_open(b, "CommonPrefixes");
        s3_xml_name(b, "Prefix", l->out.prefixes[i], l->url);
        xml_close(b, "CommonPrefixes");
    }
}

static void render_common(struct buf *b, const struct listing *l)
{
    xml_elem_u64(b, "MaxKeys", l->in.max);
    if (l->in.delimiter.n) s3_xml_name(b, "Delimiter", l->in.delimiter, l->url);
    if (l->url) xml_elem_z(b, "EncodingType", "url");
    xml_elem_bool(b, "IsTruncated", l->out.truncated);
}

err s3_list_objects(struct api_request *rq)
{
    struct listing l = {.owner = true};
    struct buf b;
    err e = read_common(rq, &l);
    if (e) return e;
    l.in.after = s3_arg(rq, "marker");
    l.in.after_is_prefix = is_common_prefix(l.in.after, l.in.prefix, l.in.delimiter);
    e = obj_list(rq->objects, rq->arena, &l.in, &l.out);
    if (e) return e;
    s3_doc(&b, "ListBucketResult");
    xml_elem(&b, "Name", rq->bucket);
    s3_xml_name(&b, "Prefix", l.in.prefix, l.url);
    s3_xml_name(&b, "Marker", l.in.after, l.url);
    /* S3 gives NextMarker only with a delimiter; without one the last key serves. */
    if (l.out.truncated && l.in.delimiter.n) s3_xml_name(&b, "NextMarker", l.out.next_key, l.url);
    render_common(&b, &l);
    render_page(rq, &b, &l);
    xml_close(&b, "ListBucketResult");
    return s3_reply_doc(rq, &b);
}

/* ---- V2 ---- */

static err read_v2(struct api_request *rq, struct listing *l, struct str *token, struct str *start)
{
    struct str type = s3_arg(rq, "list-type");
    if (!str_eq(type, STR("2")))
        return api_bad_argument(rq, "list-type", type, "Invalid List Type specified in Request");
    err e = read_common(rq, l);
    if (e) return e;
    l->owner = s3_lower_true(s3_arg(rq, "fetch-owner"));
    *start = s3_arg(rq, "start-after");
    *token = s3_arg(rq, "continuation-token");
    l->in.after = *start;
    if (token->n == 0) return ERR_OK;
    struct s3_token t;
    if (!s3_token_read(rq->arena, rq->bucket, *token, &t))
        return api_bad_argument(rq, "continuation-token", *token,
                                "The continuation token provided is incorrect");
    l->in.after = t.after;
    l->in.after_is_prefix = t.after_is_prefix;
    return ERR_OK;
}

err s3_list_objects_v2(struct api_request *rq)
{
    struct listing l = {.owner = false};
    struct str token = STR_NONE, start = STR_NONE;
    struct buf b;
    err e = read_v2(rq, &l, &token, &start);
    if (!e) e = obj_list(rq->objects, rq->arena, &l.in, &l.out);
    if (e) return e;
    s3_doc(&b, "ListBucketResult");
    xml_elem(&b, "Name", rq->bucket);
    s3_xml_name(&b, "Prefix", l.in.prefix, l.url);
    if (start.n) s3_xml_name(&b, "StartAfter", start, l.url);
    if (token.p) xml_elem(&b, "ContinuationToken", token);
    if (l.out.truncated) {
        struct s3_token t = {l.out.next_key, l.out.next_is_prefix};
        xml_elem(&b, "NextContinuationToken", s3_token_make(rq->arena, rq->bucket, &t));
    }
    xml_elem_u64(&b, "KeyCount", l.out.n + l.out.nprefixes);
    render_common(&b, &l);
    render_page(rq, &b, &l);
    xml_close(&b, "ListBucketResult");
    return s3_reply_doc(rq, &b);
}

/* ---- versions ---- */

static void render_version(struct api_request *rq, struct buf *b, const struct listing *l,
                           const struct obj_entry *i)
{
    const char *element = i->delete_marker ? "DeleteMarker" : "Version";
    xml_open(b, element);
    s3_xml_name(b, "Key", i->key, l->url);
    xml_elem(b, "VersionId", i->version_id.n ? i->version_id : STR("null"));
    xml_elem_bool(b, "IsLatest", i->is_latest);
    s3_xml_time(b, "LastModified", i->modified_ms);
    if (!i->delete_marker) {
        s3_xml_etag(b, i->etag);
        render_checksum(b, i);
        xml_elem_u64(b, "Size", i->size);
        xml_elem(b, "StorageClass", s3_storage_class(i->storage_class));
    }
    s3_xml_owner(rq, b, "Owner", i->owner);
    xml_close(b, element);
}

static err read_versions(struct api_request *rq, struct listing *l)
{
    err e = read_common(rq, l);
    if (e) return e;
    l->in.versions = true;
    l->in.after = s3_arg(rq, "key-marker");
    l->in.after_version = s3_arg(rq, "version-id-marker");
    l->in.after_is_prefix =
        !l->in.after_version.n && is_common_prefix(l->in.after, l->in.prefix, l->in.delimiter);
    if (!l->in.after_version.p) return ERR_OK;
    if (l->in.after_version.n == 0 && l->in.after.n)
        return api_bad_argument(rq, "version-id-marker", STR(""), "A version-id marker cannot be empty.");
    if (l->in.after_version.n && l->in.after.n == 0)
        return api_bad_argument(rq, "version-id-marker", l->in.after_version,
                                "A version-id marker cannot be specified without a key marker.");
    if (l->in.after_version.n > OBJ_VERSION_ID_MAX)
        return api_bad_argument(rq, "version-id-marker", l->in.after_version, "Invalid version id specified");
    return ERR_OK;
}

err s3_list_object_versions(struct api_request *rq)
{
    struct listing l = {.owner = true};
    struct buf b;
    err e = read_versions(rq, &l);
    if (!e) e = obj_list(rq->objects, rq->arena, &l.in, &l.out);
    if (e) return e;
    s3_doc(&b, "ListVersionsResult");
    xml_elem(&b, "Name", rq->bucket);
    s3_xml_name(&b, "Prefix", l.in.prefix, l.url);
    s3_xml_name(&b, "KeyMarker", l.in.after, l.url);
    xml_elem(&b, "VersionIdMarker", l.in.after_version);
    if (l.out.truncated) {
        s3_xml_name(&b, "NextKeyMarker", l.out.next_key, l.url);
        if (l.out.next_version.n) xml_elem(&b, "NextVersionIdMarker", l.out.next_version);
    }
    render_common(&b, &l);
    buf_reserve(&b, l.out.n * ENTRY_TEXT);
    for (size_t i = 0; i < l.out.n; i++) render_version(rq, &b, &l, &l.out.items[i]);
    for (size_t i = 0; i < l.out.nprefixes; i++) {
        xml_open(&b, "CommonPrefixes");
        s3_xml_name(&b, "Prefix", l.out.prefixes[i], l.url);
        xml_close(&b, "CommonPrefixes");
    }
    xml_close(&b, "ListVersionsResult");
    return s3_reply_doc(rq, &b);
}
