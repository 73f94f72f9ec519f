#include "server/server.h"

#include "base/assert.h"
#include "base/log.h"
#include "server/accounts.h"
#include "server/notify.h"
#include "server/server_impl.h"
#include "sys/sys.h"

#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a running request takes outside its arena at most: an object's read-ahead (320 KiB) or its hashes, and
 * the pages of its stack that are in use. Writers of large objects have a ceiling of their own in the store.
 */
#define HANDLER_BYTES ((size_t)384 << 10)

#define FILES_KEPT 512 /* of the limit of open files: for the store, and for connections that are refused */

/* One line for whoever started the server; more may be in the log. */
static bool cannot_start(struct server *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool cannot_start(struct server *s, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "ingot: %s\n", line);
    s->exit_code = SERVER_NO_START;
    return false;
}

/* As many descriptors as may be had; and no more connections than that, for to say 503 takes one. */
static unsigned connections_possible(uint64_t wanted)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return (unsigned)wanted;
    rlim_t had = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) files.rlim_cur = had;
    rlim_t most = files.rlim_cur > 2 * FILES_KEPT ? files.rlim_cur - FILES_KEPT : files.rlim_cur / 2;
    if (wanted <= most) return (unsigned)wanted;
    LOG_WARN("max-connections is lowered to what the limit of open files allows", LF_U("connections", most));
    return (unsigned)most;
}

static struct http_limits limits_of(const struct config *c)
{
    return (struct http_limits){
        .header_bytes = config_u64(c, SET_HEADER_SIZE),
        .header_count = (unsigned)config_u64(c, SET_HEADER_COUNT),
        .max_conns = connections_possible(config_u64(c, SET_MAX_CONNECTIONS)),
        .max_requests = (unsigned)config_u64(c, SET_MAX_REQUESTS),
        .max_memory = config_u64(c, SET_MAX_MEMORY),
        .handler_bytes = HANDLER_BYTES,
        .arena_bytes = config_u64(c, SET_REQUEST_MEMORY),
        .header_ns = config_ns(c, SET_HEADER_TIMEOUT),
        .body_progress_ns = config_ns(c, SET_BODY_TIMEOUT),
        .body_rate = config_u64(c, SET_BODY_MIN_RATE),
        .idle_ns = config_ns(c, SET_IDLE_TIMEOUT),
        .write_ns = config_ns(c, SET_WRITE_TIMEOUT),
    };
}

void server_apply(struct server *s, const struct config *c)
{
    log_setup((enum log_level)config_u64(c, SET_LOG_LEVEL),
              (enum log_format)config_u64(s->config, SET_LOG_FORMAT), -1);
    atomic_store(&s->access_log, config_bool(c, SET_ACCESS_LOG));
    atomic_store(&s->debug_any, config_u64(c, SET_DEBUG_ACCESS) == 1);
    s->drain_ns = config_ns(c, SET_DRAIN_TIME);
    s->drain_delay_ns = config_ns(c, SET_DRAIN_DELAY);
    if (!s->http) return;
    struct http_limits limits = limits_of(c);
    http_server_set_limits(s->http, &limits);
}

/* ---- HTTP's callbacks, on any loop ---- */

static void on_handle(void *server, struct http_exchange *x)
{
    struct server *s = server;
    if (health_serve(s, x)) return;
    if (atomic_load_explicit(&s->phase, memory_order_acquire) == SERVER_OPENING)
        health_unavailable(x, ERR_SERVICE_UNAVAILABLE);
    else
        api_handle(s->api, x);
}

static void on_refuse(void *server, struct http_exchange *x, err e)
{
    struct server *s = server;
    if (atomic_load_explicit(&s->phase, memory_order_acquire) == SERVER_OPENING)
        health_unavailable(x, e);
    else
        api_refuse(s->api, x, e);
}

static void on_done(void *server, struct http_exchange *x)
{
    struct server *s = server;
    observe_done(s, x);
    if (x->user) api_done(s->api, x);
}

/* ---- before the loops run ---- */

static bool make_runtime(struct server *s)
{
    const struct config *c = s->config;
    int64_t watchdog = config_ns(c, SET_WATCHDOG);
    struct rt_options o = {
        .backend = (enum rt_backend)config_u64(c, SET_BACKEND),
        .loops = (unsigned)config_u64(c, SET_LOOPS),
        .workers = (unsigned)config_u64(c, SET_WORKERS),
        .stack_bytes = config_u64(c, SET_STACK_SIZE),
        .max_fibers = (unsigned)config_u64(c, SET_MAX_FIBERS),
        .watchdog_ns = watchdog ? watchdog : -1,
    };
    err e = rt_new(&o, &s->rt);
    if (e)
        return cannot_start(s, "backend: %s does not start here: %s", config_z(c, SET_BACKEND), err_name(e));
    return observe_init(s) || cannot_start(s, "the metrics do not fit into memory");
}

static bool make_tls(struct server *s)
{
    struct http_tls_pair pairs[SERVER_LISTENERS_MAX];
    size_t n;
    const struct str *texts = config_list(s->config, SET_TLS, &n);
    ASSERT(n <= SERVER_LISTENERS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct str key = texts[i];
        struct str cert = str_cut(&key, ':');
        pairs[i] = (struct http_tls_pair){arena_dup(s->arena, cert), key};
    }
    char why[256];
    if (n == 0 || http_tls_new(pairs, n, &s->tls, why) == ERR_OK) return true;
    return cannot_start(s, "tls: %s", why);
}

static bool make_http(struct server *s)
{
    struct http_limits limits = limits_of(s->config);
    struct http_callbacks callbacks = {.handle = on_handle, .refuse = on_refuse, .done = on_done, .arg = s};
    err e = http_server_new(s->rt, &limits, &callbacks, &s->http);
    return e == ERR_OK || cannot_start(s, "the HTTP server does not start: %s", err_name(e));
}

static bool serve_at(struct server *s, struct str text, const struct rt_addr *want, bool tls)
{
    struct rt_addr bound;
    char name[128];
    if (s->nendpoints == SERVER_LISTENERS_MAX)
        return cannot_start(s, "listen: more than %d addresses", SERVER_LISTENERS_MAX);
    if (http_server_listen(s->http, want, tls ? s->tls : NULL, &bound))
        return cannot_start(
            s, "listen: cannot serve on %.*s: it is in use, not allowed, or no address of this machine",
            STR_FMT(text));
    rt_addr_format(&bound, name);
    const char *scheme = bound.ss.ss_family == AF_UNIX ? "" : tls ? "https://" : "http://";
    snprintf(s->endpoint[s->nendpoints++], sizeof s->endpoint[0], "%s%s", scheme, name);
    return true;
}

static bool listen_at(struct server *s, struct str text)
{
    bool tls = str_starts(text, STR("https://"));
    struct str address = tls                                ? str_slice(text, 8, text.n)
                         : str_starts(text, STR("http://")) ? str_slice(text, 7, text.n)
                                                            : text;
    struct rt_addr found[RT_ADDRS_MAX];
    unsigned n;
    if (rt_addr_resolve(address, found, &n)) {
        cannot_start(s,
                     "listen: '%.*s' names no address of this machine; allowed: a name that can be looked up",
                     STR_FMT(text));
        s->exit_code = SERVER_BAD_SETTING;
        return false;
    }
    for (unsigned i = 0; i < n; i++)
        if (!serve_at(s, text, &found[i], tls)) return false;
    return true;
}

static bool make_listeners(struct server *s)
{
    size_t n;
    const struct str *addresses = config_list(s->config, SET_LISTEN, &n);
    for (size_t i = 0; i < n; i++)
        if (!listen_at(s, addresses[i])) return false;
    return true;
}

/* ---- on the running loops: the store and what stands on it ---- */

static void report_progress(void *arg, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
    int64_t *next = arg; /* a line a second at most */
    if (rt_now() < *next) return;
    *next = rt_now() + RT_SEC;
    LOG_INFO("opening the store", LF_Z("phase", phase), LF_U("done", done), LF_U("total", total),
             LF_Z("unit", unit));
}

static bool open_store(struct server *s)
{
    const struct config *c = s->config;
    char why[512] = "";
    int64_t next_report = rt_now() + RT_SEC;
    struct engine_options o = {
        .dir = config_z(c, SET_DATA),
        .index_cache = config_u64(c, SET_INDEX_CACHE),
        .blob_cache = config_u64(c, SET_BLOB_CACHE),
        .inline_max = config_u64(c, SET_INLINE_MAX),
        .log_bytes = config_u64(c, SET_LOG_SIZE),
        .segment_bytes = config_u64(c, SET_LOG_SEGMENT_SIZE),
        .archive_bytes = config_u64(c, SET_ARCHIVE_SIZE),
        .index_buffer = config_u64(c, SET_INDEX_BUFFER),
        .progress = {report_progress, &next_report},
    };
    s->in_memory = config_u64(c, SET_STORE) == 1;
    err e = s->in_memory ? store_memory_new(&s->store, 0) : engine_open(&o, &s->store, why);
    if (e) return cannot_start(s, "%s", why[0] ? why : err_name(e));
    s->store_open = true;
    return true;
}

struct identities {
    struct server *s;
    struct accounts accounts;
    char why[CREDENTIALS_WHY];
    err e;
};

/* On a worker: reads and perhaps writes files. */
static void find_identities(void *arg)
{
    struct identities *i = arg;
    struct server *s = i->s;
    i->e = credentials_get(s->config, true, !s->in_memory, &s->root, i->why);
    if (!i->e) i->e = accounts_load(s->config, &s->root, s->arena, &i->accounts, i->why);
}

static bool make_auth(struct server *s)
{
    struct identities *i = ARENA_NEW(s->arena, struct identities);
    if (!i) return cannot_start(s, "%s", err_name(ERR_NO_MEMORY));
    i->s = s;
    rt_work("identities", find_identities, i);
    if (i->e) return cannot_start(s, "%s", i->why);
    struct auth_options o = {
        .keys = i->accounts.key, .nkeys = i->accounts.n, .region = config_str(s->config, SET_REGION)};
    err e = auth_new(&o, &s->auth);
    return e == ERR_OK || cannot_start(s, "the credentials cannot be used: %s", err_name(e));
}

static bool make_api(struct server *s)
{
    struct objects_options oo = {.store = &s->store,
                                 .min_part_size = config_u64(s->config, SET_MIN_PART_SIZE)};
    err e = objects_new(&oo, &s->objects);
    if (e) return cannot_start(s, "the store cannot be read: %s", err_name(e));
    objects_start(s->objects);
    struct api_options o = {
        .rt = s->rt, .objects = s->objects, .auth = s->auth, .region = config_str(s->config, SET_REGION)};
    o.domains = config_list(s->config, SET_DOMAIN, &o.ndomains);
    e = api_new(&o, &s->api);
    return e == ERR_OK || cannot_start(s, "the API does not start: %s", err_name(e));
}

/* ---- ready ---- */

static void write_ready_file(void *server)
{
    struct server *s = server;
    struct buf text;
    buf_init(&text, 1u << 16);
    for (size_t i = 0; i < s->nendpoints; i++) buf_fmt(&text, "%s\n", s->endpoint[i]);
    if (sys_replace_file(config_z(s->config, SET_READY_FILE), buf_view(&text), 0644) != ERR_OK)
        LOG_WARN("the ready file cannot be written", LF_S("path", config_str(s->config, SET_READY_FILE)));
    buf_free(&text);
}

/* The first one that a client can be given: none speaks to a Unix socket. */
static const char *paste_endpoint(const struct server *s)
{
    for (size_t i = 0; i < s->nendpoints; i++)
        if (str_starts(str_c(s->endpoint[i]), STR("http"))) return s->endpoint[i];
    return NULL;
}

/* Whether standard output goes to the journal, which many may read. */
static bool output_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char mine[64];
    if (!stream || fstat(STDOUT_FILENO, &st) != 0) return false;
    snprintf(mine, sizeof mine, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    return strcmp(mine, stream) == 0;
}

static void print_banner(const struct server *s)
{
    struct buf out;
    buf_init(&out, 1u << 16);
    buf_fmt(&out, "Ingot %s serves %s on", INGOT_VERSION,
            s->in_memory ? "memory (all is lost at exit)" : config_z(s->config, SET_DATA));
    for (size_t i = 0; i < s->nendpoints; i++) buf_fmt(&out, "%s %s", i ? "," : "", s->endpoint[i]);
    buf_char(&out, '\n');
    if (s->root.created && output_is_journal()) {
        buf_fmt(&out, "Root credentials were made; `ingot keys --data %s --show` prints them.\n",
                config_z(s->config, SET_DATA));
    } else if (s->root.created) {
        buf_fmt(&out, "\nRoot credentials, made now and shown this once%s%s:\n",
                s->in_memory ? "" : "; they are kept in ", s->in_memory ? "" : s->root.path);
        buf_fmt(&out, "  access key  %s\n  secret key  %s\n\n", s->root.access_key, s->root.secret_key);
        const char *endpoint = paste_endpoint(s);
        if (endpoint)
            credentials_paste_lines(&s->root, str_c(endpoint), config_str(s->config, SET_REGION), &out);
    }
    fwrite(out.p, 1, out.n, stdout);
    fflush(stdout);
    if (out.p) explicit_bzero(out.p, out.cap);
    buf_free(&out);
}

static void be_ready(struct server *s)
{
    atomic_store_explicit(&s->phase, SERVER_READY, memory_order_release);
    print_banner(s);
    credentials_wipe(&s->root);
    if (*config_z(s->config, SET_READY_FILE)) rt_work("ready file", write_ready_file, s);
    for (size_t i = 0; i < s->nendpoints; i++)
        LOG_INFO("serving", LF_Z("url", s->endpoint[i]), LF_Z("backend", rt_backend_name(s->rt)));
    notify_send("READY=1\nSTATUS=serving");
    lifecycle_watchdog_start(s);
}

static void start_fiber(void *server)
{
    struct server *s = server;
    if (open_store(s) && make_auth(s) && make_api(s)) {
        be_ready(s);
        lifecycle_started(s);
    } else {
        rt_stop(s->rt);
    }
}

/* ---- the whole ---- */

static bool prepare(struct server *s)
{
    if (!make_runtime(s) || !make_tls(s) || !make_http(s)) return false;
    lifecycle_install(s);
    if (!make_listeners(s)) return false;
    return rt_spawn(rt_loop_at(s->rt, 0), "start", start_fiber, s) ||
           cannot_start(s, "the first fiber does not start");
}

static void tear_down(struct server *s)
{
    if (*config_z(s->config, SET_READY_FILE)) sys->unlink(config_z(s->config, SET_READY_FILE));
    http_server_free(s->http);
    api_free(s->api);
    auth_free(s->auth);
    objects_free(s->objects);
    if (s->store_open && s->in_memory) store_memory_free(&s->store);
    if (s->store_open && !s->in_memory) engine_close(&s->store);
    http_tls_free(s->tls);
    metrics_free(s->metrics);
    access_log_free(s->access);
    rt_free(s->rt);
    lifecycle_free(s);
    credentials_wipe(&s->root);
    arena_free(s->arena);
}

int server_run(const struct config *c, const struct config_args *args)
{
    struct server s = {.config = c, .args = args, .arena = arena_new(8u << 20)};
    if (!s.arena) return cannot_start(&s, "%s", err_name(ERR_NO_MEMORY)), SERVER_NO_START;
    memory_setup();
    server_apply(&s, c);
    if (prepare(&s)) rt_run(s.rt);
    int code = s.exit_code;
    tear_down(&s);
    return code;
}
