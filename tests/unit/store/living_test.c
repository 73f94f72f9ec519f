/* Which bodies live, asked for many at once, against the blob table asked one by one. */
#include "base/bytes.h"
#include "store/cells.h"
#include "store/living.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define BLOBS 20000u

static char dir[64];
static struct view *v;
static uint64_t seed = 1;

static unsigned below(unsigned n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % n;
}

/* Ids lie in groups with gaps between, as where large uploads went to extents at once. */
static uint64_t id_of(unsigned i)
{
    return ((uint64_t)1 << 40) + i + (uint64_t)(i / 1000) * 5000;
}

static void put(struct view_batch *b, unsigned i, enum blob_where where)
{
    char key[INNER_KEY_MAX];
    struct extent_place place = {.file = 1, .offset = 8192, .disk_len = 4096, .data_len = 10};
    struct blob_places *places = blob_places_copy(&place, 1);
    struct blob_entry e = {
        .refs = 1, .size = 10, .where = where, .segment = 3, .offset = 4096, .places = places};
    struct buf value;
    buf_init(&value, 0);
    blob_entry_encode(&value, &e);
    view_batch_put(b, inner_key(key, INNER_BLOB, id_of(i)), i + 1, buf_view(&value));
    buf_free(&value);
    blob_places_drop(places);
}

static int setup(void **state)
{
    (void)state;
    char why[512], path[80], key[INNER_KEY_MAX];
    snprintf(dir, sizeof dir, "/tmp/ingot-living-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/index", dir);
    struct view_options o = {.dir = path, .cache = 8 << 20};
    assert_int_equal(view_open(&o, &v, why), ERR_OK);
    struct view_batch *b = view_batch_new();
    for (unsigned i = 0; i < BLOBS; i++) put(b, i, below(8) ? BLOB_INLINE : BLOB_EXTENTS);
    assert_int_equal(view_write(v, b), ERR_OK);
    for (unsigned i = 0; i < BLOBS; i++)
        if (below(10) < 6 || (i > 7000 && i < 7500)) view_batch_del(b, inner_key(key, INNER_BLOB, id_of(i)));
    assert_int_equal(view_write(v, b), ERR_OK);
    view_batch_free(b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[80];
    view_close(v);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static bool lives(uint64_t id)
{
    char key[INNER_KEY_MAX];
    struct view_pin pin;
    struct blob_entry e;
    err found = view_get(v, inner_key(key, INNER_BLOB, id), &pin);
    if (found == ERR_NOT_FOUND) return false;
    assert_int_equal(found, ERR_OK);
    assert_int_equal(blob_entry_decode(pin.value, &e), ERR_OK);
    view_unpin(&pin);
    if (e.where == BLOB_EXTENTS) blob_places_drop(e.places);
    return e.where == BLOB_INLINE;
}

static void check(struct living *l, const uint64_t *asked, unsigned n)
{
    living_clear(l);
    for (unsigned i = 0; i < n; i++) assert_int_equal(living_ask(l, asked[i]), ERR_OK);
    assert_int_equal(living_find(l, v), ERR_OK);
    size_t found = 0;
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(living_has(l, asked[i]), lives(asked[i]));
        found += lives(asked[i]);
    }
    assert_int_equal(l->n, found);
    assert_false(living_has(l, 7));
}

static void test_as_one_by_one(void **state)
{
    (void)state;
    static uint64_t asked[BLOBS];
    static const unsigned every[] = {1, 2, 50, 700, 9000};
    struct living l = {0};
    size_t living = 0;
    for (unsigned k = 0; k < sizeof every / sizeof *every; k++) {
        unsigned n = 0;
        for (unsigned i = below(every[k]); i < BLOBS; i += 1 + below(2 * every[k] - 1)) asked[n++] = id_of(i);
        for (unsigned i = 0; i < 20 && n > 1; i++) { /* nearly in order, as the log has them */
            unsigned at = below(n - 1);
            uint64_t one = asked[at];
            asked[at] = asked[at + 1];
            asked[at + 1] = one;
        }
        check(&l, asked, n);
        living += l.n;
    }
    assert_true(living > BLOBS / 3 && living < BLOBS);
    living_free(&l);
}

static void test_none(void **state)
{
    (void)state;
    struct living l = {0};
    assert_int_equal(living_find(&l, v), ERR_OK);
    assert_false(living_has(&l, id_of(0)));
    uint64_t unknown[] = {1, 5, id_of(999) + 100, UINT64_MAX - 1};
    check(&l, unknown, 4);
    living_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_one_by_one), cmocka_unit_test(test_none)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
