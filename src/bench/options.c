/* Command line of `ingot bench`. */
#include "bench/internal.h"
#include <getopt.h>

const char *const bench_op_names[BENCH_OPS] = {"put", "get", "head", "list", "delete", "multipart"};

static const char help[] =
    "ingot bench: load an S3 server and say how it did\n"
    "\n"
    "  ingot bench --endpoint http://127.0.0.1:9000 --mix get=1 --size 4KiB\n"
    "  ingot bench --mix put=1 --size 64MiB --connections 4 --duration 20s\n"
    "  ingot bench --mix put=20,get=70,head=5,list=1,delete=4 --size 1KiB,16KiB,1MiB --json out.json\n"
    "  ingot bench --mix multipart=1 --multipart-size 64MiB --part-size 8MiB --connections 2 --count 50\n"
    "\n"
    "It creates the bucket if it is missing, puts the objects that reads need, warms up, measures, and "
    "removes what it\n"
    "put. Every byte read is compared with what was stored.\n"
    "\n"
    "  --endpoint URL         http:// or https://HOST:PORT (http://127.0.0.1:9000)\n"
    "  --access-key, --secret-key   or INGOT_ACCESS_KEY, INGOT_SECRET_KEY, or AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY\n"
    "  --region NAME          (us-east-1)\n"
    "  --bucket NAME          (ingot-bench)\n"
    "  --prefix TEXT          keys start with it: letters, digits, - _ . / (bench/)\n"
    "  --mix OP=WEIGHT,...    of put get head list delete multipart (get=1)\n"
    "  --size SIZE,...        sizes of objects, chosen evenly: 4KiB, 1MiB, 0 (4KiB)\n"
    "  --objects N            prepared for get, head, list, delete (1000)\n"
    "  --list-keys N          keys a page of list (1000)\n"
    "  --multipart-size SIZE  (16MiB)   --part-size SIZE (5MiB)\n"
    "  --connections N        (64)      --loops N  threads of the client (cores, at most the connections)\n"
    "  --warmup TIME          (1s)      --duration TIME (10s)    --count N  stop after N operations instead\n"
    "  --sign-payload         send the SHA-256 of each body (unsigned payload otherwise)\n"
    "  --no-verify            do not compare what is read\n"
    "  --keep                 leave the objects there\n"
    "  --presign              prepare the objects, print one presigned GET URL a line (valid one hour), "
    "stop: for wrk\n"
    "  --server-pid PID       also say the CPU time of that process and its children for each operation "
    "(Linux)\n"
    "  --insecure             do not verify the server's certificate\n"
    "  --json FILE            write the figures there too; - for standard output\n"
    "  --quiet                no progress line\n"
    "\n"
    "exit code: 0 all well, 1 errors or wrong bytes, 2 a bad option, 3 could not run\n";

static int bad(const char *option, const char *value, const char *allowed)
{
    fprintf(stderr, "ingot bench: %s '%s': use %s\n", option, value, allowed);
    return 3;
}

/* A number with a unit of the table; false if malformed or over 2^50. */
struct unit {
    const char *name;
    uint64_t factor;
};
static bool number(struct str s, const struct unit *units, uint64_t *out)
{
    size_t d = 0;
    while (d < s.n && s.p[d] >= '0' && s.p[d] <= '9') d++;
    uint64_t v;
    if (!str_to_u64(str_slice(s, 0, d), &v) || v > ((uint64_t)1 << 50)) return false;
    struct str u = str_slice(s, d, s.n);
    for (; units->name; units++) {
        if (!str_ieq(u, str_c(units->name))) continue;
        if (v > ((uint64_t)1 << 50) / units->factor) return false;
        *out = v * units->factor;
        return true;
    }
    return false;
}
static const struct unit bytes_units[] = {{"", 1},        {"B", 1},         {"K", 1024},
                                          {"KiB", 1024},  {"M", 1 << 20},   {"MiB", 1 << 20},
                                          {"G", 1 << 30}, {"GiB", 1 << 30}, {NULL, 0}};
static const struct unit time_units[] = {
    {"ms", 1000000}, {"s", 1000000000}, {"", 1000000000}, {"m", 60000000000ull}, {NULL, 0}};

static bool parse_mix(struct bench_options *o, struct str s)
{
    memset(o->mix, 0, sizeof o->mix);
    o->mix_sum = 0;
    while (s.p) {
        struct str weight = str_cut(&s, ','), name = str_cut(&weight, '=');
        uint64_t w = 1;
        if (weight.p && (!str_to_u64(weight, &w) || w > 1000000)) return false;
        int op = 0;
        while (op < BENCH_OPS && !str_eq(name, str_c(bench_op_names[op]))) op++;
        if (op == BENCH_OPS) return false;
        o->mix[op] = (unsigned)w;
        o->mix_sum += (unsigned)w;
    }
    return o->mix_sum > 0;
}

static bool parse_sizes(struct bench_options *o, struct str s)
{
    for (o->nsizes = 0; s.p; o->nsizes++) {
        struct str one = str_cut(&s, ',');
        if (o->nsizes == BENCH_SIZES_MAX || !number(one, bytes_units, &o->sizes[o->nsizes])) return false;
    }
    return o->nsizes > 0;
}

/* scheme://host[:port] */
static bool parse_endpoint(struct bench_options *o, struct str s)
{
    o->endpoint = s;
    o->tls = str_starts(s, STR("https://"));
    if (!o->tls && !str_starts(s, STR("http://"))) return false;
    s = str_slice(s, o->tls ? 8 : 7, s.n);
    if (str_ends(s, STR("/"))) s.n--;
    o->host = s;
    struct str name, port = STR_NONE;
    size_t close;
    if (s.n && s.p[0] == '[' && str_find(s, STR("]"), &close)) {
        name = str_slice(s, 1, close);
        port = str_slice(s, close + 1, s.n);
        if (port.n) port = str_slice(port, 1, port.n);
    } else {
        port = s;
        name = str_cut(&port, ':');
    }
    uint64_t n = o->tls ? 443 : 80;
    if (port.n && (!str_to_u64(port, &n) || n == 0 || n > 65535)) return false;
    snprintf(o->port, sizeof o->port, "%u", (unsigned)n);
    if (name.n == 0 || name.n >= sizeof o->host_name) return false;
    memcpy(o->host_name, name.p, name.n);
    o->host_name[name.n] = 0;
    return true;
}

static struct str env_or(const char *a, const char *b)
{
    const char *v = getenv(a);
    return str_c(v && *v ? v : getenv(b));
}

static void defaults(struct bench_options *o)
{
    memset(o, 0, sizeof *o);
    parse_endpoint(o, STR("http://127.0.0.1:9000"));
    o->access_key = env_or("INGOT_ACCESS_KEY", "AWS_ACCESS_KEY_ID");
    o->secret_key = env_or("INGOT_SECRET_KEY", "AWS_SECRET_ACCESS_KEY");
    o->region = STR("us-east-1");
    o->bucket = STR("ingot-bench");
    o->prefix = STR("bench/");
    parse_mix(o, STR("get=1"));
    parse_sizes(o, STR("4KiB"));
    o->objects = 1000;
    o->list_keys = 1000;
    o->multipart_size = 16 << 20;
    o->part_size = 5 << 20;
    o->connections = 64;
    o->warmup_ns = RT_SEC;
    o->duration_ns = 10 * RT_SEC;
    o->verify = true;
}

enum {
    O_ENDPOINT = 256,
    O_AK,
    O_SK,
    O_REGION,
    O_BUCKET,
    O_PREFIX,
    O_MIX,
    O_SIZE,
    O_OBJECTS,
    O_LIST,
    O_MPSIZE,
    O_PART,
    O_CONNS,
    O_LOOPS,
    O_WARM,
    O_DUR,
    O_COUNT,
    O_SIGN,
    O_NOVERIFY,
    O_KEEP,
    O_PRESIGN,
    O_PID,
    O_INSECURE,
    O_JSON,
    O_QUIET,
    O_HELP
};
static const struct option longs[] = {{"endpoint", 1, 0, O_ENDPOINT},
                                      {"access-key", 1, 0, O_AK},
                                      {"secret-key", 1, 0, O_SK},
                                      {"region", 1, 0, O_REGION},
                                      {"bucket", 1, 0, O_BUCKET},
                                      {"prefix", 1, 0, O_PREFIX},
                                      {"mix", 1, 0, O_MIX},
                                      {"size", 1, 0, O_SIZE},
                                      {"objects", 1, 0, O_OBJECTS},
                                      {"list-keys", 1, 0, O_LIST},
                                      {"multipart-size", 1, 0, O_MPSIZE},
                                      {"part-size", 1, 0, O_PART},
                                      {"connections", 1, 0, O_CONNS},
                                      {"loops", 1, 0, O_LOOPS},
                                      {"warmup", 1, 0, O_WARM},
                                      {"duration", 1, 0, O_DUR},
                                      {"count", 1, 0, O_COUNT},
                                      {"sign-payload", 0, 0, O_SIGN},
                                      {"no-verify", 0, 0, O_NOVERIFY},
                                      {"keep", 0, 0, O_KEEP},
                                      {"presign", 0, 0, O_PRESIGN},
                                      {"server-pid", 1, 0, O_PID},
                                      {"insecure", 0, 0, O_INSECURE},
                                      {"json", 1, 0, O_JSON},
                                      {"quiet", 0, 0, O_QUIET},
                                      {"help", 0, 0, O_HELP},
                                      {0, 0, 0, 0}};

static bool ranged(struct str v, uint64_t least, uint64_t most, uint64_t *out)
{
    return str_to_u64(v, out) && *out >= least && *out <= most;
}

static bool safe_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./", s.p[i]))
            return false;
    return true;
}

/* 0, or the code of bad(). */
static int set_option(struct bench_options *o, int opt, const char *name, const char *arg)
{
    struct str v = str_c(arg);
    uint64_t n = 0;
    switch (opt) {
    case O_ENDPOINT:
        return parse_endpoint(o, v) ? 0 : bad(name, arg, "http://HOST:PORT or https://HOST:PORT");
    case O_AK:
        o->access_key = v;
        return 0;
    case O_SK:
        o->secret_key = v;
        return 0;
    case O_REGION:
        o->region = v;
        return 0;
    case O_BUCKET:
        o->bucket = v;
        return safe_text(v) && v.n && v.n < 64 ? 0 : bad(name, arg, "a bucket name");
    case O_PREFIX:
        o->prefix = v;
        return safe_text(v) && v.n < 900 ? 0 : bad(name, arg, "letters, digits, - _ . /");
    case O_MIX:
        return parse_mix(o, v) ? 0 : bad(name, arg, "OP=WEIGHT,... with put get head list delete multipart");
    case O_SIZE:
        return parse_sizes(o, v) ? 0 : bad(name, arg, "up to 16 sizes such as 4KiB,1MiB");
    case O_OBJECTS:
        return ranged(v, 1, 1000000000, &o->objects) ? 0 : bad(name, arg, "1 to 1000000000");
    case O_LIST:
        o->list_keys = ranged(v, 1, 1000, &n) ? (unsigned)n : 0;
        return n ? 0 : bad(name, arg, "1 to 1000");
    case O_MPSIZE:
        return number(v, bytes_units, &o->multipart_size) && o->multipart_size
                   ? 0
                   : bad(name, arg, "a size such as 64MiB");
    case O_PART:
        return number(v, bytes_units, &o->part_size) && o->part_size ? 0
                                                                     : bad(name, arg, "a size such as 8MiB");
    case O_CONNS:
        o->connections = ranged(v, 1, 4096, &n) ? (unsigned)n : 0;
        return o->connections ? 0 : bad(name, arg, "1 to 4096");
    case O_LOOPS:
        o->loops = ranged(v, 1, 64, &n) ? (unsigned)n : 0;
        return o->loops ? 0 : bad(name, arg, "1 to 64");
    case O_WARM:
        if (!number(v, time_units, &n)) return bad(name, arg, "a time such as 2s");
        o->warmup_ns = (int64_t)n;
        return 0;
    case O_DUR:
        if (!number(v, time_units, &n) || !n) return bad(name, arg, "a time such as 10s");
        o->duration_ns = (int64_t)n;
        return 0;
    case O_COUNT:
        return ranged(v, 1, UINT64_MAX, &o->count) ? 0 : bad(name, arg, "a number of operations");
    case O_SIGN:
        o->sign_payload = true;
        return 0;
    case O_NOVERIFY:
        o->verify = false;
        return 0;
    case O_KEEP:
        o->keep = true;
        return 0;
    case O_PRESIGN:
        o->presign = o->keep = true;
        return 0;
    case O_PID:
        if (!ranged(v, 1, 1 << 22, &n)) return bad(name, arg, "a process id");
        o->server_pid = (int)n;
        return 0;
    case O_INSECURE:
        o->insecure = true;
        return 0;
    case O_JSON:
        o->json_file = v;
        return 0;
    case O_QUIET:
        o->quiet = true;
        return 0;
    default:
        fprintf(stderr, "ingot bench: try 'ingot bench --help'\n");
        return 3;
    }
}

int bench_parse(int argc, char **argv, struct bench_options *o)
{
    defaults(o);
    optind = 1;
    for (;;) {
        int which = 0, opt = getopt_long(argc, argv, "h", longs, &which);
        if (opt == -1) break;
        if (opt == O_HELP || opt == 'h') {
            fputs(help, stdout);
            return 1;
        }
        char name[40];
        snprintf(name, sizeof name, "--%s", opt == '?' ? "" : longs[which].name);
        int e = set_option(o, opt, name, optarg);
        if (e) return e;
    }
    if (optind < argc) return bad("argument", argv[optind], "options only; see 'ingot bench --help'");
    if (!o->access_key.n || !o->secret_key.n) {
        fprintf(
            stderr,
            "ingot bench: no credentials: give --access-key and --secret-key, or set INGOT_ACCESS_KEY and "
            "INGOT_SECRET_KEY\n");
        return 3;
    }
    return 0;
}
