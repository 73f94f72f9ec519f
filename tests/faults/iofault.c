/* iofault: a preloaded library that stands between a program and its file system and fails what a test asks
 * for, in our own calls and in RocksDB's alike.
 *
 * IOFAULT_DIR names the folder whose files are meant; IOFAULT_CONTROL a file that holds struct control,
 * shared with the test (iofault.py), which sets and reads it while the program runs. Calls on other files
 * pass. io_uring does not go through libc and passes too: run the program with the epoll back-end.
 *
 * IOFAULT_NO_OPCODE, a number, takes that operation of io_uring away from what the kernel says it has.
 *
 * A call that fails does nothing first, but close, which closes all the same, and a short read or write,
 * which moves half of its bytes. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC       0x696f6631u
#define FDS         65536
#define EXPORT      __attribute__((visibility("default")))
#define SUCCEED     0
#define STDIO_ERROR 0x20 /* what ferror() looks at in glibc */

enum mode { MODE_OFF, MODE_ONCE, MODE_ALL, MODE_FULL };
enum class {
    READ = 1,
    WRITE = 2,
    SYNC = 4,
    SPACE = 8,
    OPEN = 16,
    NAME = 32,
    STAT = 64,
    CLOSE = 128,
    LOCK = 256
};
enum who { OURS = 1, INDEX = 2 };

/* iofault.py has the same layout. */
struct control {
    uint32_t magic;
    _Atomic uint32_t mode;
    _Atomic uint32_t classes, who; /* which calls count */
    _Atomic int32_t code;          /* errno of what fails; 0: short, EIO where nothing can be short */
    _Atomic uint32_t delay_ms;     /* of each call that counts */
    _Atomic uint64_t at;           /* MODE_ONCE: which one, from 0 */
    _Atomic uint64_t calls, hits, data_calls;
    char last[232]; /* the call that failed last, and its file */
};

static struct control *control;
static char dir[PATH_MAX];
static size_t dir_len;
static _Atomic unsigned char owner_of[FDS]; /* enum who; 0: not below dir */
static _Atomic bool sought[FDS];            /* for data, once */

#define REAL(name)                                                                                           \
    static __typeof__(name) *real;                                                                           \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("IOFAULT_CONTROL"), *folder = getenv("IOFAULT_DIR");
    if (!path || !folder) return;
    dir_len = strlen(folder);
    if (dir_len >= sizeof dir) abort();
    memcpy(dir, folder, dir_len + 1);
    int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    int fd = real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    void *p = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int (*real_close)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");
    real_close(fd);
    if (p == MAP_FAILED || ((struct control *)p)->magic != MAGIC) abort();
    control = p;
}

static unsigned who_of_path(const char *path)
{
    if (!control || !path || strncmp(path, dir, dir_len) != 0 || (path[dir_len] != '/' && path[dir_len]))
        return 0;
    return strncmp(path + dir_len, "/index", 6) == 0 ? INDEX : OURS;
}

static unsigned who_of_fd(int fd)
{
    return fd >= 0 && fd < FDS ? atomic_load_explicit(&owner_of[fd], memory_order_relaxed) : 0;
}

static void describe(const char *call, const char *path, int fd)
{
    char link[64], target[PATH_MAX] = "";
    if (!path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        if (n > 0) target[n] = 0;
        path = target;
    }
    snprintf(control->last, sizeof control->last, "%s %s", call,
             strncmp(path, dir, dir_len) ? path : path + dir_len);
}

/* What a call that counts is to do: SUCCEED, or the errno with which it fails, or -1: short. grows: whether
 * it needs new space. */
static int verdict(const char *call, enum class class, unsigned who, const char *path, int fd, bool grows)
{
    if (!control || !who) return SUCCEED;
    uint32_t mode = atomic_load(&control->mode);
    if (!(atomic_load(&control->classes) & class) || !(atomic_load(&control->who) & who)) return SUCCEED;
    uint64_t number = atomic_fetch_add(&control->calls, 1);
    if (class & (READ | WRITE)) atomic_fetch_add(&control->data_calls, 1);
    uint32_t delay = atomic_load(&control->delay_ms);
    if (delay) usleep(delay * 1000);
    /* One that was counted while the test was still setting this up did not fail: then it is the next. */
    uint64_t none = 0;
    bool once = mode == MODE_ONCE && number >= atomic_load(&control->at) &&
                atomic_compare_exchange_strong(&control->hits, &none, 1);
    if (!once && mode != MODE_ALL && !(mode == MODE_FULL && grows)) return SUCCEED;
    describe(call, path, fd);
    if (!once) atomic_fetch_add(&control->hits, 1);
    if (mode == MODE_FULL) return ENOSPC;
    int code = atomic_load(&control->code);
    return code ? code : -1;
}

static void own(int fd, unsigned who)
{
    if (fd < 0 || fd >= FDS) return;
    atomic_store(&owner_of[fd], (unsigned char)who);
    atomic_store(&sought[fd], false);
}

static bool beyond_end(int fd, uint64_t end)
{
    REAL(fstat);
    struct stat st;
    return real(fd, &st) == 0 && (uint64_t)st.st_size < end;
}

/* Fail with this verdict; a short one where nothing can be short is EIO. */
static int failed(int v)
{
    errno = v < 0 ? EIO : v;
    return -1;
}

#define PASS_OR_FAIL(v)                                                                                      \
    do {                                                                                                     \
        int v_ = (v);                                                                                        \
        if (v_) return failed(v_);                                                                           \
    } while (0)

/* Passes, shortens n, or returns -1. */
#define PASS_SHORTEN_OR_FAIL(v, n)                                                                           \
    do {                                                                                                     \
        int v_ = (v);                                                                                        \
        if (v_ > 0 || (v_ < 0 && (n) < 2)) return failed(v_);                                                \
        if (v_ < 0) (n) /= 2;                                                                                \
    } while (0)

/* ---- descriptors ---- */

EXPORT int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    unsigned who = who_of_path(path);
    bool creates = who && (flags & O_CREAT) && faccessat(AT_FDCWD, path, F_OK, 0) != 0;
    PASS_OR_FAIL(verdict("open", OPEN, who, path, -1, creates));
    int fd = real(path, flags, mode);
    own(fd, who);
    return fd;
}

EXPORT FILE *fopen(const char *path, const char *how)
{
    REAL(fopen);
    if (verdict("fopen", OPEN, who_of_path(path), path, -1, false)) return failed(EIO), NULL;
    FILE *f = real(path, how);
    if (f) own(fileno(f), who_of_path(path));
    return f;
}

EXPORT DIR *opendir(const char *path)
{
    REAL(opendir);
    int v = verdict("opendir", OPEN, who_of_path(path), path, -1, false);
    if (v) return failed(v), NULL;
    DIR *d = real(path);
    if (d) own(dirfd(d), who_of_path(path));
    return d;
}

/* libc asks the kernel at the first entry and again when its buffer is empty: these two can fail. */
EXPORT struct dirent *readdir(DIR *d)
{
    REAL(readdir);
    bool first = telldir(d) == 0;
    struct dirent *e = first ? NULL : real(d);
    if (e) return e;
    int v = verdict("readdir", READ, who_of_fd(dirfd(d)), NULL, dirfd(d), false);
    if (v) return failed(v), NULL;
    return first ? real(d) : NULL;
}

EXPORT int closedir(DIR *d)
{
    REAL(closedir);
    own(dirfd(d), 0);
    return real(d);
}

EXPORT int close(int fd)
{
    REAL(close);
    int v = verdict("close", CLOSE, who_of_fd(fd), NULL, fd, false);
    own(fd, 0);
    int rc = real(fd);
    return v ? failed(v) : rc;
}

EXPORT int fclose(FILE *f)
{
    REAL(fclose);
    own(fileno(f), 0);
    return real(f);
}

EXPORT int flock(int fd, int how)
{
    REAL(flock);
    PASS_OR_FAIL(verdict("flock", LOCK, who_of_fd(fd), NULL, fd, false));
    return real(fd, how);
}

/* ---- bytes ---- */

EXPORT ssize_t read(int fd, void *p, size_t n)
{
    REAL(read);
    PASS_SHORTEN_OR_FAIL(verdict("read", READ, who_of_fd(fd), NULL, fd, false), n);
    return real(fd, p, n);
}

EXPORT ssize_t pread(int fd, void *p, size_t n, off_t off)
{
    REAL(pread);
    PASS_SHORTEN_OR_FAIL(verdict("pread", READ, who_of_fd(fd), NULL, fd, false), n);
    return real(fd, p, n, off);
}

/* RocksDB reads its small files through stdio. */
#undef fread_unlocked
EXPORT size_t fread_unlocked(void *restrict p, size_t size, size_t n, FILE *restrict f)
{
    REAL(fread_unlocked);
    if (!verdict("fread", READ, who_of_fd(fileno(f)), NULL, fileno(f), false)) return real(p, size, n, f);
    f->_flags |= STDIO_ERROR;
    errno = EIO;
    return 0;
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
    REAL(preadv2);
    struct iovec one = iov[0];
    int v = n == 1 ? verdict("preadv2", READ, who_of_fd(fd), NULL, fd, false) : SUCCEED;
    PASS_SHORTEN_OR_FAIL(v, one.iov_len);
    return n == 1 ? real(fd, &one, 1, off, flags) : real(fd, iov, n, off, flags);
}

EXPORT ssize_t write(int fd, const void *p, size_t n)
{
    REAL(write);
    PASS_SHORTEN_OR_FAIL(verdict("write", WRITE, who_of_fd(fd), NULL, fd, true), n);
    return real(fd, p, n);
}

EXPORT ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    REAL(pwrite);
    unsigned who = who_of_fd(fd);
    PASS_SHORTEN_OR_FAIL(verdict("pwrite", WRITE, who, NULL, fd, who && beyond_end(fd, (uint64_t)off + n)),
                         n);
    return real(fd, p, n, off);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
    REAL(pwritev2);
    unsigned who = who_of_fd(fd);
    size_t total = 0;
    for (int i = 0; i < n; i++) total += iov[i].iov_len;
    int v = verdict("pwritev2", WRITE, who, NULL, fd, who && beyond_end(fd, (uint64_t)off + total));
    struct iovec front = iov[0]; /* a short one writes of the first vector alone */
    PASS_SHORTEN_OR_FAIL(v, front.iov_len);
    return v ? real(fd, &front, 1, off, flags) : real(fd, iov, n, off, flags);
}

EXPORT int fallocate(int fd, int how, off_t off, off_t n)
{
    REAL(fallocate);
    PASS_OR_FAIL(verdict("fallocate", SPACE, who_of_fd(fd), NULL, fd, !(how & FALLOC_FL_PUNCH_HOLE)));
    return real(fd, how, off, n);
}

EXPORT int posix_fallocate(int fd, off_t off, off_t n)
{
    REAL(posix_fallocate);
    int v = verdict("posix_fallocate", SPACE, who_of_fd(fd), NULL, fd, true);
    return v < 0 ? EIO : v ? v : real(fd, off, n);
}

EXPORT int ftruncate(int fd, off_t n)
{
    REAL(ftruncate);
    PASS_OR_FAIL(verdict("ftruncate", SPACE, who_of_fd(fd), NULL, fd, false));
    return real(fd, n);
}

EXPORT int fsync(int fd)
{
    REAL(fsync);
    PASS_OR_FAIL(verdict("fsync", SYNC, who_of_fd(fd), NULL, fd, false));
    return real(fd);
}

EXPORT int fdatasync(int fd)
{
    REAL(fdatasync);
    PASS_OR_FAIL(verdict("fdatasync", SYNC, who_of_fd(fd), NULL, fd, false));
    return real(fd);
}

/* Without flags it does nothing: RocksDB asks so whether there is such a call, and a disk cannot fail it. */
EXPORT int sync_file_range(int fd, off64_t off, off64_t n, unsigned flags)
{
    REAL(sync_file_range);
    if (flags) PASS_OR_FAIL(verdict("sync_file_range", SYNC, who_of_fd(fd), NULL, fd, false));
    return real(fd, off, n, flags);
}

/* A walk over a file may seek for each of thousands of pages of zeros, and takes an error for "no hole here":
 * one that fails for each time the file is open is all there is to see. */
EXPORT off_t lseek(int fd, off_t off, int whence)
{
    REAL(lseek);
    unsigned who = whence == SEEK_DATA ? who_of_fd(fd) : 0;
    if (who && !atomic_exchange(&sought[fd], true))
        PASS_OR_FAIL(verdict("lseek", STAT, who, NULL, fd, false));
    return real(fd, off, whence);
}

/* ---- names ---- */

EXPORT int rename(const char *from, const char *to)
{
    REAL(rename);
    PASS_OR_FAIL(verdict("rename", NAME, who_of_path(from), from, -1, false));
    return real(from, to);
}

EXPORT int link(const char *from, const char *to)
{
    REAL(link);
    PASS_OR_FAIL(verdict("link", NAME, who_of_path(from), from, -1, true));
    return real(from, to);
}

EXPORT int unlink(const char *path)
{
    REAL(unlink);
    PASS_OR_FAIL(verdict("unlink", NAME, who_of_path(path), path, -1, false));
    return real(path);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    PASS_OR_FAIL(verdict("mkdir", NAME, who_of_path(path), path, -1, true));
    return real(path, mode);
}

EXPORT int stat(const char *restrict path, struct stat *restrict st)
{
    REAL(stat);
    PASS_OR_FAIL(verdict("stat", STAT, who_of_path(path), path, -1, false));
    return real(path, st);
}

EXPORT int fstat(int fd, struct stat *st)
{
    REAL(fstat);
    PASS_OR_FAIL(verdict("fstat", STAT, who_of_fd(fd), NULL, fd, false));
    return real(fd, st);
}

/* No other error of a disk comes out of it, and RocksDB asserts that none does. */
EXPORT int access(const char *path, int how)
{
    REAL(access);
    PASS_OR_FAIL(verdict("access", STAT, who_of_path(path), path, -1, false) ? EIO : SUCCEED);
    return real(path, how);
}

EXPORT int statvfs(const char *restrict path, struct statvfs *restrict out)
{
    REAL(statvfs);
    unsigned who = who_of_path(path);
    PASS_OR_FAIL(verdict("statvfs", STAT, who, path, -1, false));
    int rc = real(path, out);
    if (rc == 0 && who && atomic_load(&control->mode) == MODE_FULL) out->f_bavail = out->f_bfree = 0;
    return rc;
}

/* ---- io_uring ---- */

EXPORT struct io_uring_probe *io_uring_get_probe_ring(struct io_uring *ring)
{
    REAL(io_uring_get_probe_ring);
    struct io_uring_probe *p = real(ring);
    const char *op = getenv("IOFAULT_NO_OPCODE");
    if (!p || !op) return p;
    unsigned long number = strtoul(op, NULL, 10);
    if (number < p->ops_len) p->ops[number].flags &= (uint16_t)~IO_URING_OP_SUPPORTED;
    return p;
}
