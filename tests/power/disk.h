/* disk: a block device's bytes, served as one file of a FUSE file system under which a loop device stands.
 *
 * Recording, every write and flush goes to a block log. Replaying, writes of whoever mounts the disk go to an
 * overlay that disk_forget drops, so that one base serves many states. The memory is shared between the
 * process that serves and the one that prepares states; neither touches it while the other is at work (the
 * file system is mounted or it is not). */
#ifndef POWER_DISK_H
#define POWER_DISK_H

#include "power/blocklog.h"

#define DISK_SECTOR 512u

struct disk;
/* log NULL: a replayed disk. NULL when memory is out. */
struct disk *disk_new(uint64_t bytes, struct block_writer *log);
/* Serve DIR/disk until it is unmounted: the whole life of a process. Returns the exit code. */
int disk_serve(struct disk *d, const char *dir);

/* ---- states (replay) ---- */
void disk_base_apply(struct disk *d, const struct block_entry *e, const void *data);
/* Only those sectors of the entry for which keep() says so reach the overlay. */
void disk_overlay_apply(struct disk *d, const struct block_entry *e, const void *data,
                        int (*keep)(void *arg, uint32_t sector), void *arg);
void disk_forget(struct disk *d);

#endif
