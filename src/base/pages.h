/* Memory for bulk copies, aligned like the pages that bytes come from.
 *
 * Some processors (AMD's Zen 3 and 4) copy three times as slowly by `rep movsb`, which the kernel uses, to a
 * place that lies 1 to 63 bytes further into its page than the source does; malloc's large blocks lie 16
 * bytes into a page, and the page cache's bytes at its beginning (`make bench-send`). */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>
#include <stdlib.h>

#define PAGE_BYTES ((size_t)4096)

static inline size_t pages_round(size_t n)
{
    return (n + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* n bytes, rounded up to pages; NULL when memory is out; for free(). */
static inline void *pages_alloc(size_t n)
{
    return aligned_alloc(PAGE_BYTES, pages_round(n));
}

#endif
