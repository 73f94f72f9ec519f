/* body: bytes that are pulled, once, in order. A request body as it comes in, an object's data as it goes
 * out.
 *
 * A source either comes from outside (HTTP, a blob, memory) or is a filter over another source. body_next
 * gives a view of the next bytes, owned by the source and valid until the next call on it; an empty view is
 * the end. A source fails once and then keeps failing with the same error. Filters own what they wrap:
 * body_close closes the chain. Fiber context; next may wait. Nothing here holds more than its declared bound
 * (64 KiB unless a source says otherwise).
 */
#ifndef BODY_BODY_H
#define BODY_BODY_H

#include "base/arena.h"
#include "base/errors.h"
#include "hash/hash.h"

struct body;
struct body_ops {
    const char *name;
    err (*next)(struct body *b, struct str *out); /* out->n == 0: end */
    void (*close)(struct body *b);                /* may be NULL */
    /* body_read without a copy; NULL: there is no such way */
    err (*read)(struct body *b, char *p, size_t n, size_t *got);
};
struct body {
    const struct body_ops *ops;
    struct body *inner; /* what a filter wraps; NULL for a source */
    int64_t length;     /* bytes that will come, -1 unknown */
};

err body_next(struct body *b, struct str *out);
/* The same into memory of the caller's: at least one of n > 0 bytes, 0 at the end. Only where body_reads. */
err body_read(struct body *b, char *p, size_t n, size_t *got);
bool body_reads(const struct body *b);
void body_close(struct body *b); /* NULL is fine; closes inner after itself */

struct body *body_of_bytes(struct arena *a, struct str bytes); /* bytes must outlive it */
/* Hash what passes. The set is the caller's and outlives the filter; ask it for digests after the end was
 * seen. */
struct body *body_hashed(struct arena *a, struct body *inner, struct hash_set *set);
/* Check one digest when the end comes; `wrong` if it differs. Needs nothing from the caller but the expected
 * bytes. */
struct body *body_verified(struct arena *a, struct body *inner, enum hash_alg alg,
                           const struct hash_value *want, err wrong);
/* Of a body_verified that failed by its digest: what was computed. */
bool body_verified_got(const struct body *b, struct hash_value *got);
/* Read all into arena memory, at most max bytes (ERR_MAX_MESSAGE_LENGTH beyond). */
err body_read_all(struct arena *a, struct body *b, size_t max, struct str *out);

#endif
