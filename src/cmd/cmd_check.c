#include "cmd/cmd_store.h"
#include "object/object.h"

static int report(struct check_report *r, bool json)
{
    const struct cmd_number numbers[] = {
        {"entries", r->entries, false},
        {"blobs", r->blobs, false},
        {"bytes_verified", r->bytes_verified, false},
        {"bad_records", r->bad_records, true},
        {"missing_blobs", r->missing_blobs, true},
        {"corrupt_blobs", r->corrupt_blobs, true},
        {"wrong_refcounts", r->wrong_refcounts, true},
        {"unreferenced_blobs", r->unreferenced_blobs, true},
        {"unreferenced_bytes", r->unreferenced_bytes, true},
        {"wrong_counters", r->wrong_counters, true},
        {"log_errors", r->log_errors, true},
        {"repaired", r->repaired, false},
    };
    size_t n = sizeof numbers / sizeof *numbers;
    bool clean = true;
    for (size_t i = 0; i < n; i++) clean = clean && !(numbers[i].finding && numbers[i].value);
    cmd_report(clean ? "clean" : "findings", numbers, n, buf_view(&r->lines), json);
    return clean ? CMD_OK : CMD_FINDINGS;
}

static int run(const struct command *self, int argc, char **argv)
{
    bool repair = false, deep = false, json = false;
    const struct config_option options[] = {
        {"deep", &deep, NULL, "read and verify every byte, not only the structure"},
        {"repair", &repair, NULL,
         "put right what can be: counters, reference counts, space that nothing refers to"},
        {"json", &json, NULL, "print the summary as one JSON object"},
    };
    int code;
    struct config *c = cmd_settings(self, options, 3, argc, argv, &code);
    if (!c) return code;
    struct cmd_progress progress;
    struct check_options o = {.dir = config_z(c, SET_DATA),
                              .repair = repair,
                              .deep = deep,
                              .progress = cmd_progress_start(&progress),
                              .entry = objects_check_entry};
    struct check_report r = {0};
    char why[512] = "the check failed";
    err e = engine_check(&o, &r, why);
    cmd_progress_end(&progress);
    code = e ? cmd_refuse(why, CMD_CANNOT) : report(&r, json);
    buf_free(&r.lines);
    config_free(c);
    return code;
}

const struct command cmd_check = {
    .name = "check",
    .about = "verify a data directory (the server must not run)",
    .examples = "Examples:\n"
                "  ingot check\n"
                "      every record's bytes exist, no byte is unreferenced, counters are right, in ./data\n"
                "  ingot check --data /srv/ingot --deep\n"
                "      also reads every byte and verifies its checksum\n"
                "  ingot check --repair && ingot check\n"
                "      puts right what can be; what is found is still reported, the second run says whether "
                "it is clean\n"
                "\n"
                "Exit codes: 0 clean, 1 findings, 2 wrong usage or setting, 3 could not run (for example, a "
                "server runs).\n",
    .takes = SETTING_FOR_TOOLS,
    .run = run,
};
