/* What each type of setting takes, and the line that refuses what it does not. */
#include "config/config_impl.h"

#include "rt/rt.h"

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit size_units[] = {
    {"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1}, {"", 1},
    {NULL, 0},
};
static const struct unit time_units[] = {
    {"ms", 1000000ull}, {"s", 1000000000ull}, {"m", 60000000000ull}, {"h", 3600000000000ull}, {NULL, 0},
};

static bool parse_with_unit(struct str text, const struct unit *units, uint64_t *out)
{
    size_t digits = 0;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9') digits++;
    uint64_t value;
    if (!str_to_u64(str_slice(text, 0, digits), &value)) return false;
    struct str unit = str_slice(text, digits, text.n);
    for (const struct unit *u = units; u->name; u++)
        if (str_eq(unit, str_c(u->name))) return !__builtin_mul_overflow(value, u->factor, out);
    *out = value;
    return unit.n == 0 && value == 0; /* 0 needs no unit */
}

static bool parse_word(struct str text, struct str words, uint64_t *out)
{
    for (*out = 0; words.p; ++*out)
        if (str_eq(text, str_cut(&words, '|'))) return true;
    return false;
}

static bool parse_bool(struct str text, uint64_t *out)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (str_eq(text, str_c(yes[i]))) return *out = 1, true;
        if (str_eq(text, str_c(no[i]))) return *out = 0, true;
    }
    return false;
}

static bool only_of(struct str text, const char *more)
{
    for (size_t i = 0; i < text.n; i++) {
        char ch = text.p[i];
        bool alnum = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        if (!alnum && (ch == 0 || !strchr(more, ch))) return false;
    }
    return true;
}

static bool parse_text(enum setting s, struct str text)
{
    const struct setting_row *row = setting_row(s);
    if (text.n < row->least || text.n > row->most || (text.n && memchr(text.p, 0, text.n))) return false;
    if (s == SET_ACCESS_KEY) return (text.n == 0 || text.n >= 3) && only_of(text, "._-");
    if (s == SET_REGION) {
        for (size_t i = 0; i < text.n; i++)
            if (text.p[i] >= 'A' && text.p[i] <= 'Z') return false;
        return only_of(text, "-");
    }
    if (s != SET_SECRET_KEY) return true;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~') return false;
    return text.n == 0 || text.n >= 8;
}

static bool parse_address(struct str text)
{
    if (str_starts(text, STR("https://")))
        text = str_slice(text, 8, text.n);
    else if (str_starts(text, STR("http://")))
        text = str_slice(text, 7, text.n);
    return rt_addr_valid(text);
}

static bool parse_item(enum setting s, struct str text)
{
    if (s == SET_DOMAIN) return text.n <= 253 && text.p[0] != '.' && text.p[0] != '-' && only_of(text, ".-");
    struct str key = text;
    struct str cert = str_cut(&key, ':'); /* SET_TLS */
    return cert.n > 0 && key.p && key.n > 0;
}

bool config_parse(enum setting s, struct str text, uint64_t *number)
{
    const struct setting_row *row = setting_row(s);
    bool ok = false;
    switch (row->type) {
    case SETTING_STR:
    case SETTING_PATH:
    case SETTING_SECRET:
        return parse_text(s, text);
    case SETTING_UINT:
        ok = str_to_u64(text, number);
        break;
    case SETTING_SIZE:
        ok = parse_with_unit(text, size_units, number);
        break;
    case SETTING_TIME:
        ok = parse_with_unit(text, time_units, number);
        break;
    case SETTING_BOOL:
        return parse_bool(text, number);
    case SETTING_ENUM:
        return parse_word(text, str_c(row->allowed), number);
    case SETTING_ADDRS:
        return parse_address(text);
    case SETTING_LIST:
        return parse_item(s, text);
    }
    return ok && *number >= row->least && *number <= row->most;
}

/* ---- saying what is allowed ---- */

static void words_text(const char *words, struct buf *out)
{
    struct str rest = str_c(words);
    for (bool first = true; rest.p; first = false) {
        struct str word = str_cut(&rest, '|');
        if (!first) buf_cstr(out, rest.p ? ", " : " or ");
        buf_str(out, word);
    }
}

void setting_allowed(enum setting s, struct buf *out)
{
    const struct setting_row *row = setting_row(s);
    char least[32], most[32];
    switch (row->type) {
    case SETTING_STR:
    case SETTING_LIST:
    case SETTING_SECRET:
        buf_cstr(out, row->allowed);
        break;
    case SETTING_PATH:
        buf_fmt(out, "a path of at most %llu bytes", (unsigned long long)row->most);
        break;
    case SETTING_UINT:
        buf_fmt(out, "a number from %llu to %llu", (unsigned long long)row->least,
                (unsigned long long)row->most);
        break;
    case SETTING_SIZE:
        config_size_text(row->least, least);
        config_size_text(row->most, most);
        buf_fmt(out, "a size from %s to %s (units KiB, MiB, GiB, TiB)", least, most);
        break;
    case SETTING_TIME:
        config_time_text(row->least, least);
        config_time_text(row->most, most);
        buf_fmt(out, "a time from %s to %s (units ms, s, m, h)", least, most);
        break;
    case SETTING_BOOL:
        buf_cstr(out, "true or false");
        break;
    case SETTING_ENUM:
        words_text(row->allowed, out);
        break;
    case SETTING_ADDRS:
        buf_cstr(out, "HOST:PORT, [V6]:PORT, :PORT, *:PORT or unix:/path, after https:// for TLS");
        break;
    }
}

static void unit_text(uint64_t value, const struct unit *units, char out[32])
{
    const struct unit *best = NULL;
    for (const struct unit *u = units; u->name; u++)
        if (value % u->factor == 0 && (!best || u->factor > best->factor)) best = u;
    if (value == 0 || !best)
        snprintf(out, 32, "%llu", (unsigned long long)value);
    else
        snprintf(out, 32, "%llu%s", (unsigned long long)(value / best->factor),
                 best->factor == 1 ? "" : best->name);
}

void config_size_text(uint64_t bytes, char out[32])
{
    unit_text(bytes, size_units, out);
}

void config_time_text(uint64_t ns, char out[32])
{
    unit_text(ns, time_units, out);
}

void config_refuse(enum setting s, struct str value, struct str source, char why[CONFIG_WHY])
{
    struct buf allowed;
    buf_init(&allowed, 4096);
    setting_allowed(s, &allowed);
    bool secret = setting_row(s)->type == SETTING_SECRET;
    struct str shown = secret ? STR("********") : str_slice(value, 0, 200);
    snprintf(why, CONFIG_WHY, "%s: '%.*s' (%.*s) is not valid; allowed: %.*s", setting_row(s)->name,
             STR_FMT(shown), STR_FMT(source), STR_FMT(buf_view(&allowed)));
    for (char *p = why; *p; p++) /* one line, whatever the value holds */
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
    buf_free(&allowed);
}
