/* XML bodies: bounded before they are read, digests checked, then parsed. */
#include "api/s3/s3.h"

bool s3_has_body_digest(const struct api_request *rq)
{
    enum hash_alg alg;
    if (http_has_header(rq->x, "content-md5") || auth_trailer_declared(rq, &alg)) return true;
    S3_EACH_CHECKSUM(a) if (api_header(rq, s3_checksum_name(a)).p) return true;
    return false;
}

err s3_no_body(struct api_request *rq)
{
    struct str some = STR_NONE;
    if (!rq->x->has_body || rq->payload_length == 0) return ERR_OK;
    err e = rq->payload_length > 0 ? ERR_OK : body_next(rq->body, &some);
    if (e || (rq->payload_length < 0 && some.n == 0)) return e;
    return api_error(rq, ERR_INVALID_REQUEST,
                     "The request included a body. Requests of this type must not include a non-empty body.");
}

static err check_one(struct obj_put_in *in, enum hash_alg alg, struct str doc)
{
    hash_once(alg, doc.p, doc.n, &in->got);
    in->wrong = alg;
    in->mismatch = memcmp(in->got.b, in->expect[alg].b, hash_size(alg)) != 0;
    return in->mismatch ? ERR_BAD_DIGEST : ERR_OK;
}

static err check_digests(struct obj_put_in *in, struct str doc)
{
    err e = in->at_end ? in->at_end(in->arg, in) : ERR_OK;
    for (int alg = 0; alg < HASH_ALGS && !e; alg++)
        if (in->expect_bits & HASH_BIT(alg)) e = check_one(in, (enum hash_alg)alg, doc);
    return e;
}

err s3_read_xml(struct api_request *rq, size_t max, bool may_be_empty, const char *root_name,
                struct xml_node **root)
{
    struct obj_put_in digests = {.size = -1};
    enum hash_alg alg;
    struct str doc;
    *root = NULL;
    if (rq->payload_length > (int64_t)max) return ERR_MAX_MESSAGE_LENGTH;
    err e = s3_upload_checksums(rq, &digests, &alg);
    if (!e) e = body_read_all(rq->arena, rq->body, max, &doc);
    if (!e) e = check_digests(&digests, doc);
    if (e) return s3_digest_failed(rq, e, &digests);
    if (doc.n == 0) return may_be_empty ? ERR_OK : ERR_MALFORMED_XML;
    e = xml_parse(rq->arena, doc, root);
    if (!e && !str_eq((*root)->name, str_c(root_name))) e = ERR_MALFORMED_XML;
    return e;
}
