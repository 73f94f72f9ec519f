#include "store/census.h"
#include "base/array.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "store/txn.h"

#define PAGE       4096u
#define TABLE_PAGE 512u /* entries of the blob table read at once */
#define TELL_EVERY 4096u
#define LIVE_MAX   ((size_t)1 << 26)

void census_init(struct census *c)
{
    *c = (struct census){.counters = memory_map_new()};
    if (!c->counters) c->e = ERR_NO_MEMORY;
}

void census_free(struct census *c)
{
    free(c->id);
    free(c->size);
    free(c->refs);
    free(c->places);
    free(c->live);
    free(c->missing);
    memory_map_free(c->counters, free);
    *c = (struct census){0};
}

/* ---- the blob table ---- */

struct table_scan {
    struct census *c;
    const struct census_watch *w;
    uint64_t done;
};

static bool add_place(struct census *c, const struct extent_place *p, size_t blob)
{
    uint64_t page = p->offset / PAGE, pages = p->disk_len / PAGE;
    bool sound = p->offset % PAGE == 0 && p->disk_len % PAGE == 0 && page <= UINT32_MAX && pages > 0 &&
                 pages < (1u << 30) && p->file < LIVE_MAX;
    if (!sound) return false;
    size_t had = c->nlive;
    if (!array_grow(&c->places, &c->places_cap, c->nplaces + 1, sizeof *c->places, SIZE_MAX) ||
        !array_grow(&c->live, &c->nlive, (size_t)p->file + 1, sizeof *c->live, LIVE_MAX)) {
        c->e = ERR_NO_MEMORY;
        return true;
    }
    if (c->nlive > had) memset(c->live + had, 0, (c->nlive - had) * sizeof *c->live);
    c->live[p->file] += p->disk_len;
    c->places[c->nplaces++] =
        (struct census_place){p->file, (uint32_t)page, (uint32_t)pages, PLACE_UNSEEN, (uint32_t)blob};
    return true;
}

/* The entry's own sizes must agree: the extents hold what the blob is said to have. */
static bool add_blob(struct census *c, const struct blob_entry *b)
{
    size_t i = c->nblobs, cap = c->blobs_cap, same = cap, third = cap;
    if (!array_grow(&c->id, &cap, i + 1, sizeof *c->id, UINT32_MAX) ||
        !array_grow(&c->size, &same, i + 1, sizeof *c->size, UINT32_MAX) ||
        !array_grow(&c->refs, &third, i + 1, sizeof *c->refs, UINT32_MAX)) {
        c->e = ERR_NO_MEMORY;
        return true;
    }
    c->blobs_cap = cap;
    c->id[i] = b->id;
    c->size[i] = b->size;
    c->refs[i] = 0;
    c->nblobs++;
    uint64_t sum = 0;
    bool sound = true;
    for (size_t k = 0; b->places && k < b->places->n; k++) {
        sum += b->places->v[k].data_len;
        sound = add_place(c, &b->places->v[k], i) && sound;
    }
    return sound && (b->where != BLOB_EXTENTS || sum == b->size);
}

static enum idx_step see_inner(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct table_scan *s = arg;
    (void)seq, (void)seek;
    char kind = key.n > 8 ? key.p[8] : 0;
    bool sound = key.n == 17 && (kind == INNER_APPLIED || (kind == INNER_FILE && value.n == 8));
    if (key.n == 17 && kind == INNER_BLOB) {
        struct blob_entry b = {.id = get_be64(key.p + 9)};
        err e = blob_entry_decode(value, &b);
        if (e == ERR_NO_MEMORY) s->c->e = e;
        sound = !e && add_blob(s->c, &b);
        blob_places_drop(b.places);
    }
    if (!sound) s->w->bad_blob(s->w->arg, key);
    if (++s->done % TELL_EVERY == 0) s->w->progress(s->w->arg, s->done);
    return s->c->e ? IDX_STOP : IDX_NEXT;
}

static int by_place(const void *a, const void *b)
{
    const struct census_place *x = a, *y = b;
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    return x->page < y->page ? -1 : x->page > y->page;
}

err census_blobs(struct census *c, struct view *v, const struct census_watch *w)
{
    char own[8];
    put_be64(own, IDX_SHARD_INTERNAL);
    struct table_scan s = {.c = c, .w = w};
    struct idx_range r = {str_of(own, sizeof own), STR_NONE, false};
    err e = c->e ? c->e : view_scan(v, &r, true, see_inner, &s);
    if (!e) e = c->e;
    if (!e && c->nplaces) qsort(c->places, c->nplaces, sizeof *c->places, by_place);
    return e;
}

size_t census_find(const struct census *c, uint64_t id)
{
    size_t lo = 0, hi = c->nblobs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->id[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->nblobs && c->id[lo] == id ? lo : SIZE_MAX;
}

/* The first place that does not lie before (file, page). */
static size_t place_from(const struct census *c, uint32_t file, uint64_t page)
{
    size_t lo = 0, hi = c->nplaces;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct census_place *p = &c->places[mid];
        if (p->file < file || (p->file == file && p->page < page))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct census_place *census_place_at(const struct census *c, uint32_t file, uint64_t offset)
{
    uint64_t page = offset / PAGE;
    size_t i = place_from(c, file, page + 1);
    if (i == 0) return NULL;
    struct census_place *p = &c->places[i - 1];
    return p->file == file && page < (uint64_t)p->page + p->pages ? p : NULL;
}

struct census_place *census_places_of(const struct census *c, uint32_t file, size_t *n)
{
    size_t from = place_from(c, file, 0), to = from;
    while (to < c->nplaces && c->places[to].file == file) to++;
    *n = to - from;
    return c->places ? c->places + from : NULL;
}

/* ---- entries ---- */

struct entry_scan {
    struct census *c;
    const struct check_options *o;
    const struct census_watch *w;
    struct str key;
};

static void see_ref(void *ctx, uint64_t blob, uint64_t min_size)
{
    struct entry_scan *s = ctx;
    struct census *c = s->c;
    size_t i = census_find(c, blob);
    if (i == SIZE_MAX) {
        s->w->missing(s->w->arg, s->key, blob);
        if (!array_grow(&c->missing, &c->missing_cap, c->nmissing + 1, sizeof *c->missing, SIZE_MAX))
            c->e = ERR_NO_MEMORY;
        else
            c->missing[c->nmissing++] = blob;
        return;
    }
    if ((c->refs[i] & CENSUS_REFS_MAX) < CENSUS_REFS_MAX) c->refs[i]++;
    if (min_size > c->size[i]) c->refs[i] |= CENSUS_SHORT;
}

static void see_count(void *ctx, struct str key, unsigned i, int64_t delta)
{
    struct entry_scan *s = ctx;
    ASSERT(i < IDX_COUNTERS_MAX);
    struct memory_node *n = memory_map_make(s->c->counters, key);
    if (n && !n->value) n->value = calloc(IDX_COUNTERS_MAX, sizeof(int64_t));
    if (!n || !n->value) {
        s->c->e = ERR_NO_MEMORY;
        return;
    }
    int64_t *v = n->value;
    v[i] = (int64_t)((uint64_t)v[i] + (uint64_t)delta);
}

static enum idx_step see_entry(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct entry_scan *s = arg;
    (void)seq, (void)seek;
    s->key = key;
    if (!s->o->entry(s->o->arg, key, value, see_ref, see_count, s)) s->w->bad_entry(s->w->arg, key);
    if (++s->c->entries % TELL_EVERY == 0) s->w->progress(s->w->arg, s->c->entries);
    return s->c->e ? IDX_STOP : IDX_NEXT;
}

err census_entries(struct census *c, struct view *v, const struct check_options *o,
                   const struct census_watch *w)
{
    char own[8];
    put_be64(own, IDX_SHARD_INTERNAL);
    struct entry_scan s = {.c = c, .o = o, .w = w};
    struct idx_range r = {STR(""), str_of(own, sizeof own), false};
    err e = view_scan(v, &r, true, see_entry, &s);
    if (!e) e = c->e;
    if (e || c->nmissing == 0) return e;
    qsort(c->missing, c->nmissing, sizeof *c->missing, array_by_u64);
    size_t n = 1;
    for (size_t i = 1; i < c->nmissing; i++)
        if (c->missing[i] != c->missing[n - 1]) c->missing[n++] = c->missing[i];
    c->nmissing = n;
    return ERR_OK;
}

bool census_is_missing(const struct census *c, uint64_t id)
{
    return c->nmissing && bsearch(&id, c->missing, c->nmissing, sizeof id, array_by_u64) != NULL;
}

bool census_counter_wrong(const struct memory_node *n, struct str have)
{
    const int64_t *want = n->value;
    if (have.n % 8 || have.n > 8 * IDX_COUNTERS_MAX) return true;
    for (unsigned i = 0; i < IDX_COUNTERS_MAX; i++)
        if (want[i] != (8 * (size_t)i < have.n ? (int64_t)get_le64(have.p + 8 * i) : 0)) return true;
    return false;
}

const char *census_key_text(struct str key, struct census_key *out)
{
    char *p = out->text, *end = out->text + sizeof out->text;
    size_t head = key.n < 9 ? 0 : 9;
    if (head)
        p +=
            snprintf(p, (size_t)(end - p), "shard %llu '%c' ", (unsigned long long)get_be64(key.p), key.p[8]);
    for (size_t i = head; i < key.n && end - p > 4; i++) {
        unsigned char ch = (unsigned char)key.p[i];
        if (ch > 0x20 && ch < 0x7f && ch != '%')
            *p++ = (char)ch;
        else
            p += snprintf(p, 4, "%%%02X", ch);
    }
    *p = 0;
    return out->text;
}

/* ---- the table again, page by page ---- */

struct page {
    struct blob_entry v[TABLE_PAGE];
    size_t n;
    uint64_t next;
    bool more;
    err e;
};

static enum idx_step take_blob(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct page *p = arg;
    (void)seq, (void)seek;
    if (key.n != 17) return IDX_NEXT;
    uint64_t id = get_be64(key.p + 9);
    if (p->n == TABLE_PAGE) {
        p->next = id;
        p->more = true;
        return IDX_STOP;
    }
    struct blob_entry *b = &p->v[p->n];
    *b = (struct blob_entry){.id = id};
    err e = blob_entry_decode(value, b);
    if (!e) p->n++;
    if (e) blob_places_drop(b->places);
    if (e == ERR_NO_MEMORY) p->e = e;
    return p->e ? IDX_STOP : IDX_NEXT;
}

err blob_table_walk(struct view *v, blob_table_fn *fn, void *arg)
{
    struct page *p = calloc(1, sizeof *p);
    if (!p) return ERR_NO_MEMORY;
    err e = ERR_OK;
    do {
        char lo[INNER_KEY_MAX], hi[INNER_KEY_MAX];
        struct idx_range r = {inner_key(lo, INNER_BLOB, p->next), inner_key(hi, INNER_BLOB + 1, 0), false};
        p->n = 0;
        p->more = false;
        e = view_scan(v, &r, true, take_blob, p);
        if (!e) e = p->e;
        for (size_t i = 0; i < p->n; i++) {
            if (!e) e = fn(arg, &p->v[i]);
            blob_places_drop(p->v[i].places);
        }
    } while (!e && p->more);
    free(p);
    return e;
}
