/* Any bytes as a segment of the log: headers, records, operations. What decodes, encodes to the same bytes
 * again; nothing reads beyond its input. The checksums are mended first, or nothing would ever get past them.
 */
#include "base/assert.h"
#include "base/bytes.h"
#include "store/log_int.h"
#include "store/log_op.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct again {
    struct buf commit, whole;
    uint32_t ops;
    const char *payload;
};

static err encode_again(void *arg, uint64_t seq, struct log_op *op)
{
    struct again *g = arg;
    ASSERT(seq >= 1);
    if (op) {
        ASSERT(op->key.n <= IDX_KEY_MAX && op->value.n <= IDX_VALUE_MAX && op->n <= IDX_COUNTERS_MAX);
        if (op->kind == TXN_PUBLISH && op->where == LOG_BODY_INLINE)
            ASSERT(op->body.n == op->size && op->body.p == g->payload + op->offset);
        size_t before = g->commit.n;
        struct log_op copy = *op;
        log_op_encode(&g->commit, &copy);
        ASSERT(g->commit.n - before <= log_op_bound(op));
        g->ops++;
        return ERR_OK;
    }
    buf_le32(&g->whole, g->ops);
    buf_str(&g->whole, buf_view(&g->commit));
    buf_clear(&g->commit);
    g->ops = 0;
    return ERR_OK;
}

static err on_record(void *arg, const struct log_record *r)
{
    struct arena *a = arg;
    struct again g = {.payload = r->payload.p};
    buf_init(&g.commit, 0);
    buf_init(&g.whole, 0);
    if (log_payload_walk(r->payload, r->head.first_seq, r->head.commits, a, encode_again, &g) == ERR_OK)
        ASSERT(str_eq(buf_view(&g.whole), r->payload));
    buf_free(&g.commit);
    buf_free(&g.whole);
    arena_reset(a);
    return ERR_OK;
}

/* The input is a sequence of: length (2 bytes), commits (1 byte), that much payload. Laid out as records of a
 * segment. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log_segment_head h = {.segment = 1,
                                 .epoch = 1,
                                 .first_seq = 1,
                                 .bytes = 64 * LOG_ALIGN,
                                 .nonce = 7},
                            back;
    unsigned char *segment = log_alloc(h.bytes), block[LOG_ALIGN];
    struct arena *a = arena_new((size_t)64 << 20);
    memset(segment, 0, h.bytes);
    log_segment_encode(&h, segment);
    ASSERT(log_segment_decode(segment, &back) == ERR_OK && back.nonce == h.nonce);
    memset(block, 0, sizeof block);
    memcpy(block, data, size < sizeof block ? size : sizeof block);
    if (log_segment_decode(block, &back) == ERR_OK) ASSERT(back.bytes <= LOG_SEGMENT_MAX);
    struct rd r = rd_of(str_of((const char *)data, size));
    uint64_t at = LOG_ALIGN, seq = 1;
    while (rd_left(&r) >= 3) {
        size_t len = rd_le16(&r);
        uint32_t commits = rd_u8(&r) % 8u + 1;
        if (len > rd_left(&r)) len = rd_left(&r);
        if (at + log_record_size(len) > h.bytes) break;
        struct log_record_head rec = {.epoch = 1, .first_seq = seq, .commits = commits, .payload_len = len};
        struct str payload = rd_bytes(&r, len);
        if (len) memcpy(segment + at + LOG_RECORD_HEADER, payload.p, len);
        log_record_seal(&h, &rec, at, segment + at);
        at += log_record_size(len);
        seq += commits;
    }
    struct log_walk w = {.next_seq = 1, .end = LOG_ALIGN};
    ASSERT(log_walk_segment(&h, segment, &w, on_record, a) == ERR_OK);
    ASSERT(w.end == at && w.next_seq == seq && w.beyond == 0);
    /* Raw input in the records' place: a header that lies about its length must not be followed. */
    memset(segment + LOG_ALIGN, 0, h.bytes - LOG_ALIGN);
    memcpy(segment + LOG_ALIGN, data, size < h.bytes - LOG_ALIGN ? size : h.bytes - LOG_ALIGN);
    w = (struct log_walk){.next_seq = 1, .end = LOG_ALIGN};
    ASSERT(log_walk_segment(&h, segment, &w, on_record, a) == ERR_OK);
    arena_free(a);
    free(segment);
    return 0;
}
