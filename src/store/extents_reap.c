/* Making frees durable, and removing files in which nothing lives. All with drain_mu held. */
#include "store/extents_impl.h"
#include "base/log.h"

#include <errno.h>

/* The numbers of files that satisfy a test, gathered under the locks; to be freed. NULL and 0 when there are
 * none, or no memory: then the work waits for the next time. */
static uint32_t *gather(struct extents *x, bool (*test)(const struct ext_file *f), size_t *n)
{
    rt_mutex_lock(&x->alloc_mu);
    rt_mutex_lock(&x->mu);
    uint32_t *v = NULL;
    *n = 0;
    for (size_t i = 0; i < x->nfiles; i++) {
        if (!test(x->files[i])) continue;
        if (!v) v = malloc(x->nfiles * sizeof *v);
        if (!v) break;
        v[(*n)++] = x->files[i]->number;
    }
    rt_mutex_unlock(&x->mu);
    rt_mutex_unlock(&x->alloc_mu);
    return v;
}

/* ---- holes made durable ---- */

static bool is_punched(const struct ext_file *f)
{
    return f->punched || f->settle_err;
}

struct sync_job {
    int fd, rc;
};

static void sync_job(void *arg)
{
    struct sync_job *j = arg;
    j->rc = sys->fsync(j->fd);
}

static err sync_file(struct ext_file *f)
{
    if (f->settle_err) return f->settle_err;
    struct sync_job j;
    err e = ext_fd_get(f, &j.fd);
    if (e) return e;
    rt_work_long("extent punch flush", sync_job, &j);
    ext_fd_put(f);
    if (j.rc == 0) {
        f->punched = false;
        return ERR_OK;
    }
    atomic_store(&f->failed, true);
    e = ext_io_error(f->x, j.rc, "fsync", f->number, 0);
    if (e == ERR_NO_SPACE) return e; /* holes are all that it may have missed: asked again */
    f->settle_err = ERR_IO;
    if (f->x->flush_failed) f->x->flush_failed(f->x->arg);
    return ERR_IO;
}

err ext_sync_punched(struct extents *x)
{
    size_t n;
    uint32_t *v = gather(x, is_punched, &n);
    err e = ERR_OK;
    for (size_t i = 0; i < n; i++) {
        struct ext_file *f = ext_file_get(x, v[i]);
        if (!f) continue;
        err one = sync_file(f);
        if (!e) e = one;
        ext_file_put(f);
    }
    free(v);
    return e;
}

/* ---- dead files ---- */

/* Only files that this run made or whose count was set; never the newest, so that its number is not used
 * again. */
static bool is_dead(const struct ext_file *f)
{
    const struct extents *x = f->x;
    size_t last = x->nfiles - 1;
    while (last > 0 && !x->files[last]->headed) last--;
    return f->live_known && f->live == 0 && f->frees == 0 && f->headed && !f->active && f->pins == 0 &&
           f->wfd < 0 && f != x->files[last];
}

static err holds_sealed(struct ext_file *f, bool *yes)
{
    struct ext_walk w;
    enum ext_step step = EXT_STEP_ZERO;
    err e = ext_walk_begin(&w, f);
    if (e) return e;
    while (!e && step != EXT_STEP_END && step != EXT_STEP_SEALED) {
        e = ext_walk_step(&w, &step);
        if (!e && step == EXT_STEP_ERROR) e = ERR_IO; /* not known: asked again another time */
    }
    *yes = step == EXT_STEP_SEALED;
    ext_walk_end(&w);
    return e;
}

struct unlink_job {
    char path[512];
    int rc;
};

static void unlink_job(void *arg)
{
    struct unlink_job *j = arg;
    j->rc = sys->unlink(j->path);
}

static void reap_file(struct extents *x, struct ext_file *f)
{
    bool alive;
    if (holds_sealed(f, &alive) != ERR_OK) return;
    if (alive) { /* a count that is wrong: leak, never delete; check --repair puts it right */
        LOG_ERROR("extent file has a live count of 0 but holds extents: kept", LF_U("file", f->number));
        rt_mutex_lock(&x->mu);
        f->live_known = false;
        rt_mutex_unlock(&x->mu);
        return;
    }
    struct unlink_job j;
    ext_path(x, f->number, j.path);
    if (!ext_file_drop(f, is_dead)) return; /* bytes of it may have been freed while it was walked */
    rt_work_long("extent file remove", unlink_job, &j);
    x->dir_dirty = true;
    if (j.rc < 0 && j.rc != -ENOENT) ext_io_error(x, j.rc, "unlink", f->number, 0);
}

void ext_reap(struct extents *x)
{
    if (!atomic_exchange(&x->reap, false)) return;
    size_t n;
    uint32_t *v = gather(x, is_dead, &n);
    for (size_t i = 0; i < n; i++) {
        struct ext_file *f = ext_file_get(x, v[i]);
        if (!f) continue;
        reap_file(x, f);
        ext_file_put(f);
    }
    free(v);
}

struct dir_job {
    const char *path;
    int rc;
};

static void dir_job(void *arg)
{
    struct dir_job *j = arg;
    j->rc = sys->fsync_dir(j->path);
}

err ext_sync_names(struct extents *x)
{
    if (!x->dir_dirty) return ERR_OK;
    struct dir_job j = {x->dir, 0};
    rt_work_long("extent directory flush", dir_job, &j);
    if (j.rc < 0) return ext_io_error(x, j.rc, "fsync of the directory", 0, 0);
    x->dir_dirty = false;
    return ERR_OK;
}
