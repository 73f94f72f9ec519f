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

/* mu held, f->fd is open. */
static int fd_use(struct ext_file *f)
{
    f->fd_refs++;
    list_remove(&f->lru);
    return f->fd;
}

static void fd_unuse(struct ext_file *f)
{
    ASSERT(f->fd_refs > 0);
    if (--f->fd_refs > 0) return;
    list_append(&f->x->fd_idle, &f->lru);
    rt_cond_broadcast(&f->x->fd_cond);
}

/* mu held; let go while a worker opens the file. */
static err fd_open(struct ext_file *f)
{
    struct extents *x = f->x;
    while (f->fd < 0 && f->fd_opening) rt_cond_wait(&x->fd_cond, &x->mu, RT_FOREVER);
    if (f->dead) return ERR_CORRUPT;
    if (f->fd >= 0) return ERR_OK;
    f->fd_opening = true;
    struct fd_job j = {.f = f, .old = make_room(x)};
    rt_mutex_unlock(&x->mu);
    rt_work("extent file open", fd_job, &j);
    err e = j.e;
    if (!e && j.fd < 0) e = j.fd == -ENOENT ? ERR_CORRUPT : ext_io_error(x, j.fd, "open", f->number, 0);
    rt_mutex_lock(&x->mu);
    f->fd_opening = false;
    f->fd = j.fd < 0 ? -1 : j.fd;
    if (f->fd < 0) x->fds--;
    rt_cond_broadcast(&x->fd_cond);
    return e;
}

err ext_fd_get(struct ext_file *f, int *fd)
{
    CHECK_MAGIC(f, EXTFILE_MAGIC);
    rt_mutex_lock(&f->x->mu);
    err e = fd_open(f);
    if (!e) *fd = fd_use(f);
    rt_mutex_unlock(&f->x->mu);
    return e;
}

void ext_fd_put(struct ext_file *f)
{
    rt_mutex_lock(&f->x->mu);
    fd_unuse(f);
    rt_mutex_unlock(&f->x->mu);
}

struct ext_file *ext_fd_begin(struct extents *x, uint32_t number, int *fd, err *e)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    *fd = -1;
    rt_mutex_lock(&x->mu);
    struct ext_file *f = ext_file_find(x, number);
    if (f) {
        f->refs++;
        *e = fd_open(f);
        if (!*e) *fd = fd_use(f);
    }
    rt_mutex_unlock(&x->mu);
    return f;
}

void ext_fd_end(struct ext_file *f, int fd)
{
    CHECK_MAGIC(f, EXTFILE_MAGIC);
    rt_mutex_lock(&f->x->mu);
    if (fd >= 0) fd_unuse(f);
    bool last = ext_file_unref(f);
    rt_mutex_unlock(&f->x->mu);
    if (last) ext_file_free(f);
}
