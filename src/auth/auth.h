/* auth: who. SigV4 in header, query and streamed forms (and later COS's q-sign) to an identity; it also puts
 * the decoding and verifying filters before the body. It decides nothing about permission.
 *
 * Sources: AWS "Signature Version 4 for S3", "sigv4-streaming", "sigv4-streaming-trailers". Signing keys are
 * cached per (access key, day, region, service), bounded. Comparisons in constant time. Secrets never reach
 * the log.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/arena.h"
#include "base/errors.h"
#include "hash/hash.h"

struct auth_identity {
    struct str access_key;   /* n 0: anonymous */
    struct str canonical_id; /* 64 hex digits */
    struct str display_name;
    struct str account; /* 12 digits */
    bool root;
    bool anonymous;
};

struct auth_key { /* one credential */
    struct str access_key, secret_key;
    struct auth_identity who;
};
struct auth;
struct auth_options {
    const struct auth_key *keys; /* copied */
    size_t nkeys;
    struct str region; /* "" in a scope is refused unless it is IAM's */
};
err auth_new(const struct auth_options *o, struct auth **out);
void auth_free(struct auth *a); /* wipes secrets */
/* The identity with that canonical id (the owner of a bucket or an object), or NULL. */
const struct auth_identity *auth_identity_of(const struct auth *a, struct str canonical_id);

struct api_request;
/* Whether there are keys of more than one canonical id. */
bool auth_many_accounts(const struct auth *a);
/* Identify rq and set rq->who, rq->body (filters in place), rq->payload_length. Errors are AWS's exact ones;
 * detail in rq->error_detail. Unsigned x-amz-* headers are refused here. No body byte is read. */
err auth_who(struct auth *a, struct api_request *rq);
/* After ERR_CONTENT_SHA256_MISMATCH: put both digests into the error. */
void auth_payload_explain(struct api_request *rq);
/* After the body's end: the trailing checksum, if the request declared one. false: none. */
bool auth_trailer_checksum(const struct api_request *rq, enum hash_alg *alg, struct hash_value *value,
                           err *e);
/* The checksum that a trailer will bring is known by name before the body (x-amz-trailer). */
bool auth_trailer_declared(const struct api_request *rq, enum hash_alg *alg);

#endif
