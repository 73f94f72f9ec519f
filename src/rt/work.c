/* Workers: threads that run what blocks. Started as load asks for them, up to options.workers; the first at
 * rt_new, so that there is always one. A fiber's job lives on its stack (fibers are bounded); fire-and-forget
 * jobs are allocated and bounded by WORK_QUEUE_MAX. Jobs run in the order they came.
 * Long jobs have threads of their own, so that nothing short waits behind them. */
#include "rt/sim_int.h"

struct work {
    struct work *next;
    const char *name;
    void (*fn)(void *);
    void *arg;
    struct rt_waiter *waiter; /* NULL: fire and forget, free the job */
};

#define LONG_WORKERS 3u /* the log's collection, compaction after deletions, freeing of extents */

struct work_pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct work *head, **tail;
    struct work *unused; /* records of fire-and-forget jobs */
    pthread_t *threads;
    unsigned nthreads, max, idle;
    bool ending;
    uint64_t queued, async_queued, running, done, peak;
};

static void run_one(struct work_pool *p, struct work *w)
{
    if (w->waiter) {
        w->fn(w->arg);
        rt_wake(w->waiter); /* w is on that fiber's stack: gone now */
        pthread_mutex_lock(&p->lock);
        return;
    }
    w->fn(w->arg);
    pthread_mutex_lock(&p->lock);
    w->next = p->unused;
    p->unused = w;
}

static void *worker_main(void *arg)
{
    struct work_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->head && !p->ending) {
            p->idle++;
            pthread_cond_wait(&p->more, &p->lock);
            p->idle--;
        }
        struct work *w = p->head;
        if (!w) break;
        p->head = w->next;
        if (!p->head) p->tail = &p->head;
        p->queued--;
        if (!w->waiter) p->async_queued--;
        p->running++;
        pthread_mutex_unlock(&p->lock);
        run_one(p, w);
        p->running--;
        p->done++;
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
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

static bool start_worker(struct work_pool *p)
{
    if (!thread_start(&p->threads[p->nthreads], worker_main, p)) return false;
    p->nthreads++;
    return true;
}

static struct work_pool *pool_new(unsigned max)
{
    struct work_pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->max = max;
    p->threads = calloc(p->max, sizeof *p->threads);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->tail = &p->head;
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

static void pool_finish(struct work_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->nthreads; i++) pthread_join(p->threads[i], NULL);
    p->nthreads = 0;
}

void work_finish(struct rt *r)
{
    pool_finish(r->long_work);
    pool_finish(r->work);
}

static void pool_free(struct work_pool *p)
{
    if (!p) return;
    while (p->unused) {
        struct work *w = p->unused;
        p->unused = w->next;
        free(w);
    }
    pthread_cond_destroy(&p->more);
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

/* Under the lock. */
static void enqueue(struct work_pool *p, struct work *w)
{
    w->next = NULL;
    *p->tail = w;
    p->tail = &w->next;
    p->queued++;
    if (p->queued > p->peak) p->peak = p->queued;
    if (p->queued > p->idle && p->nthreads < p->max)
        start_worker(p);
    else if (p->idle > 0)
        pthread_cond_signal(&p->more);
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
    pthread_mutex_lock(&p->lock);
    ASSERT(!p->ending);
    enqueue(p, &w);
    pthread_mutex_unlock(&p->lock);
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
    pthread_mutex_lock(&p->lock);
    struct work *w = NULL;
    if (p->async_queued < WORK_QUEUE_MAX && !p->ending) {
        w = p->unused;
        if (w)
            p->unused = w->next;
        else
            w = malloc(sizeof *w);
    }
    if (w) {
        *w = (struct work){.name = name, .fn = fn, .arg = arg};
        p->async_queued++;
        enqueue(p, w);
    }
    pthread_mutex_unlock(&p->lock);
    return w != NULL;
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
        pthread_mutex_lock(&p->lock);
        out->work_queued += p->queued;
        out->work_running += p->running;
        out->work_done += p->done;
        if (p->peak > out->work_queue_peak) out->work_queue_peak = p->peak;
        pthread_mutex_unlock(&p->lock);
    }
}
