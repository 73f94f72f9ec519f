/* What the index holds, from hostile bytes: records, part tables, directories, bucket records, ids. What
 * decodes must encode to something that decodes to the same. */
#include "base/bytes.h"
#include "object/internal.h"

static void round_trip(struct arena *a, const struct rec *r)
{
    struct rec again;
    struct str bytes = rec_encode(a, r);
    ASSERT(bytes.p && rec_decode(bytes, &again) == ERR_OK);
    ASSERT(again.kind == r->kind && again.size == r->size && str_eq(again.tail, r->tail));
    for (unsigned t = 1; t < REC_TAG_END; t++) ASSERT(str_eq(again.f[t], r->f[t]));
}

static void one_record(struct arena *a, struct str in)
{
    struct rec r;
    struct obj_meta meta;
    struct obj_checksums sums;
    struct piece *pieces;
    struct table t;
    struct vid v;
    size_t n;
    enum hash_alg alg;
    enum checksum_type type;
    if (rec_decode(in, &r) != ERR_OK) return;
    round_trip(a, &r);
    rec_get_meta(a, &r, &meta);
    if (sums_decode(r.f[REC_SUMS], &sums) == ERR_OK) {
        struct obj_checksums again;
        ASSERT(sums_decode(sums_encode(a, &sums), &again) == ERR_OK && again.bits == sums.bits);
    }
    pieces_decode(a, r.f[REC_PIECES], &pieces, &n);
    vid_decode(r.f[REC_OLD_NULL], &v);
    upload_sum_decode(r.f[REC_UPLOAD_SUM], &alg, &type);
    if (r.f[REC_TABLE].n && table_decode(a, r.f[REC_TABLE], &t) == ERR_OK) {
        ASSERT(table_chunk_at(&t, r.size) < t.nchunks);
        ASSERT(table_chunk_of(&t, r.parts) < t.nchunks);
    }
}

static void one_chunk(struct arena *a, struct str in)
{
    struct part *parts, *again;
    struct str *chunks, directory;
    struct vid id = {.order = 1};
    unsigned count;
    size_t n, m;
    if (chunk_decode(a, in, &parts, &n) != ERR_OK) return;
    if (table_encode(a, &id, parts, n, &chunks, &count, &directory) != ERR_OK) return;
    ASSERT(chunk_decode(a, chunks[0], &again, &m) == ERR_OK && m >= 1 && again[0].number == parts[0].number);
}

static void ignore_ref(void *ctx, uint64_t blob, uint64_t min_size)
{
    (void)ctx;
    (void)blob;
    (void)min_size;
}

static void ignore_count(void *ctx, struct str key, unsigned i, int64_t delta)
{
    (void)ctx;
    (void)key;
    (void)delta;
    ASSERT(i < CNT_N);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct arena *a = arena_new(0);
    struct str in = str_of((const char *)data + 1, size - 1);
    struct guard g;
    struct bucket_rec b;
    switch (data[0] % 4) {
    case 0:
        one_record(a, in);
        break;
    case 1:
        one_chunk(a, in);
        break;
    case 2: { /* an entry: length of the key, key, value */
        size_t n = in.n ? (unsigned char)in.p[0] % (in.n ? in.n : 1) : 0;
        if (in.n)
            objects_check_entry(NULL, str_slice(in, 1, 1 + n), str_slice(in, 1 + n, in.n), ignore_ref,
                                ignore_count, NULL);
        break;
    }
    default:
        guard_decode(in, &g);
        bucket_rec_decode(in, &b);
        break;
    }
    arena_free(a);
    return 0;
}
