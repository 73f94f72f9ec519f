#include "config/config_impl.h"

#include "base/assert.h"

#include <unistd.h>

static const struct setting_row rows[SETTINGS] = {
#define S SETTING_FOR_SERVER
#define T SETTING_FOR_TOOLS
#define R SETTING_RELOAD
#define N SETTING_NO_FLAG
#define SETTING(id, name, group, type, def, allowed, least, most, flags, help)                               \
    [SET_##id] = {name, group, SETTING_##type, def, allowed, least, most, (flags), help},
#include "config/settings.def"
#undef SETTING
#undef S
#undef T
#undef R
#undef N
};

const struct setting_row *setting_row(enum setting s)
{
    return &rows[s];
}

bool setting_by_name(struct str name, enum setting *out)
{
    for (enum setting s = 0; s < SETTINGS; s++) {
        if (!str_eq(name, str_c(rows[s].name))) continue;
        *out = s;
        return true;
    }
    return false;
}

void setting_variable(enum setting s, char out[64])
{
    size_t n = (size_t)snprintf(out, 64, "INGOT_%s", rows[s].name);
    for (size_t i = 6; i < n; i++) {
        if (out[i] == '-')
            out[i] = '_';
        else if (out[i] >= 'a' && out[i] <= 'z')
            out[i] = (char)(out[i] - 'a' + 'A');
    }
}

static bool is_list(enum setting s)
{
    return rows[s].type == SETTING_ADDRS || rows[s].type == SETTING_LIST;
}

/* ---- one value ---- */

static err give_list(struct config *c, enum setting s, struct str value, char why[CONFIG_WHY])
{
    struct config_value *v = &c->v[s];
    if (!v->items) v->items = ARENA_ARRAY(c->arena, struct str, CONFIG_ITEMS_MAX);
    if (!v->items) return ERR_NO_MEMORY;
    while (value.p) {
        struct str item = str_trim(str_cut(&value, ','));
        if (item.n == 0) continue;
        uint64_t unused;
        if (v->nitems == CONFIG_ITEMS_MAX || !config_parse(s, item, &unused)) {
            config_refuse(s, item, v->source, why);
            return ERR_INVALID_SETTING;
        }
        v->items[v->nitems++] = arena_dup(c->arena, item);
        v->text =
            v->nitems == 1 ? v->items[0] : arena_fmt(c->arena, "%s,%s", v->text.p, v->items[v->nitems - 1].p);
    }
    return ERR_OK;
}

err config_give(struct config *c, enum setting s, enum config_rank rank, struct str source, struct str value,
                char why[CONFIG_WHY])
{
    struct config_value *v = &c->v[s];
    if (rank < v->rank) return ERR_OK;
    bool first = rank > v->rank || rank == RANK_DEFAULT;
    v->rank = rank;
    v->source = arena_dup(c->arena, source);
    if (is_list(s)) {
        if (first) v->nitems = 0, v->text = STR("");
        return give_list(c, s, value, why);
    }
    if (!config_parse(s, value, &v->number)) {
        config_refuse(s, value, source, why);
        return ERR_INVALID_SETTING;
    }
    v->text = arena_dup(c->arena, value);
    return ERR_OK;
}

void config_warn(struct config *c, struct str line)
{
    if (c->nwarnings < CONFIG_WARNINGS_MAX) c->warnings[c->nwarnings++] = line;
}

/* ---- the sources ---- */

static err load_defaults(struct config *c, char why[CONFIG_WHY])
{
    for (enum setting s = 0; s < SETTINGS; s++) {
        err e = config_give(c, s, RANK_DEFAULT, STR("default"), str_c(rows[s].def), why);
        if (e) return e;
    }
    return ERR_OK;
}

static err load_environ(struct config *c, const char *const *environment, char why[CONFIG_WHY])
{
    for (enum setting s = 0; s < SETTINGS; s++) {
        char name[64];
        setting_variable(s, name);
        size_t n = strlen(name);
        for (const char *const *e = environment; e && *e; e++) {
            if (strncmp(*e, name, n) != 0 || (*e)[n] != '=') continue;
            err bad = config_give(c, s, RANK_ENV, str_of(name, n), str_c(*e + n + 1), why);
            if (bad) return bad;
            break;
        }
    }
    return ERR_OK;
}

static const struct config_option *option_by_name(const struct config_args *a, struct str name)
{
    for (size_t i = 0; i < a->noptions; i++)
        if (str_eq(name, str_c(a->options[i].name))) return &a->options[i];
    return NULL;
}

static err refuse_flag(struct str flag, const char *what, char why[CONFIG_WHY])
{
    snprintf(why, CONFIG_WHY, "%.*s: %s", STR_FMT(flag), what);
    return ERR_INVALID_SETTING;
}

/* The value of a flag: after '=', or the next argument. */
static bool flag_value(const struct config_args *a, int *at, struct str *value)
{
    if (value->p) return true;
    if (*at + 1 >= a->argc) return false;
    *value = str_c(a->argv[++*at]);
    return true;
}

static err load_flag(struct config *c, const struct config_args *a, int *at, char why[CONFIG_WHY])
{
    struct str value = str_c(a->argv[*at]);
    struct str flag = str_cut(&value, '=');
    if (!str_starts(flag, STR("--")) || flag.n < 3)
        return refuse_flag(flag, "is not understood; options start with --, --help lists them", why);
    struct str name = str_slice(flag, 2, flag.n);
    const struct config_option *o = option_by_name(a, name);
    if (o && o->set) {
        if (value.p) return refuse_flag(flag, "takes no value", why);
        *o->set = true;
        return ERR_OK;
    }
    if (o) return flag_value(a, at, o->value) ? ERR_OK : refuse_flag(flag, "needs a value", why);
    enum setting s;
    if (!setting_by_name(name, &s) || !(rows[s].flags & a->takes))
        return refuse_flag(flag, "is not known here; --help lists the options", why);
    if (rows[s].flags & SETTING_NO_FLAG)
        return refuse_flag(
            flag, "is no flag, others can read a command line; set the variable or the file's line", why);
    if (rows[s].type == SETTING_BOOL && !value.p) value = STR("true");
    if (!flag_value(a, at, &value)) return refuse_flag(flag, "needs a value", why);
    return config_give(c, s, RANK_FLAG, flag, value, why);
}

static err load_flags(struct config *c, const struct config_args *a, char why[CONFIG_WHY])
{
    for (int i = 0; i < a->argc; i++) {
        err e = load_flag(c, a, &i, why);
        if (e) return e;
    }
    return ERR_OK;
}

static err load_file(struct config *c, const char *default_file, char why[CONFIG_WHY])
{
    const struct config_value *v = &c->v[SET_CONFIG];
    if (v->rank > RANK_DEFAULT && v->text.n) return config_read_file(c, v->text.p, why);
    if (!default_file || access(default_file, F_OK) != 0) return ERR_OK;
    c->v[SET_CONFIG].text = arena_dup(c->arena, str_c(default_file));
    return config_read_file(c, default_file, why);
}

/* ---- what must hold between settings ---- */

static err check_pairs(const struct config *c, char why[CONFIG_WHY])
{
    bool access = c->v[SET_ACCESS_KEY].text.n > 0, secret = c->v[SET_SECRET_KEY].text.n > 0;
    if (access != secret) {
        const char *have = access ? "access-key" : "secret-key", *lack = access ? "secret-key" : "access-key";
        snprintf(why, CONFIG_WHY, "%s: is missing while %s is set (%s); allowed: both or none", lack, have,
                 c->v[access ? SET_ACCESS_KEY : SET_SECRET_KEY].source.p);
        return ERR_INVALID_SETTING;
    }
    const struct config_value *listen = &c->v[SET_LISTEN];
    for (size_t i = 0; i < listen->nitems; i++) {
        if (!str_starts(listen->items[i], STR("https://")) || c->v[SET_TLS].nitems) continue;
        snprintf(why, CONFIG_WHY, "tls: is empty while listen has '%s'; allowed: %s", listen->items[i].p,
                 rows[SET_TLS].allowed);
        return ERR_INVALID_SETTING;
    }
    if (listen->nitems == 0) {
        snprintf(why, CONFIG_WHY, "listen: is empty (%s); allowed: at least one address", listen->source.p);
        return ERR_INVALID_SETTING;
    }
    return ERR_OK;
}

/* ---- life ---- */

static void wipe(void *config)
{
    struct config *c = config;
    for (enum setting s = 0; s < SETTINGS; s++)
        if (rows[s].type == SETTING_SECRET && c->v[s].text.n)
            explicit_bzero((char *)c->v[s].text.p, c->v[s].text.n);
}

static err load_all(struct config *c, const struct config_args *args, char why[CONFIG_WHY])
{
    err e = load_defaults(c, why);
    if (!e) e = load_environ(c, args->environ, why);
    if (!e) e = load_flags(c, args, why);
    if (!e)
        e = load_file(c, args->default_file,
                      why); /* last, because a flag names it; its rank keeps it weaker */
    if (!e) e = check_pairs(c, why);
    if (!e && arena_overflowed(c->arena)) e = ERR_NO_MEMORY;
    return e;
}

err config_load(const struct config_args *args, struct config **out, char why[CONFIG_WHY])
{
    snprintf(why, CONFIG_WHY, "the settings do not fit into memory");
    struct arena *a = arena_new(4u << 20);
    if (!a) return ERR_NO_MEMORY;
    struct config *c = ARENA_NEW(a, struct config);
    ASSERT(c != NULL); /* the first allocation of an arena that is large enough */
    c->arena = a;
    err e = load_all(c, args, why);
    if (e)
        config_free(c);
    else
        *out = c;
    return e;
}

void config_free(struct config *c)
{
    if (!c) return;
    wipe(c);
    arena_free(c->arena);
}

/* ---- reading ---- */

struct str config_str(const struct config *c, enum setting s)
{
    return c->v[s].text;
}

const char *config_z(const struct config *c, enum setting s)
{
    return c->v[s].text.p ? c->v[s].text.p : "";
}

uint64_t config_u64(const struct config *c, enum setting s)
{
    return c->v[s].number;
}

int64_t config_ns(const struct config *c, enum setting s)
{
    return (int64_t)c->v[s].number;
}

bool config_bool(const struct config *c, enum setting s)
{
    return c->v[s].number != 0;
}

const struct str *config_list(const struct config *c, enum setting s, size_t *n)
{
    *n = c->v[s].nitems;
    return c->v[s].items;
}

struct str config_source(const struct config *c, enum setting s)
{
    return c->v[s].source;
}

bool config_same(const struct config *a, const struct config *b, enum setting s)
{
    return str_eq(a->v[s].text, b->v[s].text);
}

size_t config_warnings(const struct config *c, const struct str **lines)
{
    *lines = c->warnings;
    return c->nwarnings;
}
