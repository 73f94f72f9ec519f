/* resolver: which keys were written of late, for the conflict checks of the committer (FoundationDB's idea):
 * a key's hash selects a slot that holds the sequence of the last write to any key of that slot. Two keys in
 * one slot can only cause a conflict too many, never one too few; nothing is evicted. Used by one committer
 * at a time. */
#ifndef STORE_RESOLVER_H
#define STORE_RESOLVER_H

#include "base/str.h"

struct resolver;

struct resolver *resolver_new(void); /* NULL when memory is out */
void resolver_free(struct resolver *r);
void resolver_note(struct resolver *r, struct str key, uint64_t seq);
/* Commits from `first` on, which are the last noted, did not come to be; their sequences are used again. */
void resolver_take_back(struct resolver *r, uint64_t first);
/* The key may have been written after read_seq. */
bool resolver_conflicts(const struct resolver *r, struct str key, uint64_t read_seq);

#endif
