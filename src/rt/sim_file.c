/* One simulated file: the contents as read, and the durable contents with the changes since, each of which
 * may or may not survive a power cut.
 *
 * A change is a write, a new size or a hole. It starts pending; a flush makes it durable; a flush that failed
 * makes it orphaned: no later flush will write it (the kernel marked the pages clean), but it may have
 * reached the disk. At a crash the pending and orphaned ones are kept, lost, or torn at sectors, each by
 * itself, which is also what reordering amounts to. Contents are sparse pages; a missing page reads as zeros.
 */
#include "rt/sim_int.h"
#include <errno.h>

enum { PAGE = 4096, SECTOR = 512 };

struct pages {
    char **at;
    size_t n;
    uint64_t size;
    uint64_t allocated;
};

enum change_state { PENDING, DURABLE, ORPHANED };
enum change_kind { WRITE, RESIZE, PUNCH };
struct change {
    struct list link;
    uint64_t number;
    enum change_state state;
    enum change_kind kind;
    uint64_t off, n; /* RESIZE: off is the size */
    char bytes[];
};

struct sim_file {
    struct pages live, disk;
    struct list changes; /* oldest first */
    uint64_t number;
};

/* ---- sparse pages ---- */

static char *page_for(struct pages *p, uint64_t index)
{
    if (index >= p->n) {
        size_t n = p->n ? p->n : 16;
        while (n <= index) n *= 2;
        char **at = realloc(p->at, n * sizeof *at);
        ASSERT(at != NULL);
        memset(at + p->n, 0, (n - p->n) * sizeof *at);
        p->at = at;
        p->n = n;
    }
    if (!p->at[index]) {
        p->at[index] = calloc(1, PAGE);
        ASSERT(p->at[index] != NULL);
        p->allocated += PAGE;
    }
    return p->at[index];
}

static void pages_write(struct pages *p, const char *from, uint64_t n, uint64_t off)
{
    if (off + n > p->size) p->size = off + n;
    while (n > 0) {
        uint64_t in = off % PAGE, k = PAGE - in < n ? PAGE - in : n;
        memcpy(page_for(p, off / PAGE) + in, from, k);
        from += k;
        off += k;
        n -= k;
    }
}

static void pages_zero(struct pages *p, uint64_t n, uint64_t off)
{
    while (n > 0 && off / PAGE < p->n) {
        uint64_t in = off % PAGE, k = PAGE - in < n ? PAGE - in : n;
        char **page = &p->at[off / PAGE];
        if (*page && k == PAGE) {
            free(*page);
            *page = NULL;
            p->allocated -= PAGE;
        } else if (*page) {
            memset(*page + in, 0, k);
        }
        off += k;
        n -= k;
    }
}

static void pages_resize(struct pages *p, uint64_t size)
{
    if (size < p->size) pages_zero(p, p->size - size, size);
    p->size = size;
}

static void pages_free(struct pages *p)
{
    pages_zero(p, p->n * (uint64_t)PAGE, 0);
    free(p->at);
    *p = (struct pages){0};
}

static void pages_copy(struct pages *to, const struct pages *from)
{
    pages_free(to);
    for (uint64_t i = 0; i < from->n; i++)
        if (from->at[i]) memcpy(page_for(to, i), from->at[i], PAGE);
    to->size = from->size;
}

/* ---- changes ---- */

static void apply(struct pages *p, const struct change *c)
{
    if (c->kind == WRITE)
        pages_write(p, c->bytes, c->n, c->off);
    else if (c->kind == RESIZE)
        pages_resize(p, c->off);
    else
        pages_zero(p, c->n, c->off);
}

/* Leading durable changes become part of the durable contents. */
static void settle(struct sim_file *f)
{
    while (!list_empty(&f->changes)) {
        struct change *c = CONTAINER(f->changes.next, struct change, link);
        if (c->state != DURABLE) return;
        apply(&f->disk, c);
        list_remove(&c->link);
        free(c);
    }
}

static uint64_t change(struct sim_file *f, enum change_kind kind, const void *bytes, uint64_t off, uint64_t n)
{
    size_t held = kind == WRITE ? n : 0;
    struct change *c = malloc(sizeof *c + held);
    ASSERT(c != NULL);
    *c = (struct change){.number = ++f->number, .kind = kind, .off = off, .n = n};
    if (held) memcpy(c->bytes, bytes, held);
    list_append(&f->changes, &c->link);
    apply(&f->live, c);
    return c->number;
}

struct sim_file *sim_file_new(void)
{
    struct sim_file *f = calloc(1, sizeof *f);
    ASSERT(f != NULL);
    list_init(&f->changes);
    return f;
}

static void drop_changes(struct sim_file *f)
{
    struct list *e;
    while ((e = list_pop(&f->changes))) free(CONTAINER(e, struct change, link));
}

void sim_file_free(struct sim_file *f)
{
    drop_changes(f);
    pages_free(&f->live);
    pages_free(&f->disk);
    free(f);
}

uint64_t sim_file_size(const struct sim_file *f)
{
    return f->live.size;
}
uint64_t sim_file_bytes(const struct sim_file *f)
{
    return f->live.allocated;
}
uint64_t sim_file_changes(const struct sim_file *f)
{
    return f->number;
}

uint64_t sim_file_grows(const struct sim_file *f, size_t n, uint64_t off)
{
    uint64_t more = 0;
    if (n == 0) return 0;
    for (uint64_t i = off / PAGE; i <= (off + n - 1) / PAGE; i++)
        if (i >= f->live.n || !f->live.at[i]) more += PAGE;
    return more;
}

size_t sim_file_read(const struct sim_file *f, void *to, size_t n, uint64_t off)
{
    const struct pages *p = &f->live;
    if (off >= p->size) return 0;
    if (n > p->size - off) n = (size_t)(p->size - off);
    for (size_t done = 0; done < n;) {
        uint64_t at = off + done, in = at % PAGE;
        size_t k = PAGE - in < n - done ? (size_t)(PAGE - in) : n - done;
        const char *page = at / PAGE < p->n ? p->at[at / PAGE] : NULL;
        if (page)
            memcpy((char *)to + done, page + in, k);
        else
            memset((char *)to + done, 0, k);
        done += k;
    }
    return n;
}

int64_t sim_file_data(const struct sim_file *f, uint64_t off)
{
    const struct pages *p = &f->live;
    while (off < p->size && off / PAGE < p->n && !p->at[off / PAGE]) off = (off / PAGE + 1) * PAGE;
    return off < p->size && off / PAGE < p->n ? (int64_t)off : -ENXIO;
}

uint64_t sim_file_write(struct sim_file *f, const void *p, size_t n, uint64_t off)
{
    return change(f, WRITE, p, off, n);
}
uint64_t sim_file_resize(struct sim_file *f, uint64_t size)
{
    return change(f, RESIZE, NULL, size, 0);
}
void sim_file_reserve(struct sim_file *f, uint64_t off, uint64_t n)
{
    for (uint64_t i = off / PAGE; n > 0 && i <= (off + n - 1) / PAGE; i++) page_for(&f->live, i);
}

uint64_t sim_file_punch(struct sim_file *f, uint64_t off, uint64_t n)
{
    return change(f, PUNCH, NULL, off, n);
}

/* ---- flushing ---- */

static void move_pending(struct sim_file *f, uint64_t from, uint64_t upto, enum change_state to)
{
    LIST_EACH(e, &f->changes)
    {
        struct change *c = CONTAINER(e, struct change, link);
        if (c->number >= from && c->number <= upto && c->state == PENDING) c->state = to;
    }
    settle(f);
}

void sim_file_sync_one(struct sim_file *f, uint64_t number)
{
    move_pending(f, number, number, DURABLE);
}
void sim_file_sync(struct sim_file *f, uint64_t upto)
{
    move_pending(f, 0, upto, DURABLE);
}
void sim_file_lose(struct sim_file *f, uint64_t upto)
{
    move_pending(f, 0, upto, ORPHANED);
}

/* ---- the power cut ---- */

static void apply_torn(struct pages *p, const struct change *c)
{
    if (c->off + c->n > p->size)
        p->size = c->off + c->n; /* lost sectors read as zeros or as what was there */
    for (uint64_t at = c->off; at < c->off + c->n;) {
        uint64_t end = (at / SECTOR + 1) * SECTOR;
        if (end > c->off + c->n) end = c->off + c->n;
        if (sim_below(2)) pages_write(p, c->bytes + (at - c->off), end - at, at);
        at = end;
    }
}

/* One mood a file, so that "all kept" and "all lost" happen as often as mixtures. */
void sim_file_crash(struct sim_file *f)
{
    enum { KEEP, LOSE, MIX } mood = (int)sim_below(3);
    LIST_EACH(e, &f->changes)
    {
        struct change *c = CONTAINER(e, struct change, link);
        uint64_t fate = mood == MIX ? sim_below(3) : (uint64_t)mood;
        if (c->state == DURABLE || fate == KEEP)
            apply(&f->disk, c);
        else if (fate == MIX && c->kind == WRITE)
            apply_torn(&f->disk, c);
    }
    drop_changes(f);
    pages_copy(&f->live, &f->disk);
}
