/* metrics: numbers about what happens, from one table (metrics.def), rendered as Prometheus text.
 *
 * What is counted where it happens lies in shards, one a loop: only the loop's thread writes its shard,
 * without locks or atomic read-modify-write; a scrape adds the shards up. What others count already (http,
 * rt, the store) is sampled when the page is asked for. Labels come from axes that the caller defines, so
 * that this module knows no operation.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/str.h"

enum metric {
#define METRIC(id, kind, axis1, axis2, name, help) METRIC_##id,
#include "metrics/metrics.def"
#undef METRIC
    METRICS
};

enum metrics_axis_id {
    AXIS_NONE,
    AXIS_OPERATION,
    AXIS_STATUS,
    AXIS_ERROR,
    AXIS_VERSION,
    AXIS_BACKEND,
    METRICS_AXES
};
struct metrics_axis {
    const char *label;
    unsigned n;
    const char *(*value)(unsigned i); /* printable, stays valid; rendered escaped */
};

struct metrics;
/* axes: indexed by enum metrics_axis_id; AXIS_NONE is ignored; copied. NULL when memory is out. */
struct metrics *metrics_new(unsigned shards, const struct metrics_axis axes[METRICS_AXES]);
void metrics_free(struct metrics *m);

/* On the thread of that shard alone. i, j: places on the row's axes, 0 where it has none. */
void metrics_add(struct metrics *m, unsigned shard, enum metric id, unsigned i, unsigned j, uint64_t n);
void metrics_time(struct metrics *m, unsigned shard, enum metric id, unsigned i, int64_t ns);

#define METRICS_POWERS 16
/* What one page samples; zero-initialised. Rows that were not given are left out of the page. */
struct metrics_samples {
    bool given[METRICS];
    uint64_t value[METRICS]; /* of POWERS: the sum of what was observed */
    const uint64_t *powers[METRICS];
};
void metrics_sample(struct metrics_samples *s, enum metric id, uint64_t value);
/* counts[k]: observations in (2^(k-1), 2^k]; must outlive the rendering. */
void metrics_sample_powers(struct metrics_samples *s, enum metric id, const uint64_t counts[METRICS_POWERS],
                           uint64_t sum);

/* Any thread. The page in Prometheus' text format 0.0.4. */
void metrics_render(const struct metrics *m, const struct metrics_samples *s, struct buf *out);

#endif
