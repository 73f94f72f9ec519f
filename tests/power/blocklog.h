/* blocklog: what a disk was told, in order: writes, stretches of zeros, flushes. A file of entries, each a
 * header followed by the bytes of a write. The position of an entry is its number; "cut at n" means that the
 * entries 0 … n-1 had been told when the power went. */
#ifndef POWER_BLOCKLOG_H
#define POWER_BLOCKLOG_H

#include <stdint.h>
#include <stddef.h>

enum { BLOCK_WRITE = 1, BLOCK_ZERO = 2, BLOCK_FLUSH = 3 };

struct block_entry {
    uint64_t off;
    uint32_t len, kind;
};

/* ---- writing: the disk's only thread ---- */
struct block_writer;
/* position: a file of 8 bytes that others map to see how many entries there are. NULL on an error, which is
 * printed. */
struct block_writer *block_writer_open(const char *log, const char *position);
/* Returns 0 or -errno. data: e->len bytes of a BLOCK_WRITE. */
int block_append(struct block_writer *w, const struct block_entry *e, const void *data);

/* ---- reading ---- */
struct block_log {
    struct block_entry *v;
    const unsigned char **data; /* of writes: in the mapped file */
    uint64_t n;
};
/* 0, or -1 with the reason printed. Never closed: the program ends with it. */
int block_log_load(const char *path, struct block_log *out);

#endif
