/* What a durable commit costs: the engine with 1 to 256 fibers, and the writes below it. Usage: commit_bench
 * DIR. */
#include "base/assert.h"
#include "base/bytes.h"
#include "rt/rt.h"
#include "store/engine_int.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#define RUN_NS (2 * RT_SEC)
#define SHARD  1u

/* ---- the engine ---- */

struct load {
    struct store store;
    struct rt *rt;
    unsigned fibers;
    size_t record, body; /* bytes of the entry's value; of the blob, 0: none */
    int64_t until;
    double cpu;
    struct engine_stats before, after;
    _Atomic unsigned next, left;
    _Atomic uint64_t commits, wait_ns;
};

static err one(struct load *l, struct arena *a, const char *bytes, uint64_t id)
{
    char key[64], counters[16];
    put_be64(key, SHARD);
    uint64_t spread = id * 0x9e3779b97f4a7c15u;
    int n = snprintf(key + 8, sizeof key - 8, "%016llx-object-name-of-45-bytes", (unsigned long long)spread);
    struct idx_txn *t = idx_txn_new(a, SHARD, idx_now(l->store.idx));
    idx_txn_check(t, str_of(key, 8 + (size_t)n));
    idx_txn_put(t, str_of(key, 8 + (size_t)n), str_of(bytes, l->record));
    struct blob_writer *w = NULL;
    if (l->body) {
        err e = blob_create(l->store.blobs, (int64_t)l->body, &w);
        if (!e) e = blob_write(w, bytes, l->body);
        if (!e) e = blob_seal(w, str_of(bytes, 100));
        if (e) return e;
        idx_txn_publish(t, w);
    }
    put_be64(counters, SHARD);
    memcpy(counters + 8, "counters", 8);
    int64_t d[3] = {1, 1, (int64_t)l->body};
    idx_txn_add(t, str_of(counters, 16), d, 3);
    err e = idx_commit(l->store.idx, t, NULL);
    if (e) blob_abandon(w);
    return e == ERR_CONFLICT ? ERR_OK : e;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void fiber(void *arg)
{
    struct load *l = arg;
    static char bytes[1 << 20];
    struct arena *a = arena_new(0);
    uint64_t me = atomic_fetch_add(&l->next, 1), n = 0;
    while (rt_now() < l->until) {
        int64_t from = rt_now();
        ASSERT(one(l, a, bytes, me << 40 | n++) == ERR_OK);
        atomic_fetch_add(&l->wait_ns, (uint64_t)(rt_now() - from));
        arena_reset(a);
    }
    atomic_fetch_add(&l->commits, n);
    arena_free(a);
    if (atomic_fetch_sub(&l->left, 1) > 1) return;
    l->cpu = cpu_seconds() - l->cpu;
    engine_get_stats(&l->store, &l->after);
    engine_close(&l->store);
    rt_stop(l->rt);
}

static void run_engine(const char *dir, unsigned fibers, size_t record, size_t body, size_t inline_max)
{
    struct load l = {.fibers = fibers, .record = record, .body = body, .left = fibers};
    char why[512], path[4096];
    snprintf(path, sizeof path, "%s/engine", dir);
    if (engine_open(&(struct engine_options){.dir = path, .inline_max = inline_max}, &l.store, why) !=
        ERR_OK) {
        fprintf(stderr, "commit_bench: %s\n", why);
        exit(1);
    }
    ASSERT(rt_new(&(struct rt_options){.watchdog_ns = -1}, &l.rt) == ERR_OK);
    engine_get_stats(&l.store, &l.before);
    for (unsigned i = 0; i < fibers; i++)
        ASSERT(rt_spawn(rt_loop_at(l.rt, i % rt_loops(l.rt)), "bench", fiber, &l));
    l.cpu = cpu_seconds();
    l.until = rt_now() + RUN_NS;
    rt_run(l.rt);
    double n = (double)(l.after.commits - l.before.commits),
           batches = (double)(l.after.batches - l.before.batches);
    printf("%8u %8zu %8zu %10.0f %10.1f %10.1f %10.0f\n", fibers, record, body, n / ((double)RUN_NS / 1e9),
           l.cpu * 1e6 / n, n / batches, (double)atomic_load(&l.wait_ns) / n / 1e3);
    rt_free(l.rt);
}

/* ---- the write below ---- */

enum how { PREWRITTEN, ALLOCATED, APPENDED };

static void run_write(const char *dir, enum how how, bool direct, size_t bytes)
{
    static const char *const names[] = {"pre-written", "fallocated", "appended"};
    char path[4096];
    struct stat st;
    const uint64_t size = (uint64_t)32 << 20;
    snprintf(path, sizeof path, "%s/write", dir);
    sys->unlink(path);
    int fd = sys->open(path, O_RDWR | O_CREAT | (direct ? O_DIRECT : 0), 0600);
    ASSERT(fd >= 0 && sys->fstat(fd, &st) == 0);
    unsigned char *p = log_alloc((size_t)1 << 20);
    memset(p, 0, (size_t)1 << 20);
    if (how == ALLOCATED) ASSERT(sys->fallocate(fd, 0, 0, size) == 0);
    for (uint64_t at = 0; how == PREWRITTEN && at < size; at += (uint64_t)1 << 20)
        ASSERT(sys_write_full(fd, p, (size_t)1 << 20, at) == ERR_OK);
    ASSERT(sys->fsync(fd) == 0);
    uint64_t from = sys->mono_ns(), n = 0;
    for (uint64_t at = 0; at + bytes <= size && sys->mono_ns() - from < (uint64_t)RT_SEC; at += bytes, n++) {
        struct iovec v = {p, bytes};
        ASSERT(sys->pwritev(fd, &v, 1, at, RWF_DSYNC) == (ssize_t)bytes);
    }
    double s = (double)(sys->mono_ns() - from) / 1e9;
    printf("%12s %9s %8zu %10.0f %10.3f\n", names[how], direct ? "O_DIRECT" : "buffered", bytes,
           (double)n / s, s * 1e3 / (double)n);
    sys->close(fd);
    sys->unlink(path);
    free(p);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : ".";
    printf("%12s %9s %8s %10s %10s\n", "write+DSYNC", "", "bytes", "writes/s", "ms");
    for (int how = PREWRITTEN; how <= APPENDED; how++)
        for (int direct = 1; direct >= 0; direct--) run_write(dir, (enum how)how, direct, 4096);
    for (size_t bytes = 16 << 10; bytes <= (size_t)1 << 20; bytes *= 4)
        run_write(dir, PREWRITTEN, true, bytes);
    printf("\n%8s %8s %8s %10s %10s %10s %10s\n", "fibers", "record", "body", "commits/s", "cpu us",
           "a batch", "wait us");
    static const unsigned fibers[] = {1, 16, 64, 256};
    for (int i = 0; i < 4; i++) run_engine(dir, fibers[i], 400, 0, 0);
    for (int i = 0; i < 4; i++) run_engine(dir, fibers[i], 400, 4096, 0);
    printf("bodies in the log, then in extents\n");
    for (size_t body = 4096; body <= (size_t)64 << 10; body *= 2) {
        run_engine(dir, 64, 400, body, (size_t)64 << 10);
        run_engine(dir, 64, 400, body, 1);
    }
    return 0;
}
