/* power: the store under power cuts, on a recorded block log. tests/power/README.md says how the parts play
 * together.
 *
 *   power record --dir DIR --bytes N --log FILE --position FILE
 *       serves DIR/disk until it is unmounted and logs what is written
 *   power replay --dir DIR --bytes N --log FILE --history FILE --fs ext4|xfs --first N --states N --seed N
 *                [--only N] [--deep-one-in N] [--data NAME]
 *       exit codes: 0 all states good, 1 bad ones, 2 wrong usage, 3 the harness failed
 */
#include "base/log.h"
#include "power/disk.h"
#include "power/replay.h"

#include <getopt.h>

struct arguments {
    struct replay_options replay;
    const char *position;
};

enum { DIR, BYTES, LOG, POSITION, HISTORY, FS, FIRST, STATES, SEED, ONLY, DEEP, DATA };

static const struct option options[] = {
    {"dir", 1, NULL, DIR},
    {"bytes", 1, NULL, BYTES},
    {"log", 1, NULL, LOG},
    {"position", 1, NULL, POSITION},
    {"history", 1, NULL, HISTORY},
    {"fs", 1, NULL, FS},
    {"first", 1, NULL, FIRST},
    {"states", 1, NULL, STATES},
    {"seed", 1, NULL, SEED},
    {"only", 1, NULL, ONLY},
    {"deep-one-in", 1, NULL, DEEP},
    {"data", 1, NULL, DATA},
    {NULL, 0, NULL, 0},
};

static bool take_text(struct arguments *a, int option)
{
    const char **to[] = {[DIR] = &a->replay.dir,         [LOG] = &a->replay.log, [POSITION] = &a->position,
                         [HISTORY] = &a->replay.history, [FS] = &a->replay.fs,   [DATA] = &a->replay.data};
    if ((size_t)option >= sizeof to / sizeof *to || !to[option]) return false;
    *to[option] = optarg;
    return true;
}

static bool take_number(struct arguments *a, int option)
{
    uint64_t n;
    if (!str_to_u64(str_c(optarg), &n)) return false;
    switch (option) {
    case BYTES:
        a->replay.bytes = n;
        return n % (1u << 20) == 0;
    case FIRST:
        a->replay.first = n;
        return true;
    case STATES:
        a->replay.states = n;
        return true;
    case SEED:
        a->replay.seed = n;
        return true;
    case ONLY:
        a->replay.only = n;
        return true;
    case DEEP:
        a->replay.deep_one_in = (unsigned)n;
        return true;
    default:
        return false;
    }
}

static bool parse(struct arguments *a, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        if (option == '?' || (!take_text(a, option) && !take_number(a, option))) return false;
    return optind == argc && a->replay.dir && a->replay.log && a->replay.bytes;
}

static int record(const struct arguments *a)
{
    struct block_writer *w = block_writer_open(a->replay.log, a->position);
    struct disk *d = w ? disk_new(a->replay.bytes, w) : NULL;
    return d ? disk_serve(d, a->replay.dir) : 3;
}

/* The same small sizes as the recorded server's, so that a state opens in a moment. */
static const struct engine_options small = {
    .log_bytes = 4 << 20, .segment_bytes = 1 << 20, .archive_bytes = 64 << 10, .index_buffer = 128 << 10};

int main(int argc, char **argv)
{
    struct arguments a = {.replay = {.data = "data", .engine = small}};
    const char *command = argc > 1 ? argv[1] : "";
    bool parsed = argc > 1 && parse(&a, argc - 1, argv + 1);
    if (parsed && strcmp(command, "record") == 0 && a.position) return record(&a);
    if (parsed && strcmp(command, "replay") == 0 && a.replay.history && a.replay.fs) {
        log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, -1);
        int64_t bad = replay(&a.replay);
        return bad < 0 ? 3 : bad ? 1 : 0;
    }
    fputs("usage: power record|replay … (see tests/power/main.c)\n", stderr);
    return 2;
}
