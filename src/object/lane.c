#include "object/lane.h"
#include "base/assert.h"

static void start(struct lane *l)
{
    if (l->piece.n == 0) return;
    mill_wait(l->mill, &l->body, MILL_PIECES - 1);
    l->given[l->ngiven++ % MILL_PIECES] = l->piece;
    mill_put(l->mill, &l->body, l->piece);
    l->piece = STR_NONE;
}

void lane_open(struct lane *l, struct mill *mill, struct hash_set *set)
{
    *l = (struct lane){.mill = mill};
    mill_open(mill, &l->body, set);
}

/* Pieces given earlier than the last MILL_PIECES are hashed. */
static void wait_for_room(struct lane *l, const char *p, size_t n)
{
    for (unsigned i = 0; i < MILL_PIECES && i < l->ngiven; i++) {
        struct str v = l->given[(l->ngiven - 1 - i) % MILL_PIECES];
        if (v.p >= p + n || p >= v.p + v.n) continue;
        mill_wait(l->mill, &l->body, i);
        return;
    }
}

size_t lane_room(struct lane *l, const char *p, size_t n)
{
    if (l->piece.n > 0 && p != l->piece.p + l->piece.n) start(l);
    if (l->piece.n == 0) l->piece.p = p;
    if (n > LANE_PIECE - l->piece.n) n = LANE_PIECE - l->piece.n;
    wait_for_room(l, p, n);
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
    mill_wait(l->mill, &l->body, 0);
    mill_close(l->mill, &l->body);
}
