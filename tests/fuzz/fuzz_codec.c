/* Any bytes through the decoders of base: what decodes, encodes to the same thing, and what encodes, decodes.
 */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void percent(struct arena *a, struct str in)
{
    struct buf b;
    struct str out, again;
    buf_init(&b, 0);
    if (uri_decode(a, in, false, &out)) {
        ASSERT(out.n <= in.n && !memchr(out.p, 0, out.n));
        uri_encode(&b, out, true);
        ASSERT(uri_decode(a, buf_view(&b), utf8_valid(out), &again) && str_eq(out, again));
        buf_clear(&b);
        list_encode(&b, out);
        if (utf8_valid(out))
            ASSERT(form_decode(a, buf_view(&b), &again) && str_eq(out, again));
        else
            ASSERT(!form_decode(a, buf_view(&b), &again));
    }
    buf_free(&b);
}

static void base64(struct str in)
{
    uint8_t out[4096];
    char again[sizeof out * 2];
    size_t n;
    if (!base64_decode(in, out, sizeof out, &n)) return;
    base64_encode(out, n, again);
    ASSERT(str_eq(in, str_c(again)));
}

static void dates(struct str in)
{
    int64_t ms, back;
    char http[TIME_HTTP_SIZE], iso[TIME_ISO_SIZE], amz[TIME_AMZ_SIZE];
    if (time_parse_http(in, &ms)) {
        time_http(ms, http);
        ASSERT(time_parse_http(str_c(http), &back) && (back == ms || ms > INT64_C(253402300799999)));
    }
    if (time_parse_amz(in, &ms)) {
        time_amz(ms, amz);
        ASSERT(time_parse_amz(str_c(amz), &back) && (back == ms || ms > INT64_C(253402300799999)));
    }
    if (time_parse_iso(in, &ms)) {
        time_iso(ms, iso);
        ASSERT(time_parse_iso(str_c(iso), &back));
        /* A zone may move a date out of the years that print. */
        bool prints = ms >= INT64_C(-62167219200000) && ms <= INT64_C(253402300799999);
        ASSERT(!prints || back == ms);
    }
}

static void records(struct str in)
{
    struct buf b;
    buf_init(&b, 0);
    struct rd r = rd_of(in);
    while (rd_left(&r)) {
        const char *at = r.p;
        uint64_t v = rd_varint(&r);
        if (r.bad) break;
        buf_clear(&b);
        buf_varint(&b, v);
        ASSERT(str_eq(buf_view(&b), str_of(at, (size_t)(r.p - at))));
        struct str s = rd_lenstr(&r);
        ASSERT(r.bad || s.n <= in.n);
    }
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_of((const char *)data, size);
    struct arena *a = arena_new(0);
    percent(a, in);
    base64(in);
    dates(in);
    records(in);
    arena_free(a);
    return 0;
}
