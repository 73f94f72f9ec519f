#include "store/index.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "store/txn.h"

/* What an operation or a check weighs beside its key and value. */
#define OP_WEIGHT 16

uint64_t idx_now(struct idx *x)
{
    return x->ops->now(x);
}

static bool key_ok(struct str key)
{
    return key.n >= 8 && key.n <= IDX_KEY_MAX && get_be64(key.p) != IDX_SHARD_INTERNAL;
}

err idx_get(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq)
{
    ASSERT(key_ok(key));
    uint64_t at;
    return x->ops->get(x, a, key, value, seq ? seq : &at);
}

err idx_get_hot(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq)
{
    ASSERT(key_ok(key) && key.n <= IDX_HOT_KEY_MAX);
    uint64_t at;
    return x->ops->get_hot(x, a, key, value, seq ? seq : &at);
}

err idx_scan(struct idx *x, const struct idx_range *r, idx_scan_fn *fn, void *arg)
{
    static const char end[8] = {'\xff', '\xff', '\xff', '\xff', '\xff', '\xff', '\xff', '\xff'};
    struct idx_range bounded = *r;
    struct str last = str_of(end, sizeof end);
    if (!bounded.hi.p || str_cmp(bounded.hi, last) > 0) bounded.hi = last;
    if (str_cmp(bounded.lo, bounded.hi) >= 0) return ERR_OK;
    return x->ops->scan(x, &bounded, fn, arg);
}

struct idx_txn *idx_txn_new(struct arena *a, uint64_t shard, uint64_t read_seq)
{
    ASSERT(shard != IDX_SHARD_INTERNAL);
    struct idx_txn *t = ARENA_NEW(a, struct idx_txn);
    if (!t) {
        /* The arena has latched its overflow; one shared, empty transaction carries it to the commit. */
        static struct idx_txn full = {.magic = IDX_TXN_MAGIC, .bad = ERR_NO_MEMORY};
        return &full;
    }
    *t = (struct idx_txn){.magic = IDX_TXN_MAGIC, .arena = a, .shard = shard, .read_seq = read_seq};
    t->ops_end = &t->ops;
    return t;
}

/* False once the transaction is bad: callers then drop what they were about to add. */
static bool account(struct idx_txn *t, size_t n)
{
    CHECK_MAGIC(t, IDX_TXN_MAGIC);
    if (t->bad) return false;
    t->bytes += n + OP_WEIGHT;
    if (t->bytes > IDX_TXN_MAX) t->bad = ERR_ENTITY_TOO_LARGE;
    return !t->bad;
}

static struct str copy(struct idx_txn *t, struct str s)
{
    struct str c = arena_dup(t->arena, s);
    if (!c.p) t->bad = ERR_NO_MEMORY;
    return c;
}

static struct str copy_key(struct idx_txn *t, struct str key)
{
    ASSERT(key_ok(key) && get_be64(key.p) == t->shard);
    return copy(t, key);
}

static struct txn_op *add_op(struct idx_txn *t, enum txn_kind kind, size_t bytes)
{
    if (!account(t, bytes)) return NULL;
    struct txn_op *op = ARENA_NEW(t->arena, struct txn_op);
    if (!op) {
        t->bad = ERR_NO_MEMORY;
        return NULL;
    }
    op->kind = kind;
    *t->ops_end = op;
    t->ops_end = &op->next;
    t->n_ops++;
    return op;
}

static struct txn_check *add_check(struct idx_txn *t, struct str key)
{
    if (!account(t, key.n)) return NULL;
    struct txn_check *c = ARENA_NEW(t->arena, struct txn_check);
    if (!c) {
        t->bad = ERR_NO_MEMORY;
        return NULL;
    }
    c->key = copy_key(t, key);
    c->zero = -1;
    c->next = t->checks;
    t->checks = c;
    t->n_checks++;
    return c;
}

void idx_txn_check(struct idx_txn *t, struct str key)
{
    add_check(t, key);
}

void idx_txn_check_zero(struct idx_txn *t, struct str key, unsigned i)
{
    ASSERT(i < IDX_COUNTERS_MAX);
    struct txn_check *c = add_check(t, key);
    if (c) c->zero = (int)i;
}

void idx_txn_put(struct idx_txn *t, struct str key, struct str value)
{
    ASSERT(value.n <= IDX_VALUE_MAX);
    struct txn_op *op = add_op(t, TXN_PUT, key.n + value.n);
    if (!op) return;
    op->key = copy_key(t, key);
    op->value = copy(t, value);
    t->takes_space = true;
}

void idx_txn_del(struct idx_txn *t, struct str key)
{
    struct txn_op *op = add_op(t, TXN_DEL, key.n);
    if (op) op->key = copy_key(t, key);
}

void idx_txn_add(struct idx_txn *t, struct str key, const int64_t *delta, unsigned n)
{
    ASSERT(n > 0 && n <= IDX_COUNTERS_MAX);
    struct txn_op *op = add_op(t, TXN_ADD, key.n + 8 * n);
    if (!op) return;
    op->key = copy_key(t, key);
    op->n = n;
    op->delta = (const int64_t *)(const void *)copy(t, str_of((const char *)delta, 8 * n)).p;
}

void idx_txn_publish(struct idx_txn *t, struct blob_writer *sealed)
{
    struct txn_op *op = add_op(t, TXN_PUBLISH, 64);
    if (!op) return;
    op->writer = sealed;
    op->blob = sealed->id;
    t->takes_space = true;
}

void idx_txn_gives_back(struct idx_txn *t)
{
    CHECK_MAGIC(t, IDX_TXN_MAGIC);
    t->takes_space = false;
}

void idx_txn_hides(struct idx_txn *t)
{
    idx_txn_gives_back(t);
    t->hides = true;
    for (const struct txn_op *op = t->ops; op; op = op->next)
        if (op->kind == TXN_UNREF) t->hides = false;
}

void idx_txn_ref(struct idx_txn *t, uint64_t blob_id)
{
    struct txn_op *op = add_op(t, TXN_REF, 8);
    if (!op) return;
    op->blob = blob_id;
    t->takes_space = true;
}

void idx_txn_unref(struct idx_txn *t, uint64_t blob_id)
{
    struct txn_op *op = add_op(t, TXN_UNREF, 8);
    if (op) op->blob = blob_id;
}

err idx_commit(struct idx *x, struct idx_txn *t, uint64_t *seq)
{
    CHECK_MAGIC(t, IDX_TXN_MAGIC);
    if (t->bad) return t->bad;
    uint64_t at;
    return x->ops->commit(x, t, seq ? seq : &at);
}
