/* GetObject and HeadObject: one function, the body aside. */
#include "api/s3/s3.h"
#include "base/log.h"

/* An error keeps the headers that a client needs to understand it. */
static void keep(struct api_request *rq, const char *name, struct str value)
{
    if (rq->nkept < sizeof rq->kept / sizeof *rq->kept)
        rq->kept[rq->nkept++] = (struct obj_pair){str_c(name), value};
}

static err get_failed(struct api_request *rq, err e, const struct obj_get_in *in,
                      const struct obj_get_out *out)
{
    const struct obj_info *i = &out->info;
    switch (e) {
    case ERR_NO_SUCH_KEY:
    case ERR_METHOD_NOT_ALLOWED:
        if (!i->delete_marker) break;
        keep(rq, "x-amz-delete-marker", STR("true"));
        if (i->version_id.n) keep(rq, "x-amz-version-id", i->version_id);
        if (e == ERR_METHOD_NOT_ALLOWED) {
            keep(rq, "allow", STR("DELETE"));
            api_error_add(rq, "Method", rq->x->method_name);
            api_error_add(rq, "ResourceType", STR("DeleteMarker"));
        }
        break;
    case ERR_NOT_MODIFIED:
        s3_set_object(rq, i);
        break;
    case ERR_INVALID_RANGE:
        api_error_add(rq, "RangeRequested", in->range);
        if (i->etag.n)
            api_error_add(rq, "ActualObjectSize", arena_fmt(rq->arena, "%llu", (unsigned long long)i->size));
        break;
    case ERR_INVALID_PART_NUMBER:
        api_error_add(rq, "PartNumberRequested", arena_fmt(rq->arena, "%u", in->part_number));
        api_error_add(rq, "ActualPartCount", arena_fmt(rq->arena, "%u", i->parts ? i->parts : 1));
        break;
    case ERR_NO_SUCH_VERSION:
        api_error_add(rq, "VersionId", in->version_id);
        break;
    default:
        break;
    }
    return s3_cond_failed(rq, e, &in->cond);
}

static err read_args(struct api_request *rq, struct obj_get_in *in)
{
    *in = (struct obj_get_in){.bucket = rq->bucket,
                              .key = rq->key,
                              .head = rq->x->method == HTTP_HEAD,
                              .range = http_header(rq->x, "range"),
                              .if_range = http_header(rq->x, "if-range")};
    err e = s3_arg_version(rq, &in->version_id);
    if (!e) e = s3_read_cond(rq, &in->cond);
    if (e || !api_param(rq, "partNumber", NULL)) return e;
    if (in->range.p)
        return api_error(rq, ERR_INVALID_REQUEST,
                         "Cannot specify both Range header and partNumber query parameter");
    return s3_arg_part_number(rq, &in->part_number);
}

static void set_range(struct api_request *rq, const struct obj_get_out *out)
{
    unsigned long long first = out->first, last = out->first + out->length - 1, size = out->info.size;
    s3_set(rq, "content-range", arena_fmt(rq->arena, "bytes %llu-%llu/%llu", first, last, size));
}

static void set_headers(struct api_request *rq, const struct obj_get_in *in, const struct obj_get_out *out)
{
    s3_set_object(rq, &out->info);
    if (out->partial && out->length) set_range(rq, out);
    if (in->part_number && out->part_count) http_set_u64(rq->x, "x-amz-mp-parts-count", out->part_count);
    if (!str_ieq(api_header(rq, "x-amz-checksum-mode"), STR("ENABLED"))) return;
    if (in->part_number && out->info.parts)
        s3_set_checksums(rq, &out->part_sums, true);
    else if (!out->partial || in->part_number)
        s3_set_checksums(rq, &out->info.sums, true);
}

err s3_get_object(struct api_request *rq)
{
    struct obj_get_in in;
    struct obj_get_out out = {.body = NULL};
    err e = read_args(rq, &in);
    if (e) return e;
    e = obj_get(rq->objects, rq->arena, &in, &out);
    if (e) return get_failed(rq, e, &in, &out);
    set_headers(rq, &in, &out);
    if (rq->bad_header) {
        body_close(out.body);
        return api_bad_argument(rq, rq->bad_header, STR_NONE,
                                "A header value holds characters that no header may have.");
    }
    err sent = http_reply_body(rq->x, out.partial ? 206 : 200, out.body, (int64_t)out.length);
    body_close(out.body);
    if (sent) {
        rq->failed = sent;
        LOG_INFO("a body broke off", LF_S("request", rq->x->id), LF_Z("error", err_name(sent)));
    }
    return ERR_OK;
}

err s3_head_object(struct api_request *rq)
{
    return s3_get_object(rq);
}
