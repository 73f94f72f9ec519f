/* Operations over HTTP: requests signed as S3 clients sign them, on the simulated network; clients that go
 * away in the middle. What an answer says is in wire_answer.c. */
#include "wire.h"
#include "api/api.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/codec.h"
#include "http/http.h"
#include "sys/sys.h"

#include <errno.h>

#define ACCESS      "SIMULATEDKEY"
#define SECRET      "simulated-secret"
#define REGION      "us-east-1"
#define HOST        "127.0.0.1:9000"
#define WAIT_NS     (600 * RT_SEC)
#define HEADERS_MAX 12

/* ---- the server ---- */

struct server_parts {
    struct auth *auth;
    struct api *api;
    struct http_server *http;
    struct rt_addr addr;
};

void server_start(struct world *w)
{
    struct auth_key key = {.access_key = STR(ACCESS),
                           .secret_key = STR(SECRET),
                           .who = {.canonical_id = STR("c1"),
                                   .display_name = STR("root"),
                                   .account = STR("000000000001"),
                                   .root = true}};
    struct server_parts *s = calloc(1, sizeof *s);
    struct rt_addr want;
    ASSERT(s);
    ASSERT(auth_new(&(struct auth_options){.keys = &key, .nkeys = 1, .region = STR(REGION)}, &s->auth) ==
           ERR_OK);
    struct api_options o = {.rt = w->rt, .objects = w->objects, .auth = s->auth, .region = STR(REGION)};
    ASSERT(api_new(&o, &s->api) == ERR_OK);
    struct http_callbacks cb = {api_handle, api_refuse, api_done, s->api};
    ASSERT(http_server_new(w->rt, &(struct http_limits){0}, &cb, &s->http) == ERR_OK);
    ASSERT(rt_addr_parse(STR(HOST), &want) == ERR_OK);
    ASSERT(http_server_listen(s->http, &want, NULL, &s->addr) == ERR_OK);
    w->server = s;
}

void server_stop(struct world *w)
{
    http_server_free(w->server->http);
    api_free(w->server->api);
    auth_free(w->server->auth);
}

/* ---- a request ---- */

struct header {
    const char *name; /* lower-case, in order */
    char value[300];
};
struct request {
    const char *method;
    char path[128];
    struct buf query, body;
    struct header signed_[HEADERS_MAX]; /* host and x-amz-*, sorted by name */
    unsigned nsigned;
    struct header plain[4];
    unsigned nplain;
    struct buf head;
};

static void sign(struct request *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void sign(struct request *r, const char *name, const char *fmt, ...)
{
    va_list ap;
    unsigned at = r->nsigned++;
    ASSERT(r->nsigned <= HEADERS_MAX);
    while (at > 0 && strcmp(r->signed_[at - 1].name, name) > 0) {
        r->signed_[at] = r->signed_[at - 1];
        at--;
    }
    r->signed_[at].name = name;
    va_start(ap, fmt);
    vsnprintf(r->signed_[at].value, sizeof r->signed_[at].value, fmt, ap);
    va_end(ap);
}

static void plain(struct request *r, const char *name, const char *value)
{
    ASSERT(r->nplain < sizeof r->plain / sizeof *r->plain);
    struct header *h = &r->plain[r->nplain++];
    h->name = name;
    snprintf(h->value, sizeof h->value, "%s", value);
}

/* Parameters come in the order of their names. */
static void param(struct request *r, const char *name, const char *value)
{
    if (r->query.n) buf_char(&r->query, '&');
    buf_fmt(&r->query, "%s=", name);
    for (const char *p = value; *p; p++)
        if ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
            strchr("-._~", *p))
            buf_char(&r->query, *p);
        else
            buf_fmt(&r->query, "%%%02X", (unsigned char)*p);
}

static void param_number(struct request *r, const char *name, unsigned n)
{
    char text[16];
    snprintf(text, sizeof text, "%u", n);
    param(r, name, text);
}

static void set_method(struct request *r, const char *method, const struct op *op, bool object)
{
    r->method = method;
    snprintf(r->path, sizeof r->path, "/%s%s%s", op->bucket, object ? "/" : "", object ? op->key : "");
}

static void version_param(struct request *r, const struct op *op)
{
    if (op->version[0]) param(r, "versionId", op->version);
}

static void extras(struct request *r, const struct op *op, bool tags)
{
    if (op->meta) sign(r, "x-amz-meta-m", "%u", op->meta);
    if (op->tag && tags) sign(r, "x-amz-tagging", "t=%u", op->tag);
}

static void cond(struct request *r, const struct op *op)
{
    if (op->cond == COND_NEW) plain(r, "if-none-match", "*");
    if (op->cond == COND_SAME) plain(r, "if-match", op->cond_etag);
}

static void source(struct request *r, const struct op *op)
{
    sign(r, "x-amz-copy-source", "/%s/%s%s%s", op->bucket, op->src_key,
         op->src_version[0] ? "?versionId=" : "", op->src_version);
    if (op->kind == OP_UPLOAD_PART_COPY && op->ranged)
        sign(r, "x-amz-copy-source-range", "bytes=%llu-%llu", (unsigned long long)op->first,
             (unsigned long long)op->last);
}

/* ---- what each operation sends ---- */

static void make_get(struct request *r, const struct op *op)
{
    set_method(r, op->kind == OP_HEAD ? "HEAD" : "GET", op, true);
    if (op->kind == OP_ATTRIBUTES) param(r, "attributes", "");
    if (op->kind == OP_GET_TAGS) param(r, "tagging", "");
    version_param(r, op);
    if (op->kind == OP_ATTRIBUTES) sign(r, "x-amz-object-attributes", "ETag,ObjectSize");
    char range[80];
    snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)op->first,
             (unsigned long long)op->last);
    if (op->ranged) plain(r, "range", range);
}

static void make_put(struct request *r, const struct op *op)
{
    set_method(r, "PUT", op, true);
    if (op->kind == OP_UPLOAD_PART || op->kind == OP_UPLOAD_PART_COPY) {
        param_number(r, "partNumber", op->part);
        param(r, "uploadId", op->upload_id);
    }
    if (op->kind == OP_COPY || op->kind == OP_UPLOAD_PART_COPY) {
        source(r, op);
        if (op->kind == OP_COPY && op->replace) {
            sign(r, "x-amz-metadata-directive", "REPLACE");
            sign(r, "x-amz-tagging-directive", "REPLACE");
            extras(r, op, true);
        }
        return;
    }
    if (op->kind == OP_PUT) extras(r, op, true);
    if (op->kind == OP_PUT) cond(r, op);
    buf_add(&r->body, op->body->p, op->body->n);
}

static void make_tags(struct request *r, const struct op *op)
{
    set_method(r, op->kind == OP_PUT_TAGS ? "PUT" : "DELETE", op, true);
    param(r, "tagging", "");
    version_param(r, op);
    if (op->kind == OP_PUT_TAGS)
        buf_fmt(&r->body, "<Tagging><TagSet><Tag><Key>t</Key><Value>%u</Value></Tag></TagSet></Tagging>",
                op->tag);
}

static void make_delete_many(struct request *r, const struct op *op)
{
    struct hash_value md5;
    char text[40];
    set_method(r, "POST", op, false);
    param(r, "delete", "");
    buf_cstr(&r->body, "<Delete>");
    for (unsigned i = 0; i < op->nmany; i++) {
        buf_fmt(&r->body, "<Object><Key>%s</Key>", key_names[op->many[i]]);
        if (op->many_version[i][0]) buf_fmt(&r->body, "<VersionId>%s</VersionId>", op->many_version[i]);
        buf_cstr(&r->body, "</Object>");
    }
    buf_cstr(&r->body, "</Delete>");
    hash_once(HASH_MD5, r->body.p, r->body.n, &md5);
    base64_encode(md5.b, 16, text);
    text[base64_size(16)] = 0;
    plain(r, "content-md5", text);
}

static void make_complete(struct request *r, const struct op *op)
{
    set_method(r, "POST", op, true);
    param(r, "uploadId", op->upload_id);
    cond(r, op);
    buf_cstr(&r->body, "<CompleteMultipartUpload>");
    for (unsigned i = 0; i < op->nparts; i++)
        buf_fmt(&r->body, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", op->parts[i],
                op->part_etags[i]);
    buf_cstr(&r->body, "</CompleteMultipartUpload>");
}

static void make_upload(struct request *r, const struct op *op)
{
    bool creates = op->kind == OP_CREATE_UPLOAD;
    set_method(r, creates ? "POST" : op->kind == OP_ABORT ? "DELETE" : "GET", op, true);
    param(r, creates ? "uploads" : "uploadId", creates ? "" : op->upload_id);
    if (creates) extras(r, op, false);
}

static void make_list(struct request *r, const struct op *op)
{
    set_method(r, "GET", op, false);
    bool v2 = op->kind == OP_LIST_V2, versions = op->kind == OP_LIST_VERSIONS;
    if (v2 && op->token[0]) param(r, "continuation-token", op->token);
    if (op->delimiter) param(r, "delimiter", op->delimiter);
    if (versions && op->after[0]) param(r, "key-marker", op->after);
    if (v2) param(r, "list-type", "2");
    if (op->kind == OP_LIST_V1 && op->after[0]) param(r, "marker", op->after);
    param_number(r, op->kind == OP_LIST_UPLOADS ? "max-uploads" : "max-keys", op->max);
    param(r, "prefix", op->prefix);
    if (v2 && op->after[0] && !op->token[0]) param(r, "start-after", op->after);
    if (op->kind == OP_LIST_UPLOADS) param(r, "uploads", "");
    if (versions && op->after_id[0]) param(r, "version-id-marker", op->after_id);
    if (versions) param(r, "versions", "");
}

static void make_bucket(struct request *r, const struct op *op)
{
    static const char *const methods[OP_KINDS] = {
        [OP_LIST_BUCKETS] = "GET",    [OP_HEAD_BUCKET] = "HEAD",   [OP_LOCATION] = "GET",
        [OP_GET_VERSIONING] = "GET",  [OP_PUT_VERSIONING] = "PUT", [OP_CREATE_BUCKET] = "PUT",
        [OP_DELETE_BUCKET] = "DELETE"};
    set_method(r, methods[op->kind], op, false);
    if (op->kind == OP_LIST_BUCKETS) snprintf(r->path, sizeof r->path, "/");
    if (op->kind == OP_LOCATION) param(r, "location", "");
    if (op->kind == OP_GET_VERSIONING || op->kind == OP_PUT_VERSIONING) param(r, "versioning", "");
    if (op->kind == OP_PUT_VERSIONING)
        buf_fmt(&r->body, "<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>",
                op->to == VERSIONING_ENABLED ? "Enabled" : "Suspended");
}

static void make_delete(struct request *r, const struct op *op)
{
    set_method(r, "DELETE", op, true);
    version_param(r, op);
}

static void make(struct request *r, const struct op *op)
{
    static void (*const makers[OP_KINDS])(struct request *, const struct op *) = {
        [OP_PUT] = make_put,
        [OP_GET] = make_get,
        [OP_HEAD] = make_get,
        [OP_DELETE] = make_delete,
        [OP_DELETE_MANY] = make_delete_many,
        [OP_COPY] = make_put,
        [OP_ATTRIBUTES] = make_get,
        [OP_GET_TAGS] = make_get,
        [OP_PUT_TAGS] = make_tags,
        [OP_DELETE_TAGS] = make_tags,
        [OP_CREATE_UPLOAD] = make_upload,
        [OP_UPLOAD_PART] = make_put,
        [OP_UPLOAD_PART_COPY] = make_put,
        [OP_COMPLETE] = make_complete,
        [OP_ABORT] = make_upload,
        [OP_LIST_PARTS] = make_upload,
        [OP_LIST_V1] = make_list,
        [OP_LIST_V2] = make_list,
        [OP_LIST_VERSIONS] = make_list,
        [OP_LIST_UPLOADS] = make_list,
    };
    if (makers[op->kind])
        makers[op->kind](r, op);
    else
        make_bucket(r, op);
}

/* ---- the signature ---- */

static void day_key(const char *day, uint8_t key[32])
{
    uint8_t a[32], b[32];
    hmac_sha256(STR("AWS4" SECRET), str_of(day, 8), a);
    hmac_sha256(str_of((char *)a, 32), STR(REGION), b);
    hmac_sha256(str_of((char *)b, 32), STR("s3"), a);
    hmac_sha256(str_of((char *)a, 32), STR("aws4_request"), key);
}

static void finish_head(struct request *r, bool hashed)
{
    char amz[TIME_AMZ_SIZE], hex[65] = "UNSIGNED-PAYLOAD", signature[65];
    struct hash_value sum;
    struct buf canonical, names, text;
    uint8_t key[32], mac[32];
    buf_init(&canonical, 0), buf_init(&names, 0), buf_init(&text, 0), buf_init(&r->head, 0);
    time_amz(sys->real_ms(), amz);
    hash_once(HASH_SHA256, r->body.p, r->body.n, &sum);
    if (hashed) hex_encode(sum.b, 32, hex);
    sign(r, "host", "%s", HOST);
    sign(r, "x-amz-date", "%s", amz);
    sign(r, "x-amz-content-sha256", "%s", hex);
    buf_fmt(&canonical, "%s\n%s\n%.*s\n", r->method, r->path, (int)r->query.n, r->query.n ? r->query.p : "");
    for (unsigned i = 0; i < r->nsigned; i++) {
        buf_fmt(&canonical, "%s:%s\n", r->signed_[i].name, r->signed_[i].value);
        buf_fmt(&names, "%s%s", i ? ";" : "", r->signed_[i].name);
    }
    buf_fmt(&canonical, "\n%.*s\n%s", (int)names.n, names.p, hex);
    hash_once(HASH_SHA256, canonical.p, canonical.n, &sum);
    hex_encode(sum.b, 32, signature);
    buf_fmt(&text, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/s3/aws4_request\n%s", amz, amz, REGION, signature);
    day_key(amz, key);
    hmac_sha256(str_of((char *)key, 32), buf_view(&text), mac);
    hex_encode(mac, 32, signature);
    buf_fmt(&r->head, "%s %s%s%.*s HTTP/1.1\r\n", r->method, r->path, r->query.n ? "?" : "", (int)r->query.n,
            r->query.n ? r->query.p : "");
    for (unsigned i = 0; i < r->nsigned; i++)
        buf_fmt(&r->head, "%s: %s\r\n", r->signed_[i].name, r->signed_[i].value);
    for (unsigned i = 0; i < r->nplain; i++)
        buf_fmt(&r->head, "%s: %s\r\n", r->plain[i].name, r->plain[i].value);
    if (r->body.n || strcmp(r->method, "PUT") == 0 || strcmp(r->method, "POST") == 0)
        buf_fmt(&r->head, "content-length: %zu\r\n", r->body.n);
    buf_fmt(&r->head,
            "authorization: AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/s3/aws4_request, SignedHeaders=%.*s, "
            "Signature=%s\r\n\r\n",
            ACCESS, amz, REGION, (int)names.n, names.p, signature);
    buf_free(&canonical), buf_free(&names), buf_free(&text);
}

/* ---- the connection ---- */

void wire_close(struct client *c)
{
    if (c->wire && c->wire->sock) rt_sock_close(c->wire->sock);
    if (c->wire) c->wire->sock = NULL;
}

static bool open_wire(struct client *c)
{
    if (!c->wire) {
        c->wire = calloc(1, sizeof *c->wire);
        ASSERT(c->wire);
    }
    if (c->wire->sock) return true;
    int rc = rt_connect(&c->w->server->addr, rt_now() + WAIT_NS, &c->wire->sock);
    if (rc < 0) c->wire->sock = NULL;
    return rc >= 0;
}

/* n bytes of head and body, as one stream. */
static bool send_bytes(struct client *c, const struct request *r, size_t n)
{
    size_t head = n < r->head.n ? n : r->head.n;
    struct iovec v[2] = {{r->head.p, head}, {r->body.p, n - head}};
    return rt_writev(c->wire->sock, v, n > head ? 2 : 1, rt_now() + WAIT_NS, false) >= 0;
}

static bool exchange(struct client *c, const struct request *r, const struct op *op, struct answer *a)
{
    size_t all = r->head.n + r->body.n;
    if (!send_bytes(c, r, op->leave == LEAVE_SENDING ? below(c, (unsigned)all) + 1 : all)) return false;
    if (op->leave == LEAVE_SENDING || op->leave == LEAVE_WAITING) {
        rt_sleep((int64_t)below(c, 3000000));
        return false;
    }
    struct reply reply;
    wire_reply_init(&reply, strcmp(r->method, "HEAD") == 0, &a->body);
    while (!reply.done) {
        char *chunk = c->wire->rx;
        ssize_t n = rt_read(c->wire->sock, chunk, sizeof c->wire->rx, rt_now() + WAIT_NS);
        if (n <= 0 || !wire_reply_feed(&reply, chunk, (size_t)n)) return false;
        if (op->leave == LEAVE_READING) return false;
    }
    if (!reply.keep) wire_close(c);
    wire_reply_read(&reply, op, a);
    return true;
}

void wire_send(struct client *c, const struct op *op, struct answer *a)
{
    struct request *r = calloc(1, sizeof *r); /* fibers' stacks are small */
    ASSERT(r);
    buf_init(&r->query, 0), buf_init(&r->body, 0);
    make(r, op);
    finish_head(r, one_in(c, 2));
    a->lost = !open_wire(c) || !exchange(c, r, op, a);
    if (a->lost) wire_close(c);
    buf_free(&r->query), buf_free(&r->body), buf_free(&r->head);
    free(r);
}
