/* Parameters of the query, with the errors that AWS gives for bad ones. */
#include "api/s3/s3.h"

struct str s3_arg(const struct api_request *rq, const char *name)
{
    struct str v = STR_NONE;
    if (api_param(rq, name, &v) && !v.p) v = STR("");
    return v;
}

bool s3_lower_true(struct str v)
{
    return str_ieq(v, STR("true"));
}

err s3_arg_max(struct api_request *rq, const char *name, unsigned def, unsigned cap, unsigned *out)
{
    struct str v = s3_arg(rq, name);
    int64_t n;
    *out = def;
    if (v.n == 0) return ERR_OK;
    if (!str_to_i64(v, &n) || n > INT32_MAX || n < INT32_MIN)
        return api_bad_argument(
            rq, name, v, arena_fmt(rq->arena, "Provided %s not an integer or within integer range", name).p);
    if (n < 0)
        return api_bad_argument(
            rq, name, v,
            arena_fmt(rq->arena, "Argument %s must be an integer between 0 and 2147483647", name).p);
    *out = (uint64_t)n > cap ? cap : (unsigned)n;
    return ERR_OK;
}

err s3_arg_marker(struct api_request *rq, const char *name, unsigned *out)
{
    return s3_arg_max(rq, name, 0, INT32_MAX, out);
}

err s3_arg_url(struct api_request *rq, bool *url)
{
    struct str v = s3_arg(rq, "encoding-type");
    *url = v.n > 0;
    if (v.n == 0 || str_eq(v, STR("url"))) return ERR_OK;
    return api_bad_argument(rq, "encoding-type", v, "Invalid Encoding Method specified in Request");
}

err s3_arg_part_number(struct api_request *rq, unsigned *out)
{
    struct str v = s3_arg(rq, "partNumber");
    uint64_t n;
    if (str_to_u64(v, &n) && n >= 1 && n <= OBJ_PART_MAX_NUMBER) {
        *out = (unsigned)n;
        return ERR_OK;
    }
    return api_bad_argument(rq, "partNumber", v,
                            "Part number must be an integer between 1 and 10000, inclusive");
}

err s3_arg_version(struct api_request *rq, struct str *out)
{
    struct str v = s3_arg(rq, "versionId");
    *out = v;
    if (!v.p) return ERR_OK;
    if (v.n == 0) return api_bad_argument(rq, "versionId", v, "Version id cannot be the empty string");
    if (v.n > OBJ_VERSION_ID_MAX) return api_bad_argument(rq, "versionId", v, "Invalid version id specified");
    return ERR_OK;
}
