#include "server/notify.h"

#include "base/str.h"
#include "sys/sys.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_send(const char *lines)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@')) return;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') to.sun_path[0] = 0; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    /* A manager that does not listen is no reason to stop serving. */
    (void)!sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (const struct sockaddr *)&to, length);
    close(fd);
}

void notify_reloading(void)
{
    char lines[80]; /* the time lets the manager tell this reload from an earlier one */
    snprintf(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(sys->mono_ns() / 1000));
    notify_send(lines);
}

int64_t notify_watchdog_ns(void)
{
    uint64_t us = 0, pid = 0;
    const char *for_pid = getenv("WATCHDOG_PID");
    if (!str_to_u64(str_c(getenv("WATCHDOG_USEC")), &us) || us > INT64_MAX / 1000) return 0;
    if (for_pid && (!str_to_u64(str_c(for_pid), &pid) || pid != (uint64_t)getpid())) return 0;
    return (int64_t)us * 1000 / 2;
}
