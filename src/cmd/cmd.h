/* cmd: the subcommands of the program. Each is a function and a struct of texts; main.c has their table. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include "config/config.h"

enum { CMD_OK = 0, CMD_FINDINGS = 1, CMD_USAGE = 2, CMD_CANNOT = 3 }; /* exit codes of all subcommands */

struct command {
    const char *name;
    const char *about;    /* one line */
    const char *examples; /* of --help; teaches by showing */
    unsigned takes;       /* SETTING_FOR_SERVER, SETTING_FOR_TOOLS */
    bool all_settings;    /* --help lists every group, else those of where things are */
    int (*run)(const struct command *self, int argc, char **argv); /* what follows the name */
};

extern const struct command cmd_server, cmd_check, cmd_recover, cmd_keys, cmd_config, cmd_bench;

#define CMD_CONFIG_FILE "/etc/ingot/ingot.conf"

/* --help, then the settings. NULL: *code is what to leave with, and everything was said. */
struct config *cmd_settings(const struct command *self, const struct config_option *options, size_t noptions,
                            int argc, char **argv, int *code);
/* The same arguments as the struct that config_load takes, for loading again. */
struct config_args cmd_args(const struct command *self, const struct config_option *options, size_t noptions,
                            int argc, char **argv);
int cmd_refuse(const char *line, int code); /* "ingot: LINE" to standard error; returns code */
void cmd_print(struct buf *text);           /* to standard output, then freed */

#endif
