/* The writer of one blob. A small one of known size stays in memory until seal and goes out in one write with
 * its head. A larger one streams through two half buffers, one being filled while a worker writes the other:
 * the first write takes a place in a file and puts an open head before the data, seal writes the rest and
 * then the head anew, sealed. */
#include "store/extents_impl.h"
#include "base/array.h"

/* An open extent: place taken, not all written. */
struct open_extent {
    struct ext_file *f; /* NULL: none yet, all data is in the buffer */
    uint64_t off;
    uint64_t reserved; /* address space; a multiple of 4 KiB */
    uint64_t blocks;   /* of it, space asked for */
    uint64_t flushed;  /* data bytes written */
};

struct extent_writer {
    uint32_t magic;
    struct extents *x;
    uint64_t blob_id;
    int64_t hint;
    err failed;
    bool sealed;
    uint64_t memory; /* taken from x->memory */

    /* buf is filled; other is being written, or idle, or not yet needed (NULL), or never (solo) */
    char *buf;       /* EXT_HEAD bytes for a head, then buf_cap of data */
    size_t buf_cap;  /* a multiple of EXT_BLOCK */
    size_t buf_size; /* as allocated */
    size_t fill, hashed;
    char *other;
    bool solo;
    struct ext_write io; /* of other */
    _Atomic int io_state;
    struct rt_waiter *io_waiter;

    struct open_extent ext;
    uint64_t done;     /* bytes of the blob in finished extents */
    uint64_t data_cap; /* data that the current extent may hold */
    uint64_t *sums;
    size_t nsums, sums_cap;

    struct extent_place *places;
    struct ext_file **files; /* of places, pinned */
    size_t nplaces, places_cap;
};

/* What the first extent of a blob of unknown size may hold; each further one doubles. */
#define UNKNOWN_FIRST ((uint64_t)8 << 20)

/* What streams through each half when half of all writers' memory is taken. */
#define BUF_SCARCE ((size_t)128 << 10)

enum { IO_IDLE, IO_RUNNING, IO_AWAITED, IO_DONE };

static uint64_t first_cap(const struct extent_writer *w)
{
    uint64_t cap = w->hint < 0 ? UNKNOWN_FIRST : w->x->extent_max;
    return cap < w->x->extent_max ? cap : w->x->extent_max;
}

err extent_writer_new(struct extents *x, uint64_t blob_id, int64_t size_hint, struct extent_writer **out)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    ASSERT(!x->read_only && blob_id != 0);
    *out = NULL;
    bool scarce = atomic_load(&x->memory_used) > x->memory_max / 2;
    bool solo = size_hint >= 0 && (uint64_t)size_hint <= 2 * x->buffer;
    size_t cap = scarce && x->buffer > BUF_SCARCE ? BUF_SCARCE : x->buffer;
    if (solo) cap = size_hint ? ext_sums((uint64_t)size_hint) * EXT_BLOCK : EXT_BLOCK;
    size_t size = ext_buf_size(cap + EXT_HEAD);
    uint64_t memory = (uint64_t)size * (solo ? 1 : 2);
    if (!rt_sem_take(&x->memory, (int64_t)memory, rt_now() + 2 * RT_SEC)) return ERR_NO_MEMORY;
    atomic_fetch_add(&x->memory_used, memory);
    struct extent_writer *w = calloc(1, sizeof *w);
    char *buf = w ? ext_buf_take(x, size) : NULL;
    if (!buf) {
        free(w);
        atomic_fetch_sub(&x->memory_used, memory);
        rt_sem_give(&x->memory, (int64_t)memory);
        return ERR_NO_MEMORY;
    }
    *w = (struct extent_writer){
        .magic = WRITER_MAGIC,
        .x = x,
        .blob_id = blob_id,
        .hint = size_hint,
        .memory = memory,
        .buf = buf,
        .buf_cap = cap,
        .buf_size = size,
        .solo = solo,
    };
    w->data_cap = first_cap(w);
    *out = w;
    return ERR_OK;
}

/* ---- checksums ---- */

static err add_sum(struct extent_writer *w, const void *p, size_t n)
{
    if (!array_grow(&w->sums, &w->sums_cap, w->nsums + 1, sizeof *w->sums, SIZE_MAX)) return ERR_NO_MEMORY;
    w->sums[w->nsums] = ext_block_hash(w->blob_id, (uint32_t)w->nplaces, w->nsums, p, n);
    w->nsums++;
    return ERR_OK;
}

/* Hash what is complete in the buffer, while it is warm; at the end of the extent also the part block. */
static err hash_blocks(struct extent_writer *w, bool end)
{
    while (w->hashed < w->fill) {
        size_t n = w->fill - w->hashed;
        if (n < EXT_BLOCK && !end) break;
        if (n > EXT_BLOCK) n = EXT_BLOCK;
        err e = add_sum(w, w->buf + EXT_HEAD + w->hashed, n);
        if (e) return e;
        w->hashed += n;
    }
    return ERR_OK;
}

/* ---- streaming ---- */

/* The head that a crash leaves when the blob is never sealed: it says which stretch is waste. */
static void open_head(const struct extent_writer *w, unsigned char *out)
{
    struct ext_head h = {
        .file = w->ext.f->number,
        .part = (uint32_t)w->nplaces,
        .offset = w->ext.off,
        .blob_id = w->blob_id,
        .blob_off = w->done,
        .disk_len = w->ext.reserved,
        .created_ms = sys->real_ms(),
    };
    memset(out, 0, EXT_HEAD);
    ext_head_encode(&h, w->ext.f->seed, out);
}

/* Take a place for the extent that the buffer begins. Room for the longest owner is taken as address space
 * only. */
static err begin_stream(struct extent_writer *w)
{
    uint64_t expect = w->data_cap, known = w->hint < 0 ? 0 : (uint64_t)w->hint;
    if (known > w->done && known - w->done < expect) expect = known - w->done;
    if (expect < w->data_cap && w->fill >= expect) expect = w->data_cap; /* the hint was wrong */
    w->data_cap = expect;
    w->ext.blocks = ext_disk_len(expect, 0);
    w->ext.reserved = EXT_HEAD + ext_align(expect) + ext_align(ext_meta_len(expect, EXT_OWNER_MAX));
    return ext_reserve(w->x, EXT_LARGE, w->ext.reserved, &w->ext.f, &w->ext.off);
}

static void io_job(void *arg)
{
    struct extent_writer *w = arg;
    ext_write_job(&w->io);
    if (atomic_exchange(&w->io_state, IO_DONE) == IO_AWAITED) rt_wake(w->io_waiter);
}

/* The write under way has ended: its result. Its buffer is the kernel's until then. */
static err io_join(struct extent_writer *w)
{
    if (atomic_load(&w->io_state) == IO_IDLE) return ERR_OK;
    struct rt_waiter waiter;
    rt_waiter_init(&waiter);
    w->io_waiter = &waiter;
    int running = IO_RUNNING;
    if (atomic_compare_exchange_strong(&w->io_state, &running, IO_AWAITED)) rt_wait(&waiter, RT_FOREVER);
    ASSERT(atomic_load(&w->io_state) == IO_DONE);
    atomic_store(&w->io_state, IO_IDLE);
    return ext_write_result(&w->io);
}

/* Let a worker write w->io from buf, and go on filling the other half. */
static err io_start(struct extent_writer *w)
{
    if (!w->solo && !w->other) w->other = ext_buf_take(w->x, w->buf_size);
    if (!w->other || !rt_fiber_self()) return ext_write_runs(&w->io);
    atomic_store(&w->io_state, IO_RUNNING);
    if (!rt_work_async("extent write", io_job, w)) {
        atomic_store(&w->io_state, IO_IDLE);
        return ext_write_runs(&w->io);
    }
    char *filled = w->buf;
    w->buf = w->other;
    w->other = filled;
    return ERR_OK;
}

/* The buffer is full and more comes: write it. */
static err flush_buffer(struct extent_writer *w)
{
    ASSERT(w->fill == w->hashed && w->fill % EXT_ALIGN == 0);
    bool first = !w->ext.f;
    err e = io_join(w);
    if (!e && first) e = begin_stream(w);
    if (e) return e;
    w->io = (struct ext_write){.f = w->ext.f, .off = w->ext.off, .nruns = 1};
    if (first) {
        open_head(w, (unsigned char *)w->buf);
        w->io.prealloc = w->ext.blocks;
        w->io.run[0].p = w->buf;
        w->io.run[0].n = EXT_HEAD + w->fill;
        w->io.run[0].off = w->ext.off;
    } else {
        w->io.run[0].p = w->buf + EXT_HEAD;
        w->io.run[0].n = w->fill;
        w->io.run[0].off = w->ext.off + EXT_HEAD + w->ext.flushed;
    }
    e = io_start(w);
    w->ext.flushed += w->fill;
    w->fill = w->hashed = 0;
    return e;
}

/* ---- finishing an extent ---- */

static bool add_place(struct extent_writer *w, const struct ext_head *h)
{
    size_t cap = w->places_cap, same = cap;
    if (!array_grow(&w->places, &cap, w->nplaces + 1, sizeof *w->places, SIZE_MAX) ||
        !array_grow(&w->files, &same, w->nplaces + 1, sizeof *w->files, SIZE_MAX))
        return false;
    w->places_cap = cap;
    w->places[w->nplaces] = (struct extent_place){h->file, 0, h->offset, h->disk_len, h->data_len};
    w->files[w->nplaces++] = w->ext.f;
    return true;
}

static void add_run(struct ext_write *io, const void *p, size_t n, uint64_t off)
{
    if (n == 0) return;
    io->run[io->nruns].p = p;
    io->run[io->nruns].n = n;
    io->run[io->nruns++].off = off;
}

/* Write what is left in the buffer, the meta, and last the head. */
static err write_end(struct extent_writer *w, struct ext_head *h, struct str owner)
{
    struct open_extent *x = &w->ext;
    bool whole = x->flushed == 0; /* head and data are neighbours in the buffer: one write */
    size_t rest = ext_align(w->fill);
    memset(w->buf + EXT_HEAD + w->fill, 0, rest - w->fill);
    unsigned char *head = (unsigned char *)w->buf, *tail = NULL;
    size_t tail_len = ext_tail_len(h->data_len, owner.n);
    if (tail_len && !(tail = aligned_alloc(EXT_ALIGN, tail_len))) return ERR_NO_MEMORY;
    ASSERT(w->nsums == ext_sums(h->data_len));
    ext_seal_head(h, x->f->seed, w->sums, owner, head, tail);
    struct ext_write io = {.f = x->f, .off = x->off};
    if (whole)
        add_run(&io, head, EXT_HEAD + rest, x->off);
    else
        add_run(&io, w->buf + EXT_HEAD, rest, x->off + EXT_HEAD + x->flushed);
    add_run(&io, tail, tail_len, x->off + ext_meta_off(h->data_len, owner.n));
    if (!whole) add_run(&io, head, EXT_HEAD, x->off);
    err e = ext_write_runs(&io);
    free(tail);
    return e;
}

static err finish_extent(struct extent_writer *w, bool last, struct str owner)
{
    struct open_extent *x = &w->ext;
    err e = hash_blocks(w, true);
    if (!e) e = io_join(w);
    if (e) return e;
    struct ext_head h = {
        .flags = EXT_F_SEALED | (last ? EXT_F_LAST : 0u),
        .part = (uint32_t)w->nplaces,
        .owner_len = (uint32_t)owner.n,
        .blob_id = w->blob_id,
        .blob_off = w->done,
        .data_len = x->flushed + w->fill,
        .created_ms = sys->real_ms(),
    };
    h.disk_len = ext_disk_len(h.data_len, owner.n);
    if (last) h.blob_size = h.blob_off + h.data_len;
    if (!x->f) {
        x->reserved = x->blocks = h.disk_len;
        e = ext_reserve(w->x, EXT_SMALL, h.disk_len, &x->f, &x->off);
        if (e) return e;
    }
    ASSERT(h.disk_len <= x->reserved);
    h.file = x->f->number;
    h.offset = x->off;
    e = write_end(w, &h, owner);
    if (!e && !add_place(w, &h)) e = ERR_NO_MEMORY;
    if (e) return e;
    if (!ext_give_back(x->f, x->off, h.disk_len, x->reserved) && x->blocks > h.disk_len)
        ext_free_range(x->f, x->off + h.disk_len, x->blocks - h.disk_len, false);
    w->done += h.data_len;
    w->ext = (struct open_extent){0};
    w->fill = w->hashed = w->nsums = 0;
    w->data_cap = w->data_cap * 2 < w->x->extent_max && w->hint < 0 ? w->data_cap * 2 : w->x->extent_max;
    return ERR_OK;
}

/* ---- the calls ---- */

err extent_room(struct extent_writer *w, char **p, size_t *n)
{
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(!w->sealed);
    if (w->failed) return w->failed;
    if (w->ext.flushed + w->fill == w->data_cap)
        w->failed = finish_extent(w, false, STR_NONE);
    else if (w->fill == w->buf_cap)
        w->failed = flush_buffer(w);
    if (w->failed) return w->failed;
    uint64_t room = w->data_cap - w->ext.flushed - w->fill;
    *n = w->buf_cap - w->fill;
    if (*n > room) *n = (size_t)room;
    *p = w->buf + EXT_HEAD + w->fill;
    return ERR_OK;
}

err extent_filled(struct extent_writer *w, size_t n)
{
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(!w->sealed && n <= w->buf_cap - w->fill && n <= w->data_cap - w->ext.flushed - w->fill);
    if (w->failed) return w->failed;
    w->fill += n;
    return w->failed = hash_blocks(w, false);
}

err extent_write(struct extent_writer *w, const void *p, size_t n)
{
    for (const char *from = p; n > 0;) {
        char *to;
        size_t take;
        err e = extent_room(w, &to, &take);
        if (e) return e;
        if (take > n) take = n;
        memcpy(to, from, take);
        e = extent_filled(w, take);
        if (e) return e;
        from += take;
        n -= take;
    }
    return w->failed;
}

err extent_seal(struct extent_writer *w, struct str owner, const struct extent_place **places, size_t *n)
{
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(!w->sealed && owner.n <= EXT_OWNER_MAX);
    if (!w->failed) w->failed = finish_extent(w, true, owner);
    for (size_t i = 0; i < w->nplaces && !w->failed; i++)
        if (i + 1 == w->nplaces || w->files[i] != w->files[i + 1]) w->failed = ext_flush(w->files[i]);
    if (w->failed) return w->failed;
    w->sealed = true;
    *places = w->places;
    *n = w->nplaces;
    return ERR_OK;
}

static void writer_free(struct extent_writer *w)
{
    struct extents *x = w->x;
    ASSERT(atomic_load(&w->io_state) == IO_IDLE);
    ext_buf_give(x, w->buf, w->buf_size);
    ext_buf_give(x, w->other, w->buf_size);
    atomic_fetch_sub(&x->memory_used, w->memory);
    rt_sem_give(&x->memory, (int64_t)w->memory);
    free(w->sums);
    free(w->places);
    free(w->files);
    w->magic = 0;
    free(w);
}

void extent_writer_keep(struct extent_writer *w)
{
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(w->sealed);
    for (size_t i = 0; i < w->nplaces; i++) {
        ext_count_live(w->files[i], (int64_t)w->places[i].disk_len);
        ext_unpin(w->files[i], 1);
    }
    writer_free(w);
}

void extent_writer_leave(struct extent_writer *w)
{
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(w->sealed);
    for (size_t i = 0; i < w->nplaces; i++) {
        w->files[i]->leftover = true;
        ext_unpin(w->files[i], 1);
    }
    writer_free(w);
}

void extent_writer_abandon(struct extent_writer *w)
{
    if (!w) return;
    CHECK_MAGIC(w, WRITER_MAGIC);
    io_join(w); /* the kernel lets go of the buffer before it is freed, and writes nothing after the punch */
    for (size_t i = 0; i < w->nplaces; i++)
        ext_free_range(w->files[i], w->places[i].offset, w->places[i].disk_len, true);
    if (w->ext.f) ext_free_range(w->ext.f, w->ext.off, w->ext.reserved, true);
    writer_free(w);
}
