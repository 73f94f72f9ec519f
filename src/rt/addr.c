/* Addresses as text. */
#include "rt/rt.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

static err parse_unix(struct str path, struct rt_addr *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->ss;
    if (path.n == 0 || path.n >= sizeof un->sun_path || memchr(path.p, 0, path.n)) return ERR_INVALID_SETTING;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    return ERR_OK;
}

/* Cut "host:port" at its last colon. */
static bool split(struct str text, struct str *host, uint16_t *port)
{
    size_t at = text.n;
    while (at > 0 && text.p[at - 1] != ':') at--;
    uint64_t v;
    if (at == 0 || !str_to_u64(str_slice(text, at, text.n), &v) || v > 65535) return false;
    *host = str_slice(text, 0, at - 1);
    *port = (uint16_t)v;
    return true;
}

static err parse_six(const char *host, uint16_t port, struct rt_addr *out)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out->ss;
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1) return ERR_INVALID_SETTING;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    out->len = sizeof *six;
    return ERR_OK;
}

err rt_addr_parse(struct str text, struct rt_addr *out)
{
    memset(out, 0, sizeof *out);
    if (str_starts(text, STR("unix:"))) return parse_unix(str_slice(text, 5, text.n), out);
    struct str host;
    uint16_t port;
    char z[INET6_ADDRSTRLEN];
    if (!split(text, &host, &port)) return ERR_INVALID_SETTING;
    if (host.n == 0) return parse_six("::", port, out);
    bool six = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (six) host = str_slice(host, 1, host.n - 1);
    if (str_eq(host, STR("localhost"))) host = STR("127.0.0.1");
    if (host.n >= sizeof z) return ERR_INVALID_SETTING;
    memcpy(z, host.p, host.n);
    z[host.n] = 0;
    if (six) return parse_six(z, port, out);
    struct sockaddr_in *four = (struct sockaddr_in *)&out->ss;
    if (inet_pton(AF_INET, z, &four->sin_addr) != 1) return ERR_INVALID_SETTING;
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    out->len = sizeof *four;
    return ERR_OK;
}

void rt_addr_format(const struct rt_addr *a, char out[128])
{
    char host[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *four = (const struct sockaddr_in *)&a->ss;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&a->ss;
    if (a->ss.ss_family == AF_UNIX) {
        /* A peer has no path; one that fills the field has no NUL. */
        size_t n = a->len - offsetof(struct sockaddr_un, sun_path);
        if (a->len <= offsetof(struct sockaddr_un, sun_path)) n = 0;
        snprintf(out, 128, "unix:%.*s", (int)n, ((const struct sockaddr_un *)&a->ss)->sun_path);
    } else if (a->ss.ss_family == AF_INET) {
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        snprintf(out, 128, "%s:%u", host, ntohs(four->sin_port));
    } else if (a->ss.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, host, sizeof host);
        snprintf(out, 128, "%s:%u", host, ntohs(six->sin6_port));
    } else if (a->ss.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        snprintf(out, 128, "[%s]:%u", host, ntohs(six->sin6_port));
    } else {
        snprintf(out, 128, "?");
    }
}
