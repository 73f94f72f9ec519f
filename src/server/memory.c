/* When freed memory goes back to the machine. mimalloc gives it back 25 ms after it was freed, within a
 * malloc or free of whoever comes by, which may be a loop. What a server frees it needs again: with 100 ms
 * the calls for it halve (docs/decisions/0001-event-loop.md) and as little stays after a burst.
 */
#include "server/server_impl.h"

#include <mimalloc.h>

#define GIVE_BACK_MS 100

/* The sanitizers' builds have an allocator of their own. */
#pragma weak mi_option_set_default

void memory_setup(void)
{
    if (mi_option_set_default) mi_option_set_default(mi_option_decommit_delay, GIVE_BACK_MS);
}
