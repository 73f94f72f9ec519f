/* ListBuckets. */
#include "api/s3/s3.h"

#define BUCKETS_MAX 10000

static err max_buckets(struct api_request *rq, unsigned *out)
{
    struct str v = s3_arg(rq, "max-buckets");
    uint64_t n;
    *out = BUCKETS_MAX;
    if (!v.p) return ERR_OK;
    if (!str_to_u64(v, &n) || n == 0 || n > BUCKETS_MAX)
        return api_bad_argument(rq, "max-buckets", v,
                                "Argument max-buckets must be an integer between 1 and 10000");
    *out = (unsigned)n;
    return ERR_OK;
}

static void render(struct api_request *rq, struct buf *b, const struct bucket_list_in *in,
                   const struct bucket_list_out *out)
{
    s3_doc(b, "ListAllMyBucketsResult");
    s3_xml_owner(rq, b, "Owner", rq->who->canonical_id);
    xml_open(b, "Buckets");
    for (size_t i = 0; i < out->n; i++) {
        const struct bucket_info *k = &out->buckets[i];
        xml_open(b, "Bucket");
        xml_elem(b, "Name", k->name);
        s3_xml_time(b, "CreationDate", k->created_ms);
        xml_elem(b, "BucketRegion", k->region);
        xml_close(b, "Bucket");
    }
    xml_close(b, "Buckets");
    if (out->truncated && out->n) {
        struct s3_token t = {.after = out->buckets[out->n - 1].name};
        xml_elem(b, "ContinuationToken", s3_token_make(rq->arena, rq->who->canonical_id, &t));
    }
    if (in->prefix.n) xml_elem(b, "Prefix", in->prefix);
    xml_close(b, "ListAllMyBucketsResult");
}

err s3_list_buckets(struct api_request *rq)
{
    struct bucket_list_in in = {.owner = rq->who->canonical_id,
                                .prefix = s3_arg(rq, "prefix"),
                                .region = s3_arg(rq, "bucket-region")};
    struct bucket_list_out out;
    struct s3_token token;
    struct str text = s3_arg(rq, "continuation-token");
    struct buf b;
    err e = max_buckets(rq, &in.max);
    if (e) return e;
    if (text.n) {
        if (!s3_token_read(rq->arena, rq->who->canonical_id, text, &token))
            return api_bad_argument(rq, "continuation-token", text,
                                    "The continuation token provided is incorrect");
        in.after = token.after;
    }
    e = bucket_list(rq->objects, rq->arena, &in, &out);
    if (e) return e;
    render(rq, &b, &in, &out);
    return s3_reply_doc(rq, &b);
}
