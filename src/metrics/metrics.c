#include "metrics/metrics.h"

#include "base/assert.h"

enum kind { KIND_COUNTER, KIND_LATENCY, KIND_TOTAL, KIND_TOTAL_NS, KIND_GAUGE, KIND_GAUGE_NS, KIND_POWERS };

struct row {
    enum kind kind;
    enum metrics_axis_id axis1, axis2;
    const char *name, *help;
};
static const struct row rows[METRICS] = {
#define METRIC(id, kind, axis1, axis2, name, help)                                                           \
    [METRIC_##id] = {KIND_##kind, AXIS_##axis1, AXIS_##axis2, name, help},
#include "metrics/metrics.def"
#undef METRIC
};

/* Upper bounds of the latency histograms. */
static const struct bound {
    int64_t ns;
    const char *text;
} bounds[] = {
    {100000, "0.0001"},  {250000, "0.00025"}, {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"},
    {5000000, "0.005"},  {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},  {100000000, "0.1"},
    {250000000, "0.25"}, {500000000, "0.5"},  {1000000000, "1"},   {2500000000, "2.5"}, {5000000000, "5"},
    {10000000000, "10"}, {60000000000, "60"},
};
#define BOUNDS        (sizeof bounds / sizeof *bounds)
#define LATENCY_CELLS (BOUNDS + 2) /* one a bound, one above them all, the sum in ns */
#define CACHE_LINE    64

struct metrics {
    unsigned shards;
    struct metrics_axis axes[METRICS_AXES];
    size_t first[METRICS]; /* where a row's cells begin within a shard */
    size_t cells;
    uint64_t **shard; /* each an allocation of its own: no two loops share a cache line */
};

static unsigned axis_n(const struct metrics *m, enum metrics_axis_id axis)
{
    return axis == AXIS_NONE ? 1 : m->axes[axis].n;
}

static size_t cells_of(const struct metrics *m, enum metric id)
{
    const struct row *r = &rows[id];
    size_t n = (size_t)axis_n(m, r->axis1) * axis_n(m, r->axis2);
    if (r->kind == KIND_COUNTER) return n;
    return r->kind == KIND_LATENCY ? n * LATENCY_CELLS : 0;
}

struct metrics *metrics_new(unsigned shards, const struct metrics_axis axes[METRICS_AXES])
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->shards = shards;
    memcpy(m->axes, axes, sizeof m->axes);
    for (enum metric id = 0; id < METRICS; id++) {
        m->first[id] = m->cells;
        m->cells += cells_of(m, id);
    }
    size_t bytes = (m->cells * sizeof(uint64_t) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    m->shard = calloc(shards, sizeof *m->shard);
    for (unsigned i = 0; m->shard && i < shards; i++) {
        m->shard[i] = aligned_alloc(CACHE_LINE, bytes);
        if (!m->shard[i]) break;
        memset(m->shard[i], 0, bytes);
    }
    if (m->shard && m->shard[shards - 1]) return m;
    metrics_free(m);
    return NULL;
}

void metrics_free(struct metrics *m)
{
    if (!m) return;
    for (unsigned i = 0; m->shard && i < m->shards; i++) free(m->shard[i]);
    free(m->shard);
    free(m);
}

/* ---- counting ---- */

/* One writer a cell: a plain sum, stored so that a scrape on another thread reads whole words. */
static void bump(uint64_t *cell, uint64_t n)
{
    __atomic_store_n(cell, *cell + n, __ATOMIC_RELAXED);
}

static uint64_t *cell_at(struct metrics *m, unsigned shard, enum metric id, unsigned i, unsigned j)
{
    const struct row *r = &rows[id];
    ASSERT(shard < m->shards && i < axis_n(m, r->axis1) && j < axis_n(m, r->axis2));
    size_t at = (size_t)i * axis_n(m, r->axis2) + j;
    return m->shard[shard] + m->first[id] + (r->kind == KIND_LATENCY ? at * LATENCY_CELLS : at);
}

void metrics_add(struct metrics *m, unsigned shard, enum metric id, unsigned i, unsigned j, uint64_t n)
{
    ASSERT(rows[id].kind == KIND_COUNTER);
    bump(cell_at(m, shard, id, i, j), n);
}

void metrics_time(struct metrics *m, unsigned shard, enum metric id, unsigned i, int64_t ns)
{
    ASSERT(rows[id].kind == KIND_LATENCY);
    uint64_t *cells = cell_at(m, shard, id, i, 0);
    if (ns < 0) ns = 0;
    size_t b = 0;
    while (b < BOUNDS && ns > bounds[b].ns) b++;
    bump(&cells[b], 1);
    bump(&cells[BOUNDS + 1], (uint64_t)ns);
}

void metrics_sample(struct metrics_samples *s, enum metric id, uint64_t value)
{
    ASSERT(rows[id].kind >= KIND_TOTAL && rows[id].kind <= KIND_GAUGE_NS);
    s->given[id] = true;
    s->value[id] = value;
}

void metrics_sample_powers(struct metrics_samples *s, enum metric id, const uint64_t counts[METRICS_POWERS],
                           uint64_t sum)
{
    ASSERT(rows[id].kind == KIND_POWERS);
    s->given[id] = true;
    s->value[id] = sum;
    s->powers[id] = counts;
}

/* ---- rendering ---- */

static uint64_t total_at(const struct metrics *m, size_t cell)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < m->shards; i++) sum += __atomic_load_n(&m->shard[i][cell], __ATOMIC_RELAXED);
    return sum;
}

static void add_label(const struct metrics *m, enum metrics_axis_id axis, unsigned i, bool *first,
                      struct buf *out)
{
    if (axis == AXIS_NONE) return;
    buf_fmt(out, "%s%s=\"", *first ? "" : ",", m->axes[axis].label);
    *first = false;
    for (const char *p = m->axes[axis].value(i); *p; p++) {
        if (*p == '"' || *p == '\\') buf_char(out, '\\');
        if (*p == '\n')
            buf_cstr(out, "\\n");
        else
            buf_char(out, *p);
    }
    buf_char(out, '"');
}

/* name_suffix{axis1="…",axis2="…",le="…"} and a blank. */
static void add_name(const struct metrics *m, const struct row *r, const char *suffix, unsigned i, unsigned j,
                     const char *le, struct buf *out)
{
    buf_fmt(out, "%s%s", r->name, suffix);
    if (r->axis1 != AXIS_NONE || le) {
        bool first = true;
        buf_char(out, '{');
        add_label(m, r->axis1, i, &first, out);
        add_label(m, r->axis2, j, &first, out);
        if (le) buf_fmt(out, "%sle=\"%s\"", first ? "" : ",", le);
        buf_char(out, '}');
    }
    buf_char(out, ' ');
}

static void add_seconds(uint64_t ns, struct buf *out)
{
    buf_fmt(out, "%llu.%09llu\n", (unsigned long long)(ns / 1000000000),
            (unsigned long long)(ns % 1000000000));
}

static void add_u64(uint64_t v, struct buf *out)
{
    buf_u64(out, v);
    buf_char(out, '\n');
}

/* Combinations that never occurred are left out. */
static void render_counter(const struct metrics *m, enum metric id, struct buf *out)
{
    const struct row *r = &rows[id];
    size_t cell = m->first[id];
    for (unsigned i = 0; i < axis_n(m, r->axis1); i++) {
        for (unsigned j = 0; j < axis_n(m, r->axis2); j++) {
            uint64_t v = total_at(m, cell++);
            if (v == 0 && r->axis1 != AXIS_NONE) continue;
            add_name(m, r, "", i, j, NULL, out);
            add_u64(v, out);
        }
    }
}

static void render_latency(const struct metrics *m, enum metric id, struct buf *out)
{
    const struct row *r = &rows[id];
    for (unsigned i = 0; i < axis_n(m, r->axis1); i++) {
        size_t cell = m->first[id] + i * LATENCY_CELLS;
        uint64_t counts[BOUNDS + 1], all = 0, sum = total_at(m, cell + BOUNDS + 1);
        for (size_t b = 0; b <= BOUNDS; b++) all += counts[b] = total_at(m, cell + b);
        if (all == 0) continue;
        uint64_t below = 0;
        for (size_t b = 0; b <= BOUNDS; b++) {
            add_name(m, r, "_bucket", i, 0, b < BOUNDS ? bounds[b].text : "+Inf", out);
            add_u64(below += counts[b], out);
        }
        add_name(m, r, "_sum", i, 0, NULL, out);
        add_seconds(sum, out);
        add_name(m, r, "_count", i, 0, NULL, out);
        add_u64(all, out);
    }
}

static void render_powers(const struct metrics *m, const struct metrics_samples *s, enum metric id,
                          struct buf *out)
{
    const struct row *r = &rows[id];
    uint64_t below = 0;
    char le[16];
    for (unsigned k = 0; k < METRICS_POWERS; k++) {
        snprintf(le, sizeof le, "%u", 1u << k);
        add_name(m, r, "_bucket", 0, 0, le, out);
        add_u64(below += s->powers[id][k], out);
    }
    add_name(m, r, "_bucket", 0, 0, "+Inf", out);
    add_u64(below, out);
    add_name(m, r, "_sum", 0, 0, NULL, out);
    add_u64(s->value[id], out);
    add_name(m, r, "_count", 0, 0, NULL, out);
    add_u64(below, out);
}

static void render_sample(const struct metrics *m, const struct metrics_samples *s, enum metric id,
                          struct buf *out)
{
    const struct row *r = &rows[id];
    add_name(m, r, "", 0, 0, NULL, out);
    if (r->kind == KIND_TOTAL_NS || r->kind == KIND_GAUGE_NS)
        add_seconds(s->value[id], out);
    else
        add_u64(s->value[id], out);
}

void metrics_render(const struct metrics *m, const struct metrics_samples *s, struct buf *out)
{
    static const char *const types[] = {"counter", "histogram", "counter",  "counter",
                                        "gauge",   "gauge",     "histogram"};
    for (enum metric id = 0; id < METRICS; id++) {
        const struct row *r = &rows[id];
        bool sampled = r->kind >= KIND_TOTAL;
        if (sampled && !s->given[id]) continue;
        buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help, r->name, types[r->kind]);
        if (r->kind == KIND_COUNTER)
            render_counter(m, id, out);
        else if (r->kind == KIND_LATENCY)
            render_latency(m, id, out);
        else if (r->kind == KIND_POWERS)
            render_powers(m, s, id, out);
        else
            render_sample(m, s, id, out);
    }
}
