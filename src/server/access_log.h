/* access_log: one line a request, gathered per loop and written some lines at once by a worker, at the latest
 * after ACCESS_LOG_DELAY. A line a write costs a fifth of a small request's time; a loop would also wait for
 * a slow reader of the log. When a worker still writes the loop's former lines and the buffer is full, the
 * loop writes itself: nothing is dropped. What a kill -9 catches in a buffer is lost. */
#ifndef SERVER_ACCESS_LOG_H
#define SERVER_ACCESS_LOG_H

#include "base/log.h"
#include "rt/rt.h"

#define ACCESS_LOG_DELAY (100 * RT_MS)
#define ACCESS_LOG_BYTES (64u << 10) /* two of them a loop, made at the first line */

struct access_log;
struct access_log *access_log_new(unsigned loops); /* NULL when memory is out */
void access_log_add(struct access_log *a, const struct log_field *fields, size_t n); /* on a loop */
void access_log_free(struct access_log *a); /* after the loops ended: writes what is left */

#endif
