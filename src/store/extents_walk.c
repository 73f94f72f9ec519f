/* Stepping through a file. Robust against any bytes: a head counts only with its checksum, which is salted
 * with the file's secret seed, so that what clients store cannot pose as one. */
#include "store/extents_impl.h"

#include <errno.h>

#define WINDOW ((size_t)64 << 10)

struct stat_job {
    int fd, rc;
    struct stat st;
};

static void stat_job(void *arg)
{
    struct stat_job *j = arg;
    j->rc = sys->fstat(j->fd, &j->st);
}

err ext_walk_begin(struct ext_walk *w, struct ext_file *f)
{
    *w = (struct ext_walk){.f = f, .next = EXT_START};
    w->win = malloc(WINDOW);
    if (!w->win) return ERR_NO_MEMORY;
    err e = ext_fd_get(f, &w->fd);
    if (!e) {
        struct stat_job j = {.fd = w->fd};
        rt_work("extent file size", stat_job, &j);
        w->size = (uint64_t)j.st.st_size;
        if (j.rc == 0) return ERR_OK;
        e = ext_io_error(f->x, j.rc, "fstat", f->number, 0);
        ext_fd_put(f);
    }
    free(w->win);
    return e;
}

void ext_walk_end(struct ext_walk *w)
{
    ext_fd_put(w->f);
    free(w->win);
}

/* Up to n bytes at off, short only at the end of the file; false: unreadable. */
static bool fill(struct ext_walk *w, size_t n, uint64_t off)
{
    w->win_off = off;
    w->win_len = 0;
    while (w->win_len < n) {
        ssize_t got = rt_pread(w->fd, w->win + w->win_len, n - w->win_len, off + w->win_len);
        if (got == -EINTR) continue;
        if (got < 0) {
            ext_io_error(w->f->x, (int)got, "read", w->f->number, off);
            return false;
        }
        if (got == 0) break;
        w->win_len += (size_t)got;
    }
    return true;
}

/* The page at off, zeros beyond the end of the file; NULL: unreadable. */
static unsigned char *page(struct ext_walk *w, uint64_t off)
{
    if (off < w->win_off || off + EXT_ALIGN > w->win_off + w->win_len) {
        if (!fill(w, WINDOW, off) && !fill(w, EXT_ALIGN, off)) {
            w->win_len = 0;
            return NULL;
        }
        if (w->win_len % EXT_ALIGN) {
            size_t whole = (size_t)ext_align(w->win_len);
            memset(w->win + w->win_len, 0, whole - w->win_len);
            w->win_len = whole;
        }
        if (w->win_len == 0) { /* the file became shorter meanwhile */
            memset(w->win, 0, EXT_ALIGN);
            w->win_len = EXT_ALIGN;
        }
    }
    return w->win + (off - w->win_off);
}

struct seek_job {
    int fd;
    uint64_t off;
    int64_t at;
};

static void seek_job(void *arg)
{
    struct seek_job *j = arg;
    j->at = sys->seek_data(j->fd, j->off);
}

/* A page of zeros at `at`: where may something follow? */
static uint64_t beyond_hole(struct ext_walk *w)
{
    uint64_t next = w->at + EXT_ALIGN;
    if (!sys->seek_data) return next;
    struct seek_job j = {w->fd, next, 0};
    rt_work("extent hole", seek_job, &j);
    if (j.at == -ENXIO) return ext_align(w->size);
    uint64_t found = j.at < 0 ? next : (uint64_t)j.at & ~(uint64_t)(EXT_ALIGN - 1);
    return found > next ? found : next;
}

static bool all_zero(const unsigned char *p)
{
    return p[0] == 0 && memcmp(p, p + 1, EXT_ALIGN - 1) == 0;
}

err ext_walk_step(struct ext_walk *w, enum ext_step *step)
{
    w->at = w->next;
    w->next = w->at + EXT_ALIGN;
    *step = EXT_STEP_END;
    if (w->at >= w->size) return ERR_OK;
    *step = EXT_STEP_ERROR;
    const unsigned char *p = page(w, w->at);
    if (!p) return ERR_OK;
    *step = EXT_STEP_JUNK;
    err e = ext_head_decode(p, w->f->number, w->f->seed, w->at, &w->head);
    if (e == ERR_UNSUPPORTED_FORMAT) return e;
    if (e == ERR_NOT_FOUND && all_zero(p)) {
        *step = EXT_STEP_ZERO;
        w->next = beyond_hole(w);
    } else if (!e && !(w->head.flags & EXT_F_SEALED)) {
        *step = EXT_STEP_OPEN;
    } else if (!e && w->head.disk_len > ext_align(w->size) - w->at) {
        *step = EXT_STEP_CUT;
    } else if (!e) {
        *step = EXT_STEP_SEALED;
        w->next = w->at + w->head.disk_len;
    }
    return ERR_OK;
}

err ext_walk_meta(struct ext_walk *w, unsigned char **heap, const unsigned char **meta)
{
    const struct ext_head *h = &w->head;
    size_t n = ext_meta_len(h->data_len, h->owner_len);
    *heap = NULL;
    if (ext_meta_in_head(h->data_len, h->owner_len)) {
        *meta = page(w, w->at);
        if (!*meta) return ERR_CORRUPT;
        *meta += EXT_HEADER;
    } else {
        uint64_t off = w->at + ext_meta_off(h->data_len, h->owner_len);
        *meta = *heap = malloc(n);
        if (!*heap) return ERR_NO_MEMORY;
        for (size_t done = 0; done < n;) {
            ssize_t got = rt_pread(w->fd, *heap + done, n - done, off + done);
            if (got == -EINTR) continue;
            if (got < 0) ext_io_error(w->f->x, (int)got, "read", w->f->number, off);
            if (got <= 0) return ERR_CORRUPT;
            done += (size_t)got;
        }
    }
    return ext_meta_hash(h, w->f->seed, *meta, n) == h->meta_hash ? ERR_OK : ERR_CORRUPT;
}
