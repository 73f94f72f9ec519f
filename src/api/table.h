/* The table of operations as data, and what the router makes of a request. Private to api. */
#ifndef API_TABLE_H
#define API_TABLE_H

#include "api/api.h"
#include "iam/iam.h"

/* A rule yields the (action, resource) pairs of a request. It may refuse what it cannot read (a bad copy
 * source). */
typedef err api_rule(struct api_request *rq, struct iam_needs *needs);
/* A handler answers and returns ERR_OK, or returns the error that api renders. Once an answer was begun it
 * returns ERR_OK. */
typedef err api_handler(struct api_request *rq);

struct api_row {
    const char *name;
    enum http_method method;
    enum api_scope scope;
    unsigned dialects;
    const char *select;
    api_rule *rule;
    api_handler *handler;
};
extern const struct api_row api_rows[API_OPS];

/* ERR_INTERNAL when two rows cannot be told apart or a row lacks a rule or a handler; why names it. */
err api_table_check(const struct api_row *rows, size_t n, char why[160]);

/* Fill scope, bucket, key, params and op from the exchange. domains: virtual-host style under these. */
err api_route(struct api_request *rq, const struct str *domains, size_t ndomains);

/* What one key of DeleteObjects needs, besides what the row's rule asked. */
void api_need_delete_key(const struct api_request *rq, struct str key, struct str version,
                         struct iam_needs *n);

/* Names that S3's rules allow but that this server keeps to itself or AWS reserves. */
bool api_bucket_reserved(struct str name);

/* x-amz-copy-source → rq->source. */
err api_parse_source(struct api_request *rq, struct str raw);

/* Headers that ask for what this server has not yet (encryption, locks, ACLs …): 501 naming the header, on
 * every row, so that none is ever dropped in silence. */
err api_refuse_absent(struct api_request *rq);

/* Answer with an error. An error that comes after the answer was begun only closes the connection. */
void api_fail(struct api_request *rq, err e);

#define OP(id, name, method, scope, dialects, select, rule, handler) api_rule api_rule_##rule;
#include "api/operations.def"
#undef OP
#define OP(id, name, method, scope, dialects, select, rule, handler) api_handler handler;
#include "api/operations.def"
#undef OP

#endif
