/* The engine passes the conformance suite, on a data directory of its own. */
#include "conformance/store_suite.h"
#include "conformance/store_engine.h"

static void open_store_dir(struct store *s, uint64_t capacity)
{
    /* A small disk, so that it fills fast; segments to match. */
    struct engine_options small = {.segment_bytes = 4 << 20};
    engine_dir_make();
    engine_dir_open(s, capacity ? &small : NULL);
    if (capacity) quota_install(capacity);
}

static void close_store_dir(struct store *s)
{
    engine_close(s);
    quota_remove();
    engine_dir_remove();
}

static void settle(struct store *s)
{
    ASSERT(extents_settle_frees(engine_of(s)->extents) == ERR_OK);
}

int main(void)
{
    static const struct fixture engine = {open_store_dir, close_store_dir, engine_corrupt, engine_parallel,
                                          settle};
    return run_suite("engine", &engine);
}
