#include "config/config.h"

#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static char why[CONFIG_WHY];
static char file_path[] = "/tmp/ingot-config-test-XXXXXX";

static struct config *load(const char *const *environment, int argc, const char **argv)
{
    struct config_args args = {
        .takes = SETTING_FOR_SERVER, .argc = argc, .argv = (char **)argv, .environ = environment};
    struct config *c = NULL;
    return config_load(&args, &c, why) == ERR_OK ? c : NULL;
}

static struct config *load_flags(const char *flag)
{
    return load(NULL, 1, &flag);
}

static void write_file(const char *text)
{
    FILE *f = fopen(file_path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static struct config *load_file(const char *text)
{
    write_file(text);
    const char *argv[] = {"--config", file_path};
    return load(NULL, 2, argv);
}

static void assert_str(struct str s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.p, want, s.n);
}

static void test_every_default_is_allowed(void **state)
{
    (void)state;
    struct config *c = load(NULL, 0, NULL);
    assert_non_null(c);
    size_t n;
    assert_str(config_list(c, SET_LISTEN, &n)[0], "127.0.0.1:9000");
    assert_int_equal(n, 1);
    assert_int_equal(config_ns(c, SET_DRAIN_TIME), 30000000000);
    assert_int_equal(config_u64(c, SET_HEADER_SIZE), 16384);
    assert_true(config_bool(c, SET_ACCESS_LOG));
    assert_str(config_source(c, SET_DATA), "default");
    config_free(c);
}

static void test_a_flag_wins_over_a_variable_over_the_file(void **state)
{
    (void)state;
    char text[256];
    write_file("# a comment\n\nregion = from-file\n data = /file\r\nloops=3\n");
    const char *environment[] = {"INGOT_REGION=from-env", "INGOT_DATA=/env", "INGOT_DATA_X=/no", NULL};
    snprintf(text, sizeof text, "--config=%s", file_path);
    const char *argv[] = {"--region=from-flag", text};
    struct config *c = load(environment, 2, argv);
    assert_non_null(c);
    assert_str(config_str(c, SET_REGION), "from-flag");
    assert_str(config_source(c, SET_REGION), "--region");
    assert_str(config_str(c, SET_DATA), "/env");
    assert_str(config_source(c, SET_DATA), "INGOT_DATA");
    assert_int_equal(config_u64(c, SET_LOOPS), 3);
    snprintf(text, sizeof text, "%s:5", file_path);
    assert_str(config_source(c, SET_LOOPS), text);
    config_free(c);
}

static void test_lists_repeat_or_use_commas_and_replace_a_weaker_source(void **state)
{
    (void)state;
    const char *environment[] = {"INGOT_LISTEN=127.0.0.1:1", "INGOT_DOMAIN=a.example, b.example,", NULL};
    const char *argv[] = {"--listen", "127.0.0.1:2", "--listen=[::1]:3,unix:/tmp/s"};
    struct config *c = load(environment, 3, argv);
    assert_non_null(c);
    size_t n;
    const struct str *v = config_list(c, SET_LISTEN, &n);
    assert_int_equal(n, 3);
    assert_str(v[0], "127.0.0.1:2");
    assert_str(v[2], "unix:/tmp/s");
    assert_str(config_str(c, SET_LISTEN), "127.0.0.1:2,[::1]:3,unix:/tmp/s");
    v = config_list(c, SET_DOMAIN, &n);
    assert_int_equal(n, 2);
    assert_str(v[1], "b.example");
    config_free(c);
}

static void test_units(void **state)
{
    (void)state;
    struct config *c = load_file(
        "max-memory = 2GiB\nheader-size = 8192\nidle-timeout = 5m\nbody-timeout = 250ms\nwatchdog = 0\n");
    assert_non_null(c);
    assert_int_equal(config_u64(c, SET_MAX_MEMORY), 2ull << 30);
    assert_int_equal(config_u64(c, SET_HEADER_SIZE), 8192);
    assert_int_equal(config_ns(c, SET_IDLE_TIMEOUT), 300000000000);
    assert_int_equal(config_ns(c, SET_BODY_TIMEOUT), 250000000);
    assert_int_equal(config_ns(c, SET_WATCHDOG), 0);
    config_free(c);
    char text[32];
    config_size_text(67108864, text);
    assert_string_equal(text, "64MiB");
    config_size_text(1000, text);
    assert_string_equal(text, "1000");
    config_time_text(90000000000, text);
    assert_string_equal(text, "90s");
}

static void test_a_bad_value_names_setting_value_and_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *flag, *line;
    } rows[] = {
        {"--log-level=loud",
         "log-level: 'loud' (--log-level) is not valid; allowed: debug, info, warn or error"},
        {"--loops=-1", "loops: '-1' (--loops) is not valid; allowed: a number from 0 to 256"},
        {"--header-size=1KiB", "header-size: '1KiB' (--header-size) is not valid; allowed: a size from 4KiB "
                               "to 1MiB (units KiB, MiB, GiB, TiB)"},
        {"--max-memory=99999999999999999999TiB", NULL},
        {"--max-memory=17179869184TiB", NULL},
        {"--drain-time=10", NULL},
        {"--access-log=maybe", "access-log: 'maybe' (--access-log) is not valid; allowed: true or false"},
        {"--listen=localhost", NULL},
        {"--listen=127.0.0.1:70000", NULL},
        {"--listen=", "listen: is empty (--listen); allowed: at least one address"},
        {"--listen=https://127.0.0.1:1",
         "tls: is empty while listen has 'https://127.0.0.1:1'; allowed: CERT.pem:KEY.pem"},
        {"--tls=cert.pem", NULL},
        {"--domain=bad domain", NULL},
        {"--region=", NULL},
        {"--region=US", NULL},
        {"--access-key=ab", NULL},
        {"--access-key=abc",
         "secret-key: is missing while access-key is set (--access-key); allowed: both or none"},
        {"--secret-key=abcdefgh",
         "--secret-key: is no flag, others can read a command line; set the variable or the file's line"},
        {"--lisen=x", "--lisen: is not known here; --help lists the options"},
        {"--data", "--data: needs a value"},
        {"data", "data: is not understood; options start with --, --help lists them"},
        {"--config=/nonexistent/x", "config: '/nonexistent/x' (--config) cannot be read: no such file; "
                                    "allowed: a readable file of at most 1 MiB"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (load_flags(rows[i].flag)) fail_msg("%s was taken", rows[i].flag);
        if (rows[i].line) assert_string_equal(why, rows[i].line);
        assert_null(strchr(why, '\n'));
    }
}

static void test_bad_files_name_the_line(void **state)
{
    (void)state;
    char want[512];
    assert_null(load_file("region = x\nlisten\n"));
    snprintf(want, sizeof want, "%s:2: 'listen' has no '='; allowed: name = value", file_path);
    assert_string_equal(why, want);
    assert_null(load_file("regoin = x\n"));
    snprintf(want, sizeof want,
             "%s:1: setting 'regoin' is not known; allowed: a name that `ingot config` lists", file_path);
    assert_string_equal(why, want);
    assert_null(load_file("\n\nloops = many"));
    snprintf(want, sizeof want, "loops: 'many' (%s:3) is not valid; allowed: a number from 0 to 256",
             file_path);
    assert_string_equal(why, want);
}

static void test_no_secret_is_shown(void **state)
{
    (void)state;
    const char *environment[] = {"INGOT_ACCESS_KEY=AKEXAMPLE", "INGOT_SECRET_KEY=do-not-show-me", NULL};
    struct config *c = load(environment, 0, NULL);
    assert_non_null(c);
    assert_str(config_str(c, SET_SECRET_KEY), "do-not-show-me");
    struct buf text;
    buf_init(&text, 0);
    config_print(c, &text);
    config_print_json(c, &text);
    buf_char(&text, 0);
    assert_false(text.overflow);
    assert_non_null(strstr(text.p, "AKEXAMPLE"));
    assert_null(strstr(text.p, "do-not"));
    buf_free(&text);
    config_free(c);
    const char *bad[] = {"INGOT_SECRET_KEY=short", NULL};
    assert_null(load(bad, 0, NULL));
    assert_null(strstr(why, "short"));
}

static void test_a_file_with_a_secret_for_all_to_read_is_warned_about(void **state)
{
    (void)state;
    assert_int_equal(chmod(file_path, 0644), 0);
    struct config *c = load_file("access-key = AKEXAMPLE\nsecret-key = 12345678\n");
    assert_non_null(c);
    const struct str *lines;
    assert_int_equal(config_warnings(c, &lines), 1);
    config_free(c);
    assert_int_equal(chmod(file_path, 0600), 0);
    c = load_file("access-key = AKEXAMPLE\nsecret-key = 12345678\n");
    assert_int_equal(config_warnings(c, &lines), 0);
    config_free(c);
}

static void test_options_of_a_subcommand(void **state)
{
    (void)state;
    bool json = false;
    struct str phase = STR_NONE;
    struct config_option options[] = {{"json", &json, NULL, ""}, {"phase", NULL, &phase, ""}};
    const char *argv[] = {"--json", "--phase", "two", "--data=/x"};
    struct config_args args = {
        .takes = SETTING_FOR_TOOLS, .options = options, .noptions = 2, .argc = 4, .argv = (char **)argv};
    struct config *c;
    assert_int_equal(config_load(&args, &c, why), ERR_OK);
    assert_true(json);
    assert_str(phase, "two");
    config_free(c);
    const char *of_server[] = {"--listen=127.0.0.1:0"};
    args.argc = 1;
    args.argv = (char **)of_server;
    assert_int_equal(config_load(&args, &c, why), ERR_INVALID_SETTING);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(file_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_default_is_allowed),
        cmocka_unit_test(test_a_flag_wins_over_a_variable_over_the_file),
        cmocka_unit_test(test_lists_repeat_or_use_commas_and_replace_a_weaker_source),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_a_bad_value_names_setting_value_and_what_is_allowed),
        cmocka_unit_test(test_bad_files_name_the_line),
        cmocka_unit_test(test_no_secret_is_shown),
        cmocka_unit_test(test_a_file_with_a_secret_for_all_to_read_is_warned_about),
        cmocka_unit_test(test_options_of_a_subcommand),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
