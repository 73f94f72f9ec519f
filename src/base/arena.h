/* arena: memory that lives as long as one request, freed at once, with cleanup handlers.
 *
 * One owner, one thread at a time. A ceiling is set at creation: what would pass it aborts nothing; the
 * allocation returns NULL and the arena latches arena_overflowed(). Callers that size by input check for
 * NULL; memory that the kernel or another thread may still own never comes from an arena.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena;

struct arena *arena_new(size_t max_bytes); /* 0: 64 MiB; NULL when memory is out */
/* From now on take is asked before the arena grows beyond its first ARENA_FIRST bytes (false: as if memory
 * were out), and give is told what went back. */
struct arena_budget {
    bool (*take)(void *arg, size_t n);
    void (*give)(void *arg, size_t n);
    void *arg;
};
void arena_set_budget(struct arena *a, const struct arena_budget *b); /* copied */
#define ARENA_FIRST ((size_t)8192)
void arena_free(struct arena *a);  /* runs handlers, newest first, then frees */
void arena_reset(struct arena *a); /* as free, but keeps the first chunk for reuse */
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc)); /* zeroed, 16-byte aligned */
void *arena_alloc_raw(struct arena *a, size_t n);                     /* not zeroed */
struct str arena_dup(struct arena *a, struct str s); /* copy; the copy is also NUL-terminated */
struct str arena_fmt(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Call fn(arg) when the arena is freed or reset. */
bool arena_defer(struct arena *a, void (*fn)(void *), void *arg);
bool arena_overflowed(const struct arena *a);
size_t arena_used(const struct arena *a);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n)                                                                              \
    ((n) > SIZE_MAX / sizeof(type) ? NULL : (type *)arena_alloc((a), (n) * sizeof(type)))

#endif
