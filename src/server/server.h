/* server: puts the layers together, serves, and ends well.
 *
 * Order of things: settings → runtime → listeners (only health answers) → store → root credentials → objects
 * → auth → api → ready. SIGTERM or SIGINT: readiness says no, drain-delay passes, listeners close, running
 * requests finish within drain-time, the store closes. A second such signal ends the process at once; nothing
 * acknowledged is lost by that either. SIGHUP reads settings and certificates again.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "config/config.h"

/* Serves until a signal; returns the exit code: 0 drained, 1 cut at the end of drain-time or the store
 * failed, 2 a name to listen at cannot be looked up, 3 could not start. The caller's config stays the
 * caller's; args must stay valid, SIGHUP loads them again. */
int server_run(const struct config *c, const struct config_args *args);

#endif
