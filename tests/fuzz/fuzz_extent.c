/* Any bytes as an extent file: a scan ends, visits only what lies within the file, and what it visits reads
 * as an error or as bytes. Input: runs of (length byte, that many bytes), each the beginning of a page of 4
 * KiB; a length of 255 leaves a hole of 16 pages. Header checksums are put right, so that the lengths behind
 * them are reached. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "store/extents.h"
#include "store/extents_format.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define SEED  77
#define IMAGE ((size_t)1 << 20)

static unsigned char image[IMAGE];
static size_t image_len;

/* ---- a disk with one file ---- */

static int m_open(const char *path, int flags, unsigned mode)
{
    (void)path, (void)mode;
    return flags & O_DIRECT ? -EINVAL : 3;
}

static int m_close(int fd)
{
    (void)fd;
    return 0;
}

static ssize_t m_pread(int fd, void *p, size_t n, uint64_t off)
{
    (void)fd;
    if (off >= image_len) return 0;
    if (n > image_len - off) n = image_len - (size_t)off;
    memcpy(p, image + off, n);
    return (ssize_t)n;
}

static int64_t m_seek_data(int fd, uint64_t off)
{
    (void)fd;
    static const unsigned char zeros[EXT_ALIGN];
    for (off &= ~(uint64_t)(EXT_ALIGN - 1); off < image_len; off += EXT_ALIGN)
        if (memcmp(image + off, zeros, EXT_ALIGN) != 0) return (int64_t)off;
    return -ENXIO;
}

static int m_fstat(int fd, struct stat *st)
{
    (void)fd;
    *st = (struct stat){.st_size = (off_t)image_len};
    return 0;
}

static int m_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg)
{
    (void)dir;
    fn(arg, "00000001.ext");
    return 0;
}

/* ---- the image ---- */

static void repair(unsigned char *p, uint64_t offset)
{
    struct ext_head h = {
        .flags = get_le32(p + 12) & (EXT_F_SEALED | EXT_F_LAST | EXT_F_INSIDE),
        .file = 1,
        .part = get_le32(p + 20),
        .offset = offset,
        .blob_id = get_le64(p + 32),
        .blob_off = get_le64(p + 40),
        .blob_size = get_le64(p + 48),
        .data_len = get_le64(p + 56),
        .disk_len = get_le64(p + 64),
        .owner_len = get_le32(p + 72),
        .meta_hash = get_le64(p + 80),
    };
    if (p[78] & 1) { /* the lengths agree: what a healthy writer makes */
        h.data_len %= 100000;
        h.owner_len %= 5000;
        if (!ext_fits_head(h.data_len, h.owner_len)) h.flags &= ~(uint32_t)EXT_F_INSIDE;
        h.disk_len = h.flags & EXT_F_INSIDE ? EXT_HEAD : ext_disk_len(h.data_len, h.owner_len);
        h.blob_size = h.blob_off + h.data_len;
        uint64_t at = offset + ext_meta_off(h.data_len, h.owner_len),
                 n = ext_meta_len(h.data_len, h.owner_len);
        if (at + n <= IMAGE) h.meta_hash = ext_meta_hash(&h, SEED, image + at, n);
    }
    ext_head_encode(&h, SEED, p);
}

static void build(const uint8_t *data, size_t size)
{
    memset(image, 0, image_len);
    struct ext_file_head fh = {.number = 1, .seed = SEED};
    ext_file_head_encode(&fh, image);
    ext_file_head_encode(&fh, image + EXT_ALIGN);
    size_t at = EXT_START;
    for (size_t i = 0; i < size && at + 16 * EXT_ALIGN < IMAGE;) {
        size_t n = data[i++];
        if (n == 255) {
            at += 16 * EXT_ALIGN;
            continue;
        }
        if (n > size - i) n = size - i;
        memcpy(image + at, data + i, n);
        i += n;
        at += EXT_ALIGN;
    }
    image_len = at;
    for (size_t p = at; p > EXT_START;
         p -= EXT_ALIGN) /* from the end: what a meta hash covers is settled first */
        if (memcmp(image + p - EXT_ALIGN, "INGOTEXT", 8) == 0) repair(image + p - EXT_ALIGN, p - EXT_ALIGN);
}

/* ---- what must hold ---- */

struct visits {
    struct extents *x;
    uint64_t end; /* of the last one */
};

static bool on_visit(void *arg, const struct extent_visit *v)
{
    struct visits *s = arg;
    ASSERT(v->file == 1 && v->place.offset >= s->end && v->place.offset % EXT_ALIGN == 0);
    s->end = v->place.offset + v->place.disk_len;
    ASSERT(s->end <= ext_align(image_len) && v->place.data_len < v->place.disk_len);
    if (v->open) return true;
    unsigned sum = 0;
    for (size_t i = 0; i < v->owner.n; i++) sum += (unsigned char)v->owner.p[i];
    ASSERT(sum <= 255 * v->owner.n);
    struct extent_table *t = NULL;
    struct str view;
    char *buf = malloc(v->place.data_len + 2 * EXTENT_BLOCK_MAX);
    ASSERT(buf);
    for (int again = 0; again < 2; again++) {
        err e = extent_read(s->x, &v->place, v->blob_id, &t, 0, v->place.data_len, buf,
                            v->place.data_len + 2 * EXTENT_BLOCK_MAX, &view);
        ASSERT(e == ERR_OK ? view.n == v->place.data_len : e == ERR_CORRUPT);
    }
    extent_table_free(t);
    free(buf);
    return true;
}

static void on_bad(void *arg, uint32_t file, uint64_t offset)
{
    (void)arg;
    ASSERT(file == 1 && offset >= EXT_START && offset < image_len);
}

static void decode(const uint8_t *data, size_t size)
{
    unsigned char page[EXT_ALIGN] = {0};
    struct ext_file_head fh;
    struct ext_head h;
    memcpy(page, data, size < sizeof page ? size : sizeof page);
    if (ext_file_head_decode(page, 1, &fh) == ERR_OK) ASSERT(fh.number == 1 && fh.cls < EXT_CLASSES);
    if (ext_head_decode(page, 1, SEED, EXT_START, &h) == ERR_OK)
        ASSERT(h.data_len <= EXT_DATA_MAX && h.owner_len <= EXT_OWNER_MAX && h.disk_len <= EXT_OPEN_MAX);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    static struct sys_ops memory;
    memory = sys_real;
    memory.open = m_open;
    memory.close = m_close;
    memory.pread = m_pread;
    memory.pread_nowait = m_pread;
    memory.seek_data = m_seek_data;
    memory.fstat = m_fstat;
    memory.list = m_list;
    sys = &memory;
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY | O_CLOEXEC));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(data, size);
    build(data, size);
    char why[512];
    struct visits s = {.end = EXT_START};
    struct extents_options o = {.dir = "/fuzz", .read_only = true};
    ASSERT(extents_open(&o, &s.x, why) == ERR_OK);
    ASSERT(extents_scan(s.x, false, on_visit, on_bad, &s) == ERR_OK);
    extents_close(s.x);
    return 0;
}
