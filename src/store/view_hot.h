/* view_hot: short values of short keys that nearly every request reads, kept in memory beside the index: a
 * bucket's guard lies deep in the levels of a large one. A table of fixed size; keys that fall on one slot
 * take turns. Any thread.
 *
 * Who reads past it takes a ticket before the look and keeps what it found with that. Who writes calls
 * view_hot_written after the write and before it is visible (idx_now), so the value kept is at most as old as
 * that of a reader who looked before the write, and a transaction that checks the key meets a conflict.
 */
#ifndef STORE_VIEW_HOT_H
#define STORE_VIEW_HOT_H

#include "store/view.h"

#define HOT_VALUE_MAX 64u

struct hot_value {
    uint64_t seq;
    unsigned n;
    char p[HOT_VALUE_MAX];
};

struct view_hot;
struct view_hot *view_hot_new(void); /* NULL: no memory */
void view_hot_free(struct view_hot *h);
bool view_hot_get(struct view_hot *h, struct str key, struct hot_value *out, uint64_t *ticket);
void view_hot_keep(struct view_hot *h, struct str key, struct str value, uint64_t seq, uint64_t ticket);

/* view_get_hot. */
err view_hot_read(struct view_hot *h, struct view *v, struct arena *a, struct str key, struct str *value,
                  uint64_t *seq);

/* The keys of a batch that the table could hold. All zero is an empty one. */
struct hot_keys {
    unsigned n;
    bool many; /* more than there is room for: any */
    uint64_t hash[62];
};
void hot_keys_add(struct hot_keys *k, struct str key);
void view_hot_written(struct view_hot *h, const struct hot_keys *k);

#endif
