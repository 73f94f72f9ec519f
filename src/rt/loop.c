/* One loop: messages from other threads, timers, due idle callbacks, ready fibers, then the backend's events.
 */
#include "rt/sim_int.h"
#include <unistd.h>

_Thread_local struct rt_loop *tl_loop;

struct rt_loop *rt_self(void)
{
    return tl_loop;
}
unsigned rt_loop_index(const struct rt_loop *l)
{
    return l->index;
}

struct rt_loop *loop_new(struct rt *r, unsigned index)
{
    struct rt_loop *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->magic = LOOP_MAGIC;
    l->index = index;
    l->rt = r;
    list_init(&l->ready);
    list_init(&l->patient);
    list_init(&l->fibers);
    list_init(&l->idle_socks);
    list_init(&l->gone);
    list_init(&l->armed);
    list_init(&l->sock_cache);
    list_init(&l->socks);
    l->now = rt_now();
    if (r->backend->loop_init(l) != ERR_OK) {
        free(l);
        return NULL;
    }
    return l;
}

static void gone_run(struct rt_loop *l)
{
    struct list *e;
    while ((e = list_pop(&l->gone))) {
        struct source *s = CONTAINER(e, struct source, gone);
        s->added = s->removing = false;
        s->on_gone(s);
    }
}

/* The loop no longer runs; fibers that are still parked are given up with their stacks. */
void loop_free(struct rt_loop *l)
{
    gone_run(l);
    socks_free(l);
    LIST_EACH(e, &l->fibers) stack_free(CONTAINER(e, struct rt_fiber, all));
    while (l->nstacks > 0) stack_free(l->stacks[--l->nstacks]);
    l->rt->backend->loop_free(l);
    timer_heap_free(&l->timers);
    free(l);
}

void loop_kick(struct rt_loop *l)
{
    l->rt->backend->kick(l);
}

/* ---- messages ---- */

void rt_post(struct rt_loop *l, struct rt_msg *m)
{
    CHECK_MAGIC(l, LOOP_MAGIC);
    struct rt_msg *head = __atomic_load_n(&l->inbox, __ATOMIC_RELAXED);
    do m->next = head;
    while (!__atomic_compare_exchange_n(&l->inbox, &head, m, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    /* The first who posts to a sleeper wakes it; m may be gone already. */
    if (__atomic_load_n(&l->sleeping, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&l->sleeping, 0, __ATOMIC_SEQ_CST))
        loop_kick(l);
}

static bool inbox_empty(struct rt_loop *l)
{
    return __atomic_load_n(&l->inbox, __ATOMIC_SEQ_CST) == NULL;
}

static void inbox_run(struct rt_loop *l)
{
    if (inbox_empty(l)) return;
    struct rt_msg *m = __atomic_exchange_n(&l->inbox, NULL, __ATOMIC_ACQUIRE), *in_order = NULL;
    while (m) {
        struct rt_msg *next = m->next;
        m->next = in_order;
        in_order = m;
        m = next;
    }
    while (in_order) {
        m = in_order;
        in_order = m->next;
        STAT_ADD(l->posts, 1);
        if (m->fn)
            m->fn(m->arg);
        else
            fiber_ready(m->arg);
    }
}

/* ---- the iteration ---- */

static bool stopping(struct rt_loop *l)
{
    return __atomic_load_n(&l->rt->stopping, __ATOMIC_ACQUIRE);
}

static struct rt_fiber *next_ready(struct rt_loop *l)
{
    struct list *from = &l->ready, *e;
    if (!list_empty(&l->patient) && (list_empty(from) || l->owed >= PATIENT_TURN)) from = &l->patient;
    if (list_empty(from)) return NULL;
    e = l->rt->sim ? sim_pick_ready(from) : list_pop(from);
    return CONTAINER(e, struct rt_fiber, ready);
}

/* A fiber had the loop for so long. */
static void settle(struct rt_loop *l, bool patient, int64_t took)
{
    if (patient)
        l->owed = l->owed > took ? l->owed - took : 0;
    else if (list_empty(&l->patient))
        l->owed = 0;
    else
        l->owed += took;
}

static void resume_ready(struct rt_loop *l)
{
    int64_t turn = LOOP_TURN;
    l->resumed = l->now;
    for (unsigned n = 0; n < RUN_BUDGET && !stopping(l) && l->resumed - l->now <= turn; n++) {
        if (n % 16 == 15 || list_empty(&l->ready)) inbox_run(l);
        struct rt_fiber *f = next_ready(l);
        if (!f) break;
        bool patient = f->patient;
        if (patient) turn = PATIENT_POLL;
        fiber_resume(l, f);
        int64_t now = rt_now();
        settle(l, patient, now - l->resumed);
        l->resumed = now;
    }
}

static void poll_events(struct rt_loop *l)
{
    bool busy = !list_empty(&l->ready) || !list_empty(&l->patient) || !list_empty(&l->idle_socks) ||
                !list_empty(&l->gone);
    int64_t until = busy ? 0 : timers_next(l);
    if (until > l->now) {
        __atomic_store_n(&l->sleeping, 1, __ATOMIC_SEQ_CST);
        if (!inbox_empty(l) || stopping(l)) until = 0;
    }
    if (watchdog_close(l->rt)) watchdog_turn_ends(l);
    STAT_ADD(l->beat, 1); /* even: waiting */
    l->rt->backend->poll(l, until);
    STAT_ADD(l->beat, 1);
    __atomic_store_n(&l->sleeping, 0, __ATOMIC_RELAXED);
}

void loop_run(struct rt_loop *l)
{
    tl_loop = l;
    __atomic_store_n(&l->tid, gettid(), __ATOMIC_RELAXED);
    fiber_enter_loop(l);
    if (l->rt->backend->loop_enter) l->rt->backend->loop_enter(l);
    STAT_ADD(l->beat, 1);
    while (!stopping(l)) {
        STAT_ADD(l->iterations, 1);
        l->now = rt_now();
        if (watchdog_close(l->rt)) watchdog_turn_begins(l);
        inbox_run(l);
        timers_run(l);
        socks_run_idle(l);
        resume_ready(l);
        gone_run(l);
        if (!stopping(l)) poll_events(l);
    }
    if (l->rt->backend->drain) l->rt->backend->drain(l);
    watchdog_last_turn(l);
    STAT_ADD(l->beat, 1);
    __atomic_store_n(&l->ended, true, __ATOMIC_RELEASE);
    tl_loop = NULL;
}
