/* The io_uring backend: one ring a loop; readiness of sockets by multishot polls, sends and files
 * by the ring itself; receiving is a plain call (docs/decisions/0001-event-loop.md).
 *
 * The ring is used by its loop's thread alone (SINGLE_ISSUER) and completions are run when the loop asks
 * (DEFER_TASKRUN) where the kernel has both. Level sources use a poll of one shot that is set again after
 * each report. A source is gone only after the last completion of its poll; a fiber returns only after the
 * completion of its read or write.
 */
#include "base/log.h"
#include "rt/rt_int.h"
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SQ_ENTRIES = 256, CQ_ENTRIES = 4096, MAX_IO = 1 << 30 };

/* What a completion is about, in the low bits of its user data. */
enum { TAG_NONE, TAG_SOURCE, TAG_OP, TAG_MASK = 3 };

struct uring_loop {
    struct io_uring ring;
    struct source wake;
    unsigned polls; /* armed */
    unsigned ops;   /* reads, writes, flushes and sends that the kernel holds */
    bool ending;
};

struct uring_op {
    struct rt_waiter w;
    int result;
};

/* ---- set-up ---- */

static int ring_open(struct io_uring *ring)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_R_DISABLED,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
        IORING_SETUP_R_DISABLED,
    };
    int rc = -ENOSYS;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct io_uring_params p = {.flags = flags[i] | IORING_SETUP_CQSIZE, .cq_entries = CQ_ENTRIES};
        rc = io_uring_queue_init_params(SQ_ENTRIES, ring, &p);
        if (rc != -EINVAL) break; /* EINVAL: a flag that this kernel does not know */
    }
    return rc;
}

/* From here on the calling thread is the ring's. (liburing 2.3 does not export io_uring_enable_rings.) */
static int ring_enable(struct io_uring *ring)
{
    return io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static const char *missing_opcode(struct io_uring *ring)
{
    static const struct {
        int op;
        const char *name;
    } needed[] = {{IORING_OP_POLL_ADD, "POLL_ADD"}, {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
                  {IORING_OP_READ, "READ"},         {IORING_OP_SENDMSG, "SENDMSG"},
                  {IORING_OP_WRITEV, "WRITEV"},     {IORING_OP_FSYNC, "FSYNC"}};
    struct io_uring_probe *p = io_uring_get_probe_ring(ring);
    if (!p) return "probing";
    const char *name = NULL;
    for (unsigned i = 0; i < sizeof needed / sizeof *needed && !name; i++)
        if (!io_uring_opcode_supported(p, needed[i].op)) name = needed[i].name;
    io_uring_free_probe(p);
    return name;
}

/* Multishot polls (5.13) cannot be probed as an opcode: set one and look whether it stays. */
static bool multishot_works(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    bool ok = false;
    int fd = eventfd(1, EFD_CLOEXEC);
    if (fd < 0) return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_poll_multishot(sqe, fd, POLLIN);
    if (io_uring_submit(ring) == 1 && io_uring_wait_cqe(ring, &cqe) == 0)
        ok = cqe->res > 0 && (cqe->flags & IORING_CQE_F_MORE);
    close(fd);
    return ok;
}

/* NULL, or why this machine cannot. */
const char *uring_missing(void)
{
    struct io_uring ring;
    int rc = ring_open(&ring);
    if (rc < 0) return strerrordesc_np(-rc);
    const char *why = NULL;
    if (!(ring.features & IORING_FEAT_EXT_ARG) || !(ring.features & IORING_FEAT_NODROP))
        why = "the kernel is too old";
    else if (!(why = missing_opcode(&ring))) {
        if (ring_enable(&ring) != 0 || !multishot_works(&ring)) why = "multishot polls do not work";
    }
    io_uring_queue_exit(&ring);
    return why;
}

static void wake_event(struct source *s, unsigned ev)
{
    (void)s; /* the point was to end the wait; the counter is never read */
    (void)ev;
}

static err uring_init(struct rt_loop *l)
{
    struct uring_loop *b = calloc(1, sizeof *b);
    if (!b) return ERR_NO_MEMORY;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), rc = ring_open(&b->ring);
    if (fd < 0 || rc < 0) {
        if (fd >= 0) close(fd);
        if (rc >= 0) io_uring_queue_exit(&b->ring);
        free(b);
        return err_of_errno(EMFILE);
    }
    b->wake = (struct source){.fd = fd, .edge = true, .on_event = wake_event, .on_gone = NULL};
    list_init(&b->wake.gone);
    l->backend = b;
    return ERR_OK;
}

static void uring_free(struct rt_loop *l)
{
    struct uring_loop *b = l->backend;
    io_uring_queue_exit(&b->ring);
    close(b->wake.fd);
    free(b);
}

static void uring_kick(struct rt_loop *l)
{
    struct uring_loop *b = l->backend;
    uint64_t one = 1;
    ssize_t n = write(b->wake.fd, &one, sizeof one);
    (void)n; /* full: it is awake */
}

/* ---- submitting ---- */

static struct io_uring_sqe *next_sqe(struct uring_loop *b)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);
    while (!sqe) {
        int rc = io_uring_submit(&b->ring);
        ASSERT(rc >= 0 || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
        sqe = io_uring_get_sqe(&b->ring);
    }
    return sqe;
}

static uint64_t tagged(void *p, unsigned tag)
{
    return (uint64_t)(uintptr_t)p | tag;
}

static void arm(struct uring_loop *b, struct source *s)
{
    struct io_uring_sqe *sqe = next_sqe(b);
    if (s->edge)
        io_uring_prep_poll_multishot(sqe, s->fd, POLLIN | POLLOUT | POLLRDHUP);
    else
        io_uring_prep_poll_add(sqe, s->fd, POLLIN);
    io_uring_sqe_set_data64(sqe, tagged(s, TAG_SOURCE));
    s->refs = 1;
    b->polls++;
}

static int uring_add(struct rt_loop *l, struct source *s)
{
    arm(l->backend, s);
    s->added = true;
    list_append(&l->armed, &s->gone);
    return 0;
}

/* Not POLL_REMOVE: that one fails, and leaves the poll set, when it meets the poll at work. */
static void cancel_poll(struct uring_loop *b, struct source *s)
{
    struct io_uring_sqe *sqe = next_sqe(b);
    io_uring_prep_cancel64(sqe, tagged(s, TAG_SOURCE), 0);
    io_uring_sqe_set_data64(sqe, TAG_NONE);
}

static void uring_remove(struct rt_loop *l, struct source *s)
{
    s->removing = true;
    list_remove(&s->gone);
    if (s->refs > 0)
        cancel_poll(l->backend, s);
    else
        list_append(&l->gone, &s->gone); /* within its own report: no poll is set */
}

static void uring_enter(struct rt_loop *l)
{
    struct uring_loop *b = l->backend;
    int rc = ring_enable(&b->ring);
    ASSERT(rc == 0);
    arm(b, &b->wake);
}

/* ---- completions ---- */

static void source_done(struct rt_loop *l, struct source *s, int res, bool more)
{
    struct uring_loop *b = l->backend;
    if (!more) {
        s->refs = 0;
        b->polls--;
    }
    if (res > 0 && !s->removing && !b->ending) {
        unsigned ev = 0;
        if (res & POLLIN) ev |= EV_IN;
        if (res & POLLOUT) ev |= EV_OUT;
        if (res & (POLLRDHUP | POLLHUP | POLLERR)) ev |= EV_END;
        s->on_event(s, ev); /* may remove s, and then find refs == 0 and queue it as gone */
        if (s->removing) return;
    }
    if (more) return;
    if (s->removing)
        list_append(&l->gone, &s->gone);
    else if (!b->ending)
        arm(b, s); /* one shot, or a multishot that the kernel ended */
}

static void complete(struct rt_loop *l, const struct io_uring_cqe *cqe)
{
    struct uring_loop *b = l->backend;
    void *p = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);
    switch (cqe->user_data & TAG_MASK) {
    case TAG_SOURCE:
        source_done(l, p, cqe->res, cqe->flags & IORING_CQE_F_MORE);
        break;
    case TAG_OP:
        b->ops--;
        ((struct uring_op *)p)->result = cqe->res;
        rt_wake(&((struct uring_op *)p)->w);
        break;
    default:
        break;
    }
}

static void reap(struct rt_loop *l)
{
    struct uring_loop *b = l->backend;
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    io_uring_for_each_cqe(&b->ring, head, cqe)
    {
        complete(l, cqe);
        n++;
    }
    io_uring_cq_advance(&b->ring, n);
}

/* A busy loop asks the kernel only when it has something to say or the kernel has something to run. */
static bool must_enter(struct uring_loop *b)
{
    unsigned work = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    bool flagged = b->ring.flags & IORING_SETUP_TASKRUN_FLAG;
    return io_uring_sq_ready(&b->ring) > 0 || !flagged || (IO_URING_READ_ONCE(*b->ring.sq.kflags) & work);
}

static void uring_poll(struct rt_loop *l, int64_t until)
{
    struct uring_loop *b = l->backend;
    struct io_uring_cqe *cqe;
    int64_t ns = until == 0 || until == RT_FOREVER ? until : until - rt_now();
    if (ns <= 0) {
        if (must_enter(b)) io_uring_submit_and_get_events(&b->ring);
    } else if (ns == RT_FOREVER) {
        io_uring_submit_and_wait(&b->ring, 1);
    } else {
        struct __kernel_timespec ts = {ns / RT_SEC, ns % RT_SEC};
        io_uring_submit_and_wait_timeout(&b->ring, &cqe, 1, &ts, NULL);
    }
    reap(l);
}

/* The loop ends: what the kernel still reads or writes is on stacks that are about to go. */
static void uring_drain(struct rt_loop *l)
{
    struct uring_loop *b = l->backend;
    b->ending = true;
    if (b->wake.refs > 0) cancel_poll(b, &b->wake);
    LIST_EACH(e, &l->armed)
    {
        struct source *s = CONTAINER(e, struct source, gone);
        if (s->refs > 0) cancel_poll(b, s);
    }
    while (b->ops > 0 || b->polls > 0) {
        int rc = io_uring_submit_and_wait(&b->ring, 1);
        ASSERT(rc >= 0 || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
        reap(l);
    }
}

/* ---- operations of fibers ---- */

static int run_op(struct uring_loop *b, struct io_uring_sqe *sqe, const char *what)
{
    struct uring_op op;
    rt_waiter_init(&op.w);
    io_uring_sqe_set_data64(sqe, tagged(&op, TAG_OP));
    b->ops++;
    wait_for(&op.w, RT_FOREVER, what);
    return op.result;
}

/* Through the page cache on a thread of the kernel's: tried in place it would read ahead, which waits. */
static ssize_t uring_read(int fd, void *p, size_t n, uint64_t off, bool direct)
{
    struct uring_loop *b = rt_self()->backend;
    int r;
    do {
        struct io_uring_sqe *sqe = next_sqe(b);
        io_uring_prep_read(sqe, fd, p, (unsigned)(n < MAX_IO ? n : MAX_IO), off);
        if (!direct) io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
        r = run_op(b, sqe, "file read");
    } while (r == -EINTR || r == -EAGAIN);
    return r;
}

static ssize_t uring_writev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    struct uring_loop *b = rt_self()->backend;
    int r;
    do {
        struct io_uring_sqe *sqe = next_sqe(b);
        io_uring_prep_writev2(sqe, fd, iov, (unsigned)n, off, flags);
        r = run_op(b, sqe, "file write");
    } while (r == -EINTR || r == -EAGAIN);
    return r;
}

static int uring_sync(int fd)
{
    struct uring_loop *b = rt_self()->backend;
    struct io_uring_sqe *sqe = next_sqe(b);
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    return run_op(b, sqe, "file flush");
}

/* With MSG_DONTWAIT it completes when it is submitted: all sends of one pass go to the kernel in one call. */
static ssize_t uring_send(int fd, const struct msghdr *m, int flags)
{
    struct uring_loop *b = rt_self()->backend;
    struct io_uring_sqe *sqe = next_sqe(b);
    io_uring_prep_sendmsg(sqe, fd, m, (unsigned)flags | MSG_DONTWAIT);
    return run_op(b, sqe, "send");
}

const struct backend backend_uring = {
    .name = "io_uring",
    .net = &net_real,
    .loop_init = uring_init,
    .loop_free = uring_free,
    .loop_enter = uring_enter,
    .poll = uring_poll,
    .kick = uring_kick,
    .source_add = uring_add,
    .source_remove = uring_remove,
    .sock_send = uring_send,
    .file_read = uring_read,
    .file_writev = uring_writev,
    .file_sync = uring_sync,
    .drain = uring_drain,
};
