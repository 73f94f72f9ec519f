/* memory: the store in memory. Everything under one mutex that is never held while waiting, so it may be used
 * from any thread, in fibers and outside. Below the seam: the parts that its two files and the tests share.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store/memory_map.h"
#include "store/store.h"
#include "store/txn.h"

#include <pthread.h>

#define MEMORY_BLOB_BLOCK 32768u

struct memory_blob {
    uint64_t id, size;
    char *data;
    uint64_t *sums;      /* XXH3-64 of each block, salted with id and block number */
    uint64_t trial;      /* references while a transaction is checked */
    uint64_t refs, pins; /* freed when both are 0 */
};

struct memory_store {
    struct idx idx; /* the seams point into this struct */
    struct blobs blobs;
    pthread_mutex_t lock;
    uint64_t capacity, used; /* bytes; capacity 0: unlimited */
    uint64_t seq;
    struct memory_map *entries;  /* key → struct memory_entry */
    uint64_t floor;              /* writes up to here may be forgotten: older reads conflict */
    size_t dead;                 /* entries that are deleted, kept so that checks see when */
    struct memory_map *blob_map; /* big-endian id → struct memory_blob */
    uint64_t next_blob;
};

extern const struct idx_ops memory_idx_ops;
extern const struct blob_ops memory_blob_ops;

/* With the lock held. need bytes more would fit. */
bool memory_fits(const struct memory_store *m, uint64_t need);
/* With the lock held: NULL when absent. */
struct memory_blob *memory_blob_find(const struct memory_store *m, uint64_t id);
/* With the lock held: drops a blob that nobody refers to or reads any more. */
void memory_blob_settle(struct memory_store *m, struct memory_blob *b);
/* With the lock held, in this order: take the memory that publishing needs; then turn the sealed writer into
 * a blob with one reference, which frees the writer and cannot fail. */
err memory_blob_reserve(struct memory_store *m, const struct blob_writer *w);
void memory_blob_publish(struct memory_store *m, struct blob_writer *w);
void memory_blob_free(void *blob);

/* Tests: damages one byte of a published blob. */
void memory_blob_corrupt(struct store *s, uint64_t id, uint64_t off);

#endif
