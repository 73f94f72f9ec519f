/* Segment files of the log: made, found, begun, retired. */
#include "store/log_int.h"
#include "base/array.h"
#include "base/assert.h"
#include "base/log.h"
#include "rt/rt.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>

#define ZERO_CHUNK ((size_t)1 << 20)

void log_path(const struct log *l, char out[LOG_PATH_MAX], const char *name)
{
    int n = snprintf(out, LOG_PATH_MAX, "%s/%s", l->dir, name);
    ASSERT(n > 0 && n < LOG_PATH_MAX);
}

void log_segment_path(const struct log *l, char out[LOG_PATH_MAX], uint64_t number)
{
    char name[32];
    snprintf(name, sizeof name, "%016llx.log", (unsigned long long)number);
    log_path(l, out, name);
}

unsigned char *log_alloc(size_t n)
{
    void *p = NULL;
    return posix_memalign(&p, LOG_ALIGN, log_align(n)) == 0 ? p : NULL;
}

int log_file_open(struct log *l, const char *path, int flags)
{
    int fd = l->direct ? sys->open(path, flags | O_DIRECT, 0600) : -EINVAL;
    if (fd != -EINVAL) return fd;
    l->direct = false;
    return sys->open(path, flags, 0600);
}

void log_segment_free(struct log_segment *s)
{
    if (s->fd >= 0) sys->close(s->fd);
    free(s);
}

/* The pointer stays good for the appender: the active segment is never retired. */
struct log_segment *log_active(struct log *l)
{
    rt_latch_lock(&l->lock);
    struct log_segment *s = l->n ? l->segments[l->n - 1] : NULL;
    rt_latch_unlock(&l->lock);
    return s;
}

static err write_zeros(int fd, uint64_t bytes)
{
    unsigned char *zeros = log_alloc(ZERO_CHUNK);
    if (!zeros) return ERR_NO_MEMORY;
    memset(zeros, 0, ZERO_CHUNK);
    err e = ERR_OK;
    for (uint64_t at = 0; at < bytes && !e; at += ZERO_CHUNK)
        e = sys_write_full(fd, zeros, bytes - at < ZERO_CHUNK ? (size_t)(bytes - at) : ZERO_CHUNK, at);
    free(zeros);
    return e;
}

err log_spare_make(struct log *l, uint64_t bytes, char name[64])
{
    char path[LOG_PATH_MAX], tmp[LOG_PATH_MAX];
    rt_latch_lock(&l->lock);
    snprintf(name, 64, "free-%llx-%llx.log", (unsigned long long)l->o.epoch,
             (unsigned long long)l->spare_counter++);
    rt_latch_unlock(&l->lock);
    log_path(l, path, name);
    snprintf(tmp, sizeof tmp, "%.4000s.tmp", path);
    int fd = log_file_open(l, tmp, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0) return err_of_errno(-fd);
    err e = write_zeros(fd, bytes);
    int rc = e ? 0 : sys->fsync(fd);
    sys->close(fd);
    if (!e && rc < 0) e = err_of_errno(-rc);
    if (!e && (rc = sys->rename(tmp, path)) < 0) e = err_of_errno(-rc);
    if (e) sys->unlink(tmp);
    return e;
}

/* A spare's name, taken out of the pool; one that is on its way is waited for. */
static bool spare_take(struct log *l, char name[64])
{
    bool found = false;
    rt_latch_lock(&l->lock);
    if (l->nspares > 0) {
        char *s = l->spares[--l->nspares];
        snprintf(name, 64, "%s", s);
        free(s);
        found = true;
    }
    rt_latch_unlock(&l->lock);
    return found;
}

static bool spare_put(struct log *l, const char *name)
{
    char *copy = strdup(name);
    rt_latch_lock(&l->lock);
    bool room = copy && l->nspares < LOG_SPARES_MAX;
    if (room) l->spares[l->nspares++] = copy;
    rt_latch_unlock(&l->lock);
    if (!room) free(copy);
    return room;
}

static void prepare_job(void *arg)
{
    struct log *l = arg;
    char name[64];
    err e = log_spare_make(l, l->o.segment_bytes, name);
    if (!e && !spare_put(l, name)) {
        char path[LOG_PATH_MAX];
        log_path(l, path, name);
        sys->unlink(path);
    }
    rt_latch_lock(&l->lock);
    l->preparing = false;
    rt_latch_unlock(&l->lock);
}

void log_prepare_next(struct log *l)
{
    rt_latch_lock(&l->lock);
    bool start = l->nspares == 0 && !l->preparing;
    if (start) l->preparing = true;
    rt_latch_unlock(&l->lock);
    if (!start || rt_work_async("log-prepare", prepare_job, l)) return;
    rt_latch_lock(&l->lock);
    l->preparing = false;
    rt_latch_unlock(&l->lock);
}

static err table_add(struct log *l, struct log_segment *s)
{
    rt_latch_lock(&l->lock);
    bool room = array_grow(&l->segments, &l->cap, l->n + 1, sizeof *l->segments, LOG_SEGMENTS_MAX);
    if (room) l->segments[l->n++] = s;
    rt_latch_unlock(&l->lock);
    return room ? ERR_OK : ERR_NO_MEMORY;
}

/* The header is durable before the file gets its number, so a numbered file always has one. */
static err begin_file(struct log *l, const char *spare, uint64_t number)
{
    char from[LOG_PATH_MAX], to[LOG_PATH_MAX];
    log_path(l, from, spare);
    log_segment_path(l, to, number);
    struct log_segment *s = calloc(1, sizeof *s);
    unsigned char *block = log_alloc(LOG_ALIGN);
    if (!s || !block) {
        free(s);
        free(block);
        return ERR_NO_MEMORY;
    }
    struct stat st;
    /* Through the page cache: who asks for what was just written finds it in memory. What a start finds is
     * read past it, so that only what is on the disk counts, even after a flush that failed. */
    s->fd = sys->open(from, O_RDWR, 0600);
    int rc = s->fd < 0 ? s->fd : sys->fstat(s->fd, &st);
    if (rc >= 0) {
        s->head = (struct log_segment_head){.segment = number,
                                            .epoch = l->o.epoch,
                                            .first_seq = l->next_seq,
                                            .bytes = (uint64_t)st.st_size,
                                            .time_ms = sys->real_ms()};
        memcpy(s->head.store_id, l->o.store_id, sizeof s->head.store_id);
        sys->random(&s->head.nonce, sizeof s->head.nonce);
        log_segment_encode(&s->head, block);
        err w = sys_write_full(s->fd, block, LOG_ALIGN, 0);
        rc = w ? (w == ERR_NO_SPACE ? -ENOSPC : -EIO) : sys->fsync(s->fd);
    }
    if (rc >= 0) rc = sys->rename(from, to);
    if (rc >= 0) rc = sys->fsync_dir(l->dir);
    free(block);
    s->end = LOG_ALIGN;
    s->last_seq = l->next_seq - 1;
    err e = rc < 0 ? err_of_errno(-rc) : table_add(l, s);
    if (e) log_segment_free(s);
    return e;
}

struct begin_job {
    struct log *l;
    uint64_t need;
    err e;
};

/* On a full disk a smaller segment will do. */
static err make_now(struct log *l, uint64_t bytes, uint64_t need, char name[64])
{
    err e = log_spare_make(l, bytes, name);
    while (e == ERR_NO_SPACE && log_align(bytes / 4) >= need) {
        bytes = log_align(bytes / 4);
        e = log_spare_make(l, bytes, name);
    }
    return e;
}

static void begin_segment(void *arg)
{
    struct begin_job *j = arg;
    struct log *l = j->l;
    struct log_segment *last = log_active(l);
    char name[64];
    if (!spare_take(l, name)) {
        rt_latch_lock(&l->lock);
        while (l->preparing) log_wait_changed(l);
        rt_latch_unlock(&l->lock);
        if (!spare_take(l, name)) {
            uint64_t bytes = last ? l->o.segment_bytes : LOG_FIRST_SEGMENT;
            j->e = make_now(l, bytes < l->o.segment_bytes ? bytes : l->o.segment_bytes, j->need, name);
            if (j->e) return;
        }
    }
    j->e = begin_file(l, name, last ? last->head.segment + 1 : 1);
}

err log_segment_begin(struct log *l, uint64_t need)
{
    struct begin_job j = {.l = l, .need = need};
    rt_work("log-segment", begin_segment, &j);
    return j.e;
}

/* ---- finding what is there ---- */

struct found {
    struct log *l;
    uint64_t numbers[LOG_SEGMENTS_MAX];
    size_t n;
    bool too_many;
};

static bool see_name(void *arg, const char *name)
{
    struct found *f = arg;
    struct log *l = f->l;
    size_t n = strlen(name);
    char path[LOG_PATH_MAX];
    char *end;
    unsigned long long number = strtoull(name, &end, 16);
    if (n == 20 && end == name + 16 && strcmp(end, ".log") == 0) {
        if (f->n == LOG_SEGMENTS_MAX)
            f->too_many = true;
        else
            f->numbers[f->n++] = number;
    } else if (strncmp(name, "free-", 5) == 0 && !l->o.read_only) {
        struct stat st;
        log_path(l, path, name);
        bool good = n > 4 && strcmp(name + n - 4, ".log") == 0 && sys->stat(path, &st) == 0 &&
                    (uint64_t)st.st_size == l->o.segment_bytes && spare_put(l, name);
        if (!good) sys->unlink(path);
    }
    return true;
}

static err load_one(struct log *l, uint64_t number, char why[512])
{
    char path[LOG_PATH_MAX];
    log_segment_path(l, path, number);
    struct log_segment *s = calloc(1, sizeof *s);
    unsigned char *block = log_alloc(LOG_ALIGN);
    if (!s || !block) {
        free(s);
        free(block);
        snprintf(why, 512, "out of memory");
        return ERR_NO_MEMORY;
    }
    s->fd = log_file_open(l, path, l->o.read_only ? O_RDONLY : O_RDWR);
    err e = s->fd < 0 ? err_of_errno(-s->fd) : sys_read_full(s->fd, block, LOG_ALIGN, 0);
    if (!e) e = log_segment_decode(block, &s->head);
    if (!e && (s->head.segment != number || memcmp(s->head.store_id, l->o.store_id, 16) != 0))
        e = ERR_CORRUPT;
    struct stat st;
    if (!e && (sys->fstat(s->fd, &st) < 0 || (uint64_t)st.st_size < s->head.bytes)) e = ERR_CORRUPT;
    free(block);
    s->last_seq = s->head.first_seq - 1;
    s->end = LOG_ALIGN;
    if (!e) e = table_add(l, s);
    if (!e) return ERR_OK;
    log_segment_free(s);
    if (e == ERR_UNSUPPORTED_FORMAT)
        snprintf(why, 512, "log segment %.400s was written by a newer version of Ingot", path);
    else if (e == ERR_CORRUPT)
        snprintf(why, 512, "log segment %.400s is damaged: its header does not verify", path);
    else
        snprintf(why, 512, "log segment %.400s cannot be read: %s", path, err_name(e));
    return e;
}

err log_segments_load(struct log *l, char why[512])
{
    struct found *f = calloc(1, sizeof *f);
    if (!f) return ERR_NO_MEMORY;
    f->l = l;
    int rc = sys->list(l->dir, see_name, f);
    err e = rc < 0 ? err_of_errno(-rc) : f->too_many ? ERR_CORRUPT : ERR_OK;
    if (e) snprintf(why, 512, "the log folder %.400s cannot be read: %s", l->dir, err_name(e));
    qsort(f->numbers, f->n, sizeof f->numbers[0], array_by_u64);
    for (size_t i = 0; i < f->n && !e; i++) {
        if (i > 0 && f->numbers[i] != f->numbers[i - 1] + 1) {
            l->damage++;
            snprintf(why, 512, "the log in %.400s is damaged: segment %llx is missing", l->dir,
                     (unsigned long long)f->numbers[i - 1] + 1);
            if (!l->o.salvage) e = ERR_CORRUPT;
        }
        if (!e) e = load_one(l, f->numbers[i], why);
        if (e == ERR_CORRUPT && l->o.salvage) {
            l->damage++;
            e = ERR_OK;
        }
    }
    free(f);
    return e;
}

/* ---- retiring ---- */

struct retire_job {
    struct log *l;
    struct log_segment *s;
    err e;
};

static void table_drop_first(struct log *l)
{
    rt_latch_lock(&l->lock);
    l->retired++;
    memmove(l->segments, l->segments + 1, --l->n * sizeof *l->segments);
    rt_latch_unlock(&l->lock);
}

/* A segment whose file kept its name stays in the table, to be retired again: were a later one to go first,
 * the next start would miss it between the two. */
static void retire_file(void *arg)
{
    struct retire_job *j = arg;
    struct log *l = j->l;
    char path[LOG_PATH_MAX], name[64], to[LOG_PATH_MAX];
    rt_latch_lock(&l->lock);
    j->s->retiring = true;
    while (j->s->readers > 0) log_wait_changed(l);
    bool keep = j->s->head.bytes == l->o.segment_bytes && l->nspares < LOG_SPARES_MAX;
    snprintf(name, sizeof name, "free-%llx-%llx.log", (unsigned long long)l->o.epoch,
             (unsigned long long)l->spare_counter++);
    rt_latch_unlock(&l->lock);
    log_segment_path(l, path, j->s->head.segment);
    log_path(l, to, name);
    int rc = keep ? sys->rename(path, to) : sys->unlink(path);
    if (rc < 0) {
        rt_latch_lock(&l->lock);
        j->s->retiring = false;
        rt_latch_unlock(&l->lock);
        j->e = err_of_errno(-rc);
        return;
    }
    table_drop_first(l);
    log_segment_free(j->s);
    rc = sys->fsync_dir(l->dir);
    j->e = rc < 0 ? err_of_errno(-rc) : ERR_OK;
    if (keep && (j->e || !spare_put(l, name))) sys->unlink(to);
}

err log_retire(struct log *l, uint64_t number)
{
    struct retire_job j = {.l = l};
    rt_latch_lock(&l->lock);
    ASSERT(l->n > 1 && l->segments[0]->head.segment == number);
    j.s = l->segments[0];
    rt_latch_unlock(&l->lock);
    rt_work_long("log-retire", retire_file, &j);
    return j.e;
}
