/* What the files of bench share. One struct bench a process; connections are fibers that touch their own
 * struct conn and their loop's struct tally, so nothing here is locked.
 */
#ifndef BENCH_INTERNAL_H
#define BENCH_INTERNAL_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/codec.h"
#include "hash/hash.h"
#include "rt/rt.h"
#include <openssl/types.h>

/* ---- options.c ---- */
enum bench_op { BENCH_PUT, BENCH_GET, BENCH_HEAD, BENCH_LIST, BENCH_DELETE, BENCH_MULTIPART, BENCH_OPS };
extern const char *const bench_op_names[BENCH_OPS];
#define BENCH_SIZES_MAX 16

struct bench_options {
    struct str endpoint, host, region, bucket, prefix, access_key, secret_key, json_file;
    bool tls, insecure, no_verify, keep, existing, overwrite, delimiter, sign_payload, quiet, presign,
        virtual_host;
    unsigned mix[BENCH_OPS], mix_sum;
    uint64_t sizes[BENCH_SIZES_MAX];
    unsigned nsizes;
    uint64_t part_size, multipart_size;
    uint64_t connections, loops, list_keys, objects, count, rate, server_pid;
    int64_t warmup_ns, duration_ns;
    char port[8], host_name[256], bucket_host[400];
};
/* 0: go on; otherwise exit with code - 1 (help: 1). Prints what is wrong in one line. */
int bench_parse(int argc, char **argv, struct bench_options *o);

/* ---- histogram.c: log-linear, 64 steps a power of two, 1 us to 2^36 us; error at most 1.6 % ---- */
#define HIST_BUCKETS (64 * 31)
struct hist {
    uint64_t n[HIST_BUCKETS], count, sum_us, max_us;
};
void hist_add(struct hist *h, uint64_t us);
void hist_merge(struct hist *to, const struct hist *from);
uint64_t hist_quantile(const struct hist *h, double q); /* us */

/* ---- tally: what a loop counted ---- */
struct tally_op {
    struct hist lat;
    uint64_t errors, wrong, bytes;
    char first_error[160];
};
struct tally {
    struct tally_op op[BENCH_OPS];
};

/* ---- stream.c: a connection, plain or TLS ---- */
struct stream {
    struct rt_sock *sock;
    SSL *ssl;
    BIO *in, *out;
};
int stream_open(struct stream *s, const struct rt_addr *a, SSL_CTX *tls, const char *name, int64_t deadline);
void stream_close(struct stream *s);
ssize_t stream_read(struct stream *s, void *p, size_t n, int64_t deadline);
int stream_write(struct stream *s, struct iovec *iov, int n, int64_t deadline); /* all of it; 0 or -errno */

/* ---- sign.c ---- */
struct signer {
    struct str access_key, secret_key, region, host;
    uint8_t key[32];
    char day[9];
};
void signer_init(struct signer *g, const struct bench_options *o);
/* Append the request line and headers of a signed request, ending in the empty line. path is encoded, query
 * canonical (sorted, encoded, may be empty). payload_hash: hex or UNSIGNED-PAYLOAD. content_length < 0: none.
 */
void sign_request(struct signer *g, struct buf *out, const char *method, struct str path, struct str query,
                  struct str payload_hash, int64_t content_length);
/* Append path?query of a presigned request. */
void sign_presigned(struct signer *g, struct buf *out, const char *method, struct str path, unsigned expires);

/* ---- client.c: one request, one answer ---- */
struct bench;
#define BENCH_RECENT 64
struct conn {
    struct bench *b;
    struct tally *tally;
    struct signer signer;
    struct stream stream;
    bool open;
    unsigned index;
    uint64_t rng, puts;
    struct buf head, text; /* request head; answer's body where it is kept */
    char *rx;              /* receive buffer, BENCH_RX bytes */
    char etag[80];
};
#define BENCH_RX (256u << 10)
struct expect_body { /* what a GET must bring: bytes of the pattern */
    bool check;
    uint64_t offset, size;
};
struct reply {
    int status;
    uint64_t length; /* body bytes read */
    bool wrong;      /* bytes differed from what was expected */
};
struct send_body {
    struct str small;     /* sent first */
    uint64_t offset, len; /* then len bytes of the pattern */
};
/* Send c->head and the body, read the answer; keep: its body goes to c->text. 0 or -errno (the connection is
 * closed). */
int conn_request(struct conn *c, const struct send_body *body, const struct expect_body *ex, bool keep,
                 bool head_method, struct reply *r);
void conn_close(struct conn *c);

/* ---- work.c: the operations ---- */
bool work_one(struct conn *c, enum bench_op op); /* false: nothing more to do (keys to delete ran out) */
bool work_prepare(struct conn *c, uint64_t id);  /* put a prepared object; not measured */
bool work_remove(struct conn *c, uint64_t id);   /* delete an object; not measured */
/* Paths as they are sent: below the bucket, or below its own host. */
struct str work_object_path(const struct bench *b, uint64_t id, char out[1400]);
bool work_bucket(struct conn *c, char why[160]); /* create the bucket unless it is there */

/* ---- bench.c ---- */
#define PATTERN_SIZE ((uint64_t)1 << 20)
#define PUT_IDS                                                                                              \
    ((uint64_t)1 << 40) /* ids of objects put while measuring: PUT_IDS + (connection << 24) + n              \
                         */
struct bench {
    struct bench_options o;
    struct rt *rt;
    struct rt_addr addr;
    SSL_CTX *tls;
    char *pattern; /* 2 x PATTERN_SIZE, the second half repeating the first, so that any start has a whole run
                    */
    struct tally *tallies; /* one a loop */
    struct conn *conns;
    _Atomic bool measuring, stop, gone;
    _Atomic uint64_t slots; /* operations that --rate has let begin */
    _Atomic uint64_t started,
        next_delete; /* operations begun (for --count); next prepared object to delete */
    _Atomic int64_t measured_from;
    _Atomic uint64_t done_ops, done_bytes; /* for live progress */
    int64_t run_ns;
    uint64_t client_cpu_us, server_cpu_us;
    int exit_code;
};
uint64_t bench_size_of(const struct bench *b, uint64_t id); /* an object's size follows from its id … */
uint64_t bench_offset_of(uint64_t id); /* … and so does where in the pattern it starts */
uint64_t bench_mix64(uint64_t x);

/* ---- report.c ---- */
void report_progress(struct bench *b, const char *phase, uint64_t done, uint64_t bytes, double seconds);
void report_final(struct bench *b, const struct tally *sum);

#endif
