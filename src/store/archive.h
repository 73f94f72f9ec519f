/* archive: what collected log segments said, without the bodies, so that the index can be rebuilt without the
 * index: newest snapshot + later archived records + log. The page is docs/format/archive.md.
 *
 * DIR/archive/SSSSSSSSSSSSSSSS.snap  every entry of the index as of commit S (hexadecimal)
 * DIR/archive/NNNNNNNNNNNNNNNN.arc   records from commit N on, in order; may repeat what came before
 *
 * Files are only appended to, by one collection at a time, and consist of checksummed frames. Fiber or
 * start-up. */
#ifndef STORE_ARCHIVE_H
#define STORE_ARCHIVE_H

#include "store/view.h"

struct archive;
err archive_open(const char *dir, const uint8_t store_id[16], struct archive **out, char why[512]);
void archive_close(struct archive *a);
/* One record's commits, stripped. Durable after archive_sync. */
err archive_append(struct archive *a, uint64_t first_seq, uint32_t commits, struct str payload);
err archive_sync(struct archive *a);
uint64_t archive_bytes(const struct archive *a); /* of the records, not of the snapshot */
/* Writes a snapshot of the view, which must hold all that was archived, and drops what it makes needless. */
err archive_snapshot(struct archive *a, struct view *v);
/* Somebody waits for the snapshot under way: no more pauses. Any thread. */
void archive_hurry(struct archive *a);

/* ---- reading everything back, in order: entries first ---- */
struct archive_reader {
    void (*snapshot)(void *arg, uint64_t seq); /* before its entries; not called when there is none */
    err (*entry)(void *arg, uint64_t snapshot_seq, struct str key, uint64_t seq, struct str value);
    err (*record)(void *arg, uint64_t first_seq, uint32_t commits, struct str payload);
    /* A frame or file that does not verify: said, and passed over. */
    void (*damage)(void *arg, const char *line);
    void *arg;
};
/* *last: the last commit that was read. A snapshot that is not whole is not
 * used at all: an older one is. A file that cannot be read is an error: it may be whole. */
err archive_read(const char *dir, const uint8_t store_id[16], const struct archive_reader *r, uint64_t *last);

#endif
