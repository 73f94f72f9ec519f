/* Clients of a simulated server, each with its model. A client owns its keys, so its model is exact: every
 * answer follows from the answers before it. Keys that all clients write are checked as registers: a read
 * brings a whole value that was put to that key, and not one that was replaced before the read began. An
 * answer that the network lost means "maybe": the client waits until nothing of its request can still be
 * running, and reads what became of it.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "bench/internal.h"
#include "rt/sim.h"
#include <stdio.h>
#include <stdlib.h>

/* In fibers, which cmocka's asserts must not jump out of. */
#define CHECK(x) ASSERT(x)

enum { CLIENTS = 4, OWN_KEYS = 8, SHARED_KEYS = 3, STEPS = 32, VALUES = 1024, VALUE_MAX = 300000 };
enum sim_op {
    OP_PUT,
    OP_GET,
    OP_HEAD,
    OP_DELETE,
    OP_LIST,
    OP_SHARED_PUT,
    OP_SHARED_GET,
    OP_REFUSED,
    SIM_OPS
};

struct world;
struct client {
    struct world *w;
    unsigned i, steps, lost;
    unsigned own[OWN_KEYS]; /* value ids; 0: there is no object */
    bool changing;          /* a request that gives key `changes` the value `to` is on its way */
    unsigned changes, to;
    struct conn conn;
    char *value;
    uint64_t answers; /* hash of all that the server said */
};
struct world {
    uint64_t seed;
    struct bench bench;
    struct client client[CLIENTS];
    struct rt_sem done;
    unsigned values; /* ids given out */
    uint64_t tick;   /* orders begins and ends of requests */
    struct shared_put {
        unsigned key;
        uint64_t begin, acked; /* acked UINT64_MAX: nobody knows */
    } shared[VALUES];
    unsigned did[SIM_OPS], lost;
};

static inline uint64_t fold(uint64_t h, const void *p, size_t n)
{
    for (const unsigned char *b = p; n > 0; n--) h = (h ^ *b++) * 1099511628211u;
    return h;
}

static inline unsigned choose(struct client *c, unsigned n)
{
    return (unsigned)(bench_mix64(c->w->seed * 0x10001 + c->i * 0x1000003u + ++c->conn.rng) % n);
}

/* ---- values: all of one follows from its id and the seed ---- */

static inline size_t value_size(const struct world *w, unsigned id)
{
    uint64_t h = bench_mix64(w->seed ^ (uint64_t)id << 32);
    size_t extra = (h >> 8) % 3;
    switch (h % 6) {
    case 0:
        return 8 * extra;
    case 1:
        return 8 + (h >> 8) % 100;
    case 2:
        return 4095 + extra;
    case 3:
        return (h >> 8) % 40000;
    case 4:
        return 65535 + extra;
    default:
        return (h >> 8) % VALUE_MAX;
    }
}

static inline struct str make_value(const struct world *w, unsigned id, char *to)
{
    size_t n = value_size(w, id);
    for (size_t at = 0; at < n; at += 8) {
        uint64_t word = at ? bench_mix64(w->seed + ((uint64_t)id << 32) + at) : id;
        memcpy(to + at, &word, n - at < 8 ? n - at : 8);
    }
    return str_of(to, n);
}

static inline void check_etag(struct client *c, struct str value)
{
    struct hash_value md5;
    char want[40] = "\"";
    hash_once(HASH_MD5, value.p, value.n, &md5);
    hex_encode(md5.b, 16, want + 1);
    memcpy(want + 33, "\"", 2);
    CHECK(strcmp(c->conn.etag, want) == 0);
}

/* ---- one request ---- */

enum payload { UNSIGNED, SIGNED, SIGNED_WRONG };

/* false: the answer was lost. */
static inline bool ask(struct client *c, const char *method, const char *path, const char *query,
                       struct str body, enum payload how, int *status)
{
    struct hash_value sum;
    char hex[65];
    hash_once(HASH_SHA256, body.p, body.n, &sum);
    if (how == SIGNED_WRONG) sum.b[0] ^= 1;
    hex_encode(sum.b, 32, hex);
    bool puts = strcmp(method, "PUT") == 0, heads = strcmp(method, "HEAD") == 0;
    sign_request(&c->conn.signer, &c->conn.head, method, str_c(path), str_c(query),
                 how == UNSIGNED ? STR("UNSIGNED-PAYLOAD") : str_of(hex, 64), puts ? (int64_t)body.n : -1);
    struct reply r;
    c->conn.etag[0] = 0;
    int e = conn_request(&c->conn, &(struct send_body){.small = body}, NULL, true, heads, &r);
    *status = e ? 0 : r.status;
    c->answers = fold(c->answers, status, sizeof *status);
    c->lost += e != 0;
    if (e) return false;
    c->answers = fold(c->answers, c->conn.etag, strlen(c->conn.etag));
    c->answers = fold(c->answers, c->conn.text.p, c->conn.text.n);
    return true;
}

static inline bool said(struct client *c, const char *what)
{
    size_t at;
    return str_find(buf_view(&c->conn.text), str_c(what), &at);
}

static inline void own_path(struct client *c, unsigned key, char path[64])
{
    snprintf(path, 64, "/simulated/c%u/k%u", c->i, key);
}

/* ---- own keys ---- */

static inline void check_get(struct client *c, unsigned id, int status, bool head)
{
    if (id == 0) {
        CHECK(status == 404 && (head || said(c, "<Code>NoSuchKey</Code>")));
        return;
    }
    struct str want = make_value(c->w, id, c->value);
    CHECK(status == 200);
    CHECK(head || str_eq(buf_view(&c->conn.text), want));
    check_etag(c, want);
}

static inline bool get_own(struct client *c, unsigned key, bool head)
{
    char path[64];
    int status;
    own_path(c, key, path);
    if (!ask(c, head ? "HEAD" : "GET", path, "", STR(""), SIGNED, &status)) return false;
    check_get(c, c->own[key], status, head);
    return true;
}

/* A change to key was not answered: it holds what it held, or id. */
static inline void settle(struct client *c, unsigned key, unsigned id)
{
    char path[64];
    int status;
    own_path(c, key, path);
    do {
        rt_sleep(300 * RT_SEC);
    } while (!ask(c, "GET", path, "", STR(""), SIGNED, &status));
    struct str want = make_value(c->w, id ? id : c->own[key], c->value);
    bool there = status == 200 && str_eq(buf_view(&c->conn.text), want);
    if (there == (id != 0)) c->own[key] = id;
    check_get(c, c->own[key], status, false);
}

static inline bool change(struct client *c, const char *method, unsigned key, unsigned id, struct str value,
                          enum payload how, int *status)
{
    char path[64];
    own_path(c, key, path);
    c->changing = true, c->changes = key, c->to = id;
    bool answered = ask(c, method, path, "", value, how, status);
    c->changing = false;
    if (!answered) settle(c, key, id);
    return answered;
}

static inline void put_own(struct client *c, unsigned key)
{
    int status;
    unsigned id = ++c->w->values;
    CHECK(id < VALUES);
    struct str value = make_value(c->w, id, c->value);
    if (!change(c, "PUT", key, id, value, choose(c, 2) ? SIGNED : UNSIGNED, &status)) return;
    CHECK(status == 200);
    check_etag(c, value);
    c->own[key] = id;
}

static inline void delete_own(struct client *c, unsigned key)
{
    int status;
    if (!change(c, "DELETE", key, 0, STR(""), SIGNED, &status)) return;
    CHECK(status == 204);
    c->own[key] = 0;
}

/* What the server must refuse, and what must not change anything. */
static inline void refused(struct client *c, unsigned key)
{
    char path[64];
    int status;
    own_path(c, key, path);
    struct str value = make_value(c->w, 1 + choose(c, 50), c->value), secret = c->conn.signer.secret_key;
    bool payload = choose(c, 2) == 0;
    if (!payload) {
        c->conn.signer.secret_key = STR("another-secret");
        c->conn.signer.day[0] = 0;
    }
    bool answered = ask(c, "PUT", path, "", value, payload ? SIGNED_WRONG : SIGNED, &status);
    c->conn.signer.secret_key = secret;
    c->conn.signer.day[0] = 0;
    if (!answered) return;
    CHECK(status == (payload ? 400 : 403));
    CHECK(said(c, payload ? "<Code>XAmzContentSHA256Mismatch</Code>" : "<Code>SignatureDoesNotMatch</Code>"));
}

/* One page of the own keys, from a random place on: exactly the model's. */
static inline bool list_own(struct client *c, unsigned from, unsigned max)
{
    char query[200], want[200];
    int status;
    snprintf(query, sizeof query, "list-type=2&max-keys=%u&prefix=c%u%%2F&start-after=c%u%%2Fk%u", max, c->i,
             c->i, from);
    if (!ask(c, "GET", "/simulated", query, STR(""), SIGNED, &status)) return false;
    CHECK(status == 200);
    struct str rest = buf_view(&c->conn.text);
    unsigned n = 0;
    bool more = false;
    for (unsigned k = from + 1; k < OWN_KEYS; k++) {
        if (c->own[k] == 0) continue;
        more = n == max;
        if (more) break;
        size_t at;
        CHECK(str_find(rest, STR("<Contents>"), &at));
        rest = str_slice(rest, at, rest.n);
        struct str item = rest;
        CHECK(str_find(rest, STR("</Contents>"), &at));
        item.n = at;
        rest = str_slice(rest, at, rest.n);
        snprintf(want, sizeof want, "<Key>c%u/k%u</Key>", c->i, k);
        CHECK(str_find(item, str_c(want), &at));
        snprintf(want, sizeof want, "<Size>%zu</Size>", value_size(c->w, c->own[k]));
        CHECK(str_find(item, str_c(want), &at));
        n++;
    }
    size_t at;
    CHECK(!str_find(rest, STR("<Contents>"), &at));
    CHECK(said(c, more ? "<IsTruncated>true<" : "<IsTruncated>false<"));
    return true;
}

/* ---- shared keys ---- */

static inline void put_shared(struct client *c, unsigned key)
{
    char path[64];
    int status;
    unsigned id = ++c->w->values;
    while (value_size(c->w, id) < 8) id = ++c->w->values;
    CHECK(id < VALUES);
    struct shared_put *p = &c->w->shared[id];
    *p = (struct shared_put){key + 1, ++c->w->tick, UINT64_MAX};
    snprintf(path, sizeof path, "/simulated/shared/%u", key);
    struct str value = make_value(c->w, id, c->value);
    if (!ask(c, "PUT", path, "", value, SIGNED, &status)) return;
    CHECK(status == 200);
    check_etag(c, value);
    p->acked = ++c->w->tick;
}

static inline void get_shared(struct client *c, unsigned key)
{
    char path[64];
    int status;
    uint64_t began = ++c->w->tick, id = 0;
    snprintf(path, sizeof path, "/simulated/shared/%u", key);
    if (!ask(c, "GET", path, "", STR(""), SIGNED, &status)) return;
    CHECK(status == 200 || (status == 404 && said(c, "<Code>NoSuchKey</Code>")));
    if (status == 200) {
        CHECK(c->conn.text.n >= sizeof id);
        memcpy(&id, c->conn.text.p, sizeof id);
        CHECK(id > 0 && id <= c->w->values && c->w->shared[id].key == key + 1);
        struct str want = make_value(c->w, (unsigned)id, c->value);
        CHECK(str_eq(buf_view(&c->conn.text), want));
        check_etag(c, want);
    }
    uint64_t acked = id ? c->w->shared[id].acked : 0;
    for (unsigned i = 1; i <= c->w->values; i++) {
        const struct shared_put *p = &c->w->shared[i];
        CHECK(p->key != key + 1 || p->begin < acked || p->acked > began);
    }
}

/* ---- a client's life ---- */

static inline void step(struct client *c)
{
    static const uint8_t mix[] = {OP_PUT,        OP_PUT,        OP_PUT,        OP_GET,
                                  OP_GET,        OP_HEAD,       OP_DELETE,     OP_LIST,
                                  OP_SHARED_PUT, OP_SHARED_GET, OP_SHARED_GET, OP_REFUSED};
    enum sim_op op = mix[choose(c, sizeof mix)];
    unsigned key = choose(c, OWN_KEYS), shared = choose(c, SHARED_KEYS);
    switch (op) {
    case OP_PUT:
        put_own(c, key);
        break;
    case OP_GET:
        get_own(c, key, false);
        break;
    case OP_HEAD:
        get_own(c, key, true);
        break;
    case OP_DELETE:
        delete_own(c, key);
        break;
    case OP_LIST:
        list_own(c, key, 1 + choose(c, OWN_KEYS));
        break;
    case OP_SHARED_PUT:
        put_shared(c, shared);
        break;
    case OP_SHARED_GET:
        get_shared(c, shared);
        break;
    default:
        refused(c, key);
        break;
    }
    c->w->did[op]++;
}

static inline void client_life(void *arg)
{
    struct client *c = arg;
    for (unsigned i = 0; i < STEPS; i++) step(c);
    for (unsigned k = 0; k < OWN_KEYS; k++)
        while (!get_own(c, k, false)) {
        }
    conn_close(&c->conn);
    rt_sem_give(&c->w->done, 1);
}

static inline void client_init(struct world *w, unsigned i)
{
    struct client *c = &w->client[i];
    *c = (struct client){.w = w, .i = i, .value = malloc(VALUE_MAX + 8), .answers = 14695981039346656037u};
    c->conn.b = &w->bench;
    c->conn.rx = malloc(BENCH_RX);
    CHECK(c->value && c->conn.rx);
    signer_init(&c->conn.signer, &w->bench.o);
    buf_init(&c->conn.head, 0);
    buf_init(&c->conn.text, 0);
}

static inline void client_free(struct client *c)
{
    free(c->value);
    free(c->conn.rx);
    buf_free(&c->conn.head);
    buf_free(&c->conn.text);
}

#endif
