/* The matrix: every test body runs as a fiber on each backend that this machine has. */
#ifndef RT_MATRIX_H
#define RT_MATRIX_H

#include "base/assert.h"
#include "rt/rt.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

/* assert_* of cmocka jump off the stack, which a fiber must not: in fibers CHECK stops the program with the
 * line. */
#define CHECK(x) ASSERT(x)

#define STAT_LOAD(c) __atomic_load_n(&(c), __ATOMIC_RELAXED)

struct matrix_run {
    struct rt *rt;
    void (*body)(struct rt *r);
};

static inline void matrix_fiber(void *arg)
{
    struct matrix_run *m = arg;
    m->body(m->rt);
    rt_stop(m->rt);
}

static inline struct rt *matrix_new(enum rt_backend b, const struct rt_options *o)
{
    struct rt_options opt = o ? *o : (struct rt_options){.loops = 2};
    struct rt *r = NULL;
    opt.backend = b;
    err e = rt_new(&opt, &r);
    if (e != ERR_OK) {
        assert_int_equal(b, RT_URING); /* only io_uring may be missing */
        print_message("skipped on io_uring: this machine does not offer it\n");
        return NULL;
    }
    return r;
}

static inline void matrix_run(const struct rt_options *o, void (*body)(struct rt *r))
{
    static const enum rt_backend backends[] = {RT_EPOLL, RT_URING};
    for (unsigned i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct rt *r = matrix_new(backends[i], o);
        if (!r) continue;
        struct matrix_run m = {r, body};
        assert_true(rt_spawn(rt_loop_at(r, 0), "test", matrix_fiber, &m));
        rt_run(r);
        rt_free(r);
    }
}

#endif
