/* log: the commit log, the store's only authority: segments of records in DIR/log, appended with one durable
 * write each.
 *
 * DIR/log/NNNNNNNNNNNNNNNN.log  live segments, by number (hexadecimal), without gaps
 * DIR/log/free-*.log            written once and idle: the next segment, so that a flush changes no metadata
 *
 * Order of use: log_open, log_replay (finds and checks the tail), then one appender at a time: log_reserve,
 * log_append. Reads and collection may run beside it. Calls wait; fiber, worker or start-up.
 */
#ifndef STORE_LOG_H
#define STORE_LOG_H

#include "store/log_format.h"

struct log;
struct log_options {
    const char *dir; /* the data directory */
    uint8_t store_id[16];
    uint64_t epoch;         /* of this opening: greater than any before */
    uint64_t segment_bytes; /* of new segments */
    bool read_only;
    bool salvage; /* recovery: go on past damage, counting it, instead of failing */
};
err log_open(const struct log_options *o, struct log **out, char why[512]);
void log_close(struct log *l);

struct log_record {
    uint64_t segment, offset; /* of the record's header */
    struct log_record_head head;
    struct str payload;
};
/* Bytes of a payload lie at this offset of their segment. */
static inline uint64_t log_payload_at(const struct log_record *r)
{
    return r->offset + LOG_RECORD_HEADER;
}
typedef err log_record_fn(void *arg, const struct log_record *r);
/* Every record of the segments that reach beyond from_seq (so earlier ones may come too), in order. A torn
 * tail ends it quietly; a bad record with a valid one after it, or a gap, is damage: ERR_CORRUPT and a line
 * that names the place. */
err log_replay(struct log *l, uint64_t from_seq, log_record_fn *fn, void *arg, char why[512]);
uint64_t log_damage(const struct log *l); /* salvage: places skipped */
uint64_t log_next_seq(const struct log *l);
/* The first sequence that the log still holds. */
uint64_t log_first_seq(const struct log *l);
/* Before the first append to a log without segments (a new store, or a recovered one). */
void log_start_at(struct log *l, uint64_t next_seq);

/* A buffer for a record: LOG_ALIGN-aligned; free(). */
unsigned char *log_alloc(size_t n);

/* The identity that most of the log's segments agree on, when the superblock is lost. ERR_NOT_FOUND. */
err log_identity(const char *dir, uint8_t store_id[16], uint64_t *epoch);

/* ---- appending: one caller at a time ---- */
/* Room for a record of `payload` bytes, in a new segment if the active one is full. Where its payload will
 * lie. */
err log_reserve(struct log *l, size_t payload, uint64_t *segment, uint64_t *offset);
/* Payload bytes that still fit into the active segment. */
size_t log_room(struct log *l);
/* record: aligned to LOG_ALIGN, LOG_RECORD_HEADER bytes free for the header, then the payload, with space for
 * the padding. Durable on ERR_OK. After ERR_NO_SPACE it may be appended again, or withdrawn; after
 * another error nothing may be appended any more: what is on disk is decided at the next open. */
err log_append(struct log *l, unsigned char *record, size_t payload, uint32_t commits);
/* After log_append said ERR_NO_SPACE: ERR_OK when nothing of that record can ever be taken for one, neither
 * now nor after a crash; the next record takes its place and its sequences. Another error: that is not
 * proven, so the record must be appended again. */
err log_withdraw(struct log *l);
/* Have the next segment written in the background. */
void log_prepare_next(struct log *l);

/* ---- reading ---- */
/* Bytes of a live segment, as they are: the caller verifies. ERR_NOT_FOUND when the segment is gone. n 0 asks
 * just that. */
err log_read(struct log *l, uint64_t segment, uint64_t offset, void *p, size_t n);

/* ---- collection ---- */
struct log_segment_info {
    uint64_t number, first_seq, last_seq, bytes;
    bool active;
};
bool log_oldest(struct log *l, struct log_segment_info *out);
/* The records of one full segment, some at once: all that lie in the next 4 MiB, one in any case. They are
 * valid during the call. */
typedef err log_window_fn(void *arg, const struct log_record *r, size_t n);
err log_read_segment(struct log *l, uint64_t number, log_window_fn *fn, void *arg, char why[512]);
/* Gives back the oldest segment: waits for reads, then recycles or removes the file. */
err log_retire(struct log *l, uint64_t number);

struct log_stats {
    uint64_t segments, bytes, appended, flushes, retired;
    bool direct, spare;
};
void log_get_stats(struct log *l, struct log_stats *out);

#endif
