/* The simulated disk's parts: nodes and names (sim_names.c) behind the table of system calls (sim_disk.c).
 * Paths come here cleaned: no "." parts, no double or trailing slashes; "" is the root of relative and
 * absolute names alike. */
#ifndef RT_SIM_DISK_H
#define RT_SIM_DISK_H

#include "rt/sim_int.h"

struct node {
    struct list link;
    struct sim_file *file; /* NULL: a directory */
    uint64_t ino;
    unsigned refs; /* names, changes of names, descriptors */
    int lock_fd;   /* who holds the lock; -1 */
};
struct node *node_new(bool dir); /* one reference, the caller's */
struct node *node_ref(struct node *n);
void node_drop(struct node *n);
uint64_t nodes_bytes(void);

struct node *names_find(const char *path); /* no reference taken; NULL for the root */
bool names_is_dir(const char *path);
bool names_parent_exists(const char *path);
bool names_empty(const char *dir);
void names_link(const char *path, struct node *n);
void names_unlink(const char *path, struct node *n);
void names_rename(const char *from, const char *to, struct node *n);
void names_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg);
void names_sync(const char *dir);
void names_crash(void);
void names_reset(void);

#endif
