/* log_op: what a commit does, as the log keeps it: the payload of a record is a sequence of commits, each a
 * count and its operations. The committer encodes them, replay, collection and recovery decode them; the page
 * is docs/format/log.md.
 *
 * A tag that is not known is refused (ERR_UNSUPPORTED_FORMAT): what a newer version logged must not be half
 * replayed.
 */
#ifndef STORE_LOG_OP_H
#define STORE_LOG_OP_H

#include "base/arena.h"
#include "base/bytes.h"
#include "store/extents.h"
#include "store/txn.h"

/* Beside TXN_PUT … TXN_UNREF. */
enum {
    LOG_FREE =
        7, /* the extents of a blob whose last reference went with this commit: replay frees them again */
    LOG_MOVE =
        8, /* a blob's bytes left the log for extents; no places: they were found damaged and are lost */
    LOG_REFS = 9, /* check set a blob's references to what entries hold; 0: as if the last one went */
};

enum log_body {
    LOG_BODY_INLINE,
    LOG_BODY_EXTENTS,
    LOG_BODY_STRIPPED /* archive: the inline bytes were left out */
};

struct log_op {
    unsigned kind;
    struct str key, value;           /* PUT, DEL, ADD */
    unsigned n;                      /* ADD: numbers */
    int64_t delta[IDX_COUNTERS_MAX]; /* ADD */
    uint64_t blob;                   /* PUBLISH, REF, UNREF, FREE, MOVE, REFS */
    uint64_t size;                   /* PUBLISH */
    uint64_t refs;                   /* REFS */
    enum log_body where;             /* PUBLISH */
    struct str owner;                /* PUBLISH inline: kept for the extent that the body moves to */
    struct str body;                 /* PUBLISH inline */
    uint64_t sum;                    /* PUBLISH inline: log_body_sum() */
    uint64_t segment, offset; /* PUBLISH inline: where the body lies, set by who knows; MOVE: where it was */
    const struct extent_place *places; /* PUBLISH extents, FREE, MOVE */
    size_t nplaces;
};

/* Checksum of an inline body. */
uint64_t log_body_sum(uint64_t blob, struct str body);
/* An upper bound of what log_op_encode adds. */
size_t log_op_bound(const struct log_op *op);
/* Appends; for an inline body, sets op->offset to the body's distance from the buffer's start. */
void log_op_encode(struct buf *out, struct log_op *op);
/* Views into r's bytes; places in a. For an inline body op->offset is its distance from `base`. ERR_CORRUPT,
 * ERR_UNSUPPORTED_FORMAT, ERR_NO_MEMORY. */
err log_op_decode(struct rd *r, const char *base, struct arena *a, struct log_op *op);

void log_places_encode(struct buf *out, const struct extent_place *p, size_t n);
err log_places_decode(struct rd *r, struct arena *a, const struct extent_place **p, size_t *n);

/* Walk the commits of a payload: fn is called for each operation, and with op NULL at the end of each commit.
 */
typedef err log_op_fn(void *arg, uint64_t seq, struct log_op *op);
err log_payload_walk(struct str payload, uint64_t first_seq, uint32_t commits, struct arena *a, log_op_fn *fn,
                     void *arg);

#endif
