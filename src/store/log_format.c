#include "store/log_format.h"
#include "base/bytes.h"

#include <xxhash.h>

#define SEGMENT_MAGIC   "INGOTLOG"
#define SEGMENT_VERSION 1u
#define SEGMENT_HEADER  96u         /* bytes under the checksum that follows them */
#define RECORD_MAGIC    0x4352474eu /* "NGRC" */
#define RECORD_VERSION  1u

/* Segment header: 0 magic, 8 version, 12 zero, 16 store id, 32 number, 40 epoch, 48 first sequence, 56 bytes,
 * 64 nonce, 72 time, 80 zero, 96 XXH3-64 of what is before, 104 zero. */
void log_segment_encode(const struct log_segment_head *h, unsigned char out[LOG_ALIGN])
{
    memset(out, 0, LOG_ALIGN);
    memcpy(out, SEGMENT_MAGIC, 8);
    put_le32(out + 8, SEGMENT_VERSION);
    memcpy(out + 16, h->store_id, 16);
    put_le64(out + 32, h->segment);
    put_le64(out + 40, h->epoch);
    put_le64(out + 48, h->first_seq);
    put_le64(out + 56, h->bytes);
    put_le64(out + 64, h->nonce);
    put_le64(out + 72, (uint64_t)h->time_ms);
    put_le64(out + SEGMENT_HEADER, XXH3_64bits(out, SEGMENT_HEADER));
}

err log_segment_decode(const unsigned char p[LOG_ALIGN], struct log_segment_head *h)
{
    if (memcmp(p, SEGMENT_MAGIC, 8) != 0) return ERR_CORRUPT;
    if (get_le64(p + SEGMENT_HEADER) != XXH3_64bits(p, SEGMENT_HEADER)) return ERR_CORRUPT;
    if (get_le32(p + 8) != SEGMENT_VERSION) return ERR_UNSUPPORTED_FORMAT;
    memcpy(h->store_id, p + 16, 16);
    h->segment = get_le64(p + 32);
    h->epoch = get_le64(p + 40);
    h->first_seq = get_le64(p + 48);
    h->bytes = get_le64(p + 56);
    h->nonce = get_le64(p + 64);
    h->time_ms = (int64_t)get_le64(p + 72);
    if (h->segment == 0 || h->first_seq == 0) return ERR_CORRUPT;
    if (h->bytes < 2 * LOG_ALIGN || h->bytes > LOG_SEGMENT_MAX || h->bytes % LOG_ALIGN != 0)
        return ERR_CORRUPT;
    return ERR_OK;
}

/* Record header: 0 magic, 4 version, 8 epoch, 16 first sequence, 24 commits, 28 zero, 32 payload length, 40
 * time, 48 zero, 56 checksum of header (this field taken as zero) and payload. */
#define CHECKSUM_AT 56

static uint64_t checksum(const struct log_segment_head *s, const struct log_record_head *h, uint64_t offset,
                         const unsigned char *record)
{
    uint64_t salt[5] = {s->nonce, s->segment, offset, h->epoch, h->first_seq};
    uint64_t seed = XXH3_64bits(salt, sizeof salt);
    uint64_t head = XXH3_64bits_withSeed(record, CHECKSUM_AT, seed);
    return XXH3_64bits_withSeed(record + LOG_RECORD_HEADER, h->payload_len, head);
}

void log_record_seal(const struct log_segment_head *s, const struct log_record_head *h, uint64_t offset,
                     unsigned char *record)
{
    memset(record, 0, LOG_RECORD_HEADER);
    put_le32(record, RECORD_MAGIC);
    put_le32(record + 4, RECORD_VERSION);
    put_le64(record + 8, h->epoch);
    put_le64(record + 16, h->first_seq);
    put_le32(record + 24, h->commits);
    put_le64(record + 32, h->payload_len);
    put_le64(record + 40, (uint64_t)h->time_ms);
    put_le64(record + CHECKSUM_AT, checksum(s, h, offset, record));
}

err log_record_peek(const unsigned char p[LOG_RECORD_HEADER], uint64_t room, struct log_record_head *h)
{
    if (get_le32(p) != RECORD_MAGIC || get_le32(p + 4) != RECORD_VERSION) return ERR_NOT_FOUND;
    h->epoch = get_le64(p + 8);
    h->first_seq = get_le64(p + 16);
    h->commits = get_le32(p + 24);
    h->payload_len = get_le64(p + 32);
    h->time_ms = (int64_t)get_le64(p + 40);
    if (h->first_seq == 0 || h->commits == 0) return ERR_NOT_FOUND;
    if (room < LOG_RECORD_HEADER || h->payload_len > room - LOG_RECORD_HEADER) return ERR_NOT_FOUND;
    return ERR_OK;
}

bool log_record_verify(const struct log_segment_head *s, const struct log_record_head *h, uint64_t offset,
                       const unsigned char *record)
{
    return get_le64(record + CHECKSUM_AT) == checksum(s, h, offset, record);
}
