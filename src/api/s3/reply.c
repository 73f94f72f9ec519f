/* Answers: documents, empty replies, and the elements that several documents share. */
#include "api/s3/s3.h"

#define DOC_MAX ((size_t)32 << 20)

void s3_set(struct api_request *rq, const char *name, struct str value)
{
    if (http_set(rq->x, name, value) && !rq->bad_header) rq->bad_header = name;
}

/* A header that cannot be sent (it holds CR or LF) is an error of the one who asked for it. */
static err check_headers(struct api_request *rq)
{
    if (!rq->bad_header) return ERR_OK;
    return api_error(rq, ERR_INVALID_ARGUMENT,
                     "The value of the header %s holds characters that no header may have.", rq->bad_header);
}

void s3_doc(struct buf *b, const char *root)
{
    buf_init(b, DOC_MAX);
    xml_begin_doc(b);
    xml_open_attrs(b, root, S3_XMLNS);
}

err s3_reply_doc(struct api_request *rq, struct buf *b)
{
    err e = b->overflow ? ERR_NO_MEMORY : check_headers(rq);
    if (!e) {
        s3_set(rq, "content-type", STR("application/xml"));
        http_reply(rq->x, 200, buf_view(b)); /* an answer that did not leave is http's to count */
    }
    buf_free(b);
    return e;
}

err s3_reply_empty(struct api_request *rq, int status)
{
    err e = check_headers(rq);
    if (!e) http_reply(rq->x, status, STR_NONE);
    return e;
}

struct str s3_quoted(struct arena *a, struct str etag)
{
    char *p = arena_alloc_raw(a, etag.n + 2);
    if (!p) return STR_NONE;
    p[0] = p[etag.n + 1] = '"';
    if (etag.n) memcpy(p + 1, etag.p, etag.n);
    return str_of(p, etag.n + 2);
}

struct str s3_http_date(struct arena *a, int64_t ms)
{
    char text[TIME_HTTP_SIZE];
    time_http(ms, text);
    return arena_dup(a, str_c(text));
}

void s3_xml_owner(struct api_request *rq, struct buf *b, const char *element, struct str canonical_id)
{
    const struct auth_identity *who = auth_identity_of(api_auth(rq->api), canonical_id);
    xml_open(b, element);
    xml_elem(b, "ID", canonical_id);
    if (who) xml_elem(b, "DisplayName", who->display_name);
    xml_close(b, element);
}

void s3_xml_time(struct buf *b, const char *element, int64_t ms)
{
    xml_elem_time(b, element, ms - ms % 1000);
}

void s3_xml_etag(struct buf *b, struct str etag)
{
    xml_element_quoted(b, STR("ETag"), etag);
}

void s3_xml_name(struct buf *b, const char *element, struct str s, bool url)
{
    if (!url) {
        xml_elem(b, element, s);
        return;
    }
    xml_open(b, element);
    list_encode(b, s);
    xml_close(b, element);
}

struct str s3_storage_class(struct str stored)
{
    return stored.n ? stored : STR("STANDARD");
}
