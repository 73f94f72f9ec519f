/* What the files of recovery share. See store.h for what it promises.
 *
 *   recover.c          the order of things, which is what makes a crash at any moment harmless
 *   recover_build.c    an index out of archive and log, or of the old index where these have holes
 *   recover_salvage.c  after damage: extents say what no record says any more
 *   recover_mend.c     after that: the layer above makes again what its other entries need
 *   recover_count.c    after damage: references, counters and live bytes are what the entries say
 *   recover_log.c      a damaged log is emptied and begun anew
 */
#ifndef STORE_RECOVER_INT_H
#define STORE_RECOVER_INT_H

#include "store/census.h"
#include "store/engine_int.h"
#include "store/history.h"

/* What one reading of the history gave. It is read to plan and read again to build. */
struct recover_read {
    uint64_t entries, records, commits, missing, last;
};

struct recover {
    const struct recover_options *o;
    struct recover_report *out;
    struct engine *e; /* over the index in the making; read_only, so that nothing is freed */
    struct apply apply;
    struct arena *arena;
    struct log *log;  /* as it was found, read past damage; NULL: none */
    uint64_t from;    /* the old index is the base: it holds all up to this commit. 0: the archive is */
    uint64_t reached; /* the last commit that was found, or is known to have been */
    struct recover_read planned;
    uint64_t epoch;   /* the highest that was seen */
    bool damaged;     /* something does not verify or is missing */
    bool log_damaged; /* the server would refuse the log as it is */
    bool new_super;
    unsigned lines;
    uint64_t unsaid;
};

void recover_line(struct recover *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void recover_progress(struct recover *r, const char *phase, uint64_t done, const char *unit);
/* DIR/name */
void recover_path(const struct recover *r, const char *name, char out[4096]);

/* What of the history is there, and from which base the least is lost: sets from, damaged, and the losses. */
err recover_plan(struct recover *r, char why[512]);
/* Fills r->e->view. */
err recover_build(struct recover *r, char why[512]);
/* Writes what apply has gathered, as of commit `reached`. */
err recover_write(struct recover *r);

err recover_salvage(struct recover *r, char why[512]);
err recover_mend(struct recover *r);
err recover_count(struct recover *r);
/* What lives in the log goes to extents. */
err recover_empty_log(struct recover *r, char why[512]);
/* The old log is set aside and a new one begins after `reached`. */
err recover_new_log(struct recover *r, const char *suffix, char why[512]);

/* The census of the new index. */
err recover_census(struct recover *r, struct census *c);
#endif
