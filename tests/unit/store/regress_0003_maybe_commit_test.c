/* Regression 3: a commit whose flush failed was answered with an error, and the bytes it published were
 * freed; the record was on the disk all the same, and at the next start it replaced a good object by one
 * without bytes. What nobody knows the fate of keeps its bytes. */
#include "conformance/store_engine.h"

#include "base/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SIZE 300000u

static struct sys_ops failing;
static bool fail;

/* The bytes reach the disk; the call says they did not. */
static ssize_t failing_pwritev(int fd, const struct iovec *iov, int n, uint64_t off, int flags)
{
    ssize_t put = sys_real.pwritev(fd, iov, n, off, flags);
    return fail ? -EIO : put;
}

static char body[2][SIZE];

static err put(struct store *s, unsigned which)
{
    char key[9] = {0, 0, 0, 0, 0, 0, 0, 1, 'k'}, value[8];
    struct blob_writer *w;
    struct arena *a = arena_new(0);
    struct str old = STR_NONE, k = str_of(key, sizeof key);
    err e = idx_get(s->idx, a, k, &old, NULL);
    assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
    assert_int_equal(blob_create(s->blobs, SIZE, &w), ERR_OK);
    assert_int_equal(blob_write(w, body[which], SIZE), ERR_OK);
    assert_int_equal(blob_seal(w, STR("owner")), ERR_OK);
    put_le64(value, blob_writer_id(w));
    struct idx_txn *t = idx_txn_new(a, 1, idx_now(s->idx));
    idx_txn_put(t, k, str_of(value, 8));
    idx_txn_publish(t, w);
    if (old.n) idx_txn_unref(t, get_le64(old.p));
    fail = which == 1;
    e = idx_commit(s->idx, t, NULL);
    fail = false;
    if (e) blob_abandon(w);
    arena_free(a);
    return e;
}

static bool reads_as(struct store *s, const char *want)
{
    char key[9] = {0, 0, 0, 0, 0, 0, 0, 1, 'k'};
    struct arena *a = arena_new(0);
    struct str value, v;
    struct blob_reader *r;
    bool same = true;
    assert_int_equal(idx_get(s->idx, a, str_of(key, sizeof key), &value, NULL), ERR_OK);
    assert_int_equal(blob_open(s->blobs, get_le64(value.p), &r), ERR_OK);
    for (size_t at = 0; at < SIZE; at += v.n) {
        assert_int_equal(blob_view(r, at, SIZE - at, &v), ERR_OK);
        same = same && memcmp(v.p, want + at, v.n) == 0;
    }
    blob_close(r);
    arena_free(a);
    return same;
}

static void keeps_the_bytes(void **state)
{
    (void)state;
    struct store s;
    for (unsigned i = 0; i < SIZE; i++)
        body[0][i] = (char)(i * 7 + (i >> 8)), body[1][i] = (char)(i * 13 + (i >> 7));
    engine_dir_make();
    engine_dir_open(&s, NULL);
    assert_int_equal(put(&s, 0), ERR_OK);
    failing = sys_real;
    failing.pwritev = failing_pwritev;
    sys = &failing;
    assert_int_equal(put(&s, 1), ERR_IO);
    assert_int_equal(engine_state(&s), ENGINE_FAILED);
    assert_true(reads_as(&s, body[0]));
    extents_settle_frees(engine_of(&s)->extents);
    sys = &sys_real;
    engine_close(&s);
    engine_dir_open(&s, NULL);
    assert_true(reads_as(&s, body[1]));
    engine_close(&s);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_the_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
