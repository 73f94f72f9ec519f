#include "store/archive_int.h"
#include "base/assert.h"
#include "base/log.h"
#include "rt/rt.h"
#include "store/txn.h"
#include "sys/sys.h"

#include <stdatomic.h>

#include <fcntl.h>
#include <xxhash.h>

#define PATH_SIZE  4200
#define FILE_BYTES ((uint64_t)64 << 20) /* then the next one begins */
#define PENDING    ((size_t)1 << 20)
#define ENTRIES    ((size_t)256 << 10) /* a frame of a snapshot */
#define PAUSE_NS   (RT_MS)             /* after each such frame: requests keep the disk and a core */

struct archive {
    char dir[4096]; /* DIR/archive */
    uint8_t store_id[16];
    uint64_t bytes;
    int fd; /* -1: the next append begins a file */
    uint64_t size, last_seq;
    struct buf pending;
    _Atomic bool hurry;
};

/* Frame: 0 magic, 4 kind, 8 sequence, 16 count, 20 payload length, 24 XXH3-64 of what is before and the
 * payload. */
#define SUM_AT 24u

static uint64_t frame_sum(const char *head, struct str payload)
{
    return XXH3_64bits_withSeed(payload.p, payload.n, XXH3_64bits(head, SUM_AT));
}

void archive_frame_encode(struct buf *out, const struct archive_frame *f)
{
    char head[ARCHIVE_HEADER];
    put_le32(head, ARCHIVE_MAGIC);
    put_le32(head + 4, f->kind);
    put_le64(head + 8, f->seq);
    put_le32(head + 16, f->count);
    put_le32(head + 20, (uint32_t)f->payload.n);
    put_le64(head + SUM_AT, frame_sum(head, f->payload));
    buf_add(out, head, sizeof head);
    buf_str(out, f->payload);
}

err archive_frame_decode(struct str s, struct archive_frame *f)
{
    if (s.n == 0) return ERR_NOT_FOUND;
    if (s.n < ARCHIVE_HEADER || get_le32(s.p) != ARCHIVE_MAGIC) return ERR_CORRUPT;
    uint32_t kind = get_le32(s.p + 4), len = get_le32(s.p + 20);
    if (len > s.n - ARCHIVE_HEADER) return ERR_CORRUPT;
    struct str payload = str_of(s.p + ARCHIVE_HEADER, len);
    if (get_le64(s.p + SUM_AT) != frame_sum(s.p, payload)) return ERR_CORRUPT;
    if (kind < ARCHIVE_BEGIN || kind > ARCHIVE_END) return ERR_UNSUPPORTED_FORMAT;
    *f = (struct archive_frame){(enum archive_kind)kind, get_le64(s.p + 8), get_le32(s.p + 16), len, payload};
    return ERR_OK;
}

/* ---- opening ---- */

static bool add_size(void *arg, const char *name)
{
    struct archive *a = arg;
    char path[PATH_SIZE];
    struct stat st;
    size_t n = strlen(name);
    snprintf(path, sizeof path, "%s/%s", a->dir, name);
    if (n == 20 && strcmp(name + 16, ".arc") == 0 && sys->stat(path, &st) == 0)
        a->bytes += (uint64_t)st.st_size;
    if (strcmp(name, "snap.tmp") == 0) sys->unlink(path);
    return true;
}

err archive_open(const char *dir, const uint8_t store_id[16], struct archive **out, char why[512])
{
    struct archive *a = calloc(1, sizeof *a);
    if (!a) return ERR_NO_MEMORY;
    a->fd = -1;
    memcpy(a->store_id, store_id, 16);
    buf_init(&a->pending, ARCHIVE_FRAME_MAX + PENDING);
    int n = snprintf(a->dir, sizeof a->dir, "%s/archive", dir);
    err e = n > 0 && (size_t)n < sizeof a->dir ? sys_mkdirs(a->dir, 0700) : ERR_INVALID_SETTING;
    int rc = e ? 0 : sys->list(a->dir, add_size, a);
    if (!e && rc < 0) e = err_of_errno(-rc);
    if (e) {
        snprintf(why, 512, "the folder %.400s cannot be used: %s", a->dir, err_name(e));
        archive_close(a);
        return e;
    }
    *out = a;
    return ERR_OK;
}

void archive_close(struct archive *a)
{
    if (!a) return;
    if (a->fd >= 0) sys->close(a->fd);
    buf_free(&a->pending);
    free(a);
}

void archive_hurry(struct archive *a)
{
    atomic_store(&a->hurry, true);
}

uint64_t archive_bytes(const struct archive *a)
{
    return a->bytes;
}

/* ---- appending ---- */

struct io_job {
    struct archive *a;
    const char *path;
    bool sync, close;
    err e;
};

static void begin_frame(struct archive *a, struct buf *out, uint64_t seq)
{
    archive_frame_encode(out, &(struct archive_frame){.kind = ARCHIVE_BEGIN,
                                                      .seq = seq,
                                                      .payload = str_of((char *)a->store_id, 16)});
}

static void begin_job(void *arg)
{
    struct io_job *j = arg;
    int fd = sys->open(j->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    int rc = fd < 0 ? fd : sys->fsync_dir(j->a->dir);
    if (rc < 0 && fd >= 0) sys->close(fd);
    if (rc >= 0) j->a->fd = fd;
    j->e = rc < 0 ? err_of_errno(-rc) : ERR_OK;
}

static void write_job(void *arg)
{
    struct io_job *j = arg;
    struct archive *a = j->a;
    j->e = a->pending.overflow ? ERR_NO_MEMORY : sys_write_full(a->fd, a->pending.p, a->pending.n, a->size);
    if (j->e) return;
    a->size += a->pending.n;
    a->bytes += a->pending.n;
    buf_clear(&a->pending);
    int rc = j->sync ? sys->fdatasync(a->fd) : 0;
    if (rc < 0) j->e = err_of_errno(-rc);
}

static void close_job(void *fd)
{
    sys->close(*(int *)fd);
}

/* After a failure the file is left as it is; what follows goes into a new one. */
static void abandon_file(struct archive *a)
{
    int fd = a->fd;
    a->fd = -1;
    if (fd >= 0) rt_work_long("archive-close", close_job, &fd); /* its last name may be gone */
    buf_clear(&a->pending);
}

static err flush(struct archive *a, bool sync)
{
    struct io_job j = {.a = a, .sync = sync};
    if (a->fd < 0 || (a->pending.n == 0 && !sync)) return ERR_OK;
    rt_work_long("archive-write", write_job, &j);
    if (j.e) abandon_file(a);
    return j.e;
}

err archive_append(struct archive *a, uint64_t first_seq, uint32_t commits, struct str payload)
{
    if (payload.n > ARCHIVE_FRAME_MAX) return ERR_ENTITY_TOO_LARGE;
    if (a->fd < 0) {
        char path[PATH_SIZE];
        snprintf(path, sizeof path, "%s/%016llx.arc", a->dir, (unsigned long long)first_seq);
        struct io_job j = {.a = a, .path = path};
        rt_work_long("archive-begin", begin_job, &j);
        if (j.e) return j.e;
        a->size = 0;
        begin_frame(a, &a->pending, first_seq);
    }
    archive_frame_encode(&a->pending,
                         &(struct archive_frame){ARCHIVE_RECORD, first_seq, commits, 0, payload});
    a->last_seq = first_seq + commits - 1;
    return a->pending.n >= PENDING ? flush(a, false) : ERR_OK;
}

err archive_sync(struct archive *a)
{
    err e = flush(a, true);
    if (!e && a->fd >= 0 && a->size > FILE_BYTES) abandon_file(a);
    return e;
}

/* ---- snapshots ---- */

struct snapshot {
    struct archive *a;
    int fd;
    uint64_t at, seq, entries;
    struct buf frame, out;
    uint32_t count;
    err e;
};

static void snapshot_put(struct snapshot *s, enum archive_kind kind)
{
    buf_clear(&s->out);
    struct str payload = buf_view(&s->frame);
    if (kind == ARCHIVE_BEGIN) payload = str_of((char *)s->a->store_id, 16);
    archive_frame_encode(&s->out, &(struct archive_frame){kind, s->seq, s->count, 0, payload});
    if (!s->e) s->e = s->out.overflow ? ERR_NO_MEMORY : sys_write_full(s->fd, s->out.p, s->out.n, s->at);
    s->at += s->out.n;
    s->entries += s->count;
    s->count = 0;
    buf_clear(&s->frame);
}

/* On a worker, at one snapshot of the view; the applied sequence comes among the last, in the engine's own
 * shard. */
static enum idx_step snapshot_entry(void *arg, struct str key, struct str value, uint64_t seq,
                                    struct str *seek)
{
    struct snapshot *s = arg;
    (void)seek;
    if (get_be64(key.p) == IDX_SHARD_INTERNAL && key.n > 8 && key.p[8] == 'a') {
        s->seq = seq;
        return IDX_NEXT;
    }
    buf_lenstr(&s->frame, key);
    buf_varint(&s->frame, seq);
    buf_lenstr(&s->frame, value);
    s->count++;
    if (s->frame.n >= ENTRIES) {
        snapshot_put(s, ARCHIVE_ENTRIES);
        if (!atomic_load(&s->a->hurry)) sys->sleep_ns(PAUSE_NS);
    }
    return s->e ? IDX_STOP : IDX_NEXT;
}

/* What came before the snapshot is needless. */
struct sweep {
    const struct archive *a;
    uint64_t seq;
};

static bool sweep_name(void *arg, const char *name)
{
    struct sweep *s = arg;
    char path[PATH_SIZE], *end;
    unsigned long long n = strtoull(name, &end, 16);
    if (end != name + 16) return true;
    bool old_snap = strcmp(end, ".snap") == 0 && n < s->seq;
    bool old_arc = strcmp(end, ".arc") == 0 && n <= s->seq;
    snprintf(path, sizeof path, "%s/%s", s->a->dir, name);
    if (old_snap || old_arc) sys->unlink(path);
    return true;
}

static void snapshot_open(void *arg)
{
    struct snapshot *s = arg;
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/snap.tmp", s->a->dir);
    s->fd = sys->open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (s->fd < 0) s->e = err_of_errno(-s->fd);
    if (!s->e) snapshot_put(s, ARCHIVE_BEGIN);
}

static void snapshot_close(void *arg)
{
    struct snapshot *s = arg;
    char from[PATH_SIZE], to[PATH_SIZE];
    if (s->count > 0) snapshot_put(s, ARCHIVE_ENTRIES);
    buf_le64(&s->frame, s->entries);
    snapshot_put(s, ARCHIVE_END);
    int rc = s->e ? 0 : sys->fsync(s->fd);
    sys->close(s->fd);
    snprintf(from, sizeof from, "%s/snap.tmp", s->a->dir);
    snprintf(to, sizeof to, "%s/%016llx.snap", s->a->dir, (unsigned long long)s->seq);
    if (!s->e && rc >= 0) rc = sys->rename(from, to);
    if (!s->e && rc >= 0) rc = sys->fsync_dir(s->a->dir);
    if (!s->e && rc < 0) s->e = err_of_errno(-rc);
    if (s->e) {
        sys->unlink(from);
        return;
    }
    struct sweep w = {s->a, s->seq};
    sys->list(s->a->dir, sweep_name, &w);
}

err archive_snapshot(struct archive *a, struct view *v)
{
    err e = flush(a, true);
    if (e) return e;
    atomic_store(&a->hurry, false);
    struct snapshot s = {.a = a, .fd = -1};
    buf_init(&s.frame, 2 * IDX_TXN_MAX);
    buf_init(&s.out, 2 * IDX_TXN_MAX + ARCHIVE_HEADER);
    rt_work_long("archive-snapshot", snapshot_open, &s);
    if (!s.e) {
        struct idx_range all = {STR(""), STR_NONE, false};
        e = view_scan(v, &all, true, snapshot_entry, &s);
        if (!s.e) s.e = e;
        /* Every archived record is in the view, so the snapshot reaches beyond all of them. */
        if (!s.e && s.seq < a->last_seq) s.e = ERR_CORRUPT;
    }
    if (s.fd >= 0) {
        rt_work_long("archive-snapshot", snapshot_close, &s);
        if (!s.e) {
            abandon_file(a);
            a->bytes = 0;
            LOG_INFO("wrote a snapshot of the index", LF_U("commit", s.seq), LF_U("bytes", s.at));
        }
    }
    buf_free(&s.frame);
    buf_free(&s.out);
    return s.e;
}
