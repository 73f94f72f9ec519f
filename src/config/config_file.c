/* The configuration file: lines of `name = value`; blank lines and lines that start with '#' are skipped. A
 * value is all that follows '=', trimmed; it is not quoted. Names are those of the table; an unknown one is
 * refused. */
#include "config/config_impl.h"

#include "sys/sys.h"

#include <sys/stat.h>

#define FILE_MAX_BYTES (1u << 20)

static err read_line(struct config *c, const char *path, unsigned number, struct str line,
                     char why[CONFIG_WHY])
{
    struct str value = line;
    struct str name = str_trim(str_cut(&value, '='));
    value = str_trim(value);
    enum setting s;
    if (!value.p) {
        struct str word = str_cut(&line, ' '); /* what follows may be a secret */
        snprintf(why, CONFIG_WHY, "%s:%u: '%.*s' has no '='; allowed: name = value", path, number,
                 STR_FMT(str_slice(word, 0, 100)));
        return ERR_INVALID_SETTING;
    }
    if (!setting_by_name(name, &s) || s == SET_CONFIG) {
        snprintf(why, CONFIG_WHY,
                 "%s:%u: setting '%.*s' is not known; allowed: a name that `ingot config` lists", path,
                 number, STR_FMT(str_slice(name, 0, 100)));
        return ERR_INVALID_SETTING;
    }
    return config_give(c, s, RANK_FILE, arena_fmt(c->arena, "%s:%u", path, number), value, why);
}

static err read_lines(struct config *c, const char *path, struct str text, char why[CONFIG_WHY])
{
    for (unsigned number = 1; text.p; number++) {
        struct str line = str_cut(&text, '\n');
        if (str_ends(line, STR("\r"))) line.n--;
        line = str_trim(line);
        if (line.n == 0 || line.p[0] == '#') continue;
        err e = read_line(c, path, number, line, why);
        if (e) return e;
    }
    return ERR_OK;
}

static void warn_if_secret_is_open(struct config *c, const char *path)
{
    struct stat st;
    if (c->v[SET_SECRET_KEY].rank != RANK_FILE || stat(path, &st) != 0 || !(st.st_mode & 007)) return;
    config_warn(c, arena_fmt(c->arena, "%s holds secret-key and may be read by others; chmod 600 it", path));
}

err config_read_file(struct config *c, const char *path, char why[CONFIG_WHY])
{
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    err e = sys_read_file(path, FILE_MAX_BYTES, &text);
    if (e) {
        snprintf(why, CONFIG_WHY,
                 "config: '%.300s' (%s) cannot be read: %s; allowed: a readable file of at most 1 MiB", path,
                 c->v[SET_CONFIG].source.p, e == ERR_NOT_FOUND ? "no such file" : err_name(e));
        e = ERR_INVALID_SETTING;
    } else {
        e = read_lines(c, path, buf_view(&text), why);
    }
    if (!e) warn_if_secret_is_open(c, path);
    if (text.p) explicit_bzero(text.p, text.n); /* it may hold a secret */
    buf_free(&text);
    return e;
}
