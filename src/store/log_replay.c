/* Reading the log back: at opening and in recovery. A torn tail is told from rot: the appender
 * writes one record at a time, each durable before the next begins, so a valid record after a bad one proves
 * that the bad one was once whole. */
#include "store/log_int.h"
#include "base/assert.h"
#include "rt/rt.h"
#include "sys/sys.h"

static uint64_t find_beyond(const struct log_segment_head *h, const unsigned char *data, uint64_t from)
{
    for (uint64_t at = from; at + LOG_RECORD_HEADER <= h->bytes; at += LOG_ALIGN) {
        struct log_record_head r;
        if (log_record_peek(data + at, h->bytes - at, &r) == ERR_OK &&
            log_record_verify(h, &r, at, data + at))
            return at;
    }
    return 0;
}

uint64_t log_record_at(const struct log_segment_head *h, const struct log_walk *w, const unsigned char *p,
                       size_t n, struct log_record *r)
{
    *r = (struct log_record){.segment = h->segment, .offset = w->end};
    if (n < LOG_RECORD_HEADER || log_record_peek(p, h->bytes - w->end, &r->head) != ERR_OK ||
        r->head.first_seq != w->next_seq)
        return 0;
    uint64_t size = log_record_size(r->head.payload_len);
    if (r->head.payload_len > n - LOG_RECORD_HEADER) return size;
    if (!log_record_verify(h, &r->head, w->end, p)) return 0;
    r->payload = str_of((const char *)p + LOG_RECORD_HEADER, r->head.payload_len);
    return size;
}

err log_walk_segment(const struct log_segment_head *h, const unsigned char *data, struct log_walk *w,
                     log_record_fn *fn, void *arg)
{
    struct log_record r;
    uint64_t size;
    w->beyond = 0;
    while (w->end < h->bytes && (size = log_record_at(h, w, data + w->end, h->bytes - w->end, &r)) != 0) {
        err e = fn ? fn(arg, &r) : ERR_OK;
        if (e) return e;
        w->next_seq += r.head.commits;
        w->end += size;
    }
    w->beyond = find_beyond(h, data, w->end);
    return ERR_OK;
}

struct slurp_job {
    const struct log_segment *s;
    unsigned char *data;
    err e;
};

static void slurp(void *arg)
{
    struct slurp_job *j = arg;
    j->e = sys_read_full(j->s->fd, j->data, j->s->head.bytes, 0);
}

static err log_segment_slurp(const struct log_segment *s, unsigned char **data)
{
    struct slurp_job j = {.s = s, .data = log_alloc(s->head.bytes)};
    if (!j.data) return ERR_NO_MEMORY;
    rt_work_long("log-read", slurp, &j);
    if (j.e)
        free(j.data);
    else
        *data = j.data;
    return j.e;
}

err log_damaged(struct log *l, const struct log_segment *s, const struct log_walk *w, uint64_t until,
                char why[512])
{
    l->damage++;
    snprintf(why, 512,
             "log segment %016llx is damaged at byte %llu: the record of commit %llu is bad, but later ones "
             "(from commit "
             "%llu) are whole; acknowledged commits are missing. Run: ingot recover",
             (unsigned long long)s->head.segment, (unsigned long long)w->end, (unsigned long long)w->next_seq,
             (unsigned long long)until);
    return l->o.salvage ? ERR_OK : ERR_CORRUPT;
}

/* One segment; *next_seq is the sequence it must begin with (0: any). */
static err replay_segment(struct log *l, struct log_segment *s, uint64_t *next_seq, log_record_fn *fn,
                          void *arg, char why[512])
{
    unsigned char *data = NULL;
    err e = log_segment_slurp(s, &data);
    if (e) {
        snprintf(why, 512, "log segment %016llx cannot be read: %s", (unsigned long long)s->head.segment,
                 err_name(e));
        return e;
    }
    struct log_walk w = {.next_seq = s->head.first_seq, .end = LOG_ALIGN};
    e = log_walk_segment(&s->head, data, &w, fn, arg);
    while (!e && w.beyond) {
        struct log_record_head r;
        log_record_peek(data + w.beyond, s->head.bytes - w.beyond, &r);
        e = log_damaged(l, s, &w, r.first_seq, why);
        if (e) break;
        w.end = w.beyond;
        w.next_seq = r.first_seq;
        e = log_walk_segment(&s->head, data, &w, fn, arg);
    }
    free(data);
    s->end = w.end;
    s->last_seq = w.next_seq - 1;
    *next_seq = w.next_seq;
    return e;
}

err log_replay(struct log *l, uint64_t from_seq, log_record_fn *fn, void *arg, char why[512])
{
    CHECK_MAGIC(l, LOG_MAGIC);
    uint64_t next = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct log_segment *s = l->segments[i];
        if (next && next != s->head.first_seq) {
            struct log_segment *before = l->segments[i - 1];
            struct log_walk w = {.next_seq = next, .end = before->end};
            err e = log_damaged(l, before, &w, s->head.first_seq, why);
            if (e) return e;
        }
        /* What the next segment begins with says that this one is wholly known. */
        if (i + 1 < l->n && l->segments[i + 1]->head.first_seq <= from_seq) {
            next = l->segments[i + 1]->head.first_seq;
            s->last_seq = next - 1;
            s->end = s->head.bytes;
            continue;
        }
        err e = replay_segment(l, s, &next, fn, arg, why);
        if (e) return e;
    }
    l->next_seq = next ? next : 1;
    return ERR_OK;
}
