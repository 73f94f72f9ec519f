/* internal: what the files of this module share. */
#ifndef OBJECT_INTERNAL_H
#define OBJECT_INTERNAL_H

#include "base/assert.h"
#include "base/spares.h"
#include "object/record.h"
#include "object/table.h"

#include <pthread.h>

struct bucket_cache;
struct mill;
struct objects {
    unsigned magic;
    struct idx *idx;
    struct blobs *blobs;
    uint64_t min_part_size;
    struct bucket_cache *cache;
    struct mill *mill;
    struct sweeper *sweeper; /* NULL: never started */
    struct spares arenas;    /* of changes (mut.c) */
    int lanes;               /* long bodies that may still be hashed beside (lane.h); atomic */
};
#define OBJECTS_MAGIC 0x6f626a73u

/* Counters of a bucket, at its 'c' key. */
enum { CNT_OBJECTS, CNT_VERSIONS, CNT_BYTES, CNT_UPLOADS, CNT_N };

/* ---- buckets (bucket_record.c, bucket_find.c) ---- */
struct guard { /* the record that every change of a bucket checks */
    bool deleted;
    enum versioning versioning;
    uint64_t epoch; /* of configuration */
};
struct bucket_rec { /* what the name says */
    uint64_t id;
    struct str owner, region;
    int64_t created_ms;
};
struct str guard_encode(struct arena *a, const struct guard *g);
err guard_decode(struct str in, struct guard *out);
struct str bucket_rec_encode(struct arena *a, const struct bucket_rec *b);
err bucket_rec_decode(struct str in, struct bucket_rec *out);

/* A bucket by name, from a cache that this process keeps right: id and versioning. ERR_NO_SUCH_BUCKET. */
struct bref {
    uint64_t id;
    enum versioning versioning;
};
err bucket_find(struct objects *o, struct str name, struct bref *out);
/* Afresh: record and guard (may be NULL). *seq (may be NULL) of the name's record. A bucket whose guard is
 * deleted or missing is ERR_NO_SUCH_BUCKET, with *out filled. */
err bucket_read(struct objects *o, struct arena *a, struct str name, struct bucket_rec *out, struct guard *g);
void bucket_forget(struct objects *o, struct str name); /* after any change of the name or the guard */
struct bucket_cache *bucket_cache_new(void);
void bucket_cache_free(struct bucket_cache *c);
/* Delete everything that a deleted bucket's shard holds (bucket_purge.c). Repeatable. */
err bucket_purge(struct objects *o, uint64_t id);

/* ---- changes: one transaction on one bucket, retried on conflict (mut.c) ---- */
struct mut {
    struct objects *o;
    struct arena *a; /* for this attempt: emptied before each */
    uint64_t bucket;
    struct guard guard;
    uint64_t read_seq;
    unsigned attempt; /* from 0 */
    struct idx_txn *t;
    bool nothing;    /* set by build: succeed without a commit */
    bool gives_back; /* set by build: a deletion, let through on a full disk though it writes a little */
    bool hides;      /* and one that only hides: as long as half of the reserve is there */
    int64_t count[CNT_N];
    struct {
        uint64_t blob;
        int64_t delta;
    } * refs;
    size_t nrefs, refs_cap;
};
/* Calls build(m, arg) to read, decide and fill m->t, then commits; again on ERR_CONFLICT, from the commit or
 * from build, until ERR_SLOW_DOWN. build must check every key that it decides by. *seq (may be NULL) is the
 * commit's. */
err mut_run(struct objects *o, struct str bucket, err (*build)(struct mut *m, void *arg), void *arg,
            uint64_t *seq);
/* As mut_run for a shard whose guard is not looked at (the system shard, a bucket being purged). */
err mut_run_shard(struct objects *o, uint64_t shard, err (*build)(struct mut *m, void *arg), void *arg,
                  uint64_t *seq);
void mut_free_spares(struct objects *o);
/* +1 or -1 for a piece's blob; references that cancel out within a transaction are never made. */
void mut_ref(struct mut *m, uint64_t blob, int64_t delta);
void mut_put(struct mut *m, const struct key *k, struct str value); /* STR_NONE: out of memory, latched */

/* ---- versions (version.c) ---- */
struct found {
    struct rec rec;
    struct str value; /* its bytes */
    uint64_t seq;     /* commit sequence of the version's own write */
    bool current;
};
/* The version that a client names ("" or n 0: current; "null"). ERR_NO_SUCH_KEY, ERR_NO_SUCH_VERSION,
 * ERR_INVALID_VERSION_ID. A delete marker is found like any other. */
err version_find(struct objects *o, struct arena *a, uint64_t bucket, struct str key, struct str version_id,
                 struct found *out);
/* The current record inside a change; out->value.p NULL when there is none. The key is checked. */
err version_current(struct mut *m, struct str key, struct found *out);
/* A noncurrent one; ERR_NOT_FOUND. The key is checked. */
err version_noncurrent(struct mut *m, struct str key, const struct vid *v, struct found *out);
/* Gives a new version its id and time, before its bytes are sealed. */
void version_stamp(struct rec *r);
/* Put r, stamped, as the new current version of key over what version_current found: keeps, replaces or
 * removes what was there as the bucket's versioning says; sets r's null flag and null pointer, moves its
 * stamp when the key has a later one; counts. */
err version_push(struct mut *m, struct str key, const struct found *cur, struct rec *r);
/* Remove one version for good, promoting the newest noncurrent one when it was the current. */
err version_remove(struct mut *m, struct str key, const struct found *cur, const struct found *victim);
/* Drop the references and part table of a version that goes (sign -1); for its copies see copy.c. */
err version_release(struct mut *m, uint64_t bucket, const struct rec *r);
/* Rewrites a record in place of itself, keeping its own commit sequence. */
void version_rewrite(struct mut *m, struct str key, const struct found *f);

/* ---- copies (copy.c) ---- */
#define COPY_DOUBT 8 /* conflicts before a copy looks whether its source is whole */
struct source {
    struct bref bucket;
    struct found found;
};
/* The version to copy from, its preconditions held. A delete marker is ERR_NO_SUCH_KEY, or
 * ERR_INVALID_REQUEST by id. */
err copy_source(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str version_id,
                const struct obj_cond *cond, struct source *out);
/* Whether bytes of the source are missing although its record still names them: ERR_CORRUPT then. A copy that
 * meets missing bytes asks, so that damage is not taken for a source that changes. */
err copy_source_whole(struct objects *o, struct arena *a, struct str key, struct str version_id,
                      const struct source *src);

/* ---- results (info.c) ---- */
/* All of obj_info; views into the record's bytes, or arena memory. */
err info_fill(struct arena *a, struct str bucket, struct str key, const struct found *f,
              enum versioning versioning, struct obj_info *out);
/* What listings give. Text goes to arena memory, nothing keeps views of the record. like: the entry before,
 * or NULL. */
err entry_fill(struct arena *a, struct str key, const struct rec *r, bool current,
               const struct obj_entry *like, struct obj_entry *out);
struct str version_text(struct arena *a, const struct rec *r); /* "null" or the id */
struct str etag_dup(struct arena *a, const struct rec *r);

/* ---- preconditions (cond.c) ---- */
/* Of reads: ERR_OK, ERR_NOT_MODIFIED, ERR_PRECONDITION_FAILED. */
err cond_read(const struct obj_cond *c, struct str etag, int64_t modified_ms);
/* If-Range: a strong ETag, or exactly the time of the last change. */
bool cond_if_range(struct str v, struct str etag, int64_t modified_ms);
/* Of a copy's source: failures are all ERR_PRECONDITION_FAILED. */
err cond_source(const struct obj_cond *c, struct str etag, int64_t modified_ms);
/* Of writes and deletes, against the current version or NULL (none, or a delete marker). */
err cond_write(const struct obj_cond *c, const struct rec *current);
static inline bool cond_any(const struct obj_cond *c)
{
    return c->if_match.n || c->if_none_match.n || c->has_size || c->last_modified || c->if_modified_since ||
           c->if_unmodified_since;
}
bool etag_same(struct str a, struct str b); /* quotes do not matter */

/* ---- ranges (range.c) ---- */
/* ERR_OK with *partial false: whole. ERR_INVALID_RANGE. */
err range_parse(struct str header, uint64_t size, bool *partial, uint64_t *first, uint64_t *length);

/* ---- data (data.c) ---- */
/* All parts of a multipart record. ERR_NOT_FOUND: the object went meanwhile. */
err data_parts(struct objects *o, struct arena *a, uint64_t bucket, const struct rec *r, struct part **parts,
               size_t *n);
/* The pieces that make up [first, first + length) of an object. ERR_NOT_FOUND as above. */
err data_pieces(struct objects *o, struct arena *a, uint64_t bucket, const struct rec *r, uint64_t first,
                uint64_t length, struct piece **pieces, size_t *n);
/* Pinned reader of pieces. ERR_NOT_FOUND when a blob went. The array must outlive the body. */
err data_open(struct objects *o, struct arena *a, const struct piece *pieces, size_t n, struct body **out);

/* ---- writing bytes (put.c, ingest.c) ---- */
err put_check(const struct obj_put_in *in); /* key and metadata within bounds */
struct ingest {                             /* a body taken in: stored, hashed, sealed by the caller */
    struct blob_writer *writer;             /* NULL when empty */
    uint64_t size, crc64xz;
    uint8_t md5[16];
    struct obj_checksums sums; /* full-object */
};
/* Reads all of body; checks length and digests as `in` says. On failure nothing is left. max:
 * ERR_ENTITY_TOO_LARGE beyond. */
err ingest(struct objects *o, struct obj_put_in *in, struct body *body, uint64_t max, struct ingest *out);
void ingest_drop(struct ingest *g);
/* The record of what was taken in, stamped: digests, checksums, pieces. */
err ingest_record(struct arena *a, enum rec_kind kind, const struct ingest *g, struct rec *r);
/* Reads pieces once, for digests alone. */
err data_hash(struct objects *o, const struct piece *pieces, size_t n, unsigned bits,
              struct hash_value out[HASH_ALGS]);
/* The bytes that an extent keeps about its owner: pairs of index key and record (docs/format/record.md). */
struct str owner_bytes(struct arena *a, const struct key *k, struct str value);

#endif
