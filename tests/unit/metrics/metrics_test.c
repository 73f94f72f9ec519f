#include "metrics/metrics.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *operation(unsigned i)
{
    return i == 0 ? "Get\"Object" : "PutObject";
}

static const char *number(unsigned i)
{
    static const char *const texts[] = {"200", "404", "500"};
    return texts[i];
}

static const struct metrics_axis axes[METRICS_AXES] = {
    [AXIS_OPERATION] = {"operation", 2, operation},
    [AXIS_STATUS] = {"status", 3, number},
    [AXIS_ERROR] = {"code", 3, number},
    [AXIS_VERSION] = {"version", 1, operation},
    [AXIS_BACKEND] = {"backend", 1, number},
};

static struct buf render(const struct metrics *m, const struct metrics_samples *s)
{
    struct buf out;
    buf_init(&out, 0);
    metrics_render(m, s, &out);
    buf_char(&out, 0);
    assert_false(out.overflow);
    return out;
}

static void test_shards_add_up_and_what_never_occurred_is_left_out(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(3, axes);
    struct metrics_samples none = {0};
    metrics_add(m, 0, METRIC_REQUESTS, 1, 0, 2);
    metrics_add(m, 2, METRIC_REQUESTS, 1, 0, 3);
    metrics_add(m, 1, METRIC_REQUESTS, 0, 1, 1);
    struct buf page = render(m, &none);
    assert_non_null(strstr(page.p, "# TYPE ingot_requests_total counter\n"));
    assert_non_null(strstr(page.p, "\ningot_requests_total{operation=\"PutObject\",status=\"200\"} 5\n"));
    assert_non_null(strstr(page.p, "\ningot_requests_total{operation=\"Get\\\"Object\",status=\"404\"} 1\n"));
    assert_null(strstr(page.p, "status=\"500\""));
    assert_null(strstr(page.p, "ingot_fibers"));
    buf_free(&page);
    metrics_free(m);
}

static void test_latencies_are_cumulative(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(1, axes);
    struct metrics_samples none = {0};
    metrics_time(m, 0, METRIC_REQUEST_TIME, 1, 1000000); /* on the bound */
    metrics_time(m, 0, METRIC_REQUEST_TIME, 1, 1000001);
    metrics_time(m, 0, METRIC_REQUEST_TIME, 1, 3600000000000);
    struct buf page = render(m, &none);
    const char *name = "ingot_request_duration_seconds";
    char want[200];
    static const struct {
        const char *le;
        int n;
    } rows[] = {{"0.0005", 0}, {"0.001", 1}, {"0.0025", 2}, {"60", 2}, {"+Inf", 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(want, sizeof want, "\n%s_bucket{operation=\"PutObject\",le=\"%s\"} %d\n", name, rows[i].le,
                 rows[i].n);
        assert_non_null(strstr(page.p, want));
    }
    assert_non_null(strstr(page.p, "_sum{operation=\"PutObject\"} 3600.002000001\n"));
    assert_non_null(strstr(page.p, "_count{operation=\"PutObject\"} 3\n"));
    buf_free(&page);
    metrics_free(m);
}

static void test_samples(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(1, axes);
    struct metrics_samples s = {0};
    uint64_t counts[METRICS_POWERS] = {[0] = 4, [3] = 1};
    metrics_sample(&s, METRIC_FIBERS, 17);
    metrics_sample(&s, METRIC_COMMIT_TIME, 1500000000);
    metrics_sample(&s, METRIC_BUILD, 1);
    metrics_sample_powers(&s, METRIC_BATCHES, counts, 12);
    struct buf page = render(m, &s);
    assert_non_null(strstr(page.p, "\ningot_fibers 17\n"));
    assert_non_null(strstr(page.p, "\ningot_commit_wait_seconds_total 1.500000000\n"));
    assert_non_null(strstr(page.p, "\ningot_build_info{version=\"Get\\\"Object\",backend=\"200\"} 1\n"));
    assert_non_null(strstr(page.p, "\ningot_commit_batch_size_bucket{le=\"4\"} 4\n"));
    assert_non_null(strstr(page.p, "\ningot_commit_batch_size_bucket{le=\"8\"} 5\n"));
    assert_non_null(strstr(page.p, "\ningot_commit_batch_size_bucket{le=\"+Inf\"} 5\n"));
    assert_non_null(strstr(page.p, "\ningot_commit_batch_size_sum 12\n"));
    buf_free(&page);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shards_add_up_and_what_never_occurred_is_left_out),
        cmocka_unit_test(test_latencies_are_cumulative),
        cmocka_unit_test(test_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
