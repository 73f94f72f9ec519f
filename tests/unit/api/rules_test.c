/* The (action, resource) pairs of every row, exactly: what the policy engine is going to be asked. */
#include "api/table.h"
#include "unit/auth/fake_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define PAIRS_MAX 6

/* A pair is "action bucket key version"; what is absent is "-". */
static const struct {
    const char *request;
    enum api_op op;
    const char *pairs[PAIRS_MAX];
} table[] = {
    {"GET /", API_OP_LIST_BUCKETS, {"s3:ListAllMyBuckets - - -"}},
    {"PUT /bkt", API_OP_CREATE_BUCKET, {"s3:CreateBucket bkt - -"}},
    {"HEAD /bkt", API_OP_HEAD_BUCKET, {"s3:ListBucket bkt - -"}},
    {"DELETE /bkt", API_OP_DELETE_BUCKET, {"s3:DeleteBucket bkt - -"}},
    {"GET /bkt?location", API_OP_GET_BUCKET_LOCATION, {"s3:GetBucketLocation bkt - -"}},
    {"GET /bkt?versioning", API_OP_GET_BUCKET_VERSIONING, {"s3:GetBucketVersioning bkt - -"}},
    {"PUT /bkt?versioning", API_OP_PUT_BUCKET_VERSIONING, {"s3:PutBucketVersioning bkt - -"}},
    {"GET /bkt?prefix=a", API_OP_LIST_OBJECTS, {"s3:ListBucket bkt - -"}},
    {"GET /bkt?list-type=2", API_OP_LIST_OBJECTS_V2, {"s3:ListBucket bkt - -"}},
    {"GET /bkt?versions", API_OP_LIST_OBJECT_VERSIONS, {"s3:ListBucketVersions bkt - -"}},
    {"GET /bkt?uploads", API_OP_LIST_MULTIPART_UPLOADS, {"s3:ListBucketMultipartUploads bkt - -"}},
    {"POST /bkt?delete", API_OP_DELETE_OBJECTS, {"s3:DeleteObject bkt * -"}},
    {"POST /bkt?delete\nx-amz-bypass-governance-retention: true",
     API_OP_DELETE_OBJECTS,
     {"s3:DeleteObject bkt * -", "s3:BypassGovernanceRetention bkt * -"}},
    {"PUT /bkt/a/b", API_OP_PUT_OBJECT, {"s3:PutObject bkt a/b -"}},
    {"PUT /bkt/k\nx-amz-tagging: a=b",
     API_OP_PUT_OBJECT,
     {"s3:PutObject bkt k -", "s3:PutObjectTagging bkt k -"}},
    {"PUT /bkt/k\nx-amz-acl: private",
     API_OP_PUT_OBJECT,
     {"s3:PutObject bkt k -", "s3:PutObjectAcl bkt k -"}},
    {"PUT /bkt/k\nx-amz-grant-read: a\nx-amz-grant-full-control: a",
     API_OP_PUT_OBJECT,
     {"s3:PutObject bkt k -", "s3:PutObjectAcl bkt k -"}},
    {"PUT /bkt/k\nx-amz-object-lock-mode: GOVERNANCE\nx-amz-object-lock-retain-until-date: x",
     API_OP_PUT_OBJECT,
     {"s3:PutObject bkt k -", "s3:PutObjectRetention bkt k -"}},
    {"PUT /bkt/k\nx-amz-object-lock-legal-hold: ON",
     API_OP_PUT_OBJECT,
     {"s3:PutObject bkt k -", "s3:PutObjectLegalHold bkt k -"}},
    {"PUT /bkt/k\nx-amz-copy-source: /src/a%2Fb+c",
     API_OP_COPY_OBJECT,
     {"s3:PutObject bkt k -", "s3:GetObject src a/b_c -"}},
    {"PUT /bkt/k\nx-amz-copy-source: src/a?versionId=v1\nx-amz-tagging: a=b",
     API_OP_COPY_OBJECT,
     {"s3:PutObject bkt k -", "s3:PutObjectTagging bkt k -", "s3:GetObjectVersion src a v1"}},
    {"PUT /bkt/k\nx-amz-copy-source: src/a%3FversionId=v1",
     API_OP_COPY_OBJECT,
     {"s3:PutObject bkt k -", "s3:GetObject src a?versionId=v1 -"}},
    {"GET /bkt/k", API_OP_GET_OBJECT, {"s3:GetObject bkt k -"}},
    {"GET /bkt/k?partNumber=1", API_OP_GET_OBJECT, {"s3:GetObject bkt k -"}},
    {"GET /bkt/k?versionId=v1", API_OP_GET_OBJECT, {"s3:GetObjectVersion bkt k v1"}},
    {"GET /bkt/k?versionId=null", API_OP_GET_OBJECT, {"s3:GetObjectVersion bkt k null"}},
    {"HEAD /bkt/k", API_OP_HEAD_OBJECT, {"s3:GetObject bkt k -"}},
    {"HEAD /bkt/k?versionId=v1", API_OP_HEAD_OBJECT, {"s3:GetObjectVersion bkt k v1"}},
    {"DELETE /bkt/k", API_OP_DELETE_OBJECT, {"s3:DeleteObject bkt k -"}},
    {"DELETE /bkt/k?versionId=v1\nx-amz-bypass-governance-retention: true",
     API_OP_DELETE_OBJECT,
     {"s3:DeleteObjectVersion bkt k v1", "s3:BypassGovernanceRetention bkt k -"}},
    {"GET /bkt/k?attributes",
     API_OP_GET_OBJECT_ATTRIBUTES,
     {"s3:GetObject bkt k -", "s3:GetObjectAttributes bkt k -"}},
    {"GET /bkt/k?attributes&versionId=v1",
     API_OP_GET_OBJECT_ATTRIBUTES,
     {"s3:GetObjectVersion bkt k v1", "s3:GetObjectVersionAttributes bkt k v1"}},
    {"GET /bkt/k?tagging", API_OP_GET_OBJECT_TAGGING, {"s3:GetObjectTagging bkt k -"}},
    {"GET /bkt/k?tagging&versionId=v1", API_OP_GET_OBJECT_TAGGING, {"s3:GetObjectVersionTagging bkt k v1"}},
    {"PUT /bkt/k?tagging", API_OP_PUT_OBJECT_TAGGING, {"s3:PutObjectTagging bkt k -"}},
    {"PUT /bkt/k?tagging&versionId=v1", API_OP_PUT_OBJECT_TAGGING, {"s3:PutObjectVersionTagging bkt k v1"}},
    {"DELETE /bkt/k?tagging", API_OP_DELETE_OBJECT_TAGGING, {"s3:DeleteObjectTagging bkt k -"}},
    {"DELETE /bkt/k?tagging&versionId=v1",
     API_OP_DELETE_OBJECT_TAGGING,
     {"s3:DeleteObjectVersionTagging bkt k v1"}},
    {"POST /bkt/k?uploads", API_OP_CREATE_MULTIPART_UPLOAD, {"s3:PutObject bkt k -"}},
    {"POST /bkt/k?uploads\nx-amz-tagging: a=b\nx-amz-acl: private",
     API_OP_CREATE_MULTIPART_UPLOAD,
     {"s3:PutObject bkt k -", "s3:PutObjectTagging bkt k -", "s3:PutObjectAcl bkt k -"}},
    {"PUT /bkt/k?uploadId=u&partNumber=1", API_OP_UPLOAD_PART, {"s3:PutObject bkt k -"}},
    {"PUT /bkt/k?uploadId=u&partNumber=1\nx-amz-copy-source: /src/a",
     API_OP_UPLOAD_PART_COPY,
     {"s3:PutObject bkt k -", "s3:GetObject src a -"}},
    {"PUT /bkt/k?uploadId=u&partNumber=1\nx-amz-copy-source: /src/a?versionId=null",
     API_OP_UPLOAD_PART_COPY,
     {"s3:PutObject bkt k -", "s3:GetObjectVersion src a null"}},
    {"POST /bkt/k?uploadId=u", API_OP_COMPLETE_MULTIPART_UPLOAD, {"s3:PutObject bkt k -"}},
    {"DELETE /bkt/k?uploadId=u", API_OP_ABORT_MULTIPART_UPLOAD, {"s3:AbortMultipartUpload bkt k -"}},
    {"GET /bkt/k?uploadId=u", API_OP_LIST_PARTS, {"s3:ListMultipartUploadParts bkt k -"}},
};

static const struct auth_identity root = {.root = true};

static struct str or_dash(struct str s)
{
    return s.n ? s : STR("-");
}

/* Blanks separate; a blank inside is written '_'. */
static struct str pair_text(struct arena *a, const struct iam_need *n)
{
    struct str key = arena_dup(a, or_dash(n->key));
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] == ' ') ((char *)(uintptr_t)key.p)[i] = '_';
    return arena_fmt(a, "%s %.*s %.*s %.*s", n->action, STR_FMT(or_dash(n->bucket)), STR_FMT(key),
                     STR_FMT(or_dash(n->version_id)));
}

static struct api_request *request(struct arena *a, const char *text)
{
    struct api_request *rq = fake_request(a, arena_fmt(a, "%s\nHost: h\n\n", text));
    rq->nparams = 0;
    rq->who = &root;
    assert_int_equal(api_route(rq, NULL, 0), ERR_OK);
    return rq;
}

static void every_row_asks_for_exactly_its_pairs(void **state)
{
    bool seen[API_OPS] = {false};
    struct arena *a = arena_new(0);
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct iam_needs needs = {.n = 0};
        struct api_request *rq = request(a, table[i].request);
        if (rq->op != table[i].op) fail_msg("%s: routed to %s", table[i].request, api_op_name(rq->op));
        assert_int_equal(api_rows[rq->op].rule(rq, &needs), ERR_OK);
        unsigned want = 0;
        while (want < PAIRS_MAX && table[i].pairs[want]) want++;
        if (needs.n != want) fail_msg("%s: %u pairs", table[i].request, needs.n);
        for (unsigned k = 0; k < want; k++) {
            struct str got = pair_text(a, &needs.v[k]);
            if (!str_eq(got, str_c(table[i].pairs[k])))
                fail_msg("%s: asks for %.*s, not %s", table[i].request, STR_FMT(got), table[i].pairs[k]);
        }
        seen[rq->op] = true;
    }
    for (unsigned op = 0; op < API_OPS; op++)
        if (!seen[op]) fail_msg("no request of the table is %s", api_op_name((enum api_op)op));
    arena_free(a);
}

/* DeleteObjects asks again, a key at a time. */
static void each_key_of_a_batch_is_asked_for(void **state)
{
    struct arena *a = arena_new(0);
    struct iam_needs n = {.n = 0};
    (void)state;
    struct api_request *rq = request(a, "POST /bkt?delete");
    api_need_delete_key(rq, STR("k"), STR_NONE, &n);
    assert_int_equal(n.n, 1);
    assert_true(str_eq(pair_text(a, &n.v[0]), STR("s3:DeleteObject bkt k -")));
    n.n = 0;
    api_need_delete_key(rq, STR("k"), STR("v1"), &n);
    assert_int_equal(n.n, 1);
    assert_true(str_eq(pair_text(a, &n.v[0]), STR("s3:DeleteObjectVersion bkt k v1")));
    n.n = 0;
    rq = request(a, "POST /bkt?delete\nx-amz-bypass-governance-retention: true");
    api_need_delete_key(rq, STR("k"), STR("v1"), &n);
    assert_int_equal(n.n, 2);
    assert_true(str_eq(pair_text(a, &n.v[1]), STR("s3:BypassGovernanceRetention bkt k -")));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_asks_for_exactly_its_pairs),
        cmocka_unit_test(each_key_of_a_batch_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
