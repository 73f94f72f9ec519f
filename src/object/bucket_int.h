/* bucket_int: what creation, deletion and the sweeper share about shards without a living name. */
#ifndef OBJECT_BUCKET_INT_H
#define OBJECT_BUCKET_INT_H

#include "object/internal.h"

/* Value of a draft entry: u8 state, u64 time in ms. */
#define DRAFT_SIZE 9
enum draft_state {
    DRAFT_CREATING = 1, /* a creation holds this id; old ones were lost in a crash */
    DRAFT_PURGE = 2,    /* no name leads to this shard any more: empty it */
};
struct str draft_encode(struct arena *a, enum draft_state state);
void key_of_draft(struct key *k, uint64_t id);
/* Take the name off a bucket whose guard is dead, leaving a draft to purge. */
err bucket_drop_name(struct objects *o, struct str name, uint64_t id);
/* A creation that lost: mark its draft for purging, then purge. ERR_CONFLICT-free; errors leave it to the
 * sweeper. */
void bucket_discard(struct objects *o, uint64_t id);

#endif
