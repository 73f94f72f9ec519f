/* The two places where SigV4 writes who signed and what: the Authorization header and the query. Form only.
 */
#include "auth/internal.h"

#define EXPECTING "expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n > 0;
}

/* The error of this form, with AWS's introduction to the text. */
static err malformed(struct api_request *rq, const struct sigv4 *s, const char *fmt, struct str a,
                     const char *b)
{
    char text[300];
    const char *intro = s->presigned ? "Error parsing the X-Amz-Credential parameter; "
                                     : "The authorization header is malformed; ";
    if (a.n > 80) a.n = 80;
        /* fmt has one %.*s and one %s, or none; every caller is in this file */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, fmt, (int)a.n, a.p ? a.p : "", b);
#pragma GCC diagnostic pop
    return api_error(rq, s->presigned ? ERR_AUTH_QUERY_PARAMETERS : ERR_AUTH_HEADER_MALFORMED, "%s%s", intro,
                     text);
}

/* AK/yyyymmdd/region/service/aws4_request; the access key may itself hold slashes, so cut from the end. */
static err parse_credential(struct api_request *rq, struct str cred, struct sigv4 *s)
{
    struct str part[4];
    size_t end = cred.n;
    for (int i = 3; i >= 0; i--) {
        size_t at = end;
        while (at > 0 && cred.p[at - 1] != '/') at--;
        if (at == 0) return malformed(rq, s, "the Credential is mal-formed; %.*s%s", STR_NONE, EXPECTING);
        part[i] = str_slice(cred, at, end);
        end = at - 1;
    }
    s->access_key = str_slice(cred, 0, end);
    s->day = part[0];
    s->region = part[1];
    s->service = part[2];
    s->scope = str_slice(cred, end + 1, cred.n);
    if (s->access_key.n == 0)
        return malformed(rq, s, "the Credential is mal-formed; %.*s%s", STR_NONE, EXPECTING);
    if (s->day.n != 8 || !all_digits(s->day))
        return malformed(rq, s, "incorrect date format \"%.*s\". %s", s->day,
                         "This date in the credential must be in the format \"yyyyMMdd\".");
    if (!str_eq(part[3], STR("aws4_request")))
        return malformed(rq, s, "incorrect terminal \"%.*s\". %s", part[3],
                         "This endpoint uses \"aws4_request\".");
    if (!str_eq(s->service, STR("s3")))
        return malformed(rq, s, "incorrect service \"%.*s\". %s", s->service,
                         "This endpoint belongs to \"s3\".");
    if (!str_eq(s->region, s->here)) {
        struct str want = arena_dup(rq->arena, s->here);
        api_error_add(rq, "Region", want);
        return malformed(rq, s, "the region '%.*s' is wrong; expecting '%s'", s->region,
                         want.p ? want.p : "");
    }
    return ERR_OK;
}

/* ---- the header ---- */

static err three_components(struct api_request *rq)
{
    return api_error(
        rq, ERR_AUTH_HEADER_MALFORMED,
        "The authorization header is malformed; the authorization header requires three components: "
        "Credential, SignedHeaders, and Signature.");
}

/* x-amz-date or Date, in any of the forms that HTTP and AWS write. */
static err header_date(struct api_request *rq, struct sigv4 *s)
{
    struct str amz = http_header(rq->x, "x-amz-date"), date = http_header(rq->x, "date");
    struct str v = amz.p ? amz : date;
    if (!v.p || !(time_parse_amz(v, &s->when_ms) || time_parse_http(v, &s->when_ms)))
        return api_error(rq, ERR_ACCESS_DENIED,
                         "AWS authentication requires a valid Date or x-amz-date header");
    time_amz(s->when_ms, s->date);
    if (memcmp(s->date, s->day.p, 8) != 0) {
        char day[9] = {0};
        memcpy(day, s->date, 8);
        return malformed(rq, s,
                         "Invalid credential date \"%.*s\". This date is not the same as X-Amz-Date: \"%s\".",
                         s->day, day);
    }
    return ERR_OK;
}

err sigv4_from_header(struct api_request *rq, struct str authorization, struct sigv4 *s)
{
    struct str rest = str_slice(authorization, sizeof SIGV4_ALGORITHM - 1, authorization.n);
    struct str credential = STR_NONE;
    s->presigned = false;
    while (rest.n) {
        struct str value = str_trim(str_cut(&rest, ','));
        struct str name = str_cut(&value, '=');
        struct str *to = str_eq(name, STR("Credential"))      ? &credential
                         : str_eq(name, STR("SignedHeaders")) ? &s->signed_headers
                         : str_eq(name, STR("Signature"))     ? &s->signature
                                                              : NULL;
        if (!to || to->p) return three_components(rq);
        *to = value;
    }
    if (!credential.n || !s->signed_headers.n || !s->signature.n) return three_components(rq);
    err e = parse_credential(rq, credential, s);
    if (!e) e = header_date(rq, s);
    if (e) return e;
    s->payload = http_header(rq->x, "x-amz-content-sha256");
    if (!s->payload.p)
        return api_error(rq, ERR_INVALID_REQUEST,
                         "Missing required header for this request: x-amz-content-sha256");
    return ERR_OK;
}

/* ---- the query ---- */

static err query_error(struct api_request *rq, const char *text)
{
    return api_error(rq, ERR_AUTH_QUERY_PARAMETERS, "%s", text);
}

static err query_expires(struct api_request *rq, struct str v, struct sigv4 *s)
{
    if (!str_to_i64(v, &s->expires_s)) return query_error(rq, "X-Amz-Expires should be a number");
    if (s->expires_s < 0) return query_error(rq, "X-Amz-Expires must be non-negative");
    if (s->expires_s > AUTH_EXPIRES_MAX)
        return query_error(
            rq, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires "
                "must be less than 604800 seconds");
    return ERR_OK;
}

err sigv4_from_query(struct api_request *rq, struct sigv4 *s)
{
    struct str algorithm = STR_NONE, credential = STR_NONE, date = STR_NONE, expires = STR_NONE;
    s->presigned = true;
    api_param(rq, "X-Amz-Algorithm", &algorithm);
    api_param(rq, "X-Amz-Credential", &credential);
    api_param(rq, "X-Amz-Date", &date);
    api_param(rq, "X-Amz-Expires", &expires);
    api_param(rq, "X-Amz-SignedHeaders", &s->signed_headers);
    api_param(rq, "X-Amz-Signature", &s->signature);
    if (!algorithm.n || !credential.n || !date.n || !expires.n || !s->signed_headers.n || !s->signature.n)
        return query_error(
            rq, "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.");
    if (!str_eq(algorithm, STR(SIGV4_ALGORITHM)))
        return query_error(rq, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    err e = parse_credential(rq, credential, s);
    if (!e) e = query_expires(rq, expires, s);
    if (e) return e;
    if (!time_parse_amz(date, &s->when_ms))
        return query_error(rq, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
    time_amz(s->when_ms, s->date);
    if (memcmp(s->date, s->day.p, 8) != 0)
        return query_error(rq, "The date in the X-Amz-Credential parameter is not the same as X-Amz-Date.");
    s->payload = api_header(rq, "x-amz-content-sha256");
    if (!s->payload.p) s->payload = STR("UNSIGNED-PAYLOAD");
    return ERR_OK;
}
