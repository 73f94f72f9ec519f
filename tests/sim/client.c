/* What one client does: operations by chance, each followed by the model's word on it; and what it does when
 * nobody knows what became of one. */
#include "world.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#define SETTLE_NS (3000 * RT_SEC) /* after that nothing of a lost request still runs */

uint64_t rnd(struct client *c)
{
    uint64_t z = c->rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned below(struct client *c, unsigned n)
{
    return (unsigned)(rnd(c) % n);
}

bool one_in(struct client *c, unsigned n)
{
    return below(c, n) == 0;
}

uint64_t fold(uint64_t h, const void *p, size_t n)
{
    for (const unsigned char *b = p; n > 0; n--) h = (h ^ *b++) * 1099511628211u;
    return h;
}

void explain(const struct client *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "seed %llu, client %u, %s %s/%s %s: answered %s: %s\n", (unsigned long long)c->w->seed,
            c->i, op_names[c->op.kind], c->op.bucket, c->op.key ? c->op.key : "", c->op.version,
            c->a.lost ? "nothing" : err_name(c->a.e), text);
}

/* ---- one operation ---- */

static bool failed(err e)
{
    return err_status(e) >= 500 || e == ERR_INCOMPLETE_BODY;
}

static bool any_failed(const struct op *op, const struct answer *a)
{
    bool bad = failed(a->e);
    for (unsigned i = 0; op->kind == OP_DELETE_MANY && i < op->nmany; i++) bad = bad || failed(a->many[i]);
    return bad;
}

static bool same_error(const struct client *c, err want, err got)
{
    if (want == got) return true;
    /* As AWS in its first region: the bucket is theirs already, which is as good. */
    if (c->w->http && c->op.kind == OP_CREATE_BUCKET && want == ERR_BUCKET_OWNED && got == ERR_OK)
        return true;
    if (c->w->http && c->op.kind == OP_UPLOAD_PART_COPY && want == ERR_INVALID_RANGE &&
        got == ERR_INVALID_ARGUMENT)
        return true;
    if (!c->w->http || err_status(want) != err_status(got)) return false;
    return c->op.kind == OP_HEAD || c->op.kind == OP_HEAD_BUCKET ||
           str_eq(err_s3_code(want), err_s3_code(got));
}

static void answer_clear(struct answer *a)
{
    buf_clear(&a->body);
    memset(a, 0, offsetof(struct answer, body));
}

static void note_answer(struct client *c, const struct answer *a)
{
    c->hash = fold(c->hash, &a->lost, sizeof a->lost);
    c->hash = fold(c->hash, &a->e, sizeof a->e);
    c->hash = fold(c->hash, a->etag, strlen(a->etag));
    c->hash = fold(c->hash, a->version, strlen(a->version));
    c->hash = fold(c->hash, a->body.p, a->body.n);
    c->hash = fold(c->hash, &a->n, sizeof a->n);
    c->w->lost += a->lost;
}

void send_op(struct client *c, const struct op *op, struct answer *a)
{
    answer_clear(a);
    if (c->w->http)
        wire_send(c, op, a);
    else
        direct_send(c->w, op, a);
    note_answer(c, a);
}

bool engine_down(const struct world *w)
{
    return engine_state(&w->store) == ENGINE_FAILED;
}

/* Sends c->op and compares with the model. What the engine's failure leaves open is decided by the next
 * start. */
static void run(struct client *c)
{
    struct op *op = &c->op;
    c->w->did[op->kind]++;
    c->pending = op_changes(op);
    send_op(c, op, &c->a);
    if (c->a.lost || any_failed(op, &c->a)) {
        c->w->refused += !c->a.lost;
        if (engine_down(c->w)) {
            c->w->stop = true;
            return;
        }
        if (!c->pending) return;
        bool maybe = c->a.lost || op->kind == OP_DELETE_MANY;
        if (c->a.lost) rt_sleep(SETTLE_NS);
        observe(c, maybe); /* decides nothing if the engine failed meanwhile */
        return;
    }
    err want = model_apply(c, &c->b, op, &c->a);
    EXPECT(c, same_error(c, want, c->a.e), "the model says %s", err_name(want));
    c->pending = false;
}

/* ---- choosing ---- */

static struct op *op_new(struct client *c, enum op_kind kind)
{
    c->op = (struct op){.kind = kind, .prefix = "", .after = "", .max = 1000};
    snprintf(c->op.bucket, sizeof c->op.bucket, "%s", c->bucket_name);
    c->op.k = below(c, KEYS);
    c->op.key = key_names[c->op.k];
    return &c->op;
}

static size_t choose_size(struct client *c)
{
    switch (below(c, 12)) {
    case 0:
        return 0;
    case 1:
    case 2:
    case 3:
        return 1 + below(c, 200);
    case 4:
    case 5:
        return 4095 + below(c, 3);
    case 6:
    case 7:
        return 4096 + below(c, 8000);
    case 8:
        return 30000 + below(c, 60000);
    default:
        return 200 + below(c, 3000);
    }
}

static void choose_version(struct client *c, unsigned key, unsigned chance, char out[ID_SIZE])
{
    const struct key_state *k = &c->b.key[key];
    if (k->n && one_in(c, chance)) snprintf(out, ID_SIZE, "%s", k->v[below(c, k->n)].id);
}

static void choose_cond(struct client *c, struct op *op)
{
    const struct key_state *k = &c->b.key[op->k];
    if (one_in(c, 6)) op->cond = COND_NEW;
    if (op->cond || !one_in(c, 6)) return;
    op->cond = COND_SAME;
    const char *etag =
        k->n && !k->v[0].marker && !one_in(c, 3) ? k->v[0].etag : "00000000000000000000000000000000";
    snprintf(op->cond_etag, ETAG_SIZE, "%s", etag);
}

static void choose_leave(struct client *c, struct op *op)
{
    if (one_in(c, 25)) op->leave = (enum leave)(1 + below(c, 3));
}

static void put(struct client *c)
{
    struct op *op = op_new(c, OP_PUT);
    op->body = content_random(choose_size(c));
    op->tag = one_in(c, 4) ? 1 + below(c, 1000) : 0;
    op->meta = one_in(c, 3) ? 1 + below(c, 1000) : 0;
    choose_cond(c, op);
    choose_leave(c, op);
    run(c);
}

static void read_one(struct client *c)
{
    static const enum op_kind kinds[] = {OP_GET, OP_GET, OP_GET, OP_HEAD, OP_ATTRIBUTES, OP_GET_TAGS};
    struct op *op = op_new(c, kinds[below(c, 6)]);
    choose_version(c, op->k, 3, op->version);
    if (op->kind == OP_GET && one_in(c, 3)) {
        op->ranged = true;
        op->first = below(c, 6000);
        op->last = op->first + below(c, 9000);
    }
    if (op->kind == OP_GET) choose_leave(c, op);
    run(c);
}

static void retag(struct client *c)
{
    struct op *op = op_new(c, one_in(c, 3) ? OP_DELETE_TAGS : OP_PUT_TAGS);
    choose_version(c, op->k, 3, op->version);
    op->tag = 1 + below(c, 1000);
    run(c);
}

static void remove_one(struct client *c)
{
    struct op *op = op_new(c, OP_DELETE);
    choose_version(c, op->k, 2, op->version);
    choose_leave(c, op);
    run(c);
}

static void remove_many(struct client *c)
{
    struct op *op = op_new(c, OP_DELETE_MANY);
    for (unsigned k = 0; k < KEYS; k++) {
        if (one_in(c, 2)) continue;
        op->many[op->nmany] = k;
        choose_version(c, k, 2, op->many_version[op->nmany++]);
    }
    if (op->nmany) run(c);
}

static void choose_source(struct client *c, struct op *op)
{
    op->src_k = below(c, KEYS);
    op->src_key = key_names[op->src_k];
    choose_version(c, op->src_k, 3, op->src_version);
}

static void copy(struct client *c)
{
    struct op *op = op_new(c, OP_COPY);
    choose_source(c, op);
    op->replace = one_in(c, 2);
    op->meta = below(c, 1000);
    op->tag = below(c, 1000);
    run(c);
}

static void versioning(struct client *c)
{
    struct op *op = op_new(c, one_in(c, 3) ? OP_GET_VERSIONING : OP_PUT_VERSIONING);
    op->to = one_in(c, 3) ? VERSIONING_SUSPENDED : VERSIONING_ENABLED;
    run(c);
}

static void look_at_bucket(struct client *c)
{
    static const enum op_kind kinds[] = {OP_HEAD_BUCKET,    OP_LOCATION,      OP_LIST_BUCKETS,
                                         OP_GET_VERSIONING, OP_CREATE_BUCKET, OP_DELETE_BUCKET};
    op_new(c, kinds[below(c, 6)]);
    run(c);
}

static void list(struct client *c)
{
    static const enum op_kind kinds[] = {OP_LIST_V1, OP_LIST_V2, OP_LIST_V2, OP_LIST_VERSIONS,
                                         OP_LIST_UPLOADS};
    struct op *op = op_new(c, kinds[below(c, 5)]);
    if (one_in(c, 3)) op->prefix = one_in(c, 2) ? "a" : "e/";
    if (op->kind == OP_LIST_UPLOADS) {
        run(c);
        return;
    }
    if (one_in(c, 2)) op->max = 1 + below(c, 5);
    if (op->kind == OP_LIST_VERSIONS) {
        run(c);
    } else if (one_in(c, 3)) {
        op->delimiter = "/";
        run(c);
        return;
    } else {
        if (one_in(c, 3)) op->after = key_names[below(c, KEYS)];
        run(c);
    }
    /* The following pages, to the end. */
    while (!c->w->stop && !c->a.lost && c->a.e == ERR_OK && c->a.truncated) {
        static char last[CLIENTS][64];
        snprintf(last[c->i], sizeof last[0], "%s", c->a.item[c->a.n - 1].name);
        snprintf(op->token, sizeof op->token, "%s", c->a.next);
        snprintf(op->after_id, ID_SIZE, "%s", c->a.item[c->a.n - 1].id);
        op->after = last[c->i];
        run(c);
    }
}

/* ---- uploads ---- */

static void send_part(struct client *c, struct upload *u, struct op *op)
{
    unsigned slot = op->upload;
    bool copies = one_in(c, 3);
    op->kind = copies ? OP_UPLOAD_PART_COPY : OP_UPLOAD_PART;
    op->part = 1 + below(c, PARTS);
    snprintf(op->upload_id, ID_SIZE, "%s", u->id);
    op->upload = slot;
    if (!copies) {
        size_t n = choose_size(c);
        op->body = content_random(n < MIN_PART && !one_in(c, 8) ? MIN_PART : n);
        choose_leave(c, op);
        run(c);
        return;
    }
    choose_source(c, op);
    const struct version *from = model_find(&c->b.key[op->src_k], op->src_version);
    if (from && !from->marker && from->c->n > 1 && one_in(c, 2)) {
        op->ranged = true;
        op->first = below(c, (unsigned)from->c->n / 2);
        op->last = op->first + below(c, (unsigned)from->c->n / 2 + (one_in(c, 10) ? 5000 : 0));
    }
    run(c);
}

static void end_upload(struct client *c, struct upload *u, struct op *op)
{
    op->kind = one_in(c, 5) ? OP_ABORT : OP_COMPLETE;
    snprintf(op->upload_id, ID_SIZE, "%s", u->id);
    for (unsigned i = 0; i < PARTS; i++) {
        if (!u->part[i] && !one_in(c, 20)) continue;
        if (u->part[i] && one_in(c, 8)) continue; /* left out: its bytes are freed */
        op->parts[op->nparts] = i + 1;
        part_etag(u, i + 1, op->part_etags[op->nparts++]);
    }
    if (op->kind == OP_COMPLETE && op->nparts == 0) op->kind = OP_ABORT;
    if (op->kind == OP_COMPLETE && one_in(c, 4)) choose_cond(c, op);
    choose_leave(c, op);
    run(c);
}

static void multipart(struct client *c)
{
    struct op *op = op_new(c, OP_CREATE_UPLOAD);
    op->upload = below(c, UPLOADS);
    struct upload *u = &c->b.key[op->k].up[op->upload];
    for (unsigned k = 0; k < KEYS && !u->live && !one_in(c, 3); k++) /* go on with one that there is */
        if (c->b.key[k].up[op->upload].live) {
            op->k = k;
            op->key = key_names[k];
            u = &c->b.key[k].up[op->upload];
        }
    if (!u->live) {
        op->meta = below(c, 1000);
        run(c);
    } else if (one_in(c, 6)) {
        op->kind = OP_LIST_PARTS;
        snprintf(op->upload_id, ID_SIZE, "%s", u->id);
        run(c);
    } else if (one_in(c, 4)) {
        end_upload(c, u, op);
    } else {
        send_part(c, u, op);
    }
}

/* ---- keys that all clients write: a register each ---- */

static void shared_name(struct op *op, const char *kind, unsigned key, char name[32])
{
    snprintf(op->bucket, sizeof op->bucket, "sim-shared");
    snprintf(name, 32, "%s%u", kind, key);
    op->key = name;
}

static bool shared_send(struct client *c)
{
    c->w->did[c->op.kind]++;
    send_op(c, &c->op, &c->a);
    if (any_failed(&c->op, &c->a) && engine_down(c->w)) c->w->stop = true;
    return !c->a.lost && !any_failed(&c->op, &c->a);
}

static void shared_put(struct client *c, unsigned key)
{
    struct world *w = c->w;
    char name[32];
    struct op *op = op_new(c, OP_PUT);
    size_t n = 8 + choose_size(c);
    unsigned id = ++w->nputs;
    if (id >= SHARED_PUTS) return;
    uint64_t le = id;
    char *p = malloc(n);
    ASSERT(p);
    for (size_t i = 0; i < n; i++) p[i] = (char)(id * 131 + i * 7 + (i >> 8));
    memcpy(p, &le, 8);
    op->body = content_new(p, n);
    shared_name(op, "s", key, name);
    w->put[id] = (struct shared_put){key + 1, ++w->tick, UINT64_MAX};
    if (!shared_send(c)) return;
    EXPECT(c, c->a.e == ERR_OK && strcmp(c->a.etag, op->body->md5) == 0, "a plain put");
    w->put[id].acked = ++w->tick;
}

/* A whole value that was put to this key, and none that was replaced before this read began. */
static void shared_read(struct client *c, unsigned key)
{
    struct world *w = c->w;
    char name[32];
    struct op *op = op_new(c, OP_GET);
    shared_name(op, "s", key, name);
    uint64_t began = ++w->tick, id = 0;
    if (!shared_send(c)) return;
    EXPECT(c, c->a.e == ERR_OK || same_error(c, ERR_NO_SUCH_KEY, c->a.e), "a plain get");
    if (c->a.e == ERR_OK) {
        const char *p = c->a.body.p;
        EXPECT(c, c->a.body.n >= 8, "%zu bytes", c->a.body.n);
        memcpy(&id, p, 8);
        EXPECT(c, id > 0 && id <= w->nputs && w->put[id].key == key + 1, "value %llu",
               (unsigned long long)id);
        for (size_t i = 8; i < c->a.body.n; i++)
            EXPECT(c, p[i] == (char)(id * 131 + i * 7 + (i >> 8)), "byte %zu of value %llu", i,
                   (unsigned long long)id);
    }
    uint64_t acked = id ? w->put[id].acked : 0;
    for (unsigned i = 1; i <= w->nputs; i++) {
        const struct shared_put *s = &w->put[i];
        EXPECT(c, s->key != key + 1 || s->begin < acked || s->acked > began,
               "value %llu, but %u came after it", (unsigned long long)id, i);
    }
}

/* Of all that put this key if it is not there, at most one is told that it did. */
static void shared_once(struct client *c)
{
    struct world *w = c->w;
    char name[32];
    unsigned n = w->once;
    struct op *op = op_new(c, OP_PUT);
    op->body = content_random(10 + below(c, 6000));
    op->cond = COND_NEW;
    shared_name(op, "once-", n, name);
    w->once_tries[n]++;
    if (!shared_send(c)) return;
    if (c->a.e == ERR_OK) {
        EXPECT(c, !w->once_taken[n], "%s was made twice", name);
        w->once_taken[n] = true;
    } else {
        EXPECT(c, same_error(c, ERR_PRECONDITION_FAILED, c->a.e), "a put of what may be there");
        EXPECT(c, w->once_tries[n] > 1, "%s was there before anybody put it", name);
    }
    if (n == w->once && n + 1 < ONCE && w->once_taken[n] && one_in(c, 3)) w->once++;
}

static void check_once(struct client *c)
{
    char name[32];
    unsigned n = below(c, c->w->once + 1);
    if (!c->w->once_taken[n]) return;
    struct op *op = op_new(c, OP_HEAD);
    shared_name(op, "once-", n, name);
    if (shared_send(c)) EXPECT(c, c->a.e == ERR_OK, "%s is gone", name);
}

/* ---- a client's life ---- */

void client_settle_start(struct client *c)
{
    char none[32];
    observe(c, c->pending);
    if (c->i > 0 || c->w->stop) return;
    shared_name(op_new(c, OP_CREATE_BUCKET), "", 0, none);
    bool had = c->w->nputs > 0;
    while (!shared_send(c)) {
        if (c->w->stop) return;
        rt_sleep(SETTLE_NS);
    }
    err want = had ? ERR_BUCKET_OWNED : c->a.e ? ERR_BUCKET_OWNED : ERR_OK;
    EXPECT(c, same_error(c, want, c->a.e), "making the shared bucket");
}

void client_step(struct client *c)
{
    if (!c->b.there) {
        op_new(c, OP_CREATE_BUCKET);
        run(c);
        return;
    }
    unsigned k = below(c, KEYS);
    if (c->b.key[k].n > 5) { /* not too many versions */
        struct op *op = op_new(c, OP_DELETE);
        op->k = k;
        op->key = key_names[k];
        snprintf(op->version, ID_SIZE, "%s", c->b.key[k].v[c->b.key[k].n - 1].id);
        run(c);
        return;
    }
    static void (*const mix[])(struct client *) = {
        put,  put,       put,       read_one,  read_one,  remove_one, remove_many, copy,          list,
        list, multipart, multipart, multipart, multipart, retag,      versioning,  look_at_bucket};
    unsigned what = below(c, sizeof mix / sizeof *mix + 4);
    if (what < sizeof mix / sizeof *mix)
        mix[what](c);
    else if (what % 4 == 0)
        shared_put(c, below(c, SHARED_KEYS));
    else if (what % 4 == 1)
        shared_once(c);
    else if (what % 4 == 2)
        shared_read(c, below(c, SHARED_KEYS));
    else
        check_once(c);
}
