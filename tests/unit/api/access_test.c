/* Every row of the table × every way not to be allowed: refused, and no handler runs. Every row asks for
 * something.
 *
 * The exchange has no connection: answers are caught here. There are no objects behind the api, so that a
 * handler which ran would crash the test.
 */
#include "api/table.h"
#include "auth/internal.h"
#include "unit/auth/fake_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- what http would read and send ---- */
static int sent_status;
static char sent[8192];
static unsigned headers_set;

struct str http_header(const struct http_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->nheaders; i++)
        if (str_eq(x->headers[i].name, str_c(name))) return x->headers[i].value;
    return STR_NONE;
}
bool http_has_header(const struct http_exchange *x, const char *name)
{
    return http_header(x, name).p != NULL;
}
err http_set(struct http_exchange *x, const char *name, struct str value)
{
    (void)x;
    (void)name;
    (void)value;
    headers_set++;
    return ERR_OK;
}
err http_set_z(struct http_exchange *x, const char *name, const char *value)
{
    return http_set(x, name, str_c(value));
}
err http_set_u64(struct http_exchange *x, const char *name, uint64_t value)
{
    (void)value;
    return http_set(x, name, STR("0"));
}
void http_unset_all(struct http_exchange *x)
{
    (void)x;
}
err http_reply(struct http_exchange *x, int status, struct str content)
{
    x->status = sent_status = status;
    snprintf(sent, sizeof sent, "%.*s", STR_FMT(content));
    return ERR_OK;
}
err http_reply_body(struct http_exchange *x, int status, struct body *b, int64_t length)
{
    (void)b;
    (void)length;
    x->status = sent_status = status;
    return ERR_OK;
}
void http_close_after(struct http_exchange *x)
{
    (void)x;
}

/* ---- requests of each row ---- */
enum kind {
    ANONYMOUS,
    GARBAGE,
    SIGV2,
    TOKEN,
    WRONG_SECRET,
    UNKNOWN_KEY,
    EXPIRED_PRESIGN,
    FORGED_PRESIGN,
    UNSIGNED_TRAILER,
    FORGED_STREAM,
    GOOD,
    KINDS
};

static struct arena *arena;
static struct auth *auth;
static struct api *api;

static int setup(void **state)
{
    struct api_options o = {.region = STR("us-east-1")};
    (void)state;
    fake_clock(EXAMPLE_NOW);
    arena = arena_new(0);
    auth = fake_auth();
    o.auth = auth;
    return arena && auth && !api_new(&o, &api) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    api_free(api);
    auth_free(auth);
    arena_free(arena);
    sys = &sys_real;
    return 0;
}

/* Target and headers that select the row. */
static void row_text(const struct api_row *r, struct buf *target, struct buf *headers)
{
    static const char *const paths[] = {"/", "/bucket", "/bucket/key"};
    struct str rest = str_c(r->select);
    bool first = true;
    buf_cstr(target, paths[r->scope]);
    while (rest.n) {
        struct str cond = str_cut(&rest, '&');
        if (cond.p[0] == '@') {
            buf_fmt(headers, "%.*s: /source/key\n", (int)cond.n - 1, cond.p + 1);
            continue;
        }
        buf_fmt(target, "%c%.*s=%s", first ? '?' : '&', STR_FMT(cond),
                str_eq(cond, STR("list-type")) ? "2" : "1");
        first = false;
    }
}

static const char *method_name(enum http_method m)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};
    return names[m];
}

static void hex_signature(struct str text, struct str secret, char out[65])
{
    struct arena *a = arena_new(0);
    struct api_request *rq = fake_request(a, text);
    struct sigv4 s = {.here = STR("us-east-1")};
    uint8_t k[32];
    struct str ks = str_of((char *)k, 32);
    assert_int_equal(sigv4_from_header(rq, http_header(rq->x, "authorization"), &s), ERR_OK);
    struct str first = arena_fmt(a, "AWS4%.*s", STR_FMT(secret));
    hmac_sha256(first, s.day, k);
    hmac_sha256(ks, s.region, k);
    hmac_sha256(ks, s.service, k);
    hmac_sha256(ks, STR("aws4_request"), k);
    hmac_sha256(ks, sigv4_string_to_sign(a, &s, sigv4_canonical(rq, &s)), k);
    hex_encode(k, 32, out);
    arena_free(a);
}

static const char *const SIGNED =
    "host;x-amz-content-sha256;x-amz-copy-source;x-amz-date;x-amz-decoded-content-length";
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void signed_head(struct buf *b, const struct api_row *r, const char *access, const char *sha,
                        const char *signature)
{
    struct buf target, headers;
    buf_init(&target, 0);
    buf_init(&headers, 0);
    row_text(r, &target, &headers);
    buf_fmt(b, "%s %.*s\nHost: h\nx-amz-date: 20130524T000000Z\nx-amz-content-sha256: %s\n%.*s",
            method_name(r->method), STR_FMT(target), sha, STR_FMT(headers));
    if (strncmp(sha, "STREAM", 6) == 0) buf_cstr(b, "x-amz-decoded-content-length: 0\n");
    buf_fmt(
        b,
        "Authorization: AWS4-HMAC-SHA256 Credential=%s/20130524/us-east-1/s3/aws4_request,SignedHeaders=%s,"
        "Signature=%s\nContent-Length: 0\n\n",
        access, SIGNED, signature);
    buf_free(&target);
    buf_free(&headers);
}

static void plain_head(struct buf *b, const struct api_row *r, const char *query, const char *header)
{
    struct buf target, headers;
    buf_init(&target, 0);
    buf_init(&headers, 0);
    row_text(r, &target, &headers);
    buf_fmt(b, "%s %.*s%s%s\nHost: h\n%s%.*s\n", method_name(r->method), STR_FMT(target),
            query[0] ? (memchr(target.p, '?', target.n) ? "&" : "?") : "", query, header, STR_FMT(headers));
    buf_free(&target);
    buf_free(&headers);
}

#define PRESIGN(day)                                                                                         \
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" EXAMPLE_ACCESS "%2F" day                            \
    "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=" day "T000000Z&X-Amz-Expires=60"                           \
    "&X-Amz-SignedHeaders=host%3Bx-amz-copy-source&X-Amz-Signature=" ZEROS

static void build(struct buf *b, const struct api_row *r, enum kind k)
{
    static const char unsigned_payload[] = "UNSIGNED-PAYLOAD";
    char hex[65];
    buf_init(b, 0);
    switch (k) {
    case ANONYMOUS:
        plain_head(b, r, "", "");
        return;
    case GARBAGE:
        plain_head(b, r, "",
                   "Authorization: AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=y\n");
        return;
    case SIGV2:
        plain_head(b, r, "", "Authorization: AWS " EXAMPLE_ACCESS ":frJIUN8DYpKDtOLCwo=\n");
        return;
    case EXPIRED_PRESIGN:
        plain_head(b, r, PRESIGN("20130523"), "");
        return;
    case FORGED_PRESIGN:
        plain_head(b, r, PRESIGN("20130524"), "");
        return;
    case TOKEN:
        plain_head(b, r, PRESIGN("20130524") "&X-Amz-Security-Token=t", "");
        return;
    case FORGED_STREAM:
        signed_head(b, r, EXAMPLE_ACCESS, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ZEROS);
        return;
    case UNKNOWN_KEY:
        signed_head(b, r, "AKIANOBODY", unsigned_payload, ZEROS);
        return;
    case UNSIGNED_TRAILER:
        /* The signature is nobody's: a form of payload must never stand in for one. */
        signed_head(b, r, EXAMPLE_ACCESS, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", ZEROS);
        return;
    case WRONG_SECRET:
    case GOOD:
        signed_head(b, r, EXAMPLE_ACCESS, unsigned_payload, ZEROS);
        hex_signature(buf_view(b), k == GOOD ? STR(EXAMPLE_SECRET) : STR("wrong"), hex);
        buf_clear(b);
        signed_head(b, r, EXAMPLE_ACCESS, unsigned_payload, hex);
        return;
    case KINDS:
        break;
    }
    fail();
}

static void every_row_refuses(void **state)
{
    static const struct {
        int status;
        const char *code;
    } want[KINDS] = {
        [ANONYMOUS] = {403, "<Code>AccessDenied<"},
        [GARBAGE] = {400, "<Code>AuthorizationHeaderMalformed<"},
        [SIGV2] = {400, "<Code>InvalidRequest<"},
        [TOKEN] = {400, "<Code>InvalidToken<"},
        [WRONG_SECRET] = {403, "<Code>SignatureDoesNotMatch<"},
        [UNKNOWN_KEY] = {403, "<Code>InvalidAccessKeyId<"},
        [EXPIRED_PRESIGN] = {403, "<Code>AccessDenied<"},
        [FORGED_PRESIGN] = {403, "<Code>SignatureDoesNotMatch<"},
        [UNSIGNED_TRAILER] = {403, "<Code>SignatureDoesNotMatch<"},
        [FORGED_STREAM] = {403, "<Code>SignatureDoesNotMatch<"},
    };
    (void)state;
    for (unsigned i = 0; i < API_OPS; i++)
        for (enum kind k = ANONYMOUS; k < GOOD; k++) {
            struct buf b;
            arena_reset(arena);
            build(&b, &api_rows[i], k);
            struct http_exchange *x = fake_exchange(arena, buf_view(&b));
            sent_status = 0;
            sent[0] = 0;
            api_handle(api, x);
            assert_int_equal(sent_status, want[k].status);
            if (x->method != HTTP_HEAD && !strstr(sent, want[k].code))
                fail_msg("%s, kind %d: %s", api_rows[i].name, (int)k, sent);
            struct api_request *rq = x->user;
            assert_int_equal(rq->op, i); /* refused as this row, not as another */
            buf_free(&b);
        }
}

/* The same requests, well signed, are allowed: what refuses above is the signature. And each asks for
 * something. */
static void every_row_asks_and_root_may(void **state)
{
    (void)state;
    for (unsigned i = 0; i < API_OPS; i++) {
        struct iam_needs needs = {.n = 0};
        struct buf b;
        arena_reset(arena);
        build(&b, &api_rows[i], GOOD);
        struct api_request *rq = fake_request(arena, buf_view(&b));
        rq->api = api;
        rq->nparams = 0;
        assert_int_equal(api_route(rq, NULL, 0), ERR_OK);
        assert_int_equal(rq->op, i);
        assert_int_equal(auth_who(auth, rq), ERR_OK);
        assert_int_equal(api_rows[i].rule(rq, &needs), ERR_OK);
        assert_in_range(needs.n, 1, IAM_NEEDS_MAX);
        for (unsigned k = 0; k < needs.n; k++) assert_true(strncmp(needs.v[k].action, "s3:", 3) == 0);
        assert_int_equal(iam_allow(rq->who, &needs), ERR_OK);
        struct auth_identity nobody = {.anonymous = true}, user = {.access_key = STR("U")};
        assert_int_equal(iam_allow(&nobody, &needs), ERR_ACCESS_DENIED);
        assert_int_equal(iam_allow(&user, &needs), ERR_ACCESS_DENIED);
        assert_int_equal(iam_allow(NULL, &needs), ERR_ACCESS_DENIED);
        needs.n = 0;
        assert_int_equal(iam_allow(rq->who, &needs), ERR_ACCESS_DENIED);
        buf_free(&b);
    }
}

/* ---- what changes the need ---- */

static struct iam_needs needs_of(const char *text)
{
    static const struct auth_identity root = {.root = true};
    struct iam_needs n = {.n = 0};
    arena_reset(arena);
    struct api_request *rq = fake_request(arena, str_c(text));
    rq->nparams = 0;
    rq->who = &root;
    assert_int_equal(api_route(rq, NULL, 0), ERR_OK);
    assert_int_equal(api_rows[rq->op].rule(rq, &n), ERR_OK);
    return n;
}

static bool asks(const struct iam_needs *n, const char *action, const char *bucket, const char *key)
{
    for (unsigned i = 0; i < n->n; i++)
        if (strcmp(n->v[i].action, action) == 0 && str_eq(n->v[i].bucket, str_c(bucket)) &&
            str_eq(n->v[i].key, str_c(key)))
            return true;
    return false;
}

static void headers_change_the_need(void **state)
{
    (void)state;
    struct iam_needs n = needs_of("PUT /bucket/key\n\n");
    assert_int_equal(n.n, 1);
    assert_true(asks(&n, "s3:PutObject", "bucket", "key"));
    n = needs_of(
        "PUT /bucket/key\nx-amz-tagging: a=b\nx-amz-acl: private\nx-amz-object-lock-mode: GOVERNANCE\n"
        "x-amz-object-lock-legal-hold: ON\n\n");
    assert_int_equal(n.n, 5);
    assert_true(asks(&n, "s3:PutObjectTagging", "bucket", "key"));
    assert_true(asks(&n, "s3:PutObjectAcl", "bucket", "key"));
    assert_true(asks(&n, "s3:PutObjectRetention", "bucket", "key"));
    assert_true(asks(&n, "s3:PutObjectLegalHold", "bucket", "key"));
    n = needs_of("PUT /bucket/key\nx-amz-copy-source: /source/a%2Fb\n\n");
    assert_int_equal(n.n, 2);
    assert_true(asks(&n, "s3:GetObject", "source", "a/b"));
    n = needs_of("PUT /bucket/key\nx-amz-copy-source: /source/a?versionId=v1\n\n");
    assert_true(asks(&n, "s3:GetObjectVersion", "source", "a"));
    n = needs_of("PUT /bucket/key?uploadId=u&partNumber=1\nx-amz-copy-source: /source/a\n\n");
    assert_true(asks(&n, "s3:GetObject", "source", "a") && asks(&n, "s3:PutObject", "bucket", "key"));
    n = needs_of("GET /bucket/key?versionId=v\n\n");
    assert_true(asks(&n, "s3:GetObjectVersion", "bucket", "key") && n.n == 1);
    n = needs_of("DELETE /bucket/key?versionId=v\n\n");
    assert_true(asks(&n, "s3:DeleteObjectVersion", "bucket", "key") && n.n == 1);
    n = needs_of("GET /bucket/key?attributes\n\n");
    assert_true(asks(&n, "s3:GetObject", "bucket", "key") &&
                asks(&n, "s3:GetObjectAttributes", "bucket", "key"));
}

static void row_60_anonymous_overrides(void **state)
{
    (void)state;
    arena_reset(arena);
    struct http_exchange *x =
        fake_exchange(arena, STR("GET /bucket/key?response-content-type=a\nHost: h\n\n"));
    api_handle(api, x);
    assert_int_equal(sent_status, 400);
    assert_non_null(strstr(sent, "<Code>InvalidRequest<"));
}

static void error_documents(void **state)
{
    (void)state;
    arena_reset(arena);
    struct http_exchange *x = fake_exchange(arena, STR("GET /Bad_Bucket/a%3Cb\nHost: h\n\n"));
    api_handle(api, x);
    assert_int_equal(sent_status, 400);
    assert_non_null(strstr(sent,
                           "<Error><Code>InvalidBucketName</Code><Message>The specified bucket is not valid."
                           "</Message><BucketName>Bad_Bucket</BucketName>"));
    assert_non_null(strstr(sent, "<RequestId>0123456789ABCDEF</RequestId><HostId>"));
    x = fake_exchange(arena, STR("HEAD /Bad_Bucket\nHost: h\n\n"));
    api_handle(api, x);
    assert_int_equal(sent_status, 400);
    assert_string_equal(sent, ""); /* HEAD has no body */
    x = fake_exchange(arena, STR("GET /\nHost: h\n\n"));
    api_refuse(api, x, ERR_HEADERS_TOO_LARGE);
    assert_int_equal(sent_status, 400);
    assert_non_null(strstr(sent, "RequestHeaderSectionTooLarge"));
    x = fake_exchange(arena, STR("GET /\nHost: h\n\n"));
    api_refuse(api, x, ERR_CORRUPT); /* what is internal stays so */
    assert_int_equal(sent_status, 500);
    assert_null(strstr(sent, "checksum"));
    assert_non_null(strstr(sent, "<Code>InternalError<"));
}

static unsigned observed;
static void observe(void *arg, const struct api_request *rq, const struct http_exchange *x)
{
    (void)x;
    assert_ptr_equal(arg, &observed);
    assert_non_null(rq);
    assert_int_equal(rq->failed, ERR_ACCESS_DENIED);
    assert_string_equal(api_op_name(rq->op), "ListBuckets");
    observed++;
}

static void observers_see_the_outcome(void **state)
{
    struct api_options o = {
        .region = STR("us-east-1"), .auth = auth, .observe = observe, .observe_arg = &observed};
    struct api *watched;
    (void)state;
    assert_int_equal(api_new(&o, &watched), ERR_OK);
    struct http_exchange *x = fake_exchange(arena, STR("GET /\nHost: h\n\n"));
    api_handle(watched, x);
    api_done(watched, x);
    assert_int_equal(observed, 1);
    api_free(watched);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_row_refuses),       T(every_row_asks_and_root_may),
        T(headers_change_the_need), T(row_60_anonymous_overrides),
        T(error_documents),         T(observers_see_the_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
