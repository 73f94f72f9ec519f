#include "bench/internal.h"

/* Values below 64 have a bucket each; above, each power of two has 64 steps. */
static unsigned bucket_of(uint64_t us)
{
    if (us < 64) return (unsigned)us;
    unsigned top = 63u - (unsigned)__builtin_clzll(us);
    unsigned b = (top - 5) * 64 + (unsigned)((us >> (top - 6)) & 63);
    return b < HIST_BUCKETS ? b : HIST_BUCKETS - 1;
}

static uint64_t bucket_mid(unsigned b)
{
    if (b < 64) return b;
    unsigned top = b / 64 + 5;
    uint64_t step = (uint64_t)1 << (top - 6);
    return ((uint64_t)1 << top) + (b % 64) * step + step / 2;
}

void hist_add(struct hist *h, uint64_t us)
{
    h->n[bucket_of(us)]++;
    h->count++;
    h->sum_us += us;
    if (us > h->max_us) h->max_us = us;
}

void hist_merge(struct hist *to, const struct hist *from)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++) to->n[i] += from->n[i];
    to->count += from->count;
    to->sum_us += from->sum_us;
    if (from->max_us > to->max_us) to->max_us = from->max_us;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
    uint64_t want = (uint64_t)(q * (double)h->count), seen = 0;
    if (want >= h->count) want = h->count ? h->count - 1 : 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->n[i];
        if (seen > want) {
            uint64_t v = bucket_mid(i);
            return v < h->max_us ? v : h->max_us;
        }
    }
    return h->max_us;
}
