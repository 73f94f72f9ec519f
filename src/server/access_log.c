#include "server/access_log.h"

#include "base/assert.h"

struct side {
    char *p;
    size_t n;
};

/* Of one loop; touched on its thread alone but for `writing`, which the worker lets go. */
struct part {
    struct side gather, out;
    bool writing;
    struct rt_timer timer;
};

struct access_log {
    unsigned loops;
    struct part part[];
};

struct access_log *access_log_new(unsigned loops)
{
    struct access_log *a = calloc(1, sizeof *a + loops * sizeof a->part[0]);
    if (a) a->loops = loops;
    return a;
}

static void write_out(void *part)
{
    struct part *p = part;
    log_write(p->out.p, p->out.n);
    __atomic_store_n(&p->writing, false, __ATOMIC_RELEASE);
}

static void flush(void *part)
{
    struct part *p = part;
    if (p->gather.n == 0) return;
    if (__atomic_load_n(&p->writing, __ATOMIC_ACQUIRE)) {
        log_write(p->gather.p, p->gather.n);
        p->gather.n = 0;
        return;
    }
    struct side full = p->gather;
    p->gather = (struct side){p->out.p, 0};
    p->out = full;
    p->writing = true;
    if (!rt_work_async("access log", write_out, p)) write_out(p);
}

static bool has_memory(struct part *p)
{
    if (!p->gather.p) p->gather.p = malloc(ACCESS_LOG_BYTES);
    if (!p->out.p) p->out.p = malloc(ACCESS_LOG_BYTES);
    return p->gather.p && p->out.p;
}

void access_log_add(struct access_log *a, const struct log_field *fields, size_t n)
{
    unsigned loop = rt_loop_index(rt_self());
    ASSERT(loop < a->loops);
    struct part *p = &a->part[loop];
    if (!has_memory(p)) {
        log_line(LOG_LEVEL_INFO, STR("request"), fields, n);
        return;
    }
    if (p->gather.n == 0) rt_timer_set(&p->timer, rt_now() + ACCESS_LOG_DELAY, flush, p);
    p->gather.n += log_render(LOG_LEVEL_INFO, STR("request"), fields, n, p->gather.p + p->gather.n,
                              ACCESS_LOG_BYTES - p->gather.n);
    if (ACCESS_LOG_BYTES - p->gather.n < LOG_LINE_MAX) flush(p);
}

void access_log_free(struct access_log *a)
{
    if (!a) return;
    for (unsigned i = 0; i < a->loops; i++) {
        log_write(a->part[i].gather.p, a->part[i].gather.n);
        free(a->part[i].gather.p);
        free(a->part[i].out.p);
    }
    free(a);
}
