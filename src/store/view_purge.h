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

/* What a scan steps over says where marks lie, whoever made them and when: before a restart, or as few among
 * many. On the scan's own thread, which RocksDB counts for. */
struct purge_meter {
    uint64_t seen;
    size_t last_n;
    char last[IDX_KEY_MAX];
    struct dead_range found; /* from before the first dense stretch to behind the last */
};
void purge_meter_begin(struct purge_meter *m, struct str from);
void purge_meter_from(struct purge_meter *m, struct str key); /* it goes on from here */
void purge_meter_step(struct purge_meter *m, struct str key); /* the scan has come to this key */
void purge_meter_end(void);
void purge_note_found(struct purge *p, const struct dead_range *found); /* fiber */
uint64_t purge_rounds(struct purge *p);
bool purge_idle(struct purge *p);

#endif
