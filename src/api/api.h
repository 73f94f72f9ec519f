/* api: from an HTTP exchange to an answer, by way of the one table of operations (operations.def).
 *
 * route → authenticate (who) → the row's rule (what is needed) → iam (whether) → handler → object. A request
 * that matches no row is refused (NotImplemented for sub-resources S3 or COS know, MethodNotAllowed
 * otherwise); a row without actions is denied; nothing of the body is read, and no handler runs, before iam
 * said yes.
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
struct auth; /* auth/auth.h */
struct auth_identity;

/* One query parameter, decoded. */
struct api_param {
    struct str name, value;
    bool has_value; /* there was a '=' */
};

/* x-amz-copy-source, decoded once: what was authorised is what is read. */
struct api_source {
    struct str bucket, key, version_id;
};

#define API_EXTRAS_MAX 6

struct api_request {
    struct api *api;
    struct http_exchange *x;
    struct arena *arena;
    struct objects *objects;
    unsigned dialect;
    enum api_scope scope;
    enum api_op op;         /* API_OPS until routed */
    bool bucket_in_host;    /* virtual-host style */
    struct str bucket, key; /* decoded; the authorised key and the stored key are these same bytes */
    struct api_param *params;
    size_t nparams;
    bool
        query_auth; /* the query carries a signature: its x-amz-* parameters stand for headers (api_header) */
    struct api_source source; /* set by the rules of copies */
    bool source_missing;      /* the bucket that does not exist is the source's */
    const struct auth_identity *who;
    struct body *body;       /* the payload after aws-chunked decoding and hash checks; set by auth */
    int64_t payload_length;  /* decoded length, -1 unknown */
    struct str error_detail; /* <Message> of the error, n 0: the table's */
    struct obj_pair error_extra[API_EXTRAS_MAX]; /* further elements of the error document */
    unsigned nerror_extra;
    struct obj_pair
        kept[4]; /* headers that an error answer keeps (ETag of a 304, x-amz-delete-marker of a 404) */
    unsigned nkept;
    const char *bad_header; /* a response header that http refused: it is answered instead of the reply */
    err failed;             /* what was answered, for metrics and the access log */
    void *auth_state;       /* trailers and such; auth/auth.h */
};

/* The first parameter of that name; false when there is none. value may be NULL. */
bool api_param(const struct api_request *rq, const char *name, struct str *value);
/* The header of that lower-case name or, in a request signed in its query, the x-amz-* parameter that stands
 * for it; STR_NONE when there is neither. Everything about S3 reads headers through this one function, so
 * that routing, authorisation and handlers see the same value. */
struct str api_header(const struct api_request *rq, const char *name);
/* Set the error's text and return e, so that `return api_error(rq, ERR_X, "...")` reads well. */
err api_error(struct api_request *rq, err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Add an element to the error document; beyond API_EXTRAS_MAX they are left out. */
void api_error_add(struct api_request *rq, const char *name, struct str value);
/* ERR_INVALID_ARGUMENT with AWS's ArgumentName and ArgumentValue. */
err api_bad_argument(struct api_request *rq, const char *name, struct str value, const char *message);
/* ERR_NOT_IMPLEMENTED that names the header or parameter which asks for what is not there. */
err api_not_there(struct api_request *rq, struct str header);

struct api_options {
    struct rt *rt;
    struct objects *objects;
    struct auth *auth;         /* auth/auth.h */
    struct str region;         /* "us-east-1" */
    const struct str *domains; /* virtual-host style under these */
    size_t ndomains;
    /* Served before routing; returns false when the path is not its own (health, readiness, metrics). */
    bool (*internal)(void *arg, struct http_exchange *x);
    void *internal_arg;
    /* Called once an exchange after its answer left, for metrics and the access log; rq is NULL when the
     * exchange never became a request of the API (internal paths, framing errors). May be NULL. */
    void (*observe)(void *arg, const struct api_request *rq, const struct http_exchange *x);
    void *observe_arg;
};
/* Copies what it needs but objects, auth and rt. ERR_INTERNAL (with a log line) when the table contradicts
 * itself. */
err api_new(const struct api_options *o, struct api **out);
void api_free(struct api *a);
/* http_callbacks.handle, .refuse and .done, arg = the api. */
void api_handle(void *api, struct http_exchange *x);
void api_refuse(void *api, struct http_exchange *x, err e);
void api_done(void *api, struct http_exchange *x);

const char *api_op_name(enum api_op op); /* "Unknown" for API_OPS */
struct str api_region(const struct api *a);
struct auth *api_auth(const struct api *a);

#endif
