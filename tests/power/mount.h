/* mount: a loop device over a served disk, and the file system on it. All calls return 0, or -1 with the
 * reason printed. */
#ifndef POWER_MOUNT_H
#define POWER_MOUNT_H

#include <sys/types.h>

/* The process that serves `dir`/disk; waits until the file is there. The pid, or -1. */
struct disk;
pid_t mount_serve(struct disk *d, const char *dir);
/* Ends it: the FUSE file system is unmounted, the process waited for. */
int mount_unserve(pid_t pid, const char *dir);

/* The path of the device goes to dev (32 bytes). */
int mount_loop(const char *file, char dev[32]);
int mount_unloop(const char *dev);

/* Replays the journal. fs: ext4 or xfs. */
int mount_fs(const char *dev, const char *dir, const char *fs);
/* Drops what was not yet written and unmounts. */
int mount_drop(const char *dir);

#endif
