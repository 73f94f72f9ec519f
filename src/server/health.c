/* Paths below /-/ : "-" is no valid bucket name, so they are nobody's objects.
 *
 *   /-/live           the process answers
 *   /-/ready          200, or 503 and one line that says why not
 *   /-/metrics        Prometheus' text format    (these two for peers on this machine, or all if the
 *   /-/debug/fibers   what each fiber waits for   setting debug-access says so)
 */
#include "server/server_impl.h"

#include <netinet/in.h>

/* With virtual-host style "/-/live" under a bucket's host is an object of that bucket. */
static bool host_is_a_bucket(const struct server *s, struct str host)
{
    size_t n, colon;
    const struct str *domains = config_list(s->config, SET_DOMAIN, &n);
    if (n && str_find(host, STR(":"), &colon)) host = str_slice(host, 0, colon);
    for (size_t i = 0; i < n; i++) {
        if (host.n <= domains[i].n + 1) continue;
        size_t dot = host.n - domains[i].n - 1;
        if (host.p[dot] == '.' && str_ieq(str_slice(host, dot + 1, host.n), domains[i])) return true;
    }
    return false;
}

static bool peer_is_local(const struct rt_addr *peer)
{
    if (peer->ss.ss_family == AF_UNIX) return true;
    if (peer->ss.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)&peer->ss;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    if (peer->ss.ss_family != AF_INET6) return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)&peer->ss)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

static void answer(struct http_exchange *x, int status, const char *type, struct str text)
{
    http_set_z(x, "content-type", type);
    http_set_z(x, "cache-control", "no-store");
    if (status == 503) http_set_z(x, "retry-after", "1");
    if (status == 405) http_set_z(x, "allow", "GET, HEAD");
    http_reply(x, status, text);
}

static void answer_text(struct http_exchange *x, int status, struct str text)
{
    answer(x, status, "text/plain; charset=utf-8", text);
}

struct str health_not_ready(const struct server *s)
{
    enum server_phase phase = atomic_load(&s->phase);
    enum engine_state state = phase == SERVER_READY && !s->in_memory ? engine_state(&s->store) : ENGINE_OK;
    if (phase == SERVER_OPENING) return STR("opening the store\n");
    if (phase == SERVER_DRAINING) return STR("draining\n");
    if (state == ENGINE_FULL) return STR("out of disk: reads go on, writes are refused\n");
    if (state == ENGINE_FAILED)
        return STR("the disk refused a write or flush: reads go on, writes have stopped until a restart\n");
    return STR_NONE;
}

static void answer_ready(struct server *s, struct http_exchange *x)
{
    struct str why = health_not_ready(s);
    if (why.p)
        answer_text(x, 503, why);
    else
        answer_text(x, 200, STR("ready\n"));
}

static void answer_buf(struct http_exchange *x, const char *type, struct buf *page)
{
    if (page->overflow)
        answer_text(x, 500, STR("the page does not fit into memory\n"));
    else
        answer(x, 200, type, buf_view(page));
    buf_free(page);
}

static void answer_inside(struct server *s, struct http_exchange *x, bool metrics)
{
    struct buf page;
    buf_init(&page, 16u << 20);
    if (!peer_is_local(&x->peer) && !atomic_load(&s->debug_any)) {
        answer_text(x, 403, STR("only for peers on this machine; the setting debug-access opens it\n"));
    } else if (metrics) {
        observe_page(s, &page);
        answer_buf(x, "text/plain; version=0.0.4; charset=utf-8", &page);
    } else {
        rt_dump(s->rt, &page);
        answer_buf(x, "text/plain; charset=utf-8", &page);
    }
}

bool health_serve(struct server *s, struct http_exchange *x)
{
    if (!str_starts(x->path, STR("/-/")) || host_is_a_bucket(s, x->host)) return false;
    struct str name = str_slice(x->path, 3, x->path.n);
    if (x->method != HTTP_GET && x->method != HTTP_HEAD)
        answer_text(x, 405, STR("only GET and HEAD\n"));
    else if (str_eq(name, STR("live")))
        answer_text(x, 200, STR("live\n"));
    else if (str_eq(name, STR("ready")))
        answer_ready(s, x);
    else if (str_eq(name, STR("metrics")))
        answer_inside(s, x, true);
    else if (str_eq(name, STR("debug/fibers")))
        answer_inside(s, x, false);
    else
        answer_text(x, 404, STR("here are live, ready, metrics and debug/fibers\n"));
    return true;
}

void health_unavailable(struct http_exchange *x, err e)
{
    struct str code = err_s3_code(e), message = err_message(e);
    struct str text = arena_fmt(
        x->arena,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%.*s</Code><Message>%.*s</Message>"
        "<RequestId>%.*s</RequestId></Error>",
        STR_FMT(code), STR_FMT(message), STR_FMT(x->id));
    answer(x, err_status(e), "application/xml", text);
}
