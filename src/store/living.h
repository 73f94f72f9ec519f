/* living: which of many bodies in the log still live, by one walk over the blob table. A look-up of each
 * reads the index thousands of times a segment. */
#ifndef STORE_LIVING_H
#define STORE_LIVING_H

#include "store/view.h"

/* Memory: 8 bytes a body that was asked about at once. */
struct living {
    uint64_t *ids; /* asked about; after living_find those that live, ascending */
    size_t n, cap;
};

/* Asked about besides. ERR_NO_MEMORY. */
err living_ask(struct living *l, uint64_t blob);
/* Keeps those that the view has in the log. What it does not have is gone for good, if all commits up to the
 * bodies' own are in the view. Fiber or start-up; waits for a worker. */
err living_find(struct living *l, struct view *v);
bool living_has(const struct living *l, uint64_t blob);
void living_clear(struct living *l); /* keeps the memory */
void living_free(struct living *l);

#endif
