/* A chunk: u8 format (1), then parts: varint number, varint size, le64 modified, 16 B MD5, le64 CRC-64/XZ,
 * checksums and pieces, each with its length before it. The directory: 16 B id, varint chunks, for each
 * varint number, varint offset.
 */
#include "object/table.h"
#include "base/assert.h"
#include "base/bytes.h"

#define CHUNK_FORMAT 1
#define PART_FIXED   (10 + 10 + 8 + 16 + 8 + 10 + 10)

static void encode_part(struct buf *b, const struct part *p, struct str pieces)
{
    buf_varint(b, p->number);
    buf_varint(b, p->size);
    buf_le64(b, (uint64_t)p->modified_ms);
    buf_add(b, p->md5, 16);
    buf_le64(b, p->crc64xz);
    buf_lenstr(b, p->sums);
    buf_lenstr(b, pieces);
}

static size_t part_bound(const struct part *p)
{
    return PART_FIXED + p->sums.n + 10 + p->npieces * 30;
}

/* Encodes parts from *i on until a chunk is full. */
static struct str encode_chunk(struct arena *a, const struct part *parts, size_t n, size_t *i, uint64_t *off)
{
    size_t end = *i, size = 1;
    while (end < n && (end == *i || size + part_bound(&parts[end]) <= TABLE_CHUNK))
        size += part_bound(&parts[end++]);
    struct buf b = {.p = arena_alloc_raw(a, size), .cap = size, .max = size};
    if (!b.p) return STR_NONE;
    buf_char(&b, CHUNK_FORMAT);
    for (; *i < end; ++*i) {
        encode_part(&b, &parts[*i], pieces_encode(a, parts[*i].pieces, parts[*i].npieces));
        *off += parts[*i].size;
    }
    ASSERT(!b.overflow);
    return buf_view(&b);
}

err table_encode(struct arena *a, const struct vid *id, const struct part *parts, size_t n,
                 struct str **chunks, unsigned *nchunks, struct str *directory)
{
    /* Chunks are at least half full, but for those of a single, fragmented part: as many as parts at most. */
    struct str *v = ARENA_ARRAY(a, struct str, n);
    size_t size = VID_SIZE + 10 + n * 20;
    char *head = arena_alloc_raw(a, size), raw[VID_SIZE];
    if (!v || !head) return ERR_NO_MEMORY;
    struct buf entries = {.p = head, .cap = size, .max = size};
    unsigned count = 0;
    uint64_t off = 0;
    for (size_t i = 0; i < n;) {
        buf_varint(&entries, parts[i].number);
        buf_varint(&entries, off);
        v[count] = encode_chunk(a, parts, n, &i, &off);
        if (!v[count++].p) return ERR_NO_MEMORY;
    }
    size = VID_SIZE + 10 + entries.n;
    struct buf b = {.p = arena_alloc_raw(a, size), .cap = size, .max = size};
    if (!b.p) return ERR_NO_MEMORY;
    vid_put(id, raw);
    buf_add(&b, raw, sizeof raw);
    buf_varint(&b, count);
    buf_add(&b, entries.p, entries.n);
    *chunks = v;
    *nchunks = count;
    *directory = buf_view(&b);
    return arena_overflowed(a) ? ERR_NO_MEMORY : ERR_OK;
}

err table_decode(struct arena *a, struct str directory, struct table *out)
{
    struct rd rd = rd_of(directory);
    struct str id = rd_bytes(&rd, VID_SIZE);
    uint64_t n = rd_varint(&rd);
    if (rd.bad || n == 0 || n > rd_left(&rd) / 2 || n > OBJ_PART_MAX_NUMBER) return ERR_CORRUPT;
    *out = (struct table){.id = vid_get(id.p), .nchunks = (unsigned)n};
    out->first_number = ARENA_ARRAY(a, unsigned, n);
    out->first_off = ARENA_ARRAY(a, uint64_t, n);
    if (!out->first_number || !out->first_off) return ERR_NO_MEMORY;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = rd_varint(&rd);
        out->first_number[i] = (unsigned)number;
        out->first_off[i] = rd_varint(&rd);
        if (rd.bad || number == 0 || number > OBJ_PART_MAX_NUMBER) return ERR_CORRUPT;
        if (i > 0 && (number <= out->first_number[i - 1] || out->first_off[i] < out->first_off[i - 1]))
            return ERR_CORRUPT;
    }
    return rd_left(&rd) > 0 || out->first_off[0] != 0 ? ERR_CORRUPT : ERR_OK;
}

static err decode_part(struct arena *a, struct rd *rd, struct part *p)
{
    uint64_t number = rd_varint(rd);
    p->number = (unsigned)number;
    p->size = rd_varint(rd);
    p->modified_ms = (int64_t)rd_le64(rd);
    struct str md5 = rd_bytes(rd, 16);
    p->crc64xz = rd_le64(rd);
    p->sums = rd_lenstr(rd);
    struct str pieces = rd_lenstr(rd);
    if (rd->bad || number == 0 || number > OBJ_PART_MAX_NUMBER) return ERR_CORRUPT;
    memcpy(p->md5, md5.p, 16);
    err e = pieces_decode(a, pieces, &p->pieces, &p->npieces);
    uint64_t sum = 0;
    for (size_t i = 0; !e && i < p->npieces; i++) sum += p->pieces[i].len;
    if (!e && sum != p->size) return ERR_CORRUPT;
    return e;
}

err chunk_decode(struct arena *a, struct str chunk, struct part **parts, size_t *n)
{
    struct rd rd = rd_of(chunk);
    if (rd_u8(&rd) != CHUNK_FORMAT) return rd.bad ? ERR_CORRUPT : ERR_UNSUPPORTED_FORMAT;
    size_t cap = chunk.n / 36; /* an encoded part is 36 bytes at least */
    struct part *v = ARENA_ARRAY(a, struct part, cap + 1);
    if (!v) return ERR_NO_MEMORY;
    *n = 0;
    while (rd_left(&rd) > 0) {
        if (*n > cap) return ERR_CORRUPT;
        err e = decode_part(a, &rd, &v[*n]);
        if (e) return e;
        if (*n > 0 && v[*n].number <= v[*n - 1].number) return ERR_CORRUPT;
        ++*n;
    }
    *parts = v;
    return *n == 0 ? ERR_CORRUPT : ERR_OK;
}

unsigned table_chunk_at(const struct table *t, uint64_t off)
{
    unsigned lo = 0, hi = t->nchunks;
    while (hi - lo > 1) {
        unsigned mid = lo + (hi - lo) / 2;
        if (t->first_off[mid] <= off)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

unsigned table_chunk_of(const struct table *t, unsigned number)
{
    unsigned lo = 0, hi = t->nchunks;
    while (hi - lo > 1) {
        unsigned mid = lo + (hi - lo) / 2;
        if (t->first_number[mid] <= number)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

err table_load(struct idx *x, struct arena *a, uint64_t shard, const struct table *t, unsigned chunk,
               struct part **parts, size_t *n)
{
    struct key k;
    struct str value;
    key_of_table(&k, shard, &t->id, chunk);
    err e = idx_get(x, a, key_str(&k), &value, NULL);
    return e ? e : chunk_decode(a, value, parts, n);
}
