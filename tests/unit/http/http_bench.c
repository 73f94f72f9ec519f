/* A server that answers 4 KiB to everything, for a load from outside:
 *
 *   build/release/tests/unit/http/http_bench 9100 epoll & wrk -c64 -t2 -d10 http://127.0.0.1:9100/bucket/key;
 * kill %1
 *
 * At SIGTERM it says how many requests it served and what CPU each took. GET /body sends the bytes as a body.
 */
#include "base/assert.h"
#include "http/http.h"

#include <signal.h>
#include <sys/resource.h>

static char content[4096];
static struct http_server *server;

static void handle(void *arg, struct http_exchange *x)
{
    (void)arg;
    struct str bytes = str_of(content, sizeof content);
    http_set_z(x, "ETag", "\"d41d8cd98f00b204e9800998ecf8427e\"");
    http_set(x, "x-amz-request-id", x->id);
    if (str_eq(x->path, STR("/body")))
        http_reply_body(x, 200, body_of_bytes(x->arena, bytes), sizeof content);
    else
        http_reply(x, 200, bytes);
}

static void refuse(void *arg, struct http_exchange *x, err e)
{
    (void)arg;
    http_reply(x, err_status(e), err_message(e));
}

static void stop(void *arg, int signo)
{
    (void)signo;
    rt_stop(arg);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "http_bench PORT [epoll|io_uring]\n");
        return 2;
    }
    struct rt_options o = {.backend = argc > 2 && strcmp(argv[2], "io_uring") == 0 ? RT_URING : RT_EPOLL,
                           .loops = 2};
    struct rt *r;
    struct rt_addr a;
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%s", argv[1]);
    ASSERT(rt_addr_parse(str_c(text), &a) == ERR_OK && rt_new(&o, &r) == ERR_OK);
    struct http_callbacks cb = {.handle = handle, .refuse = refuse};
    ASSERT(http_server_new(r, NULL, &cb, &server) == ERR_OK);
    if (http_server_listen(server, &a, NULL, NULL)) return 1;
    rt_on_signal(r, SIGTERM, stop, r);
    rt_run(r);
    struct http_stats st;
    struct rusage u;
    http_get_stats(server, &st);
    getrusage(RUSAGE_SELF, &u);
    double user = (double)u.ru_utime.tv_sec * 1e6 + (double)u.ru_utime.tv_usec;
    double system = (double)u.ru_stime.tv_sec * 1e6 + (double)u.ru_stime.tv_usec;
    double n = st.requests_total ? (double)st.requests_total : 1;
    printf("%s: %llu requests, CPU a request: %.2f us user, %.2f us system, %.2f us together\n",
           rt_backend_name(r), (unsigned long long)st.requests_total, user / n, system / n,
           (user + system) / n);
    http_server_free(server);
    rt_free(r);
    return 0;
}
