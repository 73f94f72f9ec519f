/* Shared by the files of config/ alone. */
#ifndef CONFIG_CONFIG_IMPL_H
#define CONFIG_CONFIG_IMPL_H

#include "config/config.h"

enum config_rank { RANK_DEFAULT, RANK_FILE, RANK_ENV, RANK_FLAG };

struct config_value {
    enum config_rank rank;
    struct str source;
    struct str text; /* as given; a list's values joined by commas */
    uint64_t number;
    struct str *items;
    size_t nitems;
};

#define CONFIG_ITEMS_MAX    64
#define CONFIG_WARNINGS_MAX 8

struct config {
    struct arena *arena;
    struct config_value v[SETTINGS];
    struct str warnings[CONFIG_WARNINGS_MAX];
    size_t nwarnings;
};

/* Give s one more value from a source; of several from sources of one rank a list keeps all, others the last.
 */
err config_give(struct config *c, enum setting s, enum config_rank rank, struct str source, struct str value,
                char why[CONFIG_WHY]);
err config_read_file(struct config *c, const char *path, char why[CONFIG_WHY]);
void config_warn(struct config *c, struct str line);

/* Parse text for row into *number; false: not allowed. */
bool config_parse(enum setting s, struct str text, uint64_t *number);
void config_refuse(enum setting s, struct str value, struct str source, char why[CONFIG_WHY]);

#endif
