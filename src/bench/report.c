/* What bench prints: a live line on a terminal, a table, and JSON. */
#include "bench/internal.h"
#include "sys/sys.h"
#include <jansson.h>
#include <unistd.h>

void report_progress(struct bench *b, const char *phase, uint64_t done, uint64_t bytes, double seconds)
{
    if (b->o.quiet || !isatty(2)) return;
    fprintf(stderr, "\r\033[K%-8s %8.1f s  %10llu ops  %9.0f ops/s  %8.1f MB/s", phase, seconds,
            (unsigned long long)done, seconds > 0 ? (double)done / seconds : 0,
            seconds > 0 ? (double)bytes / 1e6 / seconds : 0);
    fflush(stderr);
}

static double ms(uint64_t us)
{
    return (double)us / 1000.0;
}

static json_t *json_of(const struct tally_op *t, double seconds)
{
    return json_pack("{s:I,s:f,s:f,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f}", "ops", (json_int_t)t->lat.count,
                     "ops_per_s", (double)t->lat.count / seconds, "mb_per_s",
                     (double)t->bytes / 1e6 / seconds, "errors", (json_int_t)t->errors, "wrong",
                     (json_int_t)t->wrong, "mean_ms",
                     t->lat.count ? ms(t->lat.sum_us) / (double)t->lat.count : 0.0, "p50_ms",
                     ms(hist_quantile(&t->lat, 0.5)), "p90_ms", ms(hist_quantile(&t->lat, 0.9)), "p99_ms",
                     ms(hist_quantile(&t->lat, 0.99)), "p999_ms", ms(hist_quantile(&t->lat, 0.999)), "max_ms",
                     ms(t->lat.max_us));
}

static void write_json(struct bench *b, const struct tally *sum, double seconds, uint64_t total)
{
    json_t *ops = json_object();
    for (int i = 0; i < BENCH_OPS; i++)
        if (b->o.mix[i]) json_object_set_new(ops, bench_op_names[i], json_of(&sum->op[i], seconds));
    json_t *doc = json_pack("{s:s%,s:i,s:f,s:o,s:f}", "endpoint", b->o.endpoint.p, b->o.endpoint.n,
                            "connections", (int)b->o.connections, "seconds", seconds, "operations", ops,
                            "client_cpu_us_per_op", total ? (double)b->client_cpu_us / (double)total : 0.0);
    if (b->o.server_pid)
        json_object_set_new(doc, "server_cpu_us_per_op",
                            json_real(total ? (double)b->server_cpu_us / (double)total : 0.0));
    bool std_out = str_eq(b->o.json_file, STR("-"));
    int rc = std_out ? json_dumpf(doc, stdout, JSON_INDENT(2))
                     : json_dump_file(doc, b->o.json_file.p, JSON_INDENT(2));
    if (std_out) printf("\n");
    if (rc != 0) {
        fprintf(stderr, "ingot: bench: cannot write %.*s\n", STR_FMT(b->o.json_file));
        b->exit_code = 3;
    }
    json_decref(doc);
}

static void print_row(FILE *f, const char *name, const struct tally_op *t, double seconds)
{
    fprintf(f, "%-10s %9llu %10.1f %9.1f %9.2f %9.2f %9.2f %9.2f %9.2f %7llu\n", name,
            (unsigned long long)t->lat.count, (double)t->lat.count / seconds,
            (double)t->bytes / 1e6 / seconds, ms(hist_quantile(&t->lat, 0.5)),
            ms(hist_quantile(&t->lat, 0.9)), ms(hist_quantile(&t->lat, 0.99)),
            ms(hist_quantile(&t->lat, 0.999)), ms(t->lat.max_us), (unsigned long long)t->errors);
}

void report_final(struct bench *b, const struct tally *sum)
{
    double seconds = (double)b->run_ns / 1e9;
    uint64_t total = 0, errors = 0;
    bool json_out = str_eq(b->o.json_file, STR("-"));
    FILE *f = json_out ? stderr : stdout; /* the table makes way when JSON goes to standard output */
    if (!b->o.quiet && isatty(2)) fprintf(stderr, "\r\033[K");
    fprintf(f, "%-10s %9s %10s %9s %9s %9s %9s %9s %9s %7s\n", "operation", "count", "ops/s", "MB/s",
            "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "errors");
    for (int i = 0; i < BENCH_OPS; i++) {
        if (!b->o.mix[i]) continue;
        print_row(f, bench_op_names[i], &sum->op[i], seconds);
        total += sum->op[i].lat.count;
        errors += sum->op[i].errors;
    }
    fprintf(f, "%.2f s, %llu connections, client %.1f us CPU an operation", seconds,
            (unsigned long long)b->o.connections, total ? (double)b->client_cpu_us / (double)total : 0.0);
    if (b->o.server_pid)
        fprintf(f, ", server %.1f us", total ? (double)b->server_cpu_us / (double)total : 0.0);
    fprintf(f, "\n");
    for (int i = 0; i < BENCH_OPS; i++)
        if (sum->op[i].first_error[0])
            fprintf(f, "%s: %llu errors (%llu with wrong bytes); the first: %s\n", bench_op_names[i],
                    (unsigned long long)sum->op[i].errors, (unsigned long long)sum->op[i].wrong,
                    sum->op[i].first_error);
    if (b->o.json_file.n) write_json(b, sum, seconds, total);
    if ((errors || total == 0) && b->exit_code == 0) b->exit_code = 1;
}
