/* notify: the service manager's side channel (sd_notify(3)), over the datagram socket that NOTIFY_SOCKET
 * names; without that variable every call does nothing. Any thread; never blocks. */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include <stdint.h>

/* Lines as sd_notify takes them: "READY=1\nSTATUS=serving". */
void notify_send(const char *lines);
void notify_reloading(void);
/* How often the manager wants to hear WATCHDOG=1, in ns (half of what it allows); 0: not at all. */
int64_t notify_watchdog_ns(void);

#endif
