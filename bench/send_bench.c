/* Ways to send what lies in the page cache over one connection on loopback, and what each costs: CPU of the
 * sender and of the receiver for 64 MiB, in pieces of 256 KiB, out of a file of 1 GiB in the given folder.
 * The receiver looks at every byte. Each way verifies as the store does, unless it says otherwise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define FILE_BYTES ((size_t)1 << 30)
#define PIECE      ((size_t)256 << 10)
#define UNIT       (64.0 * (1 << 20))

struct source {
    int file;
    int pipe[2], twin[2];
    char *map, *buf;
};
static volatile uint64_t sink; /* so that no sum is left out */

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static double cpu_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void send_all(int to, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t r = send(to, p, n, MSG_NOSIGNAL);
        if (r <= 0) fail("send");
        p += r;
        n -= (size_t)r;
    }
}

static void send_pages(int to, int file, size_t at, size_t n)
{
    for (off_t off = (off_t)at; n > 0;) {
        ssize_t r = sendfile(to, file, &off, n);
        if (r <= 0) fail("sendfile");
        n -= (size_t)r;
    }
}

static void by_read(struct source *s, int to, size_t at)
{
    if (pread(s->file, s->buf, PIECE, (off_t)at) != (ssize_t)PIECE) fail("pread");
    sink += XXH3_64bits(s->buf, PIECE);
    send_all(to, s->buf, PIECE);
}

static void by_map(struct source *s, int to, size_t at)
{
    sink += XXH3_64bits(s->map + at, PIECE);
    send_all(to, s->map + at, PIECE);
}

static void by_sendfile(struct source *s, int to, size_t at)
{
    send_pages(to, s->file, at, PIECE);
}

static void by_read_and_sendfile(struct source *s, int to, size_t at)
{
    if (pread(s->file, s->buf, PIECE, (off_t)at) != (ssize_t)PIECE) fail("pread");
    sink += XXH3_64bits(s->buf, PIECE);
    send_pages(to, s->file, at, PIECE);
}

static void by_map_and_sendfile(struct source *s, int to, size_t at)
{
    sink += XXH3_64bits(s->map + at, PIECE);
    send_pages(to, s->file, at, PIECE);
}

/* The pages that were verified are those that are sent. */
static void by_pipe(struct source *s, int to, size_t at)
{
    for (off_t off = (off_t)at; off < (off_t)(at + PIECE);) {
        ssize_t n = splice(s->file, &off, s->pipe[1], NULL, at + PIECE - (size_t)off, 0);
        if (n <= 0 || tee(s->pipe[0], s->twin[1], (size_t)n, 0) != n) fail("splice");
        for (ssize_t got = 0; got < n;) {
            ssize_t r = read(s->twin[0], s->buf, (size_t)(n - got));
            if (r <= 0) fail("read");
            sink += XXH3_64bits(s->buf, (size_t)r);
            got += r;
        }
        while (n > 0) {
            ssize_t r = splice(s->pipe[0], NULL, to, NULL, (size_t)n, SPLICE_F_MORE);
            if (r <= 0) fail("splice to the socket");
            n -= r;
        }
    }
}

static void only_verified(struct source *s, int to, size_t at)
{
    (void)to;
    if (pread(s->file, s->buf, PIECE, (off_t)at) != (ssize_t)PIECE) fail("pread");
    sink += XXH3_64bits(s->buf, PIECE);
}

static void only_sent(struct source *s, int to, size_t at)
{
    (void)at;
    send_all(to, s->buf, PIECE);
}

struct receiver {
    int from;
    double ms;
};

static void *receive(void *arg)
{
    struct receiver *r = arg;
    char *buf = malloc(PIECE);
    double begun = cpu_ms();
    for (ssize_t n; buf && (n = recv(r->from, buf, PIECE, 0)) > 0;)
        sink += (uint64_t)buf[0] + (uint64_t)buf[n - 1];
    r->ms = cpu_ms() - begun;
    free(buf);
    return NULL;
}

static void connect_pair(int fd[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&a, n) || listen(listener, 1)) fail("listen");
    getsockname(listener, (struct sockaddr *)&a, &n);
    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd[0], (struct sockaddr *)&a, n)) fail("connect");
    fd[1] = accept(listener, NULL, NULL);
    close(listener);
}

static void measure(struct source *s, const char *name, void (*piece)(struct source *, int, size_t))
{
    int fd[2];
    connect_pair(fd);
    struct receiver r = {fd[1], 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, receive, &r)) fail("thread");
    double begun = cpu_ms();
    for (size_t at = 0; at < FILE_BYTES; at += PIECE) piece(s, fd[0], at);
    double spent = cpu_ms() - begun;
    close(fd[0]);
    pthread_join(thread, NULL);
    close(fd[1]);
    double units = (double)FILE_BYTES / UNIT;
    printf("%-44s sender %5.1f ms, receiver %5.1f ms\n", name, spent / units, r.ms / units);
}

static void open_source(struct source *s, const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/send_bench.XXXXXX", folder);
    s->file = mkstemp(path);
    if (s->file < 0) fail(path);
    unlink(path);
    s->buf = aligned_alloc(
        4096, PIECE); /* 16 bytes beside a page, copies out of the page cache take three times as long here */
    if (!s->buf || pipe(s->pipe) || pipe(s->twin)) fail("begin");
    for (size_t i = 0; i < PIECE; i++) s->buf[i] = (char)(i * 7);
    for (size_t at = 0; at < FILE_BYTES; at += PIECE)
        if (pwrite(s->file, s->buf, PIECE, (off_t)at) != (ssize_t)PIECE) fail("write");
    s->map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, s->file, 0);
    if (s->map == MAP_FAILED) fail("mmap");
    fcntl(s->pipe[1], F_SETPIPE_SZ, (int)PIECE);
    fcntl(s->twin[1], F_SETPIPE_SZ, (int)PIECE);
}

int main(int argc, char **argv)
{
    struct source s = {0};
    open_source(&s, argc > 1 ? argv[1] : ".");
    measure(&s, "read, verify, send", by_read);
    measure(&s, "verify through a mapping, send from it", by_map);
    measure(&s, "sendfile, nothing verified", by_sendfile);
    measure(&s, "read, verify, then sendfile of the same", by_read_and_sendfile);
    measure(&s, "verify through a mapping, then sendfile", by_map_and_sendfile);
    measure(&s, "splice, tee, verify the copy, splice", by_pipe);
    measure(&s, "read and verify alone", only_verified);
    measure(&s, "send of one hot buffer alone", only_sent);
    return 0;
}
