/* mill: digests of bodies that come in at the same time, computed side by side (hash_set_update_many), which
 * costs a fraction of one after the other. Pieces of bodies wait for one another on their loop, until every
 * fiber there that can run has run; nobody waits for time to pass. What workers hash (lane.h) goes through
 * one queue.
 */
#ifndef OBJECT_MILL_H
#define OBJECT_MILL_H

#include "hash/hash.h"
#include "rt/rt.h"

struct mill;
struct mill *mill_new(void); /* NULL: no memory */
/* Nothing is being fed or ground any more. */
void mill_free(struct mill *m);

/* hash_set_update, in a fiber together with what other fibers of the loop feed. v stays valid until it
 * returns. */
void mill_feed(struct mill *m, struct hash_set *set, struct str v);

/* The same on a worker, beside the caller. It begins when every body that comes in quickly has a piece there,
 * or as many as go together; a body that waits for its piece has patience for 2 ms, and then those whose
 * pieces did not come are no longer waited for, until they come quickly again. v, the job and the body stay
 * until mill_join returned. */
struct mill_job {
    struct list link;
    struct hash_feed feed;
    bool queued, awaited;
    struct rt_waiter done;
};
struct mill_body {
    struct list link;
    int64_t started; /* its last piece */
    bool prompt;     /* its pieces come quickly */
    bool busy;       /* between mill_start and mill_join */
};
void mill_open(struct mill *m, struct mill_body *b); /* one body more */
void mill_close(struct mill *m, struct mill_body *b);
void mill_start(struct mill *m, struct mill_body *b, struct mill_job *j, struct hash_set *set, struct str v);
void mill_join(struct mill *m, struct mill_body *b, struct mill_job *j); /* once for each start */

#endif
