/* What the files of rt share. Nothing outside src/rt includes this.
 *
 * Threads: everything in struct rt_loop belongs to the loop's thread, except what is marked (any). Lock
 * order: a guard of a mutex, condition or semaphore; nothing is taken below the stack pool's lock. A loop
 * takes no lock of the workers.
 */
#ifndef RT_RT_INT_H
#define RT_RT_INT_H

#include "base/assert.h"
#include "rt/rt.h"
#include "sys/sys.h"
#include <pthread.h>
#include <signal.h>

#if defined(__SANITIZE_ADDRESS__)
#define RT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define RT_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define RT_TSAN 1
#endif

#define RT_MAGIC    0x52540001u
#define LOOP_MAGIC  0x52540002u
#define FIBER_MAGIC 0x52540003u
#define SOCK_MAGIC  0x52540004u
#define LSTN_MAGIC  0x52540005u

enum {
    STACK_DEFAULT = 128 * 1024,
    STACK_CACHE = 512,      /* idle stacks that a loop keeps */
    STACK_SPARE = 512,      /* idle stacks between the loops */
    SOCK_CACHE = 1024,      /* idle socket records that a loop keeps */
    RUN_BUDGET = 256,       /* fibers resumed before the backend is asked again */
    FIBER_TURN = 1000000,   /* ns that a fiber may have its loop (rt_breathe) */
    LOOP_TURN = 2000000,    /* ns for all fibers before the backend is asked again */
    PATIENT_TURN = 100000,  /* FIBER_TURN of a patient one */
    PATIENT_POLL = 200000,  /* LOOP_TURN once patient fibers run: others may have become ready */
    WORK_QUEUE_MAX = 65536, /* fire-and-forget jobs waiting */
    SIGNALS_MAX = 16,
    TRACE_DEPTH = 48,
};

/* Counters that one thread writes and any thread reads. */
#define STAT_ADD(c, n)   __atomic_store_n(&(c), (c) + (n), __ATOMIC_RELAXED)
#define STAT_GET(c)      __atomic_load_n(&(c), __ATOMIC_RELAXED)
#define SHARED_ADD(c, n) __atomic_add_fetch(&(c), (n), __ATOMIC_RELAXED)

enum fiber_state { FIBER_READY, FIBER_RUNNING, FIBER_WAITING, FIBER_ENDED };

/* Lives at the high end of its own stack mapping. */
struct rt_fiber {
    unsigned magic;
    enum fiber_state state;
    void *sp; /* where switch.S left the registers; valid unless running */
    struct rt_loop *loop;
    struct list ready; /* in loop->ready */
    struct list all;   /* in loop->fibers */
    struct rt_msg resume;
    const char *name;
    const char *note;
    const char *waits; /* what for, a literal; NULL when it does not */
    int64_t since;     /* loop time of the last change of state */
    void (*fn)(void *);
    void *arg;
    bool worker;  /* RT_SIM: this fiber plays a worker thread */
    bool patient; /* rt_set_patient */
    struct rt_timer timer;
    struct rt_waiter *waiter; /* the one the timer is about */
    char *map;                /* the mapping: guard page, stack, this struct */
    size_t map_bytes;
    void *asan_fake;
    void *tsan;
};

/* A file descriptor whose readiness the backend reports, on the loop's thread. */
enum { EV_IN = 1, EV_OUT = 2, EV_END = 4 /* the peer shut down, or an error is pending */ };
struct source {
    int fd;
    bool edge; /* one report per change (sockets); else for as long as it is so */
    bool added;
    bool removing; /* source_remove was called */
    unsigned refs; /* operations of the kernel that name this source (RT_URING) */
    void (*on_event)(struct source *s, unsigned events);
    void (*on_gone)(struct source *s); /* after source_remove: the backend forgot it; may free */
    struct list gone;                  /* in loop->armed (RT_URING) or loop->gone */
};

/* Socket calls that do not wait, as the kernel's: the real ones, or the simulated network. Results >= 0 or
 * -errno. */
struct net_ops {
    int (*socket)(int family);
    int (*connect)(int fd, const struct rt_addr *a); /* 0 or -EINPROGRESS, -EAGAIN, ... */
    int (*connect_error)(int fd);                    /* after it became writable */
    /* A socket that listens on *a, whose port is filled in. first: of several that share the address. */
    int (*listen)(struct rt_addr *a, bool first, int backlog);
    int (*accept)(int fd, struct rt_addr *peer);
    /* Let no new connection in; what is in the queue stays. true: some may still be on their way there. */
    bool (*refuse_new)(int fd);
    ssize_t (*recv)(int fd, void *p, size_t n, bool peek);
    ssize_t (*send)(int fd, const struct msghdr *m, int flags);
    void (*shutdown)(int fd, int how);
    void (*close)(int fd);
};
extern const struct net_ops net_real, net_sim;

struct backend {
    const char *name;
    const struct net_ops *net;
    err (*loop_init)(struct rt_loop *l);
    void (*loop_free)(struct rt_loop *l);
    void (*loop_enter)(struct rt_loop *l); /* first call on the loop's own thread; may be NULL */
    /* Deliver events; wait for one until the loop time `until` (<= now: do not wait). */
    void (*poll)(struct rt_loop *l, int64_t until);
    void (*kick)(struct rt_loop *l); /* (any) end a wait in poll */
    /* Returns 0 or -errno. Events: EV_IN for level sources, EV_IN | EV_OUT for edge sources. */
    int (*source_add)(struct rt_loop *l, struct source *s);
    void (*source_remove)(struct rt_loop *l,
                          struct source *s); /* on_gone follows, not from within this call */
    /* sendmsg that does not wait, from a fiber; >= 0 or -errno. NULL: net->send. */
    ssize_t (*sock_send)(int fd, const struct msghdr *m, int flags);
    /* Files, from a fiber. NULL: by a worker. */
    ssize_t (*file_read)(int fd, void *p, size_t n, uint64_t off, bool direct);
    ssize_t (*file_writev)(int fd, const struct iovec *iov, int n, uint64_t off, int flags);
    int (*file_sync)(int fd);
    void (*drain)(
        struct rt_loop *l); /* the loop ends: wait until the kernel owns nothing of ours; may be NULL */
};
extern const struct backend backend_epoll, backend_uring, backend_sim;
const char *uring_missing(void); /* NULL, or why this machine has no io_uring for us */

struct timer_heap {
    struct rt_timer **at;
    unsigned n, cap;
};

struct rt_loop {
    unsigned magic;
    unsigned index;
    struct rt *rt;
    pthread_t thread;
    int tid;                  /* (any, atomic) its number in the kernel */
    bool threaded;            /* thread is valid (loops above 0) */
    bool ended;               /* (any) left its last iteration */
    struct rt_fiber *current; /* running fiber */
    const char *current_name; /* (any, atomic) */
    struct list ready;        /* fibers to resume */
    struct list patient;      /* the patient ones among them; RT_SIM: none, any order is tried */
    int64_t owed;       /* ns that others had the loop while patient fibers were ready, and they had not */
    struct list fibers; /* all live ones */
    struct list idle_socks; /* sockets whose idle callback is due */
    struct list gone;       /* sources to tell that they are forgotten */
    struct list armed;      /* RT_URING: sources with a poll set */
    struct timer_heap timers;
    int64_t now;     /* at the start of this pass */
    int64_t resumed; /* when the running fiber got its turn */
    void *sp;        /* the loop's own context while a fiber runs */
    struct rt_fiber *stacks[STACK_CACHE];
    unsigned nstacks;
    struct list sock_cache;
    unsigned nsock_cache;
    struct list socks;    /* open sockets */
    unsigned nsocks;      /* (any, atomic): open sockets, for the balance at accept */
    void *backend;        /* the backend's own state */
    struct rt_msg *inbox; /* (any) newest first */
    int sleeping;         /* (any) 1: about to wait or waiting in poll */
    /* watchdog: an odd `beat` is a running iteration, an even one is a wait. */
    uint64_t beat;    /* (any, atomic) */
    int trace_wanted; /* (any) */
    int trace_n;
    uint64_t trace_beat;
    int64_t trace_at, trace_queued; /* when; how long the thread had waited for a core until then */
    int64_t trace_ran;              /* … and had one */
    int64_t trace_slept;            /* how often it slept in this iteration */
    int64_t turn_ran;               /* how long it had one when this iteration began */
    int64_t turn_slept;             /* how often it had slept by then */
    struct late {                   /* an iteration that computed for long (watchdog_close) */
        timer_t timer;
        bool armed;
        int told; /* (any) 1: the watchdog's thread has it */
        int n;
        uint64_t beat;
        int64_t took, computed;
        const char *fiber;
        void *trace[TRACE_DEPTH];
    } late;
    void *trace[TRACE_DEPTH];
    const char *trace_fiber;
    /* counters: written here, read anywhere */
    uint64_t iterations, posts, wakes, timers_fired, started;
    void *asan_fake;
    const void *asan_bottom;
    size_t asan_size;
    void *tsan;
};

struct signal_row {
    int signo;
    void (*fn)(void *arg, int signo);
    void *arg;
};

struct rt {
    unsigned magic;
    struct rt_options o;
    const struct backend *backend;
    bool sim;
    unsigned nloops;
    struct rt_loop **loops;
    int stopping; /* (any) */
    int running;  /* (any) */
    /* stacks between the loops */
    struct rt_latch stacks_guard;
    struct rt_fiber *spare[STACK_SPARE];
    unsigned nspare;
    uint64_t live, peak, refused; /* (any, atomic) */
    uint64_t blocked;             /* (any, atomic) */
    uint64_t remote_wakes;        /* (any, atomic): by threads that are no loop */
    struct work_pool *work, *long_work;
    struct list listeners; /* owned by the rt; under listeners_guard */
    struct rt_latch listeners_guard;
    struct signal_row signals[SIGNALS_MAX];
    unsigned nsignals;
    struct source signal_source;
    struct watchdog *watchdog;
};
extern struct rt *the_rt;

/* ---- stack.c ---- */
struct rt_fiber *stack_get(struct rt *r);              /* on any thread; NULL when memory is out */
void stack_put(struct rt_loop *l, struct rt_fiber *f); /* on l's thread */
void stack_free(struct rt_fiber *f);

/* ---- switch.S ---- */
void rt_switch(void **save, void *to);
void *fiber_prepare(void *top, struct rt_fiber *f); /* the sp with which rt_switch enters fiber_main(f) */
void fiber_main(struct rt_fiber *f);

/* ---- fiber.c ---- */
void fiber_ready(struct rt_fiber *f); /* on its loop's thread */
void fiber_resume(struct rt_loop *l, struct rt_fiber *f);
/* As rt_wait, and says what for in the dump. */
bool wait_for(struct rt_waiter *w, int64_t deadline, const char *what);
void fiber_enter_loop(struct rt_loop *l); /* the sanitizers learn of the loop's own stack */

/* ---- loop.c ---- */
extern _Thread_local struct rt_loop *tl_loop;
struct rt_loop *loop_new(struct rt *r, unsigned index);
void loop_free(struct rt_loop *l);
void loop_run(struct rt_loop *l);
void loop_kick(struct rt_loop *l);

/* ---- timer.c ---- */
void timer_heap_free(struct timer_heap *h);
void timers_run(struct rt_loop *l);
int64_t timers_next(const struct rt_loop *l); /* RT_FOREVER: none */

/* ---- work.c ---- */
err work_new(struct rt *r);
void work_finish(struct rt *r); /* runs what is queued, then ends the threads */
void work_free(struct rt *r);
void work_stats(struct rt *r, struct rt_stats *out);

bool thread_start(pthread_t *t, void *(*fn)(void *), void *arg); /* with all signals blocked */

/* ---- watchdog.c, symbols.c ---- */
void watchdog_start(struct rt *r);
void watchdog_stop(struct rt *r);
/* On the loop's thread, where watchdog_close says so: an iteration begins, ends; the last one ended. */
bool watchdog_close(const struct rt *r);
void watchdog_turn_begins(struct rt_loop *l);
void watchdog_turn_ends(struct rt_loop *l);
void watchdog_last_turn(struct rt_loop *l);
void symbols_format(void *const *pcs, int n, struct buf *out); /* "name+0x12 < caller+0x34" */

/* ---- sock.c, listen.c ---- */
struct rt_sock {
    struct source src; /* first: events are cast back */
    unsigned magic;
    struct rt_loop *loop;
    struct list link; /* loop->socks or loop->sock_cache */
    bool can_read;    /* false: a read would wait; an edge sets it */
    bool can_write;
    bool ended; /* EV_END came: do not trust short reads to mean "empty" */
    bool aborted;
    unsigned want; /* events that `waiter` waits for */
    struct rt_waiter *waiter;
    rt_idle_fn *idle_fn;
    void *idle_arg;
    int64_t idle_deadline;
    struct list idle_link; /* loop->idle_socks: the callback is due */
    struct rt_timer timer; /* stays armed over requests; checks idle_deadline when it fires */
    struct rt_msg handoff;
    struct listener_part *from;
    struct rt_addr peer; /* last: not cleared at reuse */
};
struct rt_sock *sock_new(struct rt_loop *l, int fd);   /* closes fd when it fails */
void sock_adopt(struct rt_loop *l, struct rt_sock *s); /* on l's thread: l owns it now */
void socks_run_idle(struct rt_loop *l);
void socks_free(struct rt_loop *l);
int sock_wait_writable(struct rt_sock *s, int64_t deadline); /* 0 or -errno */
void listeners_free(struct rt *r);

/* ---- latch.c ---- */
enum { LATCH_TRIES = 64 }; /* much longer than anybody who has a core holds a latch */
static inline void latch_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- signal.c ---- */
err signals_start(struct rt *r);
void signals_stop(struct rt *r);

#endif
