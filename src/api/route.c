/* route: an exchange to a row of the table.
 *
 * The host says whether the bucket is in it; bucket and key are split at raw slashes and decoded once. Dot
 * segments are bytes like others: no path of a file system is ever made of a key. A query parameter is a
 * selector (some row's `select` names it), plain (an argument of operations), or a sub-resource that S3 knows
 * and this server has not: 501. What has no value and is none of them is taken for a sub-resource too, so
 * that an unknown one is never answered by a listing.
 */
#include "api/table.h"
#include "base/codec.h"

#define MAX_PARAMS 100
#define HOST_MAX   255

/* Sub-resources of S3; those that rows select are found there first. */
static const char *const sub_resources[] = {
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "append",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "replication-metrics",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploads",
    "versioning",
    "versions",
    "website",
};

/* Arguments that may come without a value and select nothing. */
static const char *const plain_params[] = {
    "bucket-region",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "partNumber",
    "prefix",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
    "versionId",
    "x-id",
};

static bool listed(const char *const *list, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == name.n && memcmp(list[i], name.p, name.n) == 0) return true;
    return false;
}
#define LISTED(list, name) listed(list, sizeof list / sizeof *list, name)

bool api_bucket_reserved(struct str name)
{
    static const char *const prefixes[] = {"xn--", "sthree-", "amzn-s3-demo-", "ingot-internal-"};
    static const char *const suffixes[] = {"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (str_starts(name, str_c(prefixes[i]))) return true;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (str_ends(name, str_c(suffixes[i]))) return true;
    return false;
}

/* The bucket in the host, lower-case; n 0 in path style. */
static struct str host_bucket(struct api_request *rq, const struct str *domains, size_t ndomains)
{
    struct str host = rq->x->host;
    size_t at;
    if (host.n == 0 || host.n > HOST_MAX || host.p[0] == '[') return STR_NONE;
    if (str_find(host, STR(":"), &at)) host.n = at;
    for (size_t i = 0; i < ndomains; i++) {
        struct str d = domains[i];
        if (d.n == 0 || host.n < d.n + 2 || host.p[host.n - d.n - 1] != '.') continue;
        if (!str_ieq(str_slice(host, host.n - d.n, host.n), d)) continue;
        struct str b = arena_dup(rq->arena, str_slice(host, 0, host.n - d.n - 1));
        for (size_t k = 0; b.p && k < b.n; k++) {
            char *c = (char *)b.p + k;
            if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
        }
        return b;
    }
    return STR_NONE;
}

static err route_path(struct api_request *rq, const struct str *domains, size_t ndomains)
{
    struct str rest = str_slice(rq->x->path, 1, rq->x->path.n);
    rq->bucket = host_bucket(rq, domains, ndomains);
    bool in_host = rq->bucket_in_host = rq->bucket.n > 0;
    struct str raw = STR_NONE;
    if (!in_host) raw = str_cut(&rest, '/');
    if (!in_host && raw.n == 0 && !rest.p) {
        rq->scope = API_SERVICE;
        return ERR_OK;
    }
    if (!in_host && !uri_decode(rq->arena, raw, true, &rq->bucket)) return ERR_INVALID_URI;
    if (rest.n && !uri_decode(rq->arena, rest, true, &rq->key)) return ERR_INVALID_URI;
    rq->scope = rq->key.n ? API_OBJECT : API_BUCKET;
    if (!bucket_name_valid(rq->bucket) || api_bucket_reserved(rq->bucket)) {
        api_error_add(rq, "BucketName", rq->bucket);
        return ERR_INVALID_BUCKET_NAME;
    }
    if (rq->key.n > OBJ_KEY_MAX) {
        api_error_add(rq, "Size", arena_fmt(rq->arena, "%zu", rq->key.n));
        api_error_add(rq, "MaxSizeAllowed", arena_fmt(rq->arena, "%d", OBJ_KEY_MAX));
        return ERR_KEY_TOO_LONG;
    }
    return ERR_OK;
}

/* Parameters that only a signed query has: their presence, not their validity, makes the request one of that
 * kind. */
static bool signs_query(struct str name)
{
    return str_eq(name, STR("X-Amz-Signature")) || str_eq(name, STR("X-Amz-Algorithm")) ||
           str_eq(name, STR("X-Amz-Credential"));
}

static err route_query(struct api_request *rq)
{
    struct str rest = rq->x->query;
    size_t n = 0;
    for (size_t i = 0; i < rest.n; i++) n += rest.p[i] == '&';
    if (rest.n == 0) return ERR_OK;
    if (++n > MAX_PARAMS)
        return api_error(rq, ERR_INVALID_ARGUMENT, "The request has too many query parameters.");
    rq->params = ARENA_ARRAY(rq->arena, struct api_param, n);
    if (!rq->params) return ERR_NO_MEMORY;
    while (rest.n) {
        struct str value = str_cut(&rest, '&');
        if (value.n == 0) continue;
        struct str name = str_cut(&value, '=');
        struct api_param *p = &rq->params[rq->nparams++];
        p->has_value = value.p != NULL;
        if (!form_decode(rq->arena, name, &p->name) || !utf8_valid(p->name)) return ERR_INVALID_URI;
        if (p->has_value && (!form_decode(rq->arena, value, &p->value) || !utf8_valid(p->value)))
            return ERR_INVALID_URI;
        if (signs_query(p->name)) rq->query_auth = true;
    }
    return ERR_OK;
}

/* ---- choosing the row ---- */

static bool cond_holds(const struct api_request *rq, struct str cond)
{
    char name[64];
    bool header = cond.p[0] == '@';
    if (header) cond = str_slice(cond, 1, cond.n);
    if (cond.n >= sizeof name) return false;
    memcpy(name, cond.p, cond.n);
    name[cond.n] = 0;
    return header ? api_header(rq, name).p != NULL : api_param(rq, name, NULL);
}

/* The number of conditions when all hold, else -1. */
static int row_matches(const struct api_request *rq, const struct api_row *r)
{
    int n = 0;
    struct str rest = str_c(r->select);
    while (rest.n) {
        if (!cond_holds(rq, str_cut(&rest, '&'))) return -1;
        n++;
    }
    return n;
}

static bool row_selects(const struct api_row *r, struct str param)
{
    struct str rest = str_c(r->select);
    while (rest.n)
        if (str_eq(str_cut(&rest, '&'), param)) return true;
    return false;
}

static bool row_applies(const struct api_request *rq, const struct api_row *r)
{
    return r->scope == rq->scope && (r->dialects & rq->dialect);
}

enum param_kind { PARAM_FREE, PARAM_SELECTS, PARAM_OTHER_METHOD, PARAM_ABSENT };

static enum param_kind param_kind(const struct api_request *rq, const struct api_param *p)
{
    bool other = false;
    for (unsigned i = 0; i < API_OPS; i++) {
        if (!row_applies(rq, &api_rows[i]) || !row_selects(&api_rows[i], p->name)) continue;
        if (api_rows[i].method == rq->x->method) return PARAM_SELECTS;
        other = true;
    }
    if (LISTED(plain_params, p->name)) return PARAM_FREE;
    if (other) return PARAM_OTHER_METHOD;
    if (LISTED(sub_resources, p->name)) return PARAM_ABSENT;
    if (p->value.n == 0 && !(p->name.n > 6 && str_ieq(str_slice(p->name, 0, 6), STR("x-amz-"))) &&
        !str_starts(p->name, STR("response-")))
        return PARAM_ABSENT;
    return PARAM_FREE;
}

/* The methods of the scope's rows, as HTTP wants them said with a 405. */
static struct str allowed_methods(struct api_request *rq)
{
    static const struct {
        enum http_method method;
        const char *name;
    } all[] = {{HTTP_GET, "GET"},
               {HTTP_HEAD, "HEAD"},
               {HTTP_PUT, "PUT"},
               {HTTP_POST, "POST"},
               {HTTP_DELETE, "DELETE"}};
    struct str list = STR("");
    for (size_t m = 0; m < sizeof all / sizeof *all; m++) {
        bool some = false;
        for (unsigned i = 0; i < API_OPS && !some; i++)
            some = row_applies(rq, &api_rows[i]) && api_rows[i].method == all[m].method;
        if (some) list = arena_fmt(rq->arena, "%.*s%s%s", STR_FMT(list), list.n ? ", " : "", all[m].name);
    }
    return list;
}

static err method_not_allowed(struct api_request *rq)
{
    static const char *const resources[] = {"SERVICE", "BUCKET", "OBJECT"};
    rq->kept[rq->nkept++] = (struct obj_pair){STR("allow"), allowed_methods(rq)};
    api_error_add(rq, "Method", rq->x->method_name);
    api_error_add(rq, "ResourceType", str_c(resources[rq->scope]));
    return ERR_METHOD_NOT_ALLOWED;
}

/* A header that selects another row must not go unseen beside this one. */
static err check_headers(struct api_request *rq, const struct api_row *best)
{
    for (unsigned i = 0; best && i < API_OPS; i++) {
        if (!row_applies(rq, &api_rows[i]) || api_rows[i].method != rq->x->method) continue;
        struct str rest = str_c(api_rows[i].select);
        while (rest.n) {
            struct str cond = str_cut(&rest, '&');
            if (cond.n == 0 || cond.p[0] != '@' || row_selects(best, cond) || !cond_holds(rq, cond)) continue;
            api_error_add(rq, "ArgumentName", str_slice(cond, 1, cond.n));
            return api_error(rq, ERR_INVALID_ARGUMENT,
                             "The header belongs to another operation than the query parameters do.");
        }
    }
    return ERR_OK;
}

/* Sub-resources of a bucket that were asked of a key, in S3's words. */
static err misplaced(struct api_request *rq, struct str name)
{
    if (rq->scope != API_OBJECT || rq->x->method != HTTP_GET) return ERR_OK;
    if (str_eq(name, STR("versions")))
        return api_error(rq, ERR_INVALID_REQUEST,
                         "There is no such thing as the ?versions sub-resource for a key");
    if (str_eq(name, STR("uploads")))
        return api_error(rq, ERR_INVALID_REQUEST,
                         "Key is not expected for the GET method ?uploads subresource");
    return ERR_OK;
}

/* A part without its upload: S3 has its own words for it. */
static err check_part(struct api_request *rq)
{
    if (rq->scope != API_OBJECT || rq->x->method != HTTP_PUT || !api_param(rq, "partNumber", NULL) ||
        api_param(rq, "uploadId", NULL))
        return ERR_OK;
    return api_bad_argument(rq, "partNumber", STR("partNumber"),
                            "This operation does not accept partNumber without uploadId");
}

/* Every parameter must be one that this row, or any operation, understands. */
static err check_params(struct api_request *rq, const struct api_row *best)
{
    err e = check_part(rq);
    for (size_t i = 0; i < rq->nparams && !e; i++) {
        const struct api_param *p = &rq->params[i];
        switch (param_kind(rq, p)) {
        case PARAM_FREE:
            break;
        case PARAM_ABSENT:
            e = misplaced(rq, p->name);
            return e ? e : api_not_there(rq, p->name);
        case PARAM_OTHER_METHOD:
            e = misplaced(rq, p->name);
            return e ? e : method_not_allowed(rq);
        case PARAM_SELECTS:
            if (best && row_selects(best, p->name)) break;
            api_error_add(rq, "ResourceType", p->name);
            return api_error(rq, ERR_INVALID_ARGUMENT,
                             "The query parameters of the request contradict each other.");
        }
    }
    return e;
}

static err route_row(struct api_request *rq)
{
    const struct api_row *best = NULL;
    int most = -1;
    for (unsigned i = 0; i < API_OPS; i++) {
        const struct api_row *r = &api_rows[i];
        if (!row_applies(rq, r) || r->method != rq->x->method) continue;
        int n = row_matches(rq, r);
        if (n <= most) continue;
        most = n;
        best = r;
    }
    if (rq->nparams) {
        err e = check_params(rq, best);
        if (!e) e = check_headers(rq, best);
        if (e) return e;
    }
    if (!best) return method_not_allowed(rq);
    rq->op = (enum api_op)(best - api_rows);
    return ERR_OK;
}

err api_route(struct api_request *rq, const struct str *domains, size_t ndomains)
{
    err e = route_path(rq, domains, ndomains);
    if (!e) e = route_query(rq);
    if (!e) e = route_row(rq);
    return e;
}
