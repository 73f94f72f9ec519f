/* The table of files, and the header of one. */
#include "store/extents_impl.h"
#include "base/array.h"

/* ---- the table ---- */

/* Where number is or would be; mu held. */
static size_t find(const struct extents *x, uint32_t number)
{
    size_t lo = 0, hi = x->nfiles;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (x->files[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct ext_file *ext_file_find(const struct extents *x, uint32_t number)
{
    size_t i = find(x, number);
    return i < x->nfiles && x->files[i]->number == number ? x->files[i] : NULL;
}

struct ext_file *ext_file_get(struct extents *x, uint32_t number)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    rt_mutex_lock(&x->mu);
    struct ext_file *f = ext_file_find(x, number);
    if (f) f->refs++;
    rt_mutex_unlock(&x->mu);
    return f;
}

bool ext_file_unref(struct ext_file *f)
{
    ASSERT(f->refs > 0);
    return --f->refs == 0;
}

void ext_file_free(struct ext_file *f)
{
    ASSERT(f->dead && f->fd < 0 && f->wfd < 0);
    f->magic = 0;
    free(f);
}

void ext_file_put(struct ext_file *f)
{
    CHECK_MAGIC(f, EXTFILE_MAGIC);
    rt_mutex_lock(&f->x->mu);
    bool last = ext_file_unref(f);
    rt_mutex_unlock(&f->x->mu);
    if (last) ext_file_free(f);
}

err ext_file_add(struct extents *x, uint32_t number, struct ext_file **out)
{
    struct ext_file *f = calloc(1, sizeof *f);
    if (!f) return ERR_NO_MEMORY;
    *f = (struct ext_file){.magic = EXTFILE_MAGIC, .number = number, .x = x, .refs = 1, .fd = -1, .wfd = -1};
    rt_mutex_init(&f->flush_mu);
    rt_cond_init(&f->flush_cond);
    list_init(&f->lru);
    rt_mutex_lock(&x->mu);
    bool room = array_grow(&x->files, &x->files_cap, x->nfiles + 1, sizeof *x->files, SIZE_MAX);
    if (room) {
        size_t i = find(x, number);
        memmove(x->files + i + 1, x->files + i, (x->nfiles - i) * sizeof *x->files);
        x->files[i] = f;
        x->nfiles++;
        if (number > x->newest) x->newest = number;
    }
    rt_mutex_unlock(&x->mu);
    if (!room) {
        free(f);
        return ERR_NO_MEMORY;
    }
    *out = f;
    return ERR_OK;
}

struct close_job {
    int fd;
};

static void close_job(void *arg)
{
    sys->close(((struct close_job *)arg)->fd);
}

bool ext_file_drop(struct ext_file *f, bool (*may)(const struct ext_file *f))
{
    struct extents *x = f->x;
    rt_mutex_lock(&x->mu);
    bool free_now = f->fd_refs == 0 && !f->fd_opening && (!may || may(f));
    struct close_job j = {-1};
    if (free_now) {
        size_t i = find(x, f->number);
        ASSERT(i < x->nfiles && x->files[i] == f);
        memmove(x->files + i, x->files + i + 1, (x->nfiles - i - 1) * sizeof *x->files);
        x->nfiles--;
        f->dead = true;
        j.fd = f->fd;
        f->fd = -1;
        list_remove(&f->lru);
        if (j.fd >= 0) x->fds--;
        rt_cond_broadcast(&x->fd_cond);
    }
    rt_mutex_unlock(&x->mu);
    if (j.fd >= 0) rt_work("extent file close", close_job, &j);
    if (free_now) ext_file_put(f);
    return free_now;
}

/* ---- the file header ---- */

err ext_file_load(struct ext_file *f, int fd)
{
    unsigned char *p = malloc(EXT_ALIGN);
    if (!p) return ERR_NO_MEMORY;
    struct ext_file_head h;
    err e = ERR_CORRUPT, first = ERR_OK;
    for (int copy = 0; copy < 2 && e; copy++) {
        e = sys_read_full(fd, p, EXT_ALIGN, (uint64_t)copy * EXT_ALIGN);
        if (!e) e = ext_file_head_decode(p, f->number, &h);
        if (copy == 0) first = e;
    }
    free(p);
    if (e) return first == ERR_UNSUPPORTED_FORMAT ? first : e;
    f->seed = h.seed;
    f->cls = (enum ext_class)h.cls;
    f->created_ms = h.created_ms;
    f->tail = !h.final;
    f->headed = true;
    return ERR_OK;
}
