#define FUSE_USE_VERSION 31
#include "power/disk.h"

#include <errno.h>
#include <fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_IO (1u << 20)

struct disk {
    uint64_t bytes;
    struct block_writer *log;
    unsigned char *base, *over, *changed; /* changed: a bit per sector of `over` that holds */
};

static void *shared(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static size_t map_bytes(const struct disk *d)
{
    return (d->bytes / DISK_SECTOR + 7) / 8;
}

struct disk *disk_new(uint64_t bytes, struct block_writer *log)
{
    struct disk *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->bytes = bytes;
    d->log = log;
    d->base = shared(bytes);
    d->over = shared(bytes);
    d->changed = shared(map_bytes(d));
    return d->base && d->over && d->changed ? d : NULL;
}

/* ---- states ---- */

void disk_forget(struct disk *d)
{
    memset(d->changed, 0, map_bytes(d));
}

static int is_changed(const struct disk *d, uint64_t sector)
{
    return d->changed[sector / 8] >> (sector % 8) & 1;
}

/* data NULL: zeros. */
static void put_sector(struct disk *d, uint64_t sector, const unsigned char *data)
{
    unsigned char *to = d->over + sector * DISK_SECTOR;
    if (data)
        memcpy(to, data, DISK_SECTOR);
    else
        memset(to, 0, DISK_SECTOR);
    d->changed[sector / 8] |= (unsigned char)(1u << (sector % 8));
}

void disk_base_apply(struct disk *d, const struct block_entry *e, const void *data)
{
    if (e->kind == BLOCK_FLUSH || e->off + e->len > d->bytes) return;
    if (e->kind == BLOCK_WRITE)
        memcpy(d->base + e->off, data, e->len);
    else
        memset(d->base + e->off, 0, e->len);
}

void disk_overlay_apply(struct disk *d, const struct block_entry *e, const void *data,
                        int (*keep)(void *arg, uint32_t sector), void *arg)
{
    if (e->kind == BLOCK_FLUSH || e->off + e->len > d->bytes) return;
    for (uint32_t i = 0; i < e->len / DISK_SECTOR; i++) {
        const unsigned char *p = (const unsigned char *)data + (size_t)i * DISK_SECTOR;
        if (keep(arg, i)) put_sector(d, e->off / DISK_SECTOR + i, e->kind == BLOCK_WRITE ? p : NULL);
    }
}

/* ---- the file system: one file ---- */

static struct disk *self(void)
{
    return fuse_get_context()->private_data;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    (void)fi;
    memset(st, 0, sizeof *st);
    if (strcmp(path, "/") == 0) {
        st->st_mode = S_IFDIR | 0700;
        st->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, "/disk") != 0) return -ENOENT;
    st->st_mode = S_IFREG | 0600;
    st->st_nlink = 1;
    st->st_size = (off_t)self()->bytes;
    st->st_blocks = st->st_size / 512;
    return 0;
}

static int on_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi,
                      enum fuse_readdir_flags flags)
{
    (void)path, (void)off, (void)fi, (void)flags;
    fill(buf, "disk", NULL, 0, 0);
    return 0;
}

static int on_open(const char *path, struct fuse_file_info *fi)
{
    if (strcmp(path, "/disk") != 0) return -ENOENT;
    fi->direct_io = 1; /* every read and write comes here, in the order in which the loop device makes them */
    return 0;
}

static int on_read(const char *path, char *buf, size_t n, off_t off, struct fuse_file_info *fi)
{
    (void)path, (void)fi;
    struct disk *d = self();
    if ((uint64_t)off >= d->bytes) return 0;
    if (n > d->bytes - (uint64_t)off) n = d->bytes - (uint64_t)off;
    memcpy(buf, d->base + off, n);
    for (uint64_t at = (uint64_t)off, end = at + n; !d->log && at < end;) {
        uint64_t next = (at / DISK_SECTOR + 1) * DISK_SECTOR, stop = next < end ? next : end;
        if (is_changed(d, at / DISK_SECTOR)) memcpy(buf + (at - (uint64_t)off), d->over + at, stop - at);
        at = stop;
    }
    return (int)n;
}

/* A whole number of sectors: what a block device writes, and what mkfs does. */
static int told(struct disk *d, uint32_t kind, uint64_t off, uint64_t n, const unsigned char *data)
{
    if (off % DISK_SECTOR || n % DISK_SECTOR || off + n > d->bytes || n > UINT32_MAX) return -EINVAL;
    struct block_entry e = {.off = off, .len = (uint32_t)n, .kind = kind};
    if (d->log) {
        int rc = block_append(d->log, &e, data);
        if (rc == 0) disk_base_apply(d, &e, data);
        return rc;
    }
    for (uint64_t i = 0; i < n / DISK_SECTOR; i++)
        put_sector(d, off / DISK_SECTOR + i, data ? data + i * DISK_SECTOR : NULL);
    return 0;
}

static int on_write(const char *path, const char *buf, size_t n, off_t off, struct fuse_file_info *fi)
{
    (void)path, (void)fi;
    int rc = told(self(), BLOCK_WRITE, (uint64_t)off, n, (const unsigned char *)buf);
    return rc < 0 ? rc : (int)n;
}

static int on_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
    (void)path, (void)data_only, (void)fi;
    struct block_entry e = {.kind = BLOCK_FLUSH};
    return self()->log ? block_append(self()->log, &e, NULL) : 0;
}

static int on_fallocate(const char *path, int mode, off_t off, off_t n, struct fuse_file_info *fi)
{
    (void)path, (void)fi;
    return mode == 0 ? 0 : told(self(), BLOCK_ZERO, (uint64_t)off, (uint64_t)n, NULL);
}

static void *on_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
    conn->max_write = MAX_IO;
    conn->max_readahead = MAX_IO;
    cfg->direct_io = 1;
    cfg->nullpath_ok = 0;
    return self();
}

static const struct fuse_operations operations = {
    .init = on_init,
    .getattr = on_getattr,
    .readdir = on_readdir,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
    .fallocate = on_fallocate,
};

int disk_serve(struct disk *d, const char *dir)
{
    char *argv[] = {(char[]){"power"}, (char[]){"-s"}, (char[]){"-f"}, strdup(dir), NULL};
    return fuse_main(4, argv, &operations, d);
}
