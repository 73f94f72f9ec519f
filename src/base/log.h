/* Structured log to standard error: text for a terminal, JSON otherwise. Thread-safe; one write a line.
 * Never pass a secret: values go out as they are, escaped.
 *     LOG_INFO("listening", LF_S("addr", addr), LF_I("port", 9000));
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
    const char *name;
    enum { LOG_F_STR, LOG_F_INT, LOG_F_UINT, LOG_F_DOUBLE, LOG_F_BOOL } kind;
    struct str s;
    int64_t i;
    double d;
};
#define LF_S(n, v) ((struct log_field){.name = (n), .kind = LOG_F_STR, .s = (v)})
#define LF_Z(n, v) ((struct log_field){.name = (n), .kind = LOG_F_STR, .s = str_c(v)})
#define LF_I(n, v) ((struct log_field){.name = (n), .kind = LOG_F_INT, .i = (int64_t)(v)})
#define LF_U(n, v) ((struct log_field){.name = (n), .kind = LOG_F_UINT, .i = (int64_t)(v)})
#define LF_D(n, v) ((struct log_field){.name = (n), .kind = LOG_F_DOUBLE, .d = (v)})
#define LF_B(n, v) ((struct log_field){.name = (n), .kind = LOG_F_BOOL, .i = (v)})

void log_setup(enum log_level least, enum log_format format, int fd /* -1: standard error */);
bool log_enabled(enum log_level level);
void log_line(enum log_level level, struct str msg, const struct log_field *fields, size_t n);

/* The parts of log_line, for who gathers lines and writes many at once: the line into out (cap >=
 * LOG_LINE_MAX), its length returned; and writing bytes where the log goes. log_enabled is the caller's to
 * ask. */
#define LOG_LINE_MAX 16384
size_t log_render(enum log_level level, struct str msg, const struct log_field *fields, size_t n, char *out,
                  size_t cap);
void log_write(const char *p, size_t n);

#define LOG_AT(lv, msg, ...)                                                                                 \
    do {                                                                                                     \
        if (log_enabled(lv)) {                                                                               \
            const struct log_field lf_[] = {{0}, ##__VA_ARGS__};                                             \
            log_line((lv), (msg), lf_ + 1, sizeof lf_ / sizeof *lf_ - 1);                                    \
        }                                                                                                    \
    } while (0)
#define LOG_DEBUG(msg, ...) LOG_AT(LOG_LEVEL_DEBUG, STR(msg), ##__VA_ARGS__)
#define LOG_INFO(msg, ...)  LOG_AT(LOG_LEVEL_INFO, STR(msg), ##__VA_ARGS__)
#define LOG_WARN(msg, ...)  LOG_AT(LOG_LEVEL_WARN, STR(msg), ##__VA_ARGS__)
#define LOG_ERROR(msg, ...) LOG_AT(LOG_LEVEL_ERROR, STR(msg), ##__VA_ARGS__)

#endif
