/* The table: rows that can be told apart, and the router over them. */
#include "api/table.h"
#include "unit/auth/fake_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static err no_rule(struct api_request *rq, struct iam_needs *n)
{
    (void)rq;
    (void)n;
    return ERR_OK;
}

static err no_handler(struct api_request *rq)
{
    (void)rq;
    return ERR_OK;
}

#define ROW(name, method, select)                                                                            \
    {                                                                                                        \
        name, method, API_BUCKET, API_S3, select, no_rule, no_handler                                        \
    }

static err check2(const char *a, const char *b)
{
    char why[160];
    const struct api_row rows[] = {ROW("A", HTTP_PUT, a), ROW("B", HTTP_PUT, b)};
    return api_table_check(rows, 2, why);
}

static void our_table_is_consistent(void **state)
{
    char why[160] = "";
    (void)state;
    assert_int_equal(api_table_check(api_rows, API_OPS, why), ERR_OK);
}

static void clashes_are_found(void **state)
{
    (void)state;
    assert_int_equal(check2("", ""), ERR_INTERNAL);
    assert_int_equal(check2("a&b", "b&a"), ERR_INTERNAL);
    assert_int_equal(check2("@x-h", "p"), ERR_OK); /* likewise */
    assert_int_equal(check2("@x-h&p", "p&@x-h"), ERR_INTERNAL);
    assert_int_equal(check2("", "a"), ERR_OK);
    assert_int_equal(check2("a", "b"), ERR_OK); /* a request with both is refused for the one left over */
    assert_int_equal(check2("a", "a&b"), ERR_OK);
    char why[160];
    const struct api_row methods[] = {ROW("A", HTTP_PUT, ""), ROW("B", HTTP_GET, "")};
    assert_int_equal(api_table_check(methods, 2, why), ERR_OK);
    struct api_row lacking[] = {ROW("A", HTTP_PUT, "")};
    lacking[0].rule = NULL;
    assert_int_equal(api_table_check(lacking, 1, why), ERR_INTERNAL);
}

/* ---- the router ---- */

static struct arena *arena;
static struct api_request *rq;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(0);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static err route_text(struct str text)
{
    static const struct str domains[] = {{"s3.example.com", 14}, {"example.org", 11}};
    arena_reset(arena);
    rq = ARENA_NEW(arena, struct api_request);
    rq->x = fake_exchange(arena, text);
    rq->arena = arena;
    rq->op = API_OPS;
    rq->dialect = API_S3;
    return api_route(rq, domains, 2);
}

static err route(const char *method, const char *target)
{
    char text[4096];
    snprintf(text, sizeof text, "%s %s\nHost: 127.0.0.1:9000\n\n", method, target);
    return route_text(str_c(text));
}

static err route_host(const char *host, const char *target)
{
    char text[4096];
    snprintf(text, sizeof text, "GET %s\nHost: %s\n\n", target, host);
    return route_text(str_c(text));
}

#define IS(s, lit) assert_true(str_eq((s), STR(lit)))

static void every_row_is_found(void **state)
{
    static const struct {
        const char *method, *target;
        enum api_op op;
    } t[] = {
        {"GET", "/", API_OP_LIST_BUCKETS},
        {"PUT", "/bucket", API_OP_CREATE_BUCKET},
        {"PUT", "/bucket/", API_OP_CREATE_BUCKET},
        {"HEAD", "/bucket", API_OP_HEAD_BUCKET},
        {"DELETE", "/bucket", API_OP_DELETE_BUCKET},
        {"GET", "/bucket?location", API_OP_GET_BUCKET_LOCATION},
        {"GET", "/bucket?versioning=", API_OP_GET_BUCKET_VERSIONING},
        {"PUT", "/bucket?versioning", API_OP_PUT_BUCKET_VERSIONING},
        {"GET", "/bucket", API_OP_LIST_OBJECTS},
        {"GET", "/bucket?prefix=a&marker&x-id=ListObjects", API_OP_LIST_OBJECTS},
        {"GET", "/bucket?list-type=2&prefix=", API_OP_LIST_OBJECTS_V2},
        {"GET", "/bucket?versions&key-marker=a", API_OP_LIST_OBJECT_VERSIONS},
        {"GET", "/bucket?uploads", API_OP_LIST_MULTIPART_UPLOADS},
        {"POST", "/bucket?delete", API_OP_DELETE_OBJECTS},
        {"PUT", "/bucket/key", API_OP_PUT_OBJECT},
        {"GET", "/bucket/key", API_OP_GET_OBJECT},
        {"GET", "/bucket/key?versionId=1&partNumber=2&response-expires=x", API_OP_GET_OBJECT},
        {"HEAD", "/bucket/key", API_OP_HEAD_OBJECT},
        {"DELETE", "/bucket/key", API_OP_DELETE_OBJECT},
        {"GET", "/bucket/key?attributes", API_OP_GET_OBJECT_ATTRIBUTES},
        {"POST", "/bucket/key?uploads", API_OP_CREATE_MULTIPART_UPLOAD},
        {"PUT", "/bucket/key?partNumber=1&uploadId=u", API_OP_UPLOAD_PART},
        {"POST", "/bucket/key?uploadId=u", API_OP_COMPLETE_MULTIPART_UPLOAD},
        {"DELETE", "/bucket/key?uploadId=u", API_OP_ABORT_MULTIPART_UPLOAD},
        {"GET", "/bucket/key?uploadId=u", API_OP_LIST_PARTS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(route(t[i].method, t[i].target), ERR_OK);
        assert_int_equal(rq->op, t[i].op);
    }
    assert_int_equal(route_text(STR("PUT /bucket/key\nx-amz-copy-source: /a/b\n\n")), ERR_OK);
    assert_int_equal(rq->op, API_OP_COPY_OBJECT);
    assert_int_equal(route_text(STR("PUT /bucket/key\nx-amz-copy-source:\n\n")), ERR_OK);
    assert_int_equal(rq->op, API_OP_COPY_OBJECT); /* an empty one is still a copy: its rule refuses it */
    assert_int_equal(route_text(STR("PUT /bucket/key?uploadId=u&partNumber=1\nx-amz-copy-source: /a/b\n\n")),
                     ERR_OK);
    assert_int_equal(rq->op, API_OP_UPLOAD_PART_COPY);
}

static void row_10_unknown_subresource(void **state)
{
    static const char *const absent[] = {"acl",
                                         "policy",
                                         "cors",
                                         "lifecycle",
                                         "tagging",
                                         "object-lock",
                                         "website",
                                         "notification",
                                         "replication",
                                         "encryption",
                                         "requestPayment",
                                         "logging",
                                         "inventory",
                                         "metrics",
                                         "analytics",
                                         "intelligent-tiering",
                                         "ownershipControls",
                                         "publicAccessBlock",
                                         "policyStatus",
                                         "accelerate",
                                         "metadataTable",
                                         "session"};
    static const char *const object[] = {"acl", "retention", "legal-hold", "torrent", "restore", "select"};
    static const char *const methods[] = {"GET", "PUT", "DELETE", "POST", "HEAD"};
    char target[200];
    (void)state;
    for (size_t m = 0; m < 5; m++) {
        for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
            snprintf(target, sizeof target, "/bucket?%s", absent[i]);
            assert_int_equal(route(methods[m], target), ERR_NOT_IMPLEMENTED);
            snprintf(target, sizeof target, "/bucket?prefix=a&%s=b", absent[i]);
            assert_int_equal(route(methods[m], target), ERR_NOT_IMPLEMENTED);
        }
        for (size_t i = 0; i < sizeof object / sizeof *object; i++) {
            snprintf(target, sizeof target, "/bucket/key?%s", object[i]);
            assert_int_equal(route(methods[m], target), ERR_NOT_IMPLEMENTED);
        }
    }
    assert_int_equal(route("GET", "/bucket?unheard-of"), ERR_NOT_IMPLEMENTED);
    assert_int_equal(route("GET", "/bucket?unheard-of="), ERR_NOT_IMPLEMENTED);
    assert_int_equal(route("GET", "/bucket?v=1"), ERR_OK);
    assert_int_equal(rq->op, API_OP_LIST_OBJECTS);
}

static void contradictions_and_other_methods(void **state)
{
    (void)state;
    assert_int_equal(route("GET", "/bucket?uploads&versions"), ERR_INVALID_ARGUMENT);
    assert_int_equal(route("PUT", "/bucket/key?uploadId=u"),
                     ERR_INVALID_ARGUMENT); /* never a plain PutObject */
    assert_int_equal(route("PUT", "/bucket/key?partNumber=1"), ERR_INVALID_ARGUMENT);
    assert_int_equal(route_text(STR("PUT /bucket/key?uploadId=u\nx-amz-copy-source: /a/b\n\n")),
                     ERR_INVALID_ARGUMENT);
    assert_int_equal(route("DELETE", "/bucket?versioning"), ERR_METHOD_NOT_ALLOWED);
    assert_int_equal(route("PUT", "/bucket?location"), ERR_METHOD_NOT_ALLOWED);
    assert_int_equal(route("POST", "/bucket"), ERR_METHOD_NOT_ALLOWED);
    assert_int_equal(route("PUT", "/"), ERR_METHOD_NOT_ALLOWED);
    assert_int_equal(route("PATCH", "/bucket/key"), ERR_METHOD_NOT_ALLOWED);
    assert_int_equal(route("GET", "/bucket/key?uploads"), ERR_INVALID_REQUEST);
    assert_int_equal(route("GET", "/bucket/key?versions"), ERR_INVALID_REQUEST);
    assert_int_equal(route("DELETE", "/bucket/key?uploads"), ERR_METHOD_NOT_ALLOWED);
    assert_int_equal(rq->op, API_OPS);
}

static void row_29_key_length(void **state)
{
    char target[1200] = "/bucket/";
    (void)state;
    memset(target + 8, 'k', 1025);
    target[8 + 1024] = 0;
    assert_int_equal(route("PUT", target), ERR_OK);
    assert_int_equal(rq->key.n, 1024);
    target[8 + 1024] = 'k';
    assert_int_equal(route("PUT", target), ERR_KEY_TOO_LONG);
}

static void row_30_keys_are_opaque(void **state)
{
    (void)state;
    assert_int_equal(route("PUT", "/bucket/../other/key"), ERR_OK);
    IS(rq->bucket, "bucket");
    IS(rq->key, "../other/key");
    assert_int_equal(route("PUT", "/bucket/%2e%2e%2fother%2Fkey"), ERR_OK);
    IS(rq->key, "../other/key");
    assert_int_equal(route("PUT", "/bucket/%252e%252e/a"), ERR_OK);
    IS(rq->key, "%2e%2e/a"); /* decoded once */
    assert_int_equal(route("PUT", "/bucket/a\\..\\b"), ERR_OK);
    IS(rq->key, "a\\..\\b");
    assert_int_equal(route("PUT", "/bucket//a//"), ERR_OK);
    IS(rq->key, "/a//");
    assert_int_equal(route("PUT", "/bucket/a+b"), ERR_OK);
    IS(rq->key, "a+b");
    assert_int_equal(route("GET", "/bucket%2Fkey"), ERR_INVALID_BUCKET_NAME); /* the slash is not one */
    assert_int_equal(route("GET", "/../bucket/key"), ERR_INVALID_BUCKET_NAME);
}

static void row_31_bad_escapes(void **state)
{
    static const char *const bad[] = {
        "/bucket/%00",        "/bucket/a%ZZ",       "/bucket/%",      "/bucket/%4", "/bucket/%FF",
        "/bucket/%C3",        "/bucket/%ED%A0%80",  "/bucket/%C0%AF", "/%00/key",   "/bucket?prefix=%00",
        "/bucket?prefix=%ZZ", "/bucket?prefix=%FF", "/bucket?%00=a"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(route("GET", bad[i]), ERR_INVALID_URI);
}

static void row_32_reserved_names(void **state)
{
    static const char *const names[] = {"xn--bucket",
                                        "sthree-bucket",
                                        "amzn-s3-demo-bucket",
                                        "bucket-s3alias",
                                        "bucket--ol-s3",
                                        "bucket.mrap",
                                        "bucket--x-s3",
                                        "ingot-internal-a",
                                        ".ingot",
                                        ".ingot.sys",
                                        "-",
                                        "..",
                                        "."};
    static const char *const methods[] = {"GET", "PUT", "DELETE", "POST", "HEAD"};
    char target[100];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t m = 0; m < 5; m++) {
            snprintf(target, sizeof target, "/%s", names[i]);
            assert_int_equal(route(methods[m], target), ERR_INVALID_BUCKET_NAME);
            snprintf(target, sizeof target, "/%s/key", names[i]);
            assert_int_equal(route(methods[m], target), ERR_INVALID_BUCKET_NAME);
        }
}

static void row_33_bucket_names(void **state)
{
    static const char *const bad[] = {
        "/Bucket", "/192.168.5.4",
        "/ab",     "/a..b",
        "/-abc",   "/abc-",
        "/a_b",    "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "//key"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(route("PUT", bad[i]), ERR_INVALID_BUCKET_NAME);
    assert_int_equal(route("PUT", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                     ERR_OK);
}

static void virtual_hosts(void **state)
{
    (void)state;
    assert_int_equal(route_host("bucket.s3.example.com:9000", "/key/a"), ERR_OK);
    IS(rq->bucket, "bucket");
    IS(rq->key, "key/a");
    assert_int_equal(route_host("BUCKET.S3.example.COM", "/"), ERR_OK);
    IS(rq->bucket, "bucket");
    assert_int_equal(rq->op, API_OP_LIST_OBJECTS);
    assert_int_equal(route_host("a.b.example.org", "/k"), ERR_OK);
    IS(rq->bucket, "a.b");
    assert_int_equal(route_host("s3.example.com", "/bucket/key"), ERR_OK);
    IS(rq->bucket, "bucket");
    assert_int_equal(route_host("bucket.elsewhere.net", "/other/key"), ERR_OK);
    IS(rq->bucket, "other");
    assert_int_equal(route_host("[::1]:9000", "/bucket/key"), ERR_OK);
    IS(rq->bucket, "bucket");
    assert_int_equal(route_host("evils3.example.com", "/bucket/key"), ERR_OK); /* no dot: not our domain */
    IS(rq->bucket, "bucket");
    assert_int_equal(route_host(".s3.example.com", "/bucket/key"), ERR_OK);
    IS(rq->bucket, "bucket");
    assert_int_equal(route_host("Bad_Name.s3.example.com", "/"), ERR_INVALID_BUCKET_NAME);
}

static void parameters_are_bounded(void **state)
{
    struct buf b;
    (void)state;
    for (unsigned n = 100; n <= 101; n++) {
        buf_init(&b, 0);
        buf_cstr(&b, "GET /bucket?a=1");
        for (unsigned i = 1; i < n; i++) buf_cstr(&b, "&a=1");
        buf_cstr(&b, "\nHost: h\n\n");
        assert_int_equal(route_text(buf_view(&b)), n == 100 ? ERR_OK : ERR_INVALID_ARGUMENT);
        buf_free(&b);
    }
}

/* A signed query stands for headers; another one does not. */
static void query_parameters_for_headers(void **state)
{
    (void)state;
    assert_int_equal(route("PUT", "/bucket/key?X-Amz-Copy-Source=/a/b"), ERR_OK);
    assert_int_equal(rq->op, API_OP_PUT_OBJECT);
    assert_int_equal(route("PUT", "/bucket/key?X-Amz-Copy-Source=/a/b&X-Amz-Signature=0"), ERR_OK);
    assert_int_equal(rq->op, API_OP_COPY_OBJECT);
    IS(api_header(rq, "x-amz-copy-source"), "/a/b");
}

/* ---- the copy source ---- */

static err source(const char *v)
{
    arena_reset(arena);
    rq = ARENA_NEW(arena, struct api_request);
    rq->arena = arena;
    return api_parse_source(rq, str_c(v));
}

static void row_44_empty_source(void **state)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "bucket",
                                      "/bucket",
                                      "bucket/",
                                      "//key",
                                      "/bucket/%00",
                                      "/bucket/%ZZ",
                                      "/bucket/k?versionId=",
                                      "/bucket/k?acl",
                                      "/Bad_Name/k",
                                      "/ingot-internal-x/k",
                                      "/bucket/k?versionId=%FF"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(source(bad[i]), ERR_INVALID_ARGUMENT);
}

static void row_46_source_is_decoded_once(void **state)
{
    (void)state;
    assert_int_equal(source("/bucket/key?versionId=abc"), ERR_OK);
    IS(rq->source.key, "key");
    IS(rq->source.version_id, "abc");
    assert_int_equal(source("bucket/key%3FversionId=abc"), ERR_OK);
    IS(rq->source.bucket, "bucket");
    IS(rq->source.key, "key?versionId=abc"); /* of the key: no version is meant */
    assert_int_equal(rq->source.version_id.n, 0);
    assert_int_equal(source("bucket/a%252Fb+c%2Bd"), ERR_OK);
    IS(rq->source.key, "a%2Fb c+d");
    assert_int_equal(source("bucket%2Fkey"), ERR_OK);
    IS(rq->source.key, "key");
    assert_int_equal(source("/bucket/../other/x"), ERR_OK);
    IS(rq->source.bucket, "bucket");
    IS(rq->source.key, "../other/x");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_table_is_consistent),
        cmocka_unit_test(clashes_are_found),
        T(every_row_is_found),
        T(row_10_unknown_subresource),
        T(contradictions_and_other_methods),
        T(row_29_key_length),
        T(row_30_keys_are_opaque),
        T(row_31_bad_escapes),
        T(row_32_reserved_names),
        T(row_33_bucket_names),
        T(virtual_hosts),
        T(parameters_are_bounded),
        T(query_parameters_for_headers),
        T(row_44_empty_source),
        T(row_46_source_is_decoded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
