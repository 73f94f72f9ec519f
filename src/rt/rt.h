/* rt: the runtime. One loop per core, stackful fibers, a worker pool for what blocks; three back-ends of one
 * interface.
 *
 *   RT_EPOLL  epoll and workers; runs everywhere
 *
 *   RT_URING  io_uring where a probe of each opcode that we use says it works (one ring per loop,
 * SINGLE_ISSUER and DEFER_TASKRUN where the kernel has them, never SQPOLL); workers for the rest
 *
 *   RT_SIM    one thread, virtual time, seeded choices, in-memory network and disk, workers as fibers
 *
 * Rules: a fiber never moves between threads, never switches with a C++ frame or a pending OpenSSL error on
 * its stack, and cannot end while the kernel owns its buffers: every call here returns only when the kernel
 * has let go. Idle connections hold no fiber. Stacks are mmapped with a guard page; their number is capped
 * (max_fibers). Deadlines are absolute, in ns of rt_now(); RT_FOREVER = none. I/O calls return >= 0 or -errno
 * (-ETIMEDOUT).
 */
#ifndef RT_RT_H
#define RT_RT_H

#include "base/errors.h"
#include "base/list.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define RT_FOREVER INT64_MAX
#define RT_MS      ((int64_t)1000000)
#define RT_SEC     ((int64_t)1000000000)

enum rt_backend { RT_AUTO, RT_EPOLL, RT_URING, RT_SIM }; /* AUTO: what the probe and the figures say */

struct rt_options {
    enum rt_backend backend;
    unsigned loops;      /* 0: one per core (RT_SIM: always 1) */
    unsigned workers;    /* worker threads, shared; 0: 2 per core, at least 4 */
    size_t stack_bytes;  /* 0: 128 KiB */
    unsigned max_fibers; /* over all loops; 0: 8,192 */
    uint64_t seed;       /* RT_SIM */
    /* A loop iteration longer than this, without what the thread waited for a core, is reported with its
     * stack; 0: 1 s; < 0: off. Below 100 ms, which is for tests, loops also measure their own computing. */
    int64_t watchdog_ns;
};

struct rt;
struct rt_loop;
struct rt_fiber;

/* ---- life ---- */
err rt_new(const struct rt_options *o, struct rt **out); /* one rt a process at a time */
void rt_free(struct rt *r);                              /* after rt_run returned */
/* Runs all loops until rt_stop; loop 0 on the calling thread. Fibers spawned before it start then. */
void rt_run(struct rt *r);
void rt_stop(struct rt *r); /* any thread, also from a fiber; loops end when their current fibers yield */
unsigned rt_loops(const struct rt *r);
struct rt_loop *rt_loop_at(struct rt *r, unsigned i);
struct rt_loop *rt_self(void); /* the loop of this thread; NULL on other threads */
unsigned rt_loop_index(const struct rt_loop *l);
const char *rt_backend_name(const struct rt *r);

/* ---- fibers ---- */
/* Start fn(arg) on loop l. From any thread. false at the cap or out of memory. name is kept by pointer (a
 * literal). */
bool rt_spawn(struct rt_loop *l, const char *name, void (*fn)(void *), void *arg);
struct rt_fiber *rt_fiber_self(void); /* NULL outside fibers */
void rt_yield(void);
/* As rt_yield, once this fiber has had its loop for over a millisecond; else, and outside fibers, nothing.
 * The calls of sockets and files do so themselves; what goes on for long without them asks here. */
void rt_breathe(void);
/* Patient, this fiber gives way to those that are not: it runs when none of them is ready, or when they have
 * had the loop for longer than patient fibers since one became ready; and it breathes every 0.1 ms. For what
 * changes things or goes on for long, so that what only reads need not queue behind it. Returns what it was
 * before. Outside fibers: nothing. */
bool rt_set_patient(bool on);
void rt_sleep(int64_t ns);
int64_t rt_now(void); /* monotonic ns; callable anywhere; virtual under RT_SIM */
/* What this fiber is doing, for the debug page; a literal. Returns the former one. */
const char *rt_set_note(const char *note);

/* ---- waiting: the one primitive that all others are made of ----
 * The waiter lives on the waiting fiber's stack. rt_wake may be called once, from any thread, and is the last
 * touch of the waiter by the waker. On a time-out the caller must make sure (by the lock of the queue it
 * stands in) that no waker still holds it: take it out of the queue; if it was already out, call rt_wait
 * again without deadline. */
struct rt_waiter {
    struct list link; /* for the queue of whoever wakes */
    struct rt_fiber *fiber;
    int state;
    int64_t deadline;
    void *user;
};
void rt_waiter_init(struct rt_waiter *w);
bool rt_wait(struct rt_waiter *w, int64_t deadline); /* true: woken; false: deadline passed */
void rt_wake(struct rt_waiter *w);

/* A lock for a few instructions on what loops and other threads share; nobody waits or switches fibers while
 * holding it. A fiber that finds it held, because its holder has lost its core, waits as a fiber: its loop
 * goes on. Another thread sleeps. A callback of a loop, which can do neither, yields the core: callbacks take
 * none that others hold often. All zero is an open latch; after rt_latch_unlock its memory may go. */
struct rt_latch {
    uintptr_t word;
};
void rt_latch_wait(struct rt_latch *l);
void rt_latch_wake(uintptr_t word);
static inline bool rt_latch_try(struct rt_latch *l)
{
    uintptr_t open = 0;
    return __atomic_load_n(&l->word, __ATOMIC_RELAXED) == 0 &&
           __atomic_compare_exchange_n(&l->word, &open, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
static inline void rt_latch_lock(struct rt_latch *l)
{
    if (!rt_latch_try(l)) rt_latch_wait(l);
}
static inline void rt_latch_unlock(struct rt_latch *l)
{
    uintptr_t word = __atomic_exchange_n(&l->word, 0, __ATOMIC_ACQ_REL);
    if (word != 1) rt_latch_wake(word);
}

/* Mutex, condition, semaphore between fibers of any loop; held across nothing but short work or I/O of the
 * store. Who comes while the mutex is free may overtake one that waits, but none is overtaken twice. */
struct rt_mutex {
    struct rt_latch guard; /* over the queue */
    bool held;
    struct list waiters;
};
void rt_mutex_init(struct rt_mutex *m);
void rt_mutex_lock(struct rt_mutex *m);
void rt_mutex_unlock(struct rt_mutex *m);
struct rt_cond {
    struct rt_latch guard;
    struct list waiters;
};
void rt_cond_init(struct rt_cond *c);
bool rt_cond_wait(struct rt_cond *c, struct rt_mutex *m, int64_t deadline); /* false: deadline */
void rt_cond_signal(struct rt_cond *c);
void rt_cond_broadcast(struct rt_cond *c);
struct rt_sem {
    struct rt_latch guard;
    int64_t count;
    struct list waiters; /* first come, first served */
};
void rt_sem_init(struct rt_sem *s, int64_t count);
bool rt_sem_take(struct rt_sem *s, int64_t n, int64_t deadline); /* false: deadline */
void rt_sem_give(struct rt_sem *s, int64_t n);

/* ---- workers: the only place where blocking libraries and system calls run ---- */
/* Run fn(arg) on a worker; the fiber waits. Not cancellable. Outside a fiber (start-up, tests) it runs in
 * place. */
void rt_work(const char *name, void (*fn)(void *), void *arg);
/* The same for what may take long while no request waits for it: on a few threads of their own. */
void rt_work_long(const char *name, void (*fn)(void *), void *arg);
/* Fire and forget; false when the queue (bounded, 65,536) is full. */
bool rt_work_async(const char *name, void (*fn)(void *), void *arg);
/* Run fn(arg) on the loop's thread, soon, not in a fiber; it must not wait. From any thread. msg memory is
 * the caller's until fn runs. */
struct rt_msg {
    struct rt_msg *next;
    void (*fn)(void *arg);
    void *arg;
};
void rt_post(struct rt_loop *l, struct rt_msg *m);

/* Timers on this loop; callbacks do not wait. The struct is the caller's while armed. */
struct rt_timer {
    int64_t at;
    void (*fn)(void *arg);
    void *arg;
    unsigned slot; /* heap position + 1; 0 = idle */
};
void rt_timer_set(struct rt_timer *t, int64_t at, void (*fn)(void *), void *arg); /* re-arms */
void rt_timer_cancel(struct rt_timer *t);

/* ---- files: as sys, but the fiber waits instead of the thread ---- */
ssize_t rt_pread(int fd, void *p, size_t n, uint64_t off); /* page cache first, then worker or ring */
/* As rt_pread, without asking the page cache first: for descriptors opened with O_DIRECT, where the asking
 * would wait. */
ssize_t rt_pread_uncached(int fd, void *p, size_t n, uint64_t off);
ssize_t rt_pwrite(int fd, const void *p, size_t n, uint64_t off);
ssize_t rt_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int rwf_flags);
int rt_fdatasync(int fd);

/* ---- sockets ---- */
struct rt_sock; /* belongs to one loop; used by one fiber at a time */
struct rt_listener;
struct rt_addr {
    struct sockaddr_storage ss;
    socklen_t len;
};
/* "127.0.0.1:9000", "[::1]:9000", ":9000" or "*:9000" (all addresses, v4 and v6), "unix:/path". Port 0 picks
 * one. */
err rt_addr_parse(struct str text, struct rt_addr *out);
/* Is it such an address, or NAME:PORT? */
bool rt_addr_valid(struct str text);
/* The addresses that text means, each once: a name is looked up, which blocks; what this machine has no
 * protocol for is left out. ERR_INVALID_SETTING: not valid; ERR_NOT_FOUND: the name has no address here. */
#define RT_ADDRS_MAX 16
err rt_addr_resolve(struct str text, struct rt_addr out[RT_ADDRS_MAX], unsigned *n);
void rt_addr_format(const struct rt_addr *a, char out[128]); /* as parsed; a v4-mapped v6 prints as v4 */

/* Listen on every loop (SO_REUSEPORT; a Unix socket on loop 0, spread by hand-off, so that load balances at
 * accept). on_accept runs on the accepting loop, not in a fiber: it takes the socket. backlog 0: 4,096. */
typedef void rt_accept_fn(void *arg, struct rt_sock *s, const struct rt_addr *peer);
err rt_listen(struct rt *r, const struct rt_addr *a, int backlog, rt_accept_fn *fn, void *arg,
              struct rt_listener **out);
void rt_listener_addr(const struct rt_listener *l, struct rt_addr *out); /* the real port */
/* Any fiber. Refuses new connections, then accepts all that the kernel took before: nobody who is connected
 * is reset. */
void rt_listener_close(struct rt_listener *l);

int rt_connect(const struct rt_addr *a, int64_t deadline, struct rt_sock **out); /* 0 or -errno */
ssize_t rt_read(struct rt_sock *s, void *p, size_t n, int64_t deadline);         /* 0 = end */
/* Writes all of it, or fails. more: MSG_MORE. */
ssize_t rt_writev(struct rt_sock *s, struct iovec *iov /* consumed */, int n, int64_t deadline, bool more);
/* No fiber while idle: fn runs on the loop, once, not in a fiber, when s is readable, closed or the deadline
 * passes (events: RT_READABLE or RT_TIMEOUT). */
enum rt_idle_event { RT_READABLE, RT_TIMEOUT };
typedef void rt_idle_fn(void *arg, enum rt_idle_event ev);
void rt_when_readable(struct rt_sock *s, int64_t deadline, rt_idle_fn *fn, void *arg);
void rt_when_readable_cancel(struct rt_sock *s);
void rt_sock_shutdown(struct rt_sock *s); /* write side */
/* On the loop of s, from any of its fibers or callbacks: the call that another fiber is in on s, and all
 * later ones, return -ECANCELED; an idle callback runs with RT_READABLE. The owner still closes. */
void rt_sock_abort(struct rt_sock *s);
void rt_sock_close(struct rt_sock *s);   /* frees; safe on the loop, in or out of a fiber */
int rt_sock_fd(const struct rt_sock *s); /* -1 under RT_SIM */
struct rt_loop *rt_sock_loop(const struct rt_sock *s);

/* Process signals as messages: fn runs on loop 0, not in a fiber. Call before rt_run; signals are blocked in
 * all threads. */
void rt_on_signal(struct rt *r, int signo, void (*fn)(void *arg, int signo), void *arg);

/* ---- looking inside ---- */
struct rt_stats {
    uint64_t fibers_live, fibers_peak, fibers_started, fibers_refused;
    uint64_t iterations, loop_blocked; /* loop_blocked: iterations over the watchdog's limit */
    uint64_t work_queued, work_running, work_done, work_queue_peak;
    uint64_t posts, wakes, timers;
    uint64_t sockets;
};
void rt_get_stats(struct rt *r, struct rt_stats *out);
/* One line a live fiber: loop, name, note, what it waits for, for how long. Callable from a fiber; gathers
 * over loops. */
void rt_dump(struct rt *r, struct buf *out);

#endif
