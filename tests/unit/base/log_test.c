/* Errors, asserts and the log. Each line is read back from a pipe; JSON is checked by a JSON parser. */
#include "base/assert.h"
#include "base/errors.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static int ends[2];
static char line[65536];

static int make_pipe(void **state)
{
    (void)state;
    return pipe(ends);
}
static int drop_pipe(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_AUTO, -1);
    close(ends[0]);
    return close(ends[1]);
}

static struct str read_line(void)
{
    ssize_t n = read(ends[0], line, sizeof line - 1);
    assert_true(n > 0 && line[n - 1] == '\n');
    line[n] = 0;
    assert_null(memchr(line, '\n', (size_t)n - 1));
    return str_of(line, (size_t)n - 1);
}

static json_t *read_json(void)
{
    struct str s = read_line();
    json_error_t e;
    json_t *j = json_loadb(s.p, s.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (!j) fail_msg("%s in %s", e.text, line);
    return j;
}

static void json_has_typed_fields(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_AUTO, ends[1]); /* a pipe is no terminal */
    LOG_WARN("disk \"slow\"", LF_S("addr", STR("a\tb")), LF_I("n", -5), LF_U("u", UINT64_MAX >> 1),
             LF_D("d", 1.5), LF_D("nan", NAN), LF_B("yes", true), LF_Z("none", NULL));
    json_t *j = read_json();
    assert_string_equal(json_string_value(json_object_get(j, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(j, "msg")), "disk \"slow\"");
    assert_string_equal(json_string_value(json_object_get(j, "addr")), "a\tb");
    assert_int_equal(json_integer_value(json_object_get(j, "n")), -5);
    assert_true(json_integer_value(json_object_get(j, "u")) == INT64_MAX);
    assert_true(json_real_value(json_object_get(j, "d")) == 1.5);
    assert_true(json_is_null(json_object_get(j, "nan")));
    assert_true(json_is_true(json_object_get(j, "yes")));
    assert_string_equal(json_string_value(json_object_get(j, "none")), "");
    assert_int_equal(json_string_length(json_object_get(j, "time")), 24);
    json_decref(j);
    LOG_DEBUG("no fields");
    json_decref(read_json());
}

static void any_bytes_give_valid_json(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, ends[1]);
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    for (size_t n = 0; n < 256; n += 7) {
        log_line(LOG_LEVEL_INFO, str_of(all + n, 256 - n), (struct log_field[]){LF_S("raw", str_of(all, n))},
                 1);
        json_decref(read_json());
    }
    LOG_INFO("bad", LF_S("v", STR("a\xff"
                                  "b\xc3")));
    json_t *j = read_json();
    assert_string_equal(json_string_value(json_object_get(j, "v")), "a\xef\xbf\xbd"
                                                                    "b\xef\xbf\xbd");
    json_decref(j);
}

static void long_lines_are_cut_yet_valid(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, ends[1]);
    static char big[100000];
    memset(big, '\1', sizeof big); /* the worst: six bytes each when escaped */
    struct log_field f[20];
    for (int i = 0; i < 20; i++) f[i] = LF_S(&"abcdefghijklmnopqrstuvwxyz"[i], str_of(big, sizeof big));
    log_line(LOG_LEVEL_INFO, str_of(big, sizeof big), f, 20);
    json_t *j = read_json();
    assert_true(json_is_true(json_object_get(j, "cut")));
    json_decref(j);
    memset(big, 'x', sizeof big);
    log_line(LOG_LEVEL_INFO, STR("m"), f, 2);
    j = read_json();
    assert_int_equal(json_string_length(json_object_get(j, f[1].name)), 2051); /* 2048 and "..." */
    assert_null(json_object_get(j, "cut"));
    json_decref(j);
}

static void text_is_for_people(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, ends[1]);
    LOG_INFO("listening", LF_S("addr", STR("127.0.0.1:9000")), LF_I("n", 3), LF_S("who", STR("a b")));
    struct str s = read_line();
    assert_true(str_eq(str_slice(s, 24, s.n), STR(" INFO  listening addr=127.0.0.1:9000 n=3 who=\"a b\"")));
    assert_int_equal(s.p[23], 'Z');
    LOG_ERROR("x", LF_S("evil", STR("\x1b[2J\xc2\x9b\nfake=1")), LF_S("empty", STR("")));
    s = read_line();
    assert_true(
        str_eq(str_slice(s, 24, s.n), STR(" ERROR x evil=\"\\u001b[2J\\u009b\\nfake=1\" empty=\"\"")));
}

static void level_filters(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, ends[1]);
    assert_false(log_enabled(LOG_LEVEL_INFO));
    LOG_INFO("hidden");
    log_line(LOG_LEVEL_DEBUG, STR("hidden"), NULL, 0);
    LOG_ERROR("seen");
    assert_true(str_ends(read_line(), STR("ERROR seen")));
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 200; i++)
        LOG_INFO("line", LF_I("thread", *(int *)arg), LF_I("i", i),
                 LF_S("pad", STR("0123456789012345678901234567890")));
    return NULL;
}

/* Lines of several threads never mix, and each thread's stay in order. */
static void threads_write_whole_lines(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON, ends[1]);
    pthread_t t[4];
    int ids[4], seen[4] = {0};
    for (int i = 0; i < 4; i++) {
        ids[i] = i;
        assert_int_equal(pthread_create(&t[i], NULL, log_many, &ids[i]), 0);
    }
    FILE *in = fdopen(dup(ends[0]), "r");
    for (int n = 0; n < 800; n++) {
        assert_non_null(fgets(line, sizeof line, in));
        json_t *j = json_loads(line, 0, NULL);
        assert_non_null(j);
        long long thread = json_integer_value(json_object_get(j, "thread"));
        assert_in_range(thread, 0, 3);
        assert_int_equal(json_integer_value(json_object_get(j, "i")), seen[thread]++);
        json_decref(j);
    }
    fclose(in);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
}

static void a_broken_log_stops_nobody(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON, fd);
    LOG_ERROR("nobody hears this");
    close(fd);
    LOG_ERROR("nor this");
}

static void a_failed_assert_says_where_and_aborts(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        ASSERT(1 + 1 == 3);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    size_t at;
    assert_true(str_find(read_line(), STR("assertion failed: 1 + 1 == 3 (tests/unit/base/log_test.c:"), &at));
}

static void errors_come_from_the_table(void **state)
{
    (void)state;
    assert_string_equal(err_name(ERR_NO_SUCH_KEY), "NO_SUCH_KEY");
    assert_int_equal(err_status(ERR_NO_SUCH_KEY), 404);
    assert_true(str_eq(err_s3_code(ERR_NO_SUCH_KEY), STR("NoSuchKey")));
    assert_true(str_eq(err_cos_code(ERR_KEY_TOO_LONG), STR("KeyTooLong")));
    for (int e = 0; e < ERR_COUNT; e++) {
        assert_true(err_message((err)e).n > 0);
        assert_false(str_starts(err_message((err)e), STR("internal")));
        assert_in_range(err_status((err)e), 200, 599);
    }
    assert_true(str_eq(err_message(ERR_CORRUPT), err_message(ERR_INTERNAL)));
    assert_int_equal(err_of_errno(0), ERR_OK);
    assert_int_equal(err_of_errno(ENOSPC), ERR_NO_SPACE);
    assert_int_equal(err_of_errno(EDQUOT), ERR_NO_SPACE);
    assert_int_equal(err_of_errno(-ENOMEM), ERR_NO_MEMORY);
    assert_int_equal(err_of_errno(ETIMEDOUT), ERR_TIMED_OUT);
    assert_int_equal(err_of_errno(EBADF), ERR_IO);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_pipe, drop_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(json_has_typed_fields),
        T(any_bytes_give_valid_json),
        T(long_lines_are_cut_yet_valid),
        T(text_is_for_people),
        T(level_filters),
        T(threads_write_whole_lines),
        T(a_broken_log_stops_nobody),
        T(a_failed_assert_says_where_and_aborts),
        cmocka_unit_test(errors_come_from_the_table),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
