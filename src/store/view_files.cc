#include "store/view_files.h"

extern "C" {
#include "sys/sys.h"
}

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/options.h>
#include <time.h>
#include <unistd.h>

using rocksdb::FileOptions;
using rocksdb::FSRandomAccessFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

/* As the binding has it. */
struct rocksdb_options_t {
    rocksdb::Options rep;
};

struct view_files {
    std::unique_ptr<rocksdb::Env> env;
};

static thread_local bool no_wait;
static const int64_t opening_ns = 50000000;
static std::atomic<int64_t> opened_ns;

static int64_t now_ns()
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void view_files_no_wait(bool on)
{
    no_wait = on;
}

bool view_files_opening(void)
{
    return now_ns() - opened_ns.load(std::memory_order_relaxed) < opening_ns;
}

namespace
{

class Table : public rocksdb::FSRandomAccessFileOwnerWrapper
{
  public:
    Table(std::unique_ptr<FSRandomAccessFile> &&f, int fd_)
        : FSRandomAccessFileOwnerWrapper(std::move(f)), fd(fd_)
    {
    }
    ~Table() override
    {
        if (fd >= 0) close(fd);
    }

    IOStatus Read(uint64_t offset, size_t n, const IOOptions &options, rocksdb::Slice *result, char *scratch,
                  IODebugContext *dbg) const override
    {
        if (!no_wait) return target()->Read(offset, n, options, result, scratch, dbg);
        ssize_t got = fd < 0 ? -1 : sys_real.pread_nowait(fd, scratch, n, offset);
        /* A part: the rest is not in memory. An error: who may wait meets it again, and says so. */
        if (got < 0 || (size_t)got < n) return IOStatus::Aborted();
        *result = rocksdb::Slice(scratch, n);
        return IOStatus::OK();
    }

  private:
    int fd; /* -1: none, all reads wait */
};

class Files : public rocksdb::FileSystemWrapper
{
  public:
    using FileSystemWrapper::FileSystemWrapper;
    const char *Name() const override
    {
        return "ingot";
    }

    IOStatus NewRandomAccessFile(const std::string &path, const FileOptions &options,
                                 std::unique_ptr<FSRandomAccessFile> *out, IODebugContext *dbg) override
    {
        if (no_wait) return IOStatus::Aborted();
        opened_ns.store(now_ns(), std::memory_order_relaxed);
        std::unique_ptr<FSRandomAccessFile> f;
        IOStatus s = FileSystemWrapper::NewRandomAccessFile(path, options, &f, dbg);
        if (s.ok()) out->reset(new Table(std::move(f), sys_real.open(path.c_str(), O_RDONLY, 0)));
        return s;
    }
};

} // namespace

struct view_files *view_files_new(struct rocksdb_options_t *o)
{
    std::shared_ptr<rocksdb::FileSystem> files(new Files(rocksdb::FileSystem::Default()));
    view_files *f = new view_files{rocksdb::NewCompositeEnv(files)};
    o->rep.env = f->env.get();
    return f;
}

void view_files_free(struct view_files *f)
{
    delete f;
}
