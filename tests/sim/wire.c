#include "world.h"
void wire_send(struct client *c, const struct op *op, struct answer *a)
{
    direct_send(c->w, op, a);
}
void wire_close(struct client *c)
{
    (void)c;
}
void server_start(struct world *w)
{
    (void)w;
}
void server_stop(struct world *w)
{
    (void)w;
}
