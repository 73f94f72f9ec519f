/* Arrays that grow, and the order of numbers for qsort and bsearch.
 *
 * Array, count and capacity are the caller's: its lock guards them, and it frees the array. */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARRAY_FIRST ((size_t)64) /* elements of a first allocation, if max allows them */

/* Room for `want` elements of `size` bytes, at most max (SIZE_MAX: memory is the bound). array: the address
 * of the pointer to the first one; NULL with a *cap of 0 at the beginning. The capacity at least doubles up
 * to max; new elements are not zeroed. false, beyond max or when memory is out: array and *cap stay as they
 * were. */
static inline bool array_grow(void *array, size_t *cap, size_t want, size_t size, size_t max)
{
    if (want <= *cap) return true;
    if (max > PTRDIFF_MAX / size) max = PTRDIFF_MAX / size;
    if (want > max) return false;
    size_t to = *cap == 0 ? ARRAY_FIRST : *cap > max / 2 ? max : 2 * *cap;
    if (to < want) to = want;
    if (to > max) to = max;
    void **p = array, *grown = realloc(*p, to * size);
    if (!grown) return false;
    *p = grown;
    *cap = to;
    return true;
}

/* Ascending. Numbers, or structures that begin with one and are ordered by it alone. */
static inline int array_by_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}
static inline int array_by_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

#endif
