/* The store in memory passes the conformance suite. */
#include "conformance/store_suite.h"
#include "store/memory.h"

static void open_memory(struct store *s, uint64_t capacity)
{
    ASSERT(store_memory_new(s, capacity) == ERR_OK);
}

struct call {
    pthread_t thread;
    void (*fn)(void *arg, unsigned i);
    void *arg;
    unsigned i;
};

static void *run_call(void *p)
{
    struct call *c = p;
    c->fn(c->arg, c->i);
    return NULL;
}

static void threads(unsigned n, void (*fn)(void *arg, unsigned i), void *arg)
{
    struct call calls[64];
    ASSERT(n <= 64);
    for (unsigned i = 0; i < n; i++) {
        calls[i] = (struct call){.fn = fn, .arg = arg, .i = i};
        ASSERT(pthread_create(&calls[i].thread, NULL, run_call, &calls[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++) pthread_join(calls[i].thread, NULL);
}

int main(void)
{
    static const struct fixture memory = {open_memory, store_memory_free, memory_blob_corrupt, threads, NULL};
    return run_suite("store in memory", &memory);
}
