/* Whole-range and whole-file helpers over the table. */
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

/* A signal says nothing about the call: ask again. A failed flush is never asked again, the kernel may have
 * dropped the pages. */
#define RETRY(rc, call)                                                                                      \
    do rc = (call);                                                                                          \
    while (rc == -EINTR)

err sys_read_full(int fd, void *p, size_t n, uint64_t off)
{
    char *to = p;
    while (n > 0) {
        ssize_t got;
        RETRY(got, sys->pread(fd, to, n, off));
        if (got < 0) return err_of_errno((int)-got);
        if (got == 0) return ERR_CORRUPT;
        to += got;
        n -= (size_t)got;
        off += (uint64_t)got;
    }
    return ERR_OK;
}

err sys_write_full(int fd, const void *p, size_t n, uint64_t off)
{
    const char *from = p;
    while (n > 0) {
        ssize_t put;
        RETRY(put, sys->pwrite(fd, from, n, off));
        if (put < 0) return err_of_errno((int)-put);
        if (put == 0) return ERR_IO;
        from += put;
        n -= (size_t)put;
        off += (uint64_t)put;
    }
    return ERR_OK;
}

/* Read to the end of the file, whatever size it is said to have (files in /proc say 0). */
static err read_all(int fd, size_t max, struct buf *out)
{
    char chunk[4096];
    for (size_t total = 0;;) {
        ssize_t got;
        RETRY(got, sys->pread(fd, chunk, sizeof chunk, total));
        if (got < 0) return err_of_errno((int)-got);
        if (got == 0) return ERR_OK;
        total += (size_t)got;
        if (total > max) return ERR_CORRUPT;
        buf_add(out, chunk, (size_t)got);
        if (out->overflow) return ERR_NO_MEMORY;
    }
}

err sys_read_file(const char *path, size_t max, struct buf *out)
{
    int fd;
    RETRY(fd, sys->open(path, O_RDONLY, 0));
    if (fd == -ENOENT) return ERR_NOT_FOUND;
    if (fd < 0) return err_of_errno(-fd);
    err e = read_all(fd, max, out);
    sys->close(fd);
    return e;
}

/* The directory that holds path, into dir. */
static bool parent_of(const char *path, char dir[PATH_MAX])
{
    size_t n = strlen(path);
    if (n >= PATH_MAX) return false;
    while (n > 1 && path[n - 1] == '/') n--;
    while (n > 0 && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    if (n == 0)
        snprintf(dir, PATH_MAX, ".");
    else
        snprintf(dir, PATH_MAX, "%.*s", (int)n, path);
    return true;
}

static err fsync_parent(const char *path)
{
    char dir[PATH_MAX];
    if (!parent_of(path, dir)) return ERR_IO;
    int rc;
    RETRY(rc, sys->fsync_dir(dir));
    return err_of_errno(rc);
}

/* A new file at path with data, flushed and closed. */
static err write_new(const char *path, struct str data, unsigned mode)
{
    int fd, rc;
    RETRY(fd, sys->open(path, O_WRONLY | O_CREAT | O_EXCL, mode));
    if (fd < 0) return err_of_errno(-fd);
    err e = sys_write_full(fd, data.p, data.n, 0);
    if (e == ERR_OK) {
        RETRY(rc, sys->fsync(fd));
        e = err_of_errno(rc);
    }
    rc = sys->close(fd);
    return e != ERR_OK ? e : err_of_errno(rc);
}

err sys_replace_file(const char *path, struct str data, unsigned mode)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path), rc;
    if (n < 0 || (size_t)n >= sizeof temporary) return ERR_IO;
    /* What a crash left may have a wider mode than the caller wants: make a new file, never reuse that one.
     */
    RETRY(rc, sys->unlink(temporary));
    if (rc < 0 && rc != -ENOENT) return err_of_errno(rc);
    err e = write_new(temporary, data, mode);
    if (e == ERR_OK) {
        RETRY(rc, sys->rename(temporary, path));
        e = err_of_errno(rc);
    }
    if (e != ERR_OK) {
        sys->unlink(temporary);
        return e;
    }
    return fsync_parent(path);
}

static err make_one(const char *path, unsigned mode)
{
    int rc;
    RETRY(rc, sys->mkdir(path, mode));
    if (rc == 0) return fsync_parent(path);
    if (rc != -EEXIST) {
        /* A directory that exists on a read-only or foreign file system need not be writable. */
        struct stat st;
        return sys->stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? ERR_OK : err_of_errno(rc);
    }
    struct stat st;
    RETRY(rc, sys->stat(path, &st));
    if (rc < 0) return err_of_errno(rc);
    return S_ISDIR(st.st_mode) ? ERR_OK : ERR_IO;
}

err sys_mkdirs(const char *path, unsigned mode)
{
    char prefix[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof prefix) return ERR_IO;
    for (size_t i = 1; i <= n; i++) {
        if (i < n && path[i] != '/') continue;
        if (path[i - 1] == '/') continue;
        memcpy(prefix, path, i);
        prefix[i] = 0;
        err e = make_one(prefix, mode);
        if (e != ERR_OK) return e;
    }
    /* A run that died between mkdir and flush left the last name in memory alone: flush it again. A parent
     * that we may enter but not open is not ours to flush. */
    int rc;
    if (!parent_of(path, prefix)) return ERR_IO;
    RETRY(rc, sys->fsync_dir(prefix));
    return rc == -EACCES || rc == -EPERM ? ERR_OK : err_of_errno(rc);
}
