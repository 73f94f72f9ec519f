#include "cmd/cmd.h"

#include "base/log.h"

#include <unistd.h>

int cmd_refuse(const char *line, int code)
{
    fprintf(stderr, "ingot: %s\n", line);
    return code;
}

void cmd_print(struct buf *text)
{
    fwrite(text->p, 1, text->n, stdout);
    buf_free(text);
}

static void print_help(const struct command *self, const struct config_option *options, size_t noptions)
{
    struct buf out;
    buf_init(&out, 1u << 20);
    buf_fmt(&out, "ingot %s: %s\n\n%s", self->name, self->about, self->examples);
    if (noptions) buf_cstr(&out, "\nOptions:\n");
    for (size_t i = 0; i < noptions; i++) buf_fmt(&out, "  --%-14s  %s\n", options[i].name, options[i].help);
    if (self->takes) {
        buf_cstr(&out, "\nSettings, with their defaults. Each may also be an INGOT_* variable or a line of "
                       "the configuration file;\n"
                       "`ingot config` shows what holds.\n");
        config_flags_help(self->takes, self->all_settings, &out);
    }
    cmd_print(&out);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

struct config_args cmd_args(const struct command *self, const struct config_option *options, size_t noptions,
                            int argc, char **argv)
{
    return (struct config_args){
        .takes = self->takes,
        .options = options,
        .noptions = noptions,
        .argc = argc,
        .argv = argv,
        .environ = (const char *const *)environ,
        .default_file = CMD_CONFIG_FILE,
    };
}

struct config *cmd_settings(const struct command *self, const struct config_option *options, size_t noptions,
                            int argc, char **argv, int *code)
{
    *code = CMD_OK;
    if (wants_help(argc, argv)) {
        print_help(self, options, noptions);
        return NULL;
    }
    struct config_args args = cmd_args(self, options, noptions, argc, argv);
    struct config *c = NULL;
    char why[CONFIG_WHY];
    if (config_load(&args, &c, why) != ERR_OK) {
        *code = cmd_refuse(why, CMD_USAGE);
        return NULL;
    }
    log_setup((enum log_level)config_u64(c, SET_LOG_LEVEL), (enum log_format)config_u64(c, SET_LOG_FORMAT),
              -1);
    const struct str *lines;
    for (size_t i = 0, n = config_warnings(c, &lines); i < n; i++) cmd_refuse(lines[i].p, 0);
    return c;
}
