/* Regression 17: the walk over an extent file after a crash took a head that the disk did not give for bytes
 * of the unfinished extent before it: it freed what lives there. And a file of which the counts say that
 * nothing lives in it was removed although its heads could not be read. */
#include "unit/store/extents_util.h"

#define SIZE 20000u

/* Reads that touch these bytes of an extent file fail; 0: none. */
static _Atomic uint64_t bad_from, bad_end;

static bool is_bad(size_t n, uint64_t off)
{
    uint64_t from = atomic_load(&bad_from);
    return from && off < atomic_load(&bad_end) && off + n > from;
}

static ssize_t bad_pread(int fd, void *p, size_t n, uint64_t off)
{
    return is_bad(n, off) ? -EIO : sys_real.pread(fd, p, n, off);
}

static ssize_t bad_pread_nowait(int fd, void *p, size_t n, uint64_t off)
{
    return is_bad(n, off) ? -EAGAIN : sys_real.pread_nowait(fd, p, n, off);
}

static struct sys_ops bad_sys;

static void fail_reads(uint64_t from, uint64_t end)
{
    atomic_store(&bad_end, end);
    atomic_store(&bad_from, from);
}

/* Turn the sealed extent at place into one that a crash left open, with a claim far beyond its end. */
static void leave_open(const struct extent_place *place)
{
    unsigned char p[EXT_ALIGN];
    struct ext_file_head f;
    struct ext_head h;
    char path[128];
    file_path(place->file, path);
    int fd = open(path, O_RDWR);
    ASSERT(fd >= 0 && pread(fd, p, sizeof p, 0) == sizeof p);
    assert_int_equal(ext_file_head_decode(p, place->file, &f), ERR_OK);
    ASSERT(pread(fd, p, sizeof p, (off_t)place->offset) == sizeof p);
    assert_int_equal(ext_head_decode(p, place->file, f.seed, place->offset, &h), ERR_OK);
    h.flags = 0;
    h.disk_len = 4 * place->disk_len;
    ext_head_encode(&h, f.seed, p);
    ASSERT(pwrite(fd, p, EXT_HEADER, (off_t)place->offset) == EXT_HEADER);
    close(fd);
}

static bool free_open(void *arg, const struct extent_visit *v)
{
    if (v->open) extents_free_unknown(arg, &v->place);
    return true;
}

static void test_sweep(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k[3];
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(put_kept(x, i + 1, SIZE, (int64_t)SIZE, SIZE, &k[i]), ERR_OK);
    extents_close(x);
    leave_open(&k[0].places[0]);
    sys = &bad_sys;
    fail_reads(k[1].places[0].offset, k[1].places[0].offset + EXT_ALIGN);
    x = open_with((struct extents_options){0});
    assert_int_equal(extents_scan(x, true, free_open, NULL, x), ERR_OK);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    fail_reads(0, 0);
    assert_reads(x, &k[1], 4096);
    assert_reads(x, &k[2], 4096);
    extents_close(x);
    sys = &sys_real;
    for (int i = 0; i < 3; i++) kept_free(&k[i]);
}

static void test_reap(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct kept k, more;
    assert_int_equal(put_kept(x, 1, SIZE, (int64_t)SIZE, SIZE, &k), ERR_OK);
    uint32_t first = k.places[0].file;
    for (uint64_t id = 2;; id++) { /* until that file is full, so that it is no longer written */
        assert_int_equal(put_kept(x, id, 60000, 60000, 60000, &more), ERR_OK);
        uint32_t file = more.places[0].file;
        kept_free(&more);
        if (file != first) break;
    }
    extents_close(x);
    sys = &bad_sys;
    x = open_with((struct extents_options){SMALL_LIMITS});
    for (uint32_t file = first; file <= first + 1; file++) extents_set_live(x, file, file == first ? 0 : 1);
    fail_reads(EXT_START, UINT64_MAX);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    fail_reads(0, 0);
    assert_true(file_exists(first));
    assert_reads(x, &k, 4096);
    extents_close(x);
    sys = &sys_real;
    kept_free(&k);
}

int main(void)
{
    quiet();
    bad_sys = sys_real;
    bad_sys.pread = bad_pread;
    bad_sys.pread_nowait = bad_pread_nowait;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reap, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
