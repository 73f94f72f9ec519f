/* Shared by the files of server/ alone. */
#ifndef SERVER_SERVER_IMPL_H
#define SERVER_SERVER_IMPL_H

#include "api/api.h"
#include "auth/auth.h"
#include "config/config.h"
#include "http/http.h"
#include "http/tls.h"
#include "metrics/metrics.h"
#include "object/object.h"
#include "rt/rt.h"
#include "server/access_log.h"
#include "server/credentials.h"
#include "store/store.h"

#include <stdatomic.h>

enum server_phase { SERVER_OPENING, SERVER_READY, SERVER_DRAINING };
enum { SERVER_DRAINED = 0, SERVER_CUT = 1, SERVER_BAD_SETTING = 2, SERVER_NO_START = 3 }; /* exit codes */

#define SERVER_LISTENERS_MAX 64

struct server {
    const struct config *config;
    const struct config_args *args;
    struct arena *arena; /* lives as long as the server; start-up only */
    struct rt *rt;
    struct http_tls *tls; /* NULL: none */
    struct http_server *http;
    struct store store;
    bool store_open, in_memory;
    struct credentials root;
    struct objects *objects;
    struct auth *auth;
    struct api *api;
    struct metrics *metrics;
    struct access_log *access;
    char endpoint[SERVER_LISTENERS_MAX][160]; /* URLs with the real ports */
    size_t nendpoints;
    int64_t started_ms;
    int exit_code;

    /* read on every loop */
    _Atomic enum server_phase phase;
    _Atomic bool access_log, debug_any;
    /* read and written on loop 0 alone */
    bool started, reloading, ending;
    struct config *reloaded; /* the newest settings; NULL: still config's */
    int64_t drain_ns, drain_delay_ns;
    struct rt_timer watchdog_timer;
    struct rt_msg *watchdog_msg; /* one a loop */
    _Atomic unsigned watchdog_answers;
    int64_t watchdog_ns;
};

/* ---- server.c ---- */
void server_apply(struct server *s, const struct config *c); /* what may change while serving */

/* ---- lifecycle.c: signals ---- */
void lifecycle_install(struct server *s);
void lifecycle_started(struct server *s); /* a signal may have come while the store opened */
void lifecycle_watchdog_start(struct server *s);
void lifecycle_free(struct server *s); /* after the loops ended */

/* ---- memory.c: when freed memory goes back to the machine ---- */
void memory_setup(void);

/* ---- health.c: the paths that can never be a bucket's ---- */
/* false: the path is not one of them. Else it was answered. Fiber context. */
bool health_serve(struct server *s, struct http_exchange *x);
/* Why readiness says no, one line; p NULL: ready. Any thread. */
struct str health_not_ready(const struct server *s);
/* While opening there is no api to render an error. */
void health_unavailable(struct http_exchange *x, err e);

/* ---- observe.c: the access log and the metrics ---- */
bool observe_init(struct server *s);
void observe_done(struct server *s, struct http_exchange *x);
void observe_page(struct server *s, struct buf *out); /* fiber context */

#endif
