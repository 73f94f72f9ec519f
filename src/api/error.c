/* Rendering errors: one document for S3's rows, no body for HEAD and 304. Internal errors say only that they
 * are. */
#include "api/table.h"
#include "api/impl.h"
#include "base/codec.h"
#include "base/log.h"
#include "xml/xml.h"

static bool names_bucket(err e)
{
    return e == ERR_NO_SUCH_BUCKET || e == ERR_BUCKET_EXISTS || e == ERR_BUCKET_OWNED ||
           e == ERR_BUCKET_NOT_EMPTY;
}

static bool names_key(err e)
{
    return e == ERR_NO_SUCH_KEY || e == ERR_NO_SUCH_VERSION || e == ERR_METHOD_NOT_ALLOWED;
}

/* A document must stay readable whatever bytes the request had. */
static void elem(struct buf *b, const char *name, struct str value)
{
    xml_elem(b, name, utf8_valid(value) ? value : STR(""));
}

static void error_document(const struct api_request *rq, err e, struct str detail, struct buf *b)
{
    xml_begin_doc(b);
    xml_open(b, "Error");
    xml_elem(b, "Code", err_s3_code(e));
    xml_elem(b, "Message", detail.n && utf8_valid(detail) ? detail : err_message(e));
    for (unsigned i = 0; i < rq->nerror_extra; i++) {
        const struct obj_pair *p = &rq->error_extra[i];
        elem(b, p->name.p, p->value);
    }
    /* What a copy does not find is its source. */
    struct str key = rq->source.key.n && e != ERR_METHOD_NOT_ALLOWED ? rq->source.key : rq->key;
    if (names_key(e) && key.n) xml_elem(b, "Key", key);
    struct str bucket = rq->source_missing ? rq->source.bucket : rq->bucket;
    struct str id = STR_NONE;
    if (e == ERR_NO_SUCH_UPLOAD && api_param(rq, "uploadId", &id)) elem(b, "UploadId", id);
    if (e == ERR_INVALID_VERSION_ID) {
        bool own = !rq->source.version_id.n && api_param(rq, "versionId", &id);
        xml_elem_z(b, "ArgumentName", own ? "versionId" : "x-amz-copy-source");
        elem(b, "ArgumentValue", own ? id : rq->source.version_id);
    }
    if (names_bucket(e) && bucket.n) xml_elem(b, "BucketName", bucket);
    elem(b, "Resource", rq->x->path);
    xml_elem(b, "RequestId", rq->x->id);
    xml_elem(b, "HostId", api_host_id(rq->api));
    xml_close(b, "Error");
}

/* Errors of the table's internal part are for the log; the client learns that it may try again. */
static void log_internal(const struct api_request *rq, err e)
{
    if (err_status(e) < 500 || e == ERR_NOT_IMPLEMENTED || e == ERR_SLOW_DOWN) return;
    LOG_WARN("request failed", LF_S("request", rq->x->id), LF_Z("operation", api_op_name(rq->op)),
             LF_Z("error", err_name(e)));
}

void api_fail(struct api_request *rq, err e)
{
    struct http_exchange *x = rq->x;
    rq->failed = e;
    log_internal(rq, e);
    if (x->status != 0) { /* an answer is under way: only cutting it tells the client */
        http_close_after(x);
        return;
    }
    int status = err_status(e);
    bool empty = x->method == HTTP_HEAD || status == 304;
    if (status != 304) http_unset_all(x);
    api_common_headers(rq);
    /* No internal detail reaches a client. */
    struct str detail = status >= 500 && e != ERR_NOT_IMPLEMENTED ? STR_NONE : rq->error_detail;
    for (unsigned i = 0; i < rq->nkept; i++) http_set(x, rq->kept[i].name.p, rq->kept[i].value);
    if (status != 304) http_set_z(x, "content-type", "application/xml");
    struct buf b;
    buf_init(&b, 256 << 10);
    if (!empty) error_document(rq, e, detail, &b);
    err sent = http_reply(x, status, b.overflow ? STR_NONE : buf_view(&b));
    if (sent) LOG_DEBUG("the answer did not leave", LF_S("request", x->id), LF_Z("error", err_name(sent)));
    buf_free(&b);
}
