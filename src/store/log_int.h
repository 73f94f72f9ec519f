/* What the files of the log share. */
#ifndef STORE_LOG_INT_H
#define STORE_LOG_INT_H

#include "rt/rt.h"
#include "store/log.h"

#define LOG_PATH_MAX      4096
#define LOG_SEGMENTS_MAX  4096u
#define LOG_SPARES_MAX    2u
#define LOG_FIRST_SEGMENT ((uint64_t)1 << 20) /* a new store's first one: written at once, so it is small */

struct log_segment {
    struct log_segment_head head;
    int fd;
    unsigned readers;
    bool retiring;     /* no new readers: what it held lives elsewhere now */
    uint64_t end;      /* offset after the last record */
    uint64_t last_seq; /* first_seq - 1 when it holds none */
};

#define LOG_MAGIC 0x6c6f6721u
struct log {
    unsigned magic;
    struct log_options o;
    char dir[LOG_PATH_MAX]; /* DIR/log */
    bool direct, dsync;     /* what the file system takes */
    uint64_t next_seq, damage;
    /* Guards the table and what follows it. The appender alone adds segments and moves their ends; collection
     * alone removes them. */
    struct rt_latch lock;
    struct log_segment **segments; /* by number, no gaps; the last is the active one */
    size_t n, cap;
    char *spares[LOG_SPARES_MAX]; /* names of free files of segment_bytes */
    unsigned nspares;
    bool preparing;
    uint64_t spare_counter, appended, flushes, retired;
};

/* With the lock held, on a worker: lets it go for a moment, for the last reader or who prepares to come by.
 * No loop has to wake it. */
void log_wait_changed(struct log *l);
void log_path(const struct log *l, char out[LOG_PATH_MAX], const char *name);
void log_segment_path(const struct log *l, char out[LOG_PATH_MAX], uint64_t number);
/* For making and for replaying, with O_DIRECT where the file system has it; the segments that are begun are
 * opened without. fd or -errno. */
int log_file_open(struct log *l, const char *path, int flags);
/* A file of zeros, written and durable, under a free-* name that is appended to the spares. */
err log_spare_make(struct log *l, uint64_t bytes, char name[64]);
/* The next segment becomes the active one: from a spare, or written now, with at least `need` bytes if space
 * is short. */
err log_segment_begin(struct log *l, uint64_t need);
/* Reads the directory: fills segments and spares. */
err log_segments_load(struct log *l, char why[512]);
struct log_segment *log_active(struct log *l);
void log_segment_free(struct log_segment *s);

/* Walks the records in `data` (a whole segment). *end: where the chain ended; *beyond: offset of a valid
 * record after that, 0 if none. next_seq: expected sequence, advanced. */
struct log_walk {
    uint64_t next_seq, end, beyond;
};
/* The record that w expects next, at p, of which n bytes are there. Its size in the segment; 0: there is none
 * that is whole and right. When n is less than the size, it may not have been verified and has no payload. */
uint64_t log_record_at(const struct log_segment_head *h, const struct log_walk *w, const unsigned char *p,
                       size_t n, struct log_record *r);
err log_walk_segment(const struct log_segment_head *h, const unsigned char *data, struct log_walk *w,
                     log_record_fn *fn, void *arg);
/* What should come after w->end is not there, although commit `until` is known. ERR_OK when salvaging. */
err log_damaged(struct log *l, const struct log_segment *s, const struct log_walk *w, uint64_t until,
                char why[512]);

#endif
