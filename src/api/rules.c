/* rules: which (action, resource) pairs a request needs. One rule a row, or one for rows that need the same.
 *
 * A rule looks at what changes the need: versionId, tagging and lock headers, the source of a copy. It never
 * reads the body; DeleteObjects asks again for each key before the key is touched.
 */
#include "api/table.h"

static void need(struct iam_needs *n, const char *action, struct str bucket, struct str key,
                 struct str version)
{
    if (n->n == IAM_NEEDS_MAX) return; /* no rule comes near it: unit tests walk the table */
    n->v[n->n++] = (struct iam_need){action, bucket, key, version};
}

static void need_bucket(struct api_request *rq, struct iam_needs *n, const char *action)
{
    need(n, action, rq->bucket, STR_NONE, STR_NONE);
}

static void need_object(struct api_request *rq, struct iam_needs *n, const char *action)
{
    need(n, action, rq->bucket, rq->key, STR_NONE);
}

/* The action on the version that ?versionId names, or on the current one. */
static void need_version(struct api_request *rq, struct iam_needs *n, const char *plain,
                         const char *versioned)
{
    struct str v = STR_NONE;
    bool has = api_param(rq, "versionId", &v);
    need(n, has ? versioned : plain, rq->bucket, rq->key, v);
}

static bool has_header(const struct api_request *rq, const char *name)
{
    return api_header(rq, name).p != NULL;
}

/* What headers of an upload ask for besides writing the object. */
static void need_for_headers(struct api_request *rq, struct iam_needs *n)
{
    static const char *const acl[] = {"x-amz-acl", "x-amz-grant-read", "x-amz-grant-read-acp",
                                      "x-amz-grant-write-acp", "x-amz-grant-full-control"};
    if (has_header(rq, "x-amz-tagging")) need_object(rq, n, "s3:PutObjectTagging");
    if (has_header(rq, "x-amz-object-lock-mode") || has_header(rq, "x-amz-object-lock-retain-until-date"))
        need_object(rq, n, "s3:PutObjectRetention");
    if (has_header(rq, "x-amz-object-lock-legal-hold")) need_object(rq, n, "s3:PutObjectLegalHold");
    for (size_t i = 0; i < sizeof acl / sizeof *acl; i++) {
        if (!has_header(rq, acl[i])) continue;
        need_object(rq, n, "s3:PutObjectAcl");
        break;
    }
}

static err need_source(struct api_request *rq, struct iam_needs *n)
{
    err e = api_parse_source(rq, api_header(rq, "x-amz-copy-source"));
    if (e) return e;
    const struct api_source *s = &rq->source;
    need(n, s->version_id.n ? "s3:GetObjectVersion" : "s3:GetObject", s->bucket, s->key, s->version_id);
    return ERR_OK;
}

/* ---- service and bucket ---- */

err api_rule_list_buckets(struct api_request *rq, struct iam_needs *n)
{
    (void)rq;
    need(n, "s3:ListAllMyBuckets", STR_NONE, STR_NONE, STR_NONE);
    return ERR_OK;
}

#define BUCKET_RULE(rule, action)                                                                            \
    err api_rule_##rule(struct api_request *rq, struct iam_needs *n)                                         \
    {                                                                                                        \
        need_bucket(rq, n, action);                                                                          \
        return ERR_OK;                                                                                       \
    }
BUCKET_RULE(create_bucket, "s3:CreateBucket")
BUCKET_RULE(delete_bucket, "s3:DeleteBucket")
BUCKET_RULE(list_bucket, "s3:ListBucket")
BUCKET_RULE(list_versions, "s3:ListBucketVersions")
BUCKET_RULE(list_uploads, "s3:ListBucketMultipartUploads")
BUCKET_RULE(get_bucket_location, "s3:GetBucketLocation")
BUCKET_RULE(get_bucket_versioning, "s3:GetBucketVersioning")
BUCKET_RULE(put_bucket_versioning, "s3:PutBucketVersioning")

/* Whether this identity may delete anything here; the handler asks once a key, with the key's own action. */
err api_rule_delete_objects(struct api_request *rq, struct iam_needs *n)
{
    need(n, "s3:DeleteObject", rq->bucket, STR("*"), STR_NONE);
    if (has_header(rq, "x-amz-bypass-governance-retention"))
        need(n, "s3:BypassGovernanceRetention", rq->bucket, STR("*"), STR_NONE);
    return ERR_OK;
}

void api_need_delete_key(const struct api_request *rq, struct str key, struct str version,
                         struct iam_needs *n)
{
    need(n, version.n ? "s3:DeleteObjectVersion" : "s3:DeleteObject", rq->bucket, key, version);
    if (has_header(rq, "x-amz-bypass-governance-retention"))
        need(n, "s3:BypassGovernanceRetention", rq->bucket, key, STR_NONE);
}

/* ---- object ---- */

err api_rule_put_object(struct api_request *rq, struct iam_needs *n)
{
    need_object(rq, n, "s3:PutObject");
    need_for_headers(rq, n);
    return ERR_OK;
}

err api_rule_copy_object(struct api_request *rq, struct iam_needs *n)
{
    need_object(rq, n, "s3:PutObject");
    need_for_headers(rq, n);
    return need_source(rq, n);
}

/* Only a signed request may choose the headers of its answer. */
static err anonymous_overrides(struct api_request *rq)
{
    if (!rq->who->anonymous) return ERR_OK;
    for (size_t i = 0; i < rq->nparams; i++)
        if (str_starts(rq->params[i].name, STR("response-")))
            return api_error(rq, ERR_INVALID_REQUEST,
                             "Request specific response headers cannot be used for anonymous GET requests.");
    return ERR_OK;
}

err api_rule_get_object(struct api_request *rq, struct iam_needs *n)
{
    need_version(rq, n, "s3:GetObject", "s3:GetObjectVersion");
    return anonymous_overrides(rq);
}

err api_rule_delete_object(struct api_request *rq, struct iam_needs *n)
{
    need_version(rq, n, "s3:DeleteObject", "s3:DeleteObjectVersion");
    if (has_header(rq, "x-amz-bypass-governance-retention"))
        need_object(rq, n, "s3:BypassGovernanceRetention");
    return ERR_OK;
}

err api_rule_get_object_attributes(struct api_request *rq, struct iam_needs *n)
{
    need_version(rq, n, "s3:GetObject", "s3:GetObjectVersion");
    need_version(rq, n, "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes");
    return ERR_OK;
}

#define TAGGING_RULE(verb, action)                                                                           \
    err api_rule_##verb##_object_tagging(struct api_request *rq, struct iam_needs *n)                        \
    {                                                                                                        \
        need_version(rq, n, "s3:" action "ObjectTagging", "s3:" action "ObjectVersionTagging");              \
        return ERR_OK;                                                                                       \
    }
TAGGING_RULE(get, "Get")
TAGGING_RULE(put, "Put")
TAGGING_RULE(delete, "Delete")

/* ---- multipart ---- */

err api_rule_create_upload(struct api_request *rq, struct iam_needs *n)
{
    need_object(rq, n, "s3:PutObject");
    need_for_headers(rq, n);
    return ERR_OK;
}

err api_rule_upload_part(struct api_request *rq, struct iam_needs *n)
{
    need_object(rq, n, "s3:PutObject");
    return ERR_OK;
}

err api_rule_upload_part_copy(struct api_request *rq, struct iam_needs *n)
{
    need_object(rq, n, "s3:PutObject");
    return need_source(rq, n);
}

err api_rule_complete_upload(struct api_request *rq, struct iam_needs *n)
{
    need_object(rq, n, "s3:PutObject");
    return ERR_OK;
}

err api_rule_abort_upload(struct api_request *rq, struct iam_needs *n)
{
    need_object(rq, n, "s3:AbortMultipartUpload");
    return ERR_OK;
}

err api_rule_list_parts(struct api_request *rq, struct iam_needs *n)
{
    need_object(rq, n, "s3:ListMultipartUploadParts");
    return ERR_OK;
}
