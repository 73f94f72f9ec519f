/* lane: digests of a long body, computed on a worker while the fiber takes in what follows. MD5 takes longer
 * than everything else that a PUT does, and would hold the loop for as long. The bytes lie in the room of a
 * blob writer and are read there, in pieces; workers take the pieces of all such bodies together (mill.h).
 */
#ifndef OBJECT_LANE_H
#define OBJECT_LANE_H

#include "object/mill.h"

#define LANES_MAX    32 /* bodies at once; others are hashed as they come */
#define LANE_PIECE   ((size_t)128 << 10)
#define LANE_MINIMUM ((int64_t)1 << 20) /* shorter bodies are hashed as they come */

struct lane {
    struct mill *mill;
    struct str piece;              /* came, and is not yet given to workers */
    struct str given[MILL_PIECES]; /* the last ones, at number % MILL_PIECES */
    unsigned ngiven;
    struct mill_body body;
};

/* In a fiber. The set is the caller's. */
void lane_open(struct lane *l, struct mill *mill, struct hash_set *set);
/* Bytes will come to p, which has room for n > 0: waits until no worker will read there, and returns how many
 * of them belong to this piece. */
size_t lane_room(struct lane *l, const char *p, size_t n);
/* n of them came, and stay as they are until lane_room gives them free, or lane_close. */
void lane_filled(struct lane *l, size_t n);
/* Hashes the rest and waits for it; then the set has seen everything. */
void lane_close(struct lane *l);

#endif
