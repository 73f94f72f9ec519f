/* The watchdog: a thread that sees which loop stays in one iteration, and says where it stands.
 *
 * A loop counts `beat` up before and after each wait, so an odd beat that does not change is one long
 * iteration. The stack is taken by the loop's own thread in a handler of a real-time signal, into memory that
 * is there already; names are looked up here.
 */
#include "base/log.h"
#include "rt/rt_int.h"
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { TRACE_NONE, TRACE_WANTED, TRACE_TAKEN };
enum { HANDLER_FRAMES = 2 }; /* the handler and the kernel's return from it */

struct seen {
    uint64_t beat;
    int64_t since;  /* when this beat was first seen */
    int64_t queued; /* what the thread had waited for a core until then */
    bool reported;
};

struct watchdog {
    struct rt *rt;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    bool ending;
    int64_t limit;
    struct seen seen[];
};

static int trace_signal(void)
{
    return SIGRTMIN + 5;
}

static void take_trace(int signo)
{
    (void)signo;
    int saved = errno;
    struct rt_loop *l = tl_loop;
    if (l && __atomic_load_n(&l->trace_wanted, __ATOMIC_ACQUIRE) == TRACE_WANTED) {
        l->trace_n = backtrace(l->trace, TRACE_DEPTH);
        l->trace_fiber = l->current ? l->current->name : NULL;
        __atomic_store_n(&l->trace_wanted, TRACE_TAKEN, __ATOMIC_RELEASE);
    }
    errno = saved;
}

static int64_t real_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * RT_SEC + ts.tv_nsec;
}

/* How long the loop's thread was ready to run and had no core, ever; 0 where the kernel does not say. */
static int64_t queued_of(struct rt_loop *l)
{
    char path[64], text[96] = {0};
    unsigned long long ran, queued;
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", STAT_GET(l->tid));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 && sscanf(text, "%llu %llu", &ran, &queued) == 2 ? (int64_t)queued : 0;
}

/* Ask the loop's thread; it may be in the kernel, without a chance to answer. */
static bool ask_trace(struct rt_loop *l)
{
    __atomic_store_n(&l->trace_wanted, TRACE_WANTED, __ATOMIC_RELEASE);
    if (pthread_kill(l->thread, trace_signal()) != 0) return false;
    for (int i = 0; i < 200; i++) {
        if (__atomic_load_n(&l->trace_wanted, __ATOMIC_ACQUIRE) == TRACE_TAKEN) return true;
        nanosleep(&(struct timespec){0, RT_MS}, NULL);
    }
    return false;
}

static int64_t blocked_for(struct rt_loop *l, const struct seen *s)
{
    int64_t now = real_now(); /* first: we may be the one who waits for a core here */
    return now - s->since - (queued_of(l) - s->queued);
}

static void report(struct rt_loop *l, int64_t ns, bool traced)
{
    struct buf stack;
    const char *fiber = traced ? l->trace_fiber : __atomic_load_n(&l->current_name, __ATOMIC_RELAXED);
    SHARED_ADD(l->rt->blocked, 1);
    buf_init(&stack, 16384);
    if (traced) {
        int skip = l->trace_n > HANDLER_FRAMES ? HANDLER_FRAMES : 0;
        symbols_format(l->trace + skip, l->trace_n - skip, &stack);
    } else {
        buf_cstr(&stack, "the thread did not answer");
    }
    LOG_WARN("loop blocked", LF_U("loop", l->index), LF_Z("fiber", fiber ? fiber : "none"),
             LF_I("ms", ns / RT_MS), LF_S("stack", buf_view(&stack)));
    buf_free(&stack);
}

/* The kernel counts a wait for a core when it is over: so the thread is asked first, and what it waited for
 * is looked at once it has answered. */
static void suspect(struct rt_loop *l, struct seen *s, int64_t limit)
{
    if (blocked_for(l, s) < limit) return;
    bool traced = ask_trace(l);
    int64_t ns = blocked_for(l, s);
    s->reported = ns >= limit;
    if (s->reported) report(l, ns, traced);
    __atomic_store_n(&l->trace_wanted, TRACE_NONE, __ATOMIC_RELEASE);
}

static void look(struct watchdog *w, struct rt_loop *l)
{
    struct seen *s = &w->seen[l->index];
    uint64_t beat = STAT_GET(l->beat);
    if (beat != s->beat) {
        if (s->reported)
            LOG_WARN("loop goes on", LF_U("loop", l->index), LF_I("ms", (real_now() - s->since) / RT_MS));
        int64_t queued = beat % 2 ? queued_of(l) : 0;
        *s = (struct seen){beat, real_now(), queued, false};
    } else if (beat % 2 == 1 && !s->reported && real_now() - s->since >= w->limit) {
        suspect(l, s, w->limit);
    }
}

static void *watchdog_main(void *arg)
{
    struct watchdog *w = arg;
    int64_t step = w->limit / 4 < RT_MS ? RT_MS : w->limit / 4;
    pthread_mutex_lock(&w->lock);
    while (!w->ending) {
        int64_t until = real_now() + step;
        struct timespec ts = {until / RT_SEC, until % RT_SEC};
        pthread_cond_timedwait(&w->end, &w->lock, &ts);
        for (unsigned i = 0; i < w->rt->nloops && !w->ending; i++) look(w, w->rt->loops[i]);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* After the loops' threads are known. Without a watchdog the server runs as well: failing is only logged. */
void watchdog_start(struct rt *r)
{
    if (r->o.watchdog_ns < 0) return;
    struct watchdog *w = calloc(1, sizeof *w + r->nloops * sizeof w->seen[0]);
    if (!w) return;
    void *first[4];
    backtrace(first, 4); /* loads what it needs now, not in the handler */
    struct sigaction sa = {.sa_handler = take_trace, .sa_flags = SA_RESTART};
    sigaction(trace_signal(), &sa, NULL);
    w->rt = r;
    w->limit = r->o.watchdog_ns;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->end, &attr);
    pthread_condattr_destroy(&attr);
    if (thread_start(&w->thread, watchdog_main, w)) {
        r->watchdog = w;
    } else {
        LOG_WARN("no watchdog: cannot start its thread");
        free(w);
    }
}

/* Before the loops' threads are joined: it signals them. */
void watchdog_stop(struct rt *r)
{
    struct watchdog *w = r->watchdog;
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_signal(&w->end);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->end);
    pthread_mutex_destroy(&w->lock);
    free(w);
    r->watchdog = NULL;
}
