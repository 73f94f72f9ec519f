/* Text encodings: hex, base64 (RFC 4648), percent-encoding (RFC 3986 and AWS's and form rules). */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/arena.h"

void hex_encode(const void *p, size_t n, char *out /* 2n + 1, NUL-terminated */); /* lower-case */
bool hex_decode(struct str s, void *out, size_t n); /* exactly n bytes, either case */
size_t base64_size(size_t n);                       /* encoded length with padding, no NUL */
void base64_encode(const void *p, size_t n, char *out /* base64_size(n) + 1 */);
/* Strict: padding needed, no blanks, unused bits zero. false also when more than cap bytes would come out. */
bool base64_decode(struct str s, void *out, size_t cap, size_t *n);

/* AWS's UriEncode: all but A-Za-z0-9-_.~ ; '/' too unless keep_slash. Upper-case hex. */
void uri_encode(struct buf *out, struct str s, bool keep_slash);
/* Percent-decode into the arena, once. false: a NUL byte or %00, a broken escape, (utf8) bytes that are not
 * UTF-8, or the arena is full. '+' stays '+'. */
bool uri_decode(struct arena *a, struct str s, bool utf8, struct str *out);
/* As uri_decode with utf8, '+' becoming a blank: HTML form and query values as S3 reads them. */
bool form_decode(struct arena *a, struct str s, struct str *out);
/* encoding-type=url as S3 lists: like uri_encode(keep_slash) but '*' kept. A blank is %20, which every
 * client's decoder reads; '+' only those that decode forms. */
void list_encode(struct buf *out, struct str s);
/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_valid(struct str s);
/* The character at the start of s: its length in bytes with the code point in *cp, or 0 when it is not UTF-8.
 */
size_t utf8_next(struct str s, uint32_t *cp);

#endif
