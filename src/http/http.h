/* http: HTTP/1.1 server side on llhttp. Listeners, connections, requests, responses; knows nothing of S3.
 *
 * One fiber a request, none for an idle connection. Pipelined requests are served in order. The handler runs
 * in the request's fiber and must answer exactly once (http_reply*). If it did not read the whole body, the
 * connection layer drains a bounded rest (64 KiB) or closes. "100 Continue" goes out at the first body_next
 * of x->body, so whoever authorises before reading answers it only after authorisation.
 *
 * Framing errors, as both Content-Length and Transfer-Encoding, two lengths or a bad one: 400 and close,
 * before any handler, rendered by the `refuse` callback so that the dialect names the error. Limits hold
 * before allocation.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/arena.h"
#include "base/errors.h"
#include "body/body.h"
#include "http/header.h"
#include "rt/rt.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_POST, HTTP_DELETE, HTTP_OPTIONS, HTTP_METHOD_OTHER };

struct http_exchange {
    /* request; everything lives in arena */
    struct arena *arena;
    enum http_method method;
    struct str method_name;
    struct str target; /* as sent */
    struct str
        path; /* of the target, still percent-encoded; "/" at least; of an absolute-form target its path */
    struct str query; /* without '?', still encoded; p NULL when there was none */
    struct str host;  /* Host header, or the authority of an absolute-form target, as sent (with port) */
    struct http_header *headers;
    size_t nheaders;
    int64_t content_length; /* -1: no Content-Length */
    bool chunked;
    bool has_body; /* content_length > 0 or chunked */
    bool expect_continue;
    struct body *body; /* never NULL; ends at once when there is none */
    /* connection */
    bool tls;
    struct rt_addr peer;
    char peer_text[128];
    int64_t started_ns; /* when the head was complete */
    struct str id;      /* request id, 16 upper-case hex digits, unique */
    /* accounting, filled by http */
    uint64_t bytes_in, bytes_out;
    int status; /* sent; 0 until then */
    void *user; /* of the handler: the API request */
    /* private */
    struct http_conn *conn;
};

/* The first header of that lower-case name, or STR_NONE (p NULL). */
struct str http_header(const struct http_exchange *x, const char *name);
bool http_has_header(const struct http_exchange *x, const char *name);

/* ---- answering ---- */
/* Add a response header before the reply. A name or value with CR, LF or NUL is refused
 * (ERR_INVALID_ARGUMENT), never sent; so is what this module writes itself: Content-Length,
 * Transfer-Encoding, Connection, Date, Server, Retry-After. Above 64 KiB in all: ERR_NO_MEMORY. */
err http_set(struct http_exchange *x, const char *name, struct str value);
err http_set_z(struct http_exchange *x, const char *name, const char *value);
err http_set_u64(struct http_exchange *x, const char *name, uint64_t value);
void http_unset_all(struct http_exchange *x); /* an error replaces what was prepared */
/* Whole answers. Date, Server, Connection and Content-Length are added, Retry-After to 503; HEAD, 204 and 304
 * send no body. An error says that the answer did not leave; there is nothing more to do about it. */
err http_reply(struct http_exchange *x, int status, struct str content);
/* length: of the body, announced before it; < 0: chunked. If the body fails midway the connection is cut
 * (never a clean end), and the body's error is returned. If it fails before anything was sent, nothing is
 * sent and x->status stays 0: the handler may answer otherwise; if it does not, `refuse` renders the body's
 * error. The body stays the caller's to close. For HEAD pass NULL and the length to announce. */
err http_reply_body(struct http_exchange *x, int status, struct body *b, int64_t length);
/* Close the connection after this answer. */
void http_close_after(struct http_exchange *x);

/* ---- serving ---- */
struct http_limits {
    size_t header_bytes;   /* whole header section; 0: 16 KiB → 400 RequestHeaderSectionTooLarge */
    unsigned header_count; /* 0: 200 */
    unsigned max_conns;    /* open connections; 0: 10,000; above: 503 with Retry-After, close */
    unsigned max_requests; /* running at once; 0: 1,024; above: 503 SlowDown with Retry-After */
    /* Records and buffers of connections, arenas, and handler_bytes for each request that runs; 0: 512 MiB.
     * Nothing is taken beyond it, but for 16 refusals a loop: 503 SlowDown. */
    size_t max_memory;
    size_t handler_bytes;     /* what a running request may take elsewhere: its stack, what it reads into */
    size_t arena_bytes;       /* per request ceiling; 0: 32 MiB */
    int64_t header_ns;        /* first byte to end of header section; 0: 20 s */
    int64_t body_progress_ns; /* no body byte for this long; 0: 30 s → 400 RequestTimeout, close */
    /* Bytes a second at which a body must come on average, once body_progress_ns was spent waiting for it; 0:
     * any. Time in which nobody reads it does not count. As if no byte came. */
    uint64_t body_rate;
    int64_t idle_ns;  /* between requests; 0: 60 s */
    int64_t write_ns; /* for each 128 KiB of an answer; 0: 60 s: closed */
};
/* Change limits while serving, from any thread: all but header_bytes and handler_bytes, which stay. Zero
 * fields are as above. Waits that have begun keep their time. */
struct http_server;
void http_server_set_limits(struct http_server *s, const struct http_limits *l);
struct http_callbacks {
    void (*handle)(void *arg, struct http_exchange *x);
    /* Render this error: of a request that never became one (headers may be missing; the connection then
     * closes), of one above a ceiling, or of one whose handler did not answer. What was set before is gone.
     */
    void (*refuse)(void *arg, struct http_exchange *x, err e);
    /* After the answer left (or failed): access log and metrics. Also for refusals; may be NULL. */
    void (*done)(void *arg, struct http_exchange *x);
    void *arg;
};
struct http_tls; /* certificates by SNI, reloadable (http/tls.h) */
err http_server_new(struct rt *r, const struct http_limits *l, const struct http_callbacks *cb,
                    struct http_server **out);
err http_server_listen(struct http_server *s, const struct rt_addr *a, struct http_tls *tls_or_null,
                       struct rt_addr *bound);
/* Stop accepting, close idle connections, answer what runs with Connection: close; returns when none is left
 * or the deadline passed (then the rest is cut and false returned). From a fiber. */
bool http_server_drain(struct http_server *s, int64_t deadline);
void http_server_free(struct http_server *s); /* after rt_run returned */

struct http_stats {
    uint64_t conns_open, conns_total, conns_refused, requests_running, requests_total, requests_refused;
    uint64_t bytes_in, bytes_out, memory;
};
void http_get_stats(struct http_server *s, struct http_stats *out);

#endif
