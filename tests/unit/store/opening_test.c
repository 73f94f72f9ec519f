/* What cannot be read while a store is opened is never taken for nothing: a name that cannot be asked for is
 * not absent, a folder that was listed only partly does not end there, counts that do not fit into memory are
 * not zero. Opening fails, changes nothing, and the next one finds everything. */
#include "unit/store/plant.h"

#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
/* Their address space cannot be bounded, but what they give can. */
#define MEMORY "allocator_may_return_null=1:max_allocation_size_mb=4096"
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return MEMORY;
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return MEMORY;
}
static void bound_memory(void) {}
#else
static void bound_memory(void)
{
    struct rlimit most = {(rlim_t)16 << 30, (rlim_t)16 << 30};
    ASSERT(setrlimit(RLIMIT_AS, &most) == 0);
}
#endif

static struct sys_ops faulty;

static bool is_folder_of_store(const char *path)
{
    struct str p = str_c(path);
    return str_ends(p, STR("/log")) || str_ends(p, STR("/index")) || str_ends(p, STR("/extents"));
}

static int bad_stat(const char *path, struct stat *st)
{
    return is_folder_of_store(path) ? -EIO : sys_real.stat(path, st);
}

struct some_names {
    bool (*fn)(void *arg, const char *name);
    void *arg;
    unsigned left;
};

static bool give_some(void *arg, const char *name)
{
    struct some_names *s = arg;
    return s->left-- > 0 && s->fn(s->arg, name);
}

static unsigned names_listed; /* of DIR/log, before the error */

static int bad_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg)
{
    struct some_names s = {fn, arg, names_listed};
    if (!str_ends(str_c(dir), STR("/log"))) return sys_real.list(dir, fn, arg);
    int rc = sys_real.list(dir, give_some, &s);
    return rc < 0 ? rc : -EIO;
}

static int store_make(void **state)
{
    struct shop w;
    (void)state;
    engine_dir_make_fast();
    shop_open(&w);
    ASSERT(bucket_create(w.o, w.a, STR("plain"), STR("me"), STR("here")) == ERR_OK);
    for (unsigned i = 0; i < 6; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        shop_put(&w, "plain", key, i, shop_size(i));
    }
    shop_close(&w);
    faulty = sys_real;
    return 0;
}

static int store_remove(void **state)
{
    (void)state;
    sys = &sys_real;
    engine_dir_remove();
    return 0;
}

static err try_open(char why[512])
{
    struct store s;
    why[0] = 0;
    err e = engine_dir_try(&s, false, why);
    if (!e) engine_close(&s);
    return e;
}

static void all_there(void)
{
    struct shop w;
    shop_open(&w);
    for (unsigned i = 0; i < 6; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(shop_get(&w, "plain", key, i, shop_size(i)), ERR_OK);
    }
    shop_close(&w);
    check_clean();
}

/* Without its superblock a store looks like an empty folder to who takes an error for "there is none". */
static void test_stat_fails(void **state)
{
    char super[256], aside[256], why[512];
    (void)state;
    dir_path("ingot.super", super);
    dir_path("aside", aside);
    assert_int_equal(rename(super, aside), 0);
    faulty.stat = bad_stat;
    sys = &faulty;
    assert_int_equal(try_open(why), ERR_CORRUPT);
    sys = &sys_real;
    assert_int_not_equal(access(super, F_OK), 0);
    assert_int_equal(rename(aside, super), 0);
    all_there();
}

static void test_log_is_listed_partly(void **state)
{
    char why[512];
    (void)state;
    uint8_t id[16];
    uint64_t epoch;
    for (names_listed = 0; names_listed < 4; names_listed++) {
        faulty.list = bad_list;
        sys = &faulty;
        assert_int_equal(try_open(why), ERR_IO);
        assert_true(strstr(why, "the log folder") != NULL);
        assert_int_equal(log_identity(engine_dir, id, &epoch), ERR_IO);
        sys = &sys_real;
        assert_int_equal(log_identity(engine_dir, id, &epoch), ERR_OK);
        all_there();
    }
}

/* The index counts live bytes of a file whose number needs 32 GiB of counts. */
static int open_with_little_memory(void)
{
    char why[512];
    bound_memory();
    _exit(try_open(why) == ERR_NO_MEMORY ? 0 : 1);
}

static void test_no_memory_for_counts(void **state)
{
    char key[INNER_KEY_MAX], count[8];
    struct store s;
    (void)state;
    struct str k = inner_key(key, INNER_FILE, UINT32_MAX);
    put_le64(count, 4096);
    engine_dir_open(&s, NULL);
    view_edit(&s, k, str_of(count, sizeof count));
    engine_close(&s);
    assert_int_equal(in_process("little", 0), 0);
}

int main(int argc, char **argv)
{
    uint64_t number;
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    if (is_role(argc, argv, "little", &number)) return open_with_little_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stat_fails, store_make, store_remove),
        cmocka_unit_test_setup_teardown(test_log_is_listed_partly, store_make, store_remove),
        cmocka_unit_test_setup_teardown(test_no_memory_for_counts, store_make, store_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
