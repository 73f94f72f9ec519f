/* What handlers, rules and auth read from a request, and how they say what is wrong with it. */
#include "api/api.h"
#include "api/table.h"

#include <stdarg.h>
#include <stdio.h>

bool api_param(const struct api_request *rq, const char *name, struct str *value)
{
    struct str want = str_c(name);
    for (size_t i = 0; i < rq->nparams; i++) {
        if (!str_eq(rq->params[i].name, want)) continue;
        if (value) *value = rq->params[i].value;
        return true;
    }
    return false;
}

struct str api_header(const struct api_request *rq, const char *name)
{
    struct str v = http_header(rq->x, name);
    if (v.p || !rq->query_auth || strncmp(name, "x-amz-", 6) != 0) return v;
    struct str want = str_c(name);
    for (size_t i = 0; i < rq->nparams; i++)
        if (str_ieq(rq->params[i].name, want)) return rq->params[i].value;
    return STR_NONE;
}

err api_error(struct api_request *rq, err e, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) n = 0;
    if ((size_t)n >= sizeof text) n = (int)sizeof text - 1;
    rq->error_detail = arena_dup(rq->arena, str_of(text, (size_t)n));
    return e;
}

void api_error_add(struct api_request *rq, const char *name, struct str value)
{
    if (rq->nerror_extra == API_EXTRAS_MAX) return;
    rq->error_extra[rq->nerror_extra++] = (struct obj_pair){str_c(name), value};
}

err api_bad_argument(struct api_request *rq, const char *name, struct str value, const char *message)
{
    api_error_add(rq, "ArgumentName", str_c(name));
    api_error_add(rq, "ArgumentValue", value);
    return api_error(rq, ERR_INVALID_ARGUMENT, "%s", message);
}

err api_not_there(struct api_request *rq, struct str header)
{
    api_error_add(rq, "Header", header);
    return api_error(rq, ERR_NOT_IMPLEMENTED,
                     "A header or query you provided (%.*s) implies functionality that is not implemented.",
                     (int)(header.n < 200 ? header.n : 200), header.p);
}
