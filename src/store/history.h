/* history: what archive and log still say, read as one sequence: the entries of the newest whole snapshot,
 * then every record once, in order. What is missing in between is named. For check and recovery: nothing is
 * written. */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include "store/archive.h"
#include "store/log.h"

struct history_reader {
    err (*entry)(void *arg, struct str key, uint64_t seq, struct str value);
    /* Commits of r up to `from` came before. Archived records have segment 0. */
    err (*record)(void *arg, const struct log_record *r, uint64_t from);
    /* Commits first to last are nowhere. */
    void (*gap)(void *arg, uint64_t first, uint64_t last);
    /* Something does not verify; it may be that nothing is missing for it. */
    void (*damage)(void *arg, const char *line);
    void *arg;
};
/* The log, for reading past damage. *out NULL: there is none. */
err history_open_log(const char *dir, const uint8_t store_id[16], const struct history_reader *r,
                     struct log **out, char why[512]);
/* log: of history_open_log. from: commits up to it are known otherwise, 0: none; entries are read only then.
 * *last: the last commit that was read, at least from. All of the log is verified. */
err history_read(const char *dir, const uint8_t store_id[16], struct log *log, uint64_t from,
                 const struct history_reader *r, uint64_t *last, char why[512]);

#endif
