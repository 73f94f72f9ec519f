/* Each blob of the table: are its bytes where it says, and do as many entries refer to it as it counts? */
#include "base/array.h"
#include "base/bytes.h"
#include "store/check_int.h"

#define VIEW_BYTES ((size_t)256 << 10)

struct blob_walk {
    struct check *c;
    size_t at; /* in the census */
    uint64_t done;
    char *scratch;   /* blocks that extent_read needs */
    uint32_t *files; /* that there are; ascending */
    size_t nfiles;
    uint64_t *bad; /* blobs whose bytes are not all there; ascending */
    size_t nbad, bad_cap;
};

static err note_bad(struct blob_walk *w, uint64_t blob)
{
    if (!array_grow(&w->bad, &w->bad_cap, w->nbad + 1, sizeof *w->bad, SIZE_MAX)) return ERR_NO_MEMORY;
    w->bad[w->nbad++] = blob;
    return ERR_OK;
}

/* Header and table of an extent that the scan did not meet as claimed. */
static err look_again(struct blob_walk *w, const struct extent_place *p, uint64_t blob)
{
    struct extent_table *t = NULL;
    struct str view;
    err e = extent_read(w->c->e->extents, p, blob, &t, 0, 0, w->scratch, 2 * EXTENT_BLOCK_MAX, &view);
    extent_table_free(t);
    return e;
}

static err check_extents_of(struct blob_walk *w, const struct blob_entry *b)
{
    err e = ERR_OK;
    for (size_t i = 0; i < b->places->n && !e; i++) {
        const struct extent_place *p = &b->places->v[i];
        const struct census_place *known = census_place_at(&w->c->census, p->file, p->offset);
        if (known && known->state == PLACE_SEEN) continue;
        bool there = w->nfiles && bsearch(&p->file, w->files, w->nfiles, sizeof p->file, array_by_u32);
        e = there ? look_again(w, p, b->id) : ERR_NOT_FOUND;
    }
    return e;
}

static err check_bytes(struct blob_walk *w, uint64_t id)
{
    struct check *c = w->c;
    struct blob_reader *r;
    err e = blob_open(c->store.blobs, id, &r);
    if (e) return e;
    for (uint64_t at = 0; at < blob_size(r) && !e;) {
        struct str v;
        e = blob_view(r, at, VIEW_BYTES, &v);
        if (e) break;
        at += v.n;
        c->r->bytes_verified += v.n;
    }
    blob_close(r);
    return e;
}

static err check_presence(struct blob_walk *w, const struct blob_entry *b)
{
    struct check *c = w->c;
    err e = ERR_OK;
    if (b->where == BLOB_LOST)
        e = ERR_NOT_FOUND;
    else if (b->where == BLOB_INLINE)
        e = log_read(c->e->log, b->segment, b->offset, NULL, 0);
    else
        e = check_extents_of(w, b);
    if (!e && c->o->deep) e = check_bytes(w, b->id);
    if (e == ERR_OK || e == ERR_NO_MEMORY) return e;
    if (e == ERR_NOT_FOUND) {
        c->r->missing_blobs++;
        check_finding(c, "blob %llx: its %llu bytes are missing%s", (unsigned long long)b->id,
                      (unsigned long long)b->size,
                      b->where == BLOB_LOST ? " (found damaged when they left the log)" : "");
    } else {
        c->r->corrupt_blobs++;
        check_finding(c, "blob %llx: its %llu bytes do not verify (%s)", (unsigned long long)b->id,
                      (unsigned long long)b->size, err_name(e));
    }
    return note_bad(w, b->id);
}

static void check_references(struct check *c, const struct blob_entry *b, uint32_t found)
{
    uint32_t refs = found & CENSUS_REFS_MAX;
    if (found & CENSUS_SHORT) {
        c->r->corrupt_blobs++;
        check_finding(c, "blob %llx: has %llu bytes, an entry refers to more", (unsigned long long)b->id,
                      (unsigned long long)b->size);
    }
    if (refs == 0) {
        c->r->unreferenced_blobs++;
        c->r->unreferenced_bytes += b->size;
        check_finding(c, "blob %llx: no entry refers to its %llu bytes", (unsigned long long)b->id,
                      (unsigned long long)b->size);
    } else if (refs != b->refs && refs < CENSUS_REFS_MAX) {
        c->r->wrong_refcounts++;
        check_finding(c, "blob %llx: counts %llu references, entries hold %u", (unsigned long long)b->id,
                      (unsigned long long)b->refs, refs);
    }
}

static err check_blob(void *arg, const struct blob_entry *b)
{
    struct blob_walk *w = arg;
    const struct census *n = &w->c->census;
    while (w->at < n->nblobs && n->id[w->at] < b->id) w->at++;
    if (w->at == n->nblobs || n->id[w->at] != b->id) return ERR_OK;
    check_references(w->c, b, n->refs[w->at]);
    check_progress(w->c, w->c->o->deep ? "verify every byte" : "check blobs", ++w->done, n->nblobs, "blobs");
    return check_presence(w, b);
}

/* ---- whose bytes they are ---- */

struct owner_scan {
    struct blob_walk *w;
    struct str key;
};

static void see_ref(void *ctx, uint64_t blob, uint64_t min_size)
{
    struct owner_scan *s = ctx;
    struct blob_walk *w = s->w;
    struct census_key text;
    (void)min_size;
    if (bsearch(&blob, w->bad, w->nbad, sizeof blob, array_by_u64))
        check_finding(w->c, "entry %s: its bytes in blob %llx are missing or do not verify",
                      census_key_text(s->key, &text), (unsigned long long)blob);
}

static void see_count(void *ctx, struct str key, unsigned i, int64_t delta)
{
    (void)ctx, (void)key, (void)i, (void)delta;
}

static enum idx_step see_entry(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct owner_scan *s = arg;
    const struct check_options *o = s->w->c->o;
    (void)seq, (void)seek;
    s->key = key;
    o->entry(o->arg, key, value, see_ref, see_count, s); /* what does not decode was said before */
    return IDX_NEXT;
}

/* A damaged blob is a number; what a user wants to know is which objects are hit. */
static err name_owners(struct blob_walk *w)
{
    char own[8];
    put_be64(own, IDX_SHARD_INTERNAL);
    struct owner_scan s = {.w = w};
    struct idx_range r = {STR(""), str_of(own, sizeof own), false};
    return w->nbad ? view_scan(w->c->e->view, &r, true, see_entry, &s) : ERR_OK;
}

err check_blobs(struct check *c)
{
    struct blob_walk w = {.c = c, .scratch = malloc(2 * EXTENT_BLOCK_MAX)};
    w.nfiles = extents_files(c->e->extents, NULL, 0);
    w.files = calloc(w.nfiles + 1, sizeof *w.files);
    err e = w.scratch && w.files ? ERR_OK : ERR_NO_MEMORY;
    if (!e) w.nfiles = extents_files(c->e->extents, w.files, w.nfiles);
    if (!e) e = blob_table_walk(c->e->view, check_blob, &w);
    if (!e) e = name_owners(&w);
    free(w.scratch);
    free(w.files);
    free(w.bad);
    return e;
}
