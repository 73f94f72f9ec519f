/* A read of the page cache noted its time in the file's inode, for which it could sleep, RWF_NOWAIT or not:
 * the soak saw a loop do so for 7 ms. */
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_AGO 86400 /* s after the epoch: any mount that keeps such times would keep this one now */

static void test_reads_leave_the_inode_alone(void **state)
{
    (void)state;
    char path[] = "/tmp/ingot-atime-XXXXXX", c = 'x';
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, &c, 1) == 1);
    struct timespec times[2] = {{.tv_sec = LONG_AGO}, {.tv_nsec = UTIME_OMIT}};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    fd = sys_real.open(path, O_RDWR, 0);
    assert_true(fd >= 0);
    ssize_t n = sys_real.pread_nowait(fd, &c, 1, 0);
    assert_true(n == 1 || n == -EAGAIN || n == -EOPNOTSUPP);
    assert_int_equal(sys_real.pread(fd, &c, 1, 0), 1);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_atime, LONG_AGO);
    sys_real.close(fd);
    unlink(path);
}

/* Another's file is read all the same. */
static void test_another_owner(void **state)
{
    (void)state;
    int fd = sys_real.open("/proc/self/status", O_RDONLY, 0);
    assert_true(fd >= 0);
    sys_real.close(fd);
    if (geteuid() != 0) skip();
    char path[] = "/tmp/ingot-atime-XXXXXX";
    fd = mkstemp(path);
    assert_true(fd >= 0 && fchmod(fd, 0644) == 0);
    close(fd);
    assert_int_equal(seteuid(65534), 0);
    fd = sys_real.open(path, O_RDONLY, 0);
    int missing = sys_real.open("/nowhere/at/all", O_RDONLY, 0);
    assert_int_equal(seteuid(0), 0);
    assert_true(fd >= 0);
    assert_int_equal(missing, -ENOENT);
    sys_real.close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads_leave_the_inode_alone),
                                       cmocka_unit_test(test_another_owner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
