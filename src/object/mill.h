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

/* A long body, hashed by workers beside the fiber that takes it in. Its pieces wait in order; a worker takes
 * the first of each body that has one. It begins when every body that comes in quickly has a piece there, or
 * as many as go together; who waits for room has patience for 2 ms, and then those without a piece are no
 * longer waited for, until their pieces come quickly again. */
#define MILL_PIECES 8u
struct mill_body {
    struct list link, ready;
    struct hash_set *set;
    struct str piece[MILL_PIECES]; /* a ring: left of them, the first at `first` */
    unsigned first, left, want;
    bool queued, awaited; /* ready; its fiber has lost patience */
    bool waiting;         /* its fiber, until no more than want are left */
    bool prompt;          /* its pieces come quickly */
    int64_t came;         /* the last piece */
    struct rt_waiter done;
};
void mill_open(struct mill *m, struct mill_body *b, struct hash_set *set);
void mill_close(struct mill *m, struct mill_body *b); /* no piece is left */
/* v stays as it is until mill_wait says that it was hashed. Fewer than MILL_PIECES are left. */
void mill_put(struct mill *m, struct mill_body *b, struct str v);
/* Until at most n pieces are left. */
void mill_wait(struct mill *m, struct mill_body *b, unsigned n);

#endif
