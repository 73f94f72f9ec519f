/* The operations that a connection performs, and what is counted of them. */
#include "bench/internal.h"
#include <errno.h>

struct str work_object_path(const struct bench *b, uint64_t id, char out[1400])
{
    struct str bucket = b->o.virtual_host ? STR("") : b->o.bucket;
    int n = snprintf(out, 1400, "/%.*s%s%.*s%012llx", STR_FMT(bucket), bucket.n ? "/" : "",
                     STR_FMT(b->o.prefix), (unsigned long long)id);
    return str_of(out, (size_t)n);
}

static struct str object_path(struct conn *c, uint64_t id, char out[1400])
{
    return work_object_path(c->b, id, out);
}

static struct str bucket_path(struct conn *c, char out[300])
{
    int n = snprintf(out, 300, "/%.*s", STR_FMT(c->b->o.virtual_host ? STR("") : c->b->o.bucket));
    return str_of(out, (size_t)n);
}

static uint64_t next_random(struct conn *c)
{
    c->rng += 0x9E3779B97F4A7C15ull;
    return bench_mix64(c->rng);
}

/* Count one operation; the first error of each kind is kept for the report. */
static void count(struct conn *c, enum bench_op op, int64_t from, int e, const struct reply *r, bool good,
                  uint64_t bytes)
{
    if (!c->b->measuring || (c->b->o.count && from < c->b->measured_from)) return;
    struct tally_op *t = &c->tally->op[op];
    if (e == 0 && good && !r->wrong) {
        hist_add(&t->lat, (uint64_t)(rt_now() - from) / 1000);
        t->bytes += bytes;
        c->b->done_ops++;
        c->b->done_bytes += bytes;
        return;
    }
    t->errors++;
    if (e == -ECONNREFUSED) c->b->gone = true;
    if (e == 0 && r->wrong) t->wrong++;
    if (t->first_error[0]) return;
    if (e < 0)
        snprintf(t->first_error, sizeof t->first_error, "connection: %s", strerrordesc_np(-e));
    else if (r->wrong)
        snprintf(t->first_error, sizeof t->first_error,
                 "status %d with %llu bytes that differ from what was stored", r->status,
                 (unsigned long long)r->length);
    else
        snprintf(t->first_error, sizeof t->first_error, "status %d: %.*s", r->status,
                 (int)(c->text.n < 110 ? c->text.n : 110), c->text.p ? c->text.p : "");
}

/* The payload hash of a body of the pattern: exact where asked, else unsigned. */
static struct str payload_hash(struct conn *c, uint64_t off, uint64_t n, char hex[65])
{
    if (!c->b->o.sign_payload) return STR("UNSIGNED-PAYLOAD");
    struct hash_set *h = hash_set_new(HASH_BIT(HASH_SHA256));
    ASSERT(h);
    while (n) {
        uint64_t step = n < PATTERN_SIZE ? n : PATTERN_SIZE;
        hash_set_update(h, c->b->pattern + off % PATTERN_SIZE, step);
        off += step, n -= step;
    }
    struct hash_value v;
    hash_set_final(h, HASH_SHA256, &v);
    hash_set_free(h);
    hex_encode(v.b, 32, hex);
    return str_of(hex, 64);
}

static int put_object(struct conn *c, uint64_t id, struct reply *r)
{
    char path[1400], hex[65];
    uint64_t size = bench_size_of(c->b, id), off = bench_offset_of(id);
    struct send_body body = {.offset = off, .len = size};
    sign_request(&c->signer, &c->head, "PUT", object_path(c, id, path), STR(""),
                 payload_hash(c, off, size, hex), (int64_t)size);
    return conn_request(c, &body, NULL, false, false, r);
}

static int delete_object(struct conn *c, uint64_t id, struct reply *r)
{
    char path[1400];
    sign_request(&c->signer, &c->head, "DELETE", object_path(c, id, path), STR(""), STR("UNSIGNED-PAYLOAD"),
                 -1);
    return conn_request(c, NULL, NULL, false, false, r);
}

static void one_put(struct conn *c)
{
    struct reply r;
    bool over = c->b->o.overwrite;
    uint64_t id = over ? next_random(c) % c->b->o.objects : PUT_IDS + ((uint64_t)c->index << 24) + c->puts;
    int64_t from = rt_now();
    int e = put_object(c, id, &r);
    bool good = e == 0 && r.status == 200;
    if (good && !over) c->puts++;
    count(c, BENCH_PUT, from, e, &r, good, bench_size_of(c->b, id));
}

static void one_get(struct conn *c, bool head)
{
    char path[1400];
    struct reply r;
    uint64_t id = next_random(c) % c->b->o.objects;
    struct expect_body ex = {!c->b->o.no_verify && !head, bench_offset_of(id), bench_size_of(c->b, id)};
    int64_t from = rt_now();
    sign_request(&c->signer, &c->head, head ? "HEAD" : "GET", object_path(c, id, path), STR(""),
                 STR("UNSIGNED-PAYLOAD"), -1);
    int e = conn_request(c, NULL, &ex, false, head, &r);
    count(c, head ? BENCH_HEAD : BENCH_GET, from, e, &r, r.status == 200, head ? 0 : r.length);
}

static unsigned count_of(struct str text, struct str what)
{
    unsigned n = 0;
    for (size_t at; str_find(text, what, &at); n++) text = str_slice(text, at + what.n, text.n);
    return n;
}

/* One level: what lies deeper is rolled up. Verified: something was. */
static void one_level(struct conn *c)
{
    char path[300], query[3200];
    struct reply r;
    struct buf prefix;
    buf_init(&prefix, 4096);
    uri_encode(&prefix, c->b->o.prefix, false);
    int n = snprintf(query, sizeof query, "delimiter=%%2F&list-type=2&max-keys=%llu&prefix=%.*s",
                     (unsigned long long)c->b->o.list_keys, STR_FMT(buf_view(&prefix)));
    buf_free(&prefix);
    int64_t from = rt_now();
    sign_request(&c->signer, &c->head, "GET", bucket_path(c, path), str_of(query, (size_t)n),
                 STR("UNSIGNED-PAYLOAD"), -1);
    int e = conn_request(c, NULL, NULL, true, false, &r);
    r.wrong = e == 0 && r.status == 200 && count_of(buf_view(&c->text), STR("<CommonPrefixes>")) == 0;
    count(c, BENCH_LIST, from, e, &r, r.status == 200, r.length);
}

/* A page from a random key on. Verified: as many keys as the prepared objects after it allow, at most the
 * page. */
static void one_list(struct conn *c)
{
    char path[300], query[1600];
    struct reply r;
    uint64_t id = next_random(c) % c->b->o.objects;
    struct buf start;
    buf_init(&start, 4096);
    char key[1300];
    int kn = snprintf(key, sizeof key, "%.*s%012llx", STR_FMT(c->b->o.prefix), (unsigned long long)id);
    uri_encode(&start, str_of(key, (size_t)kn), false);
    struct buf prefix;
    buf_init(&prefix, 4096);
    uri_encode(&prefix, c->b->o.prefix, false);
    int n = snprintf(query, sizeof query, "list-type=2&max-keys=%llu&prefix=%.*s&start-after=%.*s",
                     (unsigned long long)c->b->o.list_keys, STR_FMT(buf_view(&prefix)),
                     STR_FMT(buf_view(&start)));
    buf_free(&start);
    buf_free(&prefix);
    int64_t from = rt_now();
    sign_request(&c->signer, &c->head, "GET", bucket_path(c, path), str_of(query, (size_t)n),
                 STR("UNSIGNED-PAYLOAD"), -1);
    int e = conn_request(c, NULL, NULL, true, false, &r);
    if (e == 0 && r.status == 200 && !c->b->o.no_verify) {
        uint64_t least = c->b->o.mix[BENCH_DELETE] ? 0 : c->b->o.objects - id - 1;
        if (least > c->b->o.list_keys) least = c->b->o.list_keys;
        r.wrong = count_of(buf_view(&c->text), STR("<Key>")) < least;
    }
    count(c, BENCH_LIST, from, e, &r, r.status == 200, r.length);
}

/* Reads need the prepared objects: beside them only what this connection put is deleted, else the prepared
 * ones first. */
static bool key_to_delete(struct conn *c, uint64_t *id)
{
    const unsigned *mix = c->b->o.mix;
    bool keep_prepared = mix[BENCH_GET] || mix[BENCH_HEAD];
    if (!keep_prepared && (*id = c->b->next_delete++) < c->b->o.objects) return true;
    if (!c->puts) return false;
    *id = PUT_IDS + ((uint64_t)c->index << 24) + --c->puts;
    return true;
}

static bool one_delete(struct conn *c)
{
    struct reply r;
    uint64_t id;
    if (!key_to_delete(c, &id)) return false;
    int64_t from = rt_now();
    int e = delete_object(c, id, &r);
    count(c, BENCH_DELETE, from, e, &r, r.status == 204, 0);
    return true;
}

static struct str tag_text(struct str xml, struct str open, struct str close)
{
    size_t at, end;
    if (!str_find(xml, open, &at)) return STR_NONE;
    xml = str_slice(xml, at + open.n, xml.n);
    return str_find(xml, close, &end) ? str_slice(xml, 0, end) : STR_NONE;
}

/* Create, parts in order, complete: one operation. */
static int multipart(struct conn *c, uint64_t id, uint64_t *bytes, struct reply *r)
{
    char path[1400], upload[300], query[512], hex[65];
    struct str p = object_path(c, id, path);
    sign_request(&c->signer, &c->head, "POST", p, STR("uploads="), STR("UNSIGNED-PAYLOAD"), 0);
    int e = conn_request(c, NULL, NULL, true, false, r);
    if (e || r->status != 200) return e;
    struct str up = tag_text(buf_view(&c->text), STR("<UploadId>"), STR("</UploadId>"));
    struct buf enc, done;
    buf_init(&enc, sizeof upload);
    uri_encode(&enc, up, false);
    int un = snprintf(upload, sizeof upload, "%.*s", STR_FMT(buf_view(&enc)));
    buf_free(&enc);
    buf_init(&done, 4 << 20);
    buf_cstr(&done, "<CompleteMultipartUpload>");
    uint64_t left = c->b->o.multipart_size, off = bench_offset_of(id);
    for (unsigned part = 1; left && e == 0; part++) {
        uint64_t n = left < c->b->o.part_size ? left : c->b->o.part_size;
        struct send_body body = {.offset = off, .len = n};
        int qn = snprintf(query, sizeof query, "partNumber=%u&uploadId=%.*s", part, un, upload);
        sign_request(&c->signer, &c->head, "PUT", p, str_of(query, (size_t)qn), payload_hash(c, off, n, hex),
                     (int64_t)n);
        c->etag[0] = 0;
        e = conn_request(c, &body, NULL, false, false, r);
        if (e || r->status != 200) break;
        buf_fmt(&done, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", part, c->etag);
        off += n, left -= n, *bytes += n;
    }
    if (e == 0 && left == 0) {
        buf_cstr(&done, "</CompleteMultipartUpload>");
        int qn = snprintf(query, sizeof query, "uploadId=%.*s", un, upload);
        struct send_body body = {.small = buf_view(&done)};
        sign_request(&c->signer, &c->head, "POST", p, str_of(query, (size_t)qn), STR("UNSIGNED-PAYLOAD"),
                     (int64_t)done.n);
        e = conn_request(c, &body, NULL, true, false, r);
        size_t at;
        if (e == 0 && r->status == 200 && str_find(buf_view(&c->text), STR("<Error"), &at)) r->status = 500;
    }
    buf_free(&done);
    return e;
}

static void one_multipart(struct conn *c)
{
    struct reply r = {0};
    uint64_t bytes = 0, id = PUT_IDS + ((uint64_t)c->index << 24) + c->puts;
    int64_t from = rt_now();
    int e = multipart(c, id, &bytes, &r);
    bool good = e == 0 && r.status == 200;
    if (good) c->puts++;
    count(c, BENCH_MULTIPART, from, e, &r, good, bytes);
}

bool work_one(struct conn *c, enum bench_op op)
{
    switch (op) {
    case BENCH_PUT:
        one_put(c);
        return true;
    case BENCH_GET:
        one_get(c, false);
        return true;
    case BENCH_HEAD:
        one_get(c, true);
        return true;
    case BENCH_LIST:
        if (c->b->o.delimiter)
            one_level(c);
        else
            one_list(c);
        return true;
    case BENCH_DELETE:
        return one_delete(c);
    case BENCH_MULTIPART:
        one_multipart(c);
        return true;
    case BENCH_OPS:
        break;
    }
    UNREACHABLE();
}

/* 503 means "not now": preparing waits and tries again, measured operations count it as an error. Any success
 * will do: a file server says 201 where S3 says 200. */
static bool insist(struct conn *c, uint64_t id, int (*call)(struct conn *, uint64_t, struct reply *))
{
    struct reply r;
    for (int tries = 0; tries < 20 && !c->b->stop && !c->b->gone; tries++) {
        int e = call(c, id, &r);
        if (e == -ECONNREFUSED) c->b->gone = true; /* the server ended: no use in trying key after key */
        if (e == 0 && r.status / 100 == 2) return true;
        if (e == 0 && r.status != 503) return false;
        rt_sleep(50 * RT_MS);
    }
    return false;
}

bool work_prepare(struct conn *c, uint64_t id)
{
    return insist(c, id, put_object);
}
bool work_remove(struct conn *c, uint64_t id)
{
    return insist(c, id, delete_object);
}

bool work_bucket(struct conn *c, char why[160])
{
    char path[300];
    struct reply r;
    sign_request(&c->signer, &c->head, "HEAD", bucket_path(c, path), STR(""), STR("UNSIGNED-PAYLOAD"), -1);
    int e = conn_request(c, NULL, NULL, false, true, &r);
    if (e == 0 && r.status == 200) return true;
    if (e == 0 && r.status == 404) {
        sign_request(&c->signer, &c->head, "PUT", bucket_path(c, path), STR(""), STR("UNSIGNED-PAYLOAD"), 0);
        e = conn_request(c, NULL, NULL, true, false, &r);
        if (e == 0 && r.status == 200) return true;
    }
    if (e < 0)
        snprintf(why, 160, "cannot reach it: %s", strerrordesc_np(-e));
    else
        snprintf(why, 160, "bucket: status %d %.*s", r.status, (int)(c->text.n < 110 ? c->text.n : 110),
                 c->text.p ? c->text.p : "");
    return false;
}
