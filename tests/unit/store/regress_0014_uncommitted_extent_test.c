/* Regression 14: small blobs that share a write were written and flushed, but their commit was still to come,
 * when their file was full and became final. After a crash no start looked into a final file again: the bytes
 * stayed until a repair. Now the file stays open to the sweep until each blob was published, given up or
 * left. */
#include "unit/store/extents_util.h"

enum { OWN = 900 };

static void fill_the_file(struct extents *x, uint32_t file)
{
    struct kept k;
    uint64_t id = 1;
    do {
        assert_int_equal(put_kept(x, id++, 60000, 60000, 60000, &k), ERR_OK);
        bool other = k.places[0].file != file;
        kept_free(&k);
        if (other) return;
    } while (id < 100);
    fail_msg("the file was never full");
}

static void write_and_fill(struct extent_small v[2])
{
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    for (unsigned i = 0; i < 2; i++)
        v[i] = (struct extent_small){.blob_id = OWN + i, .data = STR("bytes"), .owner = STR("")};
    assert_int_equal(extents_write_many(x, v, 2), ERR_OK);
    extents_small_keep(&v[1], 1); /* one is published, the other not yet */
    fill_the_file(x, v[0].place.file);
}

/* A process that dies with its commit still to come. */
static void crash_before_the_commit(void **state)
{
    (void)state;
    dir_new(true);
    pid_t child = fork();
    if (child == 0) {
        struct extent_small v[2];
        write_and_fill(v);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct seen *s = scan(x, true);
    unsigned found = 0;
    for (size_t i = 0; i < s->n; i++) found += s->v[i].blob_id == OWN;
    assert_int_equal(found, 1);
    free(s);
    extents_close(x);
    dir_free();
}

static void end_of(void (*told)(struct extent_small *v, size_t n), bool swept)
{
    dir_new(true);
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct extent_small v = {.blob_id = OWN, .data = STR("bytes"), .owner = STR("")};
    assert_int_equal(extents_write_many(x, &v, 1), ERR_OK);
    uint64_t file = v.place.file;
    fill_the_file(x, v.place.file);
    told(&v, 1);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    extents_close(x);
    x = open_with((struct extents_options){SMALL_LIMITS});
    struct seen *s = scan(x, true);
    unsigned in_file = 0;
    for (size_t i = 0; i < s->n; i++) in_file += s->v[i].file == file;
    assert_int_equal(in_file > 0, swept);
    free(s);
    extents_close(x);
    dir_free();
}

/* Told in time, the file is final: the next start passes over it. Left, it never is. */
static void told_before_the_end(void **state)
{
    (void)state;
    end_of(extents_small_keep, false);
    end_of(extents_small_abandon, false);
    end_of(extents_small_leave, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(crash_before_the_commit),
                                       cmocka_unit_test(told_before_the_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
