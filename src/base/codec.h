/* Text encodings: hex, base64 (RFC 4648), percent-encoding (RFC 3986 and AWS's and form rules). */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/arena.h"

void hex_encode(const void *p, size_t n, char *out /* 2n + 1, NUL-terminated */); /* lower-case */
bool hex_decode(struct str s, void *out, size_t n); /* exactly n bytes, either case */
size_t base64_size(size_t n);                       /* encoded length with padding, no NUL */
void base64_encode(const void *p, size_t n, char *out /* base64_size(n) + 1 */);
bool base64_decode(struct str s, void *out, size_t cap, size_t *n); /* strict: padding needed, no blanks */

/* AWS's UriEncode: all but A-Za-z0-9-_.~ ; '/' too unless keep_slash. Upper-case hex. */
void uri_encode(struct buf *out, struct str s, bool keep_slash);
/* Percent-decode. false: %00, a broken escape, or (utf8) bytes that are not UTF-8. '+' stays '+'. */
bool uri_decode(struct arena *a, struct str s, bool utf8, struct str *out);
/* As uri_decode, '+' becoming a blank: HTML form and query values as S3 reads them. */
bool form_decode(struct arena *a, struct str s, struct str *out);
/* encoding-type=url as S3 lists: like uri_encode(keep_slash) but '*' kept and ' ' as '+'. */
void list_encode(struct buf *out, struct str s);
bool utf8_valid(struct str s);

#endif
