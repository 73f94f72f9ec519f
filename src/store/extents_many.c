/* Many small blobs at once: packed into runs of up to RUN_MAX bytes, one write a run, one flush for all. */
#include "store/extents_impl.h"

#define RUN_MAX ((size_t)2 << 20)

struct run {
    struct ext_file *f;
    uint64_t off, len;
    size_t n; /* blobs */
};

static uint64_t small_len(const struct extent_small *s)
{
    ASSERT(s->data.n <= EXTENT_SMALL_MAX && s->owner.n <= EXT_OWNER_MAX && s->blob_id != 0);
    return ext_fits_head(s->data.n, s->owner.n) ? EXT_HEAD : ext_disk_len(s->data.n, s->owner.n);
}

static uint64_t run_max(const struct extents *x)
{
    uint64_t file = x->file_max - EXT_START;
    return file < RUN_MAX ? file : RUN_MAX;
}

/* How many of v fit into one run, and its length. */
static size_t fit(const struct extents *x, const struct extent_small *v, size_t n, uint64_t *len)
{
    size_t k = 0;
    *len = 0;
    for (; k < n; k++) {
        uint64_t one = small_len(&v[k]);
        if (*len + one > run_max(x)) break;
        *len += one;
    }
    ASSERT(k > 0);
    return k;
}

static void encode(struct extent_small *s, const struct run *r, uint64_t at, unsigned char *buf, int64_t now)
{
    uint64_t sums[EXTENT_SMALL_MAX / EXT_BLOCK], nsums = ext_sums(s->data.n);
    for (uint64_t i = 0; i < nsums; i++) {
        size_t left = s->data.n - (size_t)i * EXT_BLOCK;
        sums[i] =
            ext_block_hash(s->blob_id, 0, i, s->data.p + i * EXT_BLOCK, left < EXT_BLOCK ? left : EXT_BLOCK);
    }
    bool inside = ext_fits_head(s->data.n, s->owner.n);
    struct ext_head h = {
        .flags = EXT_F_SEALED | EXT_F_LAST | (inside ? EXT_F_INSIDE : 0),
        .file = r->f->number,
        .owner_len = (uint32_t)s->owner.n,
        .offset = r->off + at,
        .blob_id = s->blob_id,
        .blob_size = s->data.n,
        .data_len = s->data.n,
        .disk_len = small_len(s),
        .created_ms = now,
    };
    unsigned char *head = buf + at, *data = head + EXT_HEAD;
    size_t padded = (size_t)ext_align(s->data.n);
    if (!inside) {
        if (s->data.n) memcpy(data, s->data.p, s->data.n);
        memset(data + s->data.n, 0, padded - s->data.n);
    }
    ext_seal_head(&h, r->f->seed, sums, s->owner, head, data + padded);
    if (inside) memcpy(head + ext_data_at(&h), s->data.p, s->data.n);
    s->place = (struct extent_place){h.file, 0, h.offset, h.disk_len, h.data_len};
}

static err write_run(struct extents *x, struct extent_small *v, size_t n, uint64_t len, unsigned char *buf,
                     struct run *r)
{
    err e = ext_reserve(x, EXT_SMALL, len, &r->f, &r->off);
    if (e) return e;
    r->len = len;
    uint64_t at = 0;
    int64_t now = sys->real_ms();
    for (size_t i = 0; i < n; i++) {
        encode(&v[i], r, at, buf, now);
        at += v[i].place.disk_len;
    }
    struct ext_write io = {.f = r->f, .off = r->off, .run = {{buf, len, r->off}}, .nruns = 1};
    return ext_write_runs(&io);
}

static err write_all(struct extents *x, struct extent_small *v, size_t n, unsigned char *buf,
                     struct run *runs, size_t *nruns)
{
    for (size_t at = 0; at < n;) {
        uint64_t len;
        size_t k = fit(x, v + at, n - at, &len);
        struct run *r = &runs[*nruns];
        r->n = k;
        err e = write_run(x, v + at, k, len, buf, r);
        if (r->f) ++*nruns;
        if (e) return e;
        at += k;
    }
    for (size_t i = 0; i < *nruns; i++) {
        err e = i + 1 == *nruns || runs[i].f != runs[i + 1].f ? ext_flush(runs[i].f) : ERR_OK;
        if (e) return e;
    }
    return ERR_OK;
}

/* The run's one pin becomes one of each blob. */
static void share_pin(const struct run *r, struct extent_small *v)
{
    if (r->n > 1) ext_pin_more(r->f, (unsigned)r->n - 1);
    for (size_t i = 0; i < r->n; i++) v[i].pinned = r->f;
}

void extents_small_keep(struct extent_small *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ext_count_live(v[i].pinned, (int64_t)v[i].place.disk_len);
        ext_unpin(v[i].pinned, 1);
        v[i].pinned = NULL;
    }
}

void extents_small_abandon(struct extent_small *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ext_free_range(v[i].pinned, v[i].place.offset, v[i].place.disk_len, true);
        v[i].pinned = NULL;
    }
}

void extents_small_leave(struct extent_small *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        v[i].pinned->leftover = true;
        ext_unpin(v[i].pinned, 1);
        v[i].pinned = NULL;
    }
}

err extents_write_many(struct extents *x, struct extent_small *v, size_t n)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    ASSERT(!x->read_only);
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) total += small_len(&v[i]);
    if (n == 0) return ERR_OK;
    size_t memory = ext_buf_size((size_t)(total < run_max(x) ? total : run_max(x)));
    if (!rt_sem_take(&x->memory, (int64_t)memory, rt_now() + 2 * RT_SEC)) return ERR_NO_MEMORY;
    atomic_fetch_add(&x->memory_used, memory);
    unsigned char *buf = ext_buf_take(x, memory);
    struct run *runs = calloc(n, sizeof *runs); /* at most one a blob */
    size_t nruns = 0;
    err e = buf && runs ? write_all(x, v, n, buf, runs, &nruns) : ERR_NO_MEMORY;
    struct extent_small *next = v;
    for (size_t i = 0; i < nruns; next += runs[i++].n) {
        if (e)
            ext_free_range(runs[i].f, runs[i].off, runs[i].len, true);
        else
            share_pin(&runs[i], next);
    }
    free(runs);
    ext_buf_give(x, buf, memory);
    atomic_fetch_sub(&x->memory_used, memory);
    rt_sem_give(&x->memory, (int64_t)memory);
    return e;
}
