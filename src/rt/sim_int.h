/* What the files of the simulator share. One thread; everything is global because the world outlives a
 * runtime: a crash ends one and the next starts on the same disk. */
#ifndef RT_SIM_INT_H
#define RT_SIM_INT_H

#include "rt/rt_int.h"
#include "rt/sim.h"

extern struct sim_faults sim_faults;

/* ---- sim.c: clock, choices, trace ---- */
void sim_start(struct rt *r); /* seeds the stream; the clock and the disk go on */
void sim_stop(void);
uint64_t sim_below(uint64_t n); /* 0 .. n-1 */
bool sim_chance(unsigned of_65536);
int64_t sim_latency(int64_t typical, unsigned slow); /* around typical; sometimes 10 to 1000 times it */
void sim_trace(uint64_t a, uint64_t b);              /* an event, into the hash */
void sim_trace_name(const char *z, uint64_t b);
struct list *sim_pick_ready(struct list *ready); /* takes one out */

uint64_t sim_mono_ns(void);
int64_t sim_real_ms(void);
void sim_random_bytes(void *p, size_t n);
void sim_sleep_ns(uint64_t ns);

/* ---- sim_net.c ---- */
int sim_net_source_add(struct rt_loop *l, struct source *s);
void sim_net_source_remove(struct rt_loop *l, struct source *s);
bool sim_net_deliver(struct rt_loop *l); /* events that are due; false: none */
void sim_net_reset(void);

/* ---- sim_work.c ---- */
void sim_work(struct rt_waiter *w, const char *name, void (*fn)(void *), void *arg);
bool sim_work_async(const char *name, void (*fn)(void *), void *arg);
void sim_work_stats(struct rt_stats *out);
void sim_work_reset(void);

/* ---- sim_file.c: the contents of one file, and what of it is durable ---- */
struct sim_file;
struct sim_file *sim_file_new(void);
void sim_file_free(struct sim_file *f);
uint64_t sim_file_size(const struct sim_file *f);
uint64_t sim_file_bytes(const struct sim_file *f); /* allocated */
uint64_t sim_file_grows(const struct sim_file *f, size_t n,
                        uint64_t off); /* bytes that such a write would allocate */
size_t sim_file_read(const struct sim_file *f, void *p, size_t n, uint64_t off);
/* The first byte >= off in an allocated page; -ENXIO: none before the end. */
int64_t sim_file_data(const struct sim_file *f, uint64_t off);
/* Each returns the number of the change; sim_file_sync makes all changes up to a number durable. */
uint64_t sim_file_write(struct sim_file *f, const void *p, size_t n, uint64_t off);
uint64_t sim_file_resize(struct sim_file *f, uint64_t size);
void sim_file_reserve(struct sim_file *f, uint64_t off, uint64_t n); /* allocates, changes nothing */
uint64_t sim_file_punch(struct sim_file *f, uint64_t off, uint64_t n);
uint64_t sim_file_changes(const struct sim_file *f); /* number of the newest change */
void sim_file_sync_one(struct sim_file *f, uint64_t change);
void sim_file_sync(struct sim_file *f, uint64_t upto);
void sim_file_lose(struct sim_file *f, uint64_t upto); /* a flush failed: never durable by a later one */
void sim_file_crash(struct sim_file *f);               /* un-synced changes settle by the seed */

#endif
