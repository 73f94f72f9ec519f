/* The way of a request: route, who, whether, handler. Nothing else calls a handler. */
#include "api/impl.h"
#include "api/table.h"
#include "auth/auth.h"
#include "base/assert.h"
#include "base/codec.h"
#include "base/log.h"
#include "sys/sys.h"

#define API_MAGIC    0x0a910a91u
#define HOST_ID_SIZE 36

struct api {
    unsigned magic;
    struct api_options o;
    struct arena *arena; /* copies of the options */
    char host_id[(HOST_ID_SIZE + 2) / 3 * 4 + 1];
};

err api_new(const struct api_options *o, struct api **out)
{
    char why[160] = "";
    if (api_table_check(api_rows, API_OPS, why)) {
        LOG_ERROR("the table of operations contradicts itself", LF_Z("why", why));
        return ERR_INTERNAL;
    }
    struct arena *arena = arena_new(1 << 20);
    struct api *a = arena ? ARENA_NEW(arena, struct api) : NULL;
    if (!a) {
        if (arena) arena_free(arena);
        return ERR_NO_MEMORY;
    }
    *a = (struct api){.magic = API_MAGIC, .o = *o, .arena = arena};
    a->o.region = arena_dup(arena, o->region);
    struct str *domains = ARENA_ARRAY(arena, struct str, o->ndomains + 1);
    for (size_t i = 0; domains && i < o->ndomains; i++) domains[i] = arena_dup(arena, o->domains[i]);
    a->o.domains = domains;
    uint8_t id[HOST_ID_SIZE];
    sys->random(id, sizeof id);
    base64_encode(id, sizeof id, a->host_id);
    if (arena_overflowed(arena)) {
        arena_free(arena);
        return ERR_NO_MEMORY;
    }
    *out = a;
    return ERR_OK;
}

void api_free(struct api *a)
{
    if (!a) return;
    CHECK_MAGIC(a, API_MAGIC);
    a->magic = 0;
    arena_free(a->arena);
}

struct str api_region(const struct api *a)
{
    return a->o.region;
}

struct auth *api_auth(const struct api *a)
{
    return a->o.auth;
}

struct str api_host_id(const struct api *a)
{
    return str_c(a->host_id);
}

void api_common_headers(struct api_request *rq)
{
    http_set(rq->x, "x-amz-request-id", rq->x->id);
    http_set(rq->x, "x-amz-id-2", api_host_id(rq->api));
}

static struct api_request *request_new(struct api *a, struct http_exchange *x)
{
    struct api_request *rq = ARENA_NEW(x->arena, struct api_request);
    if (!rq) return NULL;
    rq->api = a;
    rq->x = x;
    rq->arena = x->arena;
    rq->objects = a->o.objects;
    rq->dialect = API_S3;
    rq->op = API_OPS;
    rq->body = x->body;
    rq->payload_length = x->content_length;
    x->user = rq;
    return rq;
}

/* x-amz-expected-bucket-owner: the account that the caller believes to own the bucket. */
static err check_owner(struct api_request *rq, const char *header, struct str bucket)
{
    struct str want = api_header(rq, header);
    struct bucket_info info;
    if (!want.p) return ERR_OK;
    err e = bucket_get(rq->objects, rq->arena, bucket, &info);
    if (e) return e;
    const struct auth_identity *owner = auth_identity_of(rq->api->o.auth, info.owner);
    return owner && str_eq(owner->account, want) ? ERR_OK : ERR_ACCESS_DENIED;
}

static err check_owners(struct api_request *rq)
{
    if (rq->scope == API_SERVICE || rq->op == API_OP_CREATE_BUCKET) return ERR_OK;
    err e = check_owner(rq, "x-amz-expected-bucket-owner", rq->bucket);
    if (!e && rq->source.bucket.n)
        e = check_owner(rq, "x-amz-source-expected-bucket-owner", rq->source.bucket);
    return e;
}

/* The root of one account is nobody in another's buckets. What does not exist is for the handler to miss. */
static err check_foreign(struct api_request *rq, const struct iam_needs *needs)
{
    if (!auth_many_accounts(rq->api->o.auth) || rq->op == API_OP_CREATE_BUCKET) return ERR_OK;
    for (unsigned i = 0; i < needs->n; i++) {
        struct bucket_info info;
        if (needs->v[i].bucket.n == 0) continue;
        err e = bucket_get(rq->objects, rq->arena, needs->v[i].bucket, &info);
        if (e == ERR_NO_SUCH_BUCKET) continue;
        if (e) return e;
        if (!str_eq(info.owner, rq->who->canonical_id)) return ERR_ACCESS_DENIED;
    }
    return ERR_OK;
}

/* Reads do not queue behind writes, which wait for the disk anyway. */
static bool changes(const struct http_exchange *x)
{
    return x->method != HTTP_GET && x->method != HTTP_HEAD;
}

static err request_run(struct api *a, struct api_request *rq)
{
    struct iam_needs needs = {.n = 0};
    err e = api_route(rq, a->o.domains, a->o.ndomains);
    if (!e) e = auth_who(a->o.auth, rq);
    if (!e) e = api_rows[rq->op].rule(rq, &needs);
    if (!e) e = iam_allow(rq->who, &needs);
    if (!e) e = check_foreign(rq, &needs);
    if (!e) e = api_refuse_absent(rq);
    if (!e) e = check_owners(rq);
    if (!e) {
        api_common_headers(rq);
        bool was = rt_set_patient(changes(rq->x));
        e = api_rows[rq->op].handler(rq);
        rt_set_patient(was);
    }
    return !e && arena_overflowed(rq->arena) && rq->x->status == 0 ? ERR_NO_MEMORY : e;
}

void api_handle(void *api, struct http_exchange *x)
{
    struct api *a = api;
    CHECK_MAGIC(a, API_MAGIC);
    if (a->o.internal && a->o.internal(a->o.internal_arg, x)) return;
    struct api_request *rq = request_new(a, x);
    if (!rq) {
        http_close_after(x);
        http_reply(x, err_status(ERR_NO_MEMORY), STR_NONE);
        return;
    }
    err e = request_run(a, rq);
    if (e == ERR_CONTENT_SHA256_MISMATCH) auth_payload_explain(rq);
    if (e) api_fail(rq, e);
    if (rq->body != x->body) body_close(rq->body);
}

void api_refuse(void *api, struct http_exchange *x, err e)
{
    struct api *a = api;
    CHECK_MAGIC(a, API_MAGIC);
    struct api_request *rq = x->user ? x->user : request_new(a, x);
    if (rq)
        api_fail(rq, e);
    else
        http_reply(x, err_status(e), STR_NONE);
}

void api_done(void *api, struct http_exchange *x)
{
    struct api *a = api;
    CHECK_MAGIC(a, API_MAGIC);
    if (a->o.observe) a->o.observe(a->o.observe_arg, x->user, x);
}
