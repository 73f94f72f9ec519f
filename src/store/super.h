/* super: DIR/ingot.super, what a data directory is: its identity, its format's features, its epoch; and
 * DIR/ingot.lock, which one process holds. The page is docs/format/super.md. Start-up calls; they block.
 *
 * Features are flags in three sets, as ext4 has them: a version that does not know a compatible flag may go
 * on, one that does not know a read-only flag may read, one that does not know an incompatible flag must
 * refuse. */
#ifndef STORE_SUPER_H
#define STORE_SUPER_H

#include "base/errors.h"

/* None of the three sets has a flag yet. */
#define SUPER_COMPATIBLE   0u
#define SUPER_READ_ONLY    0u
#define SUPER_INCOMPATIBLE 0u

struct super {
    uint8_t store_id[16]; /* random, for life */
    uint64_t compatible, read_only, incompatible;
    uint64_t epoch;     /* of the last opening for writing */
    uint64_t clean_seq; /* the last commit when it was closed in order; 0 while open or after a crash */
    int64_t created_ms;
};

/* ERR_NOT_FOUND: no such file. ERR_CORRUPT, ERR_UNSUPPORTED_FORMAT and others come with a line in why. */
err super_load(const char *dir, bool for_writing, struct super *out, char why[512]);
err super_save(const char *dir, const struct super *s, char why[512]);

/* *fd holds the lock until closed. why names the process that has it. */
err super_lock(const char *dir, int *fd, char why[512]);
void super_unlock(int fd);

#endif
