#include "store/park.h"
#include "base/assert.h"

#include <errno.h>

void park_init(struct park *p)
{
    list_init(&p->link);
    p->fiber = rt_fiber_self() != NULL;
    if (p->fiber)
        rt_waiter_init(&p->waiter);
    else
        sem_init(&p->thread, 0, 0);
}

void park_wait(struct park *p)
{
    if (p->fiber) {
        rt_wait(&p->waiter, RT_FOREVER);
        return;
    }
    while (sem_wait(&p->thread) != 0) ASSERT(errno == EINTR);
    sem_destroy(&p->thread);
}

/* Neither holds up the waker, nor does it touch the park once the other may have left. */
void park_wake(struct park *p)
{
    if (p->fiber)
        rt_wake(&p->waiter);
    else
        sem_post(&p->thread);
}
