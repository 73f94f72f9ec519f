/* Descriptors for reading and freeing: opened when first needed, a bounded number kept, the least recently
 * used closed. */
#include "store/extents_impl.h"

#include <errno.h>
#include <fcntl.h>

struct fd_job {
    struct ext_file *f;
    int old; /* to close first; -1: none */
    int fd;  /* out */
    err e;
};

static void fd_job(void *arg)
{
    struct fd_job *j = arg;
    struct extents *x = j->f->x;
    char path[512];
    if (j->old >= 0) sys->close(j->old);
    ext_path(x, j->f->number, path);
    do j->fd = sys->open(path, x->read_only ? O_RDONLY : O_RDWR, 0);
    while (j->fd == -EINTR);
    if (j->fd >= 0 && !j->f->headed) j->e = ext_file_load(j->f, j->fd);
    if (j->e) {
        sys->close(j->fd);
        j->fd = -1;
    }
}

/* A place for one descriptor more; mu held. Returns the descriptor to close for it, or -1. */
static int make_room(struct extents *x)
{
    while (x->fds >= x->fds_max) {
        struct list *e = list_pop(&x->fd_idle);
        if (e) {
            struct ext_file *f = CONTAINER(e, struct ext_file, lru);
            int old = f->fd;
            f->fd = -1;
            return old; /* its place passes to the caller */
        }
        rt_cond_wait(&x->fd_cond, &x->mu, RT_FOREVER);
    }
    x->fds++;
    return -1;
}

err ext_fd_get(struct ext_file *f, int *fd)
{
    CHECK_MAGIC(f, EXTFILE_MAGIC);
    struct extents *x = f->x;
    rt_mutex_lock(&x->mu);
    while (f->fd < 0 && f->fd_opening) rt_cond_wait(&x->fd_cond, &x->mu, RT_FOREVER);
    err e = f->dead ? ERR_CORRUPT : ERR_OK;
    if (f->fd < 0 && !e) {
        f->fd_opening = true;
        struct fd_job j = {.f = f, .old = make_room(x)};
        rt_mutex_unlock(&x->mu);
        rt_work("extent file open", fd_job, &j);
        if (j.e)
            e = j.e;
        else if (j.fd < 0)
            e = j.fd == -ENOENT ? ERR_CORRUPT : ext_io_error(x, j.fd, "open", f->number, 0);
        rt_mutex_lock(&x->mu);
        f->fd_opening = false;
        f->fd = j.fd < 0 ? -1 : j.fd;
        if (f->fd < 0) x->fds--;
        rt_cond_broadcast(&x->fd_cond);
    }
    if (!e) {
        f->fd_refs++;
        list_remove(&f->lru);
        *fd = f->fd;
    }
    rt_mutex_unlock(&x->mu);
    return e;
}

void ext_fd_put(struct ext_file *f)
{
    struct extents *x = f->x;
    rt_mutex_lock(&x->mu);
    ASSERT(f->fd_refs > 0);
    if (--f->fd_refs == 0) {
        list_append(&x->fd_idle, &f->lru);
        rt_cond_broadcast(&x->fd_cond);
    }
    rt_mutex_unlock(&x->mu);
}
