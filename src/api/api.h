/* api: from an HTTP exchange to an answer, by way of the one table of operations (operations.def).
 *
 * route → authenticate (who) → the row's rule (what is needed) → iam (whether) → handler → object. A request that matches
 * no row is refused (NotImplemented for sub-resources S3 or COS know, MethodNotAllowed otherwise); a row without actions
 * is denied; nothing of the body is read, and no handler runs, before iam said yes.
 */
#ifndef API_API_H
#define API_API_H

#include "http/http.h"
#include "object/object.h"

enum api_scope { API_SERVICE, API_BUCKET, API_OBJECT };
#define API_S3  1u
#define API_COS 2u

enum api_op {
#define OP(id, name, method, scope, dialects, select, rule, handler) API_OP_##id,
#include "api/operations.def"
#undef OP
    API_OPS
};

struct api;
struct auth_identity; /* auth/auth.h */

/* One query parameter, decoded. */
struct api_param { struct str name, value; bool has_value; };

struct api_request {
    struct api *api;
    struct http_exchange *x;
    struct arena *arena;
    struct objects *objects;
    unsigned dialect;
    enum api_scope scope;
    enum api_op op;          /* API_OPS until routed */
    struct str bucket, key;  /* decoded; the authorised key and the stored key are these same bytes */
    struct api_param *params;
    size_t nparams;
    const struct auth_identity *who;
    struct body *body;       /* the payload after aws-chunked decoding and hash checks; set by auth */
    int64_t payload_length;  /* decoded length, -1 unknown */
    struct str error_detail; /* extra <Message> for the error, n 0: the table's */
    struct obj_pair error_extra[4]; /* further elements of the error document */
    unsigned nerror_extra;
    err failed;              /* what was answered, for metrics and the access log */
    void *auth_state;        /* trailers and such; auth/auth.h */
};

bool api_param(const struct api_request *rq, const char *name, struct str *value);

struct api_options {
    struct rt *rt;
    struct objects *objects;
    struct auth *auth;            /* auth/auth.h */
    struct str region;            /* "us-east-1" */
    const struct str *domains;    /* virtual-host style under these */
    size_t ndomains;
    /* Served before routing; returns false when the path is not its own (health, readiness, metrics). */
    bool (*internal)(void *arg, struct http_exchange *x);
    void *internal_arg;
};
err api_new(const struct api_options *o, struct api **out);
void api_free(struct api *a);
/* http_callbacks.handle, .refuse and .done, arg = the api. */
void api_handle(void *api, struct http_exchange *x);
void api_refuse(void *api, struct http_exchange *x, err e);
void api_done(void *api, struct http_exchange *x);

const char *api_op_name(enum api_op op);

#endif
