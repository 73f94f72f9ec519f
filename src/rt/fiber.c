/* Fibers: start, switch, end; and the one way to wait. */
#include "rt/rt_int.h"

#ifdef RT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef RT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* States of a waiter. A waker exchanges in WOKEN; only who finds PARKED makes the fiber ready. */
enum { W_IDLE, W_PARKED, W_WOKEN };

/* ---- switching, with what the sanitizers must know ---- */

void fiber_enter_loop(struct rt_loop *l)
{
#ifdef RT_TSAN
    l->tsan = __tsan_get_current_fiber();
#else
    (void)l;
#endif
}

static void to_fiber(struct rt_loop *l, struct rt_fiber *f)
{
#ifdef RT_ASAN
    __sanitizer_start_switch_fiber(&l->asan_fake, f->map, f->map_bytes);
#endif
#ifdef RT_TSAN
    __tsan_switch_to_fiber(f->tsan, 0);
#endif
    rt_switch(&l->sp, f->sp);
#ifdef RT_ASAN
    __sanitizer_finish_switch_fiber(l->asan_fake, NULL, NULL);
#endif
}

static void to_loop(struct rt_loop *l, struct rt_fiber *f)
{
#ifdef RT_ASAN
    bool ends = f->state == FIBER_ENDED;
    __sanitizer_start_switch_fiber(ends ? NULL : &f->asan_fake, l->asan_bottom, l->asan_size);
#endif
#ifdef RT_TSAN
    __tsan_switch_to_fiber(l->tsan, 0);
#endif
    rt_switch(&f->sp, l->sp);
#ifdef RT_ASAN
    __sanitizer_finish_switch_fiber(f->asan_fake, &l->asan_bottom, &l->asan_size);
#endif
}

void fiber_main(struct rt_fiber *f)
{
    struct rt_loop *l = f->loop;
#ifdef RT_ASAN
    __sanitizer_finish_switch_fiber(NULL, &l->asan_bottom, &l->asan_size);
#endif
    f->fn(f->arg);
    f->state = FIBER_ENDED;
    to_loop(l, f);
    UNREACHABLE();
}

/* ---- start and end ---- */

static bool count_in(struct rt *r)
{
    uint64_t n = SHARED_ADD(r->live, 1);
    if (n > r->o.max_fibers) {
        __atomic_sub_fetch(&r->live, 1, __ATOMIC_RELAXED);
        SHARED_ADD(r->refused, 1);
        return false;
    }
    uint64_t peak = STAT_GET(r->peak);
    while (n > peak &&
           !__atomic_compare_exchange_n(&r->peak, &peak, n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return true;
}

static void fiber_begin(struct rt_fiber *f)
{
    struct rt_loop *l = f->loop;
    list_append(&l->fibers, &f->all);
    STAT_ADD(l->started, 1);
    f->since = l->now;
    fiber_ready(f);
}

static void begin_msg(void *arg)
{
    fiber_begin(arg);
}

bool rt_spawn(struct rt_loop *l, const char *name, void (*fn)(void *), void *arg)
{
    CHECK_MAGIC(l, LOOP_MAGIC);
    if (!count_in(l->rt)) return false;
    struct rt_fiber *f = stack_get(l->rt);
    if (!f) {
        __atomic_sub_fetch(&l->rt->live, 1, __ATOMIC_RELAXED);
        SHARED_ADD(l->rt->refused, 1);
        return false;
    }
    f->magic = FIBER_MAGIC;
    f->loop = l;
    f->name = name;
    f->note = f->waits = NULL;
    f->fn = fn;
    f->arg = arg;
    f->worker = f->patient = false;
    f->waiter = NULL;
    f->asan_fake = NULL;
    f->timer.slot = 0;
    f->sp = fiber_prepare(f, f);
    if (rt_self() == l) {
        fiber_begin(f);
    } else {
        f->resume.fn = begin_msg;
        f->resume.arg = f;
        rt_post(l, &f->resume);
    }
    return true;
}

void fiber_ready(struct rt_fiber *f)
{
    f->state = FIBER_READY;
    struct rt_loop *l = f->loop;
    list_append(f->patient && !l->rt->sim ? &l->patient : &l->ready, &f->ready);
}

void fiber_resume(struct rt_loop *l, struct rt_fiber *f)
{
    CHECK_MAGIC(f, FIBER_MAGIC);
    f->state = FIBER_RUNNING;
    l->current = f;
    __atomic_store_n(&l->current_name, f->name, __ATOMIC_RELAXED);
    to_fiber(l, f);
    l->current = NULL;
    __atomic_store_n(&l->current_name, NULL, __ATOMIC_RELAXED);
    if (f->state != FIBER_ENDED) return;
    ASSERT(f->timer.slot == 0);
    list_remove(&f->all);
    stack_put(l, f);
    __atomic_sub_fetch(&l->rt->live, 1, __ATOMIC_RELAXED);
}

/* ---- waiting ---- */

static struct rt_fiber *running(void)
{
    return tl_loop ? tl_loop->current : NULL;
}

/* To the code that it runs, a simulated worker is a thread. */
struct rt_fiber *rt_fiber_self(void)
{
    struct rt_fiber *f = running();
    return f && !f->worker ? f : NULL;
}

void rt_yield(void)
{
    struct rt_fiber *f = running();
    ASSERT(f != NULL);
    fiber_ready(f);
    to_loop(f->loop, f);
}

void rt_breathe(void)
{
    struct rt_fiber *f = running();
    if (f && rt_now() - f->loop->resumed > (f->patient ? PATIENT_TURN : FIBER_TURN)) rt_yield();
}

bool rt_set_patient(bool on)
{
    struct rt_fiber *f = running();
    bool was = f && f->patient;
    if (f) f->patient = on;
    return was;
}

void rt_waiter_init(struct rt_waiter *w)
{
    list_init(&w->link);
    w->fiber = running();
    w->state = W_IDLE;
    w->deadline = RT_FOREVER;
    w->user = NULL;
}

/* The deadline passed, on the loop's thread. A waker that came first has made the fiber ready already. */
static void wait_timeout(void *arg)
{
    struct rt_fiber *f = arg;
    int parked = W_PARKED;
    if (__atomic_compare_exchange_n(&f->waiter->state, &parked, W_IDLE, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        fiber_ready(f);
}

bool wait_for(struct rt_waiter *w, int64_t deadline, const char *what)
{
    struct rt_fiber *f = running();
    ASSERT(f != NULL && w->fiber == f);
    if (__atomic_load_n(&w->state, __ATOMIC_ACQUIRE) == W_WOKEN) return true;
    w->deadline = deadline;
    if (deadline != RT_FOREVER) {
        if (deadline <= f->loop->now) return false;
        f->waiter = w;
        rt_timer_set(&f->timer, deadline, wait_timeout, f);
    }
    int idle = W_IDLE;
    if (__atomic_compare_exchange_n(&w->state, &idle, W_PARKED, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        f->state = FIBER_WAITING;
        f->waits = what;
        f->since = f->loop->now;
        to_loop(f->loop, f);
        f->waits = NULL;
        f->since = f->loop->now;
    }
    if (deadline != RT_FOREVER) rt_timer_cancel(&f->timer);
    return __atomic_load_n(&w->state, __ATOMIC_ACQUIRE) == W_WOKEN;
}

bool rt_wait(struct rt_waiter *w, int64_t deadline)
{
    return wait_for(w, deadline, "wake");
}

void rt_wake(struct rt_waiter *w)
{
    struct rt_fiber *f = w->fiber;
    struct rt_loop *self = tl_loop;
    if (self)
        STAT_ADD(self->wakes, 1);
    else
        SHARED_ADD(the_rt->remote_wakes, 1);
    if (__atomic_exchange_n(&w->state, W_WOKEN, __ATOMIC_ACQ_REL) != W_PARKED) return;
    /* The fiber is parked and only this call can make it ready: its resume message is ours. */
    if (self == f->loop) {
        fiber_ready(f);
    } else {
        f->resume.fn = NULL;
        f->resume.arg = f;
        rt_post(f->loop, &f->resume);
    }
}

void rt_sleep(int64_t ns)
{
    if (!running()) {
        ASSERT(!rt_self());
        struct timespec ts = {ns / RT_SEC, ns % RT_SEC};
        nanosleep(&ts, NULL);
        return;
    }
    struct rt_waiter w;
    rt_waiter_init(&w);
    int64_t now = rt_now();
    wait_for(&w, ns < RT_FOREVER - now ? now + ns : RT_FOREVER, "sleep");
}

const char *rt_set_note(const char *note)
{
    struct rt_fiber *f = running();
    if (!f) return NULL;
    const char *was = f->note;
    f->note = note;
    return was;
}
