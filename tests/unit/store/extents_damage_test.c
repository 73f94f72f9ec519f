/* Damage and crashes: every flipped bit is noticed or harmless, nothing that a client stores poses as an
 * extent, and what a crash leaves is found and given back. */
#include "unit/store/extents_util.h"

/* ---- flipped bits ---- */

static const struct {
    uint64_t id, size;
} trio[] = {{1, 5000}, {2, 0}, {3, 20000}};

/* With file f as it is now: reads give the right bytes or an error, a scan shows the truth or less. */
static void check_trio(const struct kept *k)
{
    struct extents *x = open_with((struct extents_options){.read_only = true});
    for (int i = 0; i < 3; i++) {
        bool wrong = false;
        read_kept(x, &k[i], 32768, &wrong);
        assert_false(wrong);
    }
    struct seen *s = scan(x, false);
    assert_true(s->n + s->bad >= 3); /* nothing is lost in silence */
    for (size_t i = 0; i < s->n; i++) {
        uint64_t id = s->v[i].blob_id;
        assert_true(id >= 1 && id <= 3);
        assert_memory_equal(&s->v[i].place, &k[id - 1].places[0], sizeof(struct extent_place));
        char owner[64];
        snprintf(owner, sizeof owner, "owner of %d", (int)id);
        assert_string_equal(s->owner[i], owner);
        assert_int_equal(s->v[i].blob_size, trio[id - 1].size);
    }
    free(s);
    extents_close(x);
}

/* Sanitizers look for other things: they take every 7th byte. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FLIP_STEP 7
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define FLIP_STEP 7
#endif
#endif
#ifndef FLIP_STEP
#define FLIP_STEP 1
#endif

static void test_flips(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(put_kept(x, trio[i].id, trio[i].size, (int64_t)trio[i].size, 4096, &k[i]), ERR_OK);
    extents_close(x);
    char path[128];
    file_path(1, path);
    int fd = open(path, O_RDWR);
    struct stat st;
    ASSERT(fd >= 0 && fstat(fd, &st) == 0);
    for (off_t at = 0; at < st.st_size; at += FLIP_STEP) {
        unsigned char was;
        ASSERT(pread(fd, &was, 1, at) == 1);
        bool header = at % 4096 < 256; /* headers, sums and owners: every bit; elsewhere one of each byte */
        for (int bit = header ? 0 : (int)(at % 8); bit < (header ? 8 : (int)(at % 8) + 1); bit++) {
            unsigned char now = was ^ (unsigned char)(1 << bit);
            ASSERT(pwrite(fd, &now, 1, at) == 1);
            check_trio(k);
        }
        ASSERT(pwrite(fd, &was, 1, at) == 1);
    }
    for (off_t cut = st.st_size; cut >= 0; cut -= 1357) {
        ASSERT(ftruncate(fd, cut) == 0);
        x = open_with((struct extents_options){.read_only = true});
        for (int i = 0; i < 3; i++) {
            bool wrong = false;
            err e = read_kept(x, &k[i], 32768, &wrong);
            assert_false(wrong);
            if ((uint64_t)cut < k[i].places[0].offset + EXT_HEAD + trio[i].size)
                assert_int_not_equal(e, ERR_OK);
        }
        free(scan(x, false));
        extents_close(x);
    }
    for (int i = 0; i < 3; i++) kept_free(&k[i]);
    close(fd);
}

/* Both copies of a file header gone: its extents answer ERR_CORRUPT, a scan says so, the rest of the store
 * serves. */
static void test_header_lost(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct kept k[10];
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(put_kept(x, i + 1, 60000, 60000, 60000, &k[i]), ERR_OK);
    extents_close(x);
    char path[128], garbage[8192];
    file_path(1, path);
    int fd = open(path, O_RDWR);
    memset(garbage, 'g', sizeof garbage);
    ASSERT(pwrite(fd, garbage, 4096, 0) == 4096);
    x = open_with((struct extents_options){SMALL_LIMITS});
    assert_reads(x, &k[0], 60000); /* the second copy serves */
    extents_close(x);
    ASSERT(pwrite(fd, garbage, 8192, 0) == 8192);
    x = open_with((struct extents_options){SMALL_LIMITS});
    bool wrong = false;
    assert_int_equal(read_kept(x, &k[0], 60000, &wrong), ERR_CORRUPT);
    assert_reads(x, &k[9], 60000);
    struct seen *s = scan(x, false);
    size_t lost = 0;
    for (int i = 0; i < 10; i++) lost += k[i].places[0].file == 1;
    assert_int_equal(s->n, 10 - lost);
    assert_int_equal(s->bad, 1);
    assert_int_equal(s->bad_at[0], 0);
    free(s);
    for (int i = 0; i < 10; i++) kept_free(&k[i]);
    extents_close(x);
    close(fd);
}

/* A file of a newer version is refused, with a line that says why. */
static void test_newer_version(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k;
    assert_int_equal(put_kept(x, 1, 100, 100, 100, &k), ERR_OK);
    extents_close(x);
    unsigned char page[EXT_ALIGN];
    struct ext_file_head h = {.number = 1, .cls = EXT_CLASSES, .seed = 1};
    ext_file_head_encode(&h, page);
    char path[128], why[512] = "";
    file_path(1, path);
    int fd = open(path, O_RDWR);
    ASSERT(pwrite(fd, page, sizeof page, 0) == sizeof page &&
           pwrite(fd, page, sizeof page, 4096) == sizeof page);
    close(fd);
    struct extents_options o = {.dir = test_dir};
    assert_int_equal(extents_open(&o, &x, why), ERR_UNSUPPORTED_FORMAT);
    assert_non_null(strstr(why, "00000001.ext"));
    assert_null(x);
    kept_free(&k);
}

/* ---- crashes ---- */

/* Run fn in a process that ends without closing anything. */
static void crash_after(void (*fn)(void *), void *arg)
{
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        fn(arg);
        _exit(0);
    }
    int status;
    ASSERT(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* An extent file's bytes, stored as a blob: it holds real heads, with their checksums, on 4 KiB boundaries.
 */
static void write_decoy(struct extent_writer *w, size_t times)
{
    char path[128];
    file_path(1, path);
    int fd = open(path, O_RDONLY);
    ASSERT(fd >= 0);
    char *p = calloc(1, 512 << 10);
    ssize_t n = pread(fd, p, 512 << 10, 0);
    ASSERT(n > 0);
    close(fd);
    for (size_t i = 0; i < times; i++) ASSERT(extent_write(w, p, 512 << 10) == ERR_OK);
    free(p);
}

static void crash_in_stream(void *arg)
{
    (void)arg;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k;
    struct extent_writer *w, *v;
    ASSERT(put_kept(x, 1, 100000, 100000, 100000, &k) == ERR_OK);
    ASSERT(extent_writer_new(x, 2, 50 << 20, &w) == ERR_OK);
    write_decoy(w, 9); /* 4 MiB written, the rest in memory */
    ASSERT(put_kept(x, 3, 3 << 20, 3 << 20, 1 << 20, &k) == ERR_OK);
    ASSERT(extent_writer_new(x, 4, -1, &v) == ERR_OK);
    write_decoy(v, 7);
}

static void test_open_extents(void **state)
{
    (void)state;
    crash_after(crash_in_stream, NULL);
    struct extents *x = open_with((struct extents_options){0});
    struct seen *s = scan(x, true);
    assert_int_equal(s->n, 4);
    assert_int_equal(s->bad, 0);
    assert_int_equal(s->open, 2);
    uint64_t before = disk_bytes(2);
    for (size_t i = 0; i < s->n; i++) {
        const struct extent_visit *v = &s->v[i];
        assert_int_equal(v->blob_id, i + 1); /* in the order of places; no head within the decoys counts */
        assert_int_equal(v->open, v->blob_id % 2 == 0);
        if (!v->open) continue;
        assert_int_equal(v->place.data_len, 0);
        extents_free_unknown(x, &v->place);
    }
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_true(before > 50 << 20);
    assert_true(disk_bytes(2) <= (3 << 20) + 4 * 4096 + EXT_START + SLACK);
    free(s);
    s = scan(x, false);
    assert_int_equal(s->n, 2);
    assert_int_equal(s->open + s->bad, 0);
    bool wrong = false;
    for (int i = 0; i < 2; i++)
        assert_int_equal(read_extent(x, &s->v[i].place, s->v[i].blob_id, 0, 1 << 20, &wrong), ERR_OK);
    assert_false(wrong);
    struct kept k; /* new extents begin behind all that a scan saw */
    assert_int_equal(put_kept(x, 9, 2 << 20, 2 << 20, 1 << 20, &k), ERR_OK);
    assert_int_equal(k.places[0].file, 2);
    assert_true(k.places[0].offset > 50 << 20);
    assert_reads(x, &k, 1 << 20);
    free(s);
    kept_free(&k);
    extents_close(x);
}

/* The crash kept the reserved blocks but not the bytes: zeros that no extent covers go on their own. */
static void test_zeros_swept(void **state)
{
    (void)state;
    crash_after(crash_in_stream, NULL);
    char path[128];
    file_path(2, path);
    int fd = open(path, O_RDWR);
    char *zeros = calloc(1, 60 << 20);
    struct stat st;
    ASSERT(fstat(fd, &st) == 0 && st.st_size > 50 << 20 && st.st_size < 70 << 20);
    ASSERT(pwrite(fd, zeros, 5 << 20, EXT_START) == 5 << 20); /* the first stream's head and bytes */
    struct extents *x = open_with((struct extents_options){.read_only = true});
    free(scan(x, true)); /* read only: nothing is swept */
    extents_close(x);
    uint64_t before = disk_bytes(2);
    x = open_with((struct extents_options){0});
    struct seen *s = scan(x, true);
    assert_int_equal(s->n, 3);
    assert_int_equal(s->open, 1);
    assert_int_equal(s->bad, 0);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_true(before - disk_bytes(2) >= 50 << 20);
    bool wrong = false;
    for (int i = 0; i < 3; i++)
        if (!s->v[i].open)
            assert_int_equal(read_extent(x, &s->v[i].place, s->v[i].blob_id, 0, 1 << 20, &wrong), ERR_OK);
    assert_false(wrong);
    free(s);
    free(zeros);
    close(fd);
    extents_close(x);
}

/* The file ends in the middle of an extent: what is before it stays, what is cut is called bad and keeps its
 * place. */
static void test_cut_off(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k[3];
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(put_kept(x, i + 1, 100000, 100000, 100000, &k[i]), ERR_OK);
    extents_close(x);
    char path[128];
    file_path(1, path);
    assert_int_equal(truncate(path, (off_t)k[2].places[0].offset + 30000), 0);
    x = open_with((struct extents_options){0});
    struct seen *s = scan(x, true);
    assert_int_equal(s->n, 3);
    assert_int_equal(s->bad, 1);
    assert_int_equal(s->bad_at[0], k[2].places[0].offset);
    free(s);
    struct kept more;
    assert_int_equal(put_kept(x, 4, 100000, 100000, 100000, &more), ERR_OK);
    assert_true(more.places[0].offset >= k[2].places[0].offset + k[2].places[0].disk_len);
    for (int i = 0; i < 2; i++) assert_reads(x, &k[i], 100000);
    assert_reads(x, &more, 100000);
    kept_free(&more);
    for (int i = 0; i < 3; i++) kept_free(&k[i]);
    extents_close(x);
}

/* A file that was made but whose header never reached the disk. */
static void test_unborn_file(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k;
    assert_int_equal(put_kept(x, 1, 1000, 1000, 1000, &k), ERR_OK);
    extents_close(x);
    char path[128];
    file_path(2, path);
    close(open(path, O_RDWR | O_CREAT, 0600));
    file_path(3, path);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    ASSERT(ftruncate(fd, 8192) == 0);
    close(fd);
    x = open_with((struct extents_options){0});
    assert_false(file_exists(2));
    assert_false(file_exists(3));
    assert_reads(x, &k, 1000);
    struct seen *s = scan(x, true);
    assert_int_equal(s->bad, 0);
    free(s);
    kept_free(&k);
    extents_close(x);
}

/* Random bytes where heads are expected. */
static void test_garbage(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k[2];
    for (uint64_t i = 0; i < 2; i++)
        assert_int_equal(put_kept(x, i + 1, 300000, 300000, 300000, &k[i]), ERR_OK);
    extents_close(x);
    char path[128];
    file_path(1, path);
    int fd = open(path, O_RDWR);
    char *junk = malloc(k[0].places[0].disk_len);
    sys_real.random(junk, k[0].places[0].disk_len);
    ASSERT(pwrite(fd, junk, k[0].places[0].disk_len, (off_t)k[0].places[0].offset) > 0);
    ASSERT(pwrite(fd, junk, 100000, (off_t)(k[1].places[0].offset + k[1].places[0].disk_len) + 40960) ==
           100000);
    x = open_with((struct extents_options){0});
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 1);
    assert_int_equal(s->bad, 2);
    assert_int_equal(s->v[0].blob_id, 2);
    bool wrong = false;
    assert_int_equal(read_kept(x, &k[0], 100000, &wrong), ERR_CORRUPT);
    assert_reads(x, &k[1], 100000);
    free(s);
    free(junk);
    close(fd);
    for (int i = 0; i < 2; i++) kept_free(&k[i]);
    extents_close(x);
}

int main(void)
{
    quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flips, setup_in_memory, teardown),
        cmocka_unit_test_setup_teardown(test_header_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_extents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zeros_swept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unborn_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
