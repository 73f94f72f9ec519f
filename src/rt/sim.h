/* sim: what a test says to the simulated world behind RT_SIM. Single-threaded; every choice comes from the
 * seed.
 *
 * The disk is the table sys_sim (installed by rt_new with RT_SIM): files hold what was written and, apart,
 * what is durable; names likewise. At a crash, un-synced data and names are kept, lost, torn at 512-byte
 * sectors or reordered, by the seed. The network is in memory: rt_listen and rt_connect of the same process
 * meet.
 */
#ifndef RT_SIM_H
#define RT_SIM_H

#include "rt/rt.h"
#include "sys/sys.h"

extern const struct sys_ops sys_sim;

struct sim_faults {         /* chances in 1/65536 a call; all 0 at first */
    unsigned disk_eio;      /* reads and writes */
    unsigned disk_sync_eio; /* flushes */
    unsigned disk_slow;     /* a call takes 10 to 1000 times as long */
    unsigned work_stuck;    /* a worker takes 1 to 100 s until it starts a job */
    unsigned net_drop;      /* a connection is reset at this read or write */
    unsigned net_slow;
    unsigned disk_elsewhere; /* a write meets a full disk, also over what is there; perhaps half-way */
    uint64_t disk_bytes;     /* capacity; 0 = no limit */
};
void sim_set_faults(const struct sim_faults *f);
/* Power cut: every fd is closed, un-synced state settles by the seed; the disk then holds what a next start
 * sees. Call after rt_run returned. */
void sim_crash(void);
void sim_disk_reset(void); /* an empty disk */
/* The clocks go on from one rt to the next; this sets them back, so that times in answers are equal too.
 * Between rts. */
void sim_clock_reset(void);
uint64_t sim_disk_ops(void);    /* calls so far: crash points are counted by it */
void sim_crash_at(uint64_t op); /* stop the rt before the op-th disk call */
bool sim_crashed(void);         /* that call came: nothing reaches the disk any more */
uint64_t sim_random(void);      /* the seeded stream */
uint64_t sim_trace_hash(void);  /* of every event since rt_new: equal for equal seeds */

#endif
