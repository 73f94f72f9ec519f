/* view_files: RocksDB's files, so that a loop may take from them what the page cache holds, and wait for no
 * disk. Like RocksDB's own calls, these stand outside the table of calls. */
#ifndef STORE_VIEW_FILES_H
#define STORE_VIEW_FILES_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
struct rocksdb_options_t;
struct view_files;
/* For a database that is opened with these options; frees after it. */
struct view_files *view_files_new(struct rocksdb_options_t *o);
void view_files_free(struct view_files *f);

/* While set, this thread's reads of tables give what is in memory or an error, and open none. */
void view_files_no_wait(bool on);
/* A table was opened a moment ago: others may follow, and RocksDB has a lock for that which no loop should
 * meet. Any thread. */
bool view_files_opening(void);
#ifdef __cplusplus
}
#endif

#endif
