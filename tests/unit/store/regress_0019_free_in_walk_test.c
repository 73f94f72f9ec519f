/* Regression 19: a file whose extents were all freed is walked once more before it is removed, and that
 * waits. What was freed in it meanwhile queued for a file that was then gone, and the next freeing stopped
 * the server. Found by the simulation. */
#include "extents_util.h"

static struct extents *x;
static struct extent_place place;
static bool armed, done;

/* The head of the freed extent is read: now its bytes are freed by somebody else, too. */
static void meanwhile(uint64_t off)
{
    if (!armed || off != place.offset) return;
    armed = false;
    done = true;
    extents_free_unknown(x, &place);
}

static ssize_t slow_pread(int fd, void *p, size_t n, uint64_t off)
{
    meanwhile(off);
    return sys_real.pread(fd, p, n, off);
}

static ssize_t slow_pread_nowait(int fd, void *p, size_t n, uint64_t off)
{
    meanwhile(off);
    return sys_real.pread_nowait(fd, p, n, off);
}

static void test_free_in_walk(void **state)
{
    (void)state;
    struct sys_ops slow = sys_real;
    slow.pread = slow_pread;
    slow.pread_nowait = slow_pread_nowait;
    dir_new(true);
    x = open_with((struct extents_options){SMALL_LIMITS});
    struct kept k[20];
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(put_kept(x, i + 1, 60000, 60000, 60000, &k[i]), ERR_OK);
    const uint32_t first = k[0].places[0].file;
    place = k[0].places[0];
    assert_true(k[19].places[0].file > first); /* nobody writes there any more */
    for (unsigned i = 0; i < 20; i++)
        if (k[i].places[0].file == first) extents_free_place(x, &k[i].places[0]);
    sys = &slow;
    armed = true;
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_true(done);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    sys = &sys_real;
    char path[128];
    file_path(first, path);
    assert_int_not_equal(access(path, F_OK), 0); /* removed in the end */
    for (unsigned i = 0; i < 20; i++) kept_free(&k[i]);
    extents_close(x);
    dir_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_free_in_walk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
