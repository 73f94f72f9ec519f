/* The client side of SigV4 ("Signature Version 4 for S3", header and query forms). The day's key is computed
 * once. */
#include "base/clock.h"
#include "bench/internal.h"
#include "sys/sys.h"

void signer_init(struct signer *g, const struct bench_options *o)
{
    memset(g, 0, sizeof *g);
    g->access_key = o->access_key;
    g->secret_key = o->secret_key;
    g->region = o->region;
    g->host = o->host;
}

static void day_key(struct signer *g, const char *day)
{
    if (memcmp(g->day, day, 8) == 0) return;
    memcpy(g->day, day, 8);
    struct buf k;
    buf_init(&k, 4096);
    buf_cstr(&k, "AWS4");
    buf_str(&k, g->secret_key);
    uint8_t a[32], b[32];
    hmac_sha256(buf_view(&k), str_of(day, 8), a);
    hmac_sha256(str_of((char *)a, 32), g->region, b);
    hmac_sha256(str_of((char *)b, 32), STR("s3"), a);
    hmac_sha256(str_of((char *)a, 32), STR("aws4_request"), g->key);
    buf_free(&k);
}

/* The signature over a canonical request, as 64 hex digits. */
static void signature(struct signer *g, struct str canonical, const char *amz, char hex[65])
{
    struct hash_value h;
    char digest[65], text[512];
    uint8_t mac[32];
    day_key(g, amz);
    hash_once(HASH_SHA256, canonical.p, canonical.n, &h);
    hex_encode(h.b, 32, digest);
    int n = snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%.8s/%.*s/s3/aws4_request\n%s", amz, amz,
                     STR_FMT(g->region), digest);
    hmac_sha256(str_of((char *)g->key, 32), str_of(text, (size_t)n), mac);
    hex_encode(mac, 32, hex);
}

void sign_request(struct signer *g, struct buf *out, const char *method, struct str path, struct str query,
                  struct str payload_hash, int64_t content_length)
{
    static const char names[] = "host;x-amz-content-sha256;x-amz-date";
    char amz[TIME_AMZ_SIZE], hex[65];
    time_amz(sys->real_ms(), amz);
    buf_clear(out);
    buf_fmt(out, "%s\n%.*s\n%.*s\nhost:%.*s\nx-amz-content-sha256:%.*s\nx-amz-date:%s\n\n%s\n%.*s", method,
            STR_FMT(path), STR_FMT(query), STR_FMT(g->host), STR_FMT(payload_hash), amz, names,
            STR_FMT(payload_hash));
    signature(g, buf_view(out), amz, hex);
    buf_clear(out);
    buf_fmt(out, "%s %.*s%s%.*s HTTP/1.1\r\nHost: %.*s\r\nx-amz-content-sha256: %.*s\r\nx-amz-date: %s\r\n",
            method, STR_FMT(path), query.n ? "?" : "", STR_FMT(query), STR_FMT(g->host),
            STR_FMT(payload_hash), amz);
    buf_fmt(out,
            "Authorization: AWS4-HMAC-SHA256 Credential=%.*s/%.8s/%.*s/s3/aws4_request, SignedHeaders=%s, "
            "Signature=%s\r\n",
            STR_FMT(g->access_key), amz, STR_FMT(g->region), names, hex);
    if (content_length >= 0) buf_fmt(out, "Content-Length: %lld\r\n", (long long)content_length);
    buf_cstr(out, "\r\n");
}

void sign_presigned(struct signer *g, struct buf *out, const char *method, struct str path, unsigned expires)
{
    char amz[TIME_AMZ_SIZE], hex[65];
    struct buf q, c;
    time_amz(sys->real_ms(), amz);
    buf_init(&q, 0);
    buf_init(&c, 0);
    buf_fmt(&q,
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%.*s%%2F%.8s%%2F%.*s%%2Fs3%%2Faws4_request"
            "&X-Amz-Date=%s&X-Amz-Expires=%u&X-Amz-SignedHeaders=host",
            STR_FMT(g->access_key), amz, STR_FMT(g->region), amz, expires);
    buf_fmt(&c, "%s\n%.*s\n%.*s\nhost:%.*s\n\nhost\nUNSIGNED-PAYLOAD", method, STR_FMT(path),
            STR_FMT(buf_view(&q)), STR_FMT(g->host));
    signature(g, buf_view(&c), amz, hex);
    buf_fmt(out, "%.*s?%.*s&X-Amz-Signature=%s", STR_FMT(path), STR_FMT(buf_view(&q)), hex);
    buf_free(&q);
    buf_free(&c);
}
