/* view_calls: calls that RocksDB's C binding lacks, or makes with allocations of its own. */
#ifndef STORE_VIEW_CALLS_H
#define STORE_VIEW_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
struct rocksdb_t;
struct rocksdb_writebatch_t;
struct rocksdb_cache_t;

/* Of blocks of about block_bytes; rocksdb_cache_destroy's. It has no locks, which loops would meet; but for
 * comments it is the one that the next release of RocksDB, 7.9, calls ready for production. */
struct rocksdb_cache_t *view_rocks_cache(size_t bytes, size_t block_bytes);

/* What a get found. Each thread keeps one that was given back, with its memory, for the next. */
struct view_slice;
enum view_got { VIEW_GOT, VIEW_ABSENT, VIEW_NEEDS_DISK, VIEW_FAILED };
enum view_from {
    VIEW_FROM_BLOCKS, /* that RocksDB holds */
    VIEW_FROM_MEMORY, /* or the page cache */
    VIEW_FROM_DISK    /* or the disk: waits */
};
/* VIEW_GOT: *slice holds *p, of *n bytes, until it is given back. VIEW_FAILED: *msg is rocksdb_free's. */
enum view_got view_rocks_get(struct rocksdb_t *db, enum view_from from, const char *key, size_t key_n,
                             struct view_slice **slice, const char **p, size_t *n, char **msg);
void view_slice_give(struct view_slice *s);

/* Puts head and value together as the value. */
void view_rocks_put(struct rocksdb_writebatch_t *b, const char *key, size_t key_n, const char *head,
                    size_t head_n, const char *value, size_t value_n);

/* How many marks of deleted keys this thread's scans stepped over, while they are counted. */
void view_rocks_count_marks(bool on);
uint64_t view_rocks_marks(void);
#ifdef __cplusplus
}
#endif

#endif
