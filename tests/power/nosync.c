/* Preloaded into a server: flushes of files whose path contains NOSYNC are said to be done and are not. What
 * a store without that flush would do, to show that the harness sees it. Never part of a real run. */
#include <dlfcn.h>
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>

int fsync(int fd);
int fdatasync(int fd);

static int left_out(int fd)
{
    char link[64], path[PATH_MAX];
    const char *what = getenv("NOSYNC");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0 || !what) return 0;
    path[n] = '\0';
    return strstr(path, what) != NULL;
}

static int real(const char *name, int fd)
{
    int (*fn)(int) = NULL;
    *(void **)&fn = dlsym(RTLD_NEXT, name);
    return fn(fd);
}

int fsync(int fd)
{
    return left_out(fd) ? 0 : real("fsync", fd);
}

int fdatasync(int fd)
{
    return left_out(fd) ? 0 : real("fdatasync", fd);
}

ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t off, int flags)
{
    ssize_t (*fn)(int, const struct iovec *, int, off_t, int) = NULL;
    *(void **)&fn = dlsym(RTLD_NEXT, "pwritev2");
    return fn(fd, v, n, off, left_out(fd) ? flags & ~(RWF_DSYNC | RWF_SYNC) : flags);
}
