#include "base/arena.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif

#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define RED_ZONE       16 /* poisoned bytes behind each allocation, so that ASan sees an overrun */
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define RED_ZONE       0
#endif

#define ARENA_MAGIC   0x0a7e4a01u
#define ARENA_DEFAULT ((size_t)64 << 20)
#define FIRST_CHUNK   ARENA_FIRST /* with the arena itself inside: a small request costs one malloc */
#define MAX_CHUNK     (256 * 1024)

struct chunk {
    struct chunk *next;
    size_t size, used; /* of data */
    _Alignas(16) char data[];
};

struct deferred {
    struct deferred *next;
    void (*fn)(void *);
    void *arg;
};

struct arena {
    unsigned magic;
    bool overflowed;
    size_t used, max;
    struct chunk *first;   /* holds the arena itself; freed last */
    struct chunk *current; /* where small allocations come from */
    struct chunk *extra;   /* all chunks but the first */
    struct deferred *deferred;
    struct arena_budget budget; /* take NULL: none */
};

static struct chunk *chunk_new(size_t size)
{
    struct chunk *c = malloc(sizeof *c + size);
    if (!c) return NULL;
    c->next = NULL;
    c->size = size;
    c->used = 0;
    POISON(c->data, size);
    return c;
}

static void *chunk_take(struct chunk *c, size_t n)
{
    size_t step = ((n + 15) & ~(size_t)15) + RED_ZONE;
    if (step > c->size - c->used) return NULL;
    char *p = c->data + c->used;
    c->used += step;
    UNPOISON(p, n);
    return p;
}

#define SELF_SIZE (((sizeof(struct arena) + 15) & ~(size_t)15) + RED_ZONE)

struct arena *arena_new(size_t max_bytes)
{
    struct chunk *c = chunk_new(FIRST_CHUNK - sizeof(struct chunk));
    if (!c) return NULL;
    struct arena *a = chunk_take(c, sizeof *a);
    *a = (struct arena){
        .magic = ARENA_MAGIC, .max = max_bytes ? max_bytes : ARENA_DEFAULT, .first = c, .current = c};
    return a;
}

static void run_deferred(struct arena *a)
{
    for (struct deferred *d; (d = a->deferred) != NULL;) {
        a->deferred = d->next;
        d->fn(d->arg);
    }
}

static void drop_extra(struct arena *a)
{
    for (struct chunk *c; (c = a->extra) != NULL;) {
        a->extra = c->next;
        UNPOISON(c->data, c->size);
        if (a->budget.take) a->budget.give(a->budget.arg, sizeof *c + c->size);
        free(c);
    }
    a->current = a->first;
}

void arena_free(struct arena *a)
{
    if (!a) return;
    CHECK_MAGIC(a, ARENA_MAGIC);
    run_deferred(a);
    drop_extra(a);
    struct chunk *first = a->first;
    a->magic = 0;
    UNPOISON(first->data, first->size);
    free(first);
}

void arena_reset(struct arena *a)
{
    CHECK_MAGIC(a, ARENA_MAGIC);
    run_deferred(a);
    drop_extra(a);
    a->first->used = SELF_SIZE;
    POISON(a->first->data + SELF_SIZE, a->first->size - SELF_SIZE);
    a->used = 0;
    a->overflowed = false;
}

void arena_set_budget(struct arena *a, const struct arena_budget *b)
{
    CHECK_MAGIC(a, ARENA_MAGIC);
    ASSERT(!a->extra);
    a->budget = *b;
}

static struct chunk *chunk_in_budget(struct arena *a, size_t size)
{
    const struct arena_budget *b = &a->budget;
    size_t bytes = sizeof(struct chunk) + size;
    if (b->take && !b->take(b->arg, bytes)) return NULL;
    struct chunk *c = chunk_new(size);
    if (!c && b->take) b->give(b->arg, bytes);
    return c;
}

static void *take_from_new(struct arena *a, size_t n)
{
    size_t size = a->current->size * 2 < MAX_CHUNK ? a->current->size * 2 : MAX_CHUNK;
    size_t need = ((n + 15) & ~(size_t)15) + RED_ZONE;
    /* A large allocation gets a chunk of its own, and the current chunk keeps its free tail. */
    bool own = need > size / 2;
    struct chunk *c = chunk_in_budget(a, own ? need : size);
    if (!c) return NULL;
    c->next = a->extra;
    a->extra = c;
    if (!own) a->current = c;
    return chunk_take(c, n);
}

void *arena_alloc_raw(struct arena *a, size_t n)
{
    CHECK_MAGIC(a, ARENA_MAGIC);
    if (n == 0) n = 1; /* distinct, valid pointers */
    if (n > a->max - a->used || n > SIZE_MAX / 2) {
        a->overflowed = true;
        return NULL;
    }
    void *p = chunk_take(a->current, n);
    if (!p) p = take_from_new(a, n);
    if (!p) {
        a->overflowed = true;
        return NULL;
    }
    a->used += n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p = arena_alloc_raw(a, n);
    if (p) memset(p, 0, n);
    return p;
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc_raw(a, s.n + 1) : NULL;
    if (!p) return STR_NONE;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return str_of(p, s.n);
}

struct str arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : arena_alloc_raw(a, (size_t)n + 1);
    if (!p) return STR_NONE;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return str_of(p, (size_t)n);
}

bool arena_defer(struct arena *a, void (*fn)(void *), void *arg)
{
    struct deferred *d = arena_alloc_raw(a, sizeof *d);
    if (!d) return false;
    *d = (struct deferred){.next = a->deferred, .fn = fn, .arg = arg};
    a->deferred = d;
    return true;
}

bool arena_overflowed(const struct arena *a)
{
    return a->overflowed;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}
