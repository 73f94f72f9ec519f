/* ingot bench: its options are its own (bench/options.c), because it needs no data directory and no settings.
 */
#include "bench/bench.h"
#include "cmd/cmd.h"

static int run(const struct command *self, int argc, char **argv)
{
    (void)self;
    return bench_main(argc + 1, argv - 1); /* with the subcommand's name as argv[0] */
}

const struct command cmd_bench = {
    .name = "bench", .about = "load an S3 server and say how it did", .run = run};
