/* Writing to a file, and flushing it for all that wait. */
#include "store/extents_impl.h"
#include "base/log.h"

#include <errno.h>

/* Whole writes. Progress counts in whole pages, so that a retry stays aligned for O_DIRECT. */
static int write_whole(int fd, struct iovec *iov, int n, uint64_t off)
{
    for (int stuck = 0; n > 0;) {
        ssize_t put = sys->pwritev(fd, iov, n, off, 0);
        if (put < 0 && put != -EINTR) return (int)put;
        size_t whole = put < 0 ? 0 : (size_t)put & ~(size_t)(EXT_ALIGN - 1);
        if (whole == 0 && ++stuck > 16) return -EIO;
        off += whole;
        for (; n > 0 && whole >= iov->iov_len; n--) whole -= iov++->iov_len;
        if (n == 0) break;
        iov->iov_base = (char *)iov->iov_base + whole;
        iov->iov_len -= whole;
    }
    return 0;
}

int ext_ask_space(struct ext_file *f, uint64_t off, uint64_t len)
{
    int rc = 0;
    if (!atomic_load(&f->x->fallocates)) return 0;
    do rc = sys->fallocate(f->wfd, 0, off, len);
    while (rc == -EINTR);
    if (rc != -EOPNOTSUPP && rc != -ENOSYS) return rc;
    atomic_store(&f->x->fallocates, false); /* not on this file system: writes will find out */
    return 0;
}

/* The run at `at` and the neighbours behind it. Returns how many. */
static int neighbours(const struct ext_write *w, int at, struct iovec iov[3])
{
    int n = 0;
    uint64_t end = w->run[at].off;
    for (; at + n < w->nruns && w->run[at + n].off == end; n++) {
        iov[n] = (struct iovec){(void *)(uintptr_t)w->run[at + n].p, w->run[at + n].n};
        end += w->run[at + n].n;
    }
    return n;
}

void ext_write_job(void *arg)
{
    struct ext_write *w = arg;
    w->rc = atomic_load(&w->f->failed) ? -EIO : 0;
    if (w->rc == 0 && w->prealloc) w->rc = ext_ask_space(w->f, w->off, w->prealloc);
    for (int i = 0, n; i < w->nruns && w->rc == 0; i += n) {
        struct iovec iov[3];
        n = neighbours(w, i, iov);
        w->rc = write_whole(w->f->wfd, iov, n, w->run[i].off);
    }
}

err ext_write_result(const struct ext_write *w)
{
    if (w->rc == 0) return ERR_OK;
    err e = ext_io_error(w->f->x, w->rc, "write", w->f->number, w->off);
    if (e == ERR_IO) atomic_store(&w->f->retire, true);
    return e;
}

err ext_write_runs(struct ext_write *w)
{
    rt_work("extent write", ext_write_job, w);
    return ext_write_result(w);
}

struct sync_job {
    int fd, rc;
};

static void sync_job(void *arg)
{
    struct sync_job *j = arg;
    j->rc = sys->fdatasync(j->fd);
}

/* Flush once, for every arrival up to now; flush_mu held, given up meanwhile. A failed flush is never asked
 * again: the kernel may have dropped the pages and would say yes. */
static void lead(struct ext_file *f)
{
    struct extents *x = f->x;
    uint64_t upto = f->flush_want;
    f->flushing = true;
    rt_mutex_unlock(&f->flush_mu);
    struct sync_job j = {.fd = f->wfd};
    rt_work("extent flush", sync_job, &j);
    atomic_fetch_add(&x->flushes, 1);
    if (j.rc < 0) {
        atomic_store(&f->failed, true);
        atomic_fetch_add(&x->io_errors, 1);
        LOG_ERROR("extent file: flush failed, nothing more is written to it", LF_U("file", f->number),
                  LF_I("errno", -j.rc));
        if (x->flush_failed && err_of_errno(-j.rc) != ERR_NO_SPACE) x->flush_failed(x->arg);
    }
    rt_mutex_lock(&f->flush_mu);
    f->flushing = false;
    if (j.rc < 0)
        f->flush_err = err_of_errno(-j.rc);
    else
        f->flush_done = upto;
    rt_cond_broadcast(&f->flush_cond);
}

err ext_flush(struct ext_file *f)
{
    CHECK_MAGIC(f, EXTFILE_MAGIC);
    ASSERT(f->pins > 0);
    atomic_fetch_add(&f->x->flush_waiters, 1);
    rt_mutex_lock(&f->flush_mu);
    uint64_t mine = ++f->flush_want;
    while (f->flush_done < mine && !f->flush_err) {
        if (f->flushing)
            rt_cond_wait(&f->flush_cond, &f->flush_mu, RT_FOREVER);
        else
            lead(f);
    }
    err e = f->flush_done < mine ? f->flush_err : ERR_OK;
    rt_mutex_unlock(&f->flush_mu);
    return e;
}
