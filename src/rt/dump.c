/* What every live fiber does, as text. Each loop writes its own part; the asking fiber waits for them. */
#include "rt/rt_int.h"

struct dump_part {
    struct rt_msg msg;
    struct rt_loop *loop;
    struct rt_sem *done;
    struct buf text;
};

static void dump_fiber(const struct rt_fiber *f, struct buf *out)
{
    static const char *const state[] = {"ready", "running", "waiting", "ended"};
    int64_t ms = (f->loop->now - f->since) / RT_MS;
    buf_fmt(out, "loop=%u fiber=%s state=%s", f->loop->index, f->name, state[f->state]);
    if (f->patient) buf_cstr(out, " patient");
    if (f->waits) buf_fmt(out, " for=\"%s\"", f->waits);
    if (f->note) buf_fmt(out, " note=\"%s\"", f->note);
    buf_fmt(out, " ms=%lld\n", (long long)(ms < 0 ? 0 : ms));
}

static void dump_loop(void *arg)
{
    struct dump_part *p = arg;
    LIST_EACH(e, &p->loop->fibers) dump_fiber(CONTAINER(e, struct rt_fiber, all), &p->text);
    rt_sem_give(p->done, 1);
}

void rt_dump(struct rt *r, struct buf *out)
{
    CHECK_MAGIC(r, RT_MAGIC);
    ASSERT(rt_fiber_self());
    struct dump_part *parts = calloc(r->nloops, sizeof *parts);
    struct rt_sem done;
    if (!parts) return;
    rt_sem_init(&done, 0);
    for (unsigned i = 0; i < r->nloops; i++) {
        struct dump_part *p = &parts[i];
        *p = (struct dump_part){{NULL, dump_loop, p}, r->loops[i], &done, {0}};
        buf_init(&p->text, 0);
        rt_post(p->loop, &p->msg);
    }
    rt_sem_take(&done, r->nloops, RT_FOREVER);
    for (unsigned i = 0; i < r->nloops; i++) {
        buf_str(out, buf_view(&parts[i].text));
        buf_free(&parts[i].text);
    }
    free(parts);
}
