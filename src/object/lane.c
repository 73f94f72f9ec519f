#include "object/lane.h"
#include "base/assert.h"

static void hash_job(void *arg)
{
    struct lane *l = arg;
    hash_set_update(l->set, l->job.p, l->job.n);
    rt_wake(&l->done);
}

static void join(struct lane *l)
{
    if (l->running) rt_wait(&l->done, RT_FOREVER);
    l->running = false;
}

bool lane_open(struct lane *l, struct hash_set *set)
{
    *l = (struct lane){.set = set, .buf = {malloc(2 * LANE_BUFFER), NULL}};
    if (!l->buf[0]) return false;
    l->buf[1] = l->buf[0] + LANE_BUFFER;
    return true;
}

struct str lane_flush(struct lane *l)
{
    struct str full = str_of(l->buf[l->cur], l->n);
    if (l->n == 0) return full;
    join(l);
    l->job = full;
    rt_waiter_init(&l->done);
    l->running = rt_work_async("hash", hash_job, l);
    if (!l->running) hash_set_update(l->set, full.p, full.n); /* the workers' queue is full */
    l->cur ^= 1;
    l->n = 0;
    return full;
}

size_t lane_add(struct lane *l, struct str v, struct str *full)
{
    size_t room = LANE_BUFFER - l->n, n = v.n < room ? v.n : room;
    ASSERT(n > 0);
    memcpy(l->buf[l->cur] + l->n, v.p, n);
    l->n += n;
    *full = STR_NONE;
    if (l->n == LANE_BUFFER) *full = lane_flush(l);
    return n;
}

void lane_close(struct lane *l)
{
    join(l);
    free(l->buf[0]);
    l->buf[0] = l->buf[1] = NULL;
}
