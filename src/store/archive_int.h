/* What the two files of the archive share: its frames. */
#ifndef STORE_ARCHIVE_INT_H
#define STORE_ARCHIVE_INT_H

#include "base/bytes.h"
#include "store/archive.h"

#define ARCHIVE_MAGIC     0x43524149u /* "IARC" */
#define ARCHIVE_HEADER    32u
#define ARCHIVE_FRAME_MAX ((size_t)64 << 20)

enum archive_kind { ARCHIVE_BEGIN = 1, ARCHIVE_RECORD = 2, ARCHIVE_ENTRIES = 3, ARCHIVE_END = 4 };
struct archive_frame {
    enum archive_kind kind;
    uint64_t seq;
    uint32_t count, len;
    struct str payload;
};
/* Appends header and payload. */
void archive_frame_encode(struct buf *out, const struct archive_frame *f);
/* The frame at the beginning of s; ERR_NOT_FOUND at the end, ERR_CORRUPT. */
err archive_frame_decode(struct str s, struct archive_frame *f);

#endif
