/* Any request head through the router, its row's rule and the copy source: what comes out obeys the bounds
 * that the layers below rely on.
 */
#include "../unit/auth/fake_request.h"
#include "api/table.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str domains[] = {{"s3.test", 7}};
    static const struct auth_identity root = {.root = true};
    if (size > 16384) return 0;
    struct arena *a = arena_new(0);
    struct api_request *rq = ARENA_NEW(a, struct api_request);
    struct iam_needs needs = {.n = 0};
    rq->x = fake_exchange(a, str_of((const char *)data, size));
    rq->arena = a;
    rq->op = API_OPS;
    rq->dialect = API_S3;
    rq->who = &root;
    err e = api_route(rq, domains, 1);
    if (e) {
        ASSERT(rq->op == API_OPS);
        ASSERT(err_status(e) == 400 || err_status(e) == 405 || err_status(e) == 501);
    } else {
        ASSERT(rq->op < API_OPS && api_rows[rq->op].scope == rq->scope &&
               api_rows[rq->op].method == rq->x->method);
        ASSERT((rq->scope == API_SERVICE) == (rq->bucket.n == 0) &&
               (rq->scope == API_OBJECT) == (rq->key.n > 0));
        ASSERT(rq->scope == API_SERVICE || bucket_name_valid(rq->bucket));
        ASSERT(rq->key.n <= OBJ_KEY_MAX && utf8_valid(rq->key) &&
               !memchr(rq->key.n ? rq->key.p : "x", 0, rq->key.n));
        e = api_rows[rq->op].rule(rq, &needs);
        if (!e) ASSERT(needs.n > 0 && needs.n <= IAM_NEEDS_MAX);
        if (!e && rq->source.key.n)
            ASSERT(bucket_name_valid(rq->source.bucket) && rq->source.key.n <= OBJ_KEY_MAX);
    }
    arena_free(a);
    return 0;
}
