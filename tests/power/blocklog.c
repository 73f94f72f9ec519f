#include "power/blocklog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct block_writer {
    int fd;
    _Atomic uint64_t *position;
};

struct block_writer *block_writer_open(const char *log, const char *position)
{
    struct block_writer *w = calloc(1, sizeof *w);
    int fd = open(position, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w) w->fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!w || fd < 0 || w->fd < 0 || ftruncate(fd, 8) < 0) {
        perror("the block log cannot be made");
        return NULL;
    }
    void *p = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) {
        perror("the position cannot be mapped");
        return NULL;
    }
    w->position = p;
    return w;
}

int block_append(struct block_writer *w, const struct block_entry *e, const void *data)
{
    struct block_entry head = *e;
    struct iovec v[2] = {{&head, sizeof head},
                         {(void *)(uintptr_t)data, e->kind == BLOCK_WRITE ? e->len : 0}};
    ssize_t want = (ssize_t)(v[0].iov_len + v[1].iov_len), n = writev(w->fd, v, 2);
    if (n != want) return n < 0 ? -errno : -ENOSPC;
    ++*w->position;
    return 0;
}

static const unsigned char *map_file(const char *path, size_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *p = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        *size = (size_t)st.st_size;
        p = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0) close(fd);
    return p == MAP_FAILED ? NULL : p;
}

int block_log_load(const char *path, struct block_log *out)
{
    size_t size = 0, cap = 0;
    const unsigned char *p = map_file(path, &size), *end = p + size;
    if (!p) {
        fprintf(stderr, "the block log %s cannot be read\n", path);
        return -1;
    }
    *out = (struct block_log){0};
    while ((size_t)(end - p) >= sizeof(struct block_entry)) {
        if (out->n == cap) {
            cap = cap ? 2 * cap : 4096;
            out->v = realloc(out->v, cap * sizeof *out->v);
            out->data = realloc(out->data, cap * sizeof *out->data);
            if (!out->v || !out->data) abort();
        }
        struct block_entry *e = &out->v[out->n];
        *e = *(const struct block_entry *)(const void *)p;
        p += sizeof *e;
        size_t bytes = e->kind == BLOCK_WRITE ? e->len : 0;
        if (bytes > (size_t)(end - p) || bytes % 512 != 0) break;
        out->data[out->n++] = p;
        p += bytes;
    }
    if (p == end) return 0;
    fprintf(stderr, "the block log %s ends within an entry\n", path);
    return -1;
}
