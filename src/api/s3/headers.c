/* The headers that describe an object, and what response-* parameters make of them. */
#include "api/s3/s3.h"

void s3_set_version(struct api_request *rq, struct str version_id)
{
    if (version_id.n) s3_set(rq, "x-amz-version-id", version_id);
}

void s3_set_new_version(struct api_request *rq, struct str version_id)
{
    if (!str_eq(version_id, STR("null"))) s3_set_version(rq, version_id);
}

static void set_content(struct api_request *rq, const char *header, const char *override, struct str stored)
{
    struct str v;
    if (!api_param(rq, override, &v) || v.n == 0) v = stored;
    if (v.n) s3_set(rq, header, v);
}

/* What is not ASCII goes out as one encoded word of RFC 2047, as in S3: headers are ASCII. Bytes that are not
 * UTF-8 are taken for Latin-1. */
static struct str ascii(struct arena *a, struct str v)
{
    size_t i = 0;
    while (i < v.n && (uint8_t)v.p[i] < 0x80) i++;
    if (i == v.n) return v;
    struct str utf8 = v;
    if (!utf8_valid(v)) {
        char *p = arena_alloc_raw(a, 2 * v.n);
        size_t n = 0;
        for (size_t k = 0; p && k < v.n; k++) {
            uint8_t c = (uint8_t)v.p[k];
            if (c >= 0x80) p[n++] = (char)(0xc0 | c >> 6);
            p[n++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
        }
        utf8 = str_of(p, n);
    }
    char *text = utf8.p ? arena_alloc_raw(a, base64_size(utf8.n) + 1) : NULL;
    if (!text) return STR_NONE;
    base64_encode(utf8.p, utf8.n, text);
    return arena_fmt(a, "=?UTF-8?B?%s?=", text);
}

static void set_user(struct api_request *rq, const struct obj_meta *m)
{
    char name[11 + OBJ_USER_META_MAX + 1] = "x-amz-meta-";
    for (size_t i = 0; i < m->nuser; i++) {
        struct str n = str_slice(m->user[i].name, 0, OBJ_USER_META_MAX);
        if (n.n) memcpy(name + 11, n.p, n.n);
        name[11 + n.n] = 0;
        s3_set(rq, name, ascii(rq->arena, m->user[i].value));
    }
}

void s3_set_object(struct api_request *rq, const struct obj_info *i)
{
    const struct obj_meta *m = &i->meta;
    if (i->etag.n) s3_set(rq, "etag", s3_quoted(rq->arena, i->etag));
    s3_set(rq, "last-modified", s3_http_date(rq->arena, i->modified_ms));
    s3_set_version(rq, i->version_id);
    set_content(rq, "content-type", "response-content-type",
                m->content_type.n ? m->content_type : STR("binary/octet-stream"));
    set_content(rq, "cache-control", "response-cache-control", m->cache_control);
    set_content(rq, "content-disposition", "response-content-disposition", m->content_disposition);
    set_content(rq, "content-encoding", "response-content-encoding", m->content_encoding);
    set_content(rq, "content-language", "response-content-language", m->content_language);
    set_content(rq, "expires", "response-expires", m->expires);
    s3_set(rq, "accept-ranges", STR("bytes"));
    set_user(rq, m);
    if (m->website_redirect.n) s3_set(rq, "x-amz-website-redirect-location", m->website_redirect);
    if (m->storage_class.n && !str_eq(m->storage_class, STR("STANDARD")))
        s3_set(rq, "x-amz-storage-class", m->storage_class);
    if (m->ntags) http_set_u64(rq->x, "x-amz-tagging-count", m->ntags);
}
