/* object: the meaning of buckets, objects, versions and uploads, once, for every dialect, over the two seams
 * of the store.
 *
 * Dialects translate names and render; they never decide. Nothing here knows of drives, HTTP or XML. Calls
 * run in fibers, on any loop, and may wait; results live in the caller's arena. Every change is one index
 * transaction within one bucket (one shard), retried on ERR_CONFLICT; preconditions are linear: two racing
 * If-None-Match:* puts give one success.
 *
 * Times are ms since the epoch, UTC. ETags are given without quotes. Errors are the table's
 * (base/errors.def).
 */
#ifndef OBJECT_OBJECT_H
#define OBJECT_OBJECT_H

#include "body/body.h"
#include "store/store.h"

#define OBJ_KEY_MAX         1024
#define OBJ_PART_MAX_NUMBER 10000
#define OBJ_PART_MIN_SIZE   ((uint64_t)5 << 20) /* but the last one */
#define OBJ_PART_MAX_SIZE   ((uint64_t)5 << 30)
#define OBJ_PUT_MAX_SIZE    ((uint64_t)5 << 30)  /* one PutObject */
#define OBJ_MAX_SIZE        ((uint64_t)50 << 40) /* a multipart object: 50 TB */
#define OBJ_USER_META_MAX   2048
#define OBJ_VERSION_ID_MAX  64

struct objects; /* the subsystem */
struct objects_options {
    struct store *store;
    uint64_t min_part_size; /* 0: OBJ_PART_MIN_SIZE; tests lower it */
};
err objects_new(const struct objects_options *o,
                struct objects **out); /* call before serving; reads the system shard */
void objects_start(struct objects *o); /* background sweeper (completed-upload marks …); on a running rt */
err objects_sweep(
    struct objects *o); /* what the sweeper does now and then, once: results of uploads that completed a day
                           ago, shards of buckets that were deleted or never came to be */
void objects_free(struct objects *o);

/* ---- buckets ---- */
enum versioning { VERSIONING_OFF, VERSIONING_ENABLED, VERSIONING_SUSPENDED };
struct bucket_info {
    struct str name;
    uint64_t id;      /* never reused */
    struct str owner; /* canonical id */
    struct str region;
    int64_t created_ms;
    enum versioning versioning;
    uint64_t objects, versions,
        bytes; /* counters: current objects, all versions and markers, logical bytes */
};
bool bucket_name_valid(struct str name); /* S3's general purpose rules */
err bucket_create(struct objects *o, struct arena *a, struct str name, struct str owner, struct str region);
/* ERR_BUCKET_EXISTS by another owner, ERR_BUCKET_OWNED by this one */
err bucket_get(struct objects *o, struct arena *a, struct str name, struct bucket_info *out);
err bucket_delete(struct objects *o, struct arena *a,
                  struct str name); /* uploads in progress are aborted with it */
err bucket_set_versioning(struct objects *o, struct arena *a, struct str name, enum versioning v);
/* Small configuration documents of a bucket, kept for later rows of the table (policy, cors, lifecycle…):
 * kind is a short ASCII name. ERR_NOT_FOUND when absent. */
err bucket_get_config(struct objects *o, struct arena *a, struct str name, const char *kind, struct str *out);
err bucket_set_config(struct objects *o, struct arena *a, struct str name, const char *kind,
                      struct str doc /* p NULL: remove */);
struct bucket_list_in {
    struct str owner;         /* n 0: all */
    struct str prefix, after; /* names > after */
    struct str region;        /* n 0: all */
    unsigned max;
};
struct bucket_list_out {
    struct bucket_info *buckets;
    size_t n;
    bool truncated; /* then the last name is the continuation */
};
err bucket_list(struct objects *o, struct arena *a, const struct bucket_list_in *in,
                struct bucket_list_out *out);

/* ---- what a client stores with an object ---- */
struct obj_pair {
    struct str name, value;
};
struct obj_meta {
    struct str content_type, cache_control, content_disposition, content_encoding, content_language, expires;
    struct str website_redirect;
    struct str storage_class; /* n 0: STANDARD */
    struct obj_pair *user;    /* names lower-case, without x-amz-meta- / x-cos-meta- */
    size_t nuser;
    struct obj_pair *tags; /* sorted by name */
    size_t ntags;
};

enum checksum_type { CHECKSUM_FULL_OBJECT, CHECKSUM_COMPOSITE };
struct obj_checksums {
    unsigned bits; /* HASH_BIT(alg) present; S3's five */
    enum checksum_type type[HASH_ALGS];
    struct hash_value value[HASH_ALGS];
    unsigned parts; /* of a composite: the "-N" */
};

struct obj_info {
    struct str bucket, key;
    struct str version_id; /* "null" for the null version; n 0 when the bucket was never versioned */
    bool is_latest, delete_marker;
    uint64_t size;
    struct str etag; /* hex, "-N" for multipart; n 0 for a delete marker */
    int64_t modified_ms;
    uint64_t seq; /* commit sequence */
    struct str owner;
    struct obj_meta meta;
    struct obj_checksums sums;
    uint64_t crc64xz; /* of the whole object */
    unsigned parts;   /* 0: not multipart */
};

/* Preconditions; STR_NONE / 0 where not given. ETag lists as sent ("*", "a", W/"b"). Times in ms, 0 = none.
 */
struct obj_cond {
    struct str if_match, if_none_match;
    int64_t if_modified_since, if_unmodified_since;
    bool has_size; /* DeleteObjects' and DELETE's x-amz-if-match-size … */
    uint64_t size;
    int64_t last_modified; /* x-amz-if-match-last-modified-time */
};

/* ---- writing ---- */
struct obj_put_in {
    struct str bucket, key, owner;
    struct obj_meta meta;
    struct obj_cond cond;
    int64_t size;         /* exact length that the body will have; -1 unknown (then capped) */
    unsigned want_sums;   /* HASH_BITs to compute and keep (besides MD5 and CRC64XZ, always) */
    unsigned expect_bits; /* digests that must match (ERR_BAD_DIGEST): HASH_MD5 for Content-MD5, others */
    struct hash_value expect[HASH_ALGS];
    bool mismatch; /* out, on ERR_BAD_DIGEST: which one, and what was computed */
    enum hash_alg wrong;
    struct hash_value got;
    /* Trailing checksums are known only after the body: called at its end, may fill expect_bits/expect; NULL
     * if none. */
    err (*at_end)(void *arg, struct obj_put_in *in);
    void *arg;
};
err obj_put(struct objects *o, struct arena *a, struct obj_put_in *in, struct body *body,
            struct obj_info *out);

/* ---- reading ---- */
struct obj_get_in {
    struct str bucket, key, version_id; /* version_id n 0: the current one */
    struct obj_cond cond;
    unsigned part_number; /* 0: none */
    bool head;            /* no reader is wanted */
    /* The raw Range header, n 0: none. Malformed or multiple: whole object (S3). Unsatisfiable:
     * ERR_INVALID_RANGE. */
    struct str range;
    struct str
        if_range; /* as sent, n 0: none. Another ETag or date than the object's: the range is not looked at */
};
struct obj_get_out {
    struct obj_info
        info;     /* filled as far as known on ERR_NOT_MODIFIED, ERR_PRECONDITION_FAILED; on a delete marker
                     (ERR_NO_SUCH_KEY or ERR_METHOD_NOT_ALLOWED) version_id and delete_marker are set */
    bool partial; /* 206: first..last */
    uint64_t first, length;
    unsigned part_count;            /* when part_number was asked */
    struct obj_checksums part_sums; /* when part_number was asked */
    struct body *body;              /* NULL for head; verified data of first..first+length; caller closes */
};
err obj_get(struct objects *o, struct arena *a, const struct obj_get_in *in, struct obj_get_out *out);

struct obj_part_info {
    unsigned number;
    uint64_t size;
    struct str etag;
    int64_t modified_ms;
    struct obj_checksums sums;
};
/* The parts of a multipart object after `after`, at most max (GetObjectAttributes). */
err obj_parts(struct objects *o, struct arena *a, const struct obj_get_in *in, unsigned after, unsigned max,
              struct obj_info *info, struct obj_part_info **parts, size_t *n, bool *truncated);

/* Tags and later per-version mutable fields: read-modify-write of one version. */
err obj_set_tags(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str version_id,
                 const struct obj_pair *tags, size_t n, struct obj_info *out);

/* ---- deleting ---- */
struct obj_delete_in {
    struct str bucket, key, version_id, owner;
    struct obj_cond cond;
};
struct obj_delete_out {
    struct str version_id; /* deleted version or new marker; n 0 when unversioned */
    bool delete_marker;    /* a marker was made, or the version removed was one */
};
/* Deleting what does not exist is ERR_OK, as in S3. */
err obj_delete(struct objects *o, struct arena *a, const struct obj_delete_in *in,
               struct obj_delete_out *out);

/* ---- copying ---- */
struct obj_copy_in {
    struct str src_bucket, src_key, src_version_id;
    struct obj_cond src_cond;
    struct str bucket, key, owner;
    struct obj_cond cond;
    bool replace_meta,
        replace_tags; /* directives; meta and tags below are then used. Storage class and website redirect
                         never come from the source: those below are used always */
    bool changes_something; /* self-copy without change is ERR_INVALID_REQUEST: the dialect knows its headers
                             */
    struct obj_meta meta;
    unsigned want_sums; /* checksum algorithm asked for; 0: keep the source's */
};
struct obj_copy_out {
    struct obj_info info;
    struct str src_version_id;
};
/* Bytes are shared by reference, never copied; a whole-object checksum that the source lacks is computed by
 * reading. The copy of a multipart object keeps its parts, and so its ETag. ERR_ENTITY_TOO_LARGE above
 * OBJ_PUT_MAX_SIZE, as in S3: larger ones are copied part by part. ERR_INVALID_REQUEST: a self-copy without
 * change, or a source version that is a delete marker. */
err obj_copy(struct objects *o, struct arena *a, const struct obj_copy_in *in, struct obj_copy_out *out);

/* ---- listing ---- */
struct obj_list_in {
    struct str bucket, prefix, delimiter;
    struct str after;         /* keys > after; with versions: key marker */
    struct str after_version; /* version-id marker, versions only */
    bool versions;
    bool after_is_prefix; /* `after` is a common prefix already returned: skip all under it */
    unsigned max;         /* 0 gives an empty page, not truncated */
};
struct obj_entry { /* what a listing says of an object: small, for a page has a thousand */
    struct str key, version_id, owner, storage_class;
    struct str etag; /* as in obj_info */
    uint64_t size;
    int64_t modified_ms;
    unsigned sums; /* HASH_BITs of the checksums that it has */
    enum checksum_type sums_type;
    unsigned parts; /* 0: not multipart */
    bool is_latest, delete_marker;
};
struct obj_list_out {
    struct obj_entry *items;
    size_t n;
    struct str *prefixes; /* common prefixes, in order */
    size_t nprefixes;
    bool truncated;
    struct str next_key; /* the last key or common prefix of the page */
    struct str next_version;
    bool next_is_prefix;
};
err obj_list(struct objects *o, struct arena *a, const struct obj_list_in *in, struct obj_list_out *out);

/* ---- multipart ---- */
struct obj_upload_in {
    struct str bucket, key, owner;
    struct obj_meta meta;
    bool has_checksum; /* algorithm declared at creation */
    enum hash_alg checksum;
    enum checksum_type checksum_type;
};
struct obj_upload_info {
    struct str bucket, key, upload_id, owner, initiator, storage_class;
    int64_t initiated_ms;
    bool has_checksum;
    enum hash_alg checksum;
    enum checksum_type checksum_type;
};
err upload_create(struct objects *o, struct arena *a, const struct obj_upload_in *in,
                  struct obj_upload_info *out);
/* Any upload id that is not this bucket's and key's: ERR_NO_SUCH_UPLOAD. */
err upload_get(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str upload_id,
               struct obj_upload_info *out);
/* The last upload of a part number to finish wins. in->bucket, key, size, sums, expect as obj_put; meta
 * unused. */
err upload_part(struct objects *o, struct arena *a, struct str upload_id, unsigned number,
                struct obj_put_in *in, struct body *body, struct obj_part_info *out);
struct upload_copy_in {
    struct str src_bucket, src_key, src_version_id;
    struct obj_cond src_cond;
    bool has_range;
    uint64_t first, last; /* inclusive; beyond the source: ERR_INVALID_RANGE */
    struct str bucket, key, upload_id;
    unsigned number;
};
err upload_part_copy(struct objects *o, struct arena *a, const struct upload_copy_in *in,
                     struct obj_part_info *out, struct str *src_version_id);
struct upload_complete_part {
    unsigned number;
    struct str etag;
    struct obj_checksums sums; /* given by the client; checked against the stored ones */
};
struct upload_fault { /* what was wrong with the list, for the client */
    unsigned number;  /* the part of ERR_INVALID_PART and ERR_ENTITY_TOO_SMALL; 0: none in particular */
    struct str etag;  /* as listed */
    uint64_t size,
        least; /* of that part and the least allowed; the whole's when `size` below did not match */
};
struct upload_complete_in {
    struct str bucket, key, upload_id;
    struct obj_cond cond;
    const struct upload_complete_part *parts;
    size_t n;
    unsigned expect_bits; /* full-object checksum given by the client */
    struct hash_value expect[HASH_ALGS];
    bool has_type; /* x-amz-checksum-type at Complete must agree with the upload's */
    enum checksum_type type;
    bool has_size; /* x-amz-mp-object-size */
    uint64_t size;
    struct upload_fault *fault; /* filled on failure; may be NULL */
};
/* Repeating a Complete that succeeded gives ERR_OK and the same result, for a day. A part number listed twice
 * in a row counts by its last line. Sums of parts may be left out. */
err upload_complete(struct objects *o, struct arena *a, const struct upload_complete_in *in,
                    struct obj_info *out);
err upload_abort(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str upload_id);
err upload_parts(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str upload_id,
                 unsigned after, unsigned max, struct obj_upload_info *info, struct obj_part_info **parts,
                 size_t *n, bool *truncated);
struct upload_list_in {
    struct str bucket, prefix, delimiter, key_marker, id_marker;
    unsigned max;
};
struct upload_list_out {
    struct obj_upload_info *items;
    size_t n;
    struct str *prefixes;
    size_t nprefixes;
    bool truncated;
    struct str next_key, next_id;
};
err upload_list(struct objects *o, struct arena *a, const struct upload_list_in *in,
                struct upload_list_out *out);

/* ---- for check (store/store.h): what an index entry refers to and counts ---- */
bool objects_check_entry(void *arg, struct str key, struct str value,
                         void (*ref)(void *ctx, uint64_t blob, uint64_t min_size),
                         void (*count)(void *ctx, struct str counter_key, unsigned i, int64_t delta),
                         void *ctx);
/* For recovery that lost commits: names for buckets and uploads that came back without theirs. */
err objects_mend(void *arg, const struct recover_edit *ed);
bool objects_beside(void *arg, struct str key, struct str value, char out[IDX_KEY_MAX], size_t *n);

#endif
