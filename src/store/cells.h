/* cells: the entries that commits read before they write — blob table entries and counters — held in memory
 * while a commit, a reader or replay uses them, and for a while after.
 *
 * A cell in memory is the truth; the view may lag behind it by what is being committed. It is loaded from the
 * view once, by the first who pins it (others wait), and may be dropped only when nobody pins it: by then the
 * view holds it. The one who assigns sequences changes cells (one at a time, under the lock, since readers
 * look at places); all others read.
 *
 * A blob whose last reference went stays as a dead cell until its readers let go; then its extents are freed.
 */
#ifndef STORE_CELLS_H
#define STORE_CELLS_H

#include "base/list.h"
#include "rt/rt.h"
#include "store/extents.h"
#include "store/view.h"

/* ---- the blob table's entry ---- */
enum blob_where {
    BLOB_INLINE,
    BLOB_EXTENTS,
    BLOB_LOST /* its bytes were found damaged while they were moved */
};
struct blob_places { /* shared by cell and readers, who take their use under the lock of cells */
    unsigned users;  /* atomic */
    size_t n;
    struct extent_place v[];
};
struct blob_entry {
    uint64_t id, size, refs;
    uint64_t trial; /* references while a transaction is checked */
    enum blob_where where;
    uint64_t segment, offset, sum; /* inline */
    struct blob_places *places;    /* extents */
};
/* The key of a blob's entry, of an extent file's live count, of the applied state, in the engine's own shard.
 */
#define INNER_KEY_MAX 20
struct str inner_key(char out[INNER_KEY_MAX], char kind, uint64_t id);
#define INNER_BLOB    'b'
#define INNER_FILE    'f'
#define INNER_APPLIED 'a'
void blob_entry_encode(struct buf *out, const struct blob_entry *e);
/* places in memory of their own; e->id is the caller's. */
err blob_entry_decode(struct str value, struct blob_entry *e);
bool blob_entry_in_log(struct str value); /* where is BLOB_INLINE, as far as one can tell at a glance */
struct blob_places *blob_places_copy(const struct extent_place *v, size_t n); /* users 1; NULL: no memory */

/* ---- cells ---- */
enum cell_kind { CELL_BLOB, CELL_COUNTERS };
struct cell {
    struct list lru;     /* when not pinned */
    struct list waiters; /* of parks, while loading */
    struct cell *chain;
    uint64_t hash;
    unsigned pins;
    bool loading;
    bool settled; /* written as a whole while it was loading: what the view says is old */
    bool present; /* exists as of the last assigned sequence */
    err error;    /* loading failed */
    enum cell_kind kind;
    struct blob_entry blob;
    uint64_t dead_seq; /* blob: the commit that took its last reference; its extents are not freed yet */
    struct list dead;  /* in cells' list of such */
    unsigned n;        /* counters */
    int64_t v[IDX_COUNTERS_MAX];
    size_t key_len;
    char key[];
};
static inline struct str cell_key(const struct cell *c)
{
    return str_of(c->key, c->key_len);
}

void cell_set_counters(struct cell *c, struct str value); /* as the view has them */

struct cells;
/* free_places runs when a dead blob's last reader let go, without the lock. */
struct cells *cells_new(struct view *v, void (*free_places)(void *arg, const struct blob_places *p),
                        void *arg);
void cells_free(struct cells *t);
/* Held for a few instructions, never over an allocation that can be had before; no loop sleeps on it
 * (rt_latch). */
void cells_lock(struct cells *t);
void cells_unlock(struct cells *t);

/* Pins; loads if need be (waits). *out is also set when the entry does not exist (present is false). */
err cells_pin(struct cells *t, struct str key, enum cell_kind kind, struct cell **out);
/* The cell of an entry that does not exist yet (a new blob's): pinned, present, to be filled. NULL: no
 * memory. */
struct cell *cells_make(struct cells *t, struct str key, enum cell_kind kind);
/* The cell of a key, pinned, if it is in memory, even while it is being loaded: who then writes it sets
 * settled. */
struct cell *cells_find(struct cells *t, struct str key);
void cells_unpin(struct cells *t, struct cell *c);
/* With the lock held: the blob's last reference went. */
void cells_note_dead(struct cells *t, struct cell *c, uint64_t seq);
/* With the lock held: it did not. */
void cells_revive(struct cell *c);
/* With the lock held: calls fn for each dead blob whose extents still wait for readers. */
void cells_each_dead(struct cells *t, void (*fn)(void *arg, const struct cell *c), void *arg);
/* Drops one use of shared places. */
void blob_places_drop(struct blob_places *p);

#endif
