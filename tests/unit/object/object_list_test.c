/* Listings against a naive model: all keys in order, filtered by hand. */
#include "world.h"

enum { MAX_KEYS = 300, MAX_ENTRIES = 400 };
struct model {
    char key[MAX_KEYS][24];
    bool live[MAX_KEYS]; /* else its current version is a delete marker */
    size_t n;
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Short keys over a small alphabet with the delimiter in it: many collisions of prefixes. */
static void random_key(char out[24], unsigned *seed)
{
    static const char alphabet[] = "ab/-\xff";
    unsigned n = 1 + (unsigned)rand_r(seed) % 7;
    for (unsigned i = 0; i < n; i++) out[i] = alphabet[(unsigned)rand_r(seed) % 5];
    out[n] = 0;
}

static void fill(struct world *w, struct model *m, unsigned *seed, bool markers)
{
    m->n = 0;
    for (unsigned i = 0; i < 120; i++) random_key(m->key[m->n++], seed);
    qsort(m->key, m->n, sizeof m->key[0], by_bytes);
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++)
        if (kept == 0 || strcmp(m->key[kept - 1], m->key[i]) != 0) memmove(m->key[kept++], m->key[i], 24);
    m->n = kept;
    for (size_t i = 0; i < m->n; i++) {
        put(w, "bkt", m->key[i], m->key[i]);
        m->live[i] = !markers || rand_r(seed) % 3 != 0;
        if (!m->live[i]) del(w, "bkt", m->key[i], STR_NONE);
    }
}

struct entry {
    struct str name;
    bool prefix;
};

/* Every entry of the whole listing beyond `after`. */
static size_t expect(const struct model *m, const struct obj_list_in *in, struct entry *out)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct str key = str_c(m->key[i]);
        if (!m->live[i] || !str_starts(key, in->prefix)) continue;
        if (in->after.n && str_cmp(key, in->after) <= 0) continue;
        if (in->after_is_prefix && str_starts(key, in->after)) continue;
        struct entry e = {.name = key};
        size_t at;
        if (in->delimiter.n && str_find(str_slice(key, in->prefix.n, key.n), in->delimiter, &at)) {
            e.name = str_slice(key, 0, in->prefix.n + at + in->delimiter.n);
            e.prefix = true;
            if (n > 0 && out[n - 1].prefix && str_eq(out[n - 1].name, e.name)) continue;
        }
        out[n++] = e;
    }
    return n;
}

/* One page: the first max of what is expected, keys and prefixes each in order, truncated if there are more.
 */
static void check_page(const struct obj_list_in *in, const struct obj_list_out *l, const struct entry *want,
                       size_t nwant)
{
    size_t n = nwant < in->max ? nwant : in->max, items = 0, prefixes = 0;
    CHECK(l->n + l->nprefixes == n);
    CHECK(l->truncated == (nwant > in->max && in->max > 0));
    for (size_t i = 0; i < n; i++) {
        if (want[i].prefix)
            CHECK(str_eq(l->prefixes[prefixes++], want[i].name));
        else
            CHECK(str_eq(l->items[items++].key, want[i].name) && l->items[items - 1].size == want[i].name.n);
    }
    if (n > 0) CHECK(str_eq(l->next_key, want[n - 1].name) && l->next_is_prefix == want[n - 1].prefix);
}

static void walk_pages(struct world *w, const struct model *m, struct obj_list_in in)
{
    static struct entry want[MAX_ENTRIES];
    struct obj_list_out l;
    do {
        size_t n = expect(m, &in, want);
        CHECK(obj_list(w->o, w->a, &in, &l) == ERR_OK);
        check_page(&in, &l, want, n);
        in.after = l.next_key;
        in.after_is_prefix = l.next_is_prefix;
    } while (l.truncated);
}

static void random_str(char *out, unsigned *seed, struct str *s, unsigned none)
{
    *s = STR_NONE;
    if ((unsigned)rand_r(seed) % 4 < none) return;
    random_key(out, seed);
    *s = str_c(out);
    s->n = s->n > 3 ? 3 : s->n;
}

static void test_against_model(void **state)
{
    (void)state;
    static struct model m;
    for (unsigned round = 0; round < 8; round++) {
        struct world w;
        unsigned seed = 77 + round;
        char prefix[24], after[24];
        world_begin(&w);
        mk(&w, "bkt");
        if (round % 2) CHECK(bucket_set_versioning(w.o, w.a, STR("bkt"), VERSIONING_ENABLED) == ERR_OK);
        fill(&w, &m, &seed, round % 2);
        for (unsigned i = 0; i < 150; i++) {
            struct obj_list_in in = {.bucket = STR("bkt"), .max = 1 + (unsigned)rand_r(&seed) % 12};
            random_str(prefix, &seed, &in.prefix, 2);
            random_str(after, &seed, &in.after, 2);
            static const char *const delimiters[] = {"", "/", "-", "/a", "b"};
            in.delimiter = str_c(delimiters[(unsigned)rand_r(&seed) % 5]);
            walk_pages(&w, &m, in);
        }
        world_end(&w);
    }
}

static void test_edges(void **state)
{
    (void)state;
    struct world w;
    struct obj_list_out l;
    world_begin(&w);
    mk(&w, "bkt");
    struct obj_list_in in = {.bucket = STR("bkt"), .max = 1000};
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 0 && !l.truncated);
    put(&w, "bkt", "a", "x");
    put(&w, "bkt", "a/b", "y"); /* `a` does not hide what is below it */
    in.max = 0;
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 0 && !l.truncated);
    in = (struct obj_list_in){.bucket = STR("bkt"), .delimiter = STR("/"), .max = 1000};
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 1 && l.nprefixes == 1 && str_eq(l.items[0].key, STR("a")) &&
                str_eq(l.prefixes[0], STR("a/")));
    assert_true(str_eq(l.items[0].owner, STR("me")) && l.items[0].etag.n == 32 && l.items[0].modified_ms > 0);
    in.prefix = STR("a/");
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 1 && l.nprefixes == 0);
    char odd[2000];
    memset(odd, '\xff', sizeof odd);
    in = (struct obj_list_in){.bucket = STR("bkt"), .prefix = str_of(odd, sizeof odd), .max = 1000};
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_int_equal(l.n, 0);
    in = (struct obj_list_in){.bucket = STR("bkt"), .after = str_of(odd, sizeof odd), .max = 1000};
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_int_equal(l.n, 0);
    in = (struct obj_list_in){.bucket = STR("bkt"), .prefix = STR("\0a"), .max = 1000};
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_int_equal(l.n, 0);
    in.bucket = STR("nope");
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_NO_SUCH_BUCKET);
    world_end(&w);
}

/* Version listings with a delimiter: keys of a common prefix are one entry, whatever lies behind them. */
static void test_versions_grouped(void **state)
{
    (void)state;
    struct world w;
    struct obj_list_out l;
    world_begin(&w);
    mk(&w, "bkt");
    CHECK(bucket_set_versioning(w.o, w.a, STR("bkt"), VERSIONING_ENABLED) == ERR_OK);
    static const char *const keys[] = {"a", "d/1", "d/2", "e", "f/1"};
    for (unsigned i = 0; i < 5; i++)
        for (unsigned n = 0; n < 3; n++) put(&w, "bkt", keys[i], "x");
    del(&w, "bkt", "d/2", STR_NONE);
    struct obj_list_in in = {.bucket = STR("bkt"), .delimiter = STR("/"), .versions = true, .max = 1000};
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 6 && l.nprefixes == 2 && str_eq(l.prefixes[0], STR("d/")) &&
                str_eq(l.prefixes[1], STR("f/")));
    unsigned items = 0, prefixes = 0, pages = 0;
    in.max = 1;
    do {
        assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
        assert_int_equal(l.n + l.nprefixes, 1);
        items += (unsigned)l.n;
        prefixes += (unsigned)l.nprefixes;
        in.after = l.next_key;
        in.after_version = l.next_version;
        in.after_is_prefix = l.next_is_prefix;
        pages++;
    } while (l.truncated);
    assert_true(items == 6 && prefixes == 2 && pages == 8);
    in = (struct obj_list_in){
        .bucket = STR("bkt"), .versions = true, .max = 1000, .after = STR("a"), .after_version = STR("junk")};
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_INVALID_ARGUMENT);
    in.after_version = STR_NONE; /* the key alone: all of its versions are passed */
    assert_int_equal(obj_list(w.o, w.a, &in, &l), ERR_OK);
    assert_true(l.n == 13 && str_eq(l.items[0].key, STR("d/1")));
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_versions_grouped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
