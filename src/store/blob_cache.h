/* blob_cache: bodies small enough to ride in the log, kept in memory: by their writer until it is published,
 * by readers, and by a bounded cache of those last used. Reference-counted and immutable once sealed; any
 * thread. */
#ifndef STORE_BLOB_CACHE_H
#define STORE_BLOB_CACHE_H

#include "base/list.h"
#include "base/str.h"

struct small_body {
    unsigned users; /* atomic */
    uint64_t id;
    size_t n, cap;
    struct list lru;
    struct small_body *chain;
    char *p; /* `first`, until it outgrows that */
    char first[];
};
struct small_body *small_body_new(uint64_t id, size_t cap); /* one user; NULL: no memory */
bool small_body_grow(struct small_body *b, size_t cap);     /* before it is shared */
void small_body_drop(struct small_body *b);

struct blob_cache;
struct blob_cache *blob_cache_new(size_t bytes);
void blob_cache_free(struct blob_cache *c);
struct small_body *blob_cache_get(struct blob_cache *c, uint64_t id); /* a use for the caller, or NULL */
void blob_cache_put(struct blob_cache *c, struct small_body *b);      /* takes a use of its own */
void blob_cache_remove(struct blob_cache *c, uint64_t id);
struct blob_cache_stats {
    uint64_t bytes, hits, misses;
};
void blob_cache_get_stats(struct blob_cache *c, struct blob_cache_stats *out);

#endif
