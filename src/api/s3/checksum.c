/* Checksums as S3 writes them: headers, trailers, XML elements. */
#include "api/s3/s3.h"

static const struct {
    const char *header, *element;
} names[] = {
    [HASH_CRC32] = {"x-amz-checksum-crc32", "ChecksumCRC32"},
    [HASH_CRC32C] = {"x-amz-checksum-crc32c", "ChecksumCRC32C"},
    [HASH_CRC64NVME] = {"x-amz-checksum-crc64nvme", "ChecksumCRC64NVME"},
    [HASH_SHA1] = {"x-amz-checksum-sha1", "ChecksumSHA1"},
    [HASH_SHA256] = {"x-amz-checksum-sha256", "ChecksumSHA256"},
};

const char *s3_checksum_element(enum hash_alg alg)
{
    return names[alg].element;
}

const char *s3_checksum_name(enum hash_alg alg)
{
    return names[alg].header;
}

const char *s3_checksum_lower(enum hash_alg alg)
{
    return names[alg].header + sizeof "x-amz-checksum-" - 1;
}

const char *s3_checksum_type(enum checksum_type t)
{
    return t == CHECKSUM_COMPOSITE ? "COMPOSITE" : "FULL_OBJECT";
}

bool s3_checksum_decode(struct str text, enum hash_alg alg, struct hash_value *out, unsigned *parts)
{
    size_t n = 0, at;
    uint64_t count = 0;
    if (str_find(text, STR("-"), &at)) {
        if (!parts || !str_to_u64(str_slice(text, at + 1, text.n), &count) || count == 0 ||
            count > OBJ_PART_MAX_NUMBER)
            return false;
        text = str_slice(text, 0, at);
    }
    if (parts) *parts = (unsigned)count;
    return base64_decode(text, out->b, HASH_MAX_SIZE, &n) && n == hash_size(alg);
}

struct str s3_checksum_text(struct arena *a, const struct obj_checksums *s, enum hash_alg alg)
{
    char text[HASH_MAX_SIZE * 2];
    base64_encode(s->value[alg].b, hash_size(alg), text);
    if (s->type[alg] == CHECKSUM_COMPOSITE && s->parts) return arena_fmt(a, "%s-%u", text, s->parts);
    return arena_dup(a, str_c(text));
}

void s3_set_checksums(struct api_request *rq, const struct obj_checksums *s, bool with_type)
{
    S3_EACH_CHECKSUM(alg)
    {
        if (!(s->bits & HASH_BIT(alg))) continue;
        s3_set(rq, names[alg].header, s3_checksum_text(rq->arena, s, alg));
        if (with_type) s3_set(rq, "x-amz-checksum-type", str_c(s3_checksum_type(s->type[alg])));
        with_type = false;
    }
}

void s3_xml_checksums(struct api_request *rq, struct buf *b, const struct obj_checksums *s)
{
    S3_EACH_CHECKSUM(alg)
    {
        if (s->bits & HASH_BIT(alg)) xml_elem(b, names[alg].element, s3_checksum_text(rq->arena, s, alg));
    }
}

/* ---- what a client sends ---- */

err s3_content_md5(struct api_request *rq, bool *has, struct hash_value *out)
{
    struct str v = http_header(rq->x, "content-md5");
    size_t n;
    *has = v.p != NULL;
    if (!v.p || (base64_decode(v, out->b, HASH_MAX_SIZE, &n) && n == hash_size(HASH_MD5))) return ERR_OK;
    api_error_add(rq, "Content-MD5", v);
    return ERR_INVALID_DIGEST;
}

static err two_checksums(struct api_request *rq)
{
    return api_error(rq, ERR_INVALID_REQUEST,
                     "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
}

/* A checksum of an algorithm that nobody here computes must not pass as if it had been checked. */
static err unknown_checksum(struct api_request *rq)
{
    static const char *const others[] = {"mode", "type", "algorithm"};
    for (size_t i = 0; i < rq->x->nheaders; i++) {
        struct str name = rq->x->headers[i].name;
        enum hash_alg alg;
        if (!str_starts(name, STR("x-amz-checksum-"))) continue;
        struct str tail = str_slice(name, 15, name.n);
        bool known = hash_by_name(tail, &alg);
        for (size_t k = 0; k < 3; k++) known = known || str_eq(tail, str_c(others[k]));
        if (!known)
            return api_error(rq, ERR_INVALID_REQUEST,
                             "The algorithm type you specified in x-amz-checksum- header is invalid.");
    }
    return ERR_OK;
}

err s3_checksum_header(struct api_request *rq, enum hash_alg *alg, struct hash_value *out, unsigned *parts)
{
    *alg = HASH_ALGS;
    err e = unknown_checksum(rq);
    if (e) return e;
    S3_EACH_CHECKSUM(a)
    {
        struct str v = api_header(rq, names[a].header);
        if (!v.p) continue;
        if (*alg != HASH_ALGS) return two_checksums(rq);
        *alg = a;
        if (!s3_checksum_decode(v, a, out, parts))
            return api_error(rq, ERR_INVALID_REQUEST, "Value for %s header is invalid.", names[a].header);
    }
    return ERR_OK;
}

/* The header announces the algorithm of a checksum that must then be there. Presigned URLs may carry it
 * alone. */
static err sdk_algorithm(struct api_request *rq, enum hash_alg sent)
{
    struct str v = http_header(rq->x, "x-amz-sdk-checksum-algorithm");
    enum hash_alg alg;
    if (!v.p) return ERR_OK;
    if (!hash_by_name(v, &alg) || (sent != HASH_ALGS && alg != sent))
        return api_error(rq, ERR_INVALID_REQUEST,
                         "Value for x-amz-sdk-checksum-algorithm header is invalid.");
    if (sent == HASH_ALGS)
        return api_error(
            rq, ERR_INVALID_REQUEST,
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
            "headers were found.");
    return ERR_OK;
}

static err trailer_at_end(void *arg, struct obj_put_in *in)
{
    struct api_request *rq = arg;
    enum hash_alg alg;
    struct hash_value v;
    err e;
    if (!auth_trailer_checksum(rq, &alg, &v, &e)) return ERR_MALFORMED_TRAILER;
    if (e == ERR_INVALID_REQUEST)
        return api_error(rq, e, "Value for %s trailing header is invalid.", names[alg].header);
    if (e) return e;
    in->expect_bits |= HASH_BIT(alg);
    in->expect[alg] = v;
    return ERR_OK;
}

err s3_upload_checksums(struct api_request *rq, struct obj_put_in *in, enum hash_alg *explicit_alg)
{
    struct hash_value v;
    enum hash_alg alg, trailer;
    bool md5;
    err e = s3_content_md5(rq, &md5, &in->expect[HASH_MD5]);
    if (e) return e;
    if (md5) in->expect_bits |= HASH_BIT(HASH_MD5);
    e = s3_checksum_header(rq, &alg, &v, NULL);
    if (e) return e;
    if (alg != HASH_ALGS) {
        in->expect_bits |= HASH_BIT(alg);
        in->expect[alg] = v;
    }
    if (auth_trailer_declared(rq, &trailer)) {
        if (alg != HASH_ALGS) return two_checksums(rq);
        alg = trailer;
        in->at_end = trailer_at_end;
        in->arg = rq;
    }
    if (alg != HASH_ALGS) in->want_sums |= HASH_BIT(alg);
    *explicit_alg = alg;
    return sdk_algorithm(rq, alg);
}

err s3_digest_failed(struct api_request *rq, err e, const struct obj_put_in *in)
{
    char expected[2 * HASH_MAX_SIZE + 1], calculated[2 * HASH_MAX_SIZE];
    if (e != ERR_BAD_DIGEST || !in->mismatch) return e;
    if (in->wrong != HASH_MD5)
        return api_error(rq, e, "The %s you specified did not match the calculated checksum.",
                         hash_name(in->wrong));
    hex_encode(in->expect[HASH_MD5].b, hash_size(HASH_MD5), expected);
    base64_encode(in->got.b, hash_size(HASH_MD5), calculated);
    api_error_add(rq, "ExpectedDigest", arena_dup(rq->arena, str_c(expected)));
    api_error_add(rq, "CalculatedDigest", arena_dup(rq->arena, str_c(calculated)));
    return api_error(rq, e, "The Content-MD5 you specified did not match what we received.");
}

err s3_arg_checksum_type(struct api_request *rq, bool *has, enum checksum_type *out)
{
    struct str v = api_header(rq, "x-amz-checksum-type");
    *has = v.p != NULL;
    *out = str_eq(v, STR("COMPOSITE")) ? CHECKSUM_COMPOSITE : CHECKSUM_FULL_OBJECT;
    if (!v.p || *out == CHECKSUM_COMPOSITE || str_eq(v, STR("FULL_OBJECT"))) return ERR_OK;
    return api_error(rq, ERR_INVALID_REQUEST, "Value for x-amz-checksum-type header is invalid.");
}
