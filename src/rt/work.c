/* Workers: threads that run what blocks. Started as load asks for them, up to options.workers; the first at
 * rt_new, so that there is always one. A fiber's job lives on its stack (fibers are bounded); fire-and-forget
 * jobs are allocated and bounded by WORK_QUEUE_MAX. Jobs run in the order they came.
 * Long jobs have threads of their own, so that nothing short waits behind them.
 *
 * A loop hands a job over without a lock, for whoever holds one may have lost its core: it pushes the job and
 * posts a token; a worker with a token finds a job. Workers start each other: one that takes a job leaves
 * another that waits.
 */
#include "rt/sim_int.h"
#include <errno.h>
#include <semaphore.h>

struct work {
    struct work *next;
    const char *name;
    void (*fn)(void *);
    void *arg;
    struct rt_waiter *waiter; /* NULL: fire and forget, free the job */
};

#define LONG_WORKERS 3u /* the log's collection, compaction after deletions, freeing of extents */
#define UNUSED_MAX   4096u

struct work_pool {
    struct work *inbox; /* (any, atomic) newest first */
    struct work
        *unused;      /* (any, atomic) records of fire-and-forget jobs, UNUSED_MAX and one a worker at most */
    uint64_t nunused; /* (any, atomic) */
    int popping;      /* (any, atomic) who set it may take from `unused` */
    sem_t tokens;     /* one a job; at the end one a worker */
    int ending;       /* (any, atomic) set under the lock */
    uint64_t queued, async_queued, running, done, peak; /* (any, atomic) */
    uint64_t busy;                                      /* (any, atomic) workers that have a token */
    pthread_mutex_t lock;                               /* of workers alone: */
    struct work *head;                                  /* taken from the inbox, oldest first */
    pthread_t *threads;
    unsigned nthreads, max;
};

static void push(struct work **stack, struct work *w)
{
    w->next = __atomic_load_n(stack, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(stack, &w->next, w, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

/* One takes at a time, so what it found on top stays there or gets something above it. NULL: nothing there,
 * or another takes. */
static struct work *pop_unused(struct work_pool *p)
{
    if (__atomic_exchange_n(&p->popping, 1, __ATOMIC_ACQUIRE)) return NULL;
    struct work *w = __atomic_load_n(&p->unused, __ATOMIC_ACQUIRE);
    while (w &&
           !__atomic_compare_exchange_n(&p->unused, &w, w->next, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
    }
    __atomic_store_n(&p->popping, 0, __ATOMIC_RELEASE);
    if (w) SHARED_ADD(p->nunused, -1);
    return w;
}

static void put_unused(struct work_pool *p, struct work *w)
{
    if (STAT_GET(p->nunused) >= UNUSED_MAX) {
        free(w);
        return;
    }
    SHARED_ADD(p->nunused, 1); /* before: it is never below what is there */
    push(&p->unused, w);
}

/* ---- workers ---- */

static void run_one(struct work_pool *p, struct work *w)
{
    bool async = !w->waiter;
    SHARED_ADD(p->queued, -1);
    if (async) SHARED_ADD(p->async_queued, -1);
    SHARED_ADD(p->running, 1);
    w->fn(w->arg);
    SHARED_ADD(p->running, -1);
    SHARED_ADD(p->done, 1);
    if (async)
        put_unused(p, w);
    else
        rt_wake(w->waiter); /* w is on that fiber's stack: gone now */
}

bool thread_start(pthread_t *t, void *(*fn)(void *), void *arg)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool ok = pthread_create(t, NULL, fn, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

static void *worker_main(void *pool);

static bool start_worker(struct work_pool *p)
{
    if (!thread_start(&p->threads[p->nthreads], worker_main, p)) return false;
    p->nthreads++;
    return true;
}

/* Under the lock. NULL: a token of the end. */
static struct work *next_job(struct work_pool *p)
{
    if (!p->head) {
        struct work *w = __atomic_exchange_n(&p->inbox, NULL, __ATOMIC_ACQUIRE);
        while (w) {
            struct work *older = w->next;
            w->next = p->head;
            p->head = w;
            w = older;
        }
    }
    struct work *w = p->head;
    if (w) p->head = w->next;
    return w;
}

static void *worker_main(void *pool)
{
    struct work_pool *p = pool;
    for (;;) {
        while (sem_wait(&p->tokens) != 0) ASSERT(errno == EINTR);
        uint64_t busy = SHARED_ADD(p->busy, 1);
        pthread_mutex_lock(&p->lock);
        struct work *w = next_job(p);
        if (w && busy >= p->nthreads && p->nthreads < p->max && !STAT_GET(p->ending)) start_worker(p);
        pthread_mutex_unlock(&p->lock);
        if (!w) return NULL;
        run_one(p, w);
        SHARED_ADD(p->busy, -1);
    }
}

/* ---- life ---- */

static struct work_pool *pool_new(unsigned max)
{
    struct work_pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->max = max;
    p->threads = calloc(p->max, sizeof *p->threads);
    pthread_mutex_init(&p->lock, NULL);
    sem_init(&p->tokens, 0, 0);
    return p;
}

err work_new(struct rt *r)
{
    r->work = pool_new(r->o.workers);
    r->long_work = pool_new(LONG_WORKERS);
    if (r->work && r->work->threads && r->long_work && r->long_work->threads && start_worker(r->work) &&
        start_worker(r->long_work))
        return ERR_OK;
    if (r->work && r->long_work) work_finish(r);
    work_free(r);
    return ERR_NO_MEMORY;
}

/* Every job that was handed over is done; also one that came from elsewhere while the last worker left. */
static void pool_finish(struct work_pool *p)
{
    pthread_mutex_lock(&p->lock);
    __atomic_store_n(&p->ending, 1, __ATOMIC_RELAXED);
    unsigned n = p->nthreads;
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < n; i++) sem_post(&p->tokens);
    for (unsigned i = 0; i < n; i++) pthread_join(p->threads[i], NULL);
    p->nthreads = 0;
    for (struct work *w; (w = next_job(p));) run_one(p, w);
}

void work_finish(struct rt *r)
{
    pool_finish(r->long_work);
    pool_finish(r->work);
}

static void pool_free(struct work_pool *p)
{
    if (!p) return;
    for (struct work *w; (w = pop_unused(p));) free(w);
    sem_destroy(&p->tokens);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}

void work_free(struct rt *r)
{
    pool_free(r->work);
    pool_free(r->long_work);
    r->work = r->long_work = NULL;
}

/* ---- handing over ---- */

/* The last touch of w. */
static void enqueue(struct work_pool *p, struct work *w)
{
    uint64_t queued = SHARED_ADD(p->queued, 1), peak = STAT_GET(p->peak);
    while (queued > peak &&
           !__atomic_compare_exchange_n(&p->peak, &peak, queued, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    push(&p->inbox, w);
    sem_post(&p->tokens);
}

static void work_in(bool is_long, const char *name, void (*fn)(void *), void *arg)
{
    if (!rt_fiber_self()) {
        fn(arg);
        return;
    }
    struct rt_waiter waiter;
    rt_waiter_init(&waiter);
    if (the_rt->sim) {
        sim_work(&waiter, name, fn, arg);
        return;
    }
    struct work_pool *p = is_long ? the_rt->long_work : the_rt->work;
    struct work w = {.name = name, .fn = fn, .arg = arg, .waiter = &waiter};
    ASSERT(!STAT_GET(p->ending));
    enqueue(p, &w);
    wait_for(&waiter, RT_FOREVER, name);
}

void rt_work(const char *name, void (*fn)(void *), void *arg)
{
    work_in(false, name, fn, arg);
}

void rt_work_long(const char *name, void (*fn)(void *), void *arg)
{
    work_in(true, name, fn, arg);
}

bool rt_work_async(const char *name, void (*fn)(void *), void *arg)
{
    ASSERT(the_rt != NULL);
    if (the_rt->sim) return sim_work_async(name, fn, arg);
    struct work_pool *p = the_rt->work;
    struct work *w = NULL;
    if (SHARED_ADD(p->async_queued, 1) <= WORK_QUEUE_MAX && !STAT_GET(p->ending)) {
        w = pop_unused(p);
        if (!w) w = malloc(sizeof *w);
    }
    if (!w) {
        SHARED_ADD(p->async_queued, -1);
        return false;
    }
    *w = (struct work){.name = name, .fn = fn, .arg = arg};
    enqueue(p, w);
    return true;
}

void work_stats(struct rt *r, struct rt_stats *out)
{
    if (r->sim) {
        sim_work_stats(out);
        return;
    }
    struct work_pool *pools[2] = {r->work, r->long_work};
    for (int i = 0; i < 2; i++) {
        struct work_pool *p = pools[i];
        out->work_queued += STAT_GET(p->queued);
        out->work_running += STAT_GET(p->running);
        out->work_done += STAT_GET(p->done);
        uint64_t peak = STAT_GET(p->peak);
        if (peak > out->work_queue_peak) out->work_queue_peak = peak;
    }
}
