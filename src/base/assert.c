#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void assert_failed(const char *expr, const char *file, int line, const char *func)
{
    /* Straight to the descriptor: the log and the heap may be what is broken. */
    char s[512];
    int n = snprintf(s, sizeof s, "ingot: assertion failed: %s (%s:%d, %s)\n", expr, file, line, func);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof s ? (size_t)n : sizeof s - 1;
    ssize_t written = write(STDERR_FILENO, s, len);
    (void)written;
    abort();
}
