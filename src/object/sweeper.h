/* sweeper: what time and crashes leave behind, removed in the background: results of completed uploads after
 * a day, shards of buckets that were deleted or never came to be. */
#ifndef OBJECT_SWEEPER_H
#define OBJECT_SWEEPER_H

#define SWEEP_MARK_MS  (24 * 3600 * (int64_t)1000) /* a repeated Complete gets its answer for so long */
#define SWEEP_DRAFT_MS (3600 * (int64_t)1000)      /* no creation takes longer */

struct sweeper;
/* Ends the sweeper and waits for it, in a fiber of its loop: nothing reads the index after that. NULL is
 * none. */
void sweeper_free(struct sweeper *s);

#endif
