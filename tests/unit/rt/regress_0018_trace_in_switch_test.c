/* Regression 18: the watchdog's signal met a loop in the middle of a switch between two stacks, for which the
 * unwinding notes were wrong, and taking the trace ended the server. A trace may be taken between any two
 * instructions. */
#include "rt_matrix.h"

#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#define TRACES   10000u
#define SWITCHES 400000u /* at least; a fifth of the time of two that yield to each other is switching */
#define EVERY_US 100

static _Atomic unsigned traces;
static _Atomic bool enough;

static void take_trace(int signo)
{
    (void)signo;
    void *frames[32];
    if (backtrace(frames, 32) > 0) traces++;
}

static void yielder(void *arg)
{
    for (unsigned i = 0; i < SWITCHES || !enough; i++) {
        rt_yield();
        if (traces >= TRACES) enough = true;
    }
    rt_sem_give(arg, 1);
}

static void body(struct rt *r)
{
    struct rt_sem done;
    traces = 0;
    enough = false;
    rt_sem_init(&done, 0);
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){{0, EVERY_US}, {0, EVERY_US}}, NULL) == 0);
    for (int i = 0; i < 2; i++) CHECK(rt_spawn(rt_loop_at(r, 0), "yielder", yielder, &done));
    for (int i = 0; i < 2; i++) rt_sem_take(&done, 1, RT_FOREVER);
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL) == 0);
}

static void test_trace_in_switch(void **state)
{
    (void)state;
    void *first[4];
    backtrace(first, 4); /* loads what it needs outside of the handler */
    struct sigaction sa = {.sa_handler = take_trace, .sa_flags = SA_RESTART}, before;
    assert_int_equal(sigaction(SIGALRM, &sa, &before), 0);
    matrix_run(&(struct rt_options){.loops = 1, .watchdog_ns = -1}, body);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trace_in_switch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
