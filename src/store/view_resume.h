/* view_resume: what RocksDB's C binding lacks so that the index outlives an error of its background work (a
 * flush, a compaction, the manifest) that does not come again, and what RocksDB 7.8 gets wrong about it:
 *
 * - Once it was resumed, its flush says that all is well without having waited. So what is on disk is known
 * here from what it tells of each flush that has ended, never from that answer.
 * - A flush that was scheduled and finds an error which another job has met is forgotten, and then Resume()
 * waits for it for ever. Flushes run one at a time, so that other job is a compaction: its errors stop
 * nothing, RocksDB compacts again by itself, and only when that fails again and again it is told of the
 * error. Resume() begins when no background work is left that could fail, and there is one at a time, whoever
 * asks. Should it not come back all the same, those who asked do.
 *
 * Any thread; the calls that wait belong on a worker. */
#ifndef STORE_VIEW_RESUME_H
#define STORE_VIEW_RESUME_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
struct rocksdb_t;
struct rocksdb_options_t;
struct view_watch;
/* Before the database is opened with these options. failed is told, by any thread, of errors that stop
 * nothing; full of want of space that does. By itself RocksDB would have the database opened anew after an
 * I/O error, without what was in memory. To resume is sound, for what failed is never flushed again: new
 * files are written from what memory still holds. */
struct view_watch *view_watch_new(struct rocksdb_options_t *o, void (*failed)(void *arg, const char *message),
                                  void (*full)(void *arg), void *arg);
/* Right after it was opened. */
void view_watch_open(struct view_watch *w, struct rocksdb_t *db);
/* Ends background work, and whoever waits here; the database is to be closed next. */
void view_watch_stop(struct view_watch *w);
void view_watch_free(struct view_watch *w); /* after the database */

/* Everything written before the call is on disk when it returns NULL; else what RocksDB says, for
 * rocksdb_free. */
char *view_rocks_flush(struct view_watch *w);
/* All who ask meanwhile share one attempt and its answer; for a minute at most. false: it cannot write yet;
 * why says so in RocksDB's words. */
bool view_rocks_resume(struct view_watch *w, char why[256]);
#ifdef __cplusplus
}
#endif

#endif
