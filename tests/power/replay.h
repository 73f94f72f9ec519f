/* replay: makes the states in which a power cut could have left a recorded disk, mounts each and judges it.
 */
#ifndef POWER_REPLAY_H
#define POWER_REPLAY_H

#include "power/judge.h"

struct replay_options {
    const char *log, *history, *fs;
    const char *dir;  /* a scratch folder: for the disk and its mount point */
    const char *data; /* the data directory, from the root of the file system */
    uint64_t bytes;   /* of the disk */
    uint64_t first;   /* no cut before this position: the file system is made by then */
    uint64_t states, seed;
    uint64_t only;        /* one state by its number, from 1; 0: all */
    unsigned deep_one_in; /* states that are also opened twice and checked wholly; 0: none */
    struct engine_options engine;
};
/* Prints what it found; the number of bad states, or -1. */
int64_t replay(const struct replay_options *o);

#endif
