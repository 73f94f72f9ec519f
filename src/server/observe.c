/* One line and some counters for every request; the metrics page. */
#include "server/server_impl.h"

#include "base/log.h"
#include "sys/sys.h"

#include <sys/resource.h>
#include <unistd.h>

/* ---- the axes of metrics.def ---- */

enum { OPERATION_NONE = API_OPS, OPERATION_INTERNAL, OPERATIONS };

static const char *operation_name(unsigned i)
{
    if (i == OPERATION_NONE) return "None"; /* refused before a row of the table was found */
    return i == OPERATION_INTERNAL ? "Internal" : api_op_name((enum api_op)i);
}

static const short statuses[] = {200, 204, 206, 301, 304, 307, 400, 403, 404, 405, 408, 409, 411,
                                 412, 413, 416, 417, 429, 431, 500, 501, 503, 505, 507, 0};
#define STATUSES (sizeof statuses / sizeof *statuses)

static const char *status_name(unsigned i)
{
    static const char *const names[STATUSES] = {
        "200", "204", "206", "301", "304", "307", "400", "403", "404", "405", "408", "409",  "411",
        "412", "413", "416", "417", "429", "431", "500", "501", "503", "505", "507", "other"};
    return names[i];
}

static unsigned status_index(int status)
{
    unsigned i = 0;
    while (i < STATUSES - 1 && statuses[i] != status) i++;
    return i;
}

static const char *error_name(unsigned i)
{
    return err_name((err)i);
}

static const char *version_name(unsigned i)
{
    (void)i;
    return INGOT_VERSION;
}

static const char *backend;
static const char *backend_name(unsigned i)
{
    (void)i;
    return backend;
}

bool observe_init(struct server *s)
{
    backend = rt_backend_name(s->rt);
    const struct metrics_axis axes[METRICS_AXES] = {
        [AXIS_OPERATION] = {"operation", OPERATIONS, operation_name},
        [AXIS_STATUS] = {"status", STATUSES, status_name},
        [AXIS_ERROR] = {"error", ERR_COUNT, error_name},
        [AXIS_VERSION] = {"version", 1, version_name},
        [AXIS_BACKEND] = {"backend", 1, backend_name},
    };
    s->started_ms = sys->real_ms();
    s->metrics = metrics_new(rt_loops(s->rt), axes);
    s->access = access_log_new(rt_loops(s->rt));
    return s->metrics && s->access;
}

/* ---- a request is over ---- */

static void access_line(struct access_log *log, const struct http_exchange *x, const struct api_request *rq,
                        unsigned operation, int64_t ns)
{
    struct str none = STR("");
    const struct log_field fields[] = {
        LF_S("id", x->id),
        LF_Z("remote", x->peer_text),
        LF_S("method", x->method_name),
        LF_Z("op", operation_name(operation)),
        LF_I("status", x->status),
        LF_U("in", x->bytes_in),
        LF_U("out", x->bytes_out),
        LF_D("ms", (double)(ns / 1000) / 1000),
        /* Of the target at most the path: a query may carry a presigned signature. */
        rq ? LF_S("bucket", rq->bucket) : LF_S("path", x->path),
        LF_S("key", rq ? rq->key : none),
        LF_S("error", rq && rq->failed ? err_s3_code(rq->failed) : none),
        LF_S("who", rq && rq->who ? rq->who->access_key : none),
    };
    size_t n = sizeof fields / sizeof *fields;
    access_log_add(log, fields, rq ? n : n - 3);
}

void observe_done(struct server *s, struct http_exchange *x)
{
    const struct api_request *rq = x->user; /* NULL: refused as a request, or one of our own paths */
    bool internal = str_starts(x->path, STR("/-/"));
    unsigned operation = rq ? (unsigned)rq->op : internal ? OPERATION_INTERNAL : OPERATION_NONE;
    unsigned shard = rt_loop_index(rt_self());
    int64_t ns = rt_now() - x->started_ns;
    metrics_add(s->metrics, shard, METRIC_REQUESTS, operation, status_index(x->status), 1);
    metrics_add(s->metrics, shard, METRIC_RECEIVED, operation, 0, x->bytes_in);
    metrics_add(s->metrics, shard, METRIC_SENT, operation, 0, x->bytes_out);
    metrics_time(s->metrics, shard, METRIC_REQUEST_TIME, operation, ns);
    if (rq && rq->failed) metrics_add(s->metrics, shard, METRIC_ERRORS, (unsigned)rq->failed, 0, 1);
    bool quiet = internal && !rq && x->status < 400; /* probes would drown the rest */
    if (atomic_load_explicit(&s->access_log, memory_order_relaxed) && !quiet && log_enabled(LOG_LEVEL_INFO))
        access_line(s->access, x, rq, operation, ns);
}

/* ---- the page ---- */

struct process_sample {
    uint64_t virtual_bytes, resident_bytes, fds, fds_max, cpu_ns;
};

static bool count_entry(void *count, const char *name)
{
    (void)name;
    ++*(uint64_t *)count;
    return true;
}

static void sample_process(void *arg)
{
    struct process_sample *p = arg;
    struct buf statm;
    buf_init(&statm, 4096);
    if (sys_read_file("/proc/self/statm", 4095, &statm) == ERR_OK) {
        struct str rest = buf_view(&statm);
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), pages;
        if (str_to_u64(str_cut(&rest, ' '), &pages)) p->virtual_bytes = pages * page;
        if (str_to_u64(str_cut(&rest, ' '), &pages)) p->resident_bytes = pages * page;
    }
    buf_free(&statm);
    sys->list("/proc/self/fd", count_entry, &p->fds);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) p->fds_max = files.rlim_cur;
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        p->cpu_ns = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
                    (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

static void add_process(const struct server *s, struct metrics_samples *to)
{
    struct process_sample p = {0};
    rt_work("metrics", sample_process, &p);
    metrics_sample(to, METRIC_READY, health_not_ready(s).p == NULL);
    metrics_sample(to, METRIC_BUILD, 1);
    metrics_sample(to, METRIC_RSS, p.resident_bytes);
    metrics_sample(to, METRIC_VIRTUAL, p.virtual_bytes);
    metrics_sample(to, METRIC_CPU, p.cpu_ns);
    metrics_sample(to, METRIC_FDS, p.fds);
    metrics_sample(to, METRIC_FDS_MAX, p.fds_max);
    metrics_sample(to, METRIC_START, (uint64_t)s->started_ms * 1000000u);
}

static void add_http(const struct server *s, struct metrics_samples *to)
{
    struct http_stats h = {0};
    http_get_stats(s->http, &h);
    metrics_sample(to, METRIC_RUNNING, h.requests_running);
    metrics_sample(to, METRIC_REFUSED, h.requests_refused);
    metrics_sample(to, METRIC_CONNS_OPEN, h.conns_open);
    metrics_sample(to, METRIC_CONNS, h.conns_total);
    metrics_sample(to, METRIC_CONNS_REFUSED, h.conns_refused);
    metrics_sample(to, METRIC_HTTP_MEMORY, h.memory);
}

static void add_runtime(const struct server *s, struct metrics_samples *to)
{
    struct rt_stats r = {0};
    rt_get_stats(s->rt, &r);
    metrics_sample(to, METRIC_FIBERS, r.fibers_live);
    metrics_sample(to, METRIC_FIBERS_PEAK, r.fibers_peak);
    metrics_sample(to, METRIC_FIBERS_STARTED, r.fibers_started);
    metrics_sample(to, METRIC_FIBERS_REFUSED, r.fibers_refused);
    metrics_sample(to, METRIC_LOOP_TURNS, r.iterations);
    metrics_sample(to, METRIC_LOOP_BLOCKED, r.loop_blocked);
    metrics_sample(to, METRIC_WORK_QUEUED, r.work_queued);
    metrics_sample(to, METRIC_WORK_RUNNING, r.work_running);
    metrics_sample(to, METRIC_WORK_DONE, r.work_done);
    metrics_sample(to, METRIC_WORK_PEAK, r.work_queue_peak);
    metrics_sample(to, METRIC_SOCKETS, r.sockets);
}

static void add_commits(const struct engine_stats *e, struct metrics_samples *to)
{
    metrics_sample(to, METRIC_COMMITS, e->commits);
    metrics_sample_powers(to, METRIC_BATCHES, e->batch_hist, e->commits);
    metrics_sample(to, METRIC_COMMIT_TIME, e->commit_ns_sum);
    metrics_sample(to, METRIC_COMMIT_BYTES, e->commit_bytes);
    metrics_sample(to, METRIC_CONFLICTS, e->conflicts);
    metrics_sample(to, METRIC_COMMIT_QUEUE, e->queue_depth);
    metrics_sample(to, METRIC_COMMIT_QUEUE_PEAK, e->queue_peak);
    metrics_sample(to, METRIC_FLUSHES, e->flushes);
    metrics_sample(to, METRIC_SEQUENCE, e->seq);
    metrics_sample(to, METRIC_LOG_BYTES, e->log_bytes);
    metrics_sample(to, METRIC_LOG_SEGMENTS, e->log_segments);
    metrics_sample(to, METRIC_LOG_COLLECTED, e->log_collected);
    metrics_sample(to, METRIC_STALLS, e->write_stalls);
    metrics_sample(to, METRIC_STALL_TIME, e->write_stall_ns);
    metrics_sample(to, METRIC_LOG_WAITS, e->log_waits);
    metrics_sample(to, METRIC_LOG_WAIT_TIME, e->log_wait_ns);
}

static void add_blobs(const struct engine_stats *e, struct metrics_samples *to)
{
    metrics_sample(to, METRIC_EXTENT_FILES, e->extent_files);
    metrics_sample(to, METRIC_EXTENT_BYTES, e->extent_bytes);
    metrics_sample(to, METRIC_LIVE_BYTES, e->live_bytes);
    metrics_sample(to, METRIC_FREED_BYTES, e->freed_bytes);
    metrics_sample(to, METRIC_CACHE_BYTES, e->blob_cache_bytes);
    metrics_sample(to, METRIC_CACHE_HITS, e->blob_cache_hits);
    metrics_sample(to, METRIC_CACHE_MISSES, e->blob_cache_misses);
    metrics_sample(to, METRIC_CORRUPT, e->corrupt_blocks);
    metrics_sample(to, METRIC_IO_ERRORS, e->io_errors);
    metrics_sample(to, METRIC_DISK_TOTAL, e->disk_total);
    metrics_sample(to, METRIC_DISK_AVAIL, e->disk_avail);
}

void observe_page(struct server *s, struct buf *out)
{
    struct metrics_samples samples = {0};
    struct engine_stats e = {0};
    add_process(s, &samples);
    add_http(s, &samples);
    add_runtime(s, &samples);
    if (atomic_load(&s->phase) != SERVER_OPENING && !s->in_memory) {
        engine_get_stats(&s->store, &e);
        metrics_sample(&samples, METRIC_DISK_FULL, engine_state(&s->store) == ENGINE_FULL);
        metrics_sample(&samples, METRIC_STORE_FAILED, engine_state(&s->store) == ENGINE_FAILED);
        add_commits(&e, &samples);
        add_blobs(&e, &samples);
    }
    metrics_render(s->metrics, &samples, out);
}
