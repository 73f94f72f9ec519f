/* CompleteMultipartUpload: the list of parts, what the client says of the whole, and the answer. */
#include "api/s3/s3.h"

static struct str unquoted(struct str etag)
{
    etag = str_trim(etag);
    if (etag.n >= 2 && etag.p[0] == '"' && etag.p[etag.n - 1] == '"') return str_slice(etag, 1, etag.n - 1);
    return etag;
}

static err read_part(struct api_request *rq, const struct xml_node *n, struct upload_complete_part *p)
{
    uint64_t number;
    struct str etag = xml_child_text(n, "ETag");
    if (!etag.p || !str_to_u64(str_trim(xml_child_text(n, "PartNumber")), &number)) return ERR_MALFORMED_XML;
    if (number < 1 || number > OBJ_PART_MAX_NUMBER)
        return api_error(rq, ERR_INVALID_ARGUMENT, "PartNumber must be >= 1 and <= 10000");
    p->number = (unsigned)number;
    p->etag = unquoted(etag);
    S3_EACH_CHECKSUM(alg)
    {
        struct str v = str_trim(xml_child_text(n, s3_checksum_element(alg)));
        if (v.n == 0) continue;
        /* One that cannot be right is a part that does not match. */
        if (!s3_checksum_decode(v, alg, &p->sums.value[alg], NULL)) return ERR_INVALID_PART;
        p->sums.bits |= HASH_BIT(alg);
    }
    return ERR_OK;
}

static err read_parts(struct api_request *rq, const struct xml_node *root, struct upload_complete_in *in)
{
    size_t n = 0;
    for (const struct xml_node *c = root->first; c; c = c->next) n++;
    if (n == 0 || n > OBJ_PART_MAX_NUMBER) return ERR_MALFORMED_XML;
    struct upload_complete_part *parts = ARENA_ARRAY(rq->arena, struct upload_complete_part, n);
    if (!parts) return ERR_NO_MEMORY;
    size_t i = 0;
    for (const struct xml_node *c = root->first; c; c = c->next) {
        if (!str_eq(c->name, STR("Part"))) return ERR_MALFORMED_XML;
        err e = read_part(rq, c, &parts[i]);
        if (e) return e;
        if (i > 0 && parts[i].number < parts[i - 1].number) return ERR_INVALID_PART_ORDER;
        i++;
    }
    in->parts = parts;
    in->n = n;
    return ERR_OK;
}

/* A composite checksum can only be checked when the client says what it thinks of each part. */
static err check_composite(struct api_request *rq, const struct upload_complete_in *in,
                           const struct obj_upload_info *u)
{
    if (!u->has_checksum || u->checksum_type != CHECKSUM_COMPOSITE) return ERR_OK;
    for (size_t i = 0; i < in->n; i++)
        if (!(in->parts[i].sums.bits & HASH_BIT(u->checksum)))
            return api_error(
                rq, ERR_INVALID_REQUEST,
                "The upload was created using a %s checksum. The complete request must include the checksum "
                "for each part. It was missing for part %u in the request.",
                s3_checksum_lower(u->checksum), in->parts[i].number);
    return ERR_OK;
}

static err check_type(struct api_request *rq, const struct upload_complete_in *in,
                      const struct obj_upload_info *u)
{
    if (!in->has_type || !u->has_checksum || in->type == u->checksum_type) return ERR_OK;
    return api_error(
        rq, ERR_INVALID_REQUEST,
        "The upload was created using the %s checksum mode. The complete request must use the same checksum "
        "mode.",
        s3_checksum_type(u->checksum_type));
}

static err read_whole(struct api_request *rq, struct upload_complete_in *in)
{
    struct hash_value v;
    enum hash_alg alg;
    unsigned parts;
    struct str size = api_header(rq, "x-amz-mp-object-size");
    err e = s3_arg_checksum_type(rq, &in->has_type, &in->type);
    if (!e) e = s3_checksum_header(rq, &alg, &v, &parts);
    if (!e) e = s3_write_cond(rq, &in->cond);
    if (e) return e;
    if (alg != HASH_ALGS) {
        in->expect_bits = HASH_BIT(alg);
        in->expect[alg] = v;
    }
    in->has_size = size.p != NULL;
    if (in->has_size && !str_to_u64(size, &in->size))
        return api_error(rq, ERR_INVALID_REQUEST, "Value for x-amz-mp-object-size header is invalid: '%.*s'",
                         STR_FMT(size));
    return ERR_OK;
}

/* The document's own bytes have no digest headers: x-amz-checksum-* here speaks of the object. */
static err read_document(struct api_request *rq, struct xml_node **root)
{
    struct str doc;
    if (rq->payload_length > (int64_t)S3_COMPLETE_DOC_MAX) return ERR_MAX_MESSAGE_LENGTH;
    err e = body_read_all(rq->arena, rq->body, S3_COMPLETE_DOC_MAX, &doc);
    if (!e) e = doc.n ? xml_parse(rq->arena, doc, root) : ERR_MALFORMED_XML;
    if (!e && !str_eq((*root)->name, STR("CompleteMultipartUpload"))) e = ERR_MALFORMED_XML;
    return e;
}

static err reply(struct api_request *rq, const struct obj_info *o)
{
    struct buf b, encoded;
    s3_doc(&b, "CompleteMultipartUploadResult");
    buf_init(&encoded, 64 << 10);
    uri_encode(&encoded, rq->key, true);
    xml_open(&b, "Location");
    xml_text(&b, rq->x->tls ? STR("https://") : STR("http://"));
    xml_text(&b, rq->x->host);
    xml_text(&b, STR("/"));
    if (!rq->bucket_in_host) {
        xml_text(&b, rq->bucket);
        xml_text(&b, STR("/"));
    }
    xml_text(&b, buf_view(&encoded));
    xml_close(&b, "Location");
    buf_free(&encoded);
    xml_elem(&b, "Bucket", rq->bucket);
    xml_elem(&b, "Key", rq->key);
    s3_xml_etag(&b, o->etag);
    s3_xml_checksums(rq, &b, &o->sums);
    S3_EACH_CHECKSUM(alg)
    {
        if (!(o->sums.bits & HASH_BIT(alg))) continue;
        xml_elem_z(&b, "ChecksumType", s3_checksum_type(o->sums.type[alg]));
        break;
    }
    xml_close(&b, "CompleteMultipartUploadResult");
    s3_set_new_version(rq, o->version_id);
    return s3_reply_doc(rq, &b);
}

static void name_part(struct api_request *rq, const struct upload_fault *f)
{
    api_error_add(rq, "PartNumber", arena_fmt(rq->arena, "%u", f->number));
    api_error_add(rq, "ETag", f->etag);
}

static err complete_failed(struct api_request *rq, err e, const struct upload_complete_in *in)
{
    const struct upload_fault *f = in->fault;
    switch (e) {
    case ERR_INVALID_PART:
        if (!f->number) return e;
        api_error_add(rq, "UploadId", in->upload_id);
        name_part(rq, f);
        return e;
    case ERR_ENTITY_TOO_SMALL:
        api_error_add(rq, "ProposedSize", arena_fmt(rq->arena, "%llu", (unsigned long long)f->size));
        api_error_add(rq, "MinSizeAllowed", arena_fmt(rq->arena, "%llu", (unsigned long long)f->least));
        name_part(rq, f);
        return e;
    case ERR_INVALID_REQUEST:
        if (f->size == in->size || !in->has_size) return e;
        return api_error(
            rq, e,
            "The provided 'x-amz-mp-object-size' header value %llu does not match what was computed: %llu",
            (unsigned long long)in->size, (unsigned long long)f->size);
    case ERR_BAD_DIGEST:
        S3_EACH_CHECKSUM(alg)
        if (in->expect_bits & HASH_BIT(alg))
            return api_error(rq, e, "The %s you specified did not match the calculated checksum.",
                             s3_checksum_lower(alg));
        return e;
    default:
        return s3_cond_failed(rq, e, &in->cond);
    }
}

err s3_complete_multipart_upload(struct api_request *rq)
{
    struct upload_fault fault = {.number = 0};
    struct upload_complete_in in = {
        .bucket = rq->bucket, .key = rq->key, .upload_id = s3_upload_id(rq), .fault = &fault};
    struct obj_upload_info u;
    struct obj_info out;
    struct xml_node *root;
    err e = read_whole(rq, &in);
    if (!e) e = read_document(rq, &root);
    if (!e) e = read_parts(rq, root, &in);
    if (e) return e;
    /* An upload that is gone may have been completed by the same request before: the object layer knows. */
    e = upload_get(rq->objects, rq->arena, rq->bucket, rq->key, in.upload_id, &u);
    if (!e) e = check_composite(rq, &in, &u);
    if (!e) e = check_type(rq, &in, &u);
    if (e && e != ERR_NO_SUCH_UPLOAD) return e;
    e = upload_complete(rq->objects, rq->arena, &in, &out);
    return e ? complete_failed(rq, e, &in) : reply(rq, &out);
}
