/* Settings as text: `ingot config`, the flags of --help, docs/settings.md. */
#include "config/config_impl.h"

static struct str shown(const struct config *c, enum setting s)
{
    if (setting_row(s)->type != SETTING_SECRET || c->v[s].text.n == 0) return c->v[s].text;
    return STR("********");
}

void config_print(const struct config *c, struct buf *out)
{
    size_t wide = 5;
    for (enum setting s = 0; s < SETTINGS; s++) {
        size_t n = shown(c, s).n;
        if (n > wide && n <= 40) wide = n;
    }
    buf_fmt(out, "%-16s  %-*s  %s\n", "SETTING", (int)wide, "VALUE", "FROM");
    for (enum setting s = 0; s < SETTINGS; s++) {
        struct str v = shown(c, s);
        if (v.n == 0) v = STR("-");
        buf_fmt(out, "%-16s  %-*.*s  %.*s\n", setting_row(s)->name, (int)wide, STR_FMT(v),
                STR_FMT(c->v[s].source));
    }
}

static void json_string(struct buf *out, struct str s)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch == '"' || ch == '\\')
            buf_fmt(out, "\\%c", ch);
        else if (ch < ' ')
            buf_fmt(out, "\\u%04x", ch);
        else
            buf_char(out, (char)ch);
    }
    buf_char(out, '"');
}

void config_print_json(const struct config *c, struct buf *out)
{
    buf_cstr(out, "{\n");
    for (enum setting s = 0; s < SETTINGS; s++) {
        buf_fmt(out, "  \"%s\": {\"value\": ", setting_row(s)->name);
        json_string(out, shown(c, s));
        buf_cstr(out, ", \"from\": ");
        json_string(out, c->v[s].source);
        buf_cstr(out, s + 1 < SETTINGS ? "},\n" : "}\n");
    }
    buf_cstr(out, "}\n");
}

/* ---- docs/settings.md ---- */

static void markdown_row(enum setting s, struct buf *out)
{
    const struct setting_row *row = setting_row(s);
    char variable[64];
    setting_variable(s, variable);
    struct buf allowed;
    buf_init(&allowed, 4096);
    setting_allowed(s, &allowed);
    if (row->flags & SETTING_NO_FLAG)
        buf_fmt(out, "| `%s` (no flag) ", row->name);
    else
        buf_fmt(out, "| `--%s` ", row->name);
    buf_fmt(out, "| `%s` | ", variable);
    buf_fmt(out, row->def[0] ? "`%s` | " : "%s | ", row->def[0] ? row->def : "none");
    buf_fmt(out, "%.*s | %s | %s |\n", STR_FMT(buf_view(&allowed)),
            row->flags & SETTING_RELOAD ? "reload" : "restart", row->help);
    buf_free(&allowed);
}

void config_markdown(struct buf *out)
{
    buf_cstr(
        out,
        "# Settings\n\n"
        "Made by `ingot config --markdown` from `src/config/settings.def`; change it there.\n\n"
        "A flag wins over a variable, a variable over the configuration file, the file over the "
        "default. In the\n"
        "file a setting is named as its flag without the dashes: `listen = 0.0.0.0:9000`. Several "
        "values: repeat\n"
        "the flag or the line, or separate them by commas. `ingot config` shows what holds and "
        "where it came from.\n"
        "A change of the file holds after SIGHUP where \"Change\" says reload, else after a restart; SIGHUP "
        "names each changed setting in the log and says which wait for a restart.\n");
    const char *group = "";
    for (enum setting s = 0; s < SETTINGS; s++) {
        const struct setting_row *row = setting_row(s);
        if (strcmp(group, row->group) != 0) {
            group = row->group;
            buf_fmt(
                out,
                "\n## %s\n\n| Flag | Variable | Default | Allowed | Change | |\n|---|---|---|---|---|---|\n",
                group);
        }
        markdown_row(s, out);
    }
}

/* ---- --help ---- */

/* Help text broken into lines of at most 78 characters, indented. */
static void wrapped(struct buf *out, const char *text, size_t indent)
{
    size_t column = 0;
    struct str rest = str_c(text);
    while (rest.p) {
        struct str word = str_cut(&rest, ' ');
        if (column == 0 || column + 1 + word.n > 78) {
            buf_fmt(out, "%s%*s", column ? "\n" : "", (int)indent, "");
            column = indent;
        } else {
            buf_char(out, ' ');
            column++;
        }
        buf_str(out, word);
        column += word.n;
    }
    buf_char(out, '\n');
}

static void flag_help(enum setting s, struct buf *out)
{
    const struct setting_row *row = setting_row(s);
    char variable[64];
    setting_variable(s, variable);
    if (row->flags & SETTING_NO_FLAG)
        buf_fmt(out, "  %s", variable);
    else if (row->type == SETTING_ENUM)
        buf_fmt(out, "  --%s %s", row->name, row->allowed);
    else
        buf_fmt(out, "  --%s %s", row->name,
                row->type == SETTING_BOOL    ? "true|false"
                : row->type == SETTING_PATH  ? "PATH"
                : row->type == SETTING_UINT  ? "N"
                : row->type == SETTING_SIZE  ? "SIZE"
                : row->type == SETTING_TIME  ? "TIME"
                : row->type == SETTING_ADDRS ? "ADDR"
                                             : "TEXT");
    buf_fmt(out, row->def[0] ? "  (%s)\n" : "%s\n", row->def);
    wrapped(out, row->help, 6);
}

void config_flags_help(unsigned takes, bool full, struct buf *out)
{
    const char *group = "";
    for (enum setting s = 0; s < SETTINGS; s++) {
        const struct setting_row *row = setting_row(s);
        if (!(row->flags & takes)) continue;
        if (!full && strcmp(row->group, "Where") != 0) continue;
        if (strcmp(group, row->group) != 0) {
            group = row->group;
            buf_fmt(out, "\n%s:\n", group);
        }
        flag_help(s, out);
    }
}
