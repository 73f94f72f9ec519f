/* SigV4: from a parsed claim to an identity. Form, key, time, signed headers, signature, in that order. */
#include "auth/internal.h"
#include "base/codec.h"
#include "sys/sys.h"

#include <openssl/crypto.h>

#define MAX_SIGNED_HEADERS 256

static bool list_has(struct str list, struct str name)
{
    while (list.n)
        if (str_eq(str_cut(&list, ';'), name)) return true;
    return false;
}

/* What must be signed: the host, and all that S3 acts upon. An unsigned x-amz-copy-source on a presigned PUT
 * would turn an upload into a read. */
static bool must_be_signed(struct str name)
{
    return str_starts(name, STR("x-amz-")) || str_eq(name, STR("host"));
}

err sigv4_check_signed(struct api_request *rq, const struct sigv4 *s)
{
    size_t n = 1;
    for (size_t i = 0; i < s->signed_headers.n; i++) n += s->signed_headers.p[i] == ';';
    if (n > MAX_SIGNED_HEADERS)
        return api_error(rq, s->presigned ? ERR_AUTH_QUERY_PARAMETERS : ERR_AUTH_HEADER_MALFORMED,
                         "The list of signed headers is too long.");
    struct str missing = list_has(s->signed_headers, STR("host")) ? STR_NONE : STR("host");
    for (size_t i = 0; i < rq->x->nheaders && !missing.n; i++) {
        struct str name = rq->x->headers[i].name;
        if (must_be_signed(name) && !list_has(s->signed_headers, name)) missing = name;
    }
    if (!missing.n) return ERR_OK;
    api_error_add(rq, "HeadersNotSigned", missing);
    return api_error(rq, ERR_ACCESS_DENIED,
                     "There were headers present in the request which were not signed");
}

static struct str iso(struct api_request *rq, int64_t ms)
{
    char text[TIME_ISO_SIZE];
    time_iso(ms, text);
    return arena_dup(rq->arena, str_c(text));
}

static err check_time(struct api_request *rq, const struct sigv4 *s)
{
    int64_t now = sys->real_ms();
    if (!s->presigned) {
        if (s->when_ms <= now + AUTH_SKEW_MS && s->when_ms >= now - AUTH_SKEW_MS) return ERR_OK;
        api_error_add(rq, "RequestTime", arena_dup(rq->arena, str_c(s->date)));
        api_error_add(rq, "ServerTime", iso(rq, now));
        api_error_add(rq, "MaxAllowedSkewMilliseconds", STR("900000"));
        return ERR_REQUEST_TIME_SKEWED;
    }
    if (s->when_ms > now + AUTH_SKEW_MS) return api_error(rq, ERR_ACCESS_DENIED, "Request is not valid yet");
    int64_t end = s->when_ms + s->expires_s * 1000;
    if (now < end) return ERR_OK;
    api_error_add(rq, "X-Amz-Expires", arena_fmt(rq->arena, "%lld", (long long)s->expires_s));
    api_error_add(rq, "Expires", iso(rq, end));
    api_error_add(rq, "ServerTime", iso(rq, now));
    return ERR_REQUEST_EXPIRED;
}

/* What the client needs to find its mistake: all of it came from its own request. */
static err mismatch(struct api_request *rq, const struct sigv4 *s, struct str canonical, struct str to_sign)
{
    api_error_add(rq, "AWSAccessKeyId", s->access_key);
    api_error_add(rq, "StringToSign", to_sign);
    api_error_add(rq, "SignatureProvided", s->signature);
    api_error_add(rq, "CanonicalRequest", canonical);
    return ERR_SIGNATURE_MISMATCH;
}

static err check_signature(struct auth *a, struct api_request *rq, const struct auth_key *key,
                           struct sigv4 *s)
{
    struct str canonical = sigv4_canonical(rq, s);
    struct str to_sign = canonical.p ? sigv4_string_to_sign(rq->arena, s, canonical) : STR_NONE;
    if (!to_sign.p) return ERR_NO_MEMORY;
    uint8_t mac[32];
    char hex[SIGV4_SIG_SIZE + 1];
    signing_key(auth_signing_cache(a), key, s->day, s->region, s->service, s->key);
    hmac_sha256(str_of((char *)s->key, sizeof s->key), to_sign, mac);
    hex_encode(mac, sizeof mac, hex);
    if (str_eq_secret(str_of(hex, SIGV4_SIG_SIZE), s->signature)) return ERR_OK;
    return mismatch(rq, s, canonical, to_sign);
}

/* There is no token service yet, so no token can be a good one. */
static err refuse_token(struct api_request *rq)
{
    bool has = http_has_header(rq->x, "x-amz-security-token") || api_param(rq, "X-Amz-Security-Token", NULL);
    return has ? ERR_INVALID_TOKEN : ERR_OK;
}

err sigv4_verify(struct auth *a, struct api_request *rq, struct sigv4 *s)
{
    const struct auth_key *key = auth_find_key(a, s->access_key);
    if (!key) {
        api_error_add(rq, "AWSAccessKeyId", s->access_key);
        return ERR_INVALID_ACCESS_KEY_ID;
    }
    err e = refuse_token(rq);
    if (!e) e = check_time(rq, s);
    if (!e) e = sigv4_check_signed(rq, s);
    if (!e) e = check_signature(a, rq, key, s);
    if (!e) rq->who = &key->who;
    return e;
}
