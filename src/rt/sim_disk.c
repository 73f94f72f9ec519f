/* sys_sim: the table of system calls over the simulated disk.
 *
 * A call from a worker takes virtual time; from anywhere else none, as it would block the loop. A write is
 * visible at once and takes effect on the disk at the end of its time (RWF_DSYNC), so a crash in between may
 * tear it. Every call is counted: sim_crash_at stops the world before a chosen one.
 */
#include "rt/sim_disk.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

enum { FD_BASE = 1 << 20, FD_MAX = 4096, DIRECT_ALIGN = 512 };
#define READ_NS  (80 * 1000)
#define WRITE_NS (60 * 1000)
#define SYNC_NS  (400 * 1000)
#define NAME_NS  (20 * 1000)
#define NO_LIMIT (UINT64_C(1) << 40)

struct sim_fd {
    struct node *node; /* NULL: free, or the root directory when open */
    char *path;        /* of a directory */
    bool open, direct, can_write;
};
static struct sim_fd fds[FD_MAX];
static uint64_t ops, crash_op = UINT64_MAX;
static bool crashed;

/* ---- every call ---- */

/* The power is gone: this fiber goes no further. Outside fibers the caller gets EIO. */
static bool halted(void)
{
    crashed = true;
    if (!the_rt || !the_rt->sim) return true;
    rt_stop(the_rt);
    if (!tl_loop || !tl_loop->current) return true;
    struct rt_waiter w;
    rt_waiter_init(&w);
    for (;;) wait_for(&w, RT_FOREVER, "power");
}

static bool begin(const char *what, uint64_t detail)
{
    if (crashed || ops == crash_op) return !halted();
    ops++;
    sim_trace_name(what, detail);
    return true;
}

static void spend(int64_t typical)
{
    struct rt_fiber *f = tl_loop ? tl_loop->current : NULL;
    if (f && f->worker) rt_sleep(sim_latency(typical, sim_faults.disk_slow));
}

#define BEGIN(what, detail)                                                                                  \
    do {                                                                                                     \
        if (!begin((what), (detail))) return -EIO;                                                           \
    } while (0)

/* Cleaned and without its leading slash; false: too long. */
static bool clean(const char *path, char out[1024])
{
    size_t n = 0;
    while (*path) {
        size_t part = strcspn(path, "/");
        if (part > 0 && !(part == 1 && path[0] == '.')) {
            if (n + part + 2 > 1024) return false;
            if (n > 0) out[n++] = '/';
            memcpy(out + n, path, part);
            n += part;
        }
        path += part;
        while (*path == '/') path++;
    }
    out[n] = 0;
    return true;
}

static struct sim_fd *fd_of(int fd)
{
    int i = fd - FD_BASE;
    return i >= 0 && i < FD_MAX && fds[i].open ? &fds[i] : NULL;
}

/* ---- opening ---- */

static int fd_open(struct node *node, const char *path, int flags)
{
    for (int i = 0; i < FD_MAX; i++) {
        if (fds[i].open) continue;
        fds[i] = (struct sim_fd){.node = node ? node_ref(node) : NULL,
                                 .path = strdup(path),
                                 .open = true,
                                 .direct = flags & O_DIRECT,
                                 .can_write = (flags & O_ACCMODE) != O_RDONLY};
        return FD_BASE + i;
    }
    return -EMFILE;
}

static int open_existing(struct node *n, const char *path, int flags)
{
    bool dir = !n || !n->file;
    if ((flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if (dir && (flags & O_ACCMODE) != O_RDONLY) return -EISDIR;
    if (!dir && (flags & O_DIRECTORY)) return -ENOTDIR;
    if (!dir && (flags & O_TRUNC)) sim_file_resize(n->file, 0);
    return fd_open(n, path, flags);
}

static int d_open(const char *path, int flags, unsigned mode)
{
    (void)mode;
    char p[1024];
    BEGIN("open", (uint64_t)flags);
    if (!clean(path, p)) return -ENAMETOOLONG;
    struct node *n = names_find(p);
    if (n || p[0] == 0) return open_existing(n, p, flags);
    if (!(flags & O_CREAT) || !names_parent_exists(p)) return -ENOENT;
    n = node_new(false);
    names_link(p, n);
    int fd = fd_open(n, p, flags);
    node_drop(n);
    return fd;
}

static void fd_close(struct sim_fd *f, int fd)
{
    if (f->node && f->node->lock_fd == fd) f->node->lock_fd = -1;
    if (f->node) node_drop(f->node);
    free(f->path);
    *f = (struct sim_fd){0};
}

static int d_close(int fd)
{
    BEGIN("close", 0);
    struct sim_fd *f = fd_of(fd);
    if (!f) return -EBADF;
    fd_close(f, fd);
    return 0;
}

static int d_lock(int fd)
{
    BEGIN("lock", 0);
    struct sim_fd *f = fd_of(fd);
    if (!f || !f->node) return -EBADF;
    if (f->node->lock_fd >= 0 && f->node->lock_fd != fd) return -EWOULDBLOCK;
    f->node->lock_fd = fd;
    return 0;
}

/* ---- bytes ---- */

static bool aligned(const struct sim_fd *f, const void *p, size_t n, uint64_t off)
{
    return !f->direct || (((uintptr_t)p | n | off) % DIRECT_ALIGN == 0);
}

static ssize_t d_pread(int fd, void *p, size_t n, uint64_t off)
{
    BEGIN("pread", off);
    struct sim_fd *f = fd_of(fd);
    if (!f) return -EBADF;
    if (!f->node || !f->node->file) return -EISDIR;
    if (!aligned(f, p, n, off)) return -EINVAL;
    struct node *node = node_ref(f->node); /* the descriptor may close meanwhile */
    spend(READ_NS);
    ssize_t r = sim_chance(sim_faults.disk_eio) ? -EIO : (ssize_t)sim_file_read(node->file, p, n, off);
    node_drop(node);
    return r;
}

static ssize_t d_pread_nowait(int fd, void *p, size_t n, uint64_t off)
{
    BEGIN("pread_nowait", off);
    struct sim_fd *f = fd_of(fd);
    if (!f) return -EBADF;
    if (!f->node || !f->node->file) return -EISDIR;
    if (f->direct || sim_below(8) == 0) return -EAGAIN; /* not in memory */
    return (ssize_t)sim_file_read(f->node->file, p, n, off);
}

static bool no_room(uint64_t more)
{
    return sim_faults.disk_bytes && nodes_bytes() + more > sim_faults.disk_bytes;
}

/* How much a write that finds no space has done nevertheless. */
static size_t before_the_end(size_t n)
{
    if (sim_below(2)) return sim_below(2) ? n : 0;
    return sim_below(n) / 512 * 512;
}

/* After the change was made: the time it takes, and its end. */
static ssize_t finish_write(struct node *node, uint64_t number, size_t n, int flags, bool fails)
{
    spend(WRITE_NS);
    if (fails) return -EIO;
    if (!(flags & RWF_DSYNC)) return (ssize_t)n;
    spend(SYNC_NS / 4);
    if (sim_chance(sim_faults.disk_sync_eio)) return -EIO;
    sim_file_sync_one(node->file, number);
    return (ssize_t)n;
}

static ssize_t d_pwritev(int fd, const struct iovec *iov, int count, uint64_t off, int flags)
{
    BEGIN("pwritev", off);
    struct sim_fd *f = fd_of(fd);
    if (!f || !f->can_write) return -EBADF;
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        if (!aligned(f, iov[i].iov_base, iov[i].iov_len, off)) return -EINVAL;
        total += iov[i].iov_len;
    }
    bool fails = sim_chance(sim_faults.disk_eio), full = sim_chance(sim_faults.disk_elsewhere);
    size_t n = full && total > 0 ? before_the_end(total) : total;
    if (n == 0) return full ? -ENOSPC : 0;
    if (no_room(sim_file_grows(f->node->file, n, off))) return -ENOSPC;
    if (fails && sim_below(2)) return -EIO; /* else: reported as failed, yet maybe there */
    char *all = malloc(total), *at = all;
    ASSERT(all != NULL);
    for (int i = 0; i < count; at += iov[i++].iov_len) memcpy(at, iov[i].iov_base, iov[i].iov_len);
    uint64_t number = sim_file_write(f->node->file, all, n, off);
    free(all);
    struct node *node = node_ref(f->node); /* the descriptor may close meanwhile */
    ssize_t r = finish_write(node, number, n, flags, fails);
    node_drop(node);
    return full && r >= 0 ? -ENOSPC : r;
}

static ssize_t d_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    return d_pwritev(fd, &v, 1, off, 0);
}

/* What was written before the flush began is durable when it ends well. */
static int d_fdatasync(int fd)
{
    BEGIN("fdatasync", 0);
    struct sim_fd *f = fd_of(fd);
    if (!f) return -EBADF;
    if (!f->node || !f->node->file) {
        spend(SYNC_NS);
        f = fd_of(fd);
        if (f) names_sync(f->path);
        return f ? 0 : -EBADF;
    }
    struct node *node = node_ref(f->node);
    uint64_t upto = sim_file_changes(node->file);
    spend(SYNC_NS);
    bool fails = sim_chance(sim_faults.disk_sync_eio);
    if (fails)
        sim_file_lose(node->file, upto);
    else
        sim_file_sync(node->file, upto);
    node_drop(node);
    return fails ? -EIO : 0;
}

static int d_ftruncate(int fd, uint64_t size)
{
    BEGIN("ftruncate", size);
    struct sim_fd *f = fd_of(fd);
    if (!f || !f->can_write) return -EBADF;
    sim_file_resize(f->node->file, size);
    return 0;
}

static int d_fallocate(int fd, int mode, uint64_t off, uint64_t n)
{
    BEGIN("fallocate", off);
    struct sim_fd *f = fd_of(fd);
    if (!f || !f->can_write) return -EBADF;
    struct sim_file *file = f->node->file;
    bool keep = mode & FALLOC_FL_KEEP_SIZE;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) return -EOPNOTSUPP;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
        sim_file_punch(file, off, n);
    } else {
        if (no_room(sim_file_grows(file, n, off))) return -ENOSPC;
        sim_file_reserve(file, off, n);
    }
    if (!keep && off + n > sim_file_size(file)) sim_file_resize(file, off + n);
    return 0;
}

static int64_t d_seek_data(int fd, uint64_t off)
{
    BEGIN("seek_data", off);
    struct sim_fd *f = fd_of(fd);
    if (!f || !f->node || !f->node->file) return -EBADF;
    return sim_file_data(f->node->file, off);
}

static int d_sync_range(int fd, uint64_t off, uint64_t n)
{
    (void)n;
    BEGIN("sync_range", off);
    return fd_of(fd) ? 0 : -EBADF;
}

/* ---- names ---- */

static int d_fsync_dir(const char *path)
{
    char p[1024];
    BEGIN("fsync_dir", 0);
    if (!clean(path, p)) return -ENAMETOOLONG;
    if (!names_is_dir(p)) return -ENOENT;
    spend(SYNC_NS);
    if (sim_chance(sim_faults.disk_sync_eio)) return -EIO;
    names_sync(p);
    return 0;
}

static int d_rename(const char *from, const char *to)
{
    char f[1024], t[1024];
    BEGIN("rename", 0);
    if (!clean(from, f) || !clean(to, t)) return -ENAMETOOLONG;
    spend(NAME_NS);
    struct node *n = names_find(f), *over = names_find(t);
    if (!n || !names_parent_exists(t)) return -ENOENT;
    if (over && !over->file && !names_empty(t)) return -ENOTEMPTY;
    if (strcmp(f, t) != 0) names_rename(f, t, n);
    return 0;
}

static int d_unlink(const char *path)
{
    char p[1024];
    BEGIN("unlink", 0);
    if (!clean(path, p)) return -ENAMETOOLONG;
    struct node *n = names_find(p);
    if (!n) return -ENOENT;
    if (!n->file) return -EISDIR;
    names_unlink(p, n);
    return 0;
}

static int d_mkdir(const char *path, unsigned mode)
{
    (void)mode;
    char p[1024];
    BEGIN("mkdir", 0);
    if (!clean(path, p)) return -ENAMETOOLONG;
    if (p[0] == 0 || names_find(p)) return -EEXIST;
    if (!names_parent_exists(p)) return -ENOENT;
    struct node *n = node_new(true);
    names_link(p, n);
    node_drop(n);
    return 0;
}

static int d_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg)
{
    char p[1024];
    BEGIN("list", 0);
    if (!clean(dir, p)) return -ENAMETOOLONG;
    if (!names_is_dir(p)) return names_find(p) ? -ENOTDIR : -ENOENT;
    names_list(p, fn, arg);
    return 0;
}

static void fill_stat(const struct node *n, struct stat *st)
{
    bool file = n && n->file;
    *st = (struct stat){.st_ino = n ? n->ino : 0, .st_nlink = 1, .st_blksize = 4096};
    st->st_mode = file ? S_IFREG | 0600 : S_IFDIR | 0700;
    if (!file) return;
    st->st_size = (off_t)sim_file_size(n->file);
    st->st_blocks = (blkcnt_t)(sim_file_bytes(n->file) / 512);
}

static int d_fstat(int fd, struct stat *st)
{
    BEGIN("fstat", 0);
    struct sim_fd *f = fd_of(fd);
    if (!f) return -EBADF;
    fill_stat(f->node, st);
    return 0;
}

static int d_stat(const char *path, struct stat *st)
{
    char p[1024];
    BEGIN("stat", 0);
    if (!clean(path, p)) return -ENAMETOOLONG;
    struct node *n = names_find(p);
    if (!n && p[0] != 0) return -ENOENT;
    fill_stat(n, st);
    return 0;
}

static int d_statfs(const char *path, struct sys_statfs *out)
{
    (void)path;
    BEGIN("statfs", 0);
    uint64_t used = nodes_bytes();
    out->total = sim_faults.disk_bytes ? sim_faults.disk_bytes : NO_LIMIT;
    out->avail = out->total > used ? out->total - used : 0;
    return 0;
}

const struct sys_ops sys_sim = {
    .name = "sim",
    .open = d_open,
    .close = d_close,
    .pread = d_pread,
    .pread_nowait = d_pread_nowait,
    .pwrite = d_pwrite,
    .pwritev = d_pwritev,
    .fdatasync = d_fdatasync,
    .fsync = d_fdatasync,
    .fsync_dir = d_fsync_dir,
    .ftruncate = d_ftruncate,
    .fallocate = d_fallocate,
    .seek_data = d_seek_data,
    .sync_range = d_sync_range,
    .rename = d_rename,
    .unlink = d_unlink,
    .mkdir = d_mkdir,
    .fstat = d_fstat,
    .stat = d_stat,
    .statfs = d_statfs,
    .lock = d_lock,
    .list = d_list,
    .mono_ns = sim_mono_ns,
    .real_ms = sim_real_ms,
    .random = sim_random_bytes,
    .sleep_ns = sim_sleep_ns,
};

/* ---- the test's hand on it ---- */

static void close_all(void)
{
    for (int i = 0; i < FD_MAX; i++)
        if (fds[i].open) fd_close(&fds[i], FD_BASE + i);
}

uint64_t sim_disk_ops(void)
{
    return ops;
}
void sim_crash_at(uint64_t op)
{
    crash_op = op;
}

bool sim_crashed(void)
{
    return crashed;
}

void sim_crash(void)
{
    ASSERT(!the_rt || !the_rt->running);
    close_all();
    names_crash();
    crash_op = UINT64_MAX;
    crashed = false;
}

void sim_disk_reset(void)
{
    close_all();
    names_reset();
    ops = 0;
    crash_op = UINT64_MAX;
    crashed = false;
}
