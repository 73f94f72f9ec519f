/* Versions: the matrix of what a write or a deletion does to what was there, and a long random walk against a
 * model that keeps each key's versions in a plain array. */
#include "world.h"

static void set(struct world *w, enum versioning v)
{
    CHECK(bucket_set_versioning(w->o, w->a, STR("bkt"), v) == ERR_OK);
}

static uint64_t seq_of(struct world *w, const char *key, struct str version)
{
    struct obj_get_in in = {.bucket = STR("bkt"), .key = str_c(key), .version_id = version};
    struct obj_get_out out;
    CHECK(obj_get(w->o, w->a, &in, &out) == ERR_OK);
    body_close(out.body);
    return out.info.seq;
}

static unsigned versions_of(struct world *w, const char *key, struct obj_entry **out)
{
    struct obj_list_in in = {.bucket = STR("bkt"), .prefix = str_c(key), .versions = true, .max = 1000};
    struct obj_list_out l;
    CHECK(obj_list(w->o, w->a, &in, &l) == ERR_OK);
    CHECK(!l.truncated);
    *out = l.items;
    return (unsigned)l.n;
}

static void test_enabled(void **state)
{
    (void)state;
    struct world w;
    struct obj_entry *v;
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "k", "before");
    set(&w, VERSIONING_ENABLED);
    struct obj_info one = put(&w, "bkt", "k", "one"), two = put(&w, "bkt", "k", "two");
    assert_true(one.version_id.n == VID_TEXT && two.version_id.n == VID_TEXT &&
                !str_eq(one.version_id, two.version_id));
    assert_true(reads(&w, "bkt", "k", STR_NONE, "two"));
    assert_true(reads(&w, "bkt", "k", one.version_id, "one"));
    assert_true(reads(&w, "bkt", "k", two.version_id, "two"));
    assert_true(reads(&w, "bkt", "k", STR("null"), "before"));
    struct obj_delete_out d = del(&w, "bkt", "k", STR_NONE);
    assert_true(d.delete_marker && d.version_id.n == VID_TEXT);
    assert_int_equal(get_err(&w, "bkt", "k", STR_NONE), ERR_NO_SUCH_KEY);
    assert_int_equal(get_err(&w, "bkt", "k", d.version_id), ERR_METHOD_NOT_ALLOWED);
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("k"), .head = true};
    struct obj_get_out g;
    assert_int_equal(obj_get(w.o, w.a, &in, &g), ERR_NO_SUCH_KEY);
    assert_true(g.info.delete_marker && str_eq(g.info.version_id, d.version_id));
    assert_int_equal(versions_of(&w, "k", &v), 4);
    assert_true(v[0].delete_marker && v[0].is_latest && v[0].etag.n == 0 && !v[1].is_latest);
    /* the marker goes: the newest object is current again, with its own commit sequence */
    struct obj_delete_out u = del(&w, "bkt", "k", d.version_id);
    assert_true(u.delete_marker && str_eq(u.version_id, d.version_id));
    assert_true(reads(&w, "bkt", "k", STR_NONE, "two"));
    assert_int_equal(versions_of(&w, "k", &v), 3);
    assert_true(v[0].is_latest && seq_of(&w, "k", v[0].version_id) == two.seq &&
                seq_of(&w, "k", v[1].version_id) == one.seq);
    /* the middle, then the current, then what was there before versioning */
    u = del(&w, "bkt", "k", one.version_id);
    assert_true(!u.delete_marker && str_eq(u.version_id, one.version_id));
    del(&w, "bkt", "k", two.version_id);
    assert_true(reads(&w, "bkt", "k", STR_NONE, "before"));
    del(&w, "bkt", "k", one.version_id); /* what is not there is deleted already */
    del(&w, "bkt", "k", STR("null"));
    assert_int_equal(versions_of(&w, "k", &v), 0);
    assert_int_equal(world_blobs(&w), 0);
    struct obj_delete_in bad = {.bucket = STR("bkt"), .key = STR("k"), .version_id = STR("x")};
    assert_int_equal(obj_delete(w.o, w.a, &bad, &d), ERR_INVALID_VERSION_ID);
    world_end(&w);
}

static void test_null_dance(void **state)
{
    (void)state;
    struct world w;
    struct obj_entry *v;
    world_begin(&w);
    mk(&w, "bkt");
    set(&w, VERSIONING_ENABLED);
    struct obj_info one = put(&w, "bkt", "k", "one");
    set(&w, VERSIONING_SUSPENDED);
    struct obj_info n1 = put(&w, "bkt", "k", "null 1");
    assert_true(str_eq(n1.version_id, STR("null")));
    put(&w, "bkt", "k", "null 2"); /* replaces the current null version */
    assert_int_equal(versions_of(&w, "k", &v), 2);
    set(&w, VERSIONING_ENABLED);
    struct obj_info two = put(&w, "bkt", "k", "two");
    assert_true(reads(&w, "bkt", "k", STR("null"), "null 2"));
    set(&w, VERSIONING_SUSPENDED);
    put(&w, "bkt", "k", "null 3"); /* replaces the null version behind the current one */
    assert_int_equal(versions_of(&w, "k", &v), 3);
    assert_true(str_eq(v[0].version_id, STR("null")) && str_eq(v[1].version_id, two.version_id) &&
                str_eq(v[2].version_id, one.version_id));
    struct obj_delete_out d = del(&w, "bkt", "k", STR_NONE); /* a null marker replaces the null version */
    assert_true(d.delete_marker && str_eq(d.version_id, STR("null")));
    assert_int_equal(versions_of(&w, "k", &v), 3);
    assert_true(v[0].delete_marker);
    del(&w, "bkt", "k", STR_NONE); /* and a null marker replaces it in turn */
    assert_int_equal(versions_of(&w, "k", &v), 3);
    set(&w, VERSIONING_ENABLED);
    put(&w, "bkt", "k", "three");
    assert_int_equal(get_err(&w, "bkt", "k", STR("null")), ERR_METHOD_NOT_ALLOWED);
    d = del(&w, "bkt", "k", STR("null"));
    assert_true(d.delete_marker);
    assert_int_equal(get_err(&w, "bkt", "k", STR("null")), ERR_NO_SUCH_VERSION);
    assert_int_equal(versions_of(&w, "k", &v), 3);
    world_end(&w);
}

static void test_tags_of_versions(void **state)
{
    (void)state;
    struct world w;
    struct obj_info i;
    struct obj_get_out g;
    struct str data;
    struct obj_pair tag = {STR("t"), STR("1")};
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "k", "zero");
    set(&w, VERSIONING_ENABLED);
    struct obj_info one = put(&w, "bkt", "k", "one");
    put(&w, "bkt", "k", "two");
    assert_int_equal(obj_set_tags(w.o, w.a, STR("bkt"), STR("k"), one.version_id, &tag, 1, &i), ERR_OK);
    assert_int_equal(obj_set_tags(w.o, w.a, STR("bkt"), STR("k"), STR("null"), &tag, 1, &i), ERR_OK);
    assert_int_equal(get(&w, "bkt", "k", one.version_id, &data, &g), ERR_OK);
    assert_true(g.info.meta.ntags == 1 && g.info.seq == one.seq);
    assert_int_equal(get(&w, "bkt", "k", STR("null"), &data, &g), ERR_OK);
    assert_true(g.info.meta.ntags == 1);
    assert_int_equal(get(&w, "bkt", "k", STR_NONE, &data, &g), ERR_OK);
    assert_true(g.info.meta.ntags == 0);
    struct obj_delete_out d = del(&w, "bkt", "k", STR_NONE);
    assert_int_equal(obj_set_tags(w.o, w.a, STR("bkt"), STR("k"), d.version_id, &tag, 1, &i),
                     ERR_METHOD_NOT_ALLOWED);
    assert_int_equal(obj_set_tags(w.o, w.a, STR("bkt"), STR("k"), STR_NONE, &tag, 1, &i), ERR_NO_SUCH_KEY);
    world_end(&w);
}

/* A full disk takes no writes, but deletions, also those that move an older version into the current place.
 */
static void test_full_disk(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    mk(&w, "bkt");
    put(&w, "bkt", "k", "null");
    set(&w, VERSIONING_ENABLED);
    struct obj_info one = put(&w, "bkt", "k", "one"), two = put(&w, "bkt", "k", "two");
    struct memory_store *m = CONTAINER(w.store.idx, struct memory_store, idx);
    m->capacity = m->used;
    assert_int_equal(put_cond(&w, "bkt", STR("k"), STR("x"), (struct obj_cond){0}, NULL), ERR_NO_SPACE);
    struct obj_delete_in in = {.bucket = STR("bkt"), .key = STR("k")};
    struct obj_delete_out d;
    assert_int_equal(obj_delete(w.o, w.a, &in, &d), ERR_OK); /* a delete marker is a deletion, too */
    assert_true(d.delete_marker);
    assert_int_equal(get_err(&w, "bkt", "k", STR_NONE), ERR_NO_SUCH_KEY);
    del(&w, "bkt", "k", d.version_id);
    assert_true(reads(&w, "bkt", "k", STR_NONE, "two"));
    del(&w, "bkt", "k", two.version_id);
    assert_true(reads(&w, "bkt", "k", STR_NONE, "one"));
    del(&w, "bkt", "k", STR("null"));
    del(&w, "bkt", "k", one.version_id);
    assert_int_equal(bucket_delete(w.o, w.a, STR("bkt")), ERR_OK);
    assert_int_equal(world_audit(&w), 1);
    world_end(&w);
}

/* ---- the random walk ---- */

enum { KEYS = 6, DEPTH = 64 };
struct version {
    struct str id;
    bool marker;
    char data[16];
};
struct model {
    struct version v[KEYS][DEPTH]; /* newest first */
    unsigned n[KEYS];
    enum versioning versioning;
};
static const char *const names[KEYS] = {"a", "a/b", "a/c", "b", "b\x01", "c/d/e"};

static void model_remove(struct model *m, unsigned k, unsigned i)
{
    memmove(&m->v[k][i], &m->v[k][i + 1], (m->n[k] - i - 1) * sizeof m->v[k][0]);
    m->n[k]--;
}

static void model_push(struct model *m, unsigned k, struct version v)
{
    if (str_eq(v.id, STR("null")))
        for (unsigned i = 0; i < m->n[k]; i++)
            if (str_eq(m->v[k][i].id, STR("null"))) model_remove(m, k, i--);
    memmove(&m->v[k][1], &m->v[k][0], m->n[k] * sizeof v);
    m->v[k][0] = v;
    m->n[k]++;
}

static void step(struct world *w, struct model *m, unsigned *seed)
{
    unsigned k = (unsigned)rand_r(seed) % KEYS, what = (unsigned)rand_r(seed) % 10;
    struct version v = {.marker = false};
    snprintf(v.data, sizeof v.data, "%u", (unsigned)rand_r(seed) % 100000);
    if (m->n[k] + 1 >= DEPTH) what = 9;
    if (what < 4) {
        struct obj_info i = put(w, "bkt", names[k], v.data);
        v.id = m->versioning == VERSIONING_OFF ? STR("null") : i.version_id;
        model_push(m, k, v);
    } else if (what < 6) {
        struct obj_delete_out d = del(w, "bkt", names[k], STR_NONE);
        CHECK(d.delete_marker == (m->versioning != VERSIONING_OFF));
        if (m->versioning == VERSIONING_OFF) {
            if (m->n[k]) model_remove(m, k, 0);
        } else {
            v.id = arena_dup(w->a, d.version_id);
            v.marker = true;
            model_push(m, k, v);
        }
    } else if (what == 6) {
        /* half of the walk with versioning off, as every bucket begins */
        unsigned to = (unsigned)rand_r(seed) % 3;
        if (m->versioning == VERSIONING_OFF && to != 1) return;
        m->versioning = to == 1 ? VERSIONING_ENABLED : to == 2 ? VERSIONING_SUSPENDED : m->versioning;
        set(w, m->versioning);
    } else if (m->n[k]) {
        unsigned i = (unsigned)rand_r(seed) % m->n[k];
        struct obj_delete_out d = del(w, "bkt", names[k], m->v[k][i].id);
        CHECK(d.delete_marker == m->v[k][i].marker && str_eq(d.version_id, m->v[k][i].id));
        model_remove(m, k, i);
    }
}

static void compare_reads(struct world *w, const struct model *m)
{
    for (unsigned k = 0; k < KEYS; k++) {
        err want = m->n[k] && !m->v[k][0].marker ? ERR_OK : ERR_NO_SUCH_KEY;
        CHECK(get_err(w, "bkt", names[k], STR_NONE) == want);
        for (unsigned i = 0; i < m->n[k]; i++) {
            const struct version *v = &m->v[k][i];
            if (v->marker)
                CHECK(get_err(w, "bkt", names[k], v->id) == ERR_METHOD_NOT_ALLOWED);
            else
                CHECK(reads(w, "bkt", names[k], v->id, v->data));
        }
    }
}

/* All pages of a version listing with pages of `max`, against the model in order. */
static void compare_listing(struct world *w, const struct model *m, unsigned max)
{
    struct obj_list_in in = {.bucket = STR("bkt"), .versions = true, .max = max};
    struct obj_list_out l = {.n = 0};
    size_t at = 0;
    bool more = true;
    for (unsigned k = 0; k < KEYS; k++) {
        for (unsigned i = 0; i < m->n[k]; i++) {
            while (at == l.n && more) {
                CHECK(obj_list(w->o, w->a, &in, &l) == ERR_OK);
                in.after = l.next_key;
                in.after_version = l.next_version;
                more = l.truncated;
                at = 0;
            }
            CHECK(at < l.n);
            const struct obj_entry *got = &l.items[at++];
            const struct version *v = &m->v[k][i];
            CHECK(str_eq(got->key, str_c(names[k])) && str_eq(got->version_id, v->id));
            CHECK(got->delete_marker == v->marker && got->is_latest == (i == 0));
            CHECK(v->marker || got->size == strlen(v->data));
        }
    }
    CHECK(at == l.n && (!more || l.n == 0 || !l.truncated));
}

static void test_random_walk(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        struct world w;
        struct model m = {.versioning = VERSIONING_OFF};
        unsigned seed = round;
        world_begin(&w);
        mk(&w, "bkt");
        for (unsigned i = 0; i < 250; i++) {
            step(&w, &m, &seed);
            if (i % 25 == 0) {
                compare_reads(&w, &m);
                for (unsigned max = 1; max < 9; max += 2) compare_listing(&w, &m, max);
                world_audit(&w);
            }
        }
        compare_reads(&w, &m);
        compare_listing(&w, &m, 1000);
        for (unsigned k = 0; k < KEYS; k++)
            while (m.n[k]) {
                del(&w, "bkt", names[k], m.v[k][m.n[k] / 2].id);
                model_remove(&m, k, m.n[k] / 2);
            }
        CHECK(bucket_delete(w.o, w.a, STR("bkt")) == ERR_OK);
        CHECK(world_audit(&w) == 1);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enabled),          cmocka_unit_test(test_null_dance),
        cmocka_unit_test(test_tags_of_versions), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_random_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
