/* Regression 16: delete markers are let through on a full disk, as deletions, though each writes and none
 * frees: so many of them took the reserve from which deletions that free are logged. They get half of it. */
#include "conformance/store_engine.h"
#include "store/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DISK ((uint64_t)256 << 20)

static uint64_t disk_avail;

static int told(const char *path, struct sys_statfs *out)
{
    int rc = sys_real.statfs(path, out);
    out->total = DISK;
    out->avail = disk_avail;
    return rc;
}

enum what { PUT, MARKER, NULL_MARKER, REMOVE };

/* MARKER writes only; NULL_MARKER writes over what held a blob. */
static err commit(struct store *s, enum what what, uint64_t blob)
{
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
    struct str key = str_of("\0\0\0\0\0\0\0\1k", 9);
    if (what == REMOVE)
        idx_txn_del(t, key);
    else
        idx_txn_put(t, key, STR("v"));
    if (what == NULL_MARKER) idx_txn_unref(t, blob);
    if (what == MARKER || what == NULL_MARKER) idx_txn_hides(t);
    err e = idx_commit(s->idx, t, NULL);
    arena_free(a);
    return e;
}

static uint64_t publish(struct store *s)
{
    struct blob_writer *w;
    assert_int_equal(blob_create(s->blobs, 5, &w), ERR_OK);
    assert_int_equal(blob_write(w, "bytes", 5), ERR_OK);
    assert_int_equal(blob_seal(w, STR("")), ERR_OK);
    uint64_t id = w->id;
    struct arena *a = arena_new(0);
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
    idx_txn_publish(t, w);
    assert_int_equal(idx_commit(s->idx, t, NULL), ERR_OK);
    arena_free(a);
    return id;
}

/* As if some time had gone by since the disk was looked at. */
static void disk_has(struct store *s, uint64_t avail)
{
    disk_avail = avail;
    atomic_store(&engine_of(s)->space_checked_ns, 0);
}

static void markers_leave_half_of_the_reserve(void **state)
{
    (void)state;
    struct sys_ops ops = *sys;
    struct store s;
    struct engine_options o = {.segment_bytes = 1 << 20};
    engine_dir_make();
    disk_avail = DISK;
    ops.statfs = told;
    sys = &ops;
    engine_dir_open(&s, &o);
    uint64_t blob = publish(&s), reserve = DISK / 50;
    disk_has(&s, reserve * 3 / 4);
    assert_int_equal(commit(&s, PUT, 0), ERR_NO_SPACE);
    assert_int_equal(commit(&s, MARKER, 0), ERR_OK);
    disk_has(&s, reserve / 4);
    assert_int_equal(commit(&s, PUT, 0), ERR_NO_SPACE);
    assert_int_equal(commit(&s, MARKER, 0), ERR_NO_SPACE);
    assert_int_equal(commit(&s, REMOVE, 0), ERR_OK);
    assert_int_equal(commit(&s, NULL_MARKER, blob), ERR_OK);
    disk_has(&s, DISK);
    assert_int_equal(commit(&s, MARKER, 0), ERR_OK);
    assert_int_equal(commit(&s, PUT, 0), ERR_OK);
    engine_close(&s);
    sys = &sys_real;
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(markers_leave_half_of_the_reserve)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
