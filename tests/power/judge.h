/* judge: opens a data directory as the power cut left it and holds it against the history. */
#ifndef POWER_JUDGE_H
#define POWER_JUDGE_H

#include "power/history.h"
#include "store/store.h"
#include <stdbool.h>

struct judge_options {
    const char *dir; /* the data directory */
    const struct history *history;
    uint64_t cut;
    bool again;                   /* close in order, open and look once more */
    bool deep;                    /* then verify every byte and reference (ingot check --deep) */
    bool recover;                 /* then lose the index, recover it from the rest, and look once more */
    struct engine_options engine; /* but dir */
};
/* The number of findings, each printed in one line (the first 20). For a process of its own: it starts the
 * runtime, and a failed assertion of the engine ends it. */
unsigned judge(const struct judge_options *o);

#endif
