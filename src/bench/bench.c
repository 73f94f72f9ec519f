/* The course of a run: prepare, warm up, measure, clean up, report. */
#include "bench/bench.h"
#include "base/pages.h"
#include "bench/internal.h"
#include "sys/sys.h"
#include <netdb.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t bench_mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}
uint64_t bench_size_of(const struct bench *b, uint64_t id)
{
    return b->o.sizes[bench_mix64(id + 1) % b->o.nsizes];
}
uint64_t bench_offset_of(uint64_t id)
{
    return bench_mix64(id ^ 0x5bd1e995) % PATTERN_SIZE;
}

/* ---- phases: every connection runs one function, the coordinator waits for all ---- */
struct phase {
    struct bench *b;
    void (*run)(struct conn *c, struct phase *p);
    struct rt_sem done;
    int64_t began;
    _Atomic uint64_t next; /* work items handed out */
    _Atomic uint64_t failed;
};
struct seat {
    struct phase *p;
    struct conn *c;
};

static void seat_run(void *arg)
{
    struct seat *s = arg;
    struct phase *p = s->p;
    p->run(s->c, p);
    conn_close(s->c); /* here, on the loop that the socket belongs to */
    free(s);
    rt_sem_give(&p->done, 1);
}

static void run_phase(struct bench *b, struct phase *p, void (*run)(struct conn *, struct phase *),
                      const char *name, bool live)
{
    p->b = b;
    p->run = run;
    p->began = rt_now();
    rt_sem_init(&p->done, 0);
    unsigned n = (unsigned)b->o.connections, left = n;
    for (unsigned i = 0; i < n; i++) {
        struct seat *s = malloc(sizeof *s);
        ASSERT(s);
        *s = (struct seat){p, &b->conns[i]};
        bool ok = rt_spawn(rt_loop_at(b->rt, i % rt_loops(b->rt)), "connection", seat_run, s);
        ASSERT(ok);
    }
    int64_t from = rt_now();
    while (left) {
        if (rt_sem_take(&p->done, 1, rt_now() + RT_SEC / 4)) left--;
        double t = (double)(rt_now() - from) / 1e9;
        if (live)
            report_progress(b, name, b->done_ops, b->done_bytes, t);
        else
            report_progress(b, name, p->next < b->o.objects ? p->next : b->o.objects, 0, t);
    }
}

static void prepare(struct conn *c, struct phase *p)
{
    for (uint64_t id; !c->b->stop && (id = p->next++) < c->b->o.objects;)
        if (!work_prepare(c, id)) p->failed++;
}

static void clean(struct conn *c, struct phase *p)
{
    for (uint64_t id; !c->b->gone && (id = p->next++) < c->b->o.objects;)
        if (!work_remove(c, id)) p->failed++;
    for (uint64_t i = 0; i < c->puts && !c->b->gone; i++)
        if (!work_remove(c, PUT_IDS + ((uint64_t)c->index << 24) + i)) p->failed++;
}

static enum bench_op draw(struct conn *c)
{
    c->rng += 0x9E3779B97F4A7C15ull;
    unsigned at = (unsigned)(bench_mix64(c->rng) % c->b->o.mix_sum);
    for (int i = 0; i < BENCH_OPS; i++) {
        if (at < c->b->o.mix[i]) return (enum bench_op)i;
        at -= c->b->o.mix[i];
    }
    UNREACHABLE();
}

/* One operation every 1 / rate seconds over all connections; who is late begins at once. */
static void wait_for_slot(struct bench *b, int64_t began)
{
    int64_t at = began + (int64_t)((double)b->slots++ * 1e9 / (double)b->o.rate);
    while (!b->stop && rt_now() < at) rt_sleep(at - rt_now() < RT_SEC / 10 ? at - rt_now() : RT_SEC / 10);
}

static void measure(struct conn *c, struct phase *p)
{
    struct bench *b = p->b;
    while (!b->stop && !b->gone) {
        if (b->o.rate) wait_for_slot(b, p->began);
        if (b->o.count && b->measuring && b->started++ >= b->o.count) break;
        enum bench_op op = draw(c);
        if (work_one(c, op)) continue;
        if (b->o.mix[op] == b->o.mix_sum) break;
        work_one(c, BENCH_PUT); /* nothing of its own to delete so far: put something */
    }
}

/* ---- CPU time ---- */
static uint64_t own_cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* utime + stime of /proc/PID/stat, fields 14 and 15, counted after the command's closing parenthesis. */
static size_t read_proc(int pid, const char *name, char text[1024])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, 1023, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    return n;
}

static uint64_t one_cpu_us(int pid)
{
    char text[1024];
    read_proc(pid, "stat", text);
    const char *p = strrchr(text, ')');
    unsigned long long user = 0, system = 0;
    if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return 0;
    return (user + system) * 1000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* With the processes that its main thread has started: some servers fork their workers. */
static uint64_t process_cpu_us(int pid)
{
    char name[40], text[1024];
    uint64_t sum = one_cpu_us(pid);
    snprintf(name, sizeof name, "task/%d/children", pid);
    read_proc(pid, name, text);
    for (char *p = text, *end; *p; p = end) {
        long child = strtol(p, &end, 10);
        if (end == p) break;
        sum += one_cpu_us((int)child);
    }
    return sum;
}

/* ---- the coordinator ---- */
struct marks {
    int64_t from;
    uint64_t own, server;
};

static void timekeeper(void *arg)
{
    struct bench *b = arg;
    int64_t warm_end = rt_now() + b->o.warmup_ns;
    while (!b->stop && rt_now() < warm_end) rt_sleep(5 * RT_MS);
    struct marks m = {rt_now(), own_cpu_us(), b->o.server_pid ? process_cpu_us((int)b->o.server_pid) : 0};
    if (!b->measuring) b->measured_from = m.from;
    b->measuring = true;
    while (!b->stop &&
           (b->o.count ? b->started < b->o.count + b->o.connections : rt_now() < m.from + b->o.duration_ns))
        rt_sleep(5 * RT_MS);
    b->run_ns = rt_now() - m.from;
    b->client_cpu_us = own_cpu_us() - m.own;
    if (b->o.server_pid) b->server_cpu_us = process_cpu_us((int)b->o.server_pid) - m.server;
    if (!b->o.count) b->measuring = false;
    b->stop = true;
}

static void print_presigned(struct bench *b)
{
    struct buf out;
    buf_init(&out, 0);
    for (uint64_t id = 0; id < b->o.objects && !out.overflow; id++) {
        char path[1400];
        sign_presigned(&b->conns[0].signer, &out, "GET", work_object_path(b, id, path), 3600);
        buf_char(&out, '\n');
    }
    fwrite(out.p, 1, out.n, stdout);
    buf_free(&out);
}

static void fail(struct bench *b, const char *what)
{
    fprintf(stderr, "ingot: bench: %.*s: %s\n", STR_FMT(b->o.endpoint), what);
    b->exit_code = 3;
}

static void merge(struct bench *b)
{
    struct tally *sum = calloc(1, sizeof *sum);
    ASSERT(sum);
    for (unsigned l = 0; l < rt_loops(b->rt); l++) {
        for (int i = 0; i < BENCH_OPS; i++) {
            struct tally_op *to = &sum->op[i], *from = &b->tallies[l].op[i];
            hist_merge(&to->lat, &from->lat);
            to->errors += from->errors;
            to->wrong += from->wrong;
            to->bytes += from->bytes;
            if (!to->first_error[0]) memcpy(to->first_error, from->first_error, sizeof to->first_error);
        }
    }
    report_final(b, sum);
    free(sum);
}

static void coordinate(void *arg)
{
    struct bench *b = arg;
    char why[160] = "";
    const unsigned *mix = b->o.mix;
    bool reads = b->o.presign || b->o.overwrite || mix[BENCH_GET] || mix[BENCH_HEAD] || mix[BENCH_LIST] ||
                 mix[BENCH_DELETE];
    struct phase prep = {0}, run = {0}, tidy = {0};
    if (!reads) b->o.objects = 0;
    bool ready = work_bucket(&b->conns[0], why);
    if (ready && reads && !b->o.existing) {
        run_phase(b, &prep, prepare, "prepare", false);
        if (prep.failed)
            snprintf(why, sizeof why, "%llu objects could not be put", (unsigned long long)prep.failed);
    }
    if (!ready || prep.failed) {
        fail(b, why);
    } else if (b->o.presign) {
        print_presigned(b);
    } else if (!b->stop) {
        b->measured_from = rt_now();
        b->measuring = b->o.warmup_ns == 0; /* else the first operations would be lost */
        bool ok = rt_spawn(rt_self(), "timekeeper", timekeeper, b);
        ASSERT(ok);
        run_phase(b, &run, measure, "measure", true);
        b->stop = true; /* the timekeeper ends, too, when the work ran out first */
        while (!b->run_ns) rt_sleep(RT_MS);
        merge(b);
    }
    b->stop = false; /* an interrupt ends the measuring, not the cleaning; a second one does */
    if (!b->o.keep && ready) run_phase(b, &tidy, clean, "clean", false);
    if (tidy.failed)
        fprintf(stderr, "ingot: bench: %llu objects could not be removed\n", (unsigned long long)tidy.failed);
    conn_close(&b->conns[0]); /* this loop's own */
    rt_stop(b->rt);
}

static void on_interrupt(void *arg, int signo)
{
    ((struct bench *)arg)->stop = signo != 0;
}

static bool resolve(struct bench *b)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(b->o.host_name, b->o.port, &hints, &found) != 0 || !found) {
        fail(b, "no such host");
        return false;
    }
    memcpy(&b->addr.ss, found->ai_addr, found->ai_addrlen);
    b->addr.len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool set_up(struct bench *b)
{
    uint64_t cores = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), loops = b->o.loops ? b->o.loops : cores;
    if (loops > b->o.connections) loops = b->o.connections;
    struct rt_options ro = {
        .backend = RT_AUTO, .loops = (unsigned)loops, .max_fibers = (unsigned)b->o.connections + 16};
    if (!resolve(b)) return false;
    if (rt_new(&ro, &b->rt) != ERR_OK) {
        fail(b, "the runtime could not start");
        return false;
    }
    if (b->o.tls) {
        b->tls = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_default_verify_paths(b->tls);
        SSL_CTX_set_verify(b->tls, b->o.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    }
    b->pattern = pages_alloc(2 * PATTERN_SIZE);
    b->tallies = calloc(loops, sizeof *b->tallies);
    b->conns = calloc(b->o.connections, sizeof *b->conns);
    ASSERT(b->pattern && b->tallies && b->conns);
    for (uint64_t i = 0; i < PATTERN_SIZE / 8; i++) {
        uint64_t v = bench_mix64(i + 1);
        memcpy(b->pattern + i * 8, &v, 8);
    }
    memcpy(b->pattern + PATTERN_SIZE, b->pattern, PATTERN_SIZE);
    return true;
}

static void set_up_connections(struct bench *b)
{
    for (unsigned i = 0; i < b->o.connections; i++) {
        struct conn *c = &b->conns[i];
        c->b = b;
        c->index = i;
        c->tally = &b->tallies[i % rt_loops(b->rt)];
        c->rng = bench_mix64(i + 77);
        c->rx = pages_alloc(BENCH_RX);
        ASSERT(c->rx);
        buf_init(&c->head, 16384);
        buf_init(&c->text, 8 << 20);
        signer_init(&c->signer, &b->o);
    }
}

static void tear_down(struct bench *b)
{
    for (unsigned i = 0; i < b->o.connections; i++) {
        free(b->conns[i].rx);
        buf_free(&b->conns[i].head);
        buf_free(&b->conns[i].text);
    }
    free(b->conns);
    free(b->tallies);
    free(b->pattern);
    if (b->tls) SSL_CTX_free(b->tls);
    rt_free(b->rt);
}

int bench_main(int argc, char **argv)
{
    static struct bench b;
    int e = bench_parse(argc, argv, &b.o);
    if (e) return e - 1;
    if (!set_up(&b)) return b.exit_code;
    set_up_connections(&b);
    rt_on_signal(b.rt, SIGINT, on_interrupt, &b);
    rt_on_signal(b.rt, SIGTERM, on_interrupt, &b);
    ASSERT(rt_spawn(rt_loop_at(b.rt, 0), "bench", coordinate, &b));
    rt_run(b.rt);
    tear_down(&b);
    return b.exit_code;
}
