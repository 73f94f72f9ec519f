/* The commit log: what is replayed after a crash at any byte, and that rot is never taken for a torn tail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "conformance/store_engine.h"
#include "store/log_int.h"

#include <fcntl.h>

#define SEGMENT ((uint64_t)64 << 10)

static struct log *open_log_as(uint64_t epoch, uint8_t id, err want)
{
    struct log_options o = {.dir = engine_dir, .epoch = epoch, .segment_bytes = SEGMENT, .store_id = {id}};
    struct log *l = NULL;
    char why[512] = "";
    err e = log_open(&o, &l, why);
    if (e != want) fprintf(stderr, "%s: %s\n", err_name(e), why);
    assert_int_equal(e, want);
    return l;
}

static struct log *open_log(uint64_t epoch)
{
    return open_log_as(epoch, 1, ERR_OK);
}

/* A record of `commits` commits whose payload says which it is. */
static void fill(char *p, size_t n, uint64_t seq)
{
    for (size_t i = 0; i < n; i++) p[i] = (char)(seq * 131 + i * 7);
}

static void append(struct log *l, size_t n, uint32_t commits)
{
    uint64_t segment, offset;
    unsigned char *r = log_alloc(LOG_RECORD_HEADER + n + LOG_ALIGN);
    fill((char *)r + LOG_RECORD_HEADER, n, log_next_seq(l));
    assert_int_equal(log_reserve(l, n, &segment, &offset), ERR_OK);
    assert_int_equal(log_append(l, r, n, commits), ERR_OK);
    free(r);
}

struct seen {
    uint64_t records, last;
};

static err see(void *arg, const struct log_record *r)
{
    struct seen *s = arg;
    char want[20000];
    assert_true(r->payload.n <= sizeof want);
    fill(want, r->payload.n, r->head.first_seq);
    assert_memory_equal(r->payload.p, want, r->payload.n);
    assert_true(s->last == 0 || r->head.first_seq == s->last + 1);
    s->records++;
    s->last = r->head.first_seq + r->head.commits - 1;
    return ERR_OK;
}

static err replay(struct log *l, struct seen *s, char why[512])
{
    *s = (struct seen){0};
    why[0] = 0;
    return log_replay(l, 0, see, s, why);
}

static uint64_t replayed(uint64_t epoch, uint64_t *next)
{
    struct log *l = open_log(epoch);
    struct seen s;
    char why[512];
    assert_int_equal(replay(l, &s, why), ERR_OK);
    *next = log_next_seq(l);
    log_close(l);
    return s.records;
}

static void segment_path(char out[128], uint64_t number)
{
    snprintf(out, 128, "%s/log/%016llx.log", engine_dir, (unsigned long long)number);
}

static void overwrite(uint64_t segment, uint64_t off, const void *p, size_t n)
{
    char path[128];
    segment_path(path, segment);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pwrite(fd, p, n, (off_t)off) == (ssize_t)n);
    close(fd);
}

static void read_back(uint64_t segment, uint64_t off, void *p, size_t n)
{
    char path[128];
    segment_path(path, segment);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && pread(fd, p, n, (off_t)off) == (ssize_t)n);
    close(fd);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4031, 4032, 4033, 100, 12000, 8192};
    struct log *l = open_log(1);
    for (int i = 0; i < 8; i++) append(l, sizes[i], (uint32_t)i + 1);
    log_close(l);
    uint64_t next;
    assert_int_equal(replayed(2, &next), 8);
    assert_int_equal(next, 1 + 36);
    /* Appending goes on where it ended, in a later epoch, also over several segments. */
    for (uint64_t epoch = 3; epoch < 8; epoch++) {
        struct seen s;
        char why[512];
        l = open_log(epoch);
        assert_int_equal(replay(l, &s, why), ERR_OK);
        for (int i = 0; i < 10; i++) append(l, 9000, 1);
        log_close(l);
    }
    assert_int_equal(replayed(9, &next), 58);
    assert_int_equal(next, 37 + 50);
}

/* The last record, cut or garbled at every byte, is a torn tail: what was before it is replayed, nothing
 * else. */
static void test_torn_tail(void **state)
{
    (void)state;
    struct log *l = open_log(1);
    append(l, 100, 1);
    append(l, 5000, 2);
    uint64_t at = log_active(l)->end;
    append(l, 4500, 3);
    log_close(l);
    unsigned char whole[8192], torn[8192];
    size_t used = LOG_RECORD_HEADER + 4500;
    read_back(1, at, whole, sizeof whole);
    uint64_t next, epoch = 2;
    for (size_t cut = 0; cut < used; cut += cut < 200 || cut > used - 200 ? 1 : 61) {
        memcpy(torn, whole, cut);
        memset(torn + cut, 0, sizeof torn - cut);
        bool lost = memcmp(torn, whole, used) != 0;
        overwrite(1, at, torn, sizeof torn);
        assert_int_equal(replayed(epoch++, &next), lost ? 2 : 3);
        assert_int_equal(next, lost ? 4 : 7);
        memcpy(torn, whole, sizeof torn);
        torn[cut] ^= 0x10;
        overwrite(1, at, torn, sizeof torn);
        /* Bytes of the header that mean nothing yet are under the checksum as well. */
        assert_int_equal(replayed(epoch++, &next), 2);
    }
    /* What is appended next takes the torn one's place. */
    l = open_log(epoch++);
    struct seen s;
    char why[512];
    assert_int_equal(replay(l, &s, why), ERR_OK);
    append(l, 10, 1);
    log_close(l);
    assert_int_equal(replayed(epoch, &next), 3);
    assert_int_equal(next, 5);
}

static void assert_damaged(uint64_t epoch, const char *says)
{
    struct log *l = open_log(epoch);
    struct seen s;
    char why[512];
    assert_int_equal(replay(l, &s, why), ERR_CORRUPT);
    if (!strstr(why, says)) fprintf(stderr, "why: %s\n", why);
    assert_non_null(strstr(why, says));
    assert_non_null(strstr(why, "ingot recover"));
    log_close(l);
}

/* A bad record with a good one after it was good once: an error that names it, whichever byte rots. */
static void test_rot(void **state)
{
    (void)state;
    struct log *l = open_log(1);
    append(l, 100, 1);
    uint64_t at = log_active(l)->end;
    append(l, 5000, 2);
    append(l, 60, 1);
    log_close(l);
    for (uint64_t i = 0; i < LOG_RECORD_HEADER + 5000; i += i < 80 ? 1 : 97) {
        char path[128];
        segment_path(path, 1);
        engine_flip(path, at + i);
        assert_damaged(2, "commit 2");
        engine_flip(path, at + i);
    }
    uint64_t next;
    assert_int_equal(replayed(3, &next), 3);
}

/* Also where the good one is in the next segment, and where a whole segment or its header is gone. */
static void test_rot_across_segments(void **state)
{
    (void)state;
    struct log *l = open_log(1);
    char path[128], moved[160];
    uint64_t next;
    while (l->n < 4) append(l, 15000, 1);
    uint64_t last_of_first = l->segments[0]->last_seq;
    log_close(l);
    segment_path(path, 1);
    uint64_t off = LOG_ALIGN;
    for (uint64_t i = 1; i < last_of_first; i++) off += log_record_size(15000);
    engine_flip(path, off + 70);
    assert_damaged(2, "is damaged at byte");
    engine_flip(path, off + 70);
    replayed(3, &next);

    segment_path(path, 2);
    snprintf(moved, sizeof moved, "%s.away", path);
    assert_int_equal(rename(path, moved), 0);
    open_log_as(4, 1, ERR_CORRUPT);
    assert_int_equal(rename(moved, path), 0);
    engine_flip(path, 40);
    open_log_as(5, 1, ERR_CORRUPT);
    engine_flip(path, 40);
    assert_int_equal(truncate(path, LOG_ALIGN * 3), 0);
    open_log_as(6, 1, ERR_CORRUPT);
}

/* Stale records of a recycled segment are never replayed, though they verify against their former header. */
static void test_recycled(void **state)
{
    (void)state;
    struct log *l = open_log(1);
    while (l->n < 4) append(l, 15000, 1);
    assert_int_equal(log_retire(l, 1), ERR_OK);
    assert_int_equal(log_retire(l, 2), ERR_OK);
    struct log_stats st;
    log_get_stats(l, &st);
    assert_true(st.spare);
    uint64_t number = log_active(l)->head.segment;
    while (log_active(l)->head.segment == number) append(l, 15000, 1);
    number++;
    append(l, 100, 1);
    uint64_t next = log_next_seq(l), end = log_active(l)->end, got;
    /* The recycled file still has the old bytes beyond the end. */
    uint32_t magic;
    uint64_t stale = 0;
    for (uint64_t at = end; at + 4 <= SEGMENT; at += LOG_ALIGN) {
        read_back(number, at, &magic, 4);
        stale += magic == 0x4352474eu;
    }
    assert_true(stale > 0);
    log_close(l);
    replayed(2, &got);
    assert_int_equal(got, next);
}

/* Bytes that a client stored cannot pass for a record, even if they are a record of this very log. */
static void test_record_in_a_body(void **state)
{
    (void)state;
    struct log *l = open_log(1);
    append(l, 100, 1);
    unsigned char copy[LOG_ALIGN], *r = log_alloc(4 * LOG_ALIGN);
    read_back(1, LOG_ALIGN, copy, sizeof copy);
    uint64_t segment, offset;
    memset(r, 0, 4 * LOG_ALIGN);
    memcpy(r + LOG_ALIGN, copy, sizeof copy); /* at a block boundary of the log */
    assert_int_equal(log_reserve(l, 3 * LOG_ALIGN, &segment, &offset), ERR_OK);
    uint64_t at = log_active(l)->end;
    assert_int_equal(log_append(l, r, 3 * LOG_ALIGN, 1), ERR_OK);
    log_close(l);
    /* Torn: the header of the outer record is lost, the inner one is whole. It is of commit 1: the past. */
    overwrite(1, at, (char[LOG_ALIGN]){0}, LOG_ALIGN);
    struct seen s;
    char why[512];
    l = open_log(2);
    assert_int_equal(replay(l, &s, why), ERR_OK);
    assert_int_equal(s.records, 1);
    log_close(l);
    free(r);
}

static void test_foreign(void **state)
{
    (void)state;
    struct log *l = open_log(1);
    append(l, 100, 1);
    log_close(l);
    open_log_as(2, 9, ERR_CORRUPT);
}

static void test_salvage(void **state)
{
    (void)state;
    struct log *l = open_log(1);
    append(l, 100, 1);
    uint64_t at = log_active(l)->end;
    append(l, 5000, 2);
    append(l, 60, 1);
    log_close(l);
    char path[128], why[512] = "";
    segment_path(path, 1);
    engine_flip(path, at + 1000);
    struct log_options o = {
        .dir = engine_dir, .epoch = 2, .segment_bytes = SEGMENT, .store_id = {1}, .salvage = true};
    assert_int_equal(log_open(&o, &l, why), ERR_OK);
    struct seen s = {0};
    /* Gaps are the caller's to see: only the sequences tell. */
    assert_int_equal(log_replay(l, 0, NULL, &s, why), ERR_OK);
    assert_int_equal(log_damage(l), 1);
    assert_int_equal(log_next_seq(l), 5);
    log_close(l);
}

/* ---- through the page cache, and past it ---- */

static struct sys_ops watched;
static int opened; /* flags of the last opening of a segment for what goes on in it */

static int watched_open(const char *path, int flags, unsigned mode)
{
    if (strstr(path, "/log/") && !(flags & O_CREAT)) opened = flags;
    return sys_real.open(path, flags, mode);
}

/* What is begun is in the page cache for readers. A start asks the disk: after a flush that failed, the page
 * cache has what the disk has not. */
static void test_past_the_page_cache(void **state)
{
    (void)state;
    watched = sys_real;
    watched.open = watched_open;
    sys = &watched;
    opened = -1;
    struct log *l = open_log(1);
    append(l, 100, 1);
    assert_int_equal(opened, O_RDWR);
    log_close(l);
    opened = -1;
    l = open_log(2);
    assert_int_equal(opened, O_RDWR | O_DIRECT);
    log_close(l);
    sys = &sys_real;
}

#define T(f) cmocka_unit_test_setup_teardown(f, engine_dir_setup, engine_dir_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_round_trip),
        T(test_torn_tail),
        T(test_rot),
        T(test_rot_across_segments),
        T(test_recycled),
        T(test_record_in_a_body),
        T(test_foreign),
        T(test_salvage),
        T(test_past_the_page_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
