/* view_resume: lets RocksDB write again after a background flush met a full disk. On a worker: it flushes. */
#ifndef STORE_VIEW_RESUME_H
#define STORE_VIEW_RESUME_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
struct rocksdb_t;
/* false: it cannot yet; why says so in RocksDB's words. */
bool view_rocks_resume(struct rocksdb_t *db, char why[256]);
#ifdef __cplusplus
}
#endif

#endif
