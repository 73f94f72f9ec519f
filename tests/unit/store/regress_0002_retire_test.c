/* Regression 2: a log segment whose file could not be renamed at its retirement was forgotten all the same.
 * The next one went, and the next start found a gap and refused to open. */
#include "base/str.h"
#include "store/log.h"
#include "sys/sys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define SEGMENT ((uint64_t)64 << 10)

static char dir[] = "/tmp/ingot-regress-0002-XXXXXX";
static struct sys_ops stubborn;
static unsigned refusals;

static int refuse_rename(const char *from, const char *to)
{
    if (refusals == 0) return sys_real.rename(from, to);
    refusals--;
    return -EIO;
}

static int refuse_unlink(const char *path)
{
    if (refusals == 0) return sys_real.unlink(path);
    refusals--;
    return -EIO;
}

static struct log *open_log(void)
{
    struct log_options o = {.dir = dir, .epoch = 1, .segment_bytes = SEGMENT};
    struct log *l;
    char why[512] = "";
    err e = log_open(&o, &l, why);
    if (e) fail_msg("%s", why);
    return l;
}

static void fill_segment(struct log *l)
{
    size_t payload = SEGMENT / 2;
    unsigned char *record = aligned_alloc(4096, SEGMENT);
    assert_non_null(record);
    uint64_t segment, at;
    memset(record, 0, SEGMENT);
    assert_int_equal(log_reserve(l, payload, &segment, &at), ERR_OK);
    assert_int_equal(log_append(l, record, payload, 1), ERR_OK);
    free(record);
}

static void test_a_segment_that_stays_is_retired_again(void **state)
{
    (void)state;
    struct log_segment_info first, s;
    struct log *l = open_log();
    for (int i = 0; i < 4; i++) fill_segment(l);
    assert_true(log_oldest(l, &first));
    sys = &stubborn;
    refusals = 1;
    assert_int_equal(log_retire(l, first.number), ERR_IO);
    assert_int_equal(refusals, 0);
    assert_true(log_oldest(l, &s));
    assert_int_equal(s.number, first.number);
    assert_int_equal(log_retire(l, first.number), ERR_OK);
    assert_true(log_oldest(l, &s));
    assert_int_equal(s.number, first.number + 1);
    assert_int_equal(log_retire(l, s.number), ERR_OK);
    sys = &sys_real;
    log_close(l);
    l = open_log();
    assert_true(log_oldest(l, &s));
    assert_int_equal(s.number, first.number + 2);
    log_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_segment_that_stays_is_retired_again)};
    if (!mkdtemp(dir)) return 1;
    stubborn = sys_real;
    stubborn.rename = refuse_rename;
    stubborn.unlink = refuse_unlink;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? failed : 1;
}
