/* A lock that no loop ever sleeps on.
 *
 * The word is 0, or HELD, or HELD and the newest of those who wait: a stack of records on their own stacks.
 * Whoever comes takes an open latch at once, or else tries a few times, pushes its record and waits: a fiber
 * as a fiber, a thread that is no loop on a semaphore. Who opens the latch takes the whole stack with the
 * same exchange, touches the latch no more, and wakes them all; they come again. Nothing is handed over, so
 * that nobody waits for a fiber whose loop does something else meanwhile.
 *
 * None is forgotten: a record is pushed only onto a word that says HELD, so an exchange comes after it.
 */
#include "rt/rt_int.h"
#include <errno.h>
#include <sched.h>
#include <semaphore.h>

#define HELD ((uintptr_t)1)

struct latch_waiter {
    struct latch_waiter *next;
    bool fiber;
    struct rt_waiter waiter;
    sem_t thread;
};

/* false: the latch was open by then. */
static bool push(struct rt_latch *l, struct latch_waiter *w)
{
    uintptr_t was = __atomic_load_n(&l->word, __ATOMIC_RELAXED);
    do {
        if (!(was & HELD)) return false;
        w->next = (struct latch_waiter *)(was & ~HELD);
    } while (!__atomic_compare_exchange_n(&l->word, &was, (uintptr_t)w | HELD, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    return true;
}

static void wait_in_fiber(struct rt_latch *l)
{
    struct latch_waiter w = {.fiber = true};
    rt_waiter_init(&w.waiter);
    if (push(l, &w)) wait_for(&w.waiter, RT_FOREVER, "latch");
}

static void wait_in_thread(struct rt_latch *l)
{
    struct latch_waiter w = {.fiber = false};
    sem_init(&w.thread, 0, 0);
    if (push(l, &w))
        while (sem_wait(&w.thread) != 0) ASSERT(errno == EINTR);
    sem_destroy(&w.thread);
}

void rt_latch_wait(struct rt_latch *l)
{
    for (;;) {
        for (unsigned i = 0; i < LATCH_TRIES; i++) {
            if (rt_latch_try(l)) return;
            latch_relax();
        }
        if (!tl_loop)
            wait_in_thread(l);
        else if (tl_loop->current)
            wait_in_fiber(l);
        else /* a callback of the loop has nothing to wait in */
            sched_yield();
    }
}

void rt_latch_wake(uintptr_t word)
{
    ASSERT(word & HELD);
    for (struct latch_waiter *w = (struct latch_waiter *)(word & ~HELD), *next; w; w = next) {
        next = w->next; /* first: the record goes with the wake */
        if (w->fiber)
            rt_wake(&w->waiter);
        else
            sem_post(&w->thread);
    }
}
