#include "base/log.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/codec.h"
#include "sys/sys.h" /* the clock: a simulated server logs simulated time */

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_TAIL 32   /* kept free for the end of the line */
#define VALUE_MAX 2048 /* bytes of one value before escaping */

static _Atomic int least_level = LOG_LEVEL_INFO;
static _Atomic int out_fd = STDERR_FILENO;
static _Atomic bool as_json = true;

/* A line in the making. What does not fit is left out whole and `cut` remembers it. */
struct line {
    char *p;
    size_t n, cap;
    bool cut;
};

void log_setup(enum log_level least, enum log_format format, int fd)
{
    if (fd < 0) fd = STDERR_FILENO;
    atomic_store(&least_level, (int)least);
    atomic_store(&out_fd, fd);
    atomic_store(&as_json, format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && !isatty(fd)));
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

static void add(struct line *l, const char *p, size_t n)
{
    if (l->cut || n > l->cap - l->n) {
        l->cut = true;
        return;
    }
    memcpy(l->p + l->n, p, n);
    l->n += n;
}

static void add_str(struct line *l, struct str s)
{
    if (s.n) add(l, s.p, s.n);
}

/* One character as JSON wants it; the text form uses the same escapes. Control characters, C1 too, never
 * reach a terminal. */
static void add_escaped(struct line *l, struct str raw, uint32_t cp)
{
    char e[8];
    switch (cp) {
    case '"':
        add(l, "\\\"", 2);
        return;
    case '\\':
        add(l, "\\\\", 2);
        return;
    case '\n':
        add(l, "\\n", 2);
        return;
    case '\r':
        add(l, "\\r", 2);
        return;
    case '\t':
        add(l, "\\t", 2);
        return;
    }
    if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
        snprintf(e, sizeof e, "\\u%04x", (unsigned)cp);
        add(l, e, 6);
    } else {
        add_str(l, raw);
    }
}

/* How many bytes at the front need no escape. */
static size_t plain_run(struct str s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= ' ' && s.p[n] < 0x7f && s.p[n] != '"' && s.p[n] != '\\') n++;
    return n;
}

static void add_quoted(struct line *l, struct str s)
{
    bool shortened = s.n > VALUE_MAX;
    if (shortened) s.n = VALUE_MAX;
    add(l, "\"", 1);
    while (s.n) {
        size_t run = plain_run(s);
        if (run) {
            add(l, s.p, run);
            s = str_slice(s, run, s.n);
            continue;
        }
        uint32_t cp = 0;
        size_t len = utf8_next(s, &cp);
        if (len)
            add_escaped(l, str_of(s.p, len), cp);
        else
            add(l, "\\ufffd", 6);
        s = str_slice(s, len ? len : 1, s.n);
    }
    if (shortened) add_str(l, STR("..."));
    add(l, "\"", 1);
}

static bool plain(struct str s)
{
    if (s.n == 0 || s.n > VALUE_MAX) return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\' || s.p[i] >= 0x7f) return false;
    return true;
}

static void add_value(struct line *l, const struct log_field *f, bool json)
{
    char d[40];
    switch (f->kind) {
    case LOG_F_STR:
        if (!json && plain(f->s))
            add_str(l, f->s);
        else
            add_quoted(l, f->s);
        return;
    case LOG_F_INT:
        snprintf(d, sizeof d, "%lld", (long long)f->i);
        break;
    case LOG_F_UINT:
        snprintf(d, sizeof d, "%llu", (unsigned long long)f->i);
        break;
    case LOG_F_DOUBLE:
        snprintf(d, sizeof d, isfinite(f->d) ? "%.9g" : "null", f->d);
        break;
    case LOG_F_BOOL:
        snprintf(d, sizeof d, "%s", f->i ? "true" : "false");
        break;
    }
    add_str(l, str_c(d));
}

/* A field goes in whole or not at all, so that a cut line is still valid JSON. */
static void add_field(struct line *l, const struct log_field *f, bool json)
{
    size_t before = l->n;
    if (json) {
        add(l, ",", 1);
        add_quoted(l, str_c(f->name));
        add(l, ":", 1);
    } else {
        add(l, " ", 1);
        add_str(l, str_c(f->name));
        add(l, "=", 1);
    }
    add_value(l, f, json);
    if (l->cut) l->n = before;
}

static void add_head(struct line *l, enum log_level level, struct str msg, bool json)
{
    static const char *const lower[] = {"debug", "info", "warn", "error"};
    static const char *const upper[] = {"DEBUG ", "INFO  ", "WARN  ", "ERROR "};
    char now[TIME_ISO_SIZE];
    time_iso(sys->real_ms(), now);
    if (!json) {
        add_str(l, str_c(now));
        add(l, " ", 1);
        add_str(l, str_c(upper[level]));
        struct line quoted = *l;
        add_quoted(&quoted, msg);
        /* The message without its quotes: escaped, yet readable. */
        size_t n = quoted.n - l->n;
        memmove(l->p + l->n, l->p + l->n + 1, n - 2);
        l->n += n - 2;
        return;
    }
    add_str(l, STR("{\"time\":\""));
    add_str(l, str_c(now));
    add_str(l, STR("\",\"level\":\""));
    add_str(l, str_c(lower[level]));
    add_str(l, STR("\",\"msg\":"));
    add_quoted(l, msg);
}

size_t log_render(enum log_level level, struct str msg, const struct log_field *fields, size_t n, char *out,
                  size_t cap)
{
    ASSERT(cap >= LOG_LINE_MAX);
    bool json = atomic_load_explicit(&as_json, memory_order_relaxed);
    struct line l = {.p = out, .cap = LOG_LINE_MAX - LINE_TAIL};
    add_head(&l, level, msg, json);
    for (size_t i = 0; i < n && !l.cut; i++) add_field(&l, &fields[i], json);
    bool cut = l.cut;
    l.cut = false;
    l.cap = LOG_LINE_MAX;
    if (cut) add_str(&l, json ? STR(",\"cut\":true") : STR(" cut=true"));
    add_str(&l, json ? STR("}\n") : STR("\n"));
    return l.n;
}

void log_write(const char *p, size_t n)
{
    int fd = atomic_load(&out_fd);
    for (size_t done = 0; done < n;) {
        ssize_t w = write(fd, p + done, n - done);
        if (w > 0)
            done += (size_t)w;
        else if (w == 0 || errno != EINTR)
            return; /* a log that cannot be written stops nobody */
    }
}

void log_line(enum log_level level, struct str msg, const struct log_field *fields, size_t n)
{
    /* Not on the stack: fibers have small ones. No fiber switches inside this function. */
    static _Thread_local char memory[LOG_LINE_MAX];
    if (log_enabled(level)) log_write(memory, log_render(level, msg, fields, n, memory, sizeof memory));
}
