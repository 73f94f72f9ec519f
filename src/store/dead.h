/* dead: which ranges of the index hold many marks of deleted keys. A scan has to step over each mark and over
 * what it hides, so where the marks are dense they are flushed and compacted away. A range is counted for
 * each prefix of 9 bytes (the shard and what follows), from the least deleted key to the greatest. The
 * engine's own shard is left out.
 */
#ifndef STORE_DEAD_H
#define STORE_DEAD_H

#include "store/index.h"

#define DEAD_PREFIX 9u
#define DEAD_RANGES 8u

struct dead_range {
    uint64_t count; /* 0: free */
    uint64_t look;  /* at this count it is looked at again */
    struct {
        size_t n;
        char p[IDX_KEY_MAX];
    } lo, hi; /* both deleted */
};
struct dead {
    unsigned n;
    struct dead_range r[DEAD_RANGES];
};
void dead_bound(struct dead_range *r, bool hi, struct str key);
void dead_add(struct dead *d, struct str key);
void dead_merge(struct dead *d, struct dead *from); /* empties from */

#endif
