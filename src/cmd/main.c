/* ingot: the program. Finds the subcommand and calls it. */
#include "cmd/cmd.h"

static const struct command *const commands[] = {&cmd_server, &cmd_check, &cmd_recover,
                                                 &cmd_bench,  &cmd_keys,  &cmd_config};
#define COMMANDS (sizeof commands / sizeof *commands)

static int help(FILE *to, int code)
{
    fputs("Ingot stores objects and serves them over the S3 API.\n\nUsage: ingot COMMAND [--help | "
          "options]\n\n",
          to);
    for (size_t i = 0; i < COMMANDS; i++) fprintf(to, "  %-8s  %s\n", commands[i]->name, commands[i]->about);
    fputs("  version   print the version\n"
          "  help      print this\n\n"
          "Begin with `ingot server`; every COMMAND --help teaches by example.\n"
          "Exit codes: 0 good, 1 findings, 2 wrong usage or setting, 3 could not be done.\n",
          to);
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) return help(stderr, CMD_USAGE);
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(stdout, CMD_OK);
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        puts("ingot " INGOT_VERSION);
        return CMD_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i]->name) == 0) return commands[i]->run(commands[i], argc - 2, argv + 2);
    char line[200];
    snprintf(line, sizeof line, "'%.100s' is no command; `ingot help` lists them", name);
    return cmd_refuse(line, CMD_USAGE);
}
