#include "store/log_op.h"
#include "base/assert.h"
#include "base/bytes.h"

#include <xxhash.h>

uint64_t log_body_sum(uint64_t blob, struct str body)
{
    return XXH3_64bits_withSeed(body.p, body.n, blob);
}

#define VARINT_MAX 10u

size_t log_op_bound(const struct log_op *op)
{
    return 64 + op->key.n + op->value.n + 8 * (size_t)op->n + op->owner.n + op->body.n +
           op->nplaces * (5 * VARINT_MAX);
}

void log_places_encode(struct buf *out, const struct extent_place *p, size_t n)
{
    buf_varint(out, n);
    for (size_t i = 0; i < n; i++) {
        buf_varint(out, p[i].file);
        buf_varint(out, p[i].flags);
        buf_varint(out, p[i].offset);
        buf_varint(out, p[i].disk_len);
        buf_varint(out, p[i].data_len);
    }
}

err log_places_decode(struct rd *r, struct arena *a, const struct extent_place **p, size_t *n)
{
    uint64_t count = rd_varint(r);
    *p = NULL;
    *n = 0;
    if (r->bad || count > rd_left(r) / 5) return ERR_CORRUPT; /* each takes five bytes at least */
    if (count == 0) return ERR_OK;
    struct extent_place *v = ARENA_ARRAY(a, struct extent_place, count);
    if (!v) return ERR_NO_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t file = rd_varint(r), flags = rd_varint(r);
        if (file > UINT32_MAX || flags > UINT32_MAX) return ERR_CORRUPT;
        v[i].file = (uint32_t)file;
        v[i].flags = (uint32_t)flags;
        v[i].offset = rd_varint(r);
        v[i].disk_len = rd_varint(r);
        v[i].data_len = rd_varint(r);
    }
    *p = v;
    *n = count;
    return r->bad ? ERR_CORRUPT : ERR_OK;
}

static void encode_publish(struct buf *out, struct log_op *op)
{
    buf_char(out, (char)op->where);
    buf_varint(out, op->size);
    if (op->where == LOG_BODY_EXTENTS) {
        log_places_encode(out, op->places, op->nplaces);
        return;
    }
    buf_le64(out, op->sum);
    buf_lenstr(out, op->owner);
    if (op->where == LOG_BODY_STRIPPED) {
        buf_varint(out, op->segment);
        buf_varint(out, op->offset);
        return;
    }
    ASSERT(op->body.n == op->size);
    op->offset = out->n;
    buf_str(out, op->body);
}

void log_op_encode(struct buf *out, struct log_op *op)
{
    buf_char(out, (char)op->kind);
    switch (op->kind) {
    case TXN_PUT:
        buf_lenstr(out, op->key);
        buf_lenstr(out, op->value);
        return;
    case TXN_DEL:
        buf_lenstr(out, op->key);
        return;
    case TXN_ADD:
        buf_lenstr(out, op->key);
        buf_char(out, (char)op->n);
        for (unsigned i = 0; i < op->n; i++) buf_le64(out, (uint64_t)op->delta[i]);
        return;
    case TXN_PUBLISH:
        buf_le64(out, op->blob);
        encode_publish(out, op);
        return;
    case TXN_REF:
    case TXN_UNREF:
        buf_le64(out, op->blob);
        return;
    case LOG_REFS:
        buf_le64(out, op->blob);
        buf_varint(out, op->refs);
        return;
    case LOG_FREE:
        buf_le64(out, op->blob);
        log_places_encode(out, op->places, op->nplaces);
        return;
    case LOG_MOVE:
        buf_le64(out, op->blob);
        buf_varint(out, op->segment);
        buf_varint(out, op->offset);
        log_places_encode(out, op->places, op->nplaces);
        return;
    default:
        UNREACHABLE();
    }
}

static err decode_publish(struct rd *r, const char *base, struct arena *a, struct log_op *op)
{
    uint8_t where = rd_u8(r);
    op->size = rd_varint(r);
    if (where > LOG_BODY_STRIPPED) return ERR_UNSUPPORTED_FORMAT;
    op->where = (enum log_body)where;
    if (where == LOG_BODY_EXTENTS) return log_places_decode(r, a, &op->places, &op->nplaces);
    op->sum = rd_le64(r);
    op->owner = rd_lenstr(r);
    if (where == LOG_BODY_STRIPPED) {
        op->segment = rd_varint(r);
        op->offset = rd_varint(r);
        return ERR_OK;
    }
    if (r->bad || op->size > rd_left(r)) return ERR_CORRUPT;
    op->offset = (uint64_t)(r->p - base);
    op->body = rd_bytes(r, op->size);
    return ERR_OK;
}

static err decode_add(struct rd *r, struct log_op *op)
{
    op->key = rd_lenstr(r);
    op->n = rd_u8(r);
    if (op->n == 0 || op->n > IDX_COUNTERS_MAX) return ERR_CORRUPT;
    for (unsigned i = 0; i < op->n; i++) op->delta[i] = (int64_t)rd_le64(r);
    return ERR_OK;
}

static err decode_fields(struct rd *r, const char *base, struct arena *a, struct log_op *op)
{
    switch (op->kind) {
    case TXN_PUT:
        op->key = rd_lenstr(r);
        op->value = rd_lenstr(r);
        return ERR_OK;
    case TXN_DEL:
        op->key = rd_lenstr(r);
        return ERR_OK;
    case TXN_ADD:
        return decode_add(r, op);
    case TXN_PUBLISH:
        op->blob = rd_le64(r);
        return decode_publish(r, base, a, op);
    case TXN_REF:
    case TXN_UNREF:
        op->blob = rd_le64(r);
        return ERR_OK;
    case LOG_REFS:
        op->blob = rd_le64(r);
        op->refs = rd_varint(r);
        return ERR_OK;
    case LOG_FREE:
        op->blob = rd_le64(r);
        return log_places_decode(r, a, &op->places, &op->nplaces);
    case LOG_MOVE:
        op->blob = rd_le64(r);
        op->segment = rd_varint(r);
        op->offset = rd_varint(r);
        return log_places_decode(r, a, &op->places, &op->nplaces);
    default:
        return ERR_UNSUPPORTED_FORMAT;
    }
}

err log_op_decode(struct rd *r, const char *base, struct arena *a, struct log_op *op)
{
    *op = (struct log_op){.kind = rd_u8(r)};
    if (r->bad) return ERR_CORRUPT;
    err e = decode_fields(r, base, a, op);
    if (e) return e;
    if (r->bad || op->key.n > IDX_KEY_MAX || op->value.n > IDX_VALUE_MAX) return ERR_CORRUPT;
    return ERR_OK;
}

err log_payload_walk(struct str payload, uint64_t first_seq, uint32_t commits, struct arena *a, log_op_fn *fn,
                     void *arg)
{
    struct rd r = rd_of(payload);
    for (uint32_t i = 0; i < commits; i++) {
        uint32_t ops = rd_le32(&r);
        if (r.bad || ops > rd_left(&r)) return ERR_CORRUPT;
        for (uint32_t k = 0; k < ops; k++) {
            struct log_op op;
            err e = log_op_decode(&r, payload.p, a, &op);
            if (!e) e = fn(arg, first_seq + i, &op);
            if (e) return e;
        }
        err e = fn(arg, first_seq + i, NULL);
        if (e) return e;
    }
    return rd_left(&r) == 0 && !r.bad ? ERR_OK : ERR_CORRUPT;
}
