#include "store/extents_format.h"
#include "base/assert.h"
#include "base/bytes.h"

#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* AVX2 where the processor has it: 5 times the library's default */
#else
#include <xxhash.h>
#endif

#define FILE_MAGIC   0x465845544f474e49ull /* "INGOTEXF" */
#define EXTENT_MAGIC 0x545845544f474e49ull /* "INGOTEXT" */
#define VERSION      1
#define HASH_AT      (EXT_HEADER - 8) /* both headers are 128 bytes that end with their own checksum */
#define BLOCK_SHIFT  14
#define HASH_XXH3_64 1

_Static_assert(1u << BLOCK_SHIFT == EXT_BLOCK, "the block size is written as a shift");

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static uint64_t salt(uint64_t a, uint64_t b)
{
    return mix(mix(a + 0x9e3779b97f4a7c15ull) + b);
}

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i]) return false;
    return true;
}

/* What both headers share: magic, version, their own length. */
static err check_prefix(const unsigned char *p, uint64_t magic, uint64_t hash)
{
    if (get_le64(p) != magic || get_le64(p + HASH_AT) != hash) return ERR_CORRUPT;
    if (get_le16(p + 8) != VERSION || get_le16(p + 10) != EXT_HEADER) return ERR_UNSUPPORTED_FORMAT;
    return ERR_OK;
}

static void put_prefix(unsigned char *p, uint64_t magic, uint32_t flags)
{
    memset(p, 0, EXT_HEADER);
    put_le64(p, magic);
    put_le16(p + 8, VERSION);
    put_le16(p + 10, EXT_HEADER);
    put_le32(p + 12, flags);
}

void ext_file_head_encode(const struct ext_file_head *h, unsigned char out[EXT_ALIGN])
{
    memset(out, 0, EXT_ALIGN);
    put_prefix(out, FILE_MAGIC, h->final ? 1 : 0);
    put_le32(out + 16, h->number);
    put_le32(out + 20, h->cls);
    put_le64(out + 24, h->seed);
    put_le64(out + 32, (uint64_t)h->created_ms);
    put_le64(out + HASH_AT, XXH3_64bits_withSeed(out, HASH_AT, salt(FILE_MAGIC, h->number)));
}

err ext_file_head_decode(const unsigned char p[EXT_ALIGN], uint32_t number, struct ext_file_head *h)
{
    err e = check_prefix(p, FILE_MAGIC, XXH3_64bits_withSeed(p, HASH_AT, salt(FILE_MAGIC, number)));
    if (e) return e;
    uint32_t flags = get_le32(p + 12);
    *h = (struct ext_file_head){
        .number = get_le32(p + 16),
        .cls = get_le32(p + 20),
        .final = flags & 1,
        .seed = get_le64(p + 24),
        .created_ms = (int64_t)get_le64(p + 32),
    };
    if (flags & ~1u || h->cls >= EXT_CLASSES) return ERR_UNSUPPORTED_FORMAT;
    return h->number == number ? ERR_OK : ERR_CORRUPT;
}

uint64_t ext_meta_off(uint64_t data_len, uint64_t owner_len)
{
    return ext_meta_in_head(data_len, owner_len) ? EXT_HEADER : EXT_HEAD + ext_align(data_len);
}

size_t ext_tail_len(uint64_t data_len, uint64_t owner_len)
{
    return ext_meta_in_head(data_len, owner_len) ? 0 : (size_t)ext_align(ext_meta_len(data_len, owner_len));
}

uint64_t ext_disk_len(uint64_t data_len, uint64_t owner_len)
{
    return EXT_HEAD + ext_align(data_len) + ext_tail_len(data_len, owner_len);
}

static uint64_t head_salt(uint32_t file, uint64_t seed, uint64_t offset)
{
    return salt(salt(seed, file), offset);
}

void ext_head_encode(const struct ext_head *h, uint64_t seed, unsigned char out[EXT_HEADER])
{
    put_prefix(out, EXTENT_MAGIC, h->flags);
    put_le32(out + 16, h->file);
    put_le32(out + 20, h->part);
    put_le64(out + 24, h->offset);
    put_le64(out + 32, h->blob_id);
    put_le64(out + 40, h->blob_off);
    put_le64(out + 48, h->blob_size);
    put_le64(out + 56, h->data_len);
    put_le64(out + 64, h->disk_len);
    put_le32(out + 72, h->owner_len);
    out[76] = BLOCK_SHIFT;
    out[77] = HASH_XXH3_64;
    put_le64(out + 80, h->meta_hash);
    put_le64(out + 88, (uint64_t)h->created_ms);
    put_le64(out + HASH_AT, XXH3_64bits_withSeed(out, HASH_AT, head_salt(h->file, seed, h->offset)));
}

static bool lengths_agree(const struct ext_head *h)
{
    if (!(h->flags & EXT_F_SEALED))
        return h->flags == 0 && h->disk_len % EXT_ALIGN == 0 && h->disk_len >= EXT_HEAD &&
               h->disk_len <= EXT_OPEN_MAX;
    if (h->data_len > EXT_DATA_MAX || h->owner_len > EXT_OWNER_MAX) return false;
    if (h->flags & EXT_F_LAST && h->blob_size != h->blob_off + h->data_len) return false;
    if (h->flags & EXT_F_INSIDE) return h->disk_len == EXT_HEAD && ext_fits_head(h->data_len, h->owner_len);
    return h->disk_len == ext_disk_len(h->data_len, h->owner_len);
}

err ext_head_decode(const unsigned char p[EXT_HEADER], uint32_t file, uint64_t seed, uint64_t offset,
                    struct ext_head *h)
{
    if (all_zero(p, EXT_HEADER)) return ERR_NOT_FOUND;
    err e = check_prefix(p, EXTENT_MAGIC, XXH3_64bits_withSeed(p, HASH_AT, head_salt(file, seed, offset)));
    if (e) return e;
    *h = (struct ext_head){
        .flags = get_le32(p + 12),
        .file = get_le32(p + 16),
        .part = get_le32(p + 20),
        .offset = get_le64(p + 24),
        .blob_id = get_le64(p + 32),
        .blob_off = get_le64(p + 40),
        .blob_size = get_le64(p + 48),
        .data_len = get_le64(p + 56),
        .disk_len = get_le64(p + 64),
        .owner_len = get_le32(p + 72),
        .meta_hash = get_le64(p + 80),
        .created_ms = (int64_t)get_le64(p + 88),
    };
    if (h->flags & ~(uint32_t)(EXT_F_SEALED | EXT_F_LAST | EXT_F_INSIDE) || p[76] != BLOCK_SHIFT ||
        p[77] != HASH_XXH3_64)
        return ERR_UNSUPPORTED_FORMAT;
    return h->file == file && h->offset == offset && lengths_agree(h) ? ERR_OK : ERR_CORRUPT;
}

uint64_t ext_meta_hash(const struct ext_head *h, uint64_t seed, const void *meta, size_t n)
{
    return XXH3_64bits_withSeed(meta, n, salt(head_salt(h->file, seed, h->offset), h->blob_id));
}

void ext_seal_head(struct ext_head *h, uint64_t seed, const uint64_t *sums, struct str owner,
                   unsigned char head[EXT_HEAD], unsigned char *tail)
{
    size_t table = ext_sums(h->data_len) * 8, n = table + owner.n,
           padded = ext_tail_len(h->data_len, owner.n);
    unsigned char *meta = padded ? tail : head + EXT_HEADER;
    memset(head, 0, EXT_HEAD);
    if (padded) memset(tail + n, 0, padded - n);
    if (table) memcpy(meta, sums, table);
    if (owner.n) memcpy(meta + table, owner.p, owner.n);
    h->meta_hash = ext_meta_hash(h, seed, meta, n);
    ext_head_encode(h, seed, head);
}

uint64_t ext_block_hash(uint64_t blob_id, uint32_t part, uint64_t block, const void *p, size_t n)
{
    ASSERT(n > 0 && n <= EXT_BLOCK);
    return XXH3_64bits_withSeed(p, n, salt(salt(blob_id, part), block));
}
