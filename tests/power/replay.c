/* The disk keeps what was written before the last flush, and of what came after it any part: writes may be
 * missing in any order, and of one write any of its sectors. */
#include "power/replay.h"
#include "power/disk.h"
#include "power/mount.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* File systems take for granted that their superblock is written whole or not at all. */
#define SUPERBLOCK_END 4096u

#define JUDGE_SECONDS 300 /* a store that does not open in this time is a finding */

enum { KEEP_ALL, KEEP_SOME, KEEP_TORN, KEEP_KINDS };
static const char *const keep_names[] = {"all", "some", "torn"};

struct state {
    uint64_t cut;
    uint64_t seed;
};

struct replayer {
    const struct replay_options *o;
    struct block_log log;
    struct history history;
    struct disk *disk;
    char file[4096], mnt[4096], data[4096], dev[32];
    pid_t server;      /* of the disk */
    uint64_t based;    /* entries in the base */
    uint64_t at_flush; /* states cut right behind a flush */
    uint64_t bad;
};

static uint64_t mix(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- choosing ---- */

static int by_cut(const void *a, const void *b)
{
    const struct state *x = a, *y = b;
    return x->cut < y->cut ? -1 : x->cut > y->cut ? 1 : x->seed < y->seed ? -1 : x->seed > y->seed;
}

/* A quarter of the cuts come right behind a flush, a quarter shortly before one, the rest anywhere. */
static uint64_t choose_cut(const struct replayer *r, uint64_t *seed, uint64_t kind)
{
    uint64_t first = r->o->first, cut = first + mix(seed) % (r->log.n - first + 1);
    if (kind % 4 > 1) return cut;
    while (cut < r->log.n && r->log.v[cut].kind != BLOCK_FLUSH) cut++;
    return kind % 4 == 0 && cut < r->log.n ? cut + 1 : cut;
}

static struct state *choose(struct replayer *r)
{
    struct state *v = calloc(r->o->states, sizeof *v);
    uint64_t seed = r->o->seed;
    if (!v) abort();
    for (uint64_t i = 0; i < r->o->states; i++) {
        v[i].cut = choose_cut(r, &seed, i);
        v[i].seed = mix(&seed);
    }
    qsort(v, r->o->states, sizeof *v, by_cut);
    return v;
}

/* ---- making ---- */

struct keep {
    uint64_t seed;
    unsigned of_ten; /* sectors kept in ten */
    uint32_t from, to;
};

static int keep_sector(void *arg, uint32_t sector)
{
    struct keep *k = arg;
    return sector >= k->from && sector < k->to && mix(&k->seed) % 10 < k->of_ten;
}

/* Torn: its beginning, its end, or sectors here and there. */
static void tear(struct keep *k, uint32_t sectors)
{
    uint32_t at = (uint32_t)(mix(&k->seed) % (sectors + 1));
    switch (mix(&k->seed) % 3) {
    case 0:
        k->to = at;
        break;
    case 1:
        k->from = at;
        break;
    default:
        k->of_ten = 5;
    }
}

static unsigned make(struct replayer *r, const struct state *s)
{
    uint64_t flushed = s->cut;
    while (flushed > r->based && r->log.v[flushed - 1].kind != BLOCK_FLUSH) flushed--;
    for (; r->based < flushed; r->based++)
        disk_base_apply(r->disk, &r->log.v[r->based], r->log.data[r->based]);
    disk_forget(r->disk);
    r->at_flush += flushed == s->cut;
    uint64_t seed = s->seed;
    unsigned kind = (unsigned)(mix(&seed) % KEEP_KINDS), in_ten = (unsigned)(1 + mix(&seed) % 9);
    for (uint64_t i = flushed; i < s->cut; i++) {
        const struct block_entry *e = &r->log.v[i];
        struct keep k = {.seed = mix(&seed), .of_ten = 10, .to = UINT32_MAX};
        if (kind != KEEP_ALL && mix(&seed) % 10 >= in_ten) continue;
        if (kind == KEEP_TORN && e->off >= SUPERBLOCK_END && mix(&seed) % 3 == 0)
            tear(&k, e->len / DISK_SECTOR);
        disk_overlay_apply(r->disk, e, r->log.data[i], keep_sector, &k);
    }
    return kind;
}

/* ---- judging ---- */

static _Noreturn void judge_child(struct replayer *r, const struct state *s, bool deep)
{
    struct judge_options o = {.dir = r->data,
                              .history = &r->history,
                              .cut = s->cut,
                              .again = deep,
                              .deep = deep,
                              .recover = deep && s->seed % 2,
                              .engine = r->o->engine};
    alarm(JUDGE_SECONDS);
    _exit(judge(&o) ? 1 : 0);
}

static bool judged_good(struct replayer *r, const struct state *s, bool deep)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) judge_child(r, s, deep);
    if (pid < 0 || waitpid(pid, &status, 0) < 0) abort();
    if (WIFSIGNALED(status)) fprintf(stderr, "    the engine ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A disk that is no longer served says nothing about the store. */
static bool server_ended(struct replayer *r)
{
    int status;
    if (waitpid(r->server, &status, WNOHANG) != r->server) return false;
    fprintf(stderr, "the disk's server ended (status %#x)\n", (unsigned)status);
    return true;
}

/* false: the harness itself failed. */
static bool run_state(struct replayer *r, uint64_t number, const struct state *s)
{
    unsigned kind = make(r, s);
    if (r->o->only && number != r->o->only) return true;
    bool mounted = mount_fs(r->dev, r->mnt, r->o->fs) == 0;
    bool deep = r->o->deep_one_in && number % r->o->deep_one_in == 0;
    bool good = mounted && judged_good(r, s, deep);
    if (!good && server_ended(r)) return false;
    if (!good) {
        r->bad++;
        fprintf(stderr, "  bad: state %llu, cut at %llu (%llu after the last flush, kept: %s)\n",
                (unsigned long long)number, (unsigned long long)s->cut,
                (unsigned long long)(s->cut - r->based), keep_names[kind]);
    }
    return !mounted || mount_drop(r->mnt) == 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool run_states(struct replayer *r)
{
    struct state *v = choose(r);
    double from = now();
    bool ok = true;
    for (uint64_t i = 0; ok && i < r->o->states; i++) ok = run_state(r, i + 1, &v[i]);
    printf("%s: %llu states of %llu entries (%llu right behind a flush), %llu bad, %.1f s\n", r->o->fs,
           (unsigned long long)r->o->states, (unsigned long long)(r->log.n - r->o->first),
           (unsigned long long)r->at_flush, (unsigned long long)r->bad, now() - from);
    free(v);
    return ok;
}

static bool load(struct replayer *r)
{
    if (block_log_load(r->o->log, &r->log) || history_load(r->o->history, &r->history)) return false;
    if (r->o->first > r->log.n) {
        fprintf(stderr, "the block log has only %llu entries\n", (unsigned long long)r->log.n);
        return false;
    }
    r->disk = disk_new(r->o->bytes, NULL);
    char served[4096];
    snprintf(served, sizeof served, "%s/replay", r->o->dir);
    snprintf(r->file, sizeof r->file, "%.4000s/disk", served);
    snprintf(r->mnt, sizeof r->mnt, "%s/replay-mnt", r->o->dir);
    snprintf(r->data, sizeof r->data, "%.4000s/%s", r->mnt, r->o->data);
    bool made =
        (mkdir(served, 0700) == 0 || errno == EEXIST) && (mkdir(r->mnt, 0700) == 0 || errno == EEXIST);
    if (!made || !r->disk) perror("cannot prepare the disk");
    return made && r->disk;
}

int64_t replay(const struct replay_options *o)
{
    struct replayer *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->o = o;
    if (!load(r)) return -1;
    char served[4096];
    snprintf(served, sizeof served, "%s/replay", o->dir);
    r->server = mount_serve(r->disk, served);
    if (r->server < 0) return -1;
    bool ok = mount_loop(r->file, r->dev) == 0;
    if (ok) {
        ok = run_states(r);
        ok = mount_unloop(r->dev) == 0 && ok;
    }
    ok = mount_unserve(r->server, served) == 0 && ok;
    return ok ? (int64_t)r->bad : -1;
}
