/* aws-chunked: AWS's published examples in every cut, and rows 21 to 27 of the hostile inputs. */
#include "auth/awschunked.h"
#include "unit/auth/fake_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DATE  "20130524T000000Z"
#define SCOPE "20130524/us-east-1/s3/aws4_request"
#define TOTAL 66560

/* ---- a source that gives its bytes in pieces of one size ---- */
struct pieces {
    struct body b;
    struct str rest;
    size_t step;
};

static err pieces_next(struct body *b, struct str *out)
{
    struct pieces *p = CONTAINER(b, struct pieces, b);
    *out = str_slice(p->rest, 0, p->step);
    p->rest = str_slice(p->rest, out->n, p->rest.n);
    return ERR_OK;
}

static const struct body_ops pieces_ops = {"pieces", pieces_next, NULL, NULL};

static void example_key(uint8_t out[32])
{
    uint8_t k[32];
    struct str ks = str_of((char *)k, 32);
    hmac_sha256(STR("AWS4" EXAMPLE_SECRET), STR("20130524"), k);
    hmac_sha256(ks, STR("us-east-1"), k);
    hmac_sha256(ks, STR("s3"), k);
    hmac_sha256(ks, STR("aws4_request"), out);
}

enum form { PLAIN, SIGNED, SIGNED_TRAILER, TRAILER };

static struct awschunked_in input(enum form f, uint64_t length, const char *seed)
{
    struct awschunked_in in = {.decoded_length = length,
                               .has_signatures = f == SIGNED || f == SIGNED_TRAILER,
                               .has_trailers = f == SIGNED_TRAILER || f == TRAILER,
                               .date = STR(DATE),
                               .scope = STR(SCOPE),
                               .seed = str_c(seed)};
    if (in.has_trailers) in.trailer_name = STR("x-amz-checksum-crc32c");
    example_key(in.key);
    return in;
}

/* Decode all; got receives the data, trailer the trailer's value. */
static err decode(const struct awschunked_in *in, struct str text, size_t step, struct buf *got,
                  struct buf *trailer)
{
    struct arena *a = arena_new(0);
    struct pieces p = {.b = {.ops = &pieces_ops, .length = -1}, .rest = text, .step = step};
    struct awschunked *c = awschunked_new(a, &p.b, in);
    struct str view;
    err e;
    buf_clear(got);
    while (!(e = body_next(awschunked_body(c), &view)) && view.n) buf_str(got, view);
    if (e) {
        assert_int_equal(body_next(awschunked_body(c), &view), e); /* and keeps failing */
        assert_null(awschunked_trailer(c).p);
    } else if (trailer) {
        buf_str(trailer, awschunked_trailer(c));
    }
    body_close(awschunked_body(c));
    arena_free(a);
    return e;
}

static void letters(struct buf *b, size_t n)
{
    char *p = buf_reserve(b, n);
    assert_non_null(p);
    memset(p, 'a', n);
    b->n += n;
}

static void chunk(struct buf *b, size_t n, const char *signature)
{
    buf_fmt(b, signature ? "%zx;chunk-signature=%s\r\n" : "%zx\r\n", n, signature);
    letters(b, n);
    if (n) buf_cstr(b, "\r\n");
}

static const size_t steps[] = {1, 2, 7, 86, 4096, 65536, SIZE_MAX / 2};

static void good(const struct awschunked_in *in, const struct buf *text, const char *want_trailer)
{
    struct buf got, trailer;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        buf_init(&got, 0);
        buf_init(&trailer, 0);
        assert_int_equal(decode(in, buf_view(text), steps[i], &got, &trailer), ERR_OK);
        assert_int_equal(got.n, in->decoded_length);
        for (size_t k = 0; k < got.n; k++) assert_int_equal(got.p[k], 'a');
        assert_true(str_eq(buf_view(&trailer), str_c(want_trailer)));
        buf_free(&got);
        buf_free(&trailer);
    }
}

static void bad(const struct awschunked_in *in, struct str text, err want)
{
    struct buf got;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        buf_init(&got, 0);
        assert_int_equal(decode(in, text, steps[i], &got, NULL), want);
        buf_free(&got);
    }
}

/* ---- "Example: signature calculations for transferring a payload in multiple chunks" ---- */
#define SEED   "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
#define CHUNK1 "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
#define CHUNK2 "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
#define CHUNK3 "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"

static void signed_example(struct buf *b)
{
    buf_init(b, 0);
    chunk(b, 65536, CHUNK1);
    chunk(b, 1024, CHUNK2);
    chunk(b, 0, CHUNK3);
    buf_cstr(b, "\r\n");
}

static void example_of_chunks(void **state)
{
    (void)state;
    struct buf b;
    struct awschunked_in in = input(SIGNED, TOTAL, SEED);
    signed_example(&b);
    assert_int_equal(b.n, 66824);
    good(&in, &b, "");
    buf_free(&b);
}

/* The whole request, from the Authorization header on. */
static void example_request(void **state)
{
    (void)state;
    struct buf b, text;
    struct arena *a = arena_new(0);
    struct str body;
    fake_clock(EXAMPLE_NOW);
    struct auth *auth = fake_auth();
    signed_example(&b);
    buf_init(&text, 0);
    buf_cstr(
        &text,
        "PUT /examplebucket/chunkObject.txt\nHost: s3.amazonaws.com\nx-amz-date: " DATE
        "\nx-amz-storage-class: REDUCED_REDUNDANCY\nAuthorization: AWS4-HMAC-SHA256 "
        "Credential=" EXAMPLE_ACCESS "/" SCOPE ",SignedHeaders=content-encoding;content-length;host;"
        "x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=" SEED
        "\nx-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\nContent-Encoding: aws-chunked\n"
        "x-amz-decoded-content-length: 66560\nContent-Length: 66824\n\n");
    buf_str(&text, buf_view(&b));
    struct api_request *rq = fake_request(a, buf_view(&text));
    assert_int_equal(auth_who(auth, rq), ERR_OK);
    assert_int_equal(rq->payload_length, TOTAL);
    assert_int_equal(body_read_all(a, rq->body, 1 << 20, &body), ERR_OK);
    assert_int_equal(body.n, TOTAL);
    body_close(rq->body);
    buf_free(&b);
    buf_free(&text);
    auth_free(auth);
    arena_free(a);
    sys = &sys_real;
}

/* ---- "… with trailing headers" ---- */
#define T_SEED   "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
#define T_CHUNK1 "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"
#define T_CHUNK2 "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
#define T_CHUNK3 "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
#define T_SIG    "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
#define T_SUM    "sOO8/Q=="

static void trailer_example(struct buf *b, const char *trailers)
{
    buf_init(b, 0);
    chunk(b, 65536, T_CHUNK1);
    chunk(b, 1024, T_CHUNK2);
    chunk(b, 0, T_CHUNK3);
    buf_cstr(b, trailers);
}

static void example_of_trailers(void **state)
{
    (void)state;
    struct buf b;
    struct awschunked_in in = input(SIGNED_TRAILER, TOTAL, T_SEED);
    trailer_example(&b, "x-amz-checksum-crc32c:" T_SUM "\r\nx-amz-trailer-signature:" T_SIG "\r\n\r\n");
    good(&in, &b, T_SUM);
    buf_free(&b);
    /* As some clients write it. */
    trailer_example(&b, "X-Amz-Checksum-CRC32C: " T_SUM "\n\r\nx-amz-trailer-signature:" T_SIG "\r\n\r\n");
    good(&in, &b, T_SUM);
    buf_free(&b);
}

static void signed_trailers_are_checked(void **state)
{
    static const struct {
        const char *text;
        err want;
    } t[] = {
        {"x-amz-checksum-crc32c:sOO8/A==\r\nx-amz-trailer-signature:" T_SIG "\r\n\r\n",
         ERR_SIGNATURE_MISMATCH},
        {"x-amz-checksum-crc32c:" T_SUM "\r\nx-amz-trailer-signature:" T_CHUNK3 "\r\n\r\n",
         ERR_SIGNATURE_MISMATCH},
        {"x-amz-checksum-crc32c:" T_SUM "\r\nx-amz-trailer-signature:00\r\n\r\n", ERR_SIGNATURE_MISMATCH},
        {"x-amz-checksum-crc32c:" T_SUM "\r\n\r\n\r\n", ERR_MALFORMED_TRAILER},
        {"x-amz-trailer-signature:" T_SIG "\r\nx-amz-checksum-crc32c:" T_SUM "\r\n\r\n",
         ERR_SIGNATURE_MISMATCH},
        {"x-amz-checksum-crc32c:" T_SUM "\r\nx-amz-trailer-signature:" T_SIG "\r\nx-amz-meta-a:b\r\n\r\n",
         ERR_MALFORMED_TRAILER},
        {"x-amz-checksum-crc32c:" T_SUM "\r\nx-amz-trailer-signature:" T_SIG "\r\n", ERR_INCOMPLETE_BODY},
        {"\r\n", ERR_MALFORMED_TRAILER},
    };
    (void)state;
    struct awschunked_in in = input(SIGNED_TRAILER, TOTAL, T_SEED);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct buf b;
        trailer_example(&b, t[i].text);
        bad(&in, buf_view(&b), t[i].want);
        buf_free(&b);
    }
}

/* ---- rows ---- */

static void row_21_bad_chunk_signature(void **state)
{
    (void)state;
    struct buf b;
    struct awschunked_in in = input(SIGNED, TOTAL, SEED);
    signed_example(&b);
    static const size_t flips[] = {100, 65535, 65620 + 200,
                                   66700}; /* data, data, second chunk, last signature */
    for (size_t i = 0; i < sizeof flips / sizeof *flips; i++) {
        struct buf got;
        b.p[flips[i]] ^= 1;
        buf_init(&got, 0);
        err e = decode(&in, buf_view(&b), 4096, &got, NULL);
        assert_true(e == ERR_SIGNATURE_MISMATCH);
        assert_true(got.n < TOTAL || flips[i] > 66600); /* the damaged chunk's end never came out */
        buf_free(&got);
        b.p[flips[i]] ^= 1;
    }
    good(&in, &b, "");
    buf_free(&b);
    bad(&in, STR("10000\r\n"), ERR_SIGNATURE_MISMATCH); /* no signature at all */
    bad(&in, STR("0;chunk-signature=\r\n\r\n"), ERR_SIGNATURE_MISMATCH);
    struct awschunked_in other = input(SIGNED, TOTAL, CHUNK1); /* another request's chunks */
    signed_example(&b);
    bad(&other, buf_view(&b), ERR_SIGNATURE_MISMATCH);
    buf_free(&b);
}

static void row_22_small_chunk(void **state)
{
    (void)state;
    struct buf b;
    struct awschunked_in in = input(TRAILER, 8191 + 1, NULL);
    in.trailer_name = STR_NONE;
    buf_init(&b, 0);
    chunk(&b, 8191, NULL);
    chunk(&b, 1, NULL);
    chunk(&b, 0, NULL);
    buf_cstr(&b, "\r\n");
    bad(&in, buf_view(&b), ERR_INVALID_CHUNK_SIZE);
    buf_clear(&b);
    in.decoded_length = 8193;
    chunk(&b, 8192, NULL);
    chunk(&b, 1, NULL);
    chunk(&b, 0, NULL);
    buf_cstr(&b, "\r\n");
    good(&in, &b, "");
    buf_free(&b);
}

static void row_23_truncated(void **state)
{
    (void)state;
    struct buf b, got;
    struct awschunked_in in = input(SIGNED, TOTAL, SEED);
    signed_example(&b);
    buf_init(&got, 0);
    for (size_t n = 0; n < b.n; n += n < 200 || n > 66500 ? 1 : 997)
        assert_int_equal(decode(&in, str_of(b.p, n), 4096, &got, NULL), ERR_INCOMPLETE_BODY);
    buf_free(&b);
    buf_free(&got);
}

static void row_24_decoded_length(void **state)
{
    (void)state;
    struct awschunked_in in = input(TRAILER, 5, NULL);
    in.trailer_name = STR_NONE;
    bad(&in, STR("6\r\naaaaaa\r\n0\r\n\r\n"), ERR_INCOMPLETE_BODY);
    bad(&in, STR("4\r\naaaa\r\n0\r\n\r\n"), ERR_INCOMPLETE_BODY);
    bad(&in, STR("0\r\n\r\n"), ERR_INCOMPLETE_BODY);
    bad(&in, STR("5\r\naaaaa\r\n0\r\n\r\nmore"), ERR_INVALID_REQUEST);
}

static void row_25_trailers(void **state)
{
    static const char *const malformed[] = {
        "no colon\r\n\r\n",
        ":\r\n\r\n",
        "x-amz-checksum-sha1:AA==\r\n\r\n",
        "\r\n",
        "x-amz-checksum-crc32c:AA==\r\nx-amz-checksum-crc32c:AA==\r\n\r\n",
        "x amz:1\r\n\r\n",
        "x-amz-meta-a:b\r\nx-amz-checksum-crc32c:AA==\r\n\r\n",
    };
    (void)state;
    struct awschunked_in in = input(TRAILER, 0, NULL);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        struct buf b;
        buf_init(&b, 0);
        buf_fmt(&b, "0\r\n%s", malformed[i]);
        bad(&in, buf_view(&b), ERR_MALFORMED_TRAILER);
        buf_free(&b);
    }
    struct buf b;
    buf_init(&b, 0);
    buf_cstr(&b, "0\r\nx-amz-checksum-crc32c:");
    letters(&b, 4000);
    bad(&in, buf_view(&b), ERR_MALFORMED_TRAILER);
    buf_free(&b);
    in.trailer_name = STR_NONE; /* undeclared */
    bad(&in, STR("0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n"), ERR_MALFORMED_TRAILER);
    in.has_trailers = false;
    bad(&in, STR("0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n"), ERR_MALFORMED_TRAILER);
}

static void row_27_chunk_size(void **state)
{
    static const char *const sizes[] = {"ffffffffffffffff",
                                        "7fffffffffffffff",
                                        "8000000000000000",
                                        "10000000000000000",
                                        "00000000000000005",
                                        "-5",
                                        "+5",
                                        "0x5",
                                        "",
                                        " 5",
                                        "5 ",
                                        "g"};
    (void)state;
    struct awschunked_in in = input(TRAILER, 5, NULL);
    struct buf got;
    in.trailer_name = STR_NONE;
    buf_init(&got, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf b;
        buf_init(&b, 0);
        buf_fmt(&b, "%s\r\naaaaa\r\n0\r\n\r\n", sizes[i]);
        err e = decode(&in, buf_view(&b), 3, &got, NULL);
        assert_int_equal(err_status(e), 400);
        assert_int_equal(got.n, 0);
        buf_free(&b);
    }
    struct buf b;
    buf_init(&b, 0);
    letters(&b, 10000); /* a line without an end is cut off */
    assert_int_equal(decode(&in, buf_view(&b), 3, &got, NULL), ERR_INVALID_REQUEST);
    buf_free(&b);
    buf_free(&got);
    bad(&in, STR("5\naaaaa\r\n0\r\n\r\n"), ERR_INVALID_REQUEST);
    bad(&in, STR("5\r\naaaaaX\n0\r\n\r\n"), ERR_INVALID_REQUEST);
    bad(&in, STR("5;ext=1\r\naaaaa\r\n0\r\n\r\n"), ERR_INVALID_REQUEST);
}

static void unsigned_trailers(void **state)
{
    (void)state;
    struct buf b;
    struct awschunked_in in = input(TRAILER, 5, NULL);
    buf_init(&b, 0);
    chunk(&b, 5, NULL);
    buf_cstr(&b, "0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n");
    good(&in, &b, "AAAAAA==");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_of_chunks),
        cmocka_unit_test(example_request),
        cmocka_unit_test(example_of_trailers),
        cmocka_unit_test(signed_trailers_are_checked),
        cmocka_unit_test(row_21_bad_chunk_signature),
        cmocka_unit_test(row_22_small_chunk),
        cmocka_unit_test(row_23_truncated),
        cmocka_unit_test(row_24_decoded_length),
        cmocka_unit_test(row_25_trailers),
        cmocka_unit_test(row_27_chunk_size),
        cmocka_unit_test(unsigned_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
