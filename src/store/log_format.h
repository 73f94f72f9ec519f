/* log_format: the bytes of the commit log, encoded and decoded. Pure functions: no I/O, no state. The page is
 * docs/format/log.md; a change here is a change there.
 *
 * A segment: one 4 KiB header, then records, each at a multiple of 4,096. A record is what one batch of
 * commits wrote with one flush: a 64-byte header, then the payload (log_op.h), padded with zeros. Its
 * checksum is salted with the segment's number, its random nonce and the record's offset, so neither stale
 * bytes of a recycled segment nor bytes that a client stored can pass for a record.
 */
#ifndef STORE_LOG_FORMAT_H
#define STORE_LOG_FORMAT_H

#include "base/errors.h"

#define LOG_ALIGN         4096u
#define LOG_RECORD_HEADER 64u
#define LOG_SEGMENT_MAX   ((uint64_t)1 << 30)

static inline uint64_t log_align(uint64_t n)
{
    return (n + LOG_ALIGN - 1) & ~(uint64_t)(LOG_ALIGN - 1);
}

struct log_segment_head {
    uint8_t store_id[16];
    uint64_t segment;   /* number: 1, 2, 3 … over the life of the store, never reused */
    uint64_t epoch;     /* of the opening that began it */
    uint64_t first_seq; /* of the first commit that it may hold */
    uint64_t bytes;     /* of the whole file */
    uint64_t nonce;     /* random */
    int64_t time_ms;
};
void log_segment_encode(const struct log_segment_head *h, unsigned char out[LOG_ALIGN]);
/* ERR_CORRUPT, ERR_UNSUPPORTED_FORMAT. */
err log_segment_decode(const unsigned char p[LOG_ALIGN], struct log_segment_head *h);

struct log_record_head {
    uint64_t epoch;     /* raised at every opening */
    uint64_t first_seq; /* of the first commit in it; the others follow without a gap */
    uint32_t commits;
    uint64_t payload_len;
    int64_t time_ms;
};
/* Bytes that a record takes in its segment. */
static inline uint64_t log_record_size(uint64_t payload_len)
{
    return log_align(LOG_RECORD_HEADER + payload_len);
}
/* record: LOG_RECORD_HEADER bytes, then the payload. Writes the header with its checksum. */
void log_record_seal(const struct log_segment_head *s, const struct log_record_head *h, uint64_t offset,
                     unsigned char *record);
/* Reads a header at `room` bytes before the end of its segment. ERR_NOT_FOUND: no record begins here. The
 * fields are within bounds, but nothing is proven before log_record_verify. */
err log_record_peek(const unsigned char p[LOG_RECORD_HEADER], uint64_t room, struct log_record_head *h);
/* The whole record, header and payload. */
bool log_record_verify(const struct log_segment_head *s, const struct log_record_head *h, uint64_t offset,
                       const unsigned char *record);

#endif
