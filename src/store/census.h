/* census: what the index as a whole says, gathered in one walk: every blob of the table and the references to
 * it that entries hold, every extent that a blob claims, what the counters should be. For check, and for
 * recovery of a damaged store. Not thread-safe.
 *
 * Memory: 20 bytes a blob, 16 bytes an extent, some hundred bytes for each counter key: 10 million objects in
 * extents of their own take 360 MB, in the log 200 MB. */
#ifndef STORE_CENSUS_H
#define STORE_CENSUS_H

#include "store/cells.h"
#include "store/memory_map.h"
#include "store/store.h"

enum { PLACE_UNSEEN, PLACE_SEEN, PLACE_FREED };
struct census_place {    /* an extent that a blob of the table claims */
    uint32_t file, page; /* offset / 4,096 */
    uint32_t pages : 30, state : 2;
    uint32_t blob; /* its index in the arrays below */
};
struct census {
    size_t nblobs, blobs_cap; /* ascending by id */
    uint64_t *id, *size;
    uint32_t *refs; /* found in entries; the top bit: one of them expects more bytes than there are */
    size_t nplaces, places_cap;
    struct census_place *places; /* ascending by file and page, once census_blobs returned */
    uint64_t *live;              /* bytes that live in each extent file */
    size_t nlive;
    uint64_t *missing; /* blobs that entries refer to and the table does not have; ascending once
                          census_entries returned */
    size_t nmissing, missing_cap;
    struct memory_map *counters; /* by key: int64_t[IDX_COUNTERS_MAX] */
    uint64_t entries;
    err e; /* latched: memory is out */
};
#define CENSUS_SHORT    ((uint32_t)1 << 31)
#define CENSUS_REFS_MAX (CENSUS_SHORT - 1)

void census_init(struct census *c);
void census_free(struct census *c);

/* Where the walks say what they meet that is not as it should be. */
struct census_watch {
    void (*bad_blob)(void *arg, struct str key); /* an entry of the engine's own shard that does not decode */
    void (*bad_entry)(void *arg, struct str key); /* an entry that the layer above does not understand */
    void (*missing)(void *arg, struct str key, uint64_t blob); /* that an entry refers to; once a reference */
    void (*progress)(void *arg, uint64_t done);                /* entries */
    void *arg;
};
/* First the blob table, then the entries. */
err census_blobs(struct census *c, struct view *v, const struct census_watch *w);
err census_entries(struct census *c, struct view *v, const struct check_options *o,
                   const struct census_watch *w);

/* The index of blob id, or SIZE_MAX. */
size_t census_find(const struct census *c, uint64_t id);
bool census_is_missing(const struct census *c, uint64_t id);
/* What entries add up to (a node of counters) is not what is kept. */
bool census_counter_wrong(const struct memory_node *n, struct str have);
/* The claimed extent that begins at, or covers, this place; NULL. */
struct census_place *census_place_at(const struct census *c, uint32_t file, uint64_t offset);
/* The claimed extents of one file: the first, and how many. */
struct census_place *census_places_of(const struct census *c, uint32_t file, size_t *n);

/* A key for a line: shard, space, and the rest with what is not plain ASCII as %XX. */
struct census_key {
    char text[4 * IDX_KEY_MAX];
};
const char *census_key_text(struct str key, struct census_key *out);

/* Walks the blob table: fn is called outside of any scan, so it may wait and write, with entries as they were
 * when their page was read; places are freed afterwards. What does not decode is passed over. */
typedef err blob_table_fn(void *arg, const struct blob_entry *b);
err blob_table_walk(struct view *v, blob_table_fn *fn, void *arg);

#endif
