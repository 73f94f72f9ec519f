/* Reading: every block against its sum, the sums against the header, the header against its place. What does
 * not verify is looked at a second time past the page cache: a bit that flipped in memory is no damage. */
#include "store/extents_impl.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>

struct extent_table {
    uint32_t file;
    uint64_t offset;
    uint64_t blob_id;
    uint32_t part;
    uint64_t data_len;
    uint64_t data_at; /* in the file */
    uint64_t sums[];
};

/* One look at one extent. */
struct look {
    struct ext_file *f;
    const struct extent_place *p;
    uint64_t blob_id;
    int fd;
    bool direct; /* fd bypasses the page cache */
    /* on ERR_CORRUPT */
    const char *what;
    uint64_t at;
};

void extent_table_free(struct extent_table *t)
{
    free(t);
}

static err damaged(struct look *k, const char *what, uint64_t at)
{
    k->what = what;
    k->at = at;
    return ERR_CORRUPT;
}

/* ---- bytes ---- */

/* Pages that hold [off, off + n), through an aligned buffer. */
static ssize_t read_direct(int fd, void *p, size_t n, uint64_t off)
{
    size_t skip = (size_t)(off % EXT_ALIGN), len = (size_t)ext_align(skip + n);
    char *pages = aligned_alloc(EXT_ALIGN, len);
    if (!pages) return -ENOMEM;
    ssize_t got = rt_pread_uncached(fd, pages, len, off - skip);
    if (got >= 0) got = got > (ssize_t)skip ? got - (ssize_t)skip : 0;
    if (got > (ssize_t)n) got = (ssize_t)n;
    if (got > 0) memcpy(p, pages + skip, (size_t)got);
    free(pages);
    return got;
}

/* Whole reads; the end of the file where bytes must be is damage. */
static err read_whole(struct look *k, void *p, size_t n, uint64_t off)
{
    for (char *to = p; n > 0;) {
        ssize_t got = k->direct ? read_direct(k->fd, to, n, off) : rt_pread(k->fd, to, n, off);
        if (got == -EINTR) continue;
        if (got < 0) return ext_io_error(k->f->x, (int)got, "read", k->f->number, off);
        if (got == 0) return damaged(k, "end of file", off);
        to += got;
        n -= (size_t)got;
        off += (uint64_t)got;
    }
    return ERR_OK;
}

/* ---- header and table ---- */

/* The header at its place, if it is the one that place and blob id expect. */
static err check_head(struct look *k, const unsigned char *head, struct ext_head *h)
{
    const struct extent_place *p = k->p;
    err e = ext_head_decode(head, k->f->number, k->f->seed, p->offset, h);
    if (e == ERR_UNSUPPORTED_FORMAT) return e;
    if (e) return damaged(k, "header", p->offset);
    if (!(h->flags & EXT_F_SEALED) || h->blob_id != k->blob_id || h->data_len != p->data_len ||
        h->disk_len != p->disk_len)
        return damaged(k, "another extent's header", p->offset);
    return ERR_OK;
}

static err make_table(struct look *k, const unsigned char *head, struct extent_table **out)
{
    struct ext_head h;
    err e = check_head(k, head, &h);
    if (e) return e;
    size_t n = ext_meta_len(h.data_len, h.owner_len), sums = ext_sums(h.data_len) * 8;
    bool inside = ext_meta_in_head(h.data_len, h.owner_len);
    struct extent_table *t = malloc(sizeof *t + sums);
    unsigned char *heap = inside ? NULL : malloc(n);
    const unsigned char *meta = inside ? head + EXT_HEADER : heap;
    if (!t || !meta) e = ERR_NO_MEMORY;
    if (!e && heap) e = read_whole(k, heap, n, k->p->offset + ext_meta_off(h.data_len, h.owner_len));
    if (!e && ext_meta_hash(&h, k->f->seed, meta, n) != h.meta_hash) e = damaged(k, "table", k->p->offset);
    if (!e) {
        *t = (struct extent_table){h.file, h.offset,   h.blob_id,
                                   h.part, h.data_len, h.offset + ext_data_at(&h)};
        if (sums) memcpy(t->sums, meta, sums);
        *out = t;
    } else {
        free(t);
    }
    free(heap);
    return e;
}

static err load_table(struct look *k, struct extent_table **out)
{
    unsigned char *head = malloc(EXT_HEAD);
    err e = head ? read_whole(k, head, EXT_HEAD, k->p->offset) : ERR_NO_MEMORY;
    if (!e) e = make_table(k, head, out);
    free(head);
    return e;
}

/* ---- data ---- */

struct span { /* whole blocks that hold what is wanted */
    uint64_t first, from;
    size_t len;
};

static struct span span_of(uint64_t data_len, uint64_t off, size_t n)
{
    struct span s = {.first = off / EXT_BLOCK};
    s.from = s.first * EXT_BLOCK;
    uint64_t end = ext_sums(off + n) * EXT_BLOCK;
    s.len = (size_t)((end < data_len ? end : data_len) - s.from);
    return s;
}

static err verify(struct look *k, const struct extent_table *t, const struct span *s, const char *data)
{
    for (size_t at = 0; at < s->len; at += EXT_BLOCK) {
        uint64_t block = s->first + at / EXT_BLOCK;
        size_t n = s->len - at < EXT_BLOCK ? s->len - at : EXT_BLOCK;
        if (ext_block_hash(t->blob_id, t->part, block, data + at, n) != t->sums[block])
            return damaged(k, "block", t->data_at + s->from + at);
    }
    return ERR_OK;
}

/* The first read of an extent from its beginning: head and data by one call. */
static err look_whole(struct look *k, struct extent_table **table, const struct span *s, char *buf)
{
    size_t len = k->p->disk_len == EXT_HEAD ? EXT_HEAD : EXT_HEAD + s->len;
    err e = read_whole(k, buf, len, k->p->offset);
    if (!e) e = make_table(k, (unsigned char *)buf, table);
    return e ? e : verify(k, *table, s, buf + ((*table)->data_at - k->p->offset));
}

static err look(struct look *k, struct extent_table **table, uint64_t off, size_t n, char *buf, size_t cap,
                struct str *view)
{
    struct span s = span_of(k->p->data_len, off, n);
    ASSERT(s.len <= cap);
    err e;
    char *data = buf;
    if (!*table && s.from == 0 && EXT_HEAD + s.len <= cap) {
        e = look_whole(k, table, &s, buf);
        if (!e) data = buf + ((*table)->data_at - k->p->offset);
    } else {
        e = *table ? ERR_OK : load_table(k, table);
        if (e) return e;
        const struct extent_table *t = *table;
        ASSERT(t->file == k->p->file && t->offset == k->p->offset && t->blob_id == k->blob_id);
        e = read_whole(k, buf, s.len, t->data_at + s.from);
        if (!e) e = verify(k, t, &s, buf);
    }
    if (!e) *view = str_of(data + (off - s.from), n);
    return e;
}

struct open_job {
    const char *path;
    int fd;
};

static void open_job(void *arg)
{
    struct open_job *j = arg;
    j->fd = sys->open(j->path, O_RDONLY | O_DIRECT, 0);
}

static void close_job(void *arg)
{
    struct open_job *j = arg;
    sys->close(j->fd);
}

/* As the disk has it. */
static err look_again(struct look *k, struct extent_table **table, uint64_t off, size_t n, char *buf,
                      size_t cap, struct str *view)
{
    char path[512];
    ext_path(k->f->x, k->f->number, path);
    struct open_job j = {path, -1};
    rt_work("extent file open", open_job, &j);
    if (j.fd < 0) return ERR_CORRUPT; /* no such way on this file system: the first look stands */
    struct look direct = *k;
    direct.fd = j.fd;
    direct.direct = true;
    err e = look(&direct, table, off, n, buf, cap, view);
    rt_work("extent file close", close_job, &j);
    if (e == ERR_OK)
        LOG_WARN("extent was damaged in memory, not on disk", LF_Z("what", k->what),
                 LF_U("file", k->f->number), LF_U("offset", k->at), LF_U("blob", k->blob_id));
    return e == ERR_OK ? e : ERR_CORRUPT;
}

static err corrupt(struct extents *x, uint32_t file, uint64_t offset, uint64_t blob_id, const char *what)
{
    atomic_fetch_add(&x->corrupt, 1);
    LOG_ERROR("extent is damaged", LF_Z("what", what), LF_U("file", file), LF_U("offset", offset),
              LF_U("blob", blob_id));
    return ERR_CORRUPT;
}

err extent_read(struct extents *x, const struct extent_place *p, uint64_t blob_id,
                struct extent_table **table, uint64_t off, size_t n, void *buf, size_t cap, struct str *view)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    ASSERT(off <= p->data_len && n <= p->data_len - off && cap >= n + 2 * EXT_BLOCK);
    *view = STR_NONE;
    struct look k = {.p = p, .blob_id = blob_id, .what = "file header"};
    err e = ERR_OK;
    struct ext_file *f = k.f = ext_fd_begin(x, p->file, &k.fd, &e);
    if (!f) return corrupt(x, p->file, p->offset, blob_id, "no such file");
    if (!e) {
        e = look(&k, table, off, n, buf, cap, view);
        if (e == ERR_CORRUPT) e = look_again(&k, table, off, n, buf, cap, view);
    }
    if (e == ERR_CORRUPT) corrupt(x, p->file, k.at ? k.at : p->offset, blob_id, k.what);
    ext_fd_end(f, k.fd);
    return e;
}
