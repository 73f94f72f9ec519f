/* The watchdog: a thread that sees which loop stays in one iteration, and says where it stands.
 *
 * A loop counts `beat` up before and after each wait, so an odd beat that does not change is one long
 * iteration. What counts is the time that it computed or was blocked; the time that it was ready to run and
 * other threads had the cores is the machine's, and is taken off. The kernel adds a wait for a core when it
 * is over, so the thread itself says how late it is, in a handler of a real-time signal, together with its
 * stack, into memory that is there already; names are looked up here.
 *
 * The thread looks a few times in `limit`, and is itself late on a busy machine. With a limit below CLOSE a
 * loop therefore also measures what each iteration computed, so that none over the limit is missed, and has a
 * timer on its own computing that takes the stack, and counts how often it sleeps ("sleeps": 0 in a report
 * tells that nothing was waited for; -1: not counted). That costs four system calls an iteration: it is for
 * tests.
 */
#include "base/log.h"
#include "rt/rt_int.h"
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { TRACE_NONE, TRACE_WANTED, TRACE_TAKEN };
enum { HANDLER_FRAMES = 2 }; /* the handler and the kernel's return from it */
#define CLOSE (100 * RT_MS)

struct seen {
    uint64_t beat;
    int64_t since;  /* when this beat was first seen */
    int64_t queued; /* what the thread had waited for a core until then */
    int64_t ran;    /* … and had one */
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

static int64_t now_on(clockid_t clock)
{
    struct timespec ts;
    return clock_gettime(clock, &ts) == 0 ? ts.tv_sec * RT_SEC + ts.tv_nsec : 0;
}

static int64_t real_now(void)
{
    return now_on(CLOCK_MONOTONIC);
}

/* How often this thread gave up its core to wait for something, ever: a lock, a device, a page. When it lost
 * the core, or the host took that away, it did not. */
static int64_t sleeps(void)
{
    struct rusage u;
    return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_nvcsw : 0;
}

/* The second of the numbers in a file like /proc/thread-self/schedstat: how long the thread was ready to run
 * and had no core, ever, in ns. 0 where the kernel does not say. Also in a signal handler. */
static int64_t queued_in(const char *path)
{
    char text[96];
    int64_t queued = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text), i = 0;
    close(fd);
    while (i < n && text[i] != ' ') i++;
    for (i++; i < n && text[i] >= '0' && text[i] <= '9'; i++) queued = 10 * queued + (text[i] - '0');
    return queued;
}

static void take_trace(struct rt_loop *l)
{
    l->trace_at = real_now(); /* first: waits from here on only make the rest smaller */
    l->trace_ran = now_on(CLOCK_THREAD_CPUTIME_ID);
    l->trace_queued = queued_in("/proc/thread-self/schedstat");
    l->trace_slept = sleeps() - l->turn_slept;
    l->trace_beat = STAT_GET(l->beat);
    l->trace_n = backtrace(l->trace, TRACE_DEPTH);
    l->trace_fiber = l->current ? l->current->name : NULL;
    __atomic_store_n(&l->trace_wanted, TRACE_TAKEN, __ATOMIC_RELEASE);
}

static void take_late(struct rt_loop *l)
{
    struct late *t = &l->late;
    if (__atomic_load_n(&t->told, __ATOMIC_ACQUIRE)) return;
    t->beat = l->beat;
    t->n = backtrace(t->trace, TRACE_DEPTH);
    t->fiber = l->current ? l->current->name : NULL;
}

/* From the thread, which asks, or from the loop's own timer. */
static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    int saved = errno;
    struct rt_loop *l = tl_loop;
    if (l && info->si_code == SI_TIMER)
        take_late(l);
    else if (l && __atomic_load_n(&l->trace_wanted, __ATOMIC_ACQUIRE) == TRACE_WANTED)
        take_trace(l);
    errno = saved;
}

static int64_t queued_of(struct rt_loop *l)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", STAT_GET(l->tid));
    return queued_in(path);
}

static int64_t ran_of(struct rt_loop *l)
{
    clockid_t clock;
    return pthread_getcpuclockid(l->thread, &clock) == 0 ? now_on(clock) : 0;
}

/* Is the thread ready to run, or running? */
static bool is_ready(struct rt_loop *l)
{
    char path[64], text[96] = {0};
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", STAT_GET(l->tid));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *name_end = n > 0 ? strrchr(text, ')') : NULL;
    return name_end && name_end[1] == ' ' && name_end[2] == 'R';
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

static void stack_of(void *const *trace, int n, struct buf *out)
{
    buf_init(out, 16384);
    int skip = n > HANDLER_FRAMES ? HANDLER_FRAMES : 0;
    if (n > 0)
        symbols_format(trace + skip, n - skip, out);
    else
        buf_cstr(out, "not taken");
}

static void report(struct rt_loop *l, uint64_t turn, int64_t ns, int64_t computed, bool traced)
{
    struct buf stack;
    int64_t slept = !watchdog_close(l->rt) ? -1
                    : traced               ? l->trace_slept
                                           : 1; /* it sleeps, if it is silent */
    const char *fiber = traced ? l->trace_fiber : __atomic_load_n(&l->current_name, __ATOMIC_RELAXED);
    SHARED_ADD(l->rt->blocked, 1);
    stack_of(l->trace, traced ? l->trace_n : 0, &stack);
    LOG_WARN("loop blocked", LF_U("loop", l->index), LF_U("turn", turn),
             LF_Z("fiber", fiber ? fiber : "none"), LF_I("ms", ns / RT_MS),
             LF_I("computing-ms", computed / RT_MS), LF_I("sleeps", slept), LF_S("stack", buf_view(&stack)));
    buf_free(&stack);
}

static void report_late(struct rt_loop *l)
{
    struct late *t = &l->late;
    struct buf stack;
    stack_of(t->trace, t->n, &stack);
    LOG_WARN("loop computed for long", LF_U("loop", l->index), LF_U("turn", t->beat),
             LF_Z("fiber", t->fiber ? t->fiber : "none"), LF_I("ms", t->took / RT_MS),
             LF_I("computing-ms", t->computed / RT_MS), LF_S("stack", buf_view(&stack)));
    buf_free(&stack);
    __atomic_store_n(&t->told, 0, __ATOMIC_RELEASE);
}

/* A thread that does not answer and is ready all the while has no core: it is asked again at the next look.
 */
static void suspect(struct rt_loop *l, struct seen *s, int64_t limit)
{
    bool traced = ask_trace(l);
    int64_t ns = 0, ran = traced ? l->trace_ran : ran_of(l);
    if (traced)
        ns = l->trace_at - s->since - (l->trace_queued - s->queued);
    else if (!is_ready(l))
        ns = real_now() - s->since - (queued_of(l) - s->queued);
    s->reported = ns >= limit && (traced ? l->trace_beat : STAT_GET(l->beat)) == s->beat;
    if (s->reported) report(l, s->beat, ns, ran - s->ran, traced);
    __atomic_store_n(&l->trace_wanted, TRACE_NONE, __ATOMIC_RELEASE);
}

/* ---- on the loop ---- */

bool watchdog_close(const struct rt *r)
{
    return r->o.watchdog_ns > 0 && r->o.watchdog_ns < CLOSE;
}

static void arm(struct rt_loop *l)
{
    struct late *t = &l->late;
    if (!t->armed) {
        struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = trace_signal()};
        ev.sigev_notify_thread_id = l->tid;
        t->armed = timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &t->timer) == 0;
    }
    int64_t ns = l->rt->o.watchdog_ns;
    struct itimerspec in = {.it_value = {ns / RT_SEC, ns % RT_SEC}};
    if (t->armed) timer_settime(t->timer, 0, &in, NULL);
}

void watchdog_turn_begins(struct rt_loop *l)
{
    arm(l);
    l->turn_ran = now_on(CLOCK_THREAD_CPUTIME_ID);
    l->turn_slept = sleeps();
}

/* Names are looked up by the thread: here it would make the turn longer. */
void watchdog_turn_ends(struct rt_loop *l)
{
    struct late *t = &l->late;
    int64_t took = real_now() - l->now;
    if (took < l->rt->o.watchdog_ns) return;
    int64_t computed = now_on(CLOCK_THREAD_CPUTIME_ID) - l->turn_ran;
    if (computed < l->rt->o.watchdog_ns) return;
    if (__atomic_load_n(&t->told, __ATOMIC_ACQUIRE)) { /* not yet through with the one before */
        LOG_WARN("loop computed for long", LF_U("loop", l->index), LF_U("turn", l->beat),
                 LF_Z("fiber", "unknown"), LF_I("ms", took / RT_MS), LF_I("computing-ms", computed / RT_MS),
                 LF_Z("stack", "not taken"));
        return;
    }
    if (t->beat != l->beat) { /* the timer's tick has not come */
        t->n = 0;
        t->fiber = NULL;
        t->beat = l->beat;
    }
    t->took = took;
    t->computed = computed;
    __atomic_store_n(&t->told, 1, __ATOMIC_RELEASE);
}

void watchdog_last_turn(struct rt_loop *l)
{
    if (l->late.armed) timer_delete(l->late.timer);
    l->late.armed = false;
}

/* ---- the thread ---- */

static void look(struct watchdog *w, struct rt_loop *l)
{
    struct seen *s = &w->seen[l->index];
    uint64_t beat = STAT_GET(l->beat);
    if (__atomic_load_n(&l->late.told, __ATOMIC_ACQUIRE)) report_late(l);
    if (beat != s->beat) {
        if (s->reported)
            LOG_WARN("loop goes on", LF_U("loop", l->index), LF_I("ms", (real_now() - s->since) / RT_MS));
        *s = (struct seen){.beat = beat};
        if (beat % 2 == 1) {
            s->queued = queued_of(l);
            s->ran = ran_of(l);
        }
        s->since = real_now();
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
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO};
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
