#include "store/park.h"

#include <pthread.h>

/* Threads that are not loops park rarely: one lock and one condition serve them all, and no waker touches
 * memory that the woken thread may already have left. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;

void park_init(struct park *p)
{
    list_init(&p->link);
    p->fiber = rt_fiber_self() != NULL;
    p->woken = false;
    if (p->fiber) rt_waiter_init(&p->waiter);
}

void park_wait(struct park *p)
{
    if (p->fiber) {
        rt_wait(&p->waiter, RT_FOREVER);
        return;
    }
    pthread_mutex_lock(&lock);
    while (!p->woken) pthread_cond_wait(&woken, &lock);
    pthread_mutex_unlock(&lock);
}

void park_wake(struct park *p)
{
    if (p->fiber) {
        rt_wake(&p->waiter);
        return;
    }
    pthread_mutex_lock(&lock);
    p->woken = true;
    pthread_cond_broadcast(&woken);
    pthread_mutex_unlock(&lock);
}
