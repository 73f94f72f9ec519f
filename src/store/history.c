#include "store/history.h"
#include "sys/sys.h"

struct reading {
    const struct history_reader *r;
    uint64_t last, from, said; /* places of the log that were named */
    err e;                     /* of a callback: the archive takes some errors for its own */
};

static void on_snapshot(void *arg, uint64_t seq)
{
    struct reading *h = arg;
    if (!h->from) h->last = seq;
}

static err on_entry(void *arg, uint64_t snapshot_seq, struct str key, uint64_t seq, struct str value)
{
    struct reading *h = arg;
    (void)snapshot_seq;
    return h->from ? ERR_OK : h->r->entry(h->r->arg, key, seq, value);
}

static err on_record(struct reading *h, const struct log_record *rec)
{
    uint64_t first = rec->head.first_seq, end = first + rec->head.commits - 1;
    if (h->e || end <= h->last) return h->e;
    if (first > h->last + 1) {
        h->r->gap(h->r->arg, h->last + 1, first - 1);
        h->last = first - 1;
    }
    h->e = h->r->record(h->r->arg, rec, h->last);
    h->last = end;
    return h->e;
}

static err on_archived(void *arg, uint64_t first_seq, uint32_t commits, struct str payload)
{
    struct log_record rec = {.head = {.first_seq = first_seq, .commits = commits, .payload_len = payload.n},
                             .payload = payload};
    return on_record(arg, &rec);
}

static err on_logged(void *arg, const struct log_record *rec)
{
    struct reading *h = arg;
    char line[256];
    if (!h->e && rec->head.first_seq > h->last + 1) {
        snprintf(line, sizeof line,
                 "log: commits %llu to %llu are missing before byte %llu of segment %016llx",
                 (unsigned long long)h->last + 1, (unsigned long long)rec->head.first_seq - 1,
                 (unsigned long long)rec->offset, (unsigned long long)rec->segment);
        h->said++;
        h->r->damage(h->r->arg, line);
    }
    return on_record(h, rec);
}

static void on_damage(void *arg, const char *line)
{
    struct reading *h = arg;
    h->r->damage(h->r->arg, line);
}

err history_open_log(const char *dir, const uint8_t store_id[16], const struct history_reader *r,
                     struct log **out, char why[512])
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%.4000s/log", dir);
    *out = NULL;
    if (sys->stat(path, &st) < 0) return ERR_OK;
    struct log_options o = {.dir = dir, .read_only = true, .salvage = true};
    memcpy(o.store_id, store_id, sizeof o.store_id);
    err e = log_open(&o, out, why);
    if (!e && log_damage(*out)) r->damage(r->arg, why);
    return e;
}

static err read_log(struct reading *h, struct log *log, char why[512])
{
    char place[512] = "";
    uint64_t before = log_damage(log), first = log_first_seq(log);
    if (first > h->last + 1) {
        snprintf(place, sizeof place, "archive: commits %llu to %llu, which left the log, are missing",
                 (unsigned long long)h->last + 1, (unsigned long long)first - 1);
        h->r->damage(h->r->arg, place);
        h->r->gap(h->r->arg, h->last + 1, first - 1);
        h->last = first - 1;
    }
    err e = log_replay(log, 0, on_logged, h, place);
    if (e) snprintf(why, 512, "%s", place);
    /* Damage in what the archive or the index has too is not missing, but it is there. */
    if (!e && log_damage(log) - before > h->said) h->r->damage(h->r->arg, place);
    return e;
}

err history_read(const char *dir, const uint8_t store_id[16], struct log *log, uint64_t from,
                 const struct history_reader *r, uint64_t *last, char why[512])
{
    struct reading h = {.r = r, .from = from, .last = from};
    const struct archive_reader ar = {on_snapshot, on_entry, on_archived, on_damage, &h};
    uint64_t archived;
    why[0] = 0;
    err e = archive_read(dir, store_id, &ar, &archived);
    if (!e) e = h.e;
    if (e)
        snprintf(why, 512,
                 "the archive in %.300s cannot be read: %s. If its disk cannot be mended, move the file that "
                 "cannot be read out of it",
                 dir, err_name(e));
    if (!e && log) e = read_log(&h, log, why);
    if (e && !why[0]) snprintf(why, 512, "the log in %.300s cannot be read: %s", dir, err_name(e));
    *last = h.last;
    return e;
}
