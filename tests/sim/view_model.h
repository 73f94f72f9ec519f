/* The ordered index for simulation: what store/view.h promises, without RocksDB and its threads.
 *
 * It is linked in place of src/store/view_rocks.c. Entries live in this process; the simulated disk holds a
 * file in the view's folder that says which view it is, so that a lost, renamed or half-made folder is what
 * it would be. At a power cut a view goes back to any batch between the last one that a flush has promised
 * and the newest, as RocksDB without its log does. */
#ifndef TESTS_SIM_VIEW_MODEL_H
#define TESTS_SIM_VIEW_MODEL_H

#include <stdint.h>

/* After sim_crash: every view settles. sim_random decides how much is lost. */
void view_model_crash(void);

struct view_model_counts {
    uint64_t kept, lost, partly; /* views that a cut left at the newest, the oldest, another state */
    uint64_t stuck;              /* times that one met a full disk */
};
extern struct view_model_counts view_model_counts;

#endif
