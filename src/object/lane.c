#include "object/lane.h"
#include "base/assert.h"

static void join(struct lane *l)
{
    if (l->hashed.n > 0) mill_join(l->mill, &l->body, &l->job);
    l->hashed = STR_NONE;
}

static void start(struct lane *l)
{
    if (l->piece.n == 0) return;
    join(l);
    l->hashed = l->piece;
    l->piece = STR_NONE;
    mill_start(l->mill, &l->body, &l->job, l->set, l->hashed);
}

void lane_open(struct lane *l, struct mill *mill, struct hash_set *set)
{
    *l = (struct lane){.mill = mill, .set = set};
    mill_open(mill, &l->body);
}

static bool overlap(struct str v, const char *p, size_t n)
{
    return v.n > 0 && v.p < p + n && p < v.p + v.n;
}

size_t lane_room(struct lane *l, const char *p, size_t n)
{
    if (l->piece.n > 0 && p != l->piece.p + l->piece.n) start(l);
    if (l->piece.n == 0) l->piece.p = p;
    if (n > LANE_PIECE - l->piece.n) n = LANE_PIECE - l->piece.n;
    if (overlap(l->hashed, p, n)) join(l);
    return n;
}

void lane_filled(struct lane *l, size_t n)
{
    ASSERT(n <= LANE_PIECE - l->piece.n);
    l->piece.n += n;
    if (l->piece.n == LANE_PIECE) start(l);
}

void lane_close(struct lane *l)
{
    start(l);
    join(l);
    mill_close(l->mill, &l->body);
}
