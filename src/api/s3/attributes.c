/* GetObjectAttributes. */
#include "api/s3/s3.h"

enum { WANT_ETAG = 1, WANT_CHECKSUM = 2, WANT_PARTS = 4, WANT_CLASS = 8, WANT_SIZE = 16 };

static unsigned attribute(struct str name)
{
    return str_eq(name, STR("ETag"))           ? WANT_ETAG
           : str_eq(name, STR("Checksum"))     ? WANT_CHECKSUM
           : str_eq(name, STR("ObjectParts"))  ? WANT_PARTS
           : str_eq(name, STR("StorageClass")) ? WANT_CLASS
           : str_eq(name, STR("ObjectSize"))   ? WANT_SIZE
                                               : 0;
}

static err add_wanted(struct api_request *rq, struct str list, unsigned *want)
{
    while (list.n) {
        struct str name = str_trim(str_cut(&list, ','));
        unsigned bit = attribute(name);
        if (!bit)
            return api_bad_argument(rq, "x-amz-object-attributes", name, "Invalid attribute name specified.");
        *want |= bit;
    }
    return ERR_OK;
}

/* The list may come in one header, in several, or in the query of a presigned URL. */
static err read_wanted(struct api_request *rq, unsigned *want)
{
    *want = 0;
    err e = ERR_OK;
    bool in_header = false;
    for (size_t i = 0; i < rq->x->nheaders && !e; i++) {
        if (!str_eq(rq->x->headers[i].name, STR("x-amz-object-attributes"))) continue;
        in_header = true;
        e = add_wanted(rq, rq->x->headers[i].value, want);
    }
    if (!in_header) e = add_wanted(rq, api_header(rq, "x-amz-object-attributes"), want);
    if (!e && !*want)
        return api_error(
            rq, ERR_INVALID_REQUEST,
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either "
            "missing or empty");
    return e;
}

/* What is no number does not count, as in S3. */
static unsigned header_number(struct api_request *rq, const char *name, unsigned def, unsigned cap)
{
    uint64_t n;
    if (!str_to_u64(api_header(rq, name), &n)) return def;
    return n > cap ? cap : (unsigned)n;
}

struct parts {
    struct obj_part_info *v;
    size_t n;
    bool truncated;
    unsigned after, max;
};

static void render_parts(struct api_request *rq, struct buf *b, const struct obj_info *i,
                         const struct parts *p)
{
    unsigned last = p->n ? p->v[p->n - 1].number : p->after;
    xml_open(b, "ObjectParts");
    xml_elem_u64(b, "PartsCount", i->parts);
    xml_elem_u64(b, "PartNumberMarker", p->after);
    xml_elem_u64(b, "NextPartNumberMarker", last);
    xml_elem_u64(b, "MaxParts", p->max);
    xml_elem_bool(b, "IsTruncated", p->truncated);
    for (size_t k = 0; k < p->n && i->sums.bits; k++) {
        if (!p->v[k].sums.bits) continue; /* S3 lists only parts that were uploaded with a checksum */
        xml_open(b, "Part");
        xml_elem_u64(b, "PartNumber", p->v[k].number);
        xml_elem_u64(b, "Size", p->v[k].size);
        s3_xml_checksums(rq, b, &p->v[k].sums);
        xml_close(b, "Part");
    }
    xml_close(b, "ObjectParts");
}

static void render_checksum(struct api_request *rq, struct buf *b, const struct obj_info *i)
{
    if (!i->sums.bits) return;
    xml_open(b, "Checksum");
    s3_xml_checksums(rq, b, &i->sums);
    S3_EACH_CHECKSUM(alg)
    {
        if (!(i->sums.bits & HASH_BIT(alg))) continue;
        xml_elem_z(b, "ChecksumType", s3_checksum_type(i->sums.type[alg]));
        break;
    }
    xml_close(b, "Checksum");
}

static void render(struct api_request *rq, struct buf *b, unsigned want, const struct obj_info *i,
                   const struct parts *p)
{
    s3_doc(b, "GetObjectAttributesResponse");
    if (want & WANT_ETAG) xml_elem(b, "ETag", i->etag);
    if (want & WANT_CHECKSUM) render_checksum(rq, b, i);
    if ((want & WANT_PARTS) && i->parts) render_parts(rq, b, i, p);
    if (want & WANT_CLASS) xml_elem(b, "StorageClass", s3_storage_class(i->meta.storage_class));
    if (want & WANT_SIZE) xml_elem_u64(b, "ObjectSize", i->size);
    xml_close(b, "GetObjectAttributesResponse");
}

err s3_get_object_attributes(struct api_request *rq)
{
    struct obj_get_in in = {.bucket = rq->bucket, .key = rq->key, .head = true};
    struct obj_get_out out = {.body = NULL};
    struct parts p = {.n = 0};
    unsigned want;
    struct buf b;
    err e = read_wanted(rq, &want);
    if (!e) e = s3_arg_version(rq, &in.version_id);
    if (e) return e;
    p.max = header_number(rq, "x-amz-max-parts", S3_LIST_MAX, S3_LIST_MAX);
    p.after = header_number(rq, "x-amz-part-number-marker", 0, OBJ_PART_MAX_NUMBER);
    e = obj_get(rq->objects, rq->arena, &in, &out);
    if (!e && (want & WANT_PARTS) && out.info.parts) {
        struct obj_info same;
        in.version_id = out.info.version_id.n ? out.info.version_id : in.version_id;
        e = obj_parts(rq->objects, rq->arena, &in, p.after, p.max, &same, &p.v, &p.n, &p.truncated);
    }
    if (e && out.info.delete_marker) {
        rq->kept[rq->nkept++] = (struct obj_pair){STR("x-amz-delete-marker"), STR("true")};
        if (out.info.version_id.n)
            rq->kept[rq->nkept++] = (struct obj_pair){STR("x-amz-version-id"), out.info.version_id};
    }
    if (e) return e;
    s3_set(rq, "last-modified", s3_http_date(rq->arena, out.info.modified_ms));
    s3_set_version(rq, out.info.version_id);
    render(rq, &b, want, &out.info, &p);
    return s3_reply_doc(rq, &b);
}
