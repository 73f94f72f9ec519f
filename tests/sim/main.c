/* The whole server under power cuts, in simulation, against a model.
 *
 *   torture [--cuts N] [--from SEED] [--jobs N] [--bad N]   histories until N power cuts or N bad ones;
 * figures torture --seed S [--cuts N]   one history, as a failing run says; prints its trace hash
 *
 * A history is a process of its own; what it prints goes to the one who reads the failure. */
#include "world.h"
#include "view_model.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CUTS = 25, JOBS_MAX = 64, HISTORY_SECONDS = 600, AGAIN = 16, BAD_MAX = 20, PROGRESS_SECONDS = 60 };

struct totals { /* shared by all processes; each history adds with the lock of atomics */
    _Atomic uint64_t points, lives, ops, checks, recoveries, opening, working, closing, http_points, lost,
        replayed, views[4];
    _Atomic uint64_t did[OP_KINDS];
    _Atomic uint64_t hash[JOBS_MAX]; /* of the last history of each place */
};
static struct totals *sum;

static void add(uint64_t seed, const struct history *h)
{
    sum->points += h->points;
    sum->lives += h->lives;
    sum->ops += h->ops;
    sum->checks += h->checks;
    sum->recoveries += h->recoveries;
    sum->opening += h->opening;
    sum->working += h->working;
    sum->closing += h->closing;
    sum->lost += h->lost;
    if (seed % 4 == 0) sum->http_points += h->points;
    for (unsigned i = 0; i < OP_KINDS; i++) sum->did[i] += h->did[i];
    sum->views[0] += view_model_counts.kept;
    sum->views[1] += view_model_counts.partly;
    sum->views[2] += view_model_counts.lost;
    sum->views[3] += view_model_counts.stuck;
}

/* The process of one history. */
static void child(uint64_t seed, unsigned cuts, unsigned place, bool again)
{
    struct history h;
    alarm(HISTORY_SECONDS);
    const char *say = getenv("INGOT_SIM_LOG"); /* "info": all that the server logs */
    log_setup(say && strcmp(say, "info") == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, -1);
    if (!say) ASSERT(freopen("/dev/null", "w", stderr) || true);
    history_run(seed, cuts, &h);
    if (!again) add(seed, &h);
    sum->hash[place] = h.hash;
    _exit(0);
}

static pid_t begin(uint64_t seed, unsigned cuts, unsigned place, bool again)
{
    fflush(stdout);
    pid_t p = fork();
    ASSERT(p >= 0);
    if (p == 0) child(seed, cuts, place, again);
    return p;
}

static void say_failed(const char *self, uint64_t seed, unsigned cuts, int status)
{
    printf("FAILED: seed %llu (%s %d); replay: INGOT_SIM_LOG=1 %s --seed %llu --cuts %u\n",
           (unsigned long long)seed, WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), self, (unsigned long long)seed,
           cuts);
}

static uint64_t argument(int argc, char **argv, const char *name, uint64_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return strtoull(argv[i + 1], NULL, 10);
    return otherwise;
}

static int one(const char *self, uint64_t seed, unsigned cuts)
{
    int status;
    pid_t p = begin(seed, cuts, 0, false);
    ASSERT(waitpid(p, &status, 0) == p);
    if (status != 0) {
        say_failed(self, seed, cuts, status);
        return 1;
    }
    printf("seed %llu: %llu power cuts, trace %016llx\n", (unsigned long long)seed,
           (unsigned long long)sum->points, (unsigned long long)sum->hash[0]);
    return 0;
}

static void report(double seconds, unsigned bad)
{
    unsigned rows = 0;
    for (unsigned i = 0; i < OP_KINDS; i++) rows += sum->did[i] > 0;
    printf("crash points %llu (opening %llu, working %llu, closing %llu; over HTTP %llu), bad=%u\n",
           (unsigned long long)sum->points, (unsigned long long)sum->opening,
           (unsigned long long)sum->working, (unsigned long long)sum->closing,
           (unsigned long long)sum->http_points, bad);
    printf("lives %llu, operations %llu of %u kinds, answers lost %llu, checks %llu, recoveries %llu, "
           "histories run twice %llu\n",
           (unsigned long long)sum->lives, (unsigned long long)sum->ops, rows, (unsigned long long)sum->lost,
           (unsigned long long)sum->checks, (unsigned long long)sum->recoveries,
           (unsigned long long)sum->replayed);
    printf("views kept %llu, older %llu, oldest %llu, met a full disk %llu times; %.1f s, %.2f ms a point\n",
           (unsigned long long)sum->views[0], (unsigned long long)sum->views[1],
           (unsigned long long)sum->views[2], (unsigned long long)sum->views[3], seconds,
           sum->points ? 1000 * seconds / (double)sum->points : 0);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct place {
    pid_t pid; /* 0: free */
    uint64_t seed, hash;
    bool again; /* its seed is run a second time: the history must be the same */
};

/* A history has ended. true: its place goes on with the same seed. */
static bool ended(const char *self, struct place *p, unsigned i, int status, unsigned *bad)
{
    uint64_t hash = sum->hash[i];
    if (status != 0) {
        ++*bad;
        say_failed(self, p->seed, CUTS, status);
    } else if (p->again && p->hash != hash) {
        ++*bad;
        printf("FAILED: seed %llu gave the traces %016llx and %016llx\n", (unsigned long long)p->seed,
               (unsigned long long)p->hash, (unsigned long long)hash);
    } else if (!p->again && p->seed % AGAIN == 1) {
        p->hash = hash;
        p->again = true;
        p->pid = begin(p->seed, CUTS, i, true);
        return true;
    }
    sum->replayed += p->again;
    *p = (struct place){0};
    return false;
}

/* Processes side by side until enough points are done; a failing seed is said at once. */
static unsigned many(const char *self, uint64_t from, uint64_t points, unsigned jobs, unsigned bad_max)
{
    struct place place[JOBS_MAX] = {{0}};
    unsigned bad = 0, live = 0;
    uint64_t seed = from, started = 0;
    double next = now() + PROGRESS_SECONDS;
    while (live > 0 || (started * CUTS < points && bad < bad_max)) {
        for (unsigned i = 0; i < jobs && started * CUTS < points && bad < bad_max; i++) {
            if (place[i].pid) continue;
            place[i].seed = seed++;
            place[i].pid = begin(place[i].seed, CUTS, i, false);
            started++;
            live++;
        }
        int status;
        pid_t p = wait(&status);
        ASSERT(p > 0);
        for (unsigned i = 0; i < jobs; i++)
            if (place[i].pid == p) live -= !ended(self, &place[i], i, status, &bad);
        if (now() < next) continue;
        next = now() + PROGRESS_SECONDS;
        printf("… %llu crash points\n", (unsigned long long)sum->points);
        fflush(stdout);
    }
    return bad;
}

int main(int argc, char **argv)
{
    sum = mmap(NULL, sizeof *sum, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(sum != MAP_FAILED);
    uint64_t seed = argument(argc, argv, "--seed", 0),
             points = argument(argc, argv, "--cuts", seed ? CUTS : 2000);
    if (seed) return one(argv[0], seed, (unsigned)points);
    uint64_t jobs = argument(argc, argv, "--jobs", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    double began = now();
    uint64_t bad_max = argument(argc, argv, "--bad", BAD_MAX);
    unsigned bad = many(argv[0], argument(argc, argv, "--from", 1), points,
                        (unsigned)(jobs < 1          ? 1
                                   : jobs > JOBS_MAX ? JOBS_MAX
                                                     : jobs),
                        (unsigned)bad_max);
    report(now() - began, bad);
    return bad ? 1 : 0;
}
