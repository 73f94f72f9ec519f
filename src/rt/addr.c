/* Addresses as text. */
#include "rt/rt.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

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
    if (host.n == 0 || str_eq(host, STR("*"))) return parse_six("::", port, out);
    bool six = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (six) host = str_slice(host, 1, host.n - 1);
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

/* ---- names ---- */

#define NAME_MAX_BYTES 253u

/* What the resolver would take for a numeric address in an odd form is none: a name has a letter. */
static bool is_name(struct str host)
{
    bool letter = false;
    if (host.n == 0 || host.n > NAME_MAX_BYTES || host.p[0] == '-' || host.p[0] == '.') return false;
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        letter |= alpha;
        if (!alpha && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_') return false;
    }
    return letter && !str_starts(host, STR("0x"));
}

bool rt_addr_valid(struct str text)
{
    struct rt_addr a;
    struct str host;
    uint16_t port;
    return rt_addr_parse(text, &a) == ERR_OK || (split(text, &host, &port) && is_name(host));
}

/* A name may have an IPv6 address although the machine has no IPv6. */
static bool usable(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    struct sockaddr_storage any;
    memcpy(&any, ai->ai_addr, ai->ai_addrlen);
    /* The port lies in the same place in both families. */
    ((struct sockaddr_in *)&any)->sin_port = 0;
    int rc = bind(fd, (const struct sockaddr *)&any, ai->ai_addrlen);
    bool lacking = rc < 0 && ai->ai_family == AF_INET6 && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT);
    close(fd);
    return !lacking;
}

static void add_address(const struct addrinfo *ai, uint16_t port, struct rt_addr out[RT_ADDRS_MAX],
                        unsigned *n)
{
    struct rt_addr a = {.len = ai->ai_addrlen};
    if ((ai->ai_family != AF_INET && ai->ai_family != AF_INET6) || *n == RT_ADDRS_MAX || !usable(ai)) return;
    memcpy(&a.ss, ai->ai_addr, ai->ai_addrlen);
    ((struct sockaddr_in *)&a.ss)->sin_port = htons(port);
    for (unsigned i = 0; i < *n; i++)
        if (out[i].len == a.len && memcmp(&out[i].ss, &a.ss, a.len) == 0) return;
    out[(*n)++] = a;
}

err rt_addr_resolve(struct str text, struct rt_addr out[RT_ADDRS_MAX], unsigned *n)
{
    struct str host;
    uint16_t port;
    char z[NAME_MAX_BYTES + 1];
    *n = 0;
    if (rt_addr_parse(text, &out[0]) == ERR_OK) return *n = 1, ERR_OK;
    if (!split(text, &host, &port) || !is_name(host)) return ERR_INVALID_SETTING;
    memcpy(z, host.p, host.n);
    z[host.n] = 0;
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    if (getaddrinfo(z, NULL, &want, &list) != 0) return ERR_NOT_FOUND;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) add_address(ai, port, out, n);
    freeaddrinfo(list);
    return *n ? ERR_OK : ERR_NOT_FOUND;
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
