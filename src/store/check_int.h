/* What the files of check share. See store.h for what it promises.
 *
 *   check.c         the order of things, lines of findings
 *   check_log.c     archive and log
 *   check_blobs.c   each blob: references, places, bytes
 *   check_space.c   what lies in extent files that no blob claims; the files' live counts
 *   check_repair.c  putting right what can be
 *
 * Rule of repair: what is not understood makes nothing else free. With one entry that does not decode, one
 * blob missing, or an index that cannot be read to its end, references may exist that were not seen: then
 * nothing is freed and no count is lowered. */
#ifndef STORE_CHECK_INT_H
#define STORE_CHECK_INT_H

#include "store/census.h"
#include "store/engine_int.h"

struct check {
    const struct check_options *o;
    struct check_report *r;
    struct engine *e;
    struct store store;
    struct census census;
    unsigned lines;
    uint64_t unsaid;      /* findings beyond the bound of lines */
    bool unclean;         /* read-only after a crash: the next start frees what that left behind */
    bool unknown;         /* something was not understood: nothing may be freed */
    bool unreadable;      /* the index has damage of its own: nothing at all is repaired */
    bool archive_damaged; /* a new snapshot of the index replaces it */
    bool space_wrong;     /* a finding that freeing around the live extents puts right */

    uint64_t *pending; /* unclean: places that the log says are being freed; ascending */
    size_t npending, pending_cap;
    uint32_t *tails; /* unclean: files that a crash may have left something in; ascending */
    size_t ntails, tails_cap;
};

void check_finding(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_progress(struct check *c, const char *phase, uint64_t done, uint64_t total, const char *unit);

err check_history(struct check *c);
err check_blobs(struct check *c);
err check_space(struct check *c);
err check_counters(struct check *c);

err check_repair(struct check *c);

#endif
