/* The runtime as a whole: make, run, stop, count. */
#include "rt/sim_int.h"
#include "base/log.h"
#include <errno.h>
#include <unistd.h>

struct rt *the_rt;

int64_t rt_now(void)
{
    return (int64_t)sys->mono_ns();
}
unsigned rt_loops(const struct rt *r)
{
    return r->nloops;
}
const char *rt_backend_name(const struct rt *r)
{
    return r->backend->name;
}

struct rt_loop *rt_loop_at(struct rt *r, unsigned i)
{
    ASSERT(i < r->nloops);
    return r->loops[i];
}

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

/* Each stack takes two mappings; leave half of what the kernel allows to everybody else. */
static unsigned max_stacks(void)
{
    struct buf b;
    uint64_t maps = 65530;
    buf_init(&b, 64);
    if (sys_real.name && sys_read_file("/proc/sys/vm/max_map_count", 64, &b) == ERR_OK)
        str_to_u64(str_slice(buf_view(&b), 0, b.n - 1), &maps);
    buf_free(&b);
    return maps / 4 > UINT32_MAX ? UINT32_MAX : (unsigned)(maps / 4);
}

static void fill_options(struct rt_options *o)
{
    if (o->loops == 0) o->loops = cores();
    if (o->workers == 0) o->workers = 2 * cores() < 4 ? 4 : 2 * cores();
    if (o->stack_bytes == 0) o->stack_bytes = STACK_DEFAULT;
#if defined(RT_ASAN) || defined(RT_TSAN)
    o->stack_bytes *= 4; /* instrumented frames are larger */
#endif
    if (o->max_fibers == 0) o->max_fibers = 8192;
    if (o->max_fibers > max_stacks()) {
        LOG_WARN("fewer fibers than asked for: vm.max_map_count is too small", LF_U("fibers", max_stacks()));
        o->max_fibers = max_stacks();
    }
    if (o->watchdog_ns == 0) o->watchdog_ns = RT_SEC;
    if (o->backend != RT_SIM) return;
    o->loops = 1;
    o->watchdog_ns = -1;
}

/* NULL: the backend that was asked for is not to be had. */
static const struct backend *choose_backend(enum rt_backend want)
{
    if (want == RT_SIM) return &backend_sim;
    if (want == RT_EPOLL) return &backend_epoll;
    const char *why = uring_missing();
    if (!why) return &backend_uring; /* docs/decisions/0001-event-loop.md says why it comes first */
    if (want == RT_AUTO) {
        LOG_WARN("io_uring is not available; epoll serves", LF_Z("reason", why));
        return &backend_epoll;
    }
    LOG_ERROR("io_uring is not available", LF_Z("reason", why));
    return NULL;
}

err rt_new(const struct rt_options *o, struct rt **out)
{
    ASSERT(the_rt == NULL);
    *out = NULL;
    struct rt *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    r->magic = RT_MAGIC;
    r->o = *o;
    r->signal_source.fd = -1;
    list_init(&r->listeners);
    fill_options(&r->o);
    r->backend = choose_backend(o->backend);
    r->sim = r->backend == &backend_sim;
    if (r->sim) sim_start(r);
    r->loops = calloc(r->o.loops, sizeof *r->loops);
    err e = !r->backend ? ERR_INVALID_SETTING : r->loops ? ERR_OK : ERR_NO_MEMORY;
    while (e == ERR_OK && r->nloops < r->o.loops) {
        r->loops[r->nloops] = loop_new(r, r->nloops);
        if (r->loops[r->nloops])
            r->nloops++;
        else
            e = ERR_NO_MEMORY;
    }
    if (e == ERR_OK && !r->sim) e = work_new(r);
    if (e != ERR_OK) {
        rt_free(r);
        return e;
    }
    signal(SIGPIPE, SIG_IGN); /* a pipe or socket that its reader closed is an error code */
    the_rt = *out = r;
    return ERR_OK;
}

void rt_free(struct rt *r)
{
    if (!r) return;
    CHECK_MAGIC(r, RT_MAGIC);
    ASSERT(!r->running);
    if (r->work) {
        work_finish(r);
        work_free(r);
    }
    if (r->sim) sim_work_reset(); /* jobs live on stacks */
    for (unsigned i = 0; i < r->nloops; i++) loop_free(r->loops[i]);
    listeners_free(r);
    if (r->sim) sim_stop();
    while (r->nspare > 0) stack_free(r->spare[--r->nspare]);
    free(r->loops);
    r->magic = 0;
    free(r);
    the_rt = NULL;
}

static void *loop_thread(void *arg)
{
    loop_run(arg);
    return NULL;
}

void rt_run(struct rt *r)
{
    CHECK_MAGIC(r, RT_MAGIC);
    __atomic_store_n(&r->running, 1, __ATOMIC_RELEASE);
    r->loops[0]->thread = pthread_self();
    if (!r->sim && signals_start(r) != ERR_OK) LOG_ERROR("cannot watch for signals");
    for (unsigned i = 1; i < r->nloops; i++) {
        struct rt_loop *l = r->loops[i];
        l->threaded = pthread_create(&l->thread, NULL, loop_thread, l) == 0;
        ASSERT(l->threaded);
    }
    watchdog_start(r);
    loop_run(r->loops[0]);
    watchdog_stop(r);
    for (unsigned i = 1; i < r->nloops; i++) pthread_join(r->loops[i]->thread, NULL);
    if (r->work)
        work_finish(r); /* what was handed to workers is done before the caller frees what it works on */
    signals_stop(r);
    __atomic_store_n(&r->running, 0, __ATOMIC_RELEASE);
}

void rt_stop(struct rt *r)
{
    CHECK_MAGIC(r, RT_MAGIC);
    __atomic_store_n(&r->stopping, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < r->nloops; i++) loop_kick(r->loops[i]);
}

void rt_get_stats(struct rt *r, struct rt_stats *out)
{
    CHECK_MAGIC(r, RT_MAGIC);
    *out = (struct rt_stats){0};
    out->fibers_live = STAT_GET(r->live);
    out->fibers_peak = STAT_GET(r->peak);
    out->fibers_refused = STAT_GET(r->refused);
    out->loop_blocked = STAT_GET(r->blocked);
    out->wakes = STAT_GET(r->remote_wakes);
    for (unsigned i = 0; i < r->nloops; i++) {
        struct rt_loop *l = r->loops[i];
        out->fibers_started += STAT_GET(l->started);
        out->iterations += STAT_GET(l->iterations);
        out->posts += STAT_GET(l->posts);
        out->wakes += STAT_GET(l->wakes);
        out->timers += STAT_GET(l->timers_fired);
        out->sockets += STAT_GET(l->nsocks);
    }
    work_stats(r, out);
}
