/* Regression 24: a crash left the head of an extent and not its end, so that the file ended within it; the
 * next start placed an extent at that end. When the file had grown, the head was whole, and the start after
 * the next crash freed all that it claimed: the beginning of the extent behind it, too. */
#include "conformance/store_engine.h"

#include "store/extents.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SIZE 20000u

static void write_one(struct extents *x, uint64_t id, struct extent_place *place)
{
    char body[SIZE];
    struct extent_writer *w;
    const struct extent_place *places;
    size_t n;
    memset(body, 'a' + (int)id, sizeof body);
    assert_int_equal(extent_writer_new(x, id, SIZE, &w), ERR_OK);
    assert_int_equal(extent_write(w, body, SIZE), ERR_OK);
    assert_int_equal(extent_seal(w, STR("o"), &places, &n), ERR_OK);
    assert_int_equal(n, 1);
    *place = places[0];
    extent_writer_keep(w);
}

static bool free_all_but(void *arg, const struct extent_visit *v)
{
    void **a = arg;
    const struct extent_place *keep = a[1];
    if (!keep || v->place.offset != keep->offset) extents_free_unknown(a[0], &v->place);
    return true;
}

/* As after a crash: all is looked at, what is not known is freed. */
static struct extents *open_after_crash(const struct extent_place *known)
{
    struct extents_options o = {.dir = engine_dir};
    struct extents *x;
    char why[512];
    assert_int_equal(extents_open(&o, &x, why), ERR_OK);
    void *arg[] = {x, (void *)(uintptr_t)known};
    assert_int_equal(extents_scan(x, true, free_all_but, NULL, arg), ERR_OK);
    return x;
}

static void read_one(struct extents *x, const struct extent_place *p, uint64_t id)
{
    static char buf[SIZE + 2 * EXTENT_BLOCK_MAX];
    struct extent_table *t = NULL;
    struct str view;
    assert_int_equal(extent_read(x, p, id, &t, 0, SIZE, buf, sizeof buf, &view), ERR_OK);
    assert_int_equal(view.p[SIZE - 1], 'a' + (int)id);
    extent_table_free(t);
}

static void a_head_without_its_end_claims_nothing(void **state)
{
    (void)state;
    char path[200], head[4096];
    struct extent_place lost, kept;
    engine_dir_make();
    struct extents *x = open_after_crash(NULL);
    write_one(x, 1, &lost);
    extents_close(x);
    snprintf(path, sizeof path, "%s/extents/%08u.ext", engine_dir, lost.file);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pread(fd, head, sizeof head, (off_t)lost.offset) == sizeof head);
    assert_int_equal(ftruncate(fd, (off_t)(lost.offset + 2 * 4096)), 0); /* the rest never came */

    x = open_after_crash(NULL);
    write_one(x, 2, &kept);
    assert_int_equal(kept.file, lost.file);
    assert_true(kept.offset >= lost.offset + lost.disk_len);
    extents_close(x);
    /* That it was freed had not come to the disk. */
    assert_true(pwrite(fd, head, sizeof head, (off_t)lost.offset) == sizeof head);
    close(fd);

    x = open_after_crash(&kept);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    read_one(x, &kept, 2);
    extents_close(x);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_head_without_its_end_claims_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
