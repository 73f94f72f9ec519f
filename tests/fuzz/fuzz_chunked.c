/* Any bytes as an aws-chunked body: the same result in every cut, never more than the declared length.
 *
 * Input: a byte of form (1 signed, 2 trailers, 4 a trailer is declared), a byte of cut, two of length, the
 * body.
 */
#include "auth/awschunked.h"
#include "base/assert.h"
#include "base/list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static const struct body_ops ops = {"pieces", pieces_next, NULL, NULL};

static err decode(const struct awschunked_in *in, struct str text, size_t step, struct buf *got,
                  struct buf *trailer)
{
    struct arena *a = arena_new(0);
    struct pieces p = {.b = {.ops = &ops, .length = -1}, .rest = text, .step = step};
    struct awschunked *c = awschunked_new(a, &p.b, in);
    struct str view;
    err e;
    while (!(e = body_next(awschunked_body(c), &view)) && view.n) {
        buf_str(got, view);
        ASSERT(got->n <= in->decoded_length);
    }
    if (e)
        ASSERT(body_next(awschunked_body(c), &view) == e && !awschunked_trailer(c).p);
    else
        ASSERT(got->n == in->decoded_length);
    buf_str(trailer, awschunked_trailer(c));
    body_close(awschunked_body(c));
    arena_free(a);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char seed[] = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    if (size < 4) return 0;
    struct awschunked_in in = {.decoded_length = (uint64_t)data[2] << 8 | data[3],
                               .has_signatures = data[0] & 1,
                               .has_trailers = data[0] & 2,
                               .date = STR("20130524T000000Z"),
                               .scope = STR("20130524/us-east-1/s3/aws4_request"),
                               .seed = str_c(seed)};
    if ((data[0] & 4) && in.has_trailers) in.trailer_name = STR("x-amz-checksum-crc32c");
    struct str text = str_of((const char *)data + 4, size - 4);
    struct buf got[2], trailer[2];
    err e[2];
    for (int i = 0; i < 2; i++) {
        buf_init(&got[i], 0);
        buf_init(&trailer[i], 0);
        e[i] = decode(&in, text, i ? (size_t)data[1] + 1 : SIZE_MAX / 2, &got[i], &trailer[i]);
    }
    ASSERT(e[0] == e[1]);
    /* A cut may pass on more or less before an error, but what both passed on is the same. */
    size_t n = got[0].n < got[1].n ? got[0].n : got[1].n;
    ASSERT(n == 0 || memcmp(got[0].p, got[1].p, n) == 0);
    ASSERT(e[0] || (got[0].n == got[1].n && str_eq(buf_view(&trailer[0]), buf_view(&trailer[1]))));
    for (int i = 0; i < 2; i++) {
        buf_free(&got[i]);
        buf_free(&trailer[i]);
    }
    return 0;
}
