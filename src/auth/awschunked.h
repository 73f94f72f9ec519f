/* awschunked: the body encoding "aws-chunked" of SigV4, as a filter.
 *
 *   signed     <hex size>;chunk-signature=<64 hex>\r\n <data> \r\n ... 0;chunk-signature=<64 hex>\r\n
 * [trailers] \r\n unsigned   <hex size>\r\n <data> \r\n ... 0\r\n [trailers] \r\n trailer <name>:<value>\r\n,
 * and x-amz-trailer-signature:<64 hex>\r\n as the last one of the signed form
 *
 * Data passes without being copied or held: a chunk may have any size. Its signature is checked before its
 * last bytes are passed on, so a reader that saw the end saw only bytes that were signed; what came before
 * the end must not be made visible. Bounds: a line AWSCHUNKED_LINE_MAX, all trailers AWSCHUNKED_TRAILER_MAX.
 * One fiber at a time.
 */
#ifndef AUTH_AWSCHUNKED_H
#define AUTH_AWSCHUNKED_H

#include "body/body.h"

#define AWSCHUNKED_LINE_MAX    512
#define AWSCHUNKED_TRAILER_MAX 2048
#define AWSCHUNKED_MIN         8192 /* a chunk that is not the last one */

struct awschunked_in {
    uint64_t decoded_length; /* x-amz-decoded-content-length */
    bool has_signatures;
    bool has_trailers;
    struct str trailer_name; /* the one that x-amz-trailer declares, lower-case; n 0: none */
    /* signed forms; copied */
    uint8_t key[32];
    struct str date, scope; /* scope at most 128 bytes */
    struct str seed;        /* the request's signature, 64 hex digits */
};
struct awschunked;
/* NULL when memory is out. */
struct awschunked *awschunked_new(struct arena *a, struct body *inner, const struct awschunked_in *in);
struct body *awschunked_body(struct awschunked *c);
/* The declared trailer's value after the end; STR_NONE before it or where none was declared. */
struct str awschunked_trailer(const struct awschunked *c);

#endif
