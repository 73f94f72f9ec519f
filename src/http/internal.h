/* What the files of http share: the per-loop state, a connection, and what a connection holds while it is
 * busy. */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include "http/chunked.h"
#include "http/head.h"
#include "http/http.h"
#include "http/io.h"
#include <stdatomic.h>

#define HOLD_BYTES    ((size_t)16 << 10) /* a body up to this goes out in one write with its head */
#define BIG_BYTES     ((size_t)64 << 10) /* a body buffer; also the two directions of TLS */
#define DRAIN_BYTES   (64 << 10)         /* of an unread request body: read away up to this, else close */
#define DRAIN_NS      (5 * RT_SEC)
#define LINGER_BYTES  (16 << 20) /* read and dropped at most before a close that must not reset */
#define LINGER_NS     (2 * RT_SEC)
#define LINGER_MAX    4096 /* lingering connections of one loop; above, they are closed at once */
#define CONTINUE_LINE STR("HTTP/1.1 100 Continue\r\n\r\n")
#define CHUNK_SLACK                                                                                          \
    4096 /* read beyond the data of the chunk at hand: what may belong to the next message                   \
          */
#define WORKS_KEPT       64 /* free ones a loop keeps */
#define BIGS_KEPT        32
#define FORCED_WORKS_MAX 16                 /* a loop: above the memory ceiling, to say so */
#define CONN_BYTES       ((size_t)1024)     /* a connection's record, its socket's, a slot among the timers */
#define CONN_TLS_BYTES   ((size_t)32 << 10) /* what OpenSSL keeps for one besides */

/* ---- a response in the making ---- */
struct http_out {
    char *p; /* header lines of http_set */
    size_t n, cap;
    bool answered; /* the head went out, or was tried */
    err failed;    /* of a body that broke before anything was sent */
    char first[1536];
};

/* ---- the body of a request ---- */
struct http_reqbody {
    struct body b;
    struct http_conn *c;
    err failed;
    bool chunked, done;
    bool awaits_continue; /* the client asked for a 100 and has seen nothing yet */
    uint64_t left;        /* of Content-Length */
    struct chunked chunks;
    const char *p, *end; /* bytes that came and were not handed out */
    char *big;           /* BIG_BYTES from the loop's pool, or NULL */
    size_t room_at;      /* offset in w->buf behind the head: where small bodies are read to */
    int64_t deadline;    /* of draining; 0: each read has its own */
    uint64_t came;       /* bytes, and how long they were waited for */
    int64_t waited;
};

/* ---- what a connection holds only while a request is on its way ---- */
struct http_work {
    struct http_work *next; /* in the pool */
    struct arena *arena;
    size_t arena_bytes; /* its ceiling */
    bool forced;
    struct http_exchange x;
    struct http_reqbody body;
    struct http_out out;
    char id[17];
    struct head head;
    struct head_scan scan;
    size_t start, end; /* bytes in buf that came and were not used */
    char *buf;         /* s->buf_bytes, then HOLD_BYTES for the answer's body */
};

/* ---- a part of a head whose rest has not come: all that a slow sender holds ---- */
struct http_part {
    struct head_scan scan;
    size_t n;
    char p[];
};

enum conn_phase { CONN_PARKED, CONN_STARVED, CONN_RUNNING };

struct http_conn {
    unsigned magic;
    enum conn_phase phase;
    struct http_loop *hl;
    struct list link; /* hl->conns */
    struct list wait; /* hl->starved */
    struct http_io io;
    struct http_work *w; /* NULL while parked, unless there was no memory for part */
    struct http_part *part;
    size_t charged;        /* of the record itself, in the server's memory */
    int64_t head_deadline; /* of the head being read; 0: none begun */
    int64_t accepted_at;
    uint32_t requests;
    bool over_ceiling; /* accepted above max_conns or max_memory: only to be told so */
    bool close_after;  /* the connection ends with this answer */
    bool broken;       /* no byte may be sent any more: end it without a clean end */
    bool linger;       /* there may be input that nobody will read */
    bool lingering;    /* it does: until then, and so many bytes were dropped */
    int64_t linger_until;
    uint64_t dropped;
    struct rt_addr peer;
    char peer_text[128];
};
#define CONN_MAGIC 0x48545450u

/* ---- what a loop owns; the counters are read by others ---- */
struct http_loop {
    struct http_server *s;
    struct rt_loop *loop;
    struct list conns;
    size_t nconns;
    struct list starved; /* readable, but no fiber was to be had */
    struct rt_timer retry;
    struct http_work *works;
    unsigned nworks, nforced;
    void *bigs; /* a chain through their first word */
    unsigned nbigs;
    unsigned lingering;
    uint64_t next_id;
    int64_t date_second;
    char date[32];
    struct rt_msg sweep;
    size_t to_sweep; /* of the walk under way */
    atomic_bool sweeping;
    _Atomic uint64_t conns_total, conns_refused, requests_total, requests_refused, bytes_in, bytes_out;
} __attribute__((aligned(64)));

struct http_listener {
    struct http_listener *next;
    struct http_server *s;
    struct http_tls *tls;
    struct rt_listener *l;
};

/* struct http_limits, read on every loop while it may change. */
struct live_limits {
    size_t header_bytes;  /* fixed: buffers have this size */
    size_t handler_bytes; /* fixed: what is given back is what was taken */
    _Atomic unsigned header_count, max_conns, max_requests;
    _Atomic size_t max_memory, arena_bytes;
    _Atomic uint64_t body_rate;
    _Atomic int64_t header_ns, body_progress_ns, idle_ns, write_ns;
};

struct http_server {
    struct rt *rt;
    struct live_limits lim;
    struct http_callbacks cb;
    struct http_listener *listeners;
    size_t buf_bytes;
    uint64_t id_key[2];
    unsigned nloops;
    struct http_loop *loops;
    atomic_bool draining, cutting;
    _Atomic uint64_t conns_open, running, memory;
};

/* Only the loop writes its counters. */
static inline void count_up(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

/* ---- pool.c ---- */
struct http_work *work_get(struct http_loop *hl, bool force); /* NULL at the ceiling */
void work_put(struct http_loop *hl, struct http_work *w);
/* Count n bytes that will be used; false: they would pass the ceiling. */
bool memory_take(struct http_server *s, size_t n);
void memory_give(struct http_server *s, size_t n);
/* What came of a head moves out of the work area, and back; part_keep: false when there is no memory. */
bool part_keep(struct http_conn *c);
void part_restore(struct http_conn *c);
void part_drop(struct http_conn *c);
char *big_get(struct http_loop *hl); /* NULL at the ceiling */
void big_put(struct http_loop *hl, char *p);
void pool_free(struct http_loop *hl);
void make_id(struct http_loop *hl, char out[17]);
const char *http_date(struct http_loop *hl); /* the Date of now; valid until the next call on this loop */

/* ---- reqbody.c ---- */
/* How long the next read may wait for a body of which so much came, waited for so long: most at first, longer
 * by what has come at that rate, and never longer than most at a time. */
int64_t body_patience(int64_t most, uint64_t rate, uint64_t came, int64_t waited);
void reqbody_init(struct http_conn *c, const char *p, const char *end);
/* May the connection go on after this answer, given now? *interim: a 100 goes out before it. */
bool reqbody_may_keep(struct http_conn *c, int status, bool *interim);
/* After the answer: read away what is left of the body. false: the connection must close. */
bool reqbody_finish(struct http_conn *c);

/* ---- reply.c ---- */
void reply_init(struct http_work *w);

/* ---- conn.c ---- */
void conn_accept(void *arg, struct rt_sock *sock, const struct rt_addr *peer);
void conn_sweep(void *arg);            /* on the loop: end what a drain may end, some at a time */
void conn_forget(struct http_conn *c); /* frees it; its socket is gone or goes with the runtime */

/* ---- request.c ---- */
/* The head at w->buf + w->start is complete: run it. false: close. */
bool request_run(struct http_conn *c, size_t head_end);
/* Answer e to what is not a request, or not taken; the connection then closes. */
void request_refuse(struct http_conn *c, err e);

#endif
