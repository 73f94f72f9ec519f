/* Visiting every extent, and giving back what nothing covers. */
#include "store/extents_impl.h"

#include <errno.h>
#include <fcntl.h>

struct scan {
    struct extents *x;
    bool (*fn)(void *arg, const struct extent_visit *v);
    void (*bad)(void *arg, uint32_t file, uint64_t offset);
    void *arg;
    bool sweep; /* free stretches of zeros */
    bool stop;

    /* of the file at hand */
    struct ext_walk w;
    struct ext_head open;         /* an open extent whose claim reaches to open_end */
    uint64_t open_end;            /* 0: none */
    uint64_t zero_from, zero_end; /* zeros not yet freed; equal: none */
    bool junk;                    /* already said of this stretch */
};

static void end_zeros(struct scan *s)
{
    if (s->sweep && s->zero_end > s->zero_from)
        ext_free_range(s->w.f, s->zero_from, s->zero_end - s->zero_from, false);
    s->zero_from = s->zero_end = 0;
}

/* The open extent's claim ends at `at` at the latest: something valid begins there, so it never was its. */
static void end_open(struct scan *s, uint64_t at)
{
    if (!s->open_end) return;
    uint64_t end = at < s->open_end ? at : s->open_end;
    const struct ext_head *h = &s->open;
    struct extent_visit v = {
        .file = h->file,
        .place = {h->file, 0, h->offset, end - h->offset, 0},
        .blob_id = h->blob_id,
        .part = h->part,
        .open = true,
        .blob_off = h->blob_off,
    };
    s->open_end = 0;
    if (!s->fn(s->arg, &v)) s->stop = true;
}

static void on_bad(struct scan *s, uint64_t at)
{
    if (s->bad) s->bad(s->arg, s->w.f->number, at);
}

static err on_sealed(struct scan *s)
{
    const struct ext_head *h = &s->w.head;
    unsigned char *heap;
    const unsigned char *meta;
    err e = ext_walk_meta(&s->w, &heap, &meta);
    if (!e) {
        size_t table = ext_sums(h->data_len) * 8;
        struct extent_visit v = {
            .file = h->file,
            .place = {h->file, 0, h->offset, h->disk_len, h->data_len},
            .blob_id = h->blob_id,
            .part = h->part,
            .owner = str_of((const char *)meta + table, h->owner_len),
            .last = h->flags & EXT_F_LAST,
            .blob_off = h->blob_off,
            .blob_size = h->blob_size,
        };
        if (!s->fn(s->arg, &v)) s->stop = true;
    } else if (e == ERR_CORRUPT) {
        on_bad(s, s->w.at);
        e = ERR_OK;
    }
    free(heap);
    return e;
}

struct extend_job {
    char path[512];
    uint64_t end;
    int rc;
};

static void extend_job(void *arg)
{
    struct extend_job *j = arg;
    int fd = sys->open(j->path, O_RDWR, 0);
    j->rc = fd < 0 ? fd : sys->ftruncate(fd, j->end);
    if (fd >= 0) sys->close(fd);
}

/* A crash cut the file off in the midst of an extent. What is written next would begin there, and as soon as
 * the file were long enough the head would be whole and speak for it: so that place is never used. */
static err extend(struct scan *s)
{
    struct ext_walk *w = &s->w;
    struct extents *x = s->x;
    struct extend_job j = {.end = w->at + w->head.disk_len};
    ext_path(x, w->f->number, j.path);
    rt_work("extent file end", extend_job, &j);
    if (j.rc < 0) return ext_io_error(x, j.rc, "ftruncate", w->f->number, j.end);
    on_bad(s, w->at);
    w->size = w->next = j.end;
    rt_mutex_lock(&x->alloc_mu);
    if (w->f->cursor < j.end) w->f->cursor = j.end;
    rt_mutex_unlock(&x->alloc_mu);
    return ERR_OK;
}

static err on_step(struct scan *s, enum ext_step step)
{
    struct ext_walk *w = &s->w;
    bool valid = step == EXT_STEP_SEALED || step == EXT_STEP_OPEN || step == EXT_STEP_END;
    uint64_t open_end = s->open_end;
    /* What cannot be read may begin something valid: the claim reaches no further, rather than free that. */
    if (valid || step == EXT_STEP_ERROR || w->at >= open_end)
        end_open(s, step == EXT_STEP_END ? ext_align(w->size) : w->at);
    if (step == EXT_STEP_ZERO) {
        uint64_t from = w->at < open_end ? open_end : w->at;
        if (w->next > from) {
            if (s->zero_end != from) end_zeros(s);
            if (s->zero_end == s->zero_from) s->zero_from = from;
            s->zero_end = w->next;
        }
        return ERR_OK;
    }
    end_zeros(s);
    bool junk = step == EXT_STEP_ERROR || (step == EXT_STEP_JUNK && w->at >= open_end);
    if (junk && !s->junk) {
        on_bad(s, w->at);
        s->junk = true;
    }
    if (valid) s->junk = false;
    if (step == EXT_STEP_SEALED && !s->stop) return on_sealed(s);
    if (step == EXT_STEP_OPEN) {
        s->open = w->head;
        s->open_end = w->at + w->head.disk_len;
    }
    return ERR_OK;
}

static err scan_file(struct scan *s, struct ext_file *f)
{
    s->open_end = s->zero_from = s->zero_end = 0;
    s->junk = false;
    err e = ext_walk_begin(&s->w, f);
    if (e == ERR_CORRUPT || e == ERR_IO) { /* no usable header: go on with the other files */
        if (s->bad) s->bad(s->arg, f->number, 0);
        return ERR_OK;
    }
    if (e) return e;
    enum ext_step step = EXT_STEP_ZERO;
    while (!e && !s->stop && step != EXT_STEP_END) {
        e = ext_walk_step(&s->w, &step);
        if (!e && step == EXT_STEP_CUT) {
            if (s->sweep) e = extend(s);
            step = s->sweep ? EXT_STEP_SEALED : EXT_STEP_JUNK;
        }
        if (!e) e = on_step(s, step);
    }
    ext_walk_end(&s->w);
    return e;
}

err extents_scan(struct extents *x, bool only_tail_files, bool (*fn)(void *arg, const struct extent_visit *v),
                 void (*bad)(void *arg, uint32_t file, uint64_t offset), void *arg)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    size_t n = extents_files(x, NULL, 0);
    uint32_t *v = malloc((n ? n : 1) * sizeof *v);
    if (!v) return ERR_NO_MEMORY;
    size_t now = extents_files(x, v, n);
    if (now < n) n = now;
    struct scan s = {.x = x, .fn = fn, .bad = bad, .arg = arg, .sweep = only_tail_files && !x->read_only};
    err e = ERR_OK;
    for (size_t i = 0; i < n && !e && !s.stop; i++) {
        struct ext_file *f = ext_file_get(x, v[i]);
        if (!f) continue;
        ASSERT(f->pins == 0 || !s.sweep);
        if (!only_tail_files || f->tail || !f->headed) e = scan_file(&s, f);
        ext_file_put(f);
    }
    free(v);
    return e;
}

/* ---- reclaiming ---- */

static bool ascending(const struct extent_place *keep, size_t n, uint64_t end)
{
    uint64_t at = EXT_START;
    for (size_t i = 0; i < n; i++) {
        if (keep[i].offset < at || keep[i].offset > end || keep[i].disk_len > end - keep[i].offset)
            return false;
        if (keep[i].offset % EXT_ALIGN || keep[i].disk_len % EXT_ALIGN) return false;
        at = keep[i].offset + keep[i].disk_len;
    }
    return true;
}

/* Bytes on disk of f. */
static uint64_t occupied(struct ext_file *f)
{
    struct stat st;
    char path[512];
    ext_path(f->x, f->number, path);
    return sys->stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

err extents_reclaim(struct extents *x, uint32_t file, const struct extent_place *keep, size_t n,
                    uint64_t *freed)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    *freed = 0;
    struct ext_file *f = ext_file_get(x, file);
    if (!f) return ERR_NOT_FOUND;
    ASSERT(f->pins == 0);
    rt_mutex_lock(&x->alloc_mu);
    uint64_t end = f->cursor, before = occupied(f);
    rt_mutex_unlock(&x->alloc_mu);
    err e = f->headed && ascending(keep, n, end) ? ERR_OK : ERR_CORRUPT;
    if (!e) {
        uint64_t at = EXT_START;
        for (size_t i = 0; i <= n; i++) {
            uint64_t to = i < n ? keep[i].offset : end;
            if (to > at) ext_free_range(f, at, to - at, false);
            if (i < n) at = keep[i].offset + keep[i].disk_len;
        }
        e = extents_settle_frees(x);
    }
    uint64_t after = occupied(f);
    if (!e && after < before) *freed = before - after;
    ext_file_put(f);
    return e;
}
