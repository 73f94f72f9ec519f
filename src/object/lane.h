/* lane: digests of a long body, computed on a worker while the fiber takes in what follows. MD5 takes longer
 * than everything else that a PUT does, and would hold the loop for as long. Two buffers: one is hashed and
 * written while the other fills; workers take the buffers of all such bodies together (mill.h).
 */
#ifndef OBJECT_LANE_H
#define OBJECT_LANE_H

#include "object/mill.h"

#define LANES_MAX    32 /* bodies at once; others are hashed as they come */
#define LANE_BUFFER  ((size_t)128 << 10)
#define LANE_MINIMUM ((int64_t)1 << 20) /* shorter bodies are hashed as they come */

struct lane {
    struct mill *mill;
    struct hash_set *set;
    char *buf[2];
    unsigned cur; /* the buffer that fills */
    size_t n;     /* bytes in it */
    bool running; /* a worker hashes the other one */
    struct mill_body body;
    struct mill_job job;
};

/* In a fiber. false: no memory for it; hash without. The set is the caller's. */
bool lane_open(struct lane *l, struct mill *mill, struct hash_set *set);
/* Takes what fits of v (at least one byte) and returns how much. When the buffer is full, *full is its
 * content, being hashed: use it before the next call. */
size_t lane_add(struct lane *l, struct str v, struct str *full);
/* The same where the bytes come straight into the buffer: room for *n > 0 bytes, of which n came. */
char *lane_room(struct lane *l, size_t *n);
struct str lane_filled(struct lane *l, size_t n);
/* The rest, as *full of lane_add. */
struct str lane_flush(struct lane *l);
/* Waits for the worker; then the set has seen everything. */
void lane_close(struct lane *l);

#endif
