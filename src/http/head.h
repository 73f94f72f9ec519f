/* The head of a request: request line and header section. Pure functions over bytes in memory, no I/O.
 *
 * Two steps. head_scan looks for the end of the section in what has come so far, once over each byte, and
 * refuses what no strict reader may guess about: a bare LF or CR, NUL, a folded line. head_parse then runs
 * llhttp (strict) over the complete section and checks the rules of framing. Since parsing starts only when
 * the section is complete, how the bytes were split on their way cannot change the result.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "base/arena.h"
#include "base/errors.h"
#include "http/header.h"

struct head_scan {
    size_t line;    /* offset of the line being read */
    size_t seen;    /* bytes looked at */
    size_t start;   /* offset of the request line: blank lines before it are skipped */
    unsigned lines; /* complete lines from the request line on */
};
enum head_step { HEAD_MORE, HEAD_DONE, HEAD_BAD };

/* p[0..n) is all that came of this request so far; start with a zeroed scan. HEAD_DONE: *end is the length of
 * the section with its empty line. HEAD_BAD: *why. */
enum head_step head_scan(struct head_scan *s, const char *p, size_t n, size_t max_bytes, unsigned max_fields,
                         size_t *end, err *why);

struct head {
    struct str method, target, path, query, host; /* as in struct http_exchange */
    unsigned minor;                               /* HTTP/1.minor */
    struct http_header *headers; /* in the arena; names and values are views of the section */
    size_t nheaders;
    int64_t content_length; /* -1: none */
    bool chunked;
    bool keep_alive; /* what the client asks for, by version and Connection */
    bool expect_continue;
};

/* p[0..n) is the section that head_scan found, from s->start; names are made lower-case in place. On failure
 * *out holds what was understood before it (views may be empty). */
err head_parse(struct arena *a, char *p, size_t n, unsigned lines, struct head *out);

/* A character of a method or a field name (RFC 9110 tchar). */
bool head_is_token(unsigned char c);

#endif
