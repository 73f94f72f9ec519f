/* spares: pieces of memory of one kind that are kept for reuse, so that what every request needs is not
 * allocated each time. Bounded; any thread. Nobody waits: while
 * another is at it, there is none to take and no room. */
#ifndef BASE_SPARES_H
#define BASE_SPARES_H

#include <pthread.h>
#include <stdbool.h>

#define SPARES_MAX 128u

struct spares {
    pthread_mutex_t lock;
    unsigned n;
    void *v[SPARES_MAX];
};
#define SPARES_NONE                                                                                          \
    {                                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                                    \
    }

void *spares_take(struct spares *s);         /* NULL: there is none, or another is at it */
bool spares_give(struct spares *s, void *p); /* false: enough are kept, p stays the caller's */

#endif
