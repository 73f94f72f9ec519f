/* Bodies: sources and filters give what their contract says, and fail the same way twice. */
#include "body/body.h"
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* A source that hands its bytes out in pieces, then ends or fails. */
struct pieces {
    struct body b;
    struct str rest;
    size_t step;
    err at_end;
    int closed;
};

static err pieces_next(struct body *b, struct str *out)
{
    struct pieces *p = CONTAINER(b, struct pieces, b);
    if (p->rest.n == 0) return p->at_end;
    *out = str_slice(p->rest, 0, p->step);
    p->rest = str_slice(p->rest, out->n, p->rest.n);
    return ERR_OK;
}

static void pieces_close(struct body *b)
{
    CONTAINER(b, struct pieces, b)->closed++;
}

static const struct body_ops pieces_ops = {"pieces", pieces_next, pieces_close, NULL};

static struct pieces pieces_of(struct str s, size_t step, err at_end)
{
    return (struct pieces){
        .b = {.ops = &pieces_ops, .length = -1}, .rest = s, .step = step, .at_end = at_end};
}

/* Pull all; returns the error, fills got. */
static err pull(struct body *b, struct buf *got)
{
    buf_init(got, 0);
    for (;;) {
        struct str v;
        err e = body_next(b, &v);
        if (e) {
            assert_int_equal(v.n, 0);
            assert_int_equal(body_next(b, &v), e); /* and again the same */
            return e;
        }
        if (v.n == 0) return ERR_OK;
        buf_str(got, v);
    }
}

static const struct str text = {"The quick brown fox jumps over the lazy dog", 43};

static void bytes_come_once(void **state)
{
    struct arena *a = *state;
    struct body *b = body_of_bytes(a, text);
    struct buf got;
    assert_int_equal(b->length, 43);
    assert_int_equal(pull(b, &got), ERR_OK);
    assert_true(str_eq(buf_view(&got), text));
    struct str v = STR("x");
    assert_int_equal(body_next(b, &v), ERR_OK);
    assert_int_equal(v.n, 0);
    body_close(b);
    body_close(NULL);
    buf_free(&got);
}

static void hashed_feeds_the_set(void **state)
{
    struct arena *a = *state;
    struct pieces src = pieces_of(text, 7, ERR_OK);
    struct hash_set *set = hash_set_new(HASH_BIT(HASH_MD5) | HASH_BIT(HASH_CRC32C));
    struct body *b = body_hashed(a, &src.b, set);
    struct buf got;
    assert_int_equal(pull(b, &got), ERR_OK);
    assert_true(str_eq(buf_view(&got), text));
    struct hash_value want, have;
    hash_once(HASH_MD5, text.p, text.n, &want);
    hash_set_final(set, HASH_MD5, &have);
    assert_memory_equal(want.b, have.b, 16);
    hash_once(HASH_CRC32C, text.p, text.n, &want);
    hash_set_final(set, HASH_CRC32C, &have);
    assert_memory_equal(want.b, have.b, 4);
    body_close(b);
    assert_int_equal(src.closed, 1);
    hash_set_free(set);
    buf_free(&got);
}

static void inner_errors_pass_filters(void **state)
{
    struct arena *a = *state;
    struct hash_value want = {{0}};
    struct buf got;
    struct pieces src = pieces_of(text, 10, ERR_CORRUPT);
    struct body *b = body_verified(a, &src.b, HASH_SHA256, &want, ERR_BAD_DIGEST);
    assert_int_equal(pull(b, &got), ERR_CORRUPT);
    body_close(b); /* before its end: frees the digest's state */
    buf_free(&got);
}

static void verified_judges_at_the_end(void **state)
{
    struct arena *a = *state;
    const enum hash_alg algs[] = {HASH_CRC32, HASH_CRC64NVME, HASH_SHA1, HASH_SHA256, HASH_MD5};
    for (size_t i = 0; i < sizeof algs / sizeof *algs; i++) {
        struct hash_value want;
        struct buf got;
        hash_once(algs[i], text.p, text.n, &want);
        struct pieces src = pieces_of(text, 11, ERR_OK);
        struct body *b = body_verified(a, &src.b, algs[i], &want, ERR_BAD_DIGEST);
        assert_int_equal(pull(b, &got), ERR_OK);
        assert_int_equal(got.n, 43);
        buf_free(&got);
        struct str v;
        assert_int_equal(body_next(b, &v), ERR_OK);
        assert_int_equal(v.n, 0);
        body_close(b);

        want.b[hash_size(algs[i]) - 1] ^= 1;
        src = pieces_of(text, 11, ERR_OK);
        b = body_verified(a, &src.b, algs[i], &want, ERR_BAD_DIGEST);
        assert_int_equal(pull(b, &got), ERR_BAD_DIGEST);
        buf_free(&got);
        body_close(b);
        assert_int_equal(src.closed, 1);
    }
}

static void read_all_is_bounded(void **state)
{
    struct arena *a = *state;
    struct str out;
    for (size_t step = 1; step < 50; step += 6) {
        struct pieces src = pieces_of(text, step, ERR_OK);
        assert_int_equal(body_read_all(a, &src.b, 43, &out), ERR_OK);
        assert_true(str_eq(out, text));
        src = pieces_of(text, step, ERR_OK);
        assert_int_equal(body_read_all(a, &src.b, 42, &out), ERR_MAX_MESSAGE_LENGTH);
        src = pieces_of(text, step, ERR_INCOMPLETE_BODY);
        assert_int_equal(body_read_all(a, &src.b, 100, &out), ERR_INCOMPLETE_BODY);
    }
    struct pieces src = pieces_of(text, 5, ERR_OK);
    src.b.length = 43; /* announced as too long: not a byte is read */
    assert_int_equal(body_read_all(a, &src.b, 42, &out), ERR_MAX_MESSAGE_LENGTH);
    assert_int_equal(src.rest.n, 43);
    src = pieces_of(STR(""), 5, ERR_OK);
    assert_int_equal(body_read_all(a, &src.b, 0, &out), ERR_OK);
    assert_int_equal(out.n, 0);
    assert_non_null(out.p);
}

static void read_all_does_not_believe_lengths(void **state)
{
    struct arena *a = *state;
    struct pieces src = pieces_of(text, 5, ERR_INCOMPLETE_BODY);
    src.b.length = 32 << 20;
    struct str out;
    size_t before = arena_used(a);
    assert_int_equal(body_read_all(a, &src.b, 64 << 20, &out), ERR_INCOMPLETE_BODY);
    assert_true(arena_used(a) - before < 64 << 10);
}

static void read_all_grows(void **state)
{
    struct arena *a = *state;
    size_t n = 3 << 20;
    char *big = malloc(n);
    for (size_t i = 0; i < n; i++) big[i] = (char)(i * 31 + i / 977);
    struct pieces src = pieces_of(str_of(big, n), 65536, ERR_OK);
    struct str out;
    assert_int_equal(body_read_all(a, &src.b, n, &out), ERR_OK);
    assert_true(str_eq(out, str_of(big, n)));
    free(big);
}

static int setup(void **state)
{
    *state = arena_new(0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(bytes_come_once),
        T(hashed_feeds_the_set),
        T(inner_errors_pass_filters),
        T(verified_judges_at_the_end),
        T(read_all_is_bounded),
        T(read_all_does_not_believe_lengths),
        T(read_all_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
