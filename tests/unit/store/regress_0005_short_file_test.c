/* Regression 5: a crash while an extent file was made left one copy of its header and no more; the next start
 * placed extents where the second copy belongs, and making the file final wrote over the first of them. */
#include "conformance/store_engine.h"

#include "store/extents.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SIZE 20000u

static void write_one(struct extents *x, struct extent_place *place)
{
    char body[SIZE];
    struct extent_writer *w;
    const struct extent_place *places;
    size_t n;
    memset(body, 'x', sizeof body);
    assert_int_equal(extent_writer_new(x, 1, SIZE, &w), ERR_OK);
    assert_int_equal(extent_write(w, body, SIZE), ERR_OK);
    assert_int_equal(extent_seal(w, STR("o"), &places, &n), ERR_OK);
    assert_int_equal(n, 1);
    *place = places[0];
    extent_writer_keep(w);
}

static struct extents *open_extents(void)
{
    struct extents_options o = {.dir = engine_dir};
    struct extents *x;
    char why[512];
    assert_int_equal(extents_open(&o, &x, why), ERR_OK);
    return x;
}

static void begins_behind_the_headers(void **state)
{
    (void)state;
    char path[200];
    struct extent_place p;
    engine_dir_make();
    struct extents *x = open_extents();
    write_one(x, &p);
    extents_close(x);
    snprintf(path, sizeof path, "%s/extents/%08u.ext", engine_dir, p.file);
    assert_int_equal(truncate(path, 4096), 0); /* the rest never reached the disk */
    x = open_extents();
    write_one(x, &p);
    assert_true(p.offset >= 8192);
    extents_close(x);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(begins_behind_the_headers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
