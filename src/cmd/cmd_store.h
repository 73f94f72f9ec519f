/* What check and recover share: progress on a terminal, the list of findings, numbers as text and as JSON. */
#ifndef CMD_CMD_STORE_H
#define CMD_CMD_STORE_H

#include "cmd/cmd.h"
#include "store/store.h"

struct cmd_number {
    const char *name; /* for JSON: "missing_blobs"; the text shows blanks for '_' */
    uint64_t value;
    bool finding; /* more than zero is bad */
};

struct cmd_progress {
    bool shown; /* standard error is a terminal */
    int64_t next_ns;
};
struct store_progress cmd_progress_start(struct cmd_progress *p);
void cmd_progress_end(struct cmd_progress *p); /* clears the line */

/* One line a number, then the findings' lines; or the same as one JSON object. */
void cmd_report(const char *verdict, const struct cmd_number *v, size_t n, struct str lines, bool json);

#endif
