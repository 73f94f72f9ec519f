#include "cmd/cmd.h"

static int run(const struct command *self, int argc, char **argv)
{
    bool json = false, markdown = false;
    const struct config_option options[] = {
        {"json", &json, NULL, "as one JSON object"},
        {"markdown", &markdown, NULL, "the documentation of all settings (docs/settings.md)"},
    };
    int code;
    struct config *c = cmd_settings(self, options, 2, argc, argv, &code);
    if (!c) return code;
    struct buf out;
    buf_init(&out, 1u << 20);
    if (markdown)
        config_markdown(&out);
    else if (json)
        config_print_json(c, &out);
    else
        config_print(c, &out);
    cmd_print(&out);
    config_free(c);
    return CMD_OK;
}

const struct command cmd_config = {
    .name = "config",
    .about = "print every setting, what it is now and where that came from",
    .examples =
        "Examples:\n"
        "  ingot config\n"
        "      what a server started here and now would use\n"
        "  INGOT_REGION=eu-west-1 ingot config --listen :9000\n"
        "      the same with a variable and a flag; a flag wins over a variable, a variable over the file\n"
        "  ingot config --config my.conf\n"
        "      checks a configuration file: exit code 2 and one line if something in it is not allowed\n",
    .takes = SETTING_FOR_SERVER | SETTING_FOR_TOOLS,
    .all_settings = true,
    .run = run,
};
