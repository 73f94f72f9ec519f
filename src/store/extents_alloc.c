/* Placing extents: active files, made when the last one is full and retired when their last writer has left.
 * Space is given out once and never again. */
#include "store/extents_impl.h"

#include <errno.h>
#include <fcntl.h>

/* Write both copies through the writing descriptor. The second only after the first: one is whole at any
 * time. */
static int put_header(struct ext_file *f, bool final)
{
    struct ext_file_head h = {f->number, f->cls, final, f->seed, f->created_ms};
    unsigned char *p = aligned_alloc(EXT_ALIGN, EXT_ALIGN);
    if (!p) return -ENOMEM;
    ext_file_head_encode(&h, p);
    int rc = 0;
    for (uint64_t off = 0; off < EXT_START && rc == 0; off += EXT_ALIGN) {
        struct ext_write w = {.f = f, .run = {{p, EXT_ALIGN, off}}, .nruns = 1};
        ext_write_job(&w);
        rc = w.rc;
    }
    free(p);
    return rc;
}

/* ---- making and retiring; alloc_mu held ---- */

struct make_job {
    struct extents *x;
    struct ext_file *f;
    const char *path;
    bool fresh;
    int rc;
};

/* Past the page cache, unless the file system refuses. Some take O_DIRECT at open and refuse it at the first
 * write: then the next try is without. */
static int open_for_writing(struct make_job *j)
{
    struct extents *x = j->x;
    int flags = O_RDWR | (j->fresh ? O_CREAT | O_EXCL : 0);
    if (!atomic_load(&x->direct)) return sys->open(j->path, flags, 0600);
    int fd = sys->open(j->path, flags | O_DIRECT, 0600);
    if (fd != -EINVAL) return fd;
    atomic_store(&x->direct, false);
    if (j->fresh) sys->unlink(j->path); /* some leave it behind */
    return sys->open(j->path, flags, 0600);
}

static void make_job(void *arg)
{
    struct make_job *j = arg;
    struct ext_file *f = j->f;
    for (int attempt = 0; attempt < 2; attempt++) {
        j->rc = f->wfd = open_for_writing(j);
        if (j->rc < 0) {
            f->wfd = -1;
            break;
        }
        if (!j->fresh) return;
        j->rc = put_header(f, false);
        if (j->rc == 0) j->rc = sys->fsync(f->wfd);
        if (j->rc == 0) j->rc = sys->fsync_dir(j->x->dir);
        if (j->rc == 0) return;
        sys->close(f->wfd);
        f->wfd = -1;
        sys->unlink(j->path);
        if (j->rc != -EINVAL || !atomic_exchange(&j->x->direct, false)) break;
    }
}

static err file_create(struct extents *x, enum ext_class c, struct ext_file **out)
{
    rt_mutex_lock(&x->mu);
    uint32_t number = x->newest + 1;
    rt_mutex_unlock(&x->mu);
    struct ext_file *f;
    err e = ext_file_add(x, number, &f);
    if (e) return e;
    char path[512];
    ext_path(x, number, path);
    f->cls = c;
    f->created_ms = sys->real_ms();
    sys->random(&f->seed, sizeof f->seed);
    struct make_job j = {.x = x, .f = f, .path = path, .fresh = true};
    rt_work("extent file create", make_job, &j);
    if (j.rc < 0) {
        ASSERT(ext_file_drop(f, NULL)); /* not headed: nobody reads it */
        return ext_io_error(x, j.rc, "create", number, 0);
    }
    f->cursor = f->allocated = EXT_START;
    f->headed = f->live_known = f->active = true;
    *out = f;
    return ERR_OK;
}

/* ---- retiring: nothing more is placed in a file, its unused end is cut off ---- */

struct retire_job {
    struct ext_file *f;
    uint64_t cut; /* 0: leave the length */
    bool final, close;
};

/* Best effort: what fails here costs a longer scan after a crash, no bytes. Holes punched for abandoned
 * writers must be durable before the header says that a scan may pass over this file. */
static void retire_job(void *arg)
{
    struct retire_job *j = arg;
    struct ext_file *f = j->f;
    int rc = j->cut ? sys->ftruncate(f->wfd, j->cut) : 0;
    if (j->final && rc == 0 && sys->fsync(f->wfd) == 0) put_header(f, true);
    if (j->close) {
        sys->close(f->wfd);
        f->wfd = -1;
    }
}

/* The last writer of a retired file has left: it is final. */
static void finish(struct ext_file *f)
{
    if (f->wfd < 0) return;
    struct retire_job j = {.f = f, .final = !atomic_load(&f->failed) && !f->leftover, .close = true};
    rt_work("extent file finish", retire_job, &j);
    atomic_store(&f->x->reap, true);
}

static void retire(struct ext_file *f)
{
    f->active = false;
    f->x->active[f->cls] = NULL;
    if (f->wfd >= 0 && !atomic_load(&f->failed)) {
        struct retire_job j = {.f = f, .cut = f->cursor};
        rt_work("extent file cut", retire_job, &j);
    }
    if (f->pins == 0) finish(f);
}

void ext_close_active(struct extents *x)
{
    for (int c = 0; c < EXT_CLASSES; c++) {
        struct ext_file *f = x->active[c];
        if (!f || f->wfd < 0) continue;
        struct retire_job j = {.f = f, .cut = atomic_load(&f->failed) ? 0 : f->cursor, .close = true};
        rt_work("extent file close", retire_job, &j);
    }
}

/* ---- placing ---- */

/* The active file of class c, open, with room for len; alloc_mu held. */
static err active_file(struct extents *x, enum ext_class c, uint64_t len, struct ext_file **out)
{
    struct ext_file *f = x->active[c];
    if (f && f->wfd < 0) { /* the end of a former run */
        char path[512];
        ext_path(x, f->number, path);
        struct make_job j = {.x = x, .f = f, .path = path};
        rt_work("extent file open", make_job, &j);
        if (j.rc < 0) {
            retire(f);
            return ext_io_error(x, j.rc, "open", f->number, 0);
        }
    }
    /* A crash makes the next start visit every extent of the last file: many small ones take longer than few.
     */
    uint64_t most = c == EXT_SMALL && x->file_max > EXT_SMALL_FILE ? EXT_SMALL_FILE : x->file_max;
    if (f && (atomic_load(&f->failed) || atomic_load(&f->retire) || f->cursor + len > most)) {
        retire(f);
        f = NULL;
    }
    if (!f) {
        err e = file_create(x, c, &f);
        if (e) return e;
        x->active[c] = f;
    }
    *out = f;
    return ERR_OK;
}

struct ask_job {
    struct ext_file *f;
    uint64_t end, most;
    int rc;
};

static void ask_job(void *arg)
{
    struct ask_job *j = arg;
    struct ext_file *f = j->f;
    j->rc = ext_ask_space(f, f->allocated, j->most - f->allocated);
    if (j->rc == -ENOSPC && j->most > j->end) {
        j->most = j->end;
        j->rc = ext_ask_space(f, f->allocated, j->most - f->allocated);
    }
}

/* Space for small extents is asked for ahead: fallocate waits for every write that is under way in the file.
 * alloc_mu held. */
static err ask_ahead(struct ext_file *f, uint64_t end)
{
    struct extents *x = f->x;
    if (f->allocated < f->cursor) f->allocated = f->cursor;
    if (end <= f->allocated) return ERR_OK;
    uint64_t ahead = f->cursor < EXT_AHEAD_MIN ? EXT_AHEAD_MIN : f->cursor;
    if (ahead > EXT_AHEAD_MAX) ahead = EXT_AHEAD_MAX;
    struct ask_job j = {.f = f, .end = end, .most = end + ahead < x->file_max ? end + ahead : x->file_max};
    if (j.most < end) j.most = end;
    rt_work("extent space", ask_job, &j);
    if (j.rc == 0) {
        f->allocated = j.most;
        return ERR_OK;
    }
    err e = ext_io_error(x, j.rc, "fallocate", f->number, f->allocated);
    if (e == ERR_IO) atomic_store(&f->retire, true);
    return e;
}

err ext_reserve(struct extents *x, enum ext_class c, uint64_t len, struct ext_file **out, uint64_t *off)
{
    ASSERT(!x->read_only && len % EXT_ALIGN == 0 && len > 0);
    rt_mutex_lock(&x->alloc_mu);
    struct ext_file *f;
    err e = active_file(x, c, len, &f);
    if (!e && c == EXT_SMALL) e = ask_ahead(f, f->cursor + len);
    if (!e) {
        *off = f->cursor;
        f->cursor += len;
        atomic_fetch_add(&f->pins, 1);
        rt_mutex_lock(&x->mu);
        f->refs++;
        rt_mutex_unlock(&x->mu);
        *out = f;
    }
    rt_mutex_unlock(&x->alloc_mu);
    return e;
}

bool ext_give_back(struct ext_file *f, uint64_t off, uint64_t used, uint64_t len)
{
    rt_mutex_lock(&f->x->alloc_mu);
    bool last = f->active && f->cursor == off + len;
    if (last) f->cursor = off + used;
    rt_mutex_unlock(&f->x->alloc_mu);
    return last;
}

void ext_pin_more(struct ext_file *f, unsigned n)
{
    rt_mutex_lock(&f->x->mu);
    f->refs += n;
    rt_mutex_unlock(&f->x->mu);
    ASSERT(f->pins > 0);
    atomic_fetch_add(&f->pins, n);
}

/* Not the last: nothing else changes, and alloc_mu may be held for as long as a file is made. */
static bool unpin_some(struct ext_file *f, unsigned n)
{
    unsigned had = atomic_load(&f->pins);
    while (had > n)
        if (atomic_compare_exchange_weak(&f->pins, &had, had - n)) return true;
    ASSERT(had == n);
    return false;
}

void ext_unpin(struct ext_file *f, unsigned n)
{
    if (n == 0) return;
    struct extents *x = f->x;
    if (!unpin_some(f, n)) {
        rt_mutex_lock(&x->alloc_mu);
        unsigned had = atomic_fetch_sub(&f->pins, n);
        ASSERT(had >= n);
        if (had == n && !f->active) finish(f);
        rt_mutex_unlock(&x->alloc_mu);
    }
    for (; n > 0; n--) ext_file_put(f);
}
