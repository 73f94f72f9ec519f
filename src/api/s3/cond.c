/* Preconditions of reads, writes, deletes and copy sources. A date that cannot be read is no condition, as in
 * HTTP. */
#include "api/s3/s3.h"

static int64_t date_of(struct str v)
{
    int64_t ms;
    return v.p && time_parse_http(v, &ms) ? ms : 0;
}

err s3_read_cond(struct api_request *rq, struct obj_cond *c)
{
    *c = (struct obj_cond){
        .if_match = http_header(rq->x, "if-match"),
        .if_none_match = http_header(rq->x, "if-none-match"),
        .if_modified_since = date_of(http_header(rq->x, "if-modified-since")),
        .if_unmodified_since = date_of(http_header(rq->x, "if-unmodified-since")),
    };
    return ERR_OK;
}

/* If-None-Match takes ETags here, too; S3 itself knows "*" alone. */
err s3_write_cond(struct api_request *rq, struct obj_cond *c)
{
    static const char *const none[] = {"if-modified-since", "if-unmodified-since"};
    *c = (struct obj_cond){.if_match = http_header(rq->x, "if-match"),
                           .if_none_match = http_header(rq->x, "if-none-match")};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (http_has_header(rq->x, none[i])) return api_not_there(rq, str_c(none[i]));
    return ERR_OK;
}

err s3_delete_cond(struct api_request *rq, struct obj_cond *c)
{
    struct str size = api_header(rq, "x-amz-if-match-size");
    struct str time = api_header(rq, "x-amz-if-match-last-modified-time");
    *c = (struct obj_cond){.if_match = http_header(rq->x, "if-match")};
    if (size.p) {
        c->has_size = true;
        if (!str_to_u64(size, &c->size))
            return api_bad_argument(rq, "x-amz-if-match-size", size, "The size is not a number of bytes.");
    }
    if (time.p && !time_parse_http(time, &c->last_modified) && !time_parse_iso(time, &c->last_modified))
        return api_bad_argument(rq, "x-amz-if-match-last-modified-time", time,
                                "The time is not a valid date.");
    if (http_has_header(rq->x, "if-none-match")) return api_not_there(rq, STR("If-None-Match"));
    return ERR_OK;
}

err s3_source_cond(struct api_request *rq, struct obj_cond *c)
{
    *c = (struct obj_cond){
        .if_match = api_header(rq, "x-amz-copy-source-if-match"),
        .if_none_match = api_header(rq, "x-amz-copy-source-if-none-match"),
        .if_modified_since = date_of(api_header(rq, "x-amz-copy-source-if-modified-since")),
        .if_unmodified_since = date_of(api_header(rq, "x-amz-copy-source-if-unmodified-since")),
    };
    return ERR_OK;
}

static err failed(struct api_request *rq, err e, const struct obj_cond *c, const char *prefix)
{
    if (e != ERR_PRECONDITION_FAILED) return e;
    const char *which = c->if_match.p            ? "If-Match"
                        : c->if_none_match.p     ? "If-None-Match"
                        : c->if_unmodified_since ? "If-Unmodified-Since"
                        : c->if_modified_since   ? "If-Modified-Since"
                        : c->has_size            ? "x-amz-if-match-size"
                        : c->last_modified       ? "x-amz-if-match-last-modified-time"
                                                 : NULL;
    if (which) api_error_add(rq, "Condition", arena_fmt(rq->arena, "%s%s", prefix, which));
    return e;
}

err s3_cond_failed(struct api_request *rq, err e, const struct obj_cond *c)
{
    return failed(rq, e, c, "");
}

err s3_source_failed(struct api_request *rq, err e, const struct obj_cond *c)
{
    struct bucket_info info;
    if (e == ERR_ENTITY_TOO_LARGE)
        return api_error(
            rq, ERR_INVALID_REQUEST,
            "The specified copy source is larger than the maximum allowable size for a copy source: %llu",
            (unsigned long long)OBJ_PUT_MAX_SIZE);
    if (e == ERR_INVALID_REQUEST && rq->source.version_id.n)
        return api_error(rq, e,
                         "The source of a copy request may not specifically refer to a delete marker by "
                         "version id.");
    if (e == ERR_NO_SUCH_BUCKET)
        rq->source_missing = bucket_get(rq->objects, rq->arena, rq->bucket, &info) != ERR_NO_SUCH_BUCKET;
    return failed(rq, e, c, "x-amz-copy-source-");
}
