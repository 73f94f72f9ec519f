/* Command line of `ingot bench`. */
#include "bench/internal.h"
#include <stddef.h>

const char *const bench_op_names[BENCH_OPS] = {"put", "get", "head", "list", "delete", "multipart"};

static const char help[] =
    "ingot bench: load an S3 server and say how it did\n"
    "\n"
    "  ingot bench --endpoint http://127.0.0.1:9000 --mix get=1 --size 4KiB\n"
    "  ingot bench --mix put=1 --size 64MiB --connections 4 --duration 20s\n"
    "  ingot bench --mix put=20,get=70,head=5,list=1,delete=4 --size 1KiB,16KiB,1MiB --json out.json\n"
    "  ingot bench --mix multipart=1 --multipart-size 64MiB --part-size 8MiB --connections 2 --count 50\n"
    "  ingot bench --endpoint https://s3.example.com --virtual-host --bucket scratch --access-key AK "
    "--secret-key SK\n"
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
    "  --virtual-host         the bucket in the host name, not in the path\n"
    "  --prefix TEXT          keys start with it: letters, digits, - _ . / (bench/)\n"
    "  --mix OP=WEIGHT,...    of put get head list delete multipart (get=1)\n"
    "  --size SIZE,...        sizes of objects, chosen evenly: 4KiB, 1MiB, 0 (4KiB)\n"
    "  --objects N            prepared for get, head, list, delete (1000)\n"
    "  --list-keys N          keys a page of list (1000)\n"
    "  --delimiter            list one level: delimiter=/ and the prefix, from its beginning\n"
    "  --existing             the objects are there from an earlier run with --keep: put none, remove none\n"
    "  --overwrite            put over the prepared objects, chosen at random\n"
    "  --rate N               begin at most N operations a second, over all connections\n"
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
}

static bool is_text(struct str v)
{
    return v.n > 0;
}

static bool safe_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./", s.p[i]))
            return false;
    return true;
}

static bool is_bucket(struct str v)
{
    return v.n > 0 && v.n < 64 && safe_text(v);
}

static bool is_prefix(struct str v)
{
    return v.n < 900 && safe_text(v);
}

/* ---- the table ---- */

struct row {
    const char *name;
    enum { FLAG, TEXT, NUMBER, SIZE, TIME, PARSED } kind;
    size_t at; /* where in struct bench_options: bool, struct str, uint64_t, uint64_t, int64_t */
    uint64_t least, most;
    const char *allowed;
    bool (*check)(struct str v);                             /* TEXT */
    bool (*parse)(struct bench_options *o, struct str text); /* PARSED */
};
#define AT(field) offsetof(struct bench_options, field)
#define ANY_TIME  ((uint64_t)3600 * 24 * 1000000000u)

static const struct row rows[] = {
    {"endpoint", PARSED, .allowed = "http://HOST:PORT or https://HOST:PORT", .parse = parse_endpoint},
    {"access-key", TEXT, .at = AT(access_key), .allowed = "a key", .check = is_text},
    {"secret-key", TEXT, .at = AT(secret_key), .allowed = "a key", .check = is_text},
    {"region", TEXT, .at = AT(region), .allowed = "a name", .check = is_text},
    {"bucket", TEXT, .at = AT(bucket), .allowed = "a bucket name", .check = is_bucket},
    {"prefix", TEXT, .at = AT(prefix), .allowed = "letters, digits, - _ . /", .check = is_prefix},
    {"mix", PARSED, .allowed = "OP=WEIGHT,... with put get head list delete multipart", .parse = parse_mix},
    {"size", PARSED, .allowed = "up to 16 sizes such as 4KiB,1MiB", .parse = parse_sizes},
    {"objects", NUMBER, .at = AT(objects), .least = 1, .most = 1000000000,
     .allowed = "a number from 1 to 1000000000"},
    {"list-keys", NUMBER, .at = AT(list_keys), .least = 1, .most = 1000,
     .allowed = "a number from 1 to 1000"},
    {"multipart-size", SIZE, .at = AT(multipart_size), .least = 1, .most = (uint64_t)1 << 50,
     .allowed = "a size such as 64MiB"},
    {"part-size", SIZE, .at = AT(part_size), .least = 1, .most = (uint64_t)5 << 30,
     .allowed = "a size such as 8MiB, at most 5GiB"},
    {"connections", NUMBER, .at = AT(connections), .least = 1, .most = 4096,
     .allowed = "a number from 1 to 4096"},
    {"loops", NUMBER, .at = AT(loops), .least = 1, .most = 64, .allowed = "a number from 1 to 64"},
    {"warmup", TIME, .at = AT(warmup_ns), .least = 0, .most = ANY_TIME,
     .allowed = "a time such as 2s, at most 24 h"},
    {"duration", TIME, .at = AT(duration_ns), .least = 1, .most = ANY_TIME,
     .allowed = "a time such as 10s, at most 24 h"},
    {"count", NUMBER, .at = AT(count), .least = 1, .most = (uint64_t)1 << 50,
     .allowed = "a number of operations"},
    {"sign-payload", FLAG, .at = AT(sign_payload)},
    {"no-verify", FLAG, .at = AT(no_verify)},
    {"keep", FLAG, .at = AT(keep)},
    {"existing", FLAG, .at = AT(existing)},
    {"overwrite", FLAG, .at = AT(overwrite)},
    {"delimiter", FLAG, .at = AT(delimiter)},
    {"rate", NUMBER, .at = AT(rate), .least = 1, .most = 1000000000,
     .allowed = "a number from 1 to 1000000000"},
    {"presign", FLAG, .at = AT(presign)},
    {"virtual-host", FLAG, .at = AT(virtual_host)},
    {"server-pid", NUMBER, .at = AT(server_pid), .least = 1, .most = 1 << 22, .allowed = "a process id"},
    {"insecure", FLAG, .at = AT(insecure)},
    {"json", TEXT, .at = AT(json_file), .allowed = "a file, or - for standard output", .check = is_text},
    {"quiet", FLAG, .at = AT(quiet)},
};

static bool set(struct bench_options *o, const struct row *r, struct str v)
{
    char *at = (char *)o + r->at;
    uint64_t n = 0;
    bool ok;
    switch (r->kind) {
    case FLAG:
        return *(bool *)at = true;
    case PARSED:
        return r->parse(o, v);
    case TEXT:
        *(struct str *)(void *)at = v;
        return r->check(v);
    default:
        ok =
            r->kind == NUMBER ? str_to_u64(v, &n) : number(v, r->kind == SIZE ? bytes_units : time_units, &n);
        memcpy(at, &n, sizeof n);
        return ok && n >= r->least && n <= r->most;
    }
}

/* ---- the command line ---- */

static int refuse(struct str name, const char *what)
{
    fprintf(stderr, "ingot: --%.*s: %s\n", STR_FMT(name), what);
    return 3;
}

/* 0, or the code of bench_parse. */
static int one_option(struct bench_options *o, int argc, char **argv, int *at)
{
    struct str v = str_c(argv[*at]), name = str_cut(&v, '=');
    if (!str_starts(name, STR("--"))) {
        fprintf(stderr, "ingot: %s: is not understood; options start with --, --help lists them\n",
                argv[*at]);
        return 3;
    }
    name = str_slice(name, 2, name.n);
    const struct row *r = rows, *end = rows + sizeof rows / sizeof *rows;
    while (r < end && !str_eq(name, str_c(r->name))) r++;
    if (r == end) return refuse(name, "is not known here; --help lists the options");
    if (r->kind == FLAG && v.p) return refuse(name, "takes no value");
    if (r->kind != FLAG && !v.p) {
        if (*at + 1 == argc) return refuse(name, "needs a value");
        v = str_c(argv[++*at]);
    }
    if (set(o, r, v)) return 0;
    bool secret = str_eq(name, STR("secret-key"));
    fprintf(stderr, "ingot: %s: '%.*s' (--%s) is not valid; allowed: %s\n", r->name,
            secret ? 0 : (int)(v.n < 200 ? v.n : 200), v.p, r->name, r->allowed);
    return 3;
}

static bool help_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

/* The bucket before the name, to be said; the connection still goes to the endpoint. */
static int name_host(struct bench_options *o)
{
    if (!o->virtual_host) return 0;
    int n =
        snprintf(o->bucket_host, sizeof o->bucket_host, "%.*s.%.*s", STR_FMT(o->bucket), STR_FMT(o->host));
    if (n < 0 || (size_t)n >= sizeof o->bucket_host)
        return refuse(STR("virtual-host"), "the name is too long");
    o->host = str_of(o->bucket_host, (size_t)n);
    return 0;
}

int bench_parse(int argc, char **argv, struct bench_options *o)
{
    defaults(o);
    if (help_wanted(argc, argv)) {
        fputs(help, stdout);
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        int e = one_option(o, argc, argv, &i);
        if (e) return e;
    }
    if (o->presign || o->existing) o->keep = true;
    if (o->access_key.n && o->secret_key.n) return name_host(o);
    fprintf(stderr, "ingot: no credentials; give --access-key and --secret-key, or set INGOT_ACCESS_KEY and "
                    "INGOT_SECRET_KEY\n");
    return 3;
}
