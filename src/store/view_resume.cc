/* The one call of RocksDB that its C binding lacks. */
#include "store/view_resume.h"

#include <cstdio>
#include <rocksdb/db.h>

/* As the binding has it: the handle begins with the database. */
struct rocksdb_t {
    rocksdb::DB *rep;
};

bool view_rocks_resume(struct rocksdb_t *db, char why[256])
{
    rocksdb::Status s = db->rep->Resume();
    if (!s.ok()) std::snprintf(why, 256, "%s", s.ToString().c_str());
    return s.ok();
}
