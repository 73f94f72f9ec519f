/* Signals: drain, cut, reload; and the service manager's watchdog. All on loop 0. */
#include "base/log.h"
#include "server/notify.h"
#include "server/server_impl.h"
#include "sys/sys.h"

#include <signal.h>
#include <unistd.h>

/* ---- ending ---- */

/* Requests still run and hold what would be freed. Leaving at once is safe: an answer of success was given
 * only after its bytes were durable, and the next start reads the log. */
static void cut(const struct server *s)
{
    if (*config_z(s->config, SET_READY_FILE)) sys->unlink(config_z(s->config, SET_READY_FILE));
    _exit(SERVER_CUT);
}

static void close_store(struct server *s)
{
    api_free(s->api);
    s->api = NULL;
    objects_free(s->objects);
    s->objects = NULL;
    if (s->in_memory) return; /* its memory goes when the loops have ended */
    if (engine_state(&s->store) == ENGINE_FAILED) s->exit_code = SERVER_CUT;
    engine_close(&s->store);
    s->store_open = false;
}

static void drain_fiber(void *server)
{
    struct server *s = server;
    notify_send("STOPPING=1\nSTATUS=draining");
    LOG_INFO("draining");
    rt_sleep(s->drain_delay_ns);
    if (!http_server_drain(s->http, rt_now() + s->drain_ns)) {
        LOG_WARN("requests were still running at the end of drain-time and are cut");
        cut(s);
    }
    close_store(s);
    LOG_INFO("stopped");
    rt_stop(s->rt);
}

static void drain(struct server *s)
{
    atomic_store(&s->phase, SERVER_DRAINING);
    if (rt_spawn(rt_loop_at(s->rt, 0), "drain", drain_fiber, s)) return;
    LOG_ERROR("no fiber is left to drain; leaving at once");
    cut(s);
}

static void on_end(void *server, int signo)
{
    struct server *s = server;
    if (s->ending) {
        LOG_WARN("second signal: leaving at once", LF_I("signal", signo));
        cut(s);
    }
    s->ending = true;
    if (s->started) drain(s); /* else lifecycle_started does */
}

void lifecycle_started(struct server *s)
{
    s->started = true;
    if (s->ending) drain(s);
}

/* ---- reloading ---- */

struct reload {
    struct server *s;
    struct config *fresh;
    err settings, tls;
    char settings_why[CONFIG_WHY], tls_why[256];
};

/* On a worker: reads files. */
static void read_again(void *arg)
{
    struct reload *r = arg;
    r->settings = config_load(r->s->args, &r->fresh, r->settings_why);
    if (r->s->tls) r->tls = http_tls_reload(r->s->tls, r->tls_why);
}

static void take_settings(struct server *s, struct config *fresh)
{
    const struct config *now = s->reloaded ? s->reloaded : s->config;
    for (enum setting id = 0; id < SETTINGS; id++) {
        if (config_same(now, fresh, id)) continue;
        struct str name = str_c(setting_row(id)->name);
        if (setting_row(id)->flags & SETTING_RELOAD)
            LOG_INFO("setting changed", LF_S("name", name), LF_S("value", config_str(fresh, id)));
        else
            LOG_WARN("setting changed, but holds only after a restart", LF_S("name", name));
    }
    server_apply(s, fresh);
    config_free(s->reloaded);
    s->reloaded = fresh;
}

static void reload_fiber(void *server)
{
    struct server *s = server;
    notify_reloading();
    struct reload *r = calloc(1, sizeof *r);
    if (r) {
        r->s = s;
        rt_work("reload", read_again, r);
        if (r->settings)
            LOG_ERROR("settings not reloaded", LF_Z("why", r->settings_why));
        else
            take_settings(s, r->fresh);
        if (r->tls) LOG_ERROR("certificates not reloaded; the old ones stay", LF_Z("why", r->tls_why));
        if (!r->settings && !r->tls) LOG_INFO("reloaded");
        free(r);
    }
    s->reloading = false;
    notify_send("READY=1\nSTATUS=serving");
}

static void on_reload(void *server, int signo)
{
    (void)signo;
    struct server *s = server;
    if (s->reloading || s->ending || atomic_load(&s->phase) != SERVER_READY) return;
    s->reloading = rt_spawn(rt_loop_at(s->rt, 0), "reload", reload_fiber, s);
}

void lifecycle_install(struct server *s)
{
    rt_on_signal(s->rt, SIGTERM, on_end, s);
    rt_on_signal(s->rt, SIGINT, on_end, s);
    rt_on_signal(s->rt, SIGHUP, on_reload, s);
    signal(SIGPIPE, SIG_IGN); /* a closed socket is an error code, not the end */
}

/* ---- the manager's watchdog: it hears from us only while every loop turns ---- */

static void loop_answers(void *server)
{
    atomic_fetch_add(&((struct server *)server)->watchdog_answers, 1);
}

static void on_watchdog(void *server)
{
    struct server *s = server;
    unsigned loops = rt_loops(s->rt);
    if (atomic_load(&s->watchdog_answers) == loops) {
        notify_send("WATCHDOG=1");
        atomic_store(&s->watchdog_answers, 0);
        for (unsigned i = 0; i < loops; i++) rt_post(rt_loop_at(s->rt, i), &s->watchdog_msg[i]);
    }
    rt_timer_set(&s->watchdog_timer, rt_now() + s->watchdog_ns, on_watchdog, s);
}

void lifecycle_watchdog_start(struct server *s)
{
    unsigned loops = rt_loops(s->rt);
    s->watchdog_ns = notify_watchdog_ns();
    if (s->watchdog_ns == 0) return;
    s->watchdog_msg = calloc(loops, sizeof *s->watchdog_msg);
    if (!s->watchdog_msg) return;
    for (unsigned i = 0; i < loops; i++) s->watchdog_msg[i] = (struct rt_msg){.fn = loop_answers, .arg = s};
    atomic_store(&s->watchdog_answers, loops);
    on_watchdog(s);
}

void lifecycle_free(struct server *s)
{
    free(s->watchdog_msg);
    config_free(s->reloaded);
}
