/* bench: `ingot bench`, a load client for any S3 server. Light: one fiber a connection, signatures with a
 * cached key, bodies sent from and compared with one pattern in memory. Its figures are a client's: from the
 * first byte sent to the last byte read and verified.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

/* The subcommand; argv[0] is "bench". Returns the exit code: 0 all well, 1 errors or wrong bytes, 2 usage, 3
 * could not run. */
int bench_main(int argc, char **argv);

#endif
