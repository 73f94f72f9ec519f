/* extents: the big files that hold bytes beyond the log. Below the blob seam; used by the engine alone.
 *
 * DIR/extents/NNNNNNNN.ext, each up to 1 GiB, only ever appended to: space inside is allocated once, freed by
 * punching a hole (FALLOC_FL_PUNCH_HOLE), never reused, so a free is idempotent and can be replayed from the
 * log. A file in which nothing lives is removed. On file systems without hole punching the space returns when
 * the file's last extent dies (and the engine says so once).
 *
 * An extent describes itself: header (magic, format version, blob id, part number within the blob, data
 * length, owner bytes given at seal, header checksum), data in 4 KiB-aligned place, a table of one XXH3-64
 * per 16 to 32 KiB block, salted with blob id and block number, itself checksummed. The format page is
 * docs/format/extents.md.
 *
 * Durability: extent_seal returns when data, header, table, and (for a new file) the directory entry are
 * durable; flushes of one file are shared by all writers that wait (group flush).
 */
#ifndef STORE_EXTENTS_H
#define STORE_EXTENTS_H

#include "store/store.h"

struct extents;
struct extent_place {
    uint32_t file;
    uint32_t flags;    /* 0 */
    uint64_t offset;   /* of the header; multiple of 4,096 */
    uint64_t disk_len; /* header + data + table, multiple of 4,096 */
    uint64_t data_len;
};

struct extents_options {
    const char *dir;      /* the data directory */
    bool read_only;       /* nothing is written: no writers, no frees */
    bool buffered;        /* through the page cache: to measure it, and for tests */
    unsigned fds;         /* descriptors kept for reading and freeing; 0: 1,024 */
    uint64_t file_max;    /* a file is full here; 0: 1 GiB */
    uint64_t extent_max;  /* data of one extent, a multiple of 16 KiB; 0: 256 MiB */
    size_t writer_buffer; /* bytes that a stream writes at once, a multiple of 16 KiB; 0: 512 KiB (and two of
                             them) */
    uint64_t memory_max;  /* buffers of all writers; 0: 256 MiB. Beyond it extent_writer_new waits 2 s, then
                             ERR_NO_MEMORY */
    /* A flush failed, and not for want of space: what a disk that does so still keeps is not known. May be
     * NULL; any thread or fiber, must not block. */
    void (*flush_failed)(void *arg);
    void *arg;
};
/* Start-up or fiber. Reads the header of every file (0.02 ms each when cached), scans nothing. */
err extents_open(const struct extents_options *o, struct extents **out, char why[512]);
/* All writers, readers and calls have ended. Frees not yet settled are dropped: the log replays them. From a
 * fiber it waits for the background work to stop; also callable after rt_run returned. */
void extents_close(struct extents *x);
/* After rt_run returned: a fiber that the end cut short holds a lock or an extent for good. Then neither
 * settle nor close. */
bool extents_busy(struct extents *x);

/* ---- writing ---- */
struct extent_writer;
/* blob_id: never 0, never used before. A write error is final for the writer: every later call returns it;
 * abandon. One blob: becomes one extent, or several when size is unknown or exceeds an extent's ceiling (256
 * MiB). */
err extent_writer_new(struct extents *x, uint64_t blob_id, int64_t size_hint, struct extent_writer **out);
err extent_write(struct extent_writer *w, const void *p, size_t n);
/* The same without a copy, as blob_room and blob_filled (blob.h) have it; *p is never NULL on ERR_OK. */
err extent_room(struct extent_writer *w, char **p, size_t *n);
err extent_filled(struct extent_writer *w, size_t n);
/* Durable on ERR_OK; places of all extents in order, owned by the writer until it is freed. */
err extent_seal(struct extent_writer *w, struct str owner, const struct extent_place **places, size_t *n);
/* Published: free the memory, keep the bytes; from now they count as live. A free of its places may come
 * first. */
void extent_writer_keep(struct extent_writer *w);
void extent_writer_abandon(struct extent_writer *w); /* free memory and bytes */
/* Sealed, and nobody knows whether it is published: free the memory; the bytes stay for the next start to
 * judge. */
void extent_writer_leave(struct extent_writer *w);
/* Many small blobs at once (moved out of the log): each becomes one extent; one flush for all.
 * data of each <= EXTENT_SMALL_MAX. On ERR_OK each is durable and its file stays open to a sweep after a
 * crash, until the caller says what became of it: one of the three calls below; on an error nothing is kept
 * of any.
 */
#define EXTENT_SMALL_MAX (1u << 20)
struct extent_small {
    uint64_t blob_id;
    struct str data, owner;
    struct extent_place place; /* out */
    struct ext_file *pinned;   /* out: private */
};
err extents_write_many(struct extents *x, struct extent_small *v, size_t n);
/* The same for one, together with those that come meanwhile: they share the write, the flush, and an error.
 * Data and owner stay the caller's until it returns. */
err extents_write_shared(struct extents *x, struct extent_small *s);
/* As for a writer: published, given up, or nobody knows. */
void extents_small_keep(struct extent_small *v, size_t n);
void extents_small_abandon(struct extent_small *v, size_t n);
void extents_small_leave(struct extent_small *v, size_t n);

/* ---- reading ---- */
/* Verified bytes of one extent: [off, off + n) must lie in data (n 0: header and table alone are verified);
 * reads whole blocks into buf (cap >= n + 2 blocks) and points *view at the wanted ones. ERR_CORRUPT on any
 * mismatch (header, table or block). May read on a worker. A file is kept open by a bounded cache of
 * descriptors (256). */
#define EXTENT_BLOCK_MAX 32768
struct extent_table; /* an extent's block checksums, loaded and verified once per reader; NULL first */
err extent_read(struct extents *x, const struct extent_place *p, uint64_t blob_id,
                struct extent_table **table, uint64_t off, size_t n, void *buf, size_t cap, struct str *view);
void extent_table_free(struct extent_table *t);

/* ---- freeing ---- */
/* Queue the punch of one extent; done in the background, throttled. Idempotent over restarts: places already
 * freed and files already gone are fine. Takes disk_len from the file's live count. May wait when very many
 * are queued. */
void extents_free_place(struct extents *x, const struct extent_place *p);
/* The same for an extent that was never counted as live: what a scan found and the engine does not know. */
void extents_free_unknown(struct extents *x, const struct extent_place *p);
/* All frees queued before this call are done and durable (before a log segment that recorded them is
 * recycled). */
err extents_settle_frees(struct extents *x);

/* ---- opening and scanning ---- */
/* At open the engine tells what lives (sum of disk_len a file), or restores the per-file counts it saved, so
 * that nothing is scanned. A file is removed only after its count was set or it was made since open, the
 * count is 0, and no sealed extent is found in it: a wrong count leaks, it never deletes. The newest file is
 * always kept, so that numbers are not used twice. extents_files lists the numbers, ascending. */
size_t extents_files(struct extents *x, uint32_t *out, size_t cap); /* how many there are; fills up to cap */
void extents_set_live(struct extents *x, uint32_t file, uint64_t live_bytes);
uint64_t extents_get_live(struct extents *x, uint32_t file);
/* Visits every extent with a valid header, file by file (for recover, check, and after a crash the unsealed
 * last files: what the engine does not know is freed). bad: called once per stretch of bytes without a valid
 * header (a damaged header, or what a crash left of a write); may be NULL. Not while writers are at work.
 * Owner bytes are valid during fn; fn may free the place, may not scan, and returns false to stop. With
 * only_tail_files, unless read_only, stretches of zeros that no extent covers are freed on the way. */
struct extent_visit {
    uint32_t file;
    struct extent_place place;
    uint64_t blob_id;
    uint32_t part;
    struct str owner; /* on the last extent of a blob */
    bool open; /* never sealed: holds nothing that was acknowledged; data_len is 0, disk_len what it covers */
    bool last; /* the blob's last extent: blob_size holds */
    uint64_t blob_off; /* of the extent's first byte in the blob */
    uint64_t blob_size;
};
err extents_scan(struct extents *x, bool only_tail_files, bool (*fn)(void *arg, const struct extent_visit *v),
                 void (*bad)(void *arg, uint32_t file, uint64_t offset), void *arg);

/* For check --repair, which knows every live place: frees all of a file but these (ascending by offset).
 * ERR_CORRUPT if they overlap or reach beyond the file; then nothing is freed. *freed: what the file system
 * got back, to some blocks.
 */
err extents_reclaim(struct extents *x, uint32_t file, const struct extent_place *keep, size_t n,
                    uint64_t *freed);

struct extents_stats {
    uint64_t files, bytes, live, freed_bytes, punches, flushes, flush_waiters, corrupt, io_errors;
    uint64_t frees_queued, fds, writer_memory;
};
void extents_get_stats(struct extents *x, struct extents_stats *out);

#endif
