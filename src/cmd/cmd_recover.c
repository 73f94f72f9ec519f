#include "cmd/cmd_store.h"
#include "object/object.h"

static int report(struct recover_report *r, bool json)
{
    const struct cmd_number numbers[] = {
        {"log_records", r->log_records, false}, {"extents", r->extents, false},
        {"entries", r->entries, false},         {"blobs", r->blobs, false},
        {"salvaged", r->salvaged, false},       {"lost_records", r->lost_records, true},
        {"lost_blobs", r->lost_blobs, true},
    };
    bool lost = r->lost_records || r->lost_blobs;
    cmd_report(lost ? "findings" : "recovered", numbers, sizeof numbers / sizeof *numbers,
               buf_view(&r->lines), json);
    return lost ? CMD_FINDINGS : CMD_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    bool json = false;
    const struct config_option options[] = {{"json", &json, NULL, "print the summary as one JSON object"}};
    int code;
    struct config *c = cmd_settings(self, options, 1, argc, argv, &code);
    if (!c) return code;
    struct cmd_progress progress;
    struct recover_report r = {0};
    char why[512] = "the recovery failed";
    struct recover_options o = {.dir = config_z(c, SET_DATA),
                                .progress = cmd_progress_start(&progress),
                                .entry = objects_check_entry,
                                .mend = objects_mend,
                                .beside = objects_beside};
    err e = engine_recover(&o, &r, why);
    cmd_progress_end(&progress);
    code = e ? cmd_refuse(why, CMD_CANNOT) : report(&r, json);
    buf_free(&r.lines);
    config_free(c);
    return code;
}

const struct command cmd_recover = {
    .name = "recover",
    .about = "rebuild the index from the log and the extents alone (the server must not run)",
    .examples = "Examples:\n"
                "  ingot recover\n"
                "      sets ./data/index aside and makes it anew; no object's bytes are touched\n"
                "  ingot recover --data /srv/ingot --json && ingot check --data /srv/ingot --deep\n"
                "      then verifies everything\n"
                "\n"
                "Where archive and log have holes, the old index is used if it is whole, then what extents "
                "say of their\n"
                "owners; a bucket whose name is lost comes back as recovered-ID-TIME. Every loss is a line. "
                "Nothing is\n"
                "deleted: the old index and a damaged log are set aside as index.old-TIME and log.old-TIME.\n"
                "\n"
                "Exit codes: 0 everything is back, 1 records or bytes were lost (they are listed), 2 wrong "
                "usage or setting,\n"
                "3 could not run (for example, a server runs).\n",
    .takes = SETTING_FOR_TOOLS,
    .run = run,
};
