#include "store/view_calls.h"
#include "store/view_files.h"

#include <cstring>
#include <memory>
#include <new>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/perf_context.h>
#include <rocksdb/perf_level.h>
#include <rocksdb/write_batch.h>

/* As the binding has them: the handles begin with what they stand for. */
struct rocksdb_t {
    rocksdb::DB *rep;
};
struct rocksdb_writebatch_t {
    rocksdb::WriteBatch rep;
};
struct rocksdb_cache_t {
    std::shared_ptr<rocksdb::Cache> rep;
};

/* ---- cache ---- */

struct rocksdb_cache_t *view_rocks_cache(size_t bytes, size_t block_bytes)
{
    return new rocksdb_cache_t{rocksdb::HyperClockCacheOptions(bytes, block_bytes).MakeSharedCache()};
}

/* ---- get ---- */

static const size_t kept_max = 64 << 10; /* bytes that a kept slice may hold */

struct view_slice {
    rocksdb::PinnableSlice rep;
};

static thread_local std::unique_ptr<view_slice> kept;

static view_slice *slice_take()
{
    return kept ? kept.release() : new view_slice;
}

void view_slice_give(struct view_slice *s)
{
    s->rep.Reset();
    if (!kept && s->rep.GetSelf()->capacity() <= kept_max)
        kept.reset(s);
    else
        delete s;
}

/* In the C library's memory, for rocksdb_free. */
static char *message(const rocksdb::Status &s)
{
    return strdup(s.ToString().c_str());
}

enum view_got view_rocks_get(struct rocksdb_t *db, enum view_from from, const char *key, size_t key_n,
                             struct view_slice **slice, const char **p, size_t *n, char **msg)
{
    rocksdb::ReadOptions o;
    if (from == VIEW_FROM_BLOCKS) o.read_tier = rocksdb::kBlockCacheTier;
    view_slice *got = slice_take();
    view_files_no_wait(from == VIEW_FROM_MEMORY);
    rocksdb::Status s =
        db->rep->Get(o, db->rep->DefaultColumnFamily(), rocksdb::Slice(key, key_n), &got->rep);
    view_files_no_wait(false);
    /* Where it would have to open a table, RocksDB answers with nothing and OK, for KeyMayExist(). Values here
     * are never empty. */
    if (s.ok() && from == VIEW_FROM_BLOCKS && got->rep.empty()) s = rocksdb::Status::Incomplete();
    if (s.ok()) {
        *slice = got;
        *p = got->rep.data();
        *n = got->rep.size();
        return VIEW_GOT;
    }
    view_slice_give(got);
    if (s.IsNotFound()) return VIEW_ABSENT;
    /* What went wrong without waiting is met again by who may wait, and said there. */
    if (s.IsIncomplete() || from == VIEW_FROM_MEMORY) return VIEW_NEEDS_DISK;
    *msg = message(s);
    return VIEW_FAILED;
}

/* ---- batches ---- */

void view_rocks_put(struct rocksdb_writebatch_t *b, const char *key, size_t key_n, const char *head,
                    size_t head_n, const char *value, size_t value_n)
{
    rocksdb::Slice k(key, key_n), v[2] = {rocksdb::Slice(head, head_n), rocksdb::Slice(value, value_n)};
    b->rep.Put(rocksdb::SliceParts(&k, 1), rocksdb::SliceParts(v, 2));
}

/* ---- counts ---- */

void view_rocks_count_marks(bool on)
{
    rocksdb::SetPerfLevel(on ? rocksdb::kEnableCount : rocksdb::kDisable);
}

uint64_t view_rocks_marks(void)
{
    return rocksdb::get_perf_context()->internal_delete_skipped_count;
}
