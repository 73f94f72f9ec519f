/* Blobs of the store in memory. */
#include "store/memory.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"

#include <xxhash.h>

#define WRITER_MAGIC 0x6d626c77u
#define VIEW_MAX     (256u << 10)
#define ROOM_MAX     ((int64_t)256 << 20)

struct memory_writer {
    struct blob_writer w;
    unsigned magic;
    struct memory_store *m;
    int64_t hint;
    char *data;
    size_t cap;
    struct memory_blob *blob; /* once sealed */
};

struct memory_reader {
    struct blob_reader r;
    struct memory_blob *blob;
    struct memory_store *m;
};

static struct memory_store *store_of(struct blobs *b)
{
    return CONTAINER(b, struct memory_store, blobs);
}

bool memory_fits(const struct memory_store *m, uint64_t need)
{
    return m->capacity == 0 || (m->used <= m->capacity && need <= m->capacity - m->used);
}

static uint64_t block_sum(uint64_t id, uint64_t block, const char *p, size_t n)
{
    return XXH3_64bits_withSeed(p, n, id * 0x9e3779b97f4a7c15u + block);
}

static size_t block_len(uint64_t size, uint64_t block)
{
    uint64_t left = size - block * MEMORY_BLOB_BLOCK;
    return left < MEMORY_BLOB_BLOCK ? (size_t)left : MEMORY_BLOB_BLOCK;
}

struct memory_blob *memory_blob_find(const struct memory_store *m, uint64_t id)
{
    char key[8];
    put_be64(key, id);
    struct memory_node *n = memory_map_find(m->blob_map, str_of(key, 8));
    return n ? n->value : NULL;
}

void memory_blob_free(void *p)
{
    struct memory_blob *b = p;
    free(b->data);
    free(b->sums);
    free(b);
}

void memory_blob_settle(struct memory_store *m, struct memory_blob *b)
{
    if (b->refs > 0) return;
    char key[8];
    put_be64(key, b->id);
    memory_map_remove(m->blob_map, str_of(key, 8));
    if (b->pins > 0) return;
    m->used -= b->size;
    memory_blob_free(b);
}

err memory_blob_reserve(struct memory_store *m, const struct blob_writer *w)
{
    char key[8];
    put_be64(key, w->id);
    return memory_map_make(m->blob_map, str_of(key, 8)) ? ERR_OK : ERR_NO_MEMORY;
}

void memory_blob_publish(struct memory_store *m, struct blob_writer *bw)
{
    struct memory_writer *w = (struct memory_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(w->blob && w->m == m);
    char key[8];
    put_be64(key, bw->id);
    struct memory_node *n = memory_map_find(m->blob_map, str_of(key, 8));
    ASSERT(n && !n->value);
    n->value = w->blob;
    w->magic = 0;
    free(w);
}

static err create(struct blobs *b, int64_t size_hint, struct blob_writer **out)
{
    struct memory_store *m = store_of(b);
    struct memory_writer *w = calloc(1, sizeof *w);
    if (!w) return ERR_NO_MEMORY;
    w->magic = WRITER_MAGIC;
    w->m = m;
    w->hint = size_hint;
    pthread_mutex_lock(&m->lock);
    bool fits = memory_fits(m, size_hint > 0 ? (uint64_t)size_hint : 0);
    if (fits) w->w.id = ++m->next_blob;
    pthread_mutex_unlock(&m->lock);
    if (!fits) {
        free(w);
        return ERR_NO_SPACE;
    }
    *out = &w->w;
    return ERR_OK;
}

static bool grow(struct memory_writer *w, size_t cap)
{
    if (cap <= w->cap) return true;
    char *grown = realloc(w->data, cap);
    if (!grown) return false;
    w->data = grown;
    w->cap = cap;
    return true;
}

static err filled(struct blob_writer *bw, size_t n)
{
    struct memory_writer *w = (struct memory_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(!w->blob && bw->size + n <= w->cap);
    struct memory_store *m = w->m;
    pthread_mutex_lock(&m->lock);
    bool fits = memory_fits(m, n);
    if (fits) m->used += n;
    pthread_mutex_unlock(&m->lock);
    return fits ? ERR_OK : ERR_NO_SPACE;
}

static err write_bytes(struct blob_writer *bw, const void *p, size_t n)
{
    struct memory_writer *w = (struct memory_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    size_t cap = w->cap ? w->cap : 4096;
    while (cap < bw->size + n) cap *= 2;
    if (!grow(w, cap)) return ERR_NO_MEMORY;
    memcpy(w->data + bw->size, p, n);
    return filled(bw, n);
}

/* Only where the bytes need not move later: all of a body of known size at once. */
static err room(struct blob_writer *bw, char **p, size_t *n)
{
    struct memory_writer *w = (struct memory_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    if (w->hint <= 0 || w->hint > ROOM_MAX || bw->size >= (uint64_t)w->hint) return ERR_OK;
    if (!grow(w, (size_t)w->hint)) return ERR_NO_MEMORY;
    *p = w->data + bw->size;
    *n = (size_t)w->hint - bw->size;
    return ERR_OK;
}

static err seal(struct blob_writer *bw, struct str owner)
{
    struct memory_writer *w = (struct memory_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    ASSERT(!w->blob);
    (void)owner; /* bytes that cannot outlive the process need not say whose they are */
    uint64_t blocks = (bw->size + MEMORY_BLOB_BLOCK - 1) / MEMORY_BLOB_BLOCK;
    uint64_t *sums = calloc(blocks + 1, sizeof *sums);
    w->blob = sums ? calloc(1, sizeof *w->blob) : NULL;
    if (!w->blob) {
        free(sums);
        return ERR_NO_MEMORY;
    }
    for (uint64_t i = 0; i < blocks; i++)
        sums[i] = block_sum(bw->id, i, w->data + i * MEMORY_BLOB_BLOCK, block_len(bw->size, i));
    *w->blob = (struct memory_blob){.id = bw->id, .size = bw->size, .data = w->data, .sums = sums, .refs = 1};
    return ERR_OK;
}

static void abandon(struct blob_writer *bw)
{
    struct memory_writer *w = (struct memory_writer *)bw;
    CHECK_MAGIC(w, WRITER_MAGIC);
    pthread_mutex_lock(&w->m->lock);
    w->m->used -= bw->size;
    pthread_mutex_unlock(&w->m->lock);
    w->magic = 0;
    if (w->blob)
        memory_blob_free(w->blob);
    else
        free(w->data);
    free(w);
}

static err open_reader(struct blobs *bs, uint64_t id, struct blob_reader **out)
{
    struct memory_store *m = store_of(bs);
    struct memory_reader *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    pthread_mutex_lock(&m->lock);
    struct memory_blob *b = memory_blob_find(m, id);
    if (b) b->pins++;
    pthread_mutex_unlock(&m->lock);
    if (!b) {
        free(r);
        return ERR_NOT_FOUND;
    }
    *r = (struct memory_reader){.r = {.blobs = bs, .id = id, .size = b->size}, .blob = b, .m = m};
    *out = &r->r;
    return ERR_OK;
}

static err view(struct blob_reader *br, uint64_t off, size_t n, struct str *out)
{
    struct memory_reader *r = (struct memory_reader *)br;
    const struct memory_blob *b = r->blob;
    if (n > VIEW_MAX) n = VIEW_MAX;
    for (uint64_t i = off / MEMORY_BLOB_BLOCK; i * MEMORY_BLOB_BLOCK < off + n; i++) {
        const char *p = b->data + i * MEMORY_BLOB_BLOCK;
        if (block_sum(b->id, i, p, block_len(b->size, i)) != b->sums[i]) return ERR_CORRUPT;
    }
    *out = str_of(b->data + off, n);
    return ERR_OK;
}

static void close_reader(struct blob_reader *br)
{
    struct memory_reader *r = (struct memory_reader *)br;
    struct memory_store *m = r->m;
    pthread_mutex_lock(&m->lock);
    ASSERT(r->blob->pins > 0);
    if (--r->blob->pins == 0) memory_blob_settle(m, r->blob);
    pthread_mutex_unlock(&m->lock);
    free(r);
}

void memory_blob_corrupt(struct store *s, uint64_t id, uint64_t off)
{
    struct memory_store *m = store_of(s->blobs);
    pthread_mutex_lock(&m->lock);
    struct memory_blob *b = memory_blob_find(m, id);
    ASSERT(b && off < b->size);
    b->data[off] ^= 1;
    pthread_mutex_unlock(&m->lock);
}

const struct blob_ops memory_blob_ops = {create,  write_bytes, room, filled,      seal,
                                         abandon, open_reader, view, close_reader};
