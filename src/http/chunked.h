/* The chunked transfer coding (RFC 9112 7.1) of request bodies, decoded in place. A pure state machine.
 *
 * llhttp 8.1 reads chunks too, but bounds neither their extensions nor their trailers. This reader takes CRLF
 * alone, sizes below 2^63, 1 KiB of size line a chunk and 8 KiB of trailers, whose fields are dropped.
 */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include "base/str.h"

struct chunked {
    int state;     /* 0 at first */
    int64_t size;  /* of this chunk; of its rest while in its data */
    unsigned used; /* bytes of this size line, or of the trailers */
    bool blank;    /* nothing on this trailer line yet */
};
enum chunk_step { CHUNK_MORE, CHUNK_DATA, CHUNK_END, CHUNK_BAD };

/* Read from *p. CHUNK_DATA: *data is a piece of content, *p behind it. CHUNK_MORE: all of the input was used
 * and more is needed. CHUNK_END: the body ended; *p is what follows it. */
enum chunk_step chunked_step(struct chunked *c, const char **p, const char *end, struct str *data);

/* Content bytes that the chunk being read still has: what may be read without meeting the next message. */
int64_t chunked_left(const struct chunked *c);

#endif
