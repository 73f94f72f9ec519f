/* Small blobs that come at the same time: whoever finds a place free takes all that wait, writes them in one
 * piece and flushes once. Two at work, so that one writes while the other flushes. */
#include "store/extents_impl.h"

#define PACK_MAX   64u               /* blobs of one write */
#define PACK_BYTES ((size_t)1 << 20) /* and their data, about */
#define PACKERS    2u

struct packed {
    struct list link;
    struct extent_small *s;
    err e;
    bool done;
};

/* The head of the queue in any case, then as many as fit; pack_mu held. */
static size_t gather(struct extents *x, struct packed *batch[PACK_MAX])
{
    size_t n = 0, bytes = 0;
    while (n < PACK_MAX && !list_empty(&x->pack_queue)) {
        struct packed *p = CONTAINER(x->pack_queue.next, struct packed, link);
        if (n > 0 && bytes + p->s->data.n > PACK_BYTES) break;
        list_remove(&p->link);
        bytes += p->s->data.n;
        batch[n++] = p;
    }
    return n;
}

static void lead(struct extents *x)
{
    struct packed *batch[PACK_MAX];
    struct extent_small v[PACK_MAX];
    size_t n = gather(x, batch);
    x->packers++;
    rt_mutex_unlock(&x->pack_mu);
    for (size_t i = 0; i < n; i++) v[i] = *batch[i]->s;
    err e = extents_write_many(x, v, n);
    rt_mutex_lock(&x->pack_mu);
    x->packers--;
    for (size_t i = 0; i < n; i++) {
        batch[i]->s->place = v[i].place;
        batch[i]->s->pinned = v[i].pinned;
        batch[i]->e = e;
        batch[i]->done = true;
    }
    rt_cond_broadcast(&x->pack_cond);
}

err extents_write_shared(struct extents *x, struct extent_small *s)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    struct packed own = {.s = s};
    rt_mutex_lock(&x->pack_mu);
    list_append(&x->pack_queue, &own.link);
    while (!own.done) {
        if (x->packers < PACKERS && !list_empty(&x->pack_queue))
            lead(x);
        else
            rt_cond_wait(&x->pack_cond, &x->pack_mu, RT_FOREVER);
    }
    rt_mutex_unlock(&x->pack_mu);
    return own.e;
}
