/* Space: when the disk is nearly full, commits that take space are refused while those that free go on, out
 * of a reserve: the margin below which the store calls itself full, the log's next segment, which is always
 * written ahead, and a ballast file. It recovers by itself when space returns. */
#include "base/log.h"
#include "store/engine_int.h"
#include "sys/sys.h"

#include <fcntl.h>

#define BALLAST_BYTES ((uint64_t)16 << 20)
#define LOOK_NS       (RT_SEC / 4)
#define LOOK_BYTES    ((uint64_t)8 << 20)
#define STUCK_SAID_NS (10 * RT_SEC)

/* A fiftieth of the disk, at most 64 MiB; a log segment in any case. */
static uint64_t reserve_of(const struct engine *e, uint64_t total)
{
    uint64_t r = total / 50, least = e->segment_bytes + ((uint64_t)1 << 20);
    if (r > (uint64_t)64 << 20) r = (uint64_t)64 << 20;
    return r < least ? least : r;
}

static void ballast_path(const struct engine *e, char out[4096])
{
    snprintf(out, 4096, "%s/ballast", e->dir);
}

static void ballast_make(struct engine *e)
{
    char path[4096];
    ballast_path(e, path);
    int fd = sys->open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) return;
    int rc = sys->fallocate(fd, 0, 0, BALLAST_BYTES);
    sys->close(fd);
    /* A file system that cannot reserve has no ballast; the margin remains. */
    if (rc < 0)
        sys->unlink(path);
    else
        atomic_store(&e->ballast, true);
}

bool space_release_ballast(struct engine *e)
{
    if (!atomic_exchange(&e->ballast, false)) return false;
    char path[4096];
    ballast_path(e, path);
    sys->unlink(path);
    LOG_WARN("the disk is full: the ballast was given up so that deleting works on");
    return true;
}

static void set_full(struct engine *e, bool full)
{
    int from = full ? ENGINE_OK : ENGINE_FULL, to = full ? ENGINE_FULL : ENGINE_OK;
    if (!atomic_compare_exchange_strong(&e->state, &from, to)) return;
    if (full)
        LOG_ERROR("the disk is full: reads and deletes go on, writes are refused until space returns",
                  LF_U("available", atomic_load(&e->disk_avail)));
    else
        LOG_INFO("space has returned: writes go on", LF_U("available", atomic_load(&e->disk_avail)));
}

/* On a worker or at start-up. */
static void look(void *arg)
{
    struct engine *e = arg;
    struct sys_statfs s;
    if (sys->statfs(e->dir, &s) < 0) return;
    atomic_store(&e->disk_total, s.total);
    atomic_store(&e->disk_avail, s.avail);
    uint64_t reserve = reserve_of(e, s.total);
    if (s.avail < reserve) set_full(e, true);
    if (view_stuck(e->view) && space_release_ballast(e)) view_resume(e->view);
    /* Who waits says when it has its space: others would join it. */
    if (s.avail >= reserve + reserve / 4 && !atomic_load(&e->stuck) &&
        (!view_stuck(e->view) || view_resume(e->view))) {
        set_full(e, false);
        if (!atomic_load(&e->ballast) && s.avail > 2 * reserve + BALLAST_BYTES) ballast_make(e);
    }
}

static void look_now(struct engine *e)
{
    atomic_store(&e->space_checked_ns, (int64_t)sys->mono_ns());
    atomic_store(&e->space_since, 0);
    rt_work("space", look, e);
}

static bool closing(struct engine *e)
{
    rt_latch_lock(&e->q_lock);
    bool c = e->closing;
    rt_latch_unlock(&e->q_lock);
    return c;
}

/* While full, look once a second, also when nobody writes: readiness depends on it. */
static void watch(void *arg)
{
    struct engine *e = arg;
    while (!closing(e) && atomic_load(&e->state) == ENGINE_FULL) {
        rt_sleep(RT_SEC / 4);
        int64_t age = (int64_t)sys->mono_ns() - atomic_load(&e->space_checked_ns);
        if (age >= RT_SEC && !closing(e)) look_now(e);
    }
    rt_latch_lock(&e->q_lock);
    e->space_watched = false;
    engine_background_ended(e);
    rt_latch_unlock(&e->q_lock);
}

static void start_watch(struct engine *e)
{
    if (!rt_self()) return;
    rt_latch_lock(&e->q_lock);
    bool start = !e->space_watched && !e->closing;
    if (start) e->space_watched = true;
    rt_latch_unlock(&e->q_lock);
    if (!start || rt_spawn(rt_self(), "store-space", watch, e)) return;
    rt_latch_lock(&e->q_lock);
    e->space_watched = false;
    rt_latch_unlock(&e->q_lock);
}

void space_note_full(struct engine *e)
{
    set_full(e, true);
    start_watch(e);
}

static void say_stuck(struct engine *e)
{
    int64_t now = (int64_t)sys->mono_ns();
    if (atomic_exchange(&e->stuck, true) && now - e->stuck_said_ns < STUCK_SAID_NS) return;
    e->stuck_said_ns = now;
    LOG_ERROR("a commit waits for space: it can be neither finished nor taken back; others are refused",
              LF_U("commit", atomic_load(&e->visible) + 1));
}

bool space_wait(struct engine *e)
{
    space_note_full(e);
    if (!rt_fiber_self() || closing(e) || atomic_load(&e->state) == ENGINE_FAILED) return false;
    say_stuck(e);
    if (!space_release_ballast(e)) rt_sleep(LOOK_NS);
    if (view_stuck(e->view)) view_resume(e->view);
    return true;
}

void space_unstuck(struct engine *e)
{
    atomic_store(&e->stuck, false);
}

void space_wrote(struct engine *e, uint64_t bytes)
{
    atomic_fetch_add(&e->space_since, bytes);
}

/* While full: markers by the hundred thousand would take what deletions need. */
static bool below_half(const struct engine *e)
{
    return atomic_load(&e->disk_avail) < reserve_of(e, atomic_load(&e->disk_total)) / 2;
}

err space_admit(struct engine *e, enum space_need need)
{
    if (need != SPACE_GIVES_BACK || view_stuck(e->view)) {
        int64_t age = (int64_t)sys->mono_ns() - atomic_load(&e->space_checked_ns);
        if (age > LOOK_NS || atomic_load(&e->space_since) > LOOK_BYTES) look_now(e);
    }
    /* A commit would come into the log and then wait for the index. */
    bool stuck = view_stuck(e->view);
    if (stuck) set_full(e, true);
    switch (atomic_load(&e->state)) {
    case ENGINE_FAILED:
        return ERR_IO;
    case ENGINE_FULL:
        start_watch(e);
        if (need == SPACE_TAKES || stuck || atomic_load(&e->stuck)) return ERR_NO_SPACE;
        return need == SPACE_HIDES && below_half(e) ? ERR_NO_SPACE : ERR_OK;
    default:
        return ERR_OK;
    }
}

void space_before_open(struct engine *e)
{
    char path[4096];
    struct stat st;
    struct sys_statfs s;
    if (sys->statfs(e->dir, &s) < 0 || s.avail >= BALLAST_BYTES) return;
    ballast_path(e, path);
    atomic_store(&e->ballast, sys->stat(path, &st) == 0);
    space_release_ballast(e);
}

void space_open(struct engine *e)
{
    char path[4096];
    struct stat st;
    ballast_path(e, path);
    atomic_store(&e->ballast, sys->stat(path, &st) == 0);
    look_now(e);
    if (atomic_load(&e->state) == ENGINE_FULL) start_watch(e);
}
