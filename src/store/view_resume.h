/* view_resume: what RocksDB's C binding lacks so that it writes again after a background flush or compaction
 * has failed: on a full disk, or by an I/O error that may not come again. */
#ifndef STORE_VIEW_RESUME_H
#define STORE_VIEW_RESUME_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
struct rocksdb_t;
struct rocksdb_options_t;
/* Databases opened with these options can be resumed after an I/O error, too; by itself RocksDB would have
 * them opened anew, without what was in memory. Sound, for what failed is never flushed again: resuming
 * writes new files from what memory still holds. full is called on any thread when a flush has met a full
 * disk, before a write is refused for it. */
void view_rocks_resumable(struct rocksdb_options_t *o, void (*full)(void *arg), void *arg);
/* On a worker: it flushes. false: it cannot yet; why says so in RocksDB's words. */
bool view_rocks_resume(struct rocksdb_t *db, char why[256]);
#ifdef __cplusplus
}
#endif

#endif
