/* The table of the real operating system: each call maps errno to -errno and nothing more. */
#include "sys/sys.h"
#include "base/assert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RESULT(call)                                                                                         \
    do {                                                                                                     \
        int rc_ = (call);                                                                                    \
        return rc_ < 0 ? -errno : rc_;                                                                       \
    } while (0)
#define COUNT(call)                                                                                          \
    do {                                                                                                     \
        ssize_t rc_ = (call);                                                                                \
        return rc_ < 0 ? -(ssize_t)errno : rc_;                                                              \
    } while (0)

/* A read that notes its time in the inode can sleep on that, even with RWF_NOWAIT. Only a file's owner may
 * ask for none. */
static int real_open(const char *path, int flags, unsigned mode)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOATIME, mode);
    if (fd >= 0 || errno != EPERM) RESULT(fd);
    RESULT(open(path, flags | O_CLOEXEC, mode));
}

static int real_close(int fd)
{
    /* Linux has closed the descriptor even when it says EINTR; a second close could hit another thread's
     * file. */
    int rc = close(fd);
    return rc < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t real_pread(int fd, void *p, size_t n, uint64_t off)
{
    COUNT(pread(fd, p, n, (off_t)off));
}

#define SYS_CACHESTAT 451 /* Linux 6.5; of the same number on every processor */

/* Is none of the pages in memory, or only some? A read without waiting would then read ahead, for which it
 * does wait while another thread gives back a part of the file. */
static bool surely_absent(int fd, size_t n, uint64_t off)
{
    static _Atomic bool unknown;
    static _Atomic uint64_t page;
    if (unknown || n == 0) return false;
    if (!page) page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct {
        uint64_t off, len;
    } range = {off, n};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } found;
    if (syscall(SYS_CACHESTAT, fd, &range, &found, 0) < 0) {
        if (errno == ENOSYS) unknown = true;
        return false;
    }
    return found.cached < (off + n - 1) / page - off / page + 1;
}

static ssize_t real_pread_nowait(int fd, void *p, size_t n, uint64_t off)
{
    if (surely_absent(fd, n, off)) return -EAGAIN;
    struct iovec iov = {p, n};
    COUNT(preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT));
}

static ssize_t real_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    COUNT(pwrite(fd, p, n, (off_t)off));
}

static ssize_t real_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int rwf_flags)
{
    COUNT(pwritev2(fd, iov, n, (off_t)off, rwf_flags));
}

static int real_fdatasync(int fd)
{
    RESULT(fdatasync(fd));
}

static int real_fsync(int fd)
{
    RESULT(fsync(fd));
}

static int real_fsync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int real_ftruncate(int fd, uint64_t size)
{
    RESULT(ftruncate(fd, (off_t)size));
}

static int real_fallocate(int fd, int mode, uint64_t off, uint64_t n)
{
    RESULT(fallocate(fd, mode, (off_t)off, (off_t)n));
}

static int64_t real_seek_data(int fd, uint64_t off)
{
    off_t at = lseek(fd, (off_t)off, SEEK_DATA);
    return at < 0 ? -errno : at;
}

static int real_sync_range(int fd, uint64_t off, uint64_t n)
{
    RESULT(sync_file_range(fd, (off_t)off, (off_t)n, SYNC_FILE_RANGE_WRITE));
}

static int real_rename(const char *from, const char *to)
{
    RESULT(rename(from, to));
}

static int real_unlink(const char *path)
{
    RESULT(unlink(path));
}

static int real_mkdir(const char *path, unsigned mode)
{
    RESULT(mkdir(path, mode));
}

static int real_fstat(int fd, struct stat *st)
{
    RESULT(fstat(fd, st));
}

static int real_stat(const char *path, struct stat *st)
{
    RESULT(stat(path, st));
}

static int real_statfs(const char *path, struct sys_statfs *out)
{
    struct statvfs v;
    if (statvfs(path, &v) < 0) return -errno;
    out->total = (uint64_t)v.f_blocks * v.f_frsize;
    out->avail = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

static int real_lock(int fd)
{
    RESULT(flock(fd, LOCK_EX | LOCK_NB));
}

static int real_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg)
{
    DIR *d = opendir(dir);
    if (!d) return -errno;
    int rc = 0;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e) {
            rc = -errno;
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (!fn(arg, e->d_name)) break;
    }
    closedir(d);
    return rc;
}

static uint64_t real_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int64_t real_real_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void real_sleep_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) continue;
}

static void real_random(void *p, size_t n)
{
    for (char *to = p; n > 0;) {
        ssize_t got = getrandom(to, n, 0);
        if (got < 0) {
            ASSERT(errno == EINTR); /* without randomness no key or id is safe: stop */
            continue;
        }
        to += got;
        n -= (size_t)got;
    }
}

const struct sys_ops sys_real = {
    .name = "real",
    .open = real_open,
    .close = real_close,
    .pread = real_pread,
    .pread_nowait = real_pread_nowait,
    .pwrite = real_pwrite,
    .pwritev = real_pwritev,
    .fdatasync = real_fdatasync,
    .fsync = real_fsync,
    .fsync_dir = real_fsync_dir,
    .ftruncate = real_ftruncate,
    .fallocate = real_fallocate,
    .seek_data = real_seek_data,
    .sync_range = real_sync_range,
    .rename = real_rename,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .fstat = real_fstat,
    .stat = real_stat,
    .statfs = real_statfs,
    .lock = real_lock,
    .list = real_list,
    .mono_ns = real_mono_ns,
    .real_ms = real_real_ms,
    .random = real_random,
    .sleep_ns = real_sleep_ns,
};

const struct sys_ops *sys = &sys_real;
