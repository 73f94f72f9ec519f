/* config: the settings, read from one table (settings.def). A flag wins over an INGOT_* variable, that over
 * the configuration file, that over the default.
 *
 * A list (ADDRS, LIST) takes several values: repeat the flag or the line, or separate by commas; the
 * strongest source that names the setting gives all of its values. An empty value is the same as none given
 * for a list, PATH, STR or SECRET.
 *
 * A struct config does not change after loading and may be read from any thread. Everything it returns lives
 * as long as it does. No secret is ever printed: texts for a person show "********".
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/errors.h"

enum setting {
#define SETTING(id, name, group, type, def, allowed, least, most, flags, help) SET_##id,
#include "config/settings.def"
#undef SETTING
    SETTINGS
};

enum setting_type {
    SETTING_STR,
    SETTING_PATH,
    SETTING_SECRET,
    SETTING_UINT,
    SETTING_SIZE, /* bytes: 4096, 64KiB, 512MiB, 10GiB, 1TiB */
    SETTING_TIME, /* ns: 500ms, 20s, 5m, 1h, 0 */
    SETTING_BOOL,
    SETTING_ENUM, /* the number is the word's place in the table */
    SETTING_ADDRS,
    SETTING_LIST,
};

#define SETTING_FOR_SERVER 1u
#define SETTING_FOR_TOOLS  2u
#define SETTING_RELOAD     4u
#define SETTING_NO_FLAG    8u

struct setting_row {
    const char *name, *group;
    enum setting_type type;
    const char *def, *allowed;
    uint64_t least, most;
    unsigned flags;
    const char *help;
};
const struct setting_row *setting_row(enum setting s);
bool setting_by_name(struct str name, enum setting *out);
void setting_variable(enum setting s, char out[64]);   /* "INGOT_LOG_LEVEL" */
void setting_allowed(enum setting s, struct buf *out); /* "debug, info, warn or error" */

/* An option of one subcommand that is no setting: --json, --deep. */
struct config_option {
    const char *name;  /* without "--" */
    bool *set;         /* an option without a value, or NULL */
    struct str *value; /* an option with a value, or NULL; it points into argv */
    const char *help;
};

struct config_args {
    unsigned takes; /* SETTING_FOR_SERVER and SETTING_FOR_TOOLS: whose flags are accepted */
    const struct config_option *options;
    size_t noptions;
    int argc; /* what follows the subcommand's name */
    char **argv;
    const char *const *environ; /* "NAME=value", NULL at the end */
    const char *default_file;   /* read if it exists; NULL: none */
};

#define CONFIG_WHY 512
struct config;
/* ERR_INVALID_SETTING: why has the one line that names the setting, the value and what is allowed. */
err config_load(const struct config_args *args, struct config **out, char why[CONFIG_WHY]);
void config_free(struct config *c); /* wipes secrets */

struct str config_str(const struct config *c, enum setting s);
const char *config_z(const struct config *c, enum setting s); /* the same, NUL-terminated */
uint64_t config_u64(const struct config *c, enum setting s);  /* UINT, SIZE, ENUM */
int64_t config_ns(const struct config *c, enum setting s);
bool config_bool(const struct config *c, enum setting s);
const struct str *config_list(const struct config *c, enum setting s,
                              size_t *n); /* items are NUL-terminated */
/* "--listen", "INGOT_LISTEN", "/etc/ingot/ingot.conf:3", "default" */
struct str config_source(const struct config *c, enum setting s);
bool config_same(const struct config *a, const struct config *b, enum setting s);

/* Things found that are not wrong but should be said: one line each. */
size_t config_warnings(const struct config *c, const struct str **lines);

/* ---- texts (config_text.c) ---- */
void config_print(const struct config *c, struct buf *out); /* a table: name, value, source */
void config_print_json(const struct config *c, struct buf *out);
void config_markdown(struct buf *out);                              /* docs/settings.md */
void config_flags_help(unsigned takes, bool full, struct buf *out); /* for --help */
void config_size_text(uint64_t bytes, char out[32]);
void config_time_text(uint64_t ns, char out[32]);

#endif
