/* park: wait for one wake, in a fiber or, at start-up and in tests, on a plain thread. The parked one owns
 * the struct; park_wake is called once and is the waker's last touch. */
#ifndef STORE_PARK_H
#define STORE_PARK_H

#include "rt/rt.h"

#include <semaphore.h>

struct park {
    struct list link; /* for the queue of whoever wakes */
    struct rt_waiter waiter;
    sem_t thread;
    bool fiber;
};
void park_init(struct park *p);
void park_wait(struct park *p);
void park_wake(struct park *p);

#endif
