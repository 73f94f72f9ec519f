/* Reading the archive back, for recovery. */
#include "store/archive_int.h"
#include "base/array.h"
#include "base/assert.h"
#include "sys/sys.h"

#include <errno.h>

#define NAMES_MAX 65536u
#define PATH_SIZE 4200

struct names {
    const char *suffix;
    uint64_t *v;
    size_t n;
};

static bool see(void *arg, const char *name)
{
    struct names *s = arg;
    char *end;
    unsigned long long number = strtoull(name, &end, 16);
    if (end == name + 16 && strcmp(end, s->suffix) == 0 && s->n < NAMES_MAX) s->v[s->n++] = number;
    return true;
}

static err list_names(const char *dir, const char *suffix, struct names *out)
{
    *out = (struct names){.suffix = suffix, .v = calloc(NAMES_MAX, sizeof *out->v)};
    if (!out->v) return ERR_NO_MEMORY;
    int rc = sys->list(dir, see, out);
    if (rc < 0 && rc != -ENOENT) return err_of_errno(-rc); /* no such folder: nothing was ever collected */
    if (out->n) qsort(out->v, out->n, sizeof *out->v, array_by_u64);
    return ERR_OK;
}

/* A file read frame by frame through one growing window. */
struct reader {
    int fd;
    uint64_t at, size;
    char *buf;
    size_t n, used, cap;
};

static err reader_open(struct reader *r, const char *path)
{
    *r = (struct reader){.fd = sys->open(path, 0, 0)};
    struct stat st;
    if (r->fd < 0) return err_of_errno(-r->fd);
    int rc = sys->fstat(r->fd, &st);
    if (rc < 0) return err_of_errno(-rc);
    r->size = (uint64_t)st.st_size;
    return ERR_OK;
}

static void reader_close(struct reader *r)
{
    if (r->fd >= 0) sys->close(r->fd);
    free(r->buf);
}

/* At least want bytes in the window, if the file has them. */
static err reader_fill(struct reader *r, size_t want)
{
    if (r->n - r->used >= want) return ERR_OK;
    if (r->buf && r->used > 0) memmove(r->buf, r->buf + r->used, r->n - r->used);
    r->n -= r->used;
    r->used = 0;
    size_t goal = want > ((size_t)1 << 20) ? want : (size_t)1 << 20;
    if (goal > r->cap) {
        char *grown = realloc(r->buf, goal);
        if (!grown) return ERR_NO_MEMORY;
        r->buf = grown;
        r->cap = goal;
    }
    size_t more = r->size - r->at < r->cap - r->n ? (size_t)(r->size - r->at) : r->cap - r->n;
    err e = sys_read_full(r->fd, r->buf + r->n, more, r->at);
    if (e) return e;
    r->n += more;
    r->at += more;
    return ERR_OK;
}

static err reader_next(struct reader *r, struct archive_frame *f)
{
    err e = r->buf || r->size == 0 ? ERR_OK : reader_fill(r, ARCHIVE_HEADER);
    if (!e) e = reader_fill(r, ARCHIVE_HEADER);
    if (e) return e;
    ASSERT(r->buf != NULL);
    size_t have = r->n - r->used;
    if (have == 0) return ERR_NOT_FOUND;
    if (have < ARCHIVE_HEADER) return ERR_CORRUPT;
    uint32_t len = get_le32(r->buf + r->used + 20);
    if (len > ARCHIVE_FRAME_MAX) return ERR_CORRUPT;
    e = reader_fill(r, ARCHIVE_HEADER + (size_t)len);
    if (!e) e = archive_frame_decode(str_of(r->buf + r->used, r->n - r->used), f);
    if (!e) r->used += ARCHIVE_HEADER + (size_t)len;
    return e;
}

/* The first frame says whose file it is. */
static err reader_begin(struct reader *r, const char *path, const uint8_t store_id[16])
{
    struct archive_frame f;
    err e = reader_open(r, path);
    if (!e) e = reader_next(r, &f);
    if (!e && (f.kind != ARCHIVE_BEGIN || f.payload.n != 16 || memcmp(f.payload.p, store_id, 16) != 0))
        e = ERR_CORRUPT;
    return e;
}

/* A snapshot is used only if it is whole: read once to know, once more to use it. */
static err read_snapshot(const char *path, const uint8_t store_id[16], uint64_t seq,
                         const struct archive_reader *r)
{
    struct reader rd;
    struct archive_frame f = {0};
    uint64_t entries = 0;
    err e = reader_begin(&rd, path, store_id);
    while (!e && f.kind != ARCHIVE_END) {
        e = reader_next(&rd, &f);
        if (e || f.kind != ARCHIVE_ENTRIES) continue;
        entries += f.count;
        struct rd p = rd_of(f.payload);
        for (uint32_t i = 0; r && i < f.count && !e; i++) {
            struct str key = rd_lenstr(&p);
            uint64_t s = rd_varint(&p);
            struct str value = rd_lenstr(&p);
            e = p.bad ? ERR_CORRUPT : r->entry(r->arg, seq, key, s, value);
        }
    }
    if (!e && (f.seq != seq || f.payload.n != 8 || get_le64(f.payload.p) != entries)) e = ERR_CORRUPT;
    reader_close(&rd);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static err read_newest_snapshot(const char *dir, const uint8_t store_id[16], const struct archive_reader *r,
                                uint64_t *last)
{
    struct names snaps;
    char path[PATH_SIZE], line[256];
    err e = list_names(dir, ".snap", &snaps);
    while (!e && snaps.n > 0) {
        uint64_t seq = snaps.v[--snaps.n];
        snprintf(path, sizeof path, "%s/%016llx.snap", dir, (unsigned long long)seq);
        e = read_snapshot(path, store_id, seq, NULL);
        if (!e) {
            r->snapshot(r->arg, seq);
            e = read_snapshot(path, store_id, seq, r);
            *last = seq;
            break;
        }
        if (e != ERR_CORRUPT) break; /* one that cannot be read now may be whole */
        snprintf(line, sizeof line, "archive: the snapshot of commit %llu is damaged and was not used",
                 (unsigned long long)seq);
        r->damage(r->arg, line);
        e = ERR_OK;
    }
    free(snaps.v);
    return e;
}

static err read_records(const char *path, const uint8_t store_id[16], const struct archive_reader *r,
                        uint64_t *last)
{
    struct reader rd;
    struct archive_frame f;
    char line[256];
    err e = reader_begin(&rd, path, store_id);
    while (!e) {
        e = reader_next(&rd, &f);
        if (e || f.kind != ARCHIVE_RECORD || f.seq + f.count - 1 <= *last) continue;
        if (f.seq > *last + 1) {
            snprintf(line, sizeof line, "archive: commits %llu to %llu are missing",
                     (unsigned long long)*last + 1, (unsigned long long)f.seq - 1);
            r->damage(r->arg, line);
        }
        e = r->record(r->arg, f.seq, f.count, f.payload);
        *last = f.seq + f.count - 1;
    }
    reader_close(&rd);
    /* A crash may have cut the file short: then the next one or the log has what follows; if not, the gap is
     * said. */
    return e == ERR_NOT_FOUND || e == ERR_CORRUPT ? ERR_OK : e;
}

err archive_read(const char *data_dir, const uint8_t store_id[16], const struct archive_reader *r,
                 uint64_t *last)
{
    char dir[4096], path[PATH_SIZE];
    int n = snprintf(dir, sizeof dir, "%s/archive", data_dir);
    ASSERT(n > 0 && (size_t)n < sizeof dir);
    *last = 0;
    struct names arcs;
    err e = read_newest_snapshot(dir, store_id, r, last);
    if (e) return e;
    e = list_names(dir, ".arc", &arcs);
    for (size_t i = 0; i < arcs.n && !e; i++) {
        snprintf(path, sizeof path, "%s/%016llx.arc", dir, (unsigned long long)arcs.v[i]);
        e = read_records(path, store_id, r, last);
    }
    free(arcs.v);
    return e;
}
