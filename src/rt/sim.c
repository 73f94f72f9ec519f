/* The simulated machine: one thread, a clock that jumps to the next timer, every choice from one seeded
 * stream.
 *
 * Latencies of network, disk and workers are timers of the loop, so "nothing is ready" means: go to the next
 * timer. When there is none either, nothing can ever happen again; that is reported and ends the run.
 */
#include "rt/sim_int.h"
#include "base/log.h"
#include <string.h>

struct sim_faults sim_faults;
static uint64_t state = 1, trace = 14695981039346656037u;
static int64_t now_ns = RT_SEC; /* goes on over restarts */
static int64_t started;         /* now_ns at rt_new; the trace counts from it */
static const struct sys_ops *before;

/* ---- choices (splitmix64) ---- */

uint64_t sim_random(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sim_below(uint64_t n)
{
    ASSERT(n > 0);
    return sim_random() % n;
}

bool sim_chance(unsigned of_65536)
{
    return of_65536 > 0 && sim_below(65536) < of_65536;
}

int64_t sim_latency(int64_t typical, unsigned slow)
{
    int64_t ns = typical / 2 + (int64_t)sim_below((uint64_t)typical);
    return sim_chance(slow) ? ns * (int64_t)(10 + sim_below(991)) : ns;
}

void sim_set_faults(const struct sim_faults *f)
{
    sim_faults = *f;
}

/* ---- trace ---- */

void sim_trace(uint64_t a, uint64_t b)
{
    const uint64_t prime = 1099511628211u;
    trace = (trace ^ a) * prime;
    trace = (trace ^ b) * prime;
    trace = (trace ^ (uint64_t)(now_ns - started)) * prime;
}

void sim_trace_name(const char *z, uint64_t b)
{
    uint64_t h = 0;
    while (*z) h = h * 31 + (unsigned char)*z++;
    sim_trace(h, b);
}

uint64_t sim_trace_hash(void)
{
    return trace;
}

/* ---- clock: the sys table's clocks and randomness ---- */

/* Looking at the clock takes time, so that a loop which waits by looking ends. */
uint64_t sim_mono_ns(void)
{
    return (uint64_t)(now_ns += 20);
}
void sim_clock_reset(void)
{
    now_ns = RT_SEC;
}
int64_t sim_real_ms(void)
{
    return 1767225600000 + now_ns / RT_MS; /* 2026-01-01 */
}

void sim_random_bytes(void *p, size_t n)
{
    unsigned char *b = p;
    for (size_t i = 0; i < n; i++) b[i] = (unsigned char)sim_random();
}

/* Outside fibers nothing else could run meanwhile: the clock goes on, that is all. */
void sim_sleep_ns(uint64_t ns)
{
    if (tl_loop && tl_loop->current)
        rt_sleep((int64_t)ns);
    else
        now_ns += (int64_t)ns;
}

/* ---- the backend ---- */

static err sim_loop_init(struct rt_loop *l)
{
    (void)l;
    return ERR_OK;
}
static void sim_loop_free(struct rt_loop *l)
{
    (void)l;
}
static void sim_kick(struct rt_loop *l)
{
    (void)l; /* one thread: it is awake */
}

static void sim_poll(struct rt_loop *l, int64_t until)
{
    now_ns += 200 + (int64_t)sim_below(2000); /* a pass costs something */
    if (sim_net_deliver(l)) return;
    if (until == RT_FOREVER) {
        LOG_ERROR("simulation: every fiber waits and nothing is left to happen");
        rt_stop(l->rt);
    } else if (until > now_ns) {
        now_ns = until;
    }
}

struct list *sim_pick_ready(struct list *ready)
{
    struct list *e = ready->next;
    for (uint64_t skip = sim_below(8); skip > 0 && e->next != ready; skip--) e = e->next;
    list_remove(e);
    struct rt_fiber *f = CONTAINER(e, struct rt_fiber, ready);
    sim_trace_name(f->name, 1);
    return e;
}

void sim_start(struct rt *r)
{
    state = r->o.seed;
    trace = 14695981039346656037u;
    started = now_ns;
    before = sys;
    if (sys == &sys_real) sys = &sys_sim;
}

void sim_stop(void)
{
    sim_net_reset();
    sys = before;
}

const struct backend backend_sim = {
    .name = "sim",
    .net = &net_sim,
    .loop_init = sim_loop_init,
    .loop_free = sim_loop_free,
    .poll = sim_poll,
    .kick = sim_kick,
    .source_add = sim_net_source_add,
    .source_remove = sim_net_source_remove,
};
