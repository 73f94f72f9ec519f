/* extents_format: the bytes of extent files, encoded and decoded. Pure functions over memory: no I/O, no
 * state. The page is docs/format/extents.md; a change here is a change there.
 *
 * A file: two copies of the file header (4 KiB each, at 0 and 4,096), then extents from 8,192 on, each at a
 * multiple of 4,096. An extent: one 4 KiB head, the data padded with zeros to 4 KiB, then, only when it does
 * not fit into the head behind the header, the meta (table of block sums ++ owner), padded likewise.
 */
#ifndef STORE_EXTENTS_FORMAT_H
#define STORE_EXTENTS_FORMAT_H

#include "base/errors.h"

#define EXT_ALIGN     4096u
#define EXT_HEAD      4096u /* bytes of an extent before its data */
#define EXT_HEADER    128u  /* bytes of the header proper */
#define EXT_META_ROOM (EXT_HEAD - EXT_HEADER)
#define EXT_START     8192u  /* first extent of a file */
#define EXT_BLOCK     16384u /* bytes under one checksum */
#define EXT_OWNER_MAX 65536u
#define EXT_DATA_MAX  ((uint64_t)256 << 20) /* data of one extent */
#define EXT_SUMS_MAX  (EXT_DATA_MAX / EXT_BLOCK)
#define EXT_META_MAX  (EXT_SUMS_MAX * 8 + EXT_OWNER_MAX)
#define EXT_OPEN_MAX                                                                                         \
    (EXT_DATA_MAX + EXT_HEAD + EXT_META_MAX + EXT_ALIGN) /* longest claim of an open extent */

static inline uint64_t ext_align(uint64_t n)
{
    return (n + EXT_ALIGN - 1) & ~(uint64_t)(EXT_ALIGN - 1);
}

enum ext_class { EXT_SMALL, EXT_LARGE, EXT_CLASSES };

/* ---- the file header ---- */
struct ext_file_head {
    uint32_t number; /* the file's own number, as in its name */
    uint32_t cls;    /* enum ext_class */
    bool final;      /* no extent will be added: a scan after a crash may pass over it */
    uint64_t
        seed; /* random; in every header checksum of the file, so that stored bytes cannot pose as a header */
    int64_t created_ms;
};
void ext_file_head_encode(const struct ext_file_head *h, unsigned char out[EXT_ALIGN]);
/* One copy. ERR_CORRUPT: not a header, damaged, or of another file; ERR_UNSUPPORTED_FORMAT: of a newer
 * version. */
err ext_file_head_decode(const unsigned char p[EXT_ALIGN], uint32_t number, struct ext_file_head *h);

/* ---- the extent header ---- */
enum {
    EXT_F_SEALED = 1, /* complete: all fields hold */
    EXT_F_LAST = 2,   /* the blob's last extent: has owner and blob_size */
    EXT_F_INSIDE = 4, /* the data, too, is in the head, behind the meta: the extent is one page */
};
struct ext_head {
    uint32_t flags, file, part, owner_len;
    uint64_t offset; /* of this header in its file */
    uint64_t blob_id;
    uint64_t blob_off;  /* of the data's first byte in the blob */
    uint64_t blob_size; /* when LAST */
    uint64_t data_len;
    uint64_t disk_len; /* of an open extent: how much it may cover */
    uint64_t meta_hash;
    int64_t created_ms;
};
static inline uint64_t ext_sums(uint64_t data_len)
{
    return (data_len + EXT_BLOCK - 1) / EXT_BLOCK;
}
static inline uint64_t ext_meta_len(uint64_t data_len, uint64_t owner_len)
{
    return ext_sums(data_len) * 8 + owner_len;
}
static inline bool ext_meta_in_head(uint64_t data_len, uint64_t owner_len)
{
    return ext_meta_len(data_len, owner_len) <= EXT_META_ROOM;
}
/* A blob so small that one page takes header, meta and data. */
static inline bool ext_fits_head(uint64_t data_len, uint64_t owner_len)
{
    return data_len > 0 && data_len <= EXT_META_ROOM && owner_len <= EXT_META_ROOM &&
           ext_meta_len(data_len, owner_len) + data_len <= EXT_META_ROOM;
}
/* Where the data begins, relative to the extent. */
static inline uint64_t ext_data_at(const struct ext_head *h)
{
    return h->flags & EXT_F_INSIDE ? EXT_HEADER + ext_meta_len(h->data_len, h->owner_len) : EXT_HEAD;
}
/* Where the meta begins, relative to the extent, and what the whole extent covers. */
uint64_t ext_meta_off(uint64_t data_len, uint64_t owner_len);
uint64_t ext_disk_len(uint64_t data_len, uint64_t owner_len);
/* Bytes of the padded meta behind the data; 0 when it sits in the head. */
size_t ext_tail_len(uint64_t data_len, uint64_t owner_len);

/* Writes the 128 bytes of the header. */
void ext_head_encode(const struct ext_head *h, uint64_t seed, unsigned char out[EXT_HEADER]);
/* Sets h->meta_hash; writes the whole head, and tail (ext_tail_len bytes) when the meta does not fit into it.
 */
void ext_seal_head(struct ext_head *h, uint64_t seed, const uint64_t *sums, struct str owner,
                   unsigned char head[EXT_HEAD], unsigned char *tail);
/* ERR_NOT_FOUND: all zero, nothing was written here; ERR_CORRUPT; ERR_UNSUPPORTED_FORMAT. After ERR_OK every
 * length is within its bounds and agrees with the others. */
err ext_head_decode(const unsigned char p[EXT_HEADER], uint32_t file, uint64_t seed, uint64_t offset,
                    struct ext_head *h);

/* ---- checksums ---- */
uint64_t ext_meta_hash(const struct ext_head *h, uint64_t seed, const void *meta, size_t n);
/* Block number `block` of part `part` of a blob: its up to EXT_BLOCK bytes. */
uint64_t ext_block_hash(uint64_t blob_id, uint32_t part, uint64_t block, const void *p, size_t n);

#endif
