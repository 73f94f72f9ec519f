/* Stacks: mmapped, a guard page below, the fiber's record at the top. Kept per loop, then between the loops,
 * then given back. The guard makes two mappings a stack; rt_new keeps max_fibers far below vm.max_map_count.
 */
#include "rt/rt_int.h"
#include <sys/mman.h>
#include <unistd.h>

#ifdef RT_ASAN
#include <sanitizer/asan_interface.h>
#endif
#ifdef RT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

static struct rt_fiber *stack_map(size_t stack_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (stack_bytes + sizeof(struct rt_fiber) + 2 * page - 1) / page * page;
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (mprotect(p, page, PROT_NONE) != 0) {
        munmap(p, bytes);
        return NULL;
    }
    struct rt_fiber *f = (struct rt_fiber *)(void *)(p + bytes - (sizeof *f + 63) / 64 * 64);
    f->map = p;
    f->map_bytes = bytes;
#ifdef RT_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

/* The frames of the fiber that ended were never left: forget the sanitizer's marks around them. */
static void stack_clean(struct rt_fiber *f)
{
#ifdef RT_ASAN
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    __asan_unpoison_memory_region(f->map + page, f->map_bytes - page);
#else
    (void)f;
#endif
}

void stack_free(struct rt_fiber *f)
{
    stack_clean(f);
#ifdef RT_TSAN
    __tsan_destroy_fiber(f->tsan);
#endif
    munmap(f->map, f->map_bytes);
}

struct rt_fiber *stack_get(struct rt *r)
{
    struct rt_loop *l = rt_self();
    if (l && l->nstacks > 0) return l->stacks[--l->nstacks];
    struct rt_fiber *f = NULL;
    if (rt_latch_try(&r->stacks_guard)) { /* else a new one, for this may run in no fiber */
        if (r->nspare > 0) f = r->spare[--r->nspare];
        rt_latch_unlock(&r->stacks_guard);
    }
    return f ? f : stack_map(r->o.stack_bytes);
}

void stack_put(struct rt_loop *l, struct rt_fiber *f)
{
    f->magic = 0;
    stack_clean(f);
    if (l->nstacks < STACK_CACHE) {
        l->stacks[l->nstacks++] = f;
        return;
    }
    struct rt *r = l->rt;
    bool ours = rt_latch_try(&r->stacks_guard), kept = ours && r->nspare < STACK_SPARE;
    if (kept) r->spare[r->nspare++] = f;
    if (ours) rt_latch_unlock(&r->stacks_guard);
    if (!kept) stack_free(f);
}
