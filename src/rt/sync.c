/* Mutex, condition and semaphore between fibers of any loop, over rt_wait and rt_wake.
 *
 * A waiter stands in a queue while its `user` points to the object. Who takes it out clears `user` under the
 * guard and then must wake it; a fiber whose deadline passed learns so under the guard whether a waker has it
 * already.
 */
#include "rt/rt_int.h"

/* Wake all in a private list. The waiter may vanish with the wake: step on first. */
static void wake_all(struct list *l)
{
    struct list *e;
    while ((e = list_pop(l))) rt_wake(CONTAINER(e, struct rt_waiter, link));
}

/* The deadline passed: true if w was still queued and no longer is. Else its wake is on the way: wait for it.
 */
static bool leave_queue(struct rt_latch *guard, struct rt_waiter *w)
{
    rt_latch_lock(guard);
    bool queued = w->user != NULL;
    if (queued) {
        list_remove(&w->link);
        w->user = NULL;
    }
    rt_latch_unlock(guard);
    if (!queued) rt_wait(w, RT_FOREVER);
    return queued;
}

void rt_mutex_init(struct rt_mutex *m)
{
    m->guard = (struct rt_latch){0};
    m->held = false;
    list_init(&m->waiters);
}

/* Another core may be about to let go: much shorter than a wait. */
static void mutex_look(const struct rt_mutex *m)
{
    for (unsigned i = 0; i < LATCH_TRIES && __atomic_load_n(&m->held, __ATOMIC_RELAXED); i++) latch_relax();
}

struct mutex_waiter {
    struct rt_waiter w; /* first */
    bool lost;          /* was woken, and another had it by then */
    bool given;         /* it holds the mutex when it wakes */
};

void rt_mutex_lock(struct rt_mutex *m)
{
    struct mutex_waiter t = {.lost = false};
    for (;; t.lost = true) {
        mutex_look(m);
        rt_latch_lock(&m->guard);
        if (!m->held) {
            __atomic_store_n(&m->held, true, __ATOMIC_RELAXED);
            rt_latch_unlock(&m->guard);
            return;
        }
        rt_waiter_init(&t.w);
        t.w.user = m;
        if (t.lost)
            list_push(&m->waiters, &t.w.link);
        else
            list_append(&m->waiters, &t.w.link);
        rt_latch_unlock(&m->guard);
        wait_for(&t.w, RT_FOREVER, "mutex");
        if (t.given) return;
    }
}

/* Wakes the first waiter, which comes again: a mutex that passed to it would be held until its loop has a
 * turn for it, and all who come meanwhile would have to wait as well. Only to one that was overtaken it
 * passes directly, so that nobody is overtaken twice. */
void rt_mutex_unlock(struct rt_mutex *m)
{
    rt_latch_lock(&m->guard);
    ASSERT(m->held);
    struct list *e = list_pop(&m->waiters);
    struct mutex_waiter *next = e ? CONTAINER(e, struct mutex_waiter, w.link) : NULL;
    if (next) {
        next->w.user = NULL;
        next->given = next->lost;
    }
    if (!next || !next->given) __atomic_store_n(&m->held, false, __ATOMIC_RELAXED);
    rt_latch_unlock(&m->guard);
    if (next) rt_wake(&next->w);
}

void rt_cond_init(struct rt_cond *c)
{
    c->guard = (struct rt_latch){0};
    list_init(&c->waiters);
}

bool rt_cond_wait(struct rt_cond *c, struct rt_mutex *m, int64_t deadline)
{
    struct rt_waiter w;
    rt_waiter_init(&w);
    w.user = c;
    rt_latch_lock(&c->guard);
    list_append(&c->waiters, &w.link);
    rt_latch_unlock(&c->guard);
    rt_mutex_unlock(m);
    bool woken = wait_for(&w, deadline, "condition") || !leave_queue(&c->guard, &w);
    rt_mutex_lock(m);
    return woken;
}

static void cond_wake(struct rt_cond *c, bool all)
{
    struct list taken, *e;
    list_init(&taken);
    rt_latch_lock(&c->guard);
    while ((e = list_pop(&c->waiters))) {
        CONTAINER(e, struct rt_waiter, link)->user = NULL;
        list_append(&taken, e);
        if (!all) break;
    }
    rt_latch_unlock(&c->guard);
    wake_all(&taken);
}

void rt_cond_signal(struct rt_cond *c)
{
    cond_wake(c, false);
}
void rt_cond_broadcast(struct rt_cond *c)
{
    cond_wake(c, true);
}

void rt_sem_init(struct rt_sem *s, int64_t count)
{
    s->guard = (struct rt_latch){0};
    s->count = count;
    list_init(&s->waiters);
}

/* A queued taker and how much it wants. */
struct sem_waiter {
    struct rt_waiter w; /* first */
    int64_t n;
};

/* Under the guard: serve the queue in order, as far as the count goes. */
static void sem_serve(struct rt_sem *s, struct list *taken)
{
    while (!list_empty(&s->waiters)) {
        struct sem_waiter *t = CONTAINER(s->waiters.next, struct sem_waiter, w.link);
        if (t->n > s->count) return;
        s->count -= t->n;
        t->w.user = NULL;
        list_remove(&t->w.link);
        list_append(taken, &t->w.link);
    }
}

bool rt_sem_take(struct rt_sem *s, int64_t n, int64_t deadline)
{
    rt_latch_lock(&s->guard);
    if (list_empty(&s->waiters) && s->count >= n) {
        s->count -= n;
        rt_latch_unlock(&s->guard);
        return true;
    }
    struct sem_waiter t = {.n = n};
    rt_waiter_init(&t.w);
    t.w.user = s;
    list_append(&s->waiters, &t.w.link);
    rt_latch_unlock(&s->guard);
    if (wait_for(&t.w, deadline, "semaphore")) return true;
    if (!leave_queue(&s->guard, &t.w)) return true;
    rt_sem_give(s, 0); /* a large taker left the front: smaller ones behind it may fit */
    return false;
}

void rt_sem_give(struct rt_sem *s, int64_t n)
{
    struct list taken;
    list_init(&taken);
    rt_latch_lock(&s->guard);
    s->count += n;
    sem_serve(s, &taken);
    rt_latch_unlock(&s->guard);
    wake_all(&taken);
}
