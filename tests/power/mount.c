#include "power/mount.h"
#include "power/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 3000 /* of 10 ms: what is waited for is certain to come unless something is broken */

/* Both file systems know it: no further write reaches the disk, not even at unmounting. */
#define SHUTDOWN          _IOR('X', 125, uint32_t)
#define SHUTDOWN_NO_FLUSH 2u

static int failed(const char *what, const char *name)
{
    fprintf(stderr, "%s %s: %s\n", what, name, strerror(errno));
    return -1;
}

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

pid_t mount_serve(struct disk *d, const char *dir)
{
    char file[4096];
    struct stat st;
    snprintf(file, sizeof file, "%s/disk", dir);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(disk_serve(d, dir));
    for (int i = 0; pid > 0 && i < TRIES && waitpid(pid, NULL, WNOHANG) == 0; i++) {
        if (stat(file, &st) == 0) return pid;
        wait_a_little();
    }
    return failed("cannot serve", file);
}

static int unmount(const char *dir)
{
    for (int i = 0; i < TRIES; i++) {
        if (umount2(dir, 0) == 0) return 0;
        if (errno != EBUSY) break;
        wait_a_little();
    }
    return failed("cannot unmount", dir);
}

int mount_unserve(pid_t pid, const char *dir)
{
    int rc = unmount(dir);
    if (rc) kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return rc;
}

static int configure(int number, int file, char dev[32])
{
    struct loop_config c = {.fd = (uint32_t)file, .info = {.lo_flags = LO_FLAGS_DIRECT_IO}};
    snprintf(dev, 32, "/dev/loop%d", number);
    int fd = open(dev, O_RDWR | O_CLOEXEC);
    int rc = fd < 0 ? -1 : ioctl(fd, LOOP_CONFIGURE, &c);
    if (fd >= 0) close(fd);
    return rc;
}

/* Others may take the free one first: then the next is asked for. */
int mount_loop(const char *path, char dev[32])
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file = open(path, O_RDWR | O_CLOEXEC),
        rc = -1;
    if (control < 0 || file < 0) failed("cannot open /dev/loop-control or", path);
    for (int i = 0; control >= 0 && file >= 0 && rc < 0 && i < TRIES; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) break;
        rc = configure(number, file, dev);
        if (rc < 0 && errno != EBUSY) break;
        if (rc < 0) wait_a_little();
    }
    if (rc < 0) failed("no loop device for", path);
    if (control >= 0) close(control);
    if (file >= 0) close(file);
    return rc;
}

int mount_unloop(const char *dev)
{
    int fd = open(dev, O_RDWR | O_CLOEXEC);
    int rc = fd < 0 ? -1 : ioctl(fd, LOOP_CLR_FD, 0);
    if (fd >= 0) close(fd);
    return rc < 0 ? failed("cannot detach", dev) : 0;
}

int mount_fs(const char *dev, const char *dir, const char *fs)
{
    const char *options = strcmp(fs, "xfs") == 0 ? "nouuid" : "noauto_da_alloc";
    return mount(dev, dir, fs, MS_NOATIME, options) < 0 ? failed("cannot mount", dev) : 0;
}

int mount_drop(const char *dir)
{
    uint32_t how = SHUTDOWN_NO_FLUSH;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, SHUTDOWN, &how) < 0) failed("cannot stop", dir);
    if (fd >= 0) close(fd);
    return unmount(dir);
}
