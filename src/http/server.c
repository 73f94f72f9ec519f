/* The server as a whole: limits, listeners, drain, figures. */
#include "http/internal.h"
#include "base/assert.h"
#include "sys/sys.h"

#define SWEEP_NS (10 * RT_MS)
#define CUT_NS   (2 * RT_SEC) /* for fibers to notice that their sockets are shut */

#define TAKE(field, otherwise)                                                                               \
    atomic_store_explicit(&s->lim.field, l->field ? l->field : (otherwise), memory_order_relaxed)

void http_server_set_limits(struct http_server *s, const struct http_limits *l)
{
    TAKE(header_count, 200);
    TAKE(max_conns, 10000);
    TAKE(max_requests, 1024);
    TAKE(max_memory, (size_t)512 << 20);
    TAKE(arena_bytes, (size_t)32 << 20);
    TAKE(header_ns, 20 * RT_SEC);
    TAKE(body_progress_ns, 30 * RT_SEC);
    TAKE(body_rate, 0);
    TAKE(idle_ns, 60 * RT_SEC);
    TAKE(write_ns, 60 * RT_SEC);
}

err http_server_new(struct rt *r, const struct http_limits *l, const struct http_callbacks *cb,
                    struct http_server **out)
{
    struct http_server *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s) return ERR_NO_MEMORY;
    s->rt = r;
    s->cb = *cb;
    static const struct http_limits defaults;
    if (!l) l = &defaults;
    s->lim.header_bytes = l->header_bytes ? l->header_bytes : 16 << 10;
    s->buf_bytes = s->lim.header_bytes > 2 * CHUNK_SLACK ? s->lim.header_bytes : 2 * CHUNK_SLACK;
    s->lim.handler_bytes = l->handler_bytes;
    http_server_set_limits(s, l);
    sys->random(s->id_key, sizeof s->id_key);
    s->nloops = rt_loops(r);
    s->loops = aligned_alloc(_Alignof(struct http_loop), s->nloops * sizeof *s->loops);
    if (!s->loops) {
        free(s);
        return ERR_NO_MEMORY;
    }
    memset(s->loops, 0, s->nloops * sizeof *s->loops);
    for (unsigned i = 0; i < s->nloops; i++) {
        struct http_loop *hl = &s->loops[i];
        hl->s = s;
        hl->loop = rt_loop_at(r, i);
        hl->next_id = (uint64_t)i << 48;
        hl->sweep = (struct rt_msg){.fn = conn_sweep, .arg = hl};
        list_init(&hl->conns);
        list_init(&hl->starved);
    }
    *out = s;
    return ERR_OK;
}

err http_server_listen(struct http_server *s, const struct rt_addr *a, struct http_tls *tls_or_null,
                       struct rt_addr *bound)
{
    struct http_listener *ln = calloc(1, sizeof *ln);
    if (!ln) return ERR_NO_MEMORY;
    ln->s = s;
    ln->tls = tls_or_null;
    err e = rt_listen(s->rt, a, 0, conn_accept, ln, &ln->l);
    if (e) {
        free(ln);
        return e;
    }
    if (bound) rt_listener_addr(ln->l, bound);
    ln->next = s->listeners;
    s->listeners = ln;
    return ERR_OK;
}

/* ---- drain ---- */
static void sweep_all(struct http_server *s)
{
    for (unsigned i = 0; i < s->nloops; i++) {
        struct http_loop *hl = &s->loops[i];
        if (!atomic_exchange_explicit(&hl->sweeping, true, memory_order_acquire))
            rt_post(hl->loop, &hl->sweep);
    }
}

static bool sweep_until(struct http_server *s, int64_t deadline)
{
    for (;;) {
        sweep_all(s);
        if (atomic_load(&s->conns_open) == 0) return true;
        if (rt_now() >= deadline) return false;
        rt_sleep(SWEEP_NS);
    }
}

/* Let the last sweeps pass, so that none is under way when the loops end; a loop that is stuck is not waited
 * for. */
static void sweeps_settle(struct http_server *s)
{
    int64_t until = rt_now() + RT_SEC;
    for (unsigned i = 0; i < s->nloops; i++)
        while (atomic_load_explicit(&s->loops[i].sweeping, memory_order_acquire) && rt_now() < until)
            rt_sleep(RT_MS);
}

bool http_server_drain(struct http_server *s, int64_t deadline)
{
    rt_set_note("draining");
    atomic_store(&s->draining, true);
    for (struct http_listener *ln = s->listeners; ln; ln = ln->next) {
        if (ln->l) rt_listener_close(ln->l);
        ln->l = NULL;
    }
    bool all = sweep_until(s, deadline);
    if (!all) {
        atomic_store(&s->cutting, true);
        sweep_until(s, rt_now() + CUT_NS);
    }
    sweeps_settle(s);
    return all;
}

void http_server_free(struct http_server *s)
{
    if (!s) return;
    for (unsigned i = 0; i < s->nloops; i++) {
        LIST_EACH(e, &s->loops[i].conns)
        {
            conn_forget(CONTAINER(e, struct http_conn, link));
        }
        pool_free(&s->loops[i]);
    }
    while (s->listeners) {
        struct http_listener *ln = s->listeners;
        s->listeners = ln->next;
        free(ln);
    }
    free(s->loops);
    free(s);
}

void http_get_stats(struct http_server *s, struct http_stats *out)
{
    *out = (struct http_stats){
        .conns_open = atomic_load_explicit(&s->conns_open, memory_order_relaxed),
        .requests_running = atomic_load_explicit(&s->running, memory_order_relaxed),
        .memory = atomic_load_explicit(&s->memory, memory_order_relaxed),
    };
    for (unsigned i = 0; i < s->nloops; i++) {
        struct http_loop *hl = &s->loops[i];
        out->conns_total += atomic_load_explicit(&hl->conns_total, memory_order_relaxed);
        out->conns_refused += atomic_load_explicit(&hl->conns_refused, memory_order_relaxed);
        out->requests_total += atomic_load_explicit(&hl->requests_total, memory_order_relaxed);
        out->requests_refused += atomic_load_explicit(&hl->requests_refused, memory_order_relaxed);
        out->bytes_in += atomic_load_explicit(&hl->bytes_in, memory_order_relaxed);
        out->bytes_out += atomic_load_explicit(&hl->bytes_out, memory_order_relaxed);
    }
}
