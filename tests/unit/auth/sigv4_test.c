/* SigV4: the examples of AWS's documentation, and every way to be wrong. */
#include "auth/internal.h"
#include "unit/auth/fake_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CRED  EXAMPLE_ACCESS "/20130524/us-east-1/s3/aws4_request"

/* The first example: an object, ten bytes of it. */
#define GET_AUTH(sig)                                                                                        \
    "Authorization: AWS4-HMAC-SHA256 Credential=" CRED                                                       \
    ",SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=" sig "\n"
#define GET_HEADERS                                                                                          \
    "Host: examplebucket.s3.amazonaws.com\nRange: bytes=0-9\nx-amz-content-sha256: " EMPTY                   \
    "\nx-amz-date: 20130524T000000Z\n"
#define GET_SIG "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"

struct fixture {
    struct auth *auth;
    struct arena *arena;
    struct api_request *rq;
};

static int setup(void **state)
{
    static struct fixture f;
    fake_clock(EXAMPLE_NOW);
    f = (struct fixture){fake_auth(), arena_new(0), NULL};
    *state = &f;
    return f.auth && f.arena ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->rq) body_close(f->rq->body);
    arena_free(f->arena);
    auth_free(f->auth);
    sys = &sys_real;
    return 0;
}

static err who(struct fixture *f, struct str text)
{
    if (f->rq) body_close(f->rq->body);
    arena_reset(f->arena);
    f->rq = fake_request(f->arena, text);
    return auth_who(f->auth, f->rq);
}
#define WHO(f, text) who((f), STR(text))

static bool says(const struct fixture *f, const char *part)
{
    size_t at;
    return str_find(f->rq->error_detail, str_c(part), &at);
}

static struct str extra(const struct fixture *f, const char *name)
{
    for (unsigned i = 0; i < f->rq->nerror_extra; i++)
        if (str_eq(f->rq->error_extra[i].name, str_c(name))) return f->rq->error_extra[i].value;
    return STR_NONE;
}

/* ---- the published examples ---- */

static void example_get_object(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(WHO(f, "GET /test.txt\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"), ERR_OK);
    assert_true(f->rq->who->root);
    assert_false(f->rq->who->anonymous);
}

static void example_put_object(void **state)
{
    struct fixture *f = *state;
    struct str body;
    assert_int_equal(
        WHO(f,
            "PUT /test$file.text\nHost: examplebucket.s3.amazonaws.com\nDate: Fri, 24 May 2013 00:00:00 GMT\n"
            "x-amz-date: 20130524T000000Z\nx-amz-storage-class: REDUCED_REDUNDANCY\n"
            "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n"
            "Authorization: AWS4-HMAC-SHA256 Credential=" CRED
            ",SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
            "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\n"
            "Content-Length: 21\n\nWelcome to Amazon S3."),
        ERR_OK);
    assert_int_equal(body_read_all(f->arena, f->rq->body, 100, &body), ERR_OK);
    assert_true(str_eq(body, STR("Welcome to Amazon S3.")));
}

static void example_bucket_lifecycle(void **state)
{
    assert_int_equal(
        WHO(*state, "GET /?lifecycle\nHost: examplebucket.s3.amazonaws.com\nx-amz-date: 20130524T000000Z\n"
                    "x-amz-content-sha256: " EMPTY "\nAuthorization: AWS4-HMAC-SHA256 Credential=" CRED
                    ",SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
                    "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543\n\n"),
        ERR_OK);
}

static void example_list(void **state)
{
    assert_int_equal(WHO(*state,
                         "GET /?prefix=J&max-keys=2\nHost: examplebucket.s3.amazonaws.com\n"
                         "x-amz-date: 20130524T000000Z\nx-amz-content-sha256: " EMPTY
                         "\nAuthorization: AWS4-HMAC-SHA256 Credential=" CRED
                         ",SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
                         "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\n\n"),
                     ERR_OK);
}

#define PRESIGNED_SIG "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
#define PRESIGNED(expires, date, sig)                                                                        \
    "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" EXAMPLE_ACCESS                            \
    "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=" date "&X-Amz-Expires=" expires                 \
    "&X-Amz-SignedHeaders=host&X-Amz-Signature=" sig "\nHost: examplebucket.s3.amazonaws.com\n"
#define PRESIGNED_GOOD PRESIGNED("86400", "20130524T000000Z", PRESIGNED_SIG)

static void example_presigned(void **state)
{
    assert_int_equal(WHO(*state, "GET " PRESIGNED_GOOD "\n"), ERR_OK);
    fake_now += INT64_C(86399) * 1000;
    assert_int_equal(WHO(*state, "GET " PRESIGNED_GOOD "\n"), ERR_OK);
}

/* ---- rows 11 to 20 of the hostile inputs ---- */

static void row_11_garbage(void **state)
{
    static const char *const garbage[] = {"x", "Basic dTpw", "AWS4-HMAC-SHA256x Credential=a", "Bearer t",
                                          ""};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct arena *a = arena_new(0);
        struct str t = arena_fmt(a, "GET /b/k\nHost: h\nAuthorization: %s\n\n", garbage[i]);
        assert_int_equal(who(f, t), ERR_INVALID_ARGUMENT);
        assert_null(f->rq->who);
        arena_free(a);
    }
}

static void row_12_missing_component(void **state)
{
    static const char *const values[] = {
        "",
        "Credential=" CRED ",Signature=" GET_SIG,
        "Credential=" CRED ",SignedHeaders=host",
        "SignedHeaders=host,Signature=" GET_SIG,
        "Credential=" CRED ",SignedHeaders=host,Signature=",
        "Credential=" CRED ",Credential=" CRED ",SignedHeaders=host,Signature=" GET_SIG,
        "Credential=" EXAMPLE_ACCESS ",SignedHeaders=host,Signature=" GET_SIG,
        "Credential=" EXAMPLE_ACCESS "/20130524/us-east-1/s3,SignedHeaders=host,Signature=" GET_SIG,
        "Credential=/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=" GET_SIG,
        "Credential=" EXAMPLE_ACCESS
        "/2013x524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=" GET_SIG,
        "Credential=" EXAMPLE_ACCESS
        "/20130524/us-east-1/ec2/aws4_request,SignedHeaders=host,Signature=" GET_SIG,
        "Credential=" EXAMPLE_ACCESS
        "/20130524/us-east-1/s3/aws5_request,SignedHeaders=host,Signature=" GET_SIG,
        "Credential=" EXAMPLE_ACCESS
        "/20130525/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=" GET_SIG,
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct arena *a = arena_new(0);
        struct str t =
            arena_fmt(a, "GET /test.txt\n" GET_HEADERS "Authorization: AWS4-HMAC-SHA256 %s\n\n", values[i]);
        assert_int_equal(who(f, t), ERR_AUTH_HEADER_MALFORMED);
        assert_true(says(f, "authorization header is malformed"));
        arena_free(a);
    }
}

static void wrong_region_names_the_right_one(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        WHO(f, "GET /test.txt\n" GET_HEADERS "Authorization: AWS4-HMAC-SHA256 Credential=" EXAMPLE_ACCESS
               "/20130524/eu-west-1/s3/aws4_request,SignedHeaders=host,Signature=" GET_SIG "\n\n"),
        ERR_AUTH_HEADER_MALFORMED);
    assert_true(str_eq(extra(f, "Region"), STR("us-east-1")));
    assert_true(says(f, "the region 'eu-west-1' is wrong; expecting 'us-east-1'"));
}

static void row_13_sigv2(void **state)
{
    assert_int_equal(WHO(*state, "GET /b/k\nHost: h\nAuthorization: AWS AKIA:frJIUN8DYpKDtOLCwo=\n\n"),
                     ERR_INVALID_REQUEST);
    assert_int_equal(WHO(*state, "GET /b/k?AWSAccessKeyId=A&Signature=b&Expires=1\nHost: h\n\n"),
                     ERR_INVALID_REQUEST);
}

static void row_14_wrong_signature(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(WHO(f, "GET /test.txt\n" GET_HEADERS GET_AUTH(
                                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb42") "\n"),
                     ERR_SIGNATURE_MISMATCH);
    assert_null(f->rq->who);
    assert_true(extra(f, "CanonicalRequest").n > 0);
    assert_int_equal(WHO(f, "GET /test.txt\n" GET_HEADERS GET_AUTH("00") "\n"), ERR_SIGNATURE_MISMATCH);
    /* Everything that is signed: another method, path, query, range, host, body hash. */
    assert_int_equal(WHO(f, "PUT /test.txt\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"), ERR_SIGNATURE_MISMATCH);
    assert_int_equal(WHO(f, "GET /test.txU\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"), ERR_SIGNATURE_MISMATCH);
    assert_int_equal(WHO(f, "GET /test.txt?acl\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"),
                     ERR_SIGNATURE_MISMATCH);
    assert_int_equal(
        WHO(f, "GET /test.txt\nHost: other.s3.amazonaws.com\nRange: bytes=0-9\nx-amz-content-sha256: " EMPTY
               "\nx-amz-date: 20130524T000000Z\n" GET_AUTH(GET_SIG) "\n"),
        ERR_SIGNATURE_MISMATCH);
    assert_int_equal(WHO(f, "GET /test.txt\nHost: examplebucket.s3.amazonaws.com\nRange: bytes=0-99\n"
                            "x-amz-content-sha256: " EMPTY
                            "\nx-amz-date: 20130524T000000Z\n" GET_AUTH(GET_SIG) "\n"),
                     ERR_SIGNATURE_MISMATCH);
    assert_int_equal(WHO(f, "GET /test.txt\nHost: examplebucket.s3.amazonaws.com\nRange: bytes=0-9\n"
                            "x-amz-content-sha256: UNSIGNED-PAYLOAD\nx-amz-date: 20130524T000000Z\n" GET_AUTH(
                                GET_SIG) "\n"),
                     ERR_SIGNATURE_MISMATCH);
}

/* Encodings of one path are one path; blanks in header values do not count. */
static void same_meaning_signs_alike(void **state)
{
    assert_int_equal(WHO(*state, "GET /%74est%2Etxt\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"), ERR_OK);
    assert_int_equal(
        WHO(*state, "GET /test.txt\nHost:  examplebucket.s3.amazonaws.com \nRange:   bytes=0-9\t\n"
                    "x-amz-content-sha256: " EMPTY "\nx-amz-date: 20130524T000000Z\n" GET_AUTH(GET_SIG) "\n"),
        ERR_OK);
    assert_int_equal(WHO(*state, "GET //test.txt\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"),
                     ERR_SIGNATURE_MISMATCH);
    assert_int_equal(WHO(*state, "GET /a/../test.txt\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"),
                     ERR_SIGNATURE_MISMATCH);
}

static void row_15_unknown_key(void **state)
{
    assert_int_equal(
        WHO(*state, "GET /test.txt\n" GET_HEADERS
                    "Authorization: AWS4-HMAC-SHA256 Credential=AKIANOBODY/20130524/us-east-1/s3/"
                    "aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=" GET_SIG
                    "\n\n"),
        ERR_INVALID_ACCESS_KEY_ID);
}

static void row_16_skew(void **state)
{
    struct fixture *f = *state;
    static const int64_t good[] = {-15 * 60000, 15 * 60000}, bad[] = {-15 * 60000 - 1, 15 * 60000 + 1};
    for (size_t i = 0; i < 2; i++) {
        fake_now = EXAMPLE_NOW + good[i];
        assert_int_equal(WHO(f, "GET /test.txt\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"), ERR_OK);
        fake_now = EXAMPLE_NOW + bad[i];
        assert_int_equal(WHO(f, "GET /test.txt\n" GET_HEADERS GET_AUTH(GET_SIG) "\n"),
                         ERR_REQUEST_TIME_SKEWED);
        assert_true(str_eq(extra(f, "MaxAllowedSkewMilliseconds"), STR("900000")));
    }
}

static void row_17_no_date(void **state)
{
    static const char head[] = "GET /test.txt\nHost: examplebucket.s3.amazonaws.com\nRange: bytes=0-9\n"
                               "x-amz-content-sha256: " EMPTY "\n" GET_AUTH(GET_SIG) "%s\n";
    static const char *const dates[] = {"", "x-amz-date: yesterday\n", "Date: 24.5.2013\n", "x-amz-date: \n"};
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        struct arena *a = arena_new(0);
        struct buf b;
        buf_init(&b, 0);
        buf_add(&b, head, sizeof head - 4);
        buf_cstr(&b, dates[i]);
        buf_char(&b, '\n');
        assert_int_equal(who(*state, buf_view(&b)), ERR_ACCESS_DENIED);
        assert_true(says(*state, "valid Date or x-amz-date"));
        buf_free(&b);
        arena_free(a);
    }
}

static void row_18_unsigned_amz_header(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(WHO(f, "GET /test.txt\n" GET_HEADERS "x-amz-acl: public-read\n" GET_AUTH(GET_SIG) "\n"),
                     ERR_ACCESS_DENIED);
    assert_true(str_eq(extra(f, "HeadersNotSigned"), STR("x-amz-acl")));
    assert_int_equal(WHO(f, "GET " PRESIGNED_GOOD "x-amz-copy-source: /other/secret\n\n"), ERR_ACCESS_DENIED);
    assert_true(str_eq(extra(f, "HeadersNotSigned"), STR("x-amz-copy-source")));
    /* The host, too, must be signed. */
    assert_int_equal(WHO(f, "GET /test.txt\n" GET_HEADERS "Authorization: AWS4-HMAC-SHA256 Credential=" CRED
                            ",SignedHeaders=range;x-amz-content-sha256;x-amz-date,Signature=" GET_SIG "\n\n"),
                     ERR_ACCESS_DENIED);
    assert_true(str_eq(extra(f, "HeadersNotSigned"), STR("host")));
}

static void row_19_two_mechanisms(void **state)
{
    assert_int_equal(WHO(*state, "GET " PRESIGNED_GOOD GET_AUTH(GET_SIG) "\n"), ERR_INVALID_ARGUMENT);
    assert_int_equal(WHO(*state, "GET /b?Signature=a&AWSAccessKeyId=b\nHost: h\n" GET_AUTH(GET_SIG) "\n"),
                     ERR_INVALID_ARGUMENT);
    assert_int_equal(WHO(*state, "GET /test.txt\n" GET_HEADERS GET_AUTH(GET_SIG) GET_AUTH(GET_SIG) "\n"),
                     ERR_INVALID_ARGUMENT);
}

static void row_20_body_hash(void **state)
{
    struct fixture *f = *state;
    struct str body;
    assert_int_equal(
        WHO(f,
            "PUT /test$file.text\nHost: examplebucket.s3.amazonaws.com\nDate: Fri, 24 May 2013 00:00:00 GMT\n"
            "x-amz-date: 20130524T000000Z\nx-amz-storage-class: REDUCED_REDUNDANCY\n"
            "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n"
            "Authorization: AWS4-HMAC-SHA256 Credential=" CRED
            ",SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
            "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\n"
            "Content-Length: 21\n\nWelcome to Amazon S4."),
        ERR_OK);
    assert_int_equal(body_read_all(f->arena, f->rq->body, 100, &body), ERR_CONTENT_SHA256_MISMATCH);
}

static void the_body_hash_must_be_named(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(WHO(f, "GET /test.txt\nHost: h\nx-amz-date: 20130524T000000Z\n" GET_AUTH(GET_SIG) "\n"),
                     ERR_INVALID_REQUEST);
    assert_true(says(f, "x-amz-content-sha256"));
}

static void tokens_are_refused(void **state)
{
    assert_int_equal(
        WHO(*state, "GET /test.txt\n" GET_HEADERS "x-amz-security-token: abc\n" GET_AUTH(GET_SIG) "\n"),
        ERR_INVALID_TOKEN);
    assert_int_equal(WHO(*state, "GET "
                                 "/test.txt?X-Amz-Security-Token=x&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-"
                                 "Credential=" EXAMPLE_ACCESS
                                 "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
                                 "&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=00\nHost: h\n\n"),
                     ERR_INVALID_TOKEN);
}

/* ---- rows 54 to 56 ---- */

static void row_54_query_parameters(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Credential=" EXAMPLE_ACCESS "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request",
        "X-Amz-Date=20130524T000000Z", "X-Amz-Expires=86400", "X-Amz-SignedHeaders=host"};
    for (size_t skip = 0; skip < 5; skip++) {
        struct buf b;
        buf_init(&b, 0);
        buf_cstr(&b, "GET /test.txt?X-Amz-Signature=" PRESIGNED_SIG);
        for (size_t i = 0; i < 5; i++)
            if (i != skip) buf_fmt(&b, "&%s", names[i]);
        buf_cstr(&b, "\nHost: examplebucket.s3.amazonaws.com\n\n");
        assert_int_equal(who(f, buf_view(&b)), ERR_AUTH_QUERY_PARAMETERS);
        buf_free(&b);
    }
    assert_int_equal(WHO(f, "GET " PRESIGNED("604801", "20130524T000000Z", "0") "\n"),
                     ERR_AUTH_QUERY_PARAMETERS);
    assert_int_equal(WHO(f, "GET " PRESIGNED("-1", "20130524T000000Z", "0") "\n"), ERR_AUTH_QUERY_PARAMETERS);
    assert_int_equal(WHO(f, "GET " PRESIGNED("1e3", "20130524T000000Z", "0") "\n"),
                     ERR_AUTH_QUERY_PARAMETERS);
    assert_int_equal(WHO(f, "GET " PRESIGNED("99999999999999999999", "20130524T000000Z", "0") "\n"),
                     ERR_AUTH_QUERY_PARAMETERS);
    assert_int_equal(WHO(f, "GET " PRESIGNED("60", "2013-05-24", "0") "\n"), ERR_AUTH_QUERY_PARAMETERS);
    assert_int_equal(WHO(f, "GET " PRESIGNED("60", "20130525T000000Z", "0") "\n"), ERR_AUTH_QUERY_PARAMETERS);
    assert_int_equal(WHO(f, "GET " PRESIGNED("604800", "20130524T000000Z", "0") "\n"),
                     ERR_SIGNATURE_MISMATCH);
}

static void row_55_expired(void **state)
{
    struct fixture *f = *state;
    fake_now += INT64_C(86400) * 1000;
    assert_int_equal(WHO(f, "GET " PRESIGNED_GOOD "\n"), ERR_REQUEST_EXPIRED);
    assert_true(str_eq(extra(f, "X-Amz-Expires"), STR("86400")));
    fake_now = EXAMPLE_NOW - 16 * 60000;
    assert_int_equal(WHO(f, "GET " PRESIGNED_GOOD "\n"), ERR_ACCESS_DENIED);
}

static void row_56_other_method(void **state)
{
    assert_int_equal(WHO(*state, "PUT " PRESIGNED_GOOD "\n"), ERR_SIGNATURE_MISMATCH);
    assert_int_equal(WHO(*state, "HEAD " PRESIGNED_GOOD "\n"), ERR_SIGNATURE_MISMATCH);
}

/* ---- anonymous, and payloads that need a signature ---- */

static void without_a_signature(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(WHO(f, "GET /b/k\nHost: h\n\n"), ERR_OK);
    assert_true(f->rq->who->anonymous);
    assert_false(f->rq->who->root);
    assert_int_equal(WHO(f, "PUT /b/k\nHost: h\nx-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n"
                            "x-amz-decoded-content-length: 1\n\n"),
                     ERR_ACCESS_DENIED);
}

static void identities_are_found_by_id(void **state)
{
    struct fixture *f = *state;
    const struct auth_identity *i = auth_identity_of(f->auth, STR("c1"));
    assert_non_null(i);
    assert_true(str_eq(i->display_name, STR("root")));
    assert_null(auth_identity_of(f->auth, STR("c2")));
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    char secret[200];
    memset(secret, 'x', sizeof secret);
    struct auth_key k = {.access_key = STR("A"), .secret_key = str_of(secret, sizeof secret)};
    struct auth_options o = {.keys = &k, .nkeys = 1, .region = STR("us-east-1")};
    struct auth *a = NULL;
    assert_int_equal(auth_new(&o, &a), ERR_INVALID_SETTING);
    k.secret_key = STR("");
    assert_int_equal(auth_new(&o, &a), ERR_INVALID_SETTING);
    k.secret_key = STR("s");
    o.region = STR("");
    assert_int_equal(auth_new(&o, &a), ERR_INVALID_SETTING);
}

/* A cached key is the one of its secret, day, region and service, also after others took its place. */
static void signing_keys_are_cached_per_day_and_scope(void **state)
{
    static const char *const days[] = {"20130524", "20130525", "20230101"};
    static const char *const regions[] = {"us-east-1", "us-east-2", "eu-west-1", "x"};
    static const char *const services[] = {"s3", "sts"};
    struct auth_key keys[12];
    char secrets[12][16];
    struct signing_cache *shared = signing_cache_new();
    (void)state;
    assert_non_null(shared);
    for (unsigned i = 0; i < 12; i++) {
        snprintf(secrets[i], sizeof secrets[i], "secret-%u", i);
        keys[i] = (struct auth_key){.access_key = STR("AK"), .secret_key = str_c(secrets[i])};
    }
    for (unsigned n = 0; n < 3 * 12 * 24; n++) { /* thrice around: more scopes than the cache has room for */
        uint8_t got[32], again[32], want[32];
        const struct auth_key *k = &keys[n % 12];
        struct str day = str_c(days[n / 12 % 3]), region = str_c(regions[n / 36 % 4]),
                   service = str_c(services[n / 144 % 2]);
        struct signing_cache *fresh = signing_cache_new();
        assert_non_null(fresh);
        signing_key(fresh, k, day, region, service, want);
        signing_key(shared, k, day, region, service, got);
        signing_key(shared, k, day, region, service, again);
        assert_memory_equal(got, want, 32);
        assert_memory_equal(again, want, 32);
        signing_cache_free(fresh);
    }
    signing_cache_free(shared);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(example_get_object),
        T(example_put_object),
        T(example_bucket_lifecycle),
        T(example_list),
        T(example_presigned),
        T(row_11_garbage),
        T(row_12_missing_component),
        T(wrong_region_names_the_right_one),
        T(row_13_sigv2),
        T(row_14_wrong_signature),
        T(same_meaning_signs_alike),
        T(row_15_unknown_key),
        T(row_16_skew),
        T(row_17_no_date),
        T(row_18_unsigned_amz_header),
        T(row_19_two_mechanisms),
        T(row_20_body_hash),
        T(the_body_hash_must_be_named),
        T(tokens_are_refused),
        T(row_54_query_parameters),
        T(row_55_expired),
        T(row_56_other_method),
        T(without_a_signature),
        T(identities_are_found_by_id),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(signing_keys_are_cached_per_day_and_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
