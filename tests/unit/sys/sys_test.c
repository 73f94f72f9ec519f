/* The real table, the helpers over it, and each helper with every call failed once. */
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/ingot-sys-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static bool remove_entry(void *arg, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        sys_real.list(path, remove_entry, path);
        rmdir(path);
    } else {
        unlink(path);
    }
    return true;
}

static int drop_dir(void **state)
{
    (void)state;
    sys_fault_remove();
    sys = &sys_real;
    sys_real.list(dir, remove_entry, dir);
    return rmdir(dir);
}

static const char *in(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static bool count_entry(void *arg, const char *name)
{
    assert_string_not_equal(name, ".");
    assert_string_not_equal(name, "..");
    return --*(int *)arg > 0;
}

static int entries(const char *path)
{
    int left = 1000;
    assert_int_equal(sys_real.list(path, count_entry, &left), 0);
    return 1000 - left;
}

static void real_calls_report_errno_negated(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(sys->open(in("absent"), O_RDONLY, 0), -ENOENT);
    assert_int_equal(sys->close(-1), -EBADF);
    assert_int_equal(sys->pread(-1, dir, 1, 0), -EBADF);
    assert_int_equal(sys->stat(in("absent"), &st), -ENOENT);
    assert_int_equal(sys->mkdir(dir, 0700), -EEXIST);
    assert_int_equal(sys->fsync_dir(in("absent")), -ENOENT);
    assert_int_equal(sys->list(in("absent"), count_entry, NULL), -ENOENT);
}

static void lock_is_exclusive(void **state)
{
    (void)state;
    int a = sys->open(in("lock"), O_RDWR | O_CREAT, 0600), b = sys->open(in("lock"), O_RDWR, 0);
    assert_true(a >= 0 && b >= 0);
    assert_int_equal(sys->lock(a), 0);
    assert_int_equal(sys->lock(b), -EWOULDBLOCK);
    sys->close(a);
    assert_int_equal(sys->lock(b), 0);
    sys->close(b);
}

static void descriptors_do_not_leak_into_children(void **state)
{
    (void)state;
    int fd = sys->open(in("f"), O_RDWR | O_CREAT, 0600);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    sys->close(fd);
}

static void list_stops_when_told(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "e%d", i);
        assert_int_equal(sys_replace_file(in(name), STR("x"), 0600), ERR_OK);
    }
    int left = 3;
    assert_int_equal(sys->list(dir, count_entry, &left), 0);
    assert_int_equal(left, 0);
}

static void read_past_the_end_is_corrupt(void **state)
{
    (void)state;
    char got[8];
    int fd = sys->open(in("f"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(sys_write_full(fd, "hello", 5, 3), ERR_OK);
    assert_int_equal(sys_read_full(fd, got, 5, 3), ERR_OK);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(sys_read_full(fd, got, 6, 3), ERR_CORRUPT);
    assert_int_equal(sys_read_full(fd, got, 0, 100), ERR_OK);
    sys->close(fd);
}

static void files_are_read_whole_and_bounded(void **state)
{
    (void)state;
    char big[10000];
    struct buf b;
    memset(big, 'x', sizeof big);
    assert_int_equal(sys_replace_file(in("big"), str_of(big, sizeof big), 0600), ERR_OK);
    buf_init(&b, 0);
    assert_int_equal(sys_read_file(in("big"), sizeof big, &b), ERR_OK);
    assert_int_equal(b.n, sizeof big);
    assert_memory_equal(b.p, big, sizeof big);
    buf_free(&b);
    buf_init(&b, 0);
    assert_int_equal(sys_read_file(in("big"), sizeof big - 1, &b), ERR_CORRUPT);
    buf_free(&b);
    buf_init(&b, 100);
    assert_int_equal(sys_read_file(in("big"), sizeof big, &b), ERR_NO_MEMORY);
    buf_free(&b);
    buf_init(&b, 0);
    assert_int_equal(sys_read_file(in("absent"), 1, &b), ERR_NOT_FOUND);
    assert_int_equal(sys_read_file(dir, 1, &b), ERR_IO);
    assert_int_equal(sys_read_file("/proc/self/status", 1 << 20, &b), ERR_OK);
    assert_true(b.n > 100);
    buf_free(&b);
}

static void replace_keeps_the_mode_private(void **state)
{
    (void)state;
    struct stat st;
    /* A crash left a temporary that anyone may read. */
    int fd = sys->open(in("key.tmp"), O_WRONLY | O_CREAT, 0644);
    sys->close(fd);
    assert_int_equal(sys_replace_file(in("key"), STR("secret"), 0600), ERR_OK);
    assert_int_equal(sys->stat(in("key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(sys->stat(in("key.tmp"), &st), -ENOENT);
}

static void mkdirs_makes_every_ancestor(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(sys_mkdirs(in("a//b/c/"), 0700), ERR_OK);
    assert_int_equal(sys_mkdirs(in("a/b/c"), 0700), ERR_OK);
    assert_int_equal(sys->stat(in("a/b/c"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(sys_replace_file(in("file"), STR("x"), 0600), ERR_OK);
    assert_int_equal(sys_mkdirs(in("file"), 0700), ERR_IO);
    assert_int_equal(sys_mkdirs(in("file/x"), 0700), ERR_IO);
    assert_int_equal(sys_mkdirs("", 0700), ERR_IO);
    char cwd[512];
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(sys_mkdirs("relative/x", 0700), ERR_OK);
    assert_int_equal(chdir(cwd), 0);
    assert_int_equal(sys->stat(in("relative/x"), &st), 0);
}

/* Which directories does mkdirs flush? Recorded by a table over the real one. */
static char flushed[8][256];
static int n_flushed;
static int record_fsync_dir(const char *path)
{
    snprintf(flushed[n_flushed++], sizeof flushed[0], "%s", path);
    return 0;
}

static bool was_flushed(const char *path)
{
    for (int i = 0; i < n_flushed; i++)
        if (strcmp(flushed[i], path) == 0) return true;
    return false;
}

static void new_names_are_made_durable(void **state)
{
    (void)state;
    struct sys_ops recorder = sys_real;
    recorder.fsync_dir = record_fsync_dir;
    sys = &recorder;
    n_flushed = 0;
    assert_int_equal(sys_mkdirs(in("p/q"), 0700), ERR_OK);
    assert_true(was_flushed(dir));
    assert_true(was_flushed(in("p")));
    n_flushed = 0;
    assert_int_equal(sys_mkdirs(in("p/q"), 0700), ERR_OK); /* after a crash between mkdir and flush */
    assert_true(was_flushed(in("p")));
    n_flushed = 0;
    assert_int_equal(sys_replace_file(in("r"), STR("x"), 0600), ERR_OK);
    assert_true(was_flushed(dir));
    sys = &sys_real;
}

/* The order of calls in a replacement, one letter each. */
static char order[32];
static int fsync_result;
static void note(char c)
{
    size_t n = strlen(order);
    assert_true(n + 1 < sizeof order);
    order[n] = c;
    order[n + 1] = 0;
}
static ssize_t note_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    note('w');
    return sys_real.pwrite(fd, p, n, off);
}
static int note_fsync(int fd)
{
    (void)fd;
    note('s');
    return fsync_result;
}
static int note_rename(const char *from, const char *to)
{
    note('r');
    return sys_real.rename(from, to);
}
static int note_fsync_dir(const char *path)
{
    note('d');
    return sys_real.fsync_dir(path);
}

static void replace_flushes_before_and_after_the_rename(void **state)
{
    (void)state;
    struct sys_ops recorder = sys_real;
    recorder.pwrite = note_pwrite;
    recorder.fsync = note_fsync;
    recorder.rename = note_rename;
    recorder.fsync_dir = note_fsync_dir;
    sys = &recorder;
    order[0] = 0;
    fsync_result = 0;
    assert_int_equal(sys_replace_file(in("r"), STR("x"), 0600), ERR_OK);
    assert_string_equal(order, "wsrd");
    order[0] = 0;
    fsync_result = -EIO; /* the pages may be gone: no second flush, no rename */
    assert_int_equal(sys_replace_file(in("r"), STR("y"), 0600), ERR_IO);
    assert_string_equal(order, "ws");
    sys = &sys_real;
}

static void short_faults_move_half(void **state)
{
    (void)state;
    char got[10];
    int fd = sys->open(in("f"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct iovec iov[3] = {{"abcd", 4}, {"efgh", 4}, {"ij", 2}};
    sys_fault_install(0, SYS_FAULT_SHORT);
    assert_int_equal(sys->pwritev(fd, iov, 3, 0, 0), 5);
    sys_fault_remove();
    assert_int_equal(sys->pread(fd, got, sizeof got, 0), 5);
    assert_memory_equal(got, "abcde", 5);
    sys_fault_install(1, SYS_FAULT_SHORT);
    assert_int_equal(sys->pwrite(fd, "0123456789", 10, 0), 10);
    assert_int_equal(sys->pread(fd, got, 10, 0), 5);
    assert_int_equal(sys->pread(fd, got, 10, 0), 10);
    sys_fault_remove();
    sys_fault_install(0, SYS_FAULT_SHORT);
    assert_int_equal(sys->fsync(fd), -EIO);
    assert_int_equal(sys->fsync(fd), 0);
    assert_int_equal(sys_fault_calls(), 2);
    sys_fault_remove();
    sys_fault_install(0, SYS_FAULT_SHORT);
    assert_int_equal(sys->pwrite(fd, "x", 1, 0),
                     -EIO); /* one byte cannot be short, and 0 would read as success */
    sys_fault_remove();
    sys->close(fd);
}

static void clocks_and_randomness_never_fail(void **state)
{
    (void)state;
    uint64_t r[2] = {0, 0};
    sys_fault_install(0, SYS_FAULT_EIO);
    sys->random(r, sizeof r);
    uint64_t t = sys->mono_ns();
    assert_true(sys->mono_ns() >= t);
    assert_true(sys->real_ms() > INT64_C(1577836800000));
    assert_int_equal(sys_fault_calls(), 0);
    assert_false(sys_fault_hit());
    sys_fault_remove();
    assert_true(r[0] != 0 && r[0] != r[1]);
    assert_ptr_equal(sys, &sys_real);
}

static int open_descriptors(void)
{
    return entries("/proc/self/fd");
}

/* Fail every call of a replacement in turn, in every way: the old or the new content stands, whole, no
 * descriptor and no temporary is left, and success means the new content. */
static void replace_survives_every_fault(void **state)
{
    (void)state;
    const enum sys_fault_kind kinds[] = {SYS_FAULT_EIO, SYS_FAULT_ENOSPC, SYS_FAULT_EINTR, SYS_FAULT_SHORT};
    int before = open_descriptors(), failures = 0;
    for (size_t kind = 0; kind < 4; kind++) {
        bool hit = true;
        for (uint64_t k = 0; hit; k++) {
            assert_int_equal(sys_replace_file(in("r"), STR("old content"), 0600), ERR_OK);
            sys_fault_install(k, kinds[kind]);
            err e = sys_replace_file(in("r"), STR("the new content"), 0600);
            hit = sys_fault_hit();
            sys_fault_remove();
            struct buf b;
            buf_init(&b, 0);
            assert_int_equal(sys_read_file(in("r"), 100, &b), ERR_OK);
            bool is_new = str_eq(buf_view(&b), STR("the new content"));
            assert_true(is_new || str_eq(buf_view(&b), STR("old content")));
            if (e == ERR_OK) assert_true(is_new);
            if (e != ERR_OK && kinds[kind] == SYS_FAULT_ENOSPC) assert_int_equal(e, ERR_NO_SPACE);
            failures += e != ERR_OK;
            buf_free(&b);
            struct stat st;
            assert_int_equal(sys->stat(in("r.tmp"), &st), -ENOENT);
        }
    }
    assert_true(failures >= 12);
    assert_int_equal(open_descriptors(), before);
}

/* The same for mkdirs: it fails or the directories are there, and a second run completes what a first one
 * began. */
static void mkdirs_survives_every_fault(void **state)
{
    (void)state;
    const enum sys_fault_kind kinds[] = {SYS_FAULT_EIO, SYS_FAULT_ENOSPC, SYS_FAULT_EINTR, SYS_FAULT_SHORT};
    struct stat st;
    int made = 0, failures = 0;
    for (size_t kind = 0; kind < 4; kind++) {
        bool hit = true;
        for (uint64_t k = 0; hit; k++) {
            char path[256];
            snprintf(path, sizeof path, "%s/m%d/a/b", dir, made++);
            sys_fault_install(k, kinds[kind]);
            err e = sys_mkdirs(path, 0700);
            hit = sys_fault_hit();
            sys_fault_remove();
            failures += e != ERR_OK;
            if (kinds[kind] == SYS_FAULT_EINTR) assert_int_equal(e, ERR_OK);
            if (e != ERR_OK) assert_int_equal(e, kinds[kind] == SYS_FAULT_ENOSPC ? ERR_NO_SPACE : ERR_IO);
            if (e == ERR_OK) assert_int_equal(sys->stat(path, &st), 0);
            assert_int_equal(sys_mkdirs(path, 0700), ERR_OK);
            assert_int_equal(sys->stat(path, &st), 0);
        }
    }
    assert_true(failures >= 6);
}

static void interrupted_calls_are_repeated(void **state)
{
    (void)state;
    bool hit = true;
    uint64_t k = 0;
    for (; hit; k++) {
        struct buf b;
        buf_init(&b, 0);
        assert_int_equal(sys_replace_file(in("r"), STR("content"), 0600), ERR_OK);
        sys_fault_install(k, SYS_FAULT_EINTR);
        assert_int_equal(sys_read_file(in("r"), 100, &b), ERR_OK);
        hit = sys_fault_hit();
        sys_fault_remove();
        assert_true(str_eq(buf_view(&b), STR("content")));
        buf_free(&b);
    }
    assert_true(k >= 4);
}

static void statfs_and_stat_agree_with_the_disk(void **state)
{
    (void)state;
    struct sys_statfs v;
    assert_int_equal(sys->statfs(dir, &v), 0);
    assert_true(v.total > 0 && v.avail <= v.total);
    int fd = sys->open(in("f"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct stat st;
    assert_int_equal(sys->ftruncate(fd, 12345), 0);
    assert_int_equal(sys->fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 12345);
    sys->close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(real_calls_report_errno_negated),
        T(lock_is_exclusive),
        T(descriptors_do_not_leak_into_children),
        T(list_stops_when_told),
        T(read_past_the_end_is_corrupt),
        T(files_are_read_whole_and_bounded),
        T(replace_keeps_the_mode_private),
        T(mkdirs_makes_every_ancestor),
        T(new_names_are_made_durable),
        T(replace_flushes_before_and_after_the_rename),
        T(short_faults_move_half),
        T(clocks_and_randomness_never_fail),
        T(replace_survives_every_fault),
        T(mkdirs_survives_every_fault),
        T(interrupted_calls_are_repeated),
        T(statfs_and_stat_agree_with_the_disk),
    };
    return cmocka_run_group_tests_name("sys", tests, NULL, NULL);
}
