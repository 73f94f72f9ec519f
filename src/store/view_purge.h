/* view_purge: the view's own compaction of what was deleted, in the background. Any thread. */
#ifndef STORE_VIEW_PURGE_H
#define STORE_VIEW_PURGE_H

#include "store/dead.h"

#include <rocksdb/c.h>

struct purge;
struct purge *purge_new(rocksdb_t *db); /* NULL: no memory */
/* Stops what runs, and from a fiber waits for it; nothing begins any more. The database is still open. */
void purge_stop(struct purge *p);
void purge_free(struct purge *p); /* stopped, or the runtime has ended */
/* What a batch deleted, now that it was written; starts the work when there is enough. Outside fibers nothing
 * is started: the next call from one does it. */
void purge_note(struct purge *p, struct dead *deleted);
uint64_t purge_rounds(struct purge *p);
bool purge_idle(struct purge *p);

#endif
