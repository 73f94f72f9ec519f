#include "store/log_int.h"
#include "base/assert.h"
#include "base/log.h"
#include "rt/rt.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/uio.h>

err log_open(const struct log_options *o, struct log **out, char why[512])
{
    struct log *l = calloc(1, sizeof *l);
    if (!l) return ERR_NO_MEMORY;
    *l = (struct log){.magic = LOG_MAGIC, .o = *o, .direct = true, .dsync = true, .next_seq = 1};
    ASSERT(o->segment_bytes % LOG_ALIGN == 0 && o->segment_bytes <= LOG_SEGMENT_MAX);
    int n = snprintf(l->dir, sizeof l->dir, "%s/log", o->dir);
    err e = n > 0 && (size_t)n < sizeof l->dir - 64 ? ERR_OK : ERR_INVALID_SETTING;
    if (e) snprintf(why, 512, "the path of the data directory is too long");
    if (!e && !o->read_only) {
        e = sys_mkdirs(l->dir, 0700);
        if (e) snprintf(why, 512, "cannot make %.400s: %s", l->dir, err_name(e));
    }
    if (!e) e = log_segments_load(l, why);
    if (e) {
        log_close(l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

void log_wait_changed(struct log *l)
{
    rt_latch_unlock(&l->lock);
    rt_sleep(RT_MS);
    rt_latch_lock(&l->lock);
}

void log_close(struct log *l)
{
    if (!l) return;
    CHECK_MAGIC(l, LOG_MAGIC);
    rt_latch_lock(&l->lock);
    while (l->preparing) log_wait_changed(l);
    rt_latch_unlock(&l->lock);
    for (size_t i = 0; i < l->n; i++) log_segment_free(l->segments[i]);
    for (unsigned i = 0; i < l->nspares; i++) free(l->spares[i]);
    free(l->segments);
    l->magic = 0;
    free(l);
}

uint64_t log_damage(const struct log *l)
{
    return l->damage;
}

uint64_t log_next_seq(const struct log *l)
{
    return l->next_seq;
}

uint64_t log_first_seq(const struct log *l)
{
    return l->n ? l->segments[0]->head.first_seq : l->next_seq;
}

void log_start_at(struct log *l, uint64_t next_seq)
{
    ASSERT(l->n == 0);
    l->next_seq = next_seq;
}

size_t log_room(struct log *l)
{
    const struct log_segment *s = log_active(l);
    if (!s || s->head.bytes - s->end <= LOG_RECORD_HEADER) return 0;
    return (size_t)(s->head.bytes - s->end - LOG_RECORD_HEADER);
}

err log_reserve(struct log *l, size_t payload, uint64_t *segment, uint64_t *offset)
{
    CHECK_MAGIC(l, LOG_MAGIC);
    ASSERT(!l->o.read_only && log_record_size(payload) + LOG_ALIGN <= l->o.segment_bytes);
    /* The small first segment of a new store may be too small for it: then a second follows at once. */
    for (;;) {
        const struct log_segment *s = log_active(l);
        if (s && s->head.bytes - s->end >= log_record_size(payload)) break;
        err e = log_segment_begin(l, log_record_size(payload) + LOG_ALIGN);
        if (e) return e;
    }
    *segment = log_active(l)->head.segment;
    *offset = log_active(l)->end + LOG_RECORD_HEADER;
    return ERR_OK;
}

/* One durable write. A short count goes on at the last whole block: nothing of the record counts before all
 * of it. */
static err write_record(struct log *l, int fd, const unsigned char *p, size_t n, uint64_t off)
{
    size_t done = 0;
    while (done < n) {
        struct iovec v = {(void *)(uintptr_t)(p + done), n - done};
        ssize_t w = rt_pwritev(fd, &v, 1, off + done, l->dsync ? RWF_DSYNC : 0);
        if (w == -EINTR) continue;
        if (w == -EOPNOTSUPP && l->dsync) {
            l->dsync = false;
            continue;
        }
        if (w < 0) return err_of_errno((int)-w);
        size_t whole = done + (size_t)w == n ? (size_t)w : (size_t)w / LOG_ALIGN * LOG_ALIGN;
        if (whole == 0) return ERR_IO;
        done += whole;
    }
    if (l->dsync) return ERR_OK;
    int rc = rt_fdatasync(fd);
    return rc < 0 ? err_of_errno(-rc) : ERR_OK;
}

err log_append(struct log *l, unsigned char *record, size_t payload, uint32_t commits)
{
    struct log_segment *s = log_active(l);
    size_t used = LOG_RECORD_HEADER + payload, size = (size_t)log_record_size(payload);
    ASSERT(s && size <= s->head.bytes - s->end && commits > 0 && (uintptr_t)record % LOG_ALIGN == 0);
    memset(record + used, 0, size - used);
    struct log_record_head h = {.epoch = l->o.epoch,
                                .first_seq = l->next_seq,
                                .commits = commits,
                                .payload_len = payload,
                                .time_ms = sys->real_ms()};
    log_record_seal(&s->head, &h, s->end, record);
    err e = write_record(l, s->fd, record, size, s->end);
    if (e) return e;
    rt_latch_lock(&l->lock);
    s->end += size;
    l->next_seq += commits;
    s->last_seq = l->next_seq - 1;
    l->appended += size;
    l->flushes++;
    rt_latch_unlock(&l->lock);
    return ERR_OK;
}

/* Is there a record that begins as the next one would? What was written last is read, be it on the disk or
 * on its way there. */
static err record_begins(struct log *l, const struct log_segment *s, unsigned char *block, bool *yes)
{
    ssize_t r;
    while ((r = rt_pread(s->fd, block, LOG_ALIGN, s->end)) == -EINTR) continue;
    if (r != LOG_ALIGN) return ERR_IO;
    struct log_record_head h;
    *yes = log_record_peek(block, s->head.bytes - s->end, &h) == ERR_OK && h.epoch == l->o.epoch &&
           h.first_seq == l->next_seq;
    return ERR_OK;
}

/* A record counts only with its header, so without the header there is none. On a full disk the header often
 * never came to the file; else zeros take its place. */
err log_withdraw(struct log *l)
{
    const struct log_segment *s = log_active(l);
    unsigned char *block = log_alloc(LOG_ALIGN);
    if (!block) return ERR_NO_MEMORY;
    bool there = true;
    err e = record_begins(l, s, block, &there);
    if (e || there) {
        memset(block, 0, LOG_ALIGN);
        e = write_record(l, s->fd, block, LOG_ALIGN, s->end);
    }
    free(block);
    return e;
}

err log_read(struct log *l, uint64_t segment, uint64_t offset, void *p, size_t n)
{
    CHECK_MAGIC(l, LOG_MAGIC);
    struct log_segment *s = NULL;
    rt_latch_lock(&l->lock);
    if (l->n > 0 && segment >= l->segments[0]->head.segment) {
        for (size_t i = 0; i < l->n && !s; i++)
            if (l->segments[i]->head.segment == segment && !l->segments[i]->retiring) s = l->segments[i];
    }
    if (s) s->readers++;
    rt_latch_unlock(&l->lock);
    if (!s) return ERR_NOT_FOUND;
    uint64_t from = offset / LOG_ALIGN * LOG_ALIGN, to = log_align(offset + n);
    unsigned char *block = NULL;
    err e = n > s->head.bytes || offset > s->head.bytes - n ? ERR_CORRUPT : ERR_OK;
    if (!e && n > 0 && !(block = log_alloc(to - from))) e = ERR_NO_MEMORY;
    for (uint64_t at = from; !e && n > 0 && at < to;) {
        ssize_t r = rt_pread(s->fd, block + (at - from), (size_t)(to - at), at);
        if (r > 0)
            at += (uint64_t)r;
        else if (r != -EINTR)
            e = r == 0 ? ERR_CORRUPT : err_of_errno((int)-r);
    }
    if (!e && n > 0) memcpy(p, block + (offset - from), n);
    free(block);
    rt_latch_lock(&l->lock);
    s->readers--;
    rt_latch_unlock(&l->lock);
    return e;
}

bool log_oldest(struct log *l, struct log_segment_info *out)
{
    rt_latch_lock(&l->lock);
    bool any = l->n > 0;
    if (any) {
        const struct log_segment *s = l->segments[0];
        *out = (struct log_segment_info){s->head.segment, s->head.first_seq, s->last_seq, s->head.bytes,
                                         l->n == 1};
    }
    rt_latch_unlock(&l->lock);
    return any;
}

void log_get_stats(struct log *l, struct log_stats *out)
{
    rt_latch_lock(&l->lock);
    *out = (struct log_stats){.segments = l->n,
                              .appended = l->appended,
                              .flushes = l->flushes,
                              .retired = l->retired,
                              .direct = l->direct,
                              .spare = l->nspares > 0};
    for (size_t i = 0; i < l->n; i++) out->bytes += l->segments[i]->head.bytes;
    rt_latch_unlock(&l->lock);
}
