#include "object/lane.h"
#include "base/assert.h"
#include "base/pages.h"

static void join(struct lane *l)
{
    if (l->running) mill_join(l->mill, &l->body, &l->job);
    l->running = false;
}

bool lane_open(struct lane *l, struct mill *mill, struct hash_set *set)
{
    *l = (struct lane){.mill = mill, .set = set, .buf = {pages_alloc(2 * LANE_BUFFER), NULL}};
    if (!l->buf[0]) return false;
    l->buf[1] = l->buf[0] + LANE_BUFFER;
    mill_open(mill, &l->body);
    return true;
}

struct str lane_flush(struct lane *l)
{
    struct str full = str_of(l->buf[l->cur], l->n);
    if (l->n == 0) return full;
    join(l);
    mill_start(l->mill, &l->body, &l->job, l->set, full);
    l->running = true;
    l->cur ^= 1;
    l->n = 0;
    return full;
}

char *lane_room(struct lane *l, size_t *n)
{
    *n = LANE_BUFFER - l->n;
    return l->buf[l->cur] + l->n;
}

struct str lane_filled(struct lane *l, size_t n)
{
    ASSERT(n <= LANE_BUFFER - l->n);
    l->n += n;
    return l->n == LANE_BUFFER ? lane_flush(l) : STR_NONE;
}

size_t lane_add(struct lane *l, struct str v, struct str *full)
{
    size_t room;
    char *to = lane_room(l, &room);
    size_t n = v.n < room ? v.n : room;
    ASSERT(n > 0);
    memcpy(to, v.p, n);
    *full = lane_filled(l, n);
    return n;
}

void lane_close(struct lane *l)
{
    join(l);
    mill_close(l->mill, &l->body);
    free(l->buf[0]);
    l->buf[0] = l->buf[1] = NULL;
}
