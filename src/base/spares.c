#include "base/spares.h"

#include <stddef.h>

void *spares_take(struct spares *s)
{
    if (pthread_mutex_trylock(&s->lock) != 0) return NULL;
    void *p = s->n > 0 ? s->v[--s->n] : NULL;
    pthread_mutex_unlock(&s->lock);
    return p;
}

bool spares_give(struct spares *s, void *p)
{
    if (pthread_mutex_trylock(&s->lock) != 0) return false;
    bool room = s->n < SPARES_MAX;
    if (room) s->v[s->n++] = p;
    pthread_mutex_unlock(&s->lock);
    return room;
}
