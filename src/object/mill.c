#include "object/mill.h"
#include "base/assert.h"

#include <stdlib.h>
#include <unistd.h>

#define MILL_MAGIC 0x6d696c6cu
#define LOOPS_MAX  64u /* loops beyond hash each piece by itself */
#define PIECE_MIN  1024u
#define PROMPT_NS  (10 * RT_MS) /* from one piece to the next: worth waiting for */
#define PATIENCE   (2 * RT_MS)

struct mill {
    unsigned magic;
    struct mill_loop {
        _Alignas(64) struct list queue; /* of this loop alone */
        bool led;
    } loop[LOOPS_MAX];

    struct rt_latch lock;
    struct list queue; /* bodies with a piece for workers */
    struct list bodies;
    unsigned prompt;          /* bodies */
    unsigned queued, awaited; /* bodies in the queue; those of them whose fiber has lost patience */
    unsigned grinders, grinders_max;
};

struct mill *mill_new(void)
{
    struct mill *m = aligned_alloc(64, sizeof *m);
    if (!m) return NULL;
    *m = (struct mill){.magic = MILL_MAGIC};
    for (unsigned i = 0; i < LOOPS_MAX; i++) list_init(&m->loop[i].queue);
    list_init(&m->queue);
    list_init(&m->bodies);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    m->grinders_max = cores > 3 ? (unsigned)cores / 2 : 1;
    return m;
}

static bool grinding(struct mill *m)
{
    rt_latch_lock(&m->lock);
    bool any = m->grinders > 0;
    rt_latch_unlock(&m->lock);
    return any;
}

void mill_free(struct mill *m)
{
    if (!m) return;
    CHECK_MAGIC(m, MILL_MAGIC);
    while (rt_fiber_self() && grinding(m)) rt_sleep(RT_MS); /* the last worker is on its way out */
    m->magic = 0;
    free(m);
}

/* ---- on the loop ---- */

struct mill_job {
    struct list link;
    struct hash_feed feed;
    struct rt_waiter done;
};

/* As many of the queue as go together; they are no longer in it. */
static unsigned take(struct list *queue, struct mill_job *batch[HASH_FEEDS], struct hash_feed v[HASH_FEEDS])
{
    unsigned n = 0;
    for (struct list *l; n < HASH_FEEDS && (l = list_pop(queue));) {
        batch[n] = CONTAINER(l, struct mill_job, link);
        v[n] = batch[n]->feed;
        n++;
    }
    return n;
}

/* Not interrupted by other fibers: nothing in here waits. */
static void grind_here(struct mill_loop *l, const struct mill_job *own)
{
    struct mill_job *batch[HASH_FEEDS];
    struct hash_feed v[HASH_FEEDS];
    for (unsigned n; (n = take(&l->queue, batch, v)) > 0;) {
        hash_set_update_many(v, n);
        for (unsigned i = 0; i < n; i++)
            if (batch[i] != own) rt_wake(&batch[i]->done);
    }
}

void mill_feed(struct mill *m, struct hash_set *set, struct str v)
{
    CHECK_MAGIC(m, MILL_MAGIC);
    unsigned index = v.n >= PIECE_MIN && rt_fiber_self() ? rt_loop_index(rt_self()) : LOOPS_MAX;
    if (index >= LOOPS_MAX) {
        hash_set_update(set, v.p, v.n);
        return;
    }
    struct mill_loop *l = &m->loop[index];
    struct mill_job own = {.feed = {set, v}};
    list_append(&l->queue, &own.link);
    if (l->led) {
        rt_waiter_init(&own.done);
        rt_wait(&own.done, RT_FOREVER);
        return;
    }
    l->led = true;
    rt_yield(); /* whoever can run runs, and joins */
    grind_here(l, &own);
    l->led = false;
}

/* ---- on workers ---- */

/* Worth a worker's time; lock held. */
static bool due(const struct mill *m)
{
    return m->queued > 0 &&
           (m->awaited > 0 || m->queued >= (m->prompt < HASH_FEEDS ? m->prompt : HASH_FEEDS));
}

/* b has a piece that no worker has; lock held. */
static void make_ready(struct mill *m, struct mill_body *b)
{
    list_append(&m->queue, &b->ready);
    b->queued = true;
    m->queued++;
    m->awaited += b->awaited;
}

static struct mill_body *take_ready(struct mill *m)
{
    struct mill_body *b = CONTAINER(list_pop(&m->queue), struct mill_body, ready);
    b->queued = false;
    m->queued--;
    m->awaited -= b->awaited;
    return b;
}

/* The next batch, or 0 and this worker is gone. */
static unsigned next_batch(struct mill *m, struct mill_body *batch[HASH_FEEDS],
                           struct hash_feed v[HASH_FEEDS])
{
    unsigned n = 0;
    rt_latch_lock(&m->lock);
    for (unsigned most = due(m) ? HASH_FEEDS : 0; n < most && m->queued > 0; n++) {
        batch[n] = take_ready(m);
        v[n] = (struct hash_feed){batch[n]->set, batch[n]->piece[batch[n]->first]};
    }
    if (n == 0) m->grinders--;
    rt_latch_unlock(&m->lock);
    return n;
}

/* b's first piece is hashed; lock held. true: its fiber goes on, wake it. */
static bool piece_done(struct mill *m, struct mill_body *b)
{
    bool enough = --b->left <= b->want && b->waiting;
    b->first = (b->first + 1) % MILL_PIECES;
    if (enough) b->waiting = b->awaited = false;
    if (b->left > 0) make_ready(m, b);
    return enough;
}

static void grind(void *arg)
{
    struct mill *m = arg;
    struct mill_body *batch[HASH_FEEDS];
    struct hash_feed v[HASH_FEEDS];
    for (unsigned n; (n = next_batch(m, batch, v)) > 0;) {
        unsigned woken = 0;
        hash_set_update_many(v, n);
        rt_latch_lock(&m->lock);
        for (unsigned i = 0; i < n; i++)
            if (piece_done(m, batch[i])) batch[woken++] = batch[i];
        rt_latch_unlock(&m->lock);
        for (unsigned i = 0; i < woken; i++) rt_wake(&batch[i]->done);
    }
}

/* Lets go of the lock. */
static void set_going(struct mill *m)
{
    bool more = due(m) && m->grinders < m->grinders_max && m->queued > m->grinders * HASH_FEEDS;
    if (more) m->grinders++;
    rt_latch_unlock(&m->lock);
    if (more && !rt_work_async("hash", grind, m)) grind(m); /* the workers' queue is full */
}

static void set_prompt(struct mill *m, struct mill_body *b, bool prompt)
{
    if (prompt == b->prompt) return;
    b->prompt = prompt;
    m->prompt = prompt ? m->prompt + 1 : m->prompt - 1;
}

void mill_open(struct mill *m, struct mill_body *b, struct hash_set *set)
{
    CHECK_MAGIC(m, MILL_MAGIC);
    *b = (struct mill_body){.set = set, .came = rt_now()};
    rt_latch_lock(&m->lock);
    list_append(&m->bodies, &b->link);
    rt_latch_unlock(&m->lock);
}

void mill_close(struct mill *m, struct mill_body *b)
{
    CHECK_MAGIC(m, MILL_MAGIC);
    rt_latch_lock(&m->lock);
    ASSERT(b->left == 0 && !b->waiting);
    set_prompt(m, b, false);
    list_remove(&b->link);
    set_going(m);
}

void mill_put(struct mill *m, struct mill_body *b, struct str v)
{
    CHECK_MAGIC(m, MILL_MAGIC);
    int64_t now = rt_now();
    rt_latch_lock(&m->lock);
    ASSERT(b->left < MILL_PIECES);
    set_prompt(m, b, now - b->came <= PROMPT_NS);
    b->came = now;
    b->piece[(b->first + b->left) % MILL_PIECES] = v;
    if (b->left++ == 0) make_ready(m, b);
    set_going(m);
}

/* Who has no piece here is late; lock held. */
static void lose_patience(struct mill *m, struct mill_body *late)
{
    late->awaited = true;
    m->awaited += late->queued;
    for (struct list *l = m->bodies.next; l != &m->bodies; l = l->next) {
        struct mill_body *b = CONTAINER(l, struct mill_body, link);
        if (b->left == 0) set_prompt(m, b, false);
    }
}

void mill_wait(struct mill *m, struct mill_body *b, unsigned n)
{
    CHECK_MAGIC(m, MILL_MAGIC);
    rt_latch_lock(&m->lock);
    bool waits = b->waiting = b->left > n;
    b->want = n;
    rt_waiter_init(&b->done);
    rt_latch_unlock(&m->lock);
    if (!waits) return;
    if (!rt_wait(&b->done, rt_now() + PATIENCE)) {
        rt_latch_lock(&m->lock);
        if (b->waiting) lose_patience(m, b);
        set_going(m);
        rt_wait(&b->done, RT_FOREVER);
    }
    b->came = rt_now(); /* what it waited here was not its client's time */
}
