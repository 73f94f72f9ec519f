#include "store/living.h"
#include "base/array.h"
#include "base/bytes.h"
#include "store/cells.h"

#define SEEK_GAP 64u /* ids to step over one by one rather than to seek beyond */

err living_ask(struct living *l, uint64_t blob)
{
    if (!array_grow(&l->ids, &l->cap, l->n + 1, sizeof *l->ids, SIZE_MAX)) return ERR_NO_MEMORY;
    l->ids[l->n++] = blob;
    return ERR_OK;
}

/* ids[0, found) live, ids[next, n) are not decided yet. */
struct walk {
    struct living *l;
    size_t found, next;
    char seek[INNER_KEY_MAX];
};

static enum idx_step entry(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct walk *w = arg;
    struct living *l = w->l;
    (void)seq;
    uint64_t id = get_be64(key.p + key.n - 8);
    while (w->next < l->n && l->ids[w->next] < id) w->next++;
    if (w->next < l->n && l->ids[w->next] == id) {
        w->next++;
        if (blob_entry_in_log(value)) l->ids[w->found++] = id;
    }
    if (w->next == l->n) return IDX_STOP;
    if (l->ids[w->next] - id <= SEEK_GAP) return IDX_NEXT;
    *seek = inner_key(w->seek, INNER_BLOB, l->ids[w->next]);
    return IDX_SEEK;
}

err living_find(struct living *l, struct view *v)
{
    if (l->n == 0) return ERR_OK;
    qsort(l->ids, l->n, sizeof *l->ids, array_by_u64);
    char lo[INNER_KEY_MAX], hi[INNER_KEY_MAX];
    struct idx_range r = {inner_key(lo, INNER_BLOB, l->ids[0]),
                          inner_key(hi, INNER_BLOB, l->ids[l->n - 1] + 1), false};
    struct walk w = {.l = l};
    err e = view_scan(v, &r, true, entry, &w);
    l->n = w.found;
    return e;
}

bool living_has(const struct living *l, uint64_t blob)
{
    return l->n && bsearch(&blob, l->ids, l->n, sizeof *l->ids, array_by_u64);
}

void living_clear(struct living *l)
{
    l->n = 0;
}

void living_free(struct living *l)
{
    free(l->ids);
}
