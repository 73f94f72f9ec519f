/* What the files of the simulation's tests share: the model of what the clients' buckets hold, the operations
 * that clients send, the answers, and the two ways that an operation goes: over HTTP, or straight to the
 * object layer. A process runs one history and ends; what a history allocates is not given back. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "base/assert.h"
#include "base/log.h"
#include "hash/hash.h"
#include "object/object.h"
#include "rt/rt.h"
#include "rt/sim.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CLIENTS = 3,
    KEYS = 6,
    VERSIONS_MAX = 16, /* the mix keeps them to about five; a key that chance favours gets more */
    UPLOADS = 2,
    PARTS = 4,
    SHARED_KEYS = 2,
    SHARED_PUTS = 4096,
    ONCE = 512
};
enum { ID_SIZE = 100, ETAG_SIZE = 48, MIN_PART = 64 };

extern const char *const key_names[KEYS];

/* ---- contents ---- */

struct content {
    size_t n;
    const char *p;
    char md5[33];
};
const struct content *content_new(const char *p, size_t n); /* takes p over */
const struct content *content_random(size_t n);
const struct content *content_slice(const struct content *c, size_t from, size_t n);

/* ---- the model of a bucket ---- */

struct version {
    char id[ID_SIZE]; /* "null"; "" while nobody knows it yet */
    bool marker;
    const struct content *c;
    char etag[ETAG_SIZE];
    unsigned tag, meta; /* 0: none */
    unsigned parts;     /* of a multipart object */
};
struct upload {
    bool live;
    char id[ID_SIZE];
    unsigned meta;
    const struct content *part[PARTS]; /* NULL: not there */
};
struct key_state {
    unsigned n;
    struct version v[VERSIONS_MAX]; /* newest first */
    struct upload up[UPLOADS];
};
struct bucket {
    bool there;
    enum versioning versioning;
    struct key_state key[KEYS];
};

/* ---- operations ---- */

enum op_kind {
    OP_PUT,
    OP_GET,
    OP_HEAD,
    OP_DELETE,
    OP_DELETE_MANY,
    OP_COPY,
    OP_ATTRIBUTES,
    OP_GET_TAGS,
    OP_PUT_TAGS,
    OP_DELETE_TAGS,
    OP_CREATE_UPLOAD,
    OP_UPLOAD_PART,
    OP_UPLOAD_PART_COPY,
    OP_COMPLETE,
    OP_ABORT,
    OP_LIST_PARTS,
    OP_LIST_V1,
    OP_LIST_V2,
    OP_LIST_VERSIONS,
    OP_LIST_UPLOADS,
    OP_LIST_BUCKETS,
    OP_HEAD_BUCKET,
    OP_LOCATION,
    OP_GET_VERSIONING,
    OP_PUT_VERSIONING,
    OP_CREATE_BUCKET,
    OP_DELETE_BUCKET,
    OP_KINDS
};
extern const char *const op_names[OP_KINDS];

enum cond { COND_NONE, COND_NEW, COND_SAME }; /* If-None-Match: *, If-Match */
enum leave { STAY, LEAVE_SENDING, LEAVE_WAITING, LEAVE_READING };

struct op {
    enum op_kind kind;
    char bucket[32];
    const char *key, *src_key;
    unsigned k, src_k;                           /* numbers of both */
    char version[ID_SIZE], src_version[ID_SIZE]; /* "": the current one */
    const struct content *body;
    unsigned tag, meta;
    bool replace; /* a copy's metadata and tags are the request's */
    enum cond cond;
    char cond_etag[ETAG_SIZE];
    bool ranged;
    uint64_t first, last;
    unsigned upload, part; /* slot; number from 1 */
    char upload_id[ID_SIZE];
    unsigned nparts, parts[PARTS]; /* Complete's list: numbers */
    char part_etags[PARTS][ETAG_SIZE];
    unsigned nmany, many[KEYS];
    char many_version[KEYS][ID_SIZE];
    const char *prefix, *delimiter, *after;
    char token[256], after_id[ID_SIZE];
    unsigned max;
    enum versioning to;
    enum leave leave;
};

struct item {
    enum { ITEM_KEY, ITEM_MARKER, ITEM_PREFIX, ITEM_UPLOAD, ITEM_PART, ITEM_BUCKET } kind;
    char name[64], id[ID_SIZE], etag[ETAG_SIZE];
    uint64_t size;
    bool latest;
    unsigned number;
};
struct answer {
    bool lost; /* nobody knows what became of it */
    err e;
    char etag[ETAG_SIZE], version[ID_SIZE], upload[ID_SIZE];
    bool marker;
    unsigned tag, meta;
    bool has_meta;
    uint64_t size;
    enum versioning versioning;
    unsigned n;     /* of item */
    err many[KEYS]; /* DeleteObjects: of each */
    char many_version[KEYS][ID_SIZE];
    bool truncated;
    char next[256], next_id[ID_SIZE];
    struct buf body; /* from here on: not cleared between answers */
    struct item item[128];
};

/* ---- one client and the world ---- */

struct client {
    struct world *w;
    unsigned i;
    char bucket_name[32];
    uint64_t rng;
    struct bucket b;
    bool pending; /* op was sent and not answered: before or after is right for every key it names */
    struct op op;
    struct answer a;
    struct wire *wire;
    uint64_t hash;      /* of all answers */
    struct answer look; /* of observe */
};

struct shared_put {
    unsigned key;
    uint64_t begin, acked; /* acked UINT64_MAX: nobody knows */
};

struct world {
    uint64_t seed;
    bool http;
    struct rt *rt;
    struct store store;
    bool store_open;
    struct objects *objects;
    struct server_parts *server;
    struct client client[CLIENTS];
    struct rt_sem done;
    bool stop; /* clients end after the operation they are in */
    unsigned steps;
    uint64_t tick;
    unsigned nputs;
    struct shared_put put[SHARED_PUTS];
    unsigned once; /* the key of If-None-Match that all put now */
    unsigned once_tries[ONCE];
    bool once_taken[ONCE];
    uint64_t did[OP_KINDS], lost, refused;
};

uint64_t rnd(struct client *c);
unsigned below(struct client *c, unsigned n);
bool one_in(struct client *c, unsigned n);
uint64_t fold(uint64_t h, const void *p, size_t n);
void explain(const struct client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Stops the process with one line about the client and its operation. */
#define EXPECT(c, x, ...)                                                                                    \
    do {                                                                                                     \
        if (!(x)) {                                                                                          \
            explain((c), __VA_ARGS__);                                                                       \
            ASSERT(x);                                                                                       \
        }                                                                                                    \
    } while (0)

/* model.c: what op gives in b; b changes as it says. With an answer, ids that only the server knows are taken
 * from it and what it says is compared. */
err model_apply(struct client *c, struct bucket *b, const struct op *op, const struct answer *a);
bool op_changes(const struct op *op);
bool key_matches(struct key_state *seen, struct key_state *want, bool learn);
const struct version *model_find(const struct key_state *k, const char *id);
void part_etag(const struct upload *u, unsigned number, char out[ETAG_SIZE]);
void model_list(struct client *c, const struct bucket *b, const struct op *op, const struct answer *a);

/* client.c */
void send_op(struct client *c, const struct op *op, struct answer *a);
bool engine_down(const struct world *w);
/* direct.c, wire.c */
void direct_send(struct world *w, const struct op *op, struct answer *a);
void wire_send(struct client *c, const struct op *op, struct answer *a);
void wire_close(struct client *c);
void server_start(struct world *w); /* HTTP over the objects of the world */
void server_stop(struct world *w);

/* observe.c: read all that a bucket holds, through the API, and compare with the model; with an operation
 * that was not answered, either state is right for each key. */
void observe(struct client *c, bool may_have_happened);

/* client.c */
void client_step(struct client *c);
void client_settle_start(struct client *c); /* after a start: what the last life left open */

/* life.c */
struct history {
    uint64_t hash, points, lives, ops, checks, recoveries;
    uint64_t opening, closing, working; /* where the power went */
    uint64_t did[OP_KINDS], lost;
};
void history_run(uint64_t seed, unsigned cuts, struct history *out);

#endif
