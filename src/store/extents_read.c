/* Reading: every block against its sum, the sums against the header, the header against its place. */
#include "store/extents_impl.h"
#include "base/bytes.h"
#include "base/log.h"

#include <errno.h>

struct extent_table {
    uint32_t file;
    uint64_t offset;
    uint64_t blob_id;
    uint32_t part;
    uint64_t data_len;
    uint64_t sums[];
};

void extent_table_free(struct extent_table *t)
{
    free(t);
}

static err corrupt(struct extents *x, uint32_t file, uint64_t offset, uint64_t blob_id, const char *what)
{
    atomic_fetch_add(&x->corrupt, 1);
    LOG_ERROR("extent is damaged", LF_Z("what", what), LF_U("file", file), LF_U("offset", offset),
              LF_U("blob", blob_id));
    return ERR_CORRUPT;
}

/* Whole reads; the end of the file where bytes must be is damage. */
static err read_whole(struct ext_file *f, int fd, void *p, size_t n, uint64_t off, uint64_t blob_id)
{
    for (char *to = p; n > 0;) {
        ssize_t got = rt_pread(fd, to, n, off);
        if (got == -EINTR) continue;
        if (got < 0) return ext_io_error(f->x, (int)got, "read", f->number, off);
        if (got == 0) return corrupt(f->x, f->number, off, blob_id, "end of file");
        to += got;
        n -= (size_t)got;
        off += (uint64_t)got;
    }
    return ERR_OK;
}

/* The header at p's place, if it is the one that p and blob_id expect. */
static err check_head(struct ext_file *f, const struct extent_place *p, uint64_t blob_id,
                      const unsigned char *head, struct ext_head *h)
{
    err e = ext_head_decode(head, f->number, f->seed, p->offset, h);
    if (e == ERR_UNSUPPORTED_FORMAT) return e;
    if (e) return corrupt(f->x, f->number, p->offset, blob_id, "header");
    if (!(h->flags & EXT_F_SEALED) || h->blob_id != blob_id || h->data_len != p->data_len ||
        h->disk_len != p->disk_len)
        return corrupt(f->x, f->number, p->offset, blob_id, "another extent's header");
    return ERR_OK;
}

static err load_table(struct ext_file *f, int fd, const struct extent_place *p, uint64_t blob_id,
                      struct extent_table **out)
{
    unsigned char *head = malloc(EXT_HEAD), *meta = NULL;
    struct extent_table *t = NULL;
    struct ext_head h;
    err e = head ? read_whole(f, fd, head, EXT_HEAD, p->offset, blob_id) : ERR_NO_MEMORY;
    if (!e) e = check_head(f, p, blob_id, head, &h);
    if (e) goto out;
    size_t n = ext_meta_len(h.data_len, h.owner_len), sums = ext_sums(h.data_len) * 8;
    bool inside = ext_meta_in_head(h.data_len, h.owner_len);
    meta = inside ? head + EXT_HEADER : malloc(n);
    t = malloc(sizeof *t + sums);
    if (!meta || !t) e = ERR_NO_MEMORY;
    if (!e && !inside)
        e = read_whole(f, fd, meta, n, p->offset + ext_meta_off(h.data_len, h.owner_len), blob_id);
    if (!e && ext_meta_hash(&h, f->seed, meta, n) != h.meta_hash)
        e = corrupt(f->x, f->number, p->offset, blob_id, "table");
    if (!e) {
        *t = (struct extent_table){p->file, p->offset, blob_id, h.part, h.data_len};
        if (sums) memcpy(t->sums, meta, sums);
        *out = t;
    }
    if (!inside) free(meta);
out:
    free(head);
    if (e) free(t);
    return e;
}

static err read_blocks(struct ext_file *f, int fd, const struct extent_table *t, uint64_t off, size_t n,
                       char *buf, size_t cap, struct str *view)
{
    uint64_t first = off / EXT_BLOCK, from = first * EXT_BLOCK,
             end = (off + n + EXT_BLOCK - 1) / EXT_BLOCK * EXT_BLOCK;
    if (end > t->data_len) end = t->data_len;
    size_t len = (size_t)(end - from);
    ASSERT(len <= cap);
    err e = read_whole(f, fd, buf, len, t->offset + EXT_HEAD + from, t->blob_id);
    if (e) return e;
    for (size_t at = 0; at < len; at += EXT_BLOCK) {
        uint64_t block = first + at / EXT_BLOCK;
        size_t k = len - at < EXT_BLOCK ? len - at : EXT_BLOCK;
        if (ext_block_hash(t->blob_id, t->part, block, buf + at, k) != t->sums[block])
            return corrupt(f->x, f->number, t->offset + EXT_HEAD + from + at, t->blob_id, "block");
    }
    *view = str_of(buf + (off - from), n);
    return ERR_OK;
}

err extent_read(struct extents *x, const struct extent_place *p, uint64_t blob_id,
                struct extent_table **table, uint64_t off, size_t n, void *buf, size_t cap, struct str *view)
{
    CHECK_MAGIC(x, EXTENTS_MAGIC);
    ASSERT(off <= p->data_len && n <= p->data_len - off && cap >= n + 2 * EXT_BLOCK);
    struct ext_file *f = ext_file_get(x, p->file);
    if (!f) return corrupt(x, p->file, p->offset, blob_id, "no such file");
    int fd;
    *view = STR_NONE;
    err e = ext_fd_get(f, &fd);
    if (e == ERR_CORRUPT) corrupt(x, p->file, p->offset, blob_id, "file header");
    if (!e) {
        if (!*table) e = load_table(f, fd, p, blob_id, table);
        if (!e) {
            const struct extent_table *t = *table;
            ASSERT(t->file == p->file && t->offset == p->offset && t->blob_id == blob_id);
            if (n) e = read_blocks(f, fd, t, off, n, buf, cap, view);
        }
        ext_fd_put(f);
    }
    ext_file_put(f);
    return e;
}
