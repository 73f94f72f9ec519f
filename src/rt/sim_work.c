/* Workers as fibers: a job waits for a worker, the worker takes some virtual time, the job runs on its stack.
 * The order among waiting jobs is a choice of the seed, as it is of the scheduler with threads. */
#include "rt/sim_int.h"

#define JOB_NS (20 * 1000) /* typical time until a worker starts */

struct sim_job {
    struct list link;
    const char *name;
    void (*fn)(void *);
    void *arg;
    struct rt_waiter *waiter; /* NULL: fire and forget, free the job */
};

static struct list jobs = {&jobs, &jobs};
static unsigned workers;
static uint64_t njobs, nasync, nrunning, ndone, npeak;

static struct sim_job *take_job(void)
{
    struct list *e = jobs.next;
    for (uint64_t skip = sim_below(4); skip > 0 && e->next != &jobs; skip--) e = e->next;
    list_remove(e);
    njobs--;
    return CONTAINER(e, struct sim_job, link);
}

static void run_job(struct sim_job *j)
{
    bool async = !j->waiter;
    nrunning++;
    j->fn(j->arg);
    nrunning--;
    ndone++;
    if (async) {
        nasync--;
        free(j);
    } else {
        rt_wake(j->waiter); /* j is on that fiber's stack */
    }
}

static void worker_main(void *arg)
{
    (void)arg;
    struct rt_fiber *f = tl_loop->current;
    f->worker = true;
    while (!list_empty(&jobs)) {
        struct sim_job *j = take_job();
        f->note = j->name;
        sim_trace_name(j->name, 2);
        rt_sleep(sim_latency(JOB_NS, sim_faults.disk_slow));
        if (sim_chance(sim_faults.work_stuck)) rt_sleep(RT_SEC * (int64_t)(1 + sim_below(100)));
        run_job(j);
    }
    workers--;
}

static void enqueue(struct sim_job *j)
{
    list_append(&jobs, &j->link);
    if (++njobs > npeak) npeak = njobs;
    if (workers < the_rt->o.workers && rt_spawn(the_rt->loops[0], "worker", worker_main, NULL)) workers++;
}

void sim_work(struct rt_waiter *w, const char *name, void (*fn)(void *), void *arg)
{
    struct sim_job j = {.name = name, .fn = fn, .arg = arg, .waiter = w};
    enqueue(&j);
    /* The cap of fibers may leave no worker at all; the job then runs here, as late as a worker would. */
    if (workers == 0) {
        list_remove(&j.link);
        njobs--;
        rt_sleep(sim_latency(JOB_NS, 0));
        run_job(&j);
    }
    wait_for(w, RT_FOREVER, name);
}

bool sim_work_async(const char *name, void (*fn)(void *), void *arg)
{
    if (nasync >= WORK_QUEUE_MAX) return false;
    struct sim_job *j = malloc(sizeof *j);
    if (!j) return false;
    *j = (struct sim_job){.name = name, .fn = fn, .arg = arg};
    nasync++;
    enqueue(j);
    if (workers > 0) return true;
    list_remove(&j->link);
    njobs--;
    nasync--;
    free(j);
    return false;
}

void sim_work_stats(struct rt_stats *out)
{
    out->work_queued = njobs;
    out->work_running = nrunning;
    out->work_done = ndone;
    out->work_queue_peak = npeak;
}

/* The run ended: jobs that did not start never do. */
void sim_work_reset(void)
{
    struct list *e;
    while ((e = list_pop(&jobs))) {
        struct sim_job *j = CONTAINER(e, struct sim_job, link);
        if (!j->waiter) free(j);
    }
    workers = 0;
    njobs = nasync = nrunning = ndone = npeak = 0;
}
