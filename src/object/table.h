/* table: the parts of a multipart object, kept in values of their own ('t' keys) in chunks of about 16 KiB;
 * the object's record holds the directory: which part number and which offset each chunk starts with. So a
 * range or one part is found with one point read, however many parts there are. Chunks are written once and
 * deleted with their object.
 */
#ifndef OBJECT_TABLE_H
#define OBJECT_TABLE_H

#include "object/record.h"
#include "rt/rt.h"

#define TABLE_CHUNK      16384u
#define TABLE_PIECES_MAX 65536u /* of one object: what one transaction can refer to */

struct part {
    unsigned number;
    uint64_t size, crc64xz;
    int64_t modified_ms;
    uint8_t md5[16];
    struct str sums; /* encoded */
    struct piece *pieces;
    size_t npieces;
};

struct table {
    struct vid id;
    unsigned nchunks;
    unsigned *first_number; /* by chunk */
    uint64_t *first_off;
};

/* Encoded chunks and their directory, for parts in order. ERR_NO_MEMORY. */
err table_encode(struct arena *a, const struct vid *id, const struct part *parts, size_t n,
                 struct str **chunks, unsigned *nchunks, struct str *directory);
err table_decode(struct arena *a, struct str directory, struct table *out);
err chunk_decode(struct arena *a, struct str chunk, struct part **parts, size_t *n);
/* The chunk that holds this offset or part number (or would). */
unsigned table_chunk_at(const struct table *t, uint64_t off);
unsigned table_chunk_of(const struct table *t, unsigned number);

/* Read a chunk. ERR_NOT_FOUND when it went with its object: read the record again. */
err table_load(struct idx *x, struct arena *a, uint64_t shard, const struct table *t, unsigned chunk,
               struct part **parts, size_t *n);

/* Between chunks of a long walk: let the loop's other fibers run. */
static inline void table_breathe(unsigned chunk)
{
    if (chunk % 8 == 7 && rt_fiber_self()) rt_yield();
}

#endif
