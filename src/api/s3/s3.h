/* What the handlers of S3's rows share: reading headers and parameters into the object layer's structs, and
 * rendering. Everything returns AWS's exact error, with its text set on the request.
 */
#ifndef API_S3_S3_H
#define API_S3_S3_H

#include "api/table.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/codec.h"
#include "xml/xml.h"

#define S3_XMLNS            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define S3_LIST_MAX         1000
#define S3_SMALL_DOC_MAX    ((size_t)64 << 10)
#define S3_DELETE_DOC_MAX   ((size_t)4 << 20) /* 1,000 keys of 1,024 bytes, every byte escaped, and room */
#define S3_COMPLETE_DOC_MAX ((size_t)4 << 20) /* 10,000 parts with checksums */

/* ---- reply.c: answers ---- */
/* Set a response header; failures latch and are seen by s3_reply*. Values are copied by http. */
void s3_set(struct api_request *rq, const char *name, struct str value);
void s3_doc(struct buf *b, const char *root); /* declaration and root element in S3's namespace */
/* Send b as XML and free it; ERR_NO_MEMORY when it overflowed. */
err s3_reply_doc(struct api_request *rq, struct buf *b);
err s3_reply_empty(struct api_request *rq, int status);
struct str s3_quoted(struct arena *a, struct str etag);
struct str s3_http_date(struct arena *a, int64_t ms);
void s3_xml_owner(struct api_request *rq, struct buf *b, const char *element, struct str canonical_id);
/* ISO 8601, to the second as S3 writes it, so that listings and Last-Modified agree. */
void s3_xml_time(struct buf *b, const char *element, int64_t ms);
void s3_xml_etag(struct buf *b, struct str etag); /* quoted, as listings have it */
void s3_xml_name(struct buf *b, const char *element, struct str s,
                 bool url);                     /* a key or prefix, encoding-type minded */
struct str s3_storage_class(struct str stored); /* "STANDARD" where none is stored */

/* ---- document.c: bodies that are XML ---- */
/* Read at most max bytes and parse; *root NULL when the body is empty and may be. Checks Content-MD5 and
 * x-amz-checksum-*. */
err s3_read_xml(struct api_request *rq, size_t max, bool may_be_empty, const char *root_name,
                struct xml_node **root);
/* For operations that a client may take for an upload: a body that nobody would read is refused. */
err s3_no_body(struct api_request *rq);
bool s3_has_body_digest(const struct api_request *rq);

/* ---- args.c: parameters ---- */
/* A page size: absent or empty gives def, larger ones are cut to cap. */
err s3_arg_max(struct api_request *rq, const char *name, unsigned def, unsigned cap, unsigned *out);
err s3_arg_marker(struct api_request *rq, const char *name, unsigned *out); /* a part number marker */
err s3_arg_url(struct api_request *rq, bool *url);                          /* encoding-type */
err s3_arg_part_number(struct api_request *rq, unsigned *out);     /* partNumber must be there: 1..10,000 */
err s3_arg_version(struct api_request *rq, struct str *out);       /* versionId */
struct str s3_arg(const struct api_request *rq, const char *name); /* STR_NONE when absent */
struct str s3_upload_id(const struct api_request *rq);
bool s3_lower_true(struct str v); /* "true", any case */

/* ---- meta.c: what is stored with an object ---- */
/* Content headers, user metadata, website redirect, storage class, and (tags) x-amz-tagging. */
err s3_read_meta(struct api_request *rq, bool tags, struct obj_meta *m);
err s3_read_tags(struct api_request *rq, struct obj_meta *m);
err s3_add_tag(struct api_request *rq, struct obj_meta *m, struct obj_pair t); /* checked, kept sorted */
err s3_read_storage_class(struct api_request *rq, struct str *out);

err s3_check_length(struct api_request *rq, uint64_t max); /* put.c: of a body that is to be stored */

/* ---- cond.c: preconditions ---- */
err s3_read_cond(struct api_request *rq, struct obj_cond *c); /* If-Match … If-Unmodified-Since of a read */
err s3_write_cond(struct api_request *rq, struct obj_cond *c); /* of PUT, Complete and copy targets */
err s3_delete_cond(struct api_request *rq, struct obj_cond *c);
err s3_source_cond(struct api_request *rq, struct obj_cond *c); /* x-amz-copy-source-if-* */
/* Name the condition that did not hold. */
err s3_cond_failed(struct api_request *rq, err e, const struct obj_cond *c);
err s3_source_failed(struct api_request *rq, err e, const struct obj_cond *c); /* of a copy's source */

/* ---- checksum.c ---- */
/* Content-MD5, x-amz-checksum-*, x-amz-trailer and x-amz-sdk-checksum-algorithm of an upload into in->expect
 * and in->want_sums; sets at_end where a trailer will come. explicit_alg: the algorithm the client chose,
 * HASH_ALGS: none. */
err s3_upload_checksums(struct api_request *rq, struct obj_put_in *in, enum hash_alg *explicit_alg);
/* Of an error of obj_put or upload_part: say which digest did not match. */
err s3_digest_failed(struct api_request *rq, err e, const struct obj_put_in *in);
err s3_content_md5(struct api_request *rq, bool *has, struct hash_value *out);
/* The one x-amz-checksum-<alg> header; *alg HASH_ALGS when there is none. A composite's "-N" is cut into
 * *parts. */
err s3_checksum_header(struct api_request *rq, enum hash_alg *alg, struct hash_value *out, unsigned *parts);
bool s3_checksum_decode(struct str text, enum hash_alg alg, struct hash_value *out, unsigned *parts);
struct str s3_checksum_text(struct arena *a, const struct obj_checksums *s, enum hash_alg alg);
const char *s3_checksum_type(enum checksum_type t);
err s3_arg_checksum_type(struct api_request *rq, bool *has, enum checksum_type *out);
void s3_set_checksums(struct api_request *rq, const struct obj_checksums *s, bool with_type);
void s3_xml_checksums(struct api_request *rq, struct buf *b, const struct obj_checksums *s);
const char *s3_checksum_element(enum hash_alg alg); /* "ChecksumCRC32" */
const char *s3_checksum_name(enum hash_alg alg);    /* "x-amz-checksum-crc32" */
const char *s3_checksum_lower(enum hash_alg alg);   /* "crc32", as S3's texts about uploads have it */
#define S3_EACH_CHECKSUM(alg) for (enum hash_alg alg = HASH_CRC32; alg <= HASH_SHA256; alg++)

/* ---- token.c: continuation tokens, opaque and bound to what they continue ---- */
struct s3_token {
    struct str after;
    bool after_is_prefix;
};
struct str s3_token_make(struct arena *a, struct str context, const struct s3_token *t);
bool s3_token_read(struct arena *a, struct str context, struct str text, struct s3_token *t);

/* ---- object headers ---- */
/* ETag, Last-Modified, version, metadata, storage class … of an object that is read. */
void s3_set_object(struct api_request *rq, const struct obj_info *i);
/* x-amz-version-id, where the bucket has versions. */
void s3_set_version(struct api_request *rq, struct str version_id);
/* Of what was just written: a null version is not named. */
void s3_set_new_version(struct api_request *rq, struct str version_id);

#endif
