/* What extents cost: MB/s and CPU per MiB of writing and reading blobs by several fibers, with and without
 * O_DIRECT. extent_bench DIR: makes and removes DIR/extents; run it on the file system that matters. */
#include "base/assert.h"
#include "rt/rt.h"
#include "store/extents.h"
#include "sys/sys.h"

#include <sys/resource.h>
#include <unistd.h>

#define STEP      ((size_t)64 << 10) /* as a body arrives */
#define VIEW      ((size_t)256 << 10)
#define BLOBS_MAX 16384

struct load {
    struct extents *x;
    uint64_t size;
    unsigned blobs, next, running;
    bool reading;
    struct extent_place place[BLOBS_MAX];
    char *data;
    struct rt_mutex mu;
    struct rt_cond done;
};

static void put(struct load *l, unsigned i)
{
    struct extent_writer *w;
    const struct extent_place *p;
    size_t n;
    ASSERT(extent_writer_new(l->x, i + 1, (int64_t)l->size, &w) == ERR_OK);
    for (uint64_t at = 0; at < l->size; at += STEP)
        ASSERT(extent_write(w, l->data + at % (1 << 20), l->size - at < STEP ? l->size - at : STEP) ==
               ERR_OK);
    ASSERT(extent_seal(w, STR("bucket/key"), &p, &n) == ERR_OK && n == 1);
    l->place[i] = *p;
    extent_writer_keep(w);
}

static void get(struct load *l, unsigned i, char *buf, size_t cap)
{
    struct extent_table *t = NULL;
    struct str view;
    for (uint64_t at = 0; at < l->size; at += VIEW) {
        size_t n = l->size - at < VIEW ? (size_t)(l->size - at) : VIEW;
        ASSERT(extent_read(l->x, &l->place[i], i + 1, &t, at, n, buf, cap, &view) == ERR_OK);
    }
    extent_table_free(t);
}

static void worker(void *arg)
{
    struct load *l = arg;
    size_t cap = VIEW + 2 * EXTENT_BLOCK_MAX;
    char *buf = malloc(cap);
    ASSERT(buf);
    rt_mutex_lock(&l->mu);
    while (l->next < l->blobs) {
        unsigned i = l->next++;
        rt_mutex_unlock(&l->mu);
        if (l->reading)
            get(l, i, buf, cap);
        else
            put(l, i);
        rt_mutex_lock(&l->mu);
    }
    if (--l->running == 0) rt_cond_broadcast(&l->done);
    rt_mutex_unlock(&l->mu);
    free(buf);
}

struct usage {
    int64_t wall;
    double own, machine; /* seconds of CPU */
};

static struct usage usage_now(void)
{
    struct usage u = {.wall = rt_now()};
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    u.own = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
            1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
    unsigned long user = 0, nice = 0, system = 0, idle, wait, irq = 0, soft = 0;
    FILE *f = fopen("/proc/stat", "r");
    if (f) {
        if (fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system, &idle, &wait, &irq, &soft) !=
            7)
            fprintf(stderr, "/proc/stat: unknown format\n");
        fclose(f);
    }
    u.machine = (double)(user + nice + system + irq + soft) / (double)sysconf(_SC_CLK_TCK);
    return u;
}

static void phase(struct rt *r, struct load *l, const char *what, bool reading, unsigned fibers)
{
    l->reading = reading;
    l->next = 0;
    l->running = fibers;
    struct extents_stats a, b;
    extents_get_stats(l->x, &a);
    struct usage from = usage_now();
    for (unsigned i = 0; i < fibers; i++)
        ASSERT(rt_spawn(rt_loop_at(r, i % rt_loops(r)), "bench", worker, l));
    rt_mutex_lock(&l->mu);
    while (l->running) rt_cond_wait(&l->done, &l->mu, RT_FOREVER);
    rt_mutex_unlock(&l->mu);
    struct usage to = usage_now();
    extents_get_stats(l->x, &b);
    double mib = (double)l->size * l->blobs / (1 << 20), s = (double)(to.wall - from.wall) / 1e9;
    printf("%-16s %8.0f KiB x %2u  %7.0f MB/s %8.0f blobs/s  own %.3f  machine %.3f ms/MiB  %llu flushes\n",
           what, (double)l->size / 1024, fibers, mib * 1.048576 / s, l->blobs / s,
           (to.own - from.own) * 1000 / mib, (to.machine - from.machine) * 1000 / mib,
           (unsigned long long)(b.flushes - a.flushes));
    fflush(stdout);
}

static bool remove_one(void *arg, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    unlink(path);
    return true;
}

static const char *bench_dir;

static void run(struct rt *r, bool buffered, uint64_t size, unsigned fibers, uint64_t total)
{
    static struct load l;
    char why[512] = "", dir[512];
    l = (struct load){.size = size, .blobs = (unsigned)(total / size), .data = malloc(1 << 20)};
    ASSERT(l.blobs <= BLOBS_MAX && l.data);
    sys_real.random(l.data, 1 << 20);
    rt_mutex_init(&l.mu);
    rt_cond_init(&l.done);
    struct extents_options o = {.dir = bench_dir, .buffered = buffered};
    if (extents_open(&o, &l.x, why) != ERR_OK) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    phase(r, &l, buffered ? "write, buffered" : "write", false, fibers);
    if (!buffered && size > 1 << 20) phase(r, &l, "read, cold", true, fibers);
    phase(r, &l, "read, cached", true, fibers);
    extents_close(l.x);
    free(l.data);
    snprintf(dir, sizeof dir, "%s/extents", bench_dir);
    sys_real.list(dir, remove_one, dir);
    rmdir(dir);
}

static struct {
    uint64_t size, total;
    unsigned fibers;
    bool buffered;
} only;

static void body(void *arg)
{
    struct rt *r = arg;
    if (only.size) {
        run(r, only.buffered, only.size, only.fibers, only.total);
        rt_stop(r);
        return;
    }
    run(r, false, 64 << 20, 1, 1ull << 30); /* first touches of memory and blocks: not to be counted */
    printf("-- above: warm-up\n");
    for (int buffered = 0; buffered < 2; buffered++) {
        run(r, buffered, 64 << 20, 1, 1ull << 30);
        run(r, buffered, 64 << 20, 4, 1ull << 30);
        run(r, buffered, 8 << 20, 8, 1ull << 30);
    }
    run(r, false, 1 << 20, 16, 512 << 20);
    run(r, false, 256 << 10, 32, 512 << 20);
    run(r, false, 64 << 10, 64, 256 << 20);
    run(r, false, 64 << 10, 1, 64 << 20);
    rt_stop(r);
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 5 && argc != 6) {
        fprintf(stderr, "usage: extent_bench DIR [KIB_A_BLOB FIBERS TOTAL_MIB [buffered]]\n");
        return 2;
    }
    bench_dir = argv[1];
    if (argc > 2) {
        only.size = strtoull(argv[2], NULL, 10) << 10;
        only.fibers = (unsigned)strtoul(argv[3], NULL, 10);
        only.total = strtoull(argv[4], NULL, 10) << 20;
        only.buffered = argc == 6;
    }
    struct rt_options o = {.backend = RT_EPOLL};
    struct rt *r;
    if (rt_new(&o, &r) != ERR_OK) return 1;
    ASSERT(rt_spawn(rt_loop_at(r, 0), "bench", body, r));
    rt_run(r);
    rt_free(r);
    return 0;
}
