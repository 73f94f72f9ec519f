/* What the API of S3 lets a client ask for and this server has not yet. A header is listed here until a row
 * handles it. */
#include "api/table.h"

static err check_acl(struct api_request *rq, struct str name, struct str v)
{
    static const char *const known[] = {"public-read",   "public-read-write", "authenticated-read",
                                        "aws-exec-read", "bucket-owner-read", "log-delivery-write"};
    if (str_eq(v, STR("private")) || str_eq(v, STR("bucket-owner-full-control"))) return ERR_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(v, str_c(known[i]))) return api_not_there(rq, name);
    return api_bad_argument(rq, "x-amz-acl", v, "The canned ACL is not one that S3 knows.");
}

static err check_one(struct api_request *rq, struct str name, struct str v)
{
    static const char *const prefixes[] = {
        "x-amz-server-side-encryption", "x-amz-copy-source-server-side-encryption",
        "x-amz-object-lock-",           "x-amz-grant-",
        "x-amz-write-offset-bytes",     "x-amz-rename-source",
    };
    if (str_eq(name, STR("x-amz-acl"))) return check_acl(rq, name, v);
    if (str_eq(name, STR("x-amz-object-ownership")) && !str_eq(v, STR("BucketOwnerEnforced")))
        return api_not_there(rq, name);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (str_starts(name, str_c(prefixes[i]))) return api_not_there(rq, name);
    if (str_eq(name, STR("x-amz-bucket-object-lock-enabled")) && !str_ieq(v, STR("false")))
        return api_not_there(rq, name);
    return ERR_OK;
}

err api_refuse_absent(struct api_request *rq)
{
    for (size_t i = 0; i < rq->x->nheaders; i++) {
        const struct http_header *h = &rq->x->headers[i];
        if (!str_starts(h->name, STR("x-amz-"))) continue;
        err e = check_one(rq, h->name, h->value);
        if (e) return e;
    }
    for (size_t i = 0; rq->query_auth && i < rq->nparams; i++) {
        const struct api_param *p = &rq->params[i];
        if (p->name.n < 6 || !str_ieq(str_slice(p->name, 0, 6), STR("x-amz-"))) continue;
        char lower[64];
        size_t n = p->name.n < sizeof lower ? p->name.n : sizeof lower;
        for (size_t k = 0; k < n; k++)
            lower[k] = p->name.p[k] >= 'A' && p->name.p[k] <= 'Z' ? (char)(p->name.p[k] + 32) : p->name.p[k];
        struct str name = arena_dup(rq->arena, str_of(lower, n));
        err e = name.p ? check_one(rq, name, p->value) : ERR_NO_MEMORY;
        if (e) return e;
    }
    return ERR_OK;
}
