#include "cmd/cmd_store.h"

#include "sys/sys.h"

#include <jansson.h>
#include <unistd.h>

#define PROGRESS_EVERY_NS 100000000

static void show_progress(void *arg, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
    struct cmd_progress *p = arg;
    int64_t now = (int64_t)sys->mono_ns();
    if (!p->shown || (now < p->next_ns && done != total)) return;
    p->next_ns = now + PROGRESS_EVERY_NS;
    if (total)
        fprintf(stderr, "\r\033[K%s: %llu of %llu %s (%llu %%)", phase, (unsigned long long)done,
                (unsigned long long)total, unit, (unsigned long long)((double)done * 100 / (double)total));
    else
        fprintf(stderr, "\r\033[K%s: %llu %s", phase, (unsigned long long)done, unit);
}

struct store_progress cmd_progress_start(struct cmd_progress *p)
{
    *p = (struct cmd_progress){.shown = isatty(STDERR_FILENO)};
    return (struct store_progress){show_progress, p};
}

void cmd_progress_end(struct cmd_progress *p)
{
    if (p->shown) fputs("\r\033[K", stderr);
}

static void report_text(const char *verdict, const struct cmd_number *v, size_t n, struct str lines)
{
    fwrite(lines.p, 1, lines.n, stdout);
    for (size_t i = 0; i < n; i++) {
        char name[40];
        snprintf(name, sizeof name, "%s", v[i].name);
        for (char *p = name; *p; p++)
            if (*p == '_') *p = ' ';
        printf("%-20s %12llu%s\n", name, (unsigned long long)v[i].value,
               v[i].finding && v[i].value ? "  <-" : "");
    }
    printf("%s\n", verdict);
}

static void report_json(const char *verdict, const struct cmd_number *v, size_t n, struct str lines)
{
    json_t *root = json_object(), *list = json_array();
    json_object_set_new(root, "verdict", json_string(verdict));
    for (size_t i = 0; i < n; i++) json_object_set_new(root, v[i].name, json_integer((json_int_t)v[i].value));
    while (lines.n) {
        struct str line = str_cut(&lines, '\n');
        if (line.n) json_array_append_new(list, json_stringn(line.p, line.n));
    }
    json_object_set_new(root, "findings", list);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(root);
}

void cmd_report(const char *verdict, const struct cmd_number *v, size_t n, struct str lines, bool json)
{
    if (json)
        report_json(verdict, v, n, lines);
    else
        report_text(verdict, v, n, lines);
}
