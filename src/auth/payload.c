/* payload: what x-amz-content-sha256 says about the body, made into filters.
 *
 *   UNSIGNED-PAYLOAD                              the body as it is
 *   64 hex digits                                 its SHA-256, checked at its end
 *   STREAMING-AWS4-HMAC-SHA256-PAYLOAD            aws-chunked with signatures
 *   STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER    the same with signed trailers
 *   STREAMING-UNSIGNED-PAYLOAD-TRAILER            aws-chunked with trailers
 */
#include "auth/internal.h"
#include "base/codec.h"

#define STREAMING "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

static err hashed_payload(struct api_request *rq, struct str hex)
{
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    struct hash_value want = {{0}};
    if (!hex_decode(hex, want.b, 32))
        return api_bad_argument(
            rq, "x-amz-content-sha256", hex,
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, or a "
            "valid sha256 value.");
    if (!rq->x->has_body && str_ieq(hex, str_c(empty))) return ERR_OK;
    struct body *b = body_verified(rq->arena, rq->body, HASH_SHA256, &want, ERR_CONTENT_SHA256_MISMATCH);
    if (!b) return ERR_NO_MEMORY;
    rq->body = b;
    return ERR_OK;
}

/* x-amz-trailer: one checksum's name, or nothing. */
static err declared_trailer(struct api_request *rq, struct auth_payload *p, struct str *name)
{
    *name = STR_NONE;
    struct str v = http_header(rq->x, "x-amz-trailer");
    while (v.n) {
        struct str one = str_trim(str_cut(&v, ','));
        if (one.n == 0) continue;
        if (p->trailer)
            return api_error(
                rq, ERR_INVALID_REQUEST,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
        if (one.n <= 15 || !str_ieq(str_slice(one, 0, 15), STR("x-amz-checksum-")) ||
            !hash_by_name(str_slice(one, 15, one.n), &p->trailer_alg))
            return api_error(rq, ERR_INVALID_REQUEST,
                             "The value specified in the x-amz-trailer header is not supported");
        p->trailer = true;
        struct str lower = arena_dup(rq->arena, one);
        if (!lower.p) return ERR_NO_MEMORY;
        for (size_t i = 0; i < lower.n; i++) {
            char *c = (char *)lower.p + i;
            if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
        }
        *name = lower;
    }
    return ERR_OK;
}

static err streamed_payload(struct api_request *rq, const struct sigv4 *s, bool has_signatures,
                            bool has_trailers)
{
    struct awschunked_in in = {.has_signatures = has_signatures, .has_trailers = has_trailers};
    struct auth_payload *p = ARENA_NEW(rq->arena, struct auth_payload);
    if (!p) return ERR_NO_MEMORY;
    struct str length = http_header(rq->x, "x-amz-decoded-content-length");
    int64_t decoded;
    if (!length.p) return ERR_MISSING_CONTENT_LENGTH;
    if (!str_to_i64(length, &decoded) || decoded < 0)
        return api_bad_argument(rq, "x-amz-decoded-content-length", length,
                                "The x-amz-decoded-content-length is not a number of bytes.");
    if (has_trailers) {
        err e = declared_trailer(rq, p, &in.trailer_name);
        if (e) return e;
    } else if (http_has_header(rq->x, "x-amz-trailer")) {
        return ERR_MALFORMED_TRAILER;
    }
    in.decoded_length = (uint64_t)decoded;
    if (has_signatures) {
        if (!s) return ERR_ACCESS_DENIED;
        memcpy(in.key, s->key, sizeof in.key);
        in.date = str_c(s->date);
        in.scope = s->scope;
        in.seed = s->signature;
    }
    p->chunks = awschunked_new(rq->arena, rq->body, &in);
    if (!p->chunks) return ERR_NO_MEMORY;
    rq->auth_state = p;
    rq->body = awschunked_body(p->chunks);
    rq->payload_length = decoded;
    return ERR_OK;
}

err auth_payload_setup(struct api_request *rq, const struct sigv4 *s, struct str payload)
{
    if (str_eq(payload, STR(STREAMING))) return streamed_payload(rq, s, true, false);
    if (str_eq(payload, STR(STREAMING "-TRAILER"))) return streamed_payload(rq, s, true, true);
    if (str_eq(payload, STR("STREAMING-UNSIGNED-PAYLOAD-TRAILER")))
        return streamed_payload(rq, s, false, true);
    if (http_has_header(rq->x, "x-amz-trailer")) return ERR_MALFORMED_TRAILER; /* nothing could bring it */
    if (!payload.p || str_eq(payload, STR("UNSIGNED-PAYLOAD"))) return ERR_OK;
    return hashed_payload(rq, payload);
}

void auth_payload_explain(struct api_request *rq)
{
    struct hash_value got;
    char hex[2 * 32 + 1];
    if (!body_verified_got(rq->body, &got)) return;
    hex_encode(got.b, 32, hex);
    api_error_add(rq, "ClientComputedContentSHA256", api_header(rq, "x-amz-content-sha256"));
    api_error_add(rq, "S3ComputedContentSHA256", arena_dup(rq->arena, str_c(hex)));
}

bool auth_trailer_declared(const struct api_request *rq, enum hash_alg *alg)
{
    const struct auth_payload *p = rq->auth_state;
    if (!p || !p->trailer) return false;
    *alg = p->trailer_alg;
    return true;
}

bool auth_trailer_checksum(const struct api_request *rq, enum hash_alg *alg, struct hash_value *value, err *e)
{
    const struct auth_payload *p = rq->auth_state;
    *e = ERR_OK;
    if (!p || !p->trailer) return false;
    *alg = p->trailer_alg;
    struct str v = awschunked_trailer(p->chunks);
    size_t n = 0;
    if (!v.p)
        *e = ERR_MALFORMED_TRAILER;
    else if (!base64_decode(v, value->b, HASH_MAX_SIZE, &n) || n != hash_size(*alg))
        *e = ERR_INVALID_REQUEST;
    return true;
}
