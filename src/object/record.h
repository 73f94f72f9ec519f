/* record: how objects, delete markers, uploads and parts are written in the index. The format is
 * docs/format/record.md.
 *
 * A record is a fixed header of 64 bytes, then tagged fields in ascending order. Decoding only makes views:
 * nothing is allocated, values live as long as the bytes. What this program does not understand but must, it
 * refuses (ERR_UNSUPPORTED_FORMAT); what it need not understand it keeps byte for byte when the record is
 * written again.
 */
#ifndef OBJECT_RECORD_H
#define OBJECT_RECORD_H

#include "object/keys.h"
#include "object/object.h"

#define REC_FORMAT 1
#define REC_HEADER 64

enum rec_kind {
    REC_OBJECT = 1,
    REC_MARKER = 2, /* a delete marker */
    REC_UPLOAD = 3, /* a multipart upload in progress: what the object will be */
    REC_PART = 4,
    REC_DONE = 5, /* a completed upload: what Complete answered */
};

/* Flags. Low byte: must be understood. High byte: may be ignored, is kept. */
enum { REC_NULL = 1 /* the null version */ };
#define REC_FLAGS_KNOWN 0x0001u
#define REC_FLAGS_MUST  0x00ffu

/* Numbers are forever. Those marked reserved are written by no code yet; docs/format/record.md says what they
 * will hold. */
enum rec_tag {
    REC_SEQ = 1, /* le64: commit sequence of the write that made the version, once the record was moved */
    REC_OWNER = 2,
    REC_ACL = 3, /* reserved */
    REC_CONTENT_TYPE = 4,
    REC_CACHE_CONTROL = 5,
    REC_CONTENT_DISPOSITION = 6,
    REC_CONTENT_ENCODING = 7,
    REC_CONTENT_LANGUAGE = 8,
    REC_EXPIRES = 9,
    REC_WEBSITE_REDIRECT = 10,
    REC_USER_META = 11, /* pairs */
    REC_TAGS = 12,      /* pairs */
    REC_STORAGE_CLASS = 13,
    REC_SUMS = 14,        /* checksums */
    REC_PIECES = 15,      /* data map, must */
    REC_TABLE = 16,       /* part table reference, must */
    REC_OLD_NULL = 17,    /* id: the noncurrent null version; on current records only */
    REC_STORED_SIZE = 18, /* reserved */
    REC_COMPRESSION = 19, /* reserved, must */
    REC_ENCRYPTION = 20,  /* reserved, must */
    REC_TIER = 21,        /* reserved, must */
    REC_RESTORE = 22,     /* reserved */
    REC_RETENTION = 23,   /* reserved, must */
    REC_LEGAL_HOLD = 24,  /* reserved, must */
    REC_APPEND = 25,      /* reserved */
    REC_SYMLINK = 26,     /* reserved, must */
    REC_REPLICATION = 27, /* reserved */
    REC_ORIGIN_SITE = 28, /* reserved */
    REC_UPLOAD_SUM = 29,  /* checksum declared for an upload: algorithm, type */
    REC_INITIATOR = 30,   /* of an upload; absent: the owner */
    REC_DONE_KEY = 31,    /* of a completed upload: its object key */
    REC_TAG_END
};

struct rec {
    enum rec_kind kind;
    uint16_t flags;
    uint32_t parts; /* of a multipart object; 0: put whole */
    int64_t modified_ms;
    uint64_t size;
    struct vid vid;
    uint8_t md5[16]; /* the ETag's digest */
    uint64_t crc64xz;
    struct str f[REC_TAG_END]; /* by tag; p NULL: absent */
    struct str tail;           /* fields of newer programs */
};

err rec_decode(struct str in, struct rec *out);
/* Into the arena; STR_NONE when it is full. */
struct str rec_encode(struct arena *a, const struct rec *r);
/* Only the header, for listings that need no more. */
static inline bool rec_is_null(const struct rec *r)
{
    return r->flags & REC_NULL;
}

/* "0123…" or "0123…-N": 32 to 38 characters and NUL. Returns the length. */
#define ETAG_TEXT 40
size_t etag_text(const uint8_t md5[16], unsigned parts, char out[ETAG_TEXT]);

/* ---- field values (record_fields.c) ---- */
struct str pairs_encode(struct arena *a, const struct obj_pair *v, size_t n); /* STR_NONE for none */
err pairs_decode(struct arena *a, struct str in, struct obj_pair **v, size_t *n);
struct str sums_encode(struct arena *a, const struct obj_checksums *s);
err sums_decode(struct str in, struct obj_checksums *out);
bool sums_same(const struct obj_checksums *have,
               const struct obj_checksums *given); /* all that given holds */

struct str upload_sum_encode(struct arena *a, enum hash_alg alg, enum checksum_type type);
err upload_sum_decode(struct str in, enum hash_alg *alg, enum checksum_type *type);
/* Those of the algorithms that S3 knows. */
#define HASH_S3_SUMS                                                                                         \
    (HASH_BIT(HASH_CRC32) | HASH_BIT(HASH_CRC32C) | HASH_BIT(HASH_CRC64NVME) | HASH_BIT(HASH_SHA1) |         \
     HASH_BIT(HASH_SHA256))

struct piece {
    uint64_t blob, off, len;
};
struct str pieces_encode(struct arena *a, const struct piece *v, size_t n);
err pieces_decode(struct arena *a, struct str in, struct piece **v, size_t *n);
struct str vid_encode(struct arena *a, const struct vid *v);
err vid_decode(struct str in, struct vid *out);

/* Into and out of obj_meta: header fields, user metadata, tags, storage class. */
err rec_set_meta(struct arena *a, struct rec *r, const struct obj_meta *m);
err rec_get_meta(struct arena *a, const struct rec *r, struct obj_meta *m);

#endif
