/* Timers of a loop: a heap ordered by time; each timer knows its slot, so that it can be moved and cancelled.
 */
#include "rt/rt_int.h"

static void place(struct timer_heap *h, unsigned i, struct rt_timer *t)
{
    h->at[i] = t;
    t->slot = i + 1;
}

static void sift_up(struct timer_heap *h, unsigned i, struct rt_timer *t)
{
    while (i > 0) {
        unsigned parent = (i - 1) / 4;
        if (h->at[parent]->at <= t->at) break;
        place(h, i, h->at[parent]);
        i = parent;
    }
    place(h, i, t);
}

static void sift_down(struct timer_heap *h, unsigned i, struct rt_timer *t)
{
    for (;;) {
        unsigned first = 4 * i + 1, best = first;
        if (first >= h->n) break;
        for (unsigned c = first + 1; c < first + 4 && c < h->n; c++)
            if (h->at[c]->at < h->at[best]->at) best = c;
        if (t->at <= h->at[best]->at) break;
        place(h, i, h->at[best]);
        i = best;
    }
    place(h, i, t);
}

static void heap_remove(struct timer_heap *h, struct rt_timer *t)
{
    unsigned i = t->slot - 1;
    ASSERT(i < h->n && h->at[i] == t);
    t->slot = 0;
    struct rt_timer *last = h->at[--h->n];
    if (last == t) return;
    if (i > 0 && h->at[(i - 1) / 4]->at > last->at)
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

/* Memory for the heap is the one thing a wait may allocate; it grows to the peak of armed timers and stays.
 */
static void heap_grow(struct timer_heap *h)
{
    unsigned cap = h->cap ? 2 * h->cap : 256;
    struct rt_timer **at = realloc(h->at, cap * sizeof *at);
    ASSERT(at != NULL);
    h->at = at;
    h->cap = cap;
}

void rt_timer_set(struct rt_timer *t, int64_t at, void (*fn)(void *), void *arg)
{
    struct rt_loop *l = rt_self();
    ASSERT(l != NULL);
    struct timer_heap *h = &l->timers;
    if (t->slot) heap_remove(h, t);
    t->at = at;
    t->fn = fn;
    t->arg = arg;
    if (h->n == h->cap) heap_grow(h);
    sift_up(h, h->n++, t);
}

void rt_timer_cancel(struct rt_timer *t)
{
    if (!t->slot) return;
    struct rt_loop *l = rt_self();
    ASSERT(l != NULL);
    heap_remove(&l->timers, t);
}

int64_t timers_next(const struct rt_loop *l)
{
    return l->timers.n ? l->timers.at[0]->at : RT_FOREVER;
}

/* What is left after a turn runs in the next iteration: a crowd of clients times out at once. */
void timers_run(struct rt_loop *l)
{
    struct timer_heap *h = &l->timers;
    for (unsigned n = 1; h->n > 0 && h->at[0]->at <= l->now; n++) {
        if (n % 32 == 0 && rt_now() - l->now > LOOP_TURN) break;
        struct rt_timer *t = h->at[0];
        heap_remove(h, t);
        STAT_ADD(l->timers_fired, 1);
        t->fn(t->arg);
    }
}

void timer_heap_free(struct timer_heap *h)
{
    free(h->at);
    *h = (struct timer_heap){0};
}
