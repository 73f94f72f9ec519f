/* What the files of auth share. */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H

#include "api/api.h"
#include "auth/auth.h"
#include "auth/awschunked.h"
#include "base/clock.h"

#define SIGV4_ALGORITHM  "AWS4-HMAC-SHA256"
#define SIGV4_SIG_SIZE   64 /* hex digits */
#define SIGV4_SCOPE_MAX  128
#define AUTH_SKEW_MS     ((int64_t)15 * 60 * 1000)
#define AUTH_REGION_MAX  64
#define AUTH_EXPIRES_MAX 604800

/* ---- keys (auth.c) ---- */
const struct auth_key *auth_find_key(const struct auth *a, struct str access_key);

/* ---- signing keys (signing_key.c): cached per secret, day, region and service ---- */
#define SIGNING_SETS 64
struct signing_cache;
struct signing_cache *signing_cache_new(void);
void signing_cache_free(struct signing_cache *c); /* wipes */
void signing_key(struct signing_cache *c, const struct auth_key *key, struct str day, struct str region,
                 struct str service, uint8_t out[32]);
struct signing_cache *auth_signing_cache(const struct auth *a);

/* ---- SigV4 ---- */
struct sigv4 {
    bool presigned;
    struct str here; /* the region of this server: set before parsing */
    struct str access_key, day, region, service;
    struct str scope;          /* day/region/service/aws4_request, as sent */
    struct str signed_headers; /* as sent: a;b;c */
    struct str signature;      /* 64 hex digits, as sent */
    char date[TIME_AMZ_SIZE];  /* yyyymmddThhmmssZ */
    int64_t when_ms;
    int64_t expires_s;  /* presigned */
    struct str payload; /* last line of the canonical request: a hash or one of AWS's words */
    uint8_t key[32];    /* signing key, once known */
};

/* Parse and check the form alone: no key is looked up, no time compared. */
err sigv4_from_header(struct api_request *rq, struct str authorization, struct sigv4 *s);
err sigv4_from_query(struct api_request *rq, struct sigv4 *s);

/* Canonical request and string to sign into the arena. */
struct str sigv4_canonical(const struct api_request *rq, const struct sigv4 *s);
struct str sigv4_string_to_sign(struct arena *a, const struct sigv4 *s, struct str canonical);
/* Host and every x-amz-* header must be among the signed ones. */
err sigv4_check_signed(struct api_request *rq, const struct sigv4 *s);

/* All of it: form, key, time, signature; sets rq->who and fills s for the payload. */
err sigv4_verify(struct auth *a, struct api_request *rq, struct sigv4 *s);

/* ---- payload (payload.c) ---- */
struct auth_payload {          /* rq->auth_state */
    struct awschunked *chunks; /* NULL: not streamed */
    bool trailer;              /* a checksum comes as trailer */
    enum hash_alg trailer_alg;
};
/* Put the filters in place that `payload` (x-amz-content-sha256) asks for. s NULL: anonymous, nothing can be
 * signed. */
err auth_payload_setup(struct api_request *rq, const struct sigv4 *s, struct str payload);

#endif
