/* tally: what a check adds up over all entries: references to each blob, values of each counter. Memory: 24
 * bytes a blob. One thread. */
#ifndef STORE_TALLY_H
#define STORE_TALLY_H

#include "store/index.h"

struct tally_blob {
    uint64_t id, size; /* the largest size that a reference expects */
    uint32_t refs;
    bool seen; /* the blob table has it */
};
struct tally_counter {
    int64_t want[IDX_COUNTERS_MAX];
};
struct tally;

struct tally *tally_new(void);
void tally_free(struct tally *t);
bool tally_failed(const struct tally *t); /* memory ran out */
void tally_ref(struct tally *t, uint64_t blob, uint64_t min_size);
void tally_count(struct tally *t, struct str key, unsigned i, int64_t delta);
struct tally_blob *tally_find(struct tally *t, uint64_t blob); /* NULL: no entry refers to it */
void tally_each_blob(struct tally *t, void (*fn)(void *arg, struct tally_blob *b), void *arg);
void tally_each_counter(struct tally *t, void (*fn)(void *arg, struct str key, const struct tally_counter *c),
                        void *arg);

#endif
