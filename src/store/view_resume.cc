/* The calls of RocksDB that its C binding lacks. */
#include "store/view_resume.h"

#include <cstdio>
#include <memory>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

/* As the binding has them. */
struct rocksdb_t {
    rocksdb::DB *rep;
};
struct rocksdb_options_t {
    rocksdb::Options rep;
};

namespace
{

/* A compaction that finds no space stops nothing. */
bool stops_for_space(rocksdb::BackgroundErrorReason reason, const rocksdb::Status &s)
{
    return s.IsNoSpace() && reason != rocksdb::BackgroundErrorReason::kCompaction;
}

class Resumable : public rocksdb::EventListener
{
    void (*const full)(void *);
    void *const arg;

  public:
    Resumable(void (*full_)(void *), void *arg_) : full(full_), arg(arg_) {}

    /* RocksDB calls an I/O error fatal and then refuses to resume. Of damaged files and of memory it is right
     * to do so. */
    void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status *s) override
    {
        using rocksdb::BackgroundErrorReason;
        bool memory =
            reason == BackgroundErrorReason::kMemTable || reason == BackgroundErrorReason::kWriteCallback;
        if (!memory && s->IsIOError() && s->severity() == rocksdb::Status::Severity::kFatalError)
            *s = rocksdb::Status(*s, rocksdb::Status::Severity::kHardError);
        if (stops_for_space(reason, *s)) full(arg);
    }

    /* RocksDB would look for space each five seconds, and refuse to be resumed meanwhile. */
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason reason, rocksdb::Status s,
                              bool *auto_recovery) override
    {
        if (stops_for_space(reason, s)) *auto_recovery = false;
    }
};

} // namespace

void view_rocks_resumable(struct rocksdb_options_t *o, void (*full)(void *arg), void *arg)
{
    o->rep.listeners.push_back(std::make_shared<Resumable>(full, arg));
}

bool view_rocks_resume(struct rocksdb_t *db, char why[256])
{
    rocksdb::Status s = db->rep->Resume();
    if (!s.ok()) std::snprintf(why, 256, "%s", s.ToString().c_str());
    return s.ok();
}
