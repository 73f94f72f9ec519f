/* Opening and closing, buffers, counts. */
#include "store/extents_impl.h"
#include "base/array.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

void ext_path(const struct extents *x, uint32_t number, char out[512])
{
    snprintf(out, 512, "%s/%08u.ext", x->dir, number);
}

err ext_io_error(struct extents *x, int rc, const char *what, uint32_t file, uint64_t off)
{
    err e = err_of_errno(-rc);
    if (e != ERR_NO_SPACE && e != ERR_NO_MEMORY) {
        atomic_fetch_add(&x->io_errors, 1);
        LOG_ERROR("extent file: I/O error", LF_Z("call", what), LF_U("file", file), LF_U("offset", off),
                  LF_I("errno", -rc));
    }
    return e;
}

/* ---- opening ---- */

struct names {
    uint32_t *v;
    size_t n, cap;
    bool no_memory;
};

/* NNNNNNNN.ext, eight digits or more. Other names are not ours and are left alone. */
static bool on_name(void *arg, const char *name)
{
    struct names *ns = arg;
    struct str s = str_c(name);
    uint64_t number;
    if (!str_ends(s, STR(".ext")) || s.n < 12 || !str_to_u64(str_slice(s, 0, s.n - 4), &number) ||
        number == 0 || number >= UINT32_MAX)
        return true;
    if (!array_grow(&ns->v, &ns->cap, ns->n + 1, sizeof *ns->v, SIZE_MAX)) {
        ns->no_memory = true;
        return false;
    }
    ns->v[ns->n++] = (uint32_t)number;
    return true;
}

/* A file that a crash left before its header was durable holds nothing that was ever acknowledged. */
static bool never_began(int fd, uint64_t size)
{
    unsigned char head[EXT_START] = {0};
    if (size > EXT_START || (size && sys_read_full(fd, head, size, 0) != ERR_OK)) return false;
    for (size_t i = 0; i < sizeof head; i++)
        if (head[i]) return false;
    return true;
}

static err open_file(struct extents *x, uint32_t number, char why[512])
{
    char path[512];
    ext_path(x, number, path);
    int fd = sys->open(path, O_RDONLY, 0);
    struct stat st = {0};
    int rc = fd < 0 ? fd : sys->fstat(fd, &st);
    if (rc < 0) {
        snprintf(why, 512, "cannot open extent file %.400s: %.80s", path, strerror(-rc));
        if (fd >= 0) sys->close(fd);
        return ext_io_error(x, rc, "open", number, 0);
    }
    struct ext_file *f;
    err e = ext_file_add(x, number, &f);
    if (!e) {
        f->cursor = ext_align((uint64_t)st.st_size);
        e = ext_file_load(f, fd);
        if (e == ERR_CORRUPT && never_began(fd, (uint64_t)st.st_size)) {
            ASSERT(ext_file_drop(f, NULL));
            if (!x->read_only) sys->unlink(path);
            e = ERR_OK;
        } else if (e == ERR_CORRUPT || e == ERR_IO) {
            LOG_ERROR("extent file: header unreadable, its extents cannot be read", LF_U("file", number));
            e = ERR_OK; /* the others can be read: serve them */
        }
    }
    if (e) snprintf(why, 512, "cannot open extent file %.300s: %.*s", path, STR_FMT(err_message(e)));
    sys->close(fd);
    return e;
}

/* Go on where the newest unfinished file of each class ends. */
static void adopt(struct extents *x)
{
    for (size_t i = 0; i < x->nfiles; i++) {
        struct ext_file *f = x->files[i];
        if (!f->headed || !f->tail || f->cursor >= x->file_max) continue;
        /* A crash in its making may have left it shorter than its header's two copies. */
        if (f->cursor < EXT_START) f->cursor = EXT_START;
        if (x->active[f->cls]) x->active[f->cls]->active = false;
        x->active[f->cls] = f;
        f->active = true;
    }
}

static err open_all(struct extents *x, char why[512])
{
    err e = x->read_only ? ERR_OK : sys_mkdirs(x->dir, 0700);
    struct names ns = {0};
    int rc = e ? 0 : sys->list(x->dir, on_name, &ns);
    if (rc == -ENOENT && x->read_only) rc = 0;
    if (!e && rc < 0) e = err_of_errno(-rc);
    if (!e && ns.no_memory) e = ERR_NO_MEMORY;
    if (e) snprintf(why, 512, "cannot read directory %s: %.*s", x->dir, STR_FMT(err_message(e)));
    if (ns.n) qsort(ns.v, ns.n, sizeof *ns.v, array_by_u32);
    for (size_t i = 0; i < ns.n && !e; i++) e = open_file(x, ns.v[i], why);
    free(ns.v);
    if (!e && !x->read_only) adopt(x);
    return e;
}

struct open_job {
    struct extents *x;
    char *why;
    err e;
};

static void open_job(void *arg)
{
    struct open_job *j = arg;
    j->e = open_all(j->x, j->why);
}

err extents_open(const struct extents_options *o, struct extents **out, char why[512])
{
    *out = NULL;
    struct extents *x = calloc(1, sizeof *x);
    if (!x) return ERR_NO_MEMORY;
    *x = (struct extents){
        .magic = EXTENTS_MAGIC,
        .read_only = o->read_only,
        .fallocates = true,
        .punches = true,
        .direct = !o->buffered,
        .file_max = o->file_max ? o->file_max : (uint64_t)1 << 30,
        .extent_max = o->extent_max ? o->extent_max : EXT_DATA_MAX,
        .buffer = o->writer_buffer ? o->writer_buffer : (size_t)512 << 10,
        .memory_max = o->memory_max ? o->memory_max : (uint64_t)256 << 20,
        .fds_max = o->fds ? o->fds : 1024,
        .flush_failed = o->flush_failed,
        .arg = o->arg,
    };
    ASSERT(x->extent_max <= EXT_DATA_MAX && x->extent_max % EXT_BLOCK == 0 && x->buffer % EXT_BLOCK == 0);
    ASSERT(x->memory_max >= 4 * x->buffer && x->memory_max >= 4 * (uint64_t)EXTENT_SMALL_MAX);
    ASSERT(x->extent_max + EXT_META_MAX + EXT_START < x->file_max);
    if (snprintf(x->dir, sizeof x->dir, "%s/extents", o->dir) >= (int)sizeof x->dir) {
        snprintf(why, 512, "the path of the data directory is longer than %zu bytes", sizeof x->dir);
        free(x);
        return ERR_INVALID_SETTING;
    }
    rt_mutex_init(&x->alloc_mu);
    rt_mutex_init(&x->mu);
    rt_mutex_init(&x->drain_mu);
    rt_mutex_init(&x->pack_mu);
    rt_cond_init(&x->pack_cond);
    list_init(&x->pack_queue);
    rt_cond_init(&x->fd_cond);
    rt_cond_init(&x->puncher_cond);
    rt_sem_init(&x->memory, (int64_t)x->memory_max);
    list_init(&x->fd_idle);
    struct open_job j = {x, why, ERR_OK};
    rt_work("extents open", open_job, &j);
    if (j.e)
        extents_close(x);
    else
        *out = x;
    return j.e;
}

bool extents_busy(struct extents *x)
{
    if (rt_fiber_self()) return false;
    size_t held = 0, queued = ext_queued_pins(x);
    for (size_t i = 0; i < x->nfiles; i++) held += x->files[i]->refs - 1;
    return x->drain_mu.held || x->alloc_mu.held || x->mu.held || held > queued;
}

void extents_close(struct extents *x)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    rt_mutex_lock(&x->mu);
    x->closing = true;
    while (x->puncher && rt_fiber_self()) rt_cond_wait(&x->puncher_cond, &x->mu, RT_FOREVER);
    bool cut_short = x->puncher; /* rt_run has returned: that fiber will never run again */
    rt_mutex_unlock(&x->mu);
    ext_free_drop_all(x);
    ext_close_active(x);
    while (x->nfiles) {
        struct ext_file *f = x->files[x->nfiles - 1];
        if (cut_short) {
            f->refs = 1;
            f->fd_refs = 0;
            f->fd_opening = false;
            f->pins = 0;
        }
        ASSERT(f->refs == 1 && f->pins == 0);
        ASSERT(ext_file_drop(f, NULL));
    }
    for (unsigned i = 0; i < x->nspare; i++) free(x->spare[i].p);
    free(x->files);
    x->magic = 0;
    free(x);
}

/* ---- buffers: large ones come in few sizes and are kept for reuse, for to touch new memory costs more than
 * to fill it ---- */

#define KEPT_MIN ((size_t)128 << 10)

size_t ext_buf_size(size_t n)
{
    size_t size = KEPT_MIN;
    if (n < KEPT_MIN) return n;
    while (size + EXT_HEAD < n) size *= 2;
    return size + EXT_HEAD;
}

void *ext_buf_take(struct extents *x, size_t size)
{
    void *p = NULL;
    rt_mutex_lock(&x->mu);
    for (unsigned i = x->nspare; i-- > 0 && !p;) {
        if (x->spare[i].size != size) continue;
        p = x->spare[i].p;
        x->spare[i] = x->spare[--x->nspare];
        x->spare_bytes -= size;
    }
    rt_mutex_unlock(&x->mu);
    return p ? p : aligned_alloc(EXT_ALIGN, size);
}

void ext_buf_give(struct extents *x, void *p, size_t size)
{
    if (p && size >= KEPT_MIN) {
        rt_mutex_lock(&x->mu);
        if (x->nspare < EXT_SPARE_MAX && x->spare_bytes + size <= EXT_SPARE_BYTES) {
            x->spare[x->nspare++] = (struct ext_spare){p, size};
            x->spare_bytes += size;
            p = NULL;
        }
        rt_mutex_unlock(&x->mu);
    }
    free(p);
}

/* ---- counts ---- */

void ext_count_live(struct ext_file *f, int64_t change)
{
    rt_mutex_lock(&f->x->mu);
    f->live += change;
    if (f->live == 0) atomic_store(&f->x->reap, true);
    rt_mutex_unlock(&f->x->mu);
}

void extents_set_live(struct extents *x, uint32_t file, uint64_t live_bytes)
{
    struct ext_file *f = ext_file_get(x, file);
    if (!f) return;
    rt_mutex_lock(&x->mu);
    f->live = (int64_t)live_bytes;
    f->live_known = true;
    rt_mutex_unlock(&x->mu);
    if (live_bytes == 0) atomic_store(&x->reap, true);
    ext_file_put(f);
}

uint64_t extents_get_live(struct extents *x, uint32_t file)
{
    struct ext_file *f = ext_file_get(x, file);
    if (!f) return 0;
    rt_mutex_lock(&x->mu);
    uint64_t live = f->live > 0 ? (uint64_t)f->live : 0;
    rt_mutex_unlock(&x->mu);
    ext_file_put(f);
    return live;
}

size_t extents_files(struct extents *x, uint32_t *out, size_t cap)
{
    rt_mutex_lock(&x->mu);
    size_t n = x->nfiles;
    for (size_t i = 0; i < n && i < cap; i++) out[i] = x->files[i]->number;
    rt_mutex_unlock(&x->mu);
    return n;
}

void extents_get_stats(struct extents *x, struct extents_stats *out)
{
    *out = (struct extents_stats){
        .freed_bytes = atomic_load(&x->freed_bytes),
        .punches = atomic_load(&x->punched),
        .flushes = atomic_load(&x->flushes),
        .flush_waiters = atomic_load(&x->flush_waiters),
        .corrupt = atomic_load(&x->corrupt),
        .io_errors = atomic_load(&x->io_errors),
        .writer_memory = atomic_load(&x->memory_used),
    };
    rt_mutex_lock(&x->alloc_mu); /* cursors */
    rt_mutex_lock(&x->mu);
    out->files = x->nfiles;
    for (size_t i = 0; i < x->nfiles; i++) {
        out->bytes += x->files[i]->cursor;
        if (x->files[i]->live > 0) out->live += (uint64_t)x->files[i]->live;
    }
    out->frees_queued = x->nqueue + atomic_load(&x->work_left);
    out->fds = x->fds;
    rt_mutex_unlock(&x->mu);
    rt_mutex_unlock(&x->alloc_mu);
}
