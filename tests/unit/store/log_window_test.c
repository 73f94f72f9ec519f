/* A full segment read in windows: every record once and in order, however long, and no rot taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "conformance/store_engine.h"
#include "store/log_int.h"

#include <fcntl.h>

#define MIB     ((size_t)1 << 20)
#define SEGMENT (16 * MIB)
#define WINDOW  (MIB / 2)

static struct log *open_log(bool salvage)
{
    struct log_options o = {
        .dir = engine_dir, .epoch = 1, .segment_bytes = SEGMENT, .store_id = {1}, .salvage = salvage};
    struct log *l = NULL;
    char why[512] = "";
    assert_int_equal(log_open(&o, &l, why), ERR_OK);
    return l;
}

static uint64_t append(struct log *l, size_t n, uint32_t commits)
{
    uint64_t segment, offset;
    unsigned char *r = log_alloc(LOG_RECORD_HEADER + n + LOG_ALIGN);
    memset(r + LOG_RECORD_HEADER, (char)log_next_seq(l), n);
    assert_int_equal(log_reserve(l, n, &segment, &offset), ERR_OK);
    assert_int_equal(log_append(l, r, n, commits), ERR_OK);
    free(r);
    return segment;
}

/* The oldest segment is full of records of such lengths, in turn; another follows. */
static uint64_t fill(struct log *l, const size_t *lengths, size_t n)
{
    struct log_segment_info s;
    uint64_t first = 0;
    for (unsigned i = 0;; i++) {
        uint64_t now = append(l, lengths[i % n], 1 + i % 3);
        if (first && now != first) break;
        if (!first && log_oldest(l, &s) && s.bytes < SEGMENT && now != s.number) first = now;
    }
    while (log_oldest(l, &s) && s.number != first) assert_int_equal(log_retire(l, s.number), ERR_OK);
    return first;
}

struct seen {
    uint64_t next, records, windows, longest;
};

static err see(void *arg, const struct log_record *r, size_t n)
{
    struct seen *s = arg;
    uint64_t bytes = 0;
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(r[i].head.first_seq, s->next);
        for (size_t k = 0; k < r[i].payload.n; k++)
            if (r[i].payload.p[k] != (char)s->next) fail();
        s->next += r[i].head.commits;
        bytes += log_record_size(r[i].payload.n);
    }
    assert_true(n == 1 || bytes <= WINDOW || bytes <= s->longest);
    if (bytes > s->longest) s->longest = bytes;
    s->records += n;
    s->windows++;
    return ERR_OK;
}

static err read_oldest(struct log *l, struct seen *s, char why[512])
{
    struct log_segment_info info;
    assert_true(log_oldest(l, &info) && !info.active);
    *s = (struct seen){.next = info.first_seq};
    why[0] = 0;
    err e = log_read_segment(l, info.number, see, s, why);
    if (!e && !log_damage(l)) assert_int_equal(s->next, info.last_seq + 1);
    return e;
}

static void test_all_of_it(void **state)
{
    (void)state;
    static const size_t lengths[] = {1,           4032,    4033,  100000, WINDOW - 64,
                                     WINDOW - 63, 2 * MIB, 70000, 4 * MIB};
    struct log *l = open_log(false);
    fill(l, lengths, sizeof lengths / sizeof *lengths);
    struct seen s;
    char why[512];
    assert_int_equal(read_oldest(l, &s, why), ERR_OK);
    assert_true(s.records >= 6 && s.windows >= 4 && s.longest > 4 * MIB);
    log_close(l);
}

static void test_small_ones_come_together(void **state)
{
    (void)state;
    static const size_t lengths[] = {3000};
    struct log *l = open_log(false);
    fill(l, lengths, 1);
    struct seen s;
    char why[512];
    assert_int_equal(read_oldest(l, &s, why), ERR_OK);
    assert_true(s.records > 4000 && s.windows >= SEGMENT / WINDOW && s.windows <= SEGMENT / WINDOW + 2);
    log_close(l);
}

/* A byte of a record in the middle. */
static void damage(uint64_t segment)
{
    char path[128];
    snprintf(path, sizeof path, "%s/log/%016llx.log", engine_dir, (unsigned long long)segment);
    int fd = open(path, O_RDWR);
    char c = 0;
    assert_true(fd >= 0 && pread(fd, &c, 1, 5 * MIB + 200) == 1);
    c = (char)(c ^ 1);
    assert_true(pwrite(fd, &c, 1, 5 * MIB + 200) == 1);
    close(fd);
}

static void test_rot(void **state)
{
    (void)state;
    static const size_t lengths[] = {3000};
    for (int salvage = 0; salvage < 2; salvage++) {
        struct log *l = open_log(salvage);
        char why[512] = "";
        if (salvage) /* the segment that the first turn damaged, over which replay passes */
            assert_int_equal(log_replay(l, 0, NULL, NULL, why), ERR_OK);
        else
            damage(fill(l, lengths, 1));
        struct seen s;
        assert_int_equal(read_oldest(l, &s, why), salvage ? ERR_OK : ERR_CORRUPT);
        assert_true(s.records > 1000 && s.records < 1400);
        assert_non_null(strstr(why, "damaged"));
        log_close(l);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, engine_dir_setup, engine_dir_teardown)
    const struct CMUnitTest tests[] = {T(test_all_of_it), T(test_small_ones_come_together), T(test_rot)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
