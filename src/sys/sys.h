/* sys: every system call of the store, the clocks and randomness, behind one replaceable table.
 *
 * Calls return >= 0 or -errno; none sets errno for the caller. They block: call them from a worker (rt_work
 * and the rt_file_* functions do that), or at start-up. Three tables exist: sys_real, sys_fault (wraps
 * another and fails the k-th call, for tests) and the simulator's (rt/sim). Replaced at start-up or by tests
 * before threads run.
 */
#ifndef SYS_SYS_H
#define SYS_SYS_H

#include "base/errors.h"
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

struct sys_statfs {
    uint64_t total, avail; /* bytes; avail is what an unprivileged writer may take */
};

struct sys_ops {
    const char *name;
    int (*open)(const char *path, int flags, unsigned mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *p, size_t n, uint64_t off);
    /* RWF_NOWAIT: -EAGAIN when the bytes are not in memory. -EOPNOTSUPP where unknown. */
    ssize_t (*pread_nowait)(int fd, void *p, size_t n, uint64_t off);
    ssize_t (*pwrite)(int fd, const void *p, size_t n, uint64_t off);
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, uint64_t off,
                       int rwf_flags /* RWF_DSYNC or 0 */);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*fsync_dir)(const char *path); /* open, fsync, close a directory */
    int (*ftruncate)(int fd, uint64_t size);
    int (*fallocate)(int fd, int mode, uint64_t off, uint64_t n);
    /* The first offset >= off that is not in a hole; -ENXIO when only holes follow. A table may leave it
     * NULL: then nothing is known of holes and callers probe. */
    int64_t (*seek_data)(int fd, uint64_t off);
    int (*sync_range)(int fd, uint64_t off, uint64_t n); /* start write-back, do not wait; best effort */
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, unsigned mode);
    int (*fstat)(int fd, struct stat *st);
    int (*stat)(const char *path, struct stat *st);
    int (*statfs)(const char *path, struct sys_statfs *out);
    int (*lock)(int fd); /* exclusive, not waiting: -EWOULDBLOCK when another process holds it */
    /* Calls fn(arg, name) for each entry but . and ..; stops when fn returns false. */
    int (*list)(const char *dir, bool (*fn)(void *arg, const char *name), void *arg);
    uint64_t (*mono_ns)(void);
    int64_t (*real_ms)(void); /* ms since the epoch, UTC */
    void (*random)(void *p, size_t n);
    void (*sleep_ns)(uint64_t ns); /* this thread waits, or in the simulator its fiber */
};

extern const struct sys_ops *sys; /* what everything calls */
extern const struct sys_ops sys_real;

/* Whole-range helpers over the table: loop over short counts and EINTR. ERR_OK or a mapped error; a read that
 * meets the end of the file early is ERR_CORRUPT. */
err sys_read_full(int fd, void *p, size_t n, uint64_t off);
err sys_write_full(int fd, const void *p, size_t n, uint64_t off);
/* Append a whole small file to *out (initialised by the caller). ERR_NOT_FOUND if absent, ERR_CORRUPT if
 * longer than max, ERR_NO_MEMORY if *out is full. */
err sys_read_file(const char *path, size_t max, struct buf *out);
/* Replace a file atomically and durably: temporary ("path.tmp"), fsync, rename, fsync of the directory. One
 * caller a path at a time. After an error the old or the new content stands, whole. */
err sys_replace_file(const char *path, struct str data, unsigned mode);
/* mkdir -p, every new ancestor made durable. */
err sys_mkdirs(const char *path, unsigned mode);

/* Fault injection: the k-th call (0-based) of the wrapped table fails once. All calls that can fail count, so
 * not the clocks, random and sleep. EIO, ENOSPC and EINTR fail without doing anything (close closes all the
 * same). SHORT moves half the bytes of a read or write of two or more; where nothing can be short it is EIO.
 * Any thread may call the table; install and remove while none does. */
enum sys_fault_kind { SYS_FAULT_EIO, SYS_FAULT_ENOSPC, SYS_FAULT_EINTR, SYS_FAULT_SHORT };
void sys_fault_install(uint64_t k, enum sys_fault_kind kind); /* sets sys to the faulting table */
void sys_fault_remove(void);                                  /* sets sys back to what it was */
uint64_t sys_fault_calls(void);                               /* calls seen since install */
bool sys_fault_hit(void);                                     /* did the k-th call come? */

#endif
