/* The index of the store in memory: the reference that the engine is compared with, so it is written to be
 * obviously right: each transaction is checked, then applied, under one lock. */
#include "store/memory.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"

#define ENTRY_WEIGHT 64 /* what an entry costs beside key and value */
#define DEAD_MAX     ((size_t)65536)

struct memory_entry {
    uint64_t put_seq;   /* of the last put, delete or add: what readers see */
    uint64_t check_seq; /* of the last put or delete: what checks compare */
    bool live;
    size_t len;
    char *value;
};

static struct memory_store *store_of(struct idx *x)
{
    return CONTAINER(x, struct memory_store, idx);
}

static uint64_t now(struct idx *x)
{
    struct memory_store *m = store_of(x);
    pthread_mutex_lock(&m->lock);
    uint64_t seq = m->seq;
    pthread_mutex_unlock(&m->lock);
    return seq;
}

static struct memory_entry *find(const struct memory_store *m, struct str key)
{
    struct memory_node *n = memory_map_find(m->entries, key);
    return n ? n->value : NULL;
}

static err get(struct idx *x, struct arena *a, struct str key, struct str *value, uint64_t *seq)
{
    struct memory_store *m = store_of(x);
    err e = ERR_NOT_FOUND;
    pthread_mutex_lock(&m->lock);
    struct memory_entry *n = find(m, key);
    if (n && n->live) {
        *value = arena_dup(a, str_of(n->value, n->len));
        *seq = n->put_seq;
        e = value->p ? ERR_OK : ERR_NO_MEMORY;
    }
    pthread_mutex_unlock(&m->lock);
    return e;
}

static void scan_forward(struct memory_store *m, const struct idx_range *r, idx_scan_fn *fn, void *arg)
{
    struct memory_node *n = memory_map_seek(m->entries, r->lo);
    while (n && str_cmp(n->key, r->hi) < 0) {
        struct memory_entry *e = n->value;
        struct str seek = STR_NONE;
        enum idx_step step = IDX_NEXT;
        if (e->live) step = fn(arg, n->key, str_of(e->value, e->len), e->put_seq, &seek);
        if (step == IDX_STOP) return;
        if (step == IDX_SEEK) {
            ASSERT(str_cmp(seek, n->key) > 0);
            n = memory_map_seek(m->entries, seek);
        } else {
            n = memory_node_next(n);
        }
    }
}

static void scan_backward(struct memory_store *m, const struct idx_range *r, idx_scan_fn *fn, void *arg)
{
    struct memory_node *n = memory_map_before(m->entries, r->hi);
    while (n && str_cmp(n->key, r->lo) >= 0) {
        struct memory_entry *e = n->value;
        struct str seek = STR_NONE;
        if (e->live) {
            enum idx_step step = fn(arg, n->key, str_of(e->value, e->len), e->put_seq, &seek);
            ASSERT(step != IDX_SEEK);
            if (step == IDX_STOP) return;
        }
        n = memory_map_before(m->entries, n->key);
    }
}

static err scan(struct idx *x, const struct idx_range *r, idx_scan_fn *fn, void *arg)
{
    struct memory_store *m = store_of(x);
    pthread_mutex_lock(&m->lock);
    if (r->reverse)
        scan_backward(m, r, fn, arg);
    else
        scan_forward(m, r, fn, arg);
    pthread_mutex_unlock(&m->lock);
    return ERR_OK;
}

/* ---- commit ---- */

static err check_keys(const struct memory_store *m, const struct idx_txn *t)
{
    for (const struct txn_check *c = t->checks; c; c = c->next) {
        struct memory_entry *e = find(m, c->key);
        if (c->zero < 0) {
            if (t->read_seq < m->floor || (e && e->check_seq > t->read_seq)) return ERR_CONFLICT;
        } else if (e && e->live && e->len >= 8 * ((size_t)c->zero + 1)) {
            if (get_le64(e->value + 8 * c->zero) != 0) return ERR_CONFLICT;
        }
    }
    return ERR_OK;
}

static bool published_before(const struct idx_txn *t, const struct txn_op *end)
{
    for (const struct txn_op *op = t->ops; op != end; op = op->next)
        if (op->kind == TXN_PUBLISH && op->blob == end->blob) return true;
    return false;
}

/* A reference needs its blob: live now, or published by this very transaction. Within one transaction
 * references are counted in order, so that the last unref of a blob ends its life for what follows. */
static err check_blobs(const struct memory_store *m, const struct idx_txn *t)
{
    for (const struct txn_op *op = t->ops; op; op = op->next) {
        struct memory_blob *b = op->blob ? memory_blob_find(m, op->blob) : NULL;
        if (b) b->trial = b->refs;
    }
    for (const struct txn_op *op = t->ops; op; op = op->next) {
        if (op->kind != TXN_REF && op->kind != TXN_UNREF) continue;
        struct memory_blob *b = memory_blob_find(m, op->blob);
        if (op->kind == TXN_UNREF) {
            if (b && b->trial > 0) b->trial--;
        } else if (b) {
            if (b->trial++ == 0) return ERR_CONFLICT;
        } else if (!published_before(t, op)) {
            return ERR_CONFLICT;
        }
    }
    return ERR_OK;
}

static err check_space(const struct memory_store *m, const struct idx_txn *t)
{
    if (!t->takes_space) return ERR_OK;
    uint64_t need = 0;
    for (const struct txn_op *op = t->ops; op; op = op->next)
        if (op->kind == TXN_PUT) need += op->key.n + op->value.n + ENTRY_WEIGHT;
    return memory_fits(m, need) ? ERR_OK : ERR_NO_SPACE;
}

static uint64_t weight(const struct memory_node *n)
{
    const struct memory_entry *e = n->value;
    return e->live ? n->key.n + e->len + ENTRY_WEIGHT : 0;
}

/* Memory for every change is taken before the first is made, so that a commit happens wholly or not at all.
 */
struct prepared {
    struct memory_entry **entries; /* one an operation that touches a key */
    char **values;
};

static void prepared_free(struct prepared *p, unsigned n)
{
    for (unsigned i = 0; p->values && i < n; i++) free(p->values[i]);
    free(p->entries);
    free(p->values);
}

static err prepare(struct memory_store *m, const struct idx_txn *t, struct prepared *p)
{
    unsigned i = 0;
    p->entries = calloc(t->n_ops + 1u, sizeof *p->entries);
    p->values = calloc(t->n_ops + 1u, sizeof *p->values);
    if (!p->entries || !p->values) return ERR_NO_MEMORY;
    for (const struct txn_op *op = t->ops; op; op = op->next, i++) {
        if (op->kind == TXN_PUBLISH && memory_blob_reserve(m, op->writer)) return ERR_NO_MEMORY;
        if (op->kind != TXN_PUT && op->kind != TXN_DEL && op->kind != TXN_ADD) continue;
        struct memory_node *n = memory_map_make(m->entries, op->key);
        if (n && !n->value) {
            n->value = calloc(1, sizeof(struct memory_entry));
            if (!n->value) memory_map_remove(m->entries, op->key), n = NULL;
            m->dead += n != NULL;
        }
        if (!n) return ERR_NO_MEMORY;
        p->entries[i] = n->value;
        if (op->kind == TXN_DEL) continue;
        p->values[i] = calloc(1, op->kind == TXN_ADD ? 8 * IDX_COUNTERS_MAX : op->value.n + 1);
        if (!p->values[i]) return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

static void apply_key(struct memory_store *m, const struct txn_op *op, struct memory_entry *e, char **value)
{
    struct memory_node *n = memory_map_find(m->entries, op->key);
    m->used -= weight(n);
    m->dead -= !e->live;
    if (op->kind == TXN_ADD) {
        size_t len = 8 * (size_t)op->n;
        if (e->live && e->len > len) len = e->len;
        if (e->live) memcpy(*value, e->value, e->len);
        for (unsigned i = 0; i < op->n; i++)
            put_le64(*value + 8 * i, get_le64(*value + 8 * i) + (uint64_t)op->delta[i]);
        e->len = len;
    } else if (op->kind == TXN_PUT) {
        memcpy(*value, op->value.p, op->value.n);
        e->len = op->value.n;
    }
    free(e->value);
    e->value = *value;
    *value = NULL;
    e->live = op->kind != TXN_DEL;
    e->put_seq = m->seq;
    if (op->kind != TXN_ADD) e->check_seq = m->seq;
    m->dead += !e->live;
    m->used += weight(n);
}

static void apply_blob(struct memory_store *m, const struct txn_op *op)
{
    struct memory_blob *b = memory_blob_find(m, op->blob);
    if (!b) return; /* an unref of what a damaged store has lost */
    if (op->kind == TXN_REF) b->refs++;
    if (op->kind == TXN_UNREF && --b->refs == 0) memory_blob_settle(m, b);
}

/* Forget deleted keys when they are many; reads older than now then conflict with everything. */
static void sweep_dead(struct memory_store *m)
{
    struct memory_node *n = memory_map_seek(m->entries, STR(""));
    while (n) {
        struct memory_node *next = memory_node_next(n);
        struct memory_entry *e = n->value;
        if (!e->live) {
            memory_map_remove(m->entries, n->key);
            free(e);
        }
        n = next;
    }
    m->dead = 0;
    m->floor = m->seq;
}

static err commit_locked(struct memory_store *m, const struct idx_txn *t)
{
    err e = check_keys(m, t);
    if (!e) e = check_blobs(m, t);
    if (!e) e = check_space(m, t);
    struct prepared p = {0};
    if (!e) e = prepare(m, t, &p);
    if (!e) {
        m->seq++;
        unsigned i = 0;
        for (const struct txn_op *op = t->ops; op; op = op->next, i++) {
            if (p.entries[i])
                apply_key(m, op, p.entries[i], &p.values[i]);
            else if (op->kind == TXN_PUBLISH)
                memory_blob_publish(m, op->writer);
            else
                apply_blob(m, op);
        }
        if (m->dead > DEAD_MAX) sweep_dead(m);
    }
    prepared_free(&p, t->n_ops);
    return e;
}

static err commit(struct idx *x, struct idx_txn *t, uint64_t *seq)
{
    struct memory_store *m = store_of(x);
    pthread_mutex_lock(&m->lock);
    err e = commit_locked(m, t);
    *seq = m->seq;
    pthread_mutex_unlock(&m->lock);
    return e;
}

const struct idx_ops memory_idx_ops = {now, get, get, scan, commit};

/* ---- life ---- */

static void free_entry(void *p)
{
    struct memory_entry *e = p;
    free(e->value);
    free(e);
}

err store_memory_new(struct store *out, uint64_t capacity_bytes)
{
    struct memory_store *m = calloc(1, sizeof *m);
    if (!m) return ERR_NO_MEMORY;
    m->idx.ops = &memory_idx_ops;
    m->blobs.ops = &memory_blob_ops;
    m->capacity = capacity_bytes;
    m->entries = memory_map_new();
    m->blob_map = memory_map_new();
    pthread_mutex_init(&m->lock, NULL);
    *out = (struct store){&m->idx, &m->blobs};
    if (m->entries && m->blob_map) return ERR_OK;
    store_memory_free(out);
    return ERR_NO_MEMORY;
}

void store_memory_free(struct store *s)
{
    if (!s->idx) return;
    struct memory_store *m = store_of(s->idx);
    memory_map_free(m->entries, free_entry);
    memory_map_free(m->blob_map, memory_blob_free);
    pthread_mutex_destroy(&m->lock);
    free(m);
    *s = (struct store){NULL, NULL};
}
