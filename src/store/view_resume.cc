/* The calls of RocksDB that its C binding lacks. */
#include "store/view_resume.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <string>
#include <system_error>
#include <thread>

using rocksdb::Status;
using std::chrono::milliseconds;
using std::chrono::seconds;

/* As the binding has them. */
struct rocksdb_t {
    rocksdb::DB *rep;
};
struct rocksdb_options_t {
    rocksdb::Options rep;
};

namespace
{

const unsigned compactions_failed_max = 8; /* in a row, about a second each */
const seconds resume_max(60);              /* that an attempt is waited for */
const seconds quiet_max(10);               /* that background work has to end, before Resume() waits for it */
const unsigned idle_max = 30;              /* seconds that a flush may be due without being begun */

class Watch : public rocksdb::EventListener
{
  public:
    Watch(void (*failed_)(void *, const char *), void (*full_)(void *), void *arg_)
        : failed(failed_), full(full_), arg(arg_)
    {
    }

    std::mutex m;
    std::condition_variable changed;
    rocksdb::DB *db = nullptr;
    bool closing = false;

    uint64_t flushed = 0; /* every write up to this sequence is on disk */
    uint64_t flush_errors = 0;
    std::string flush_error; /* the last one */

    std::thread thread; /* of Resume() */
    bool resuming = false, resumed = false;
    std::chrono::steady_clock::time_point began;
    uint64_t attempts = 0; /* that have ended */
    std::string why;

    /* RocksDB calls an I/O error fatal and then refuses to resume. Of damaged files and of memory it is right
     * to do so. */
    void OnBackgroundError(rocksdb::BackgroundErrorReason reason, Status *s) override
    {
        using Reason = rocksdb::BackgroundErrorReason;
        std::unique_lock<std::mutex> l(m);
        if (reason == Reason::kFlush || reason == Reason::kFlushNoWAL ||
            reason == Reason::kManifestWriteNoWAL)
            flush_failed(s, l);
        else if (reason == Reason::kCompaction || reason == Reason::kManifestWrite)
            compaction_failed(reason == Reason::kManifestWrite, s, l);
    }

    /* RocksDB would look for space each five seconds, and refuse to be resumed meanwhile. Of a compaction it
     * may: that stops nothing. */
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason reason, Status s, bool *auto_recovery) override
    {
        if (s.IsNoSpace() && reason != rocksdb::BackgroundErrorReason::kCompaction) *auto_recovery = false;
    }

    void OnCompactionCompleted(rocksdb::DB *, const rocksdb::CompactionJobInfo &info) override
    {
        std::lock_guard<std::mutex> l(m);
        if (info.status.ok()) compaction_errors = 0;
    }

    void OnFlushBegin(rocksdb::DB *, const rocksdb::FlushJobInfo &) override
    {
        std::lock_guard<std::mutex> l(m);
        manifest_errors_before = manifest_errors;
    }

    /* Memory is flushed in the order of its writes. */
    void OnFlushCompleted(rocksdb::DB *of, const rocksdb::FlushJobInfo &info) override
    {
        std::unique_lock<std::mutex> l(m);
        if (info.largest_seqno > flushed) flushed = info.largest_seqno;
        changed.notify_all();
        /* A manifest that could not be written may name the files of that compaction, so none was removed
         * from then on. A flush that began later has written another one. */
        uint64_t n = manifest_errors == manifest_errors_before ? manifest_errors - deletions_enabled : 0;
        deletions_enabled += n;
        l.unlock();
        for (; n > 0; n--) of->EnableFileDeletions(/*force=*/false).PermitUncheckedError();
    }

  private:
    void (*const failed)(void *, const char *);
    void (*const full)(void *);
    void *const arg;
    unsigned compaction_errors = 0; /* since one succeeded */
    uint64_t manifest_errors = 0, manifest_errors_before = 0, deletions_enabled = 0;

    static bool passing(const Status &s)
    {
        return s.IsIOError() && s.severity() == Status::Severity::kFatalError;
    }

    void flush_failed(Status *s, std::unique_lock<std::mutex> &l)
    {
        flush_errors++;
        flush_error = s->ToString();
        if (passing(*s)) *s = Status(*s, Status::Severity::kHardError);
        changed.notify_all();
        l.unlock();
        if (s->IsNoSpace()) full(arg);
    }

    /* RocksDB calls its want of space soft, but for the manifest. */
    void compaction_failed(bool manifest, Status *s, std::unique_lock<std::mutex> &l)
    {
        bool space = s->IsNoSpace();
        if (space && !manifest) return;
        if (!space && (!passing(*s) || ++compaction_errors > compactions_failed_max)) return;
        manifest_errors += manifest;
        std::string message = s->ToString();
        *s = Status::OK();
        l.unlock();
        if (!space) failed(arg, message.c_str());
    }
};

uint64_t property(rocksdb::DB *db, const std::string &name)
{
    uint64_t value = 0;
    return db->GetIntProperty(name, &value) ? value : 0;
}

char *message(const std::string &s)
{
    return strdup(s.c_str());
}

/* With an error no new background work begins, so it ends. */
void wait_for_quiet(Watch *w)
{
    auto until = std::chrono::steady_clock::now() + quiet_max;
    std::unique_lock<std::mutex> l(w->m);
    for (;;) {
        l.unlock();
        uint64_t busy = property(w->db, rocksdb::DB::Properties::kNumRunningFlushes) +
                        property(w->db, rocksdb::DB::Properties::kNumRunningCompactions);
        l.lock();
        if (busy == 0 || w->closing || std::chrono::steady_clock::now() >= until) return;
        w->changed.wait_for(l, milliseconds(5));
    }
}

void attempt(Watch *w)
{
    wait_for_quiet(w);
    Status s = w->db->Resume();
    std::lock_guard<std::mutex> l(w->m);
    w->resuming = false;
    w->resumed = s.ok();
    w->why = s.ToString();
    w->attempts++;
    w->changed.notify_all();
}

} // namespace

struct view_watch {
    std::shared_ptr<Watch> rep;
};

struct view_watch *view_watch_new(struct rocksdb_options_t *o, void (*failed)(void *arg, const char *message),
                                  void (*full)(void *arg), void *arg)
{
    auto *w = new view_watch{std::make_shared<Watch>(failed, full, arg)};
    o->rep.listeners.push_back(w->rep);
    return w;
}

void view_watch_open(struct view_watch *w, struct rocksdb_t *db)
{
    std::lock_guard<std::mutex> l(w->rep->m);
    w->rep->db = db->rep;
    /* RocksDB's own log is off. */
    w->rep->flushed = db->rep->GetLatestSequenceNumber();
}

void view_watch_stop(struct view_watch *w)
{
    Watch *r = w->rep.get();
    {
        std::lock_guard<std::mutex> l(r->m);
        r->closing = true;
        r->changed.notify_all();
    }
    if (r->db) rocksdb::CancelAllBackgroundWork(r->db, true); /* Resume() returns, too */
    if (r->thread.joinable()) r->thread.join();
}

void view_watch_free(struct view_watch *w)
{
    delete w;
}

char *view_rocks_flush(struct view_watch *watch)
{
    Watch *w = watch->rep.get();
    uint64_t want = w->db->GetLatestSequenceNumber();
    std::unique_lock<std::mutex> l(w->m);
    uint64_t errors = w->flush_errors;
    l.unlock();
    Status s = w->db->Flush(rocksdb::FlushOptions());
    if (!s.ok()) return message(s.ToString());
    l.lock();
    for (unsigned idle = 0; w->flushed < want;) {
        if (w->flush_errors != errors) return message(w->flush_error);
        if (w->closing || idle >= idle_max) return message("IO error: the flush was not done");
        if (w->changed.wait_for(l, seconds(1)) == std::cv_status::no_timeout) continue;
        l.unlock();
        idle = property(w->db, rocksdb::DB::Properties::kNumRunningFlushes) ? 0 : idle + 1;
        l.lock();
    }
    return nullptr;
}

bool view_rocks_resume(struct view_watch *watch, char why[256])
{
    Watch *w = watch->rep.get();
    std::unique_lock<std::mutex> l(w->m);
    if (!w->resuming && !w->closing) {
        if (w->thread.joinable()) w->thread.join(); /* it has ended */
        try {
            w->thread = std::thread(attempt, w);
            w->resuming = true;
            w->began = std::chrono::steady_clock::now();
        } catch (const std::system_error &e) {
            std::snprintf(why, 256, "%s", e.what());
            return false;
        }
    }
    uint64_t before = w->attempts;
    w->changed.wait_until(l, w->began + resume_max, [&] { return w->attempts != before || w->closing; });
    bool ended = w->attempts != before;
    std::snprintf(why, 256, "%s", ended ? w->why.c_str() : "it does not come back");
    return ended && w->resumed;
}
