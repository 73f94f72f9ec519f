/* Extent files: what lies in them that no blob claims, and how much of each lives. */
#include "store/check_int.h"
#include "base/array.h"
#include "base/assert.h"
#include "sys/sys.h"

#define PAGE 4096u

/* ---- what a crash left: the next start frees it, so it is no finding ---- */

static bool note_tail(struct check *c, uint32_t file)
{
    if (c->ntails && c->tails[c->ntails - 1] == file) return true;
    if (!array_grow(&c->tails, &c->tails_cap, c->ntails + 1, sizeof *c->tails, SIZE_MAX)) return false;
    c->tails[c->ntails++] = file;
    return true;
}

static bool see_tail(void *arg, const struct extent_visit *v)
{
    return note_tail(arg, v->file);
}

static bool freed_at_start(const struct check *c, const struct extent_place *p)
{
    uint64_t at = (uint64_t)p->file << 32 | p->offset / PAGE;
    if (c->npending && bsearch(&at, c->pending, c->npending, sizeof at, array_by_u64)) return true;
    return c->ntails && bsearch(&p->file, c->tails, c->ntails, sizeof p->file, array_by_u32);
}

/* ---- what lies in the files ---- */

static bool see_extent(void *arg, const struct extent_visit *v)
{
    struct check *c = arg;
    struct census_place *p = census_place_at(&c->census, v->file, v->place.offset);
    if (p) {
        bool same = !v->open && (uint64_t)p->page * PAGE == v->place.offset &&
                    (uint64_t)p->pages * PAGE == v->place.disk_len && c->census.id[p->blob] == v->blob_id;
        if (same) p->state = PLACE_SEEN;
        return true;
    }
    check_progress(c, "read extents", v->file, 0, "files");
    if (freed_at_start(c, &v->place)) return true;
    c->r->unreferenced_bytes += v->place.disk_len;
    c->space_wrong = true;
    check_finding(c, "extent file %u, byte %llu: %llu bytes of blob %llx, %s", v->file,
                  (unsigned long long)v->place.offset, (unsigned long long)v->place.disk_len,
                  (unsigned long long)v->blob_id,
                  v->open ? "never completed"
                  : census_is_missing(&c->census, v->blob_id)
                      ? "which entries refer to but the blob table does not have"
                      : "which nothing refers to");
    return true;
}

static uint64_t file_size(const struct check *c, uint32_t file)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%.4000s/extents/%08u.ext", c->e->dir, file);
    return sys->stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Bytes without a header. Inside of a claimed extent they are that blob's damage, found there. */
static void see_junk(void *arg, uint32_t file, uint64_t offset)
{
    struct check *c = arg;
    size_t claims;
    if (census_place_at(&c->census, file, offset)) return;
    census_places_of(&c->census, file, &claims);
    if (offset == 0) { /* the file itself has no valid header */
        if (claims) return;
        c->r->unreferenced_bytes += file_size(c, file);
        check_finding(
            c,
            "extent file %u: its header does not verify, and no blob claims anything in it; it is left alone",
            file);
        return;
    }
    c->r->unreferenced_bytes += PAGE;
    c->space_wrong = true;
    check_finding(c, "extent file %u, byte %llu: bytes that belong to nothing", file,
                  (unsigned long long)offset);
}

static void check_overlaps(struct check *c)
{
    for (size_t i = 1; i < c->census.nplaces; i++) {
        const struct census_place *a = &c->census.places[i - 1], *b = &c->census.places[i];
        if (a->file != b->file || (uint64_t)a->page + a->pages <= b->page) continue;
        c->r->corrupt_blobs++;
        c->unknown = true;
        check_finding(c, "blobs %llx and %llx claim the same bytes of extent file %u",
                      (unsigned long long)c->census.id[a->blob], (unsigned long long)c->census.id[b->blob],
                      a->file);
    }
}

static err check_live(struct check *c)
{
    size_t n = extents_files(c->e->extents, NULL, 0);
    uint32_t *files = calloc(n + 1, sizeof *files);
    if (!files) return ERR_NO_MEMORY;
    n = extents_files(c->e->extents, files, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t want = files[i] < c->census.nlive ? c->census.live[files[i]] : 0;
        uint64_t have = files[i] < c->e->nlive ? c->e->live[files[i]] : 0;
        if (want == have) continue;
        c->r->wrong_counters++;
        check_finding(c, "extent file %u: counts %llu live bytes, blobs claim %llu", files[i],
                      (unsigned long long)have, (unsigned long long)want);
    }
    free(files);
    return ERR_OK;
}

err check_space(struct check *c)
{
    err e = c->unclean ? extents_scan(c->e->extents, true, see_tail, NULL, c) : ERR_OK;
    if (c->ntails) qsort(c->tails, c->ntails, sizeof *c->tails, array_by_u32);
    check_overlaps(c);
    if (!e) e = extents_scan(c->e->extents, false, see_extent, see_junk, c);
    return e ? e : check_live(c);
}
