/* The names of the simulated disk: what a reader sees, what is durable, and the changes between, oldest
 * first.
 *
 * A change of names becomes durable by the flush of the directory that it happened in. At a power cut the
 * pending ones are all kept, all lost, kept up to one of them, or chosen one by one; a rename is atomic in
 * any case.
 */
#include "rt/sim_disk.h"

struct entry {
    struct list link;
    struct node *node;
    char *path;
};

enum name_kind { LINK, UNLINK, RENAME };
struct name_change {
    struct list link;
    enum name_kind kind;
    struct node *node; /* what `to` names after it */
    char *from, *to;   /* RENAME: both; else `to` alone */
};

static struct list live = {&live, &live}, disk = {&disk, &disk}, changes = {&changes, &changes};

/* ---- nodes ---- */

static struct list nodes = {&nodes, &nodes};
static uint64_t next_ino = 1;

struct node *node_new(bool dir)
{
    struct node *n = calloc(1, sizeof *n);
    ASSERT(n != NULL);
    n->ino = next_ino++;
    n->lock_fd = -1;
    if (!dir) n->file = sim_file_new();
    n->refs = 1;
    list_append(&nodes, &n->link);
    return n;
}

struct node *node_ref(struct node *n)
{
    n->refs++;
    return n;
}

void node_drop(struct node *n)
{
    if (--n->refs > 0) return;
    list_remove(&n->link);
    if (n->file) sim_file_free(n->file);
    free(n);
}

uint64_t nodes_bytes(void)
{
    uint64_t sum = 0;
    LIST_EACH(e, &nodes)
    {
        struct node *n = CONTAINER(e, struct node, link);
        if (n->file) sum += sim_file_bytes(n->file);
    }
    return sum;
}

/* ---- entries ---- */

static char *copy(const char *z)
{
    char *c = strdup(z);
    ASSERT(c != NULL);
    return c;
}

static struct entry *find(struct list *names, const char *path)
{
    LIST_EACH(e, names)
    {
        struct entry *n = CONTAINER(e, struct entry, link);
        if (strcmp(n->path, path) == 0) return n;
    }
    return NULL;
}

static void entry_free(struct entry *e)
{
    list_remove(&e->link);
    node_drop(e->node);
    free(e->path);
    free(e);
}

static void put(struct list *names, const char *path, struct node *node)
{
    struct entry *e = find(names, path);
    if (e) entry_free(e);
    e = malloc(sizeof *e);
    ASSERT(e != NULL);
    *e = (struct entry){.node = node_ref(node), .path = copy(path)};
    list_append(names, &e->link);
}

static void clear(struct list *names)
{
    while (!list_empty(names)) entry_free(CONTAINER(names->next, struct entry, link));
}

/* Entries below a directory that is renamed move with it. */
static void move_below(struct list *names, const char *from, const char *to)
{
    size_t n = strlen(from);
    LIST_EACH(it, names)
    {
        struct entry *e = CONTAINER(it, struct entry, link);
        if (strncmp(e->path, from, n) != 0 || e->path[n] != '/') continue;
        struct buf b;
        buf_init(&b, 0);
        buf_fmt(&b, "%s%s%c", to, e->path + n, 0);
        free(e->path);
        e->path = copy(b.p);
        buf_free(&b);
    }
}

static void apply(struct list *names, const struct name_change *c)
{
    struct entry *old = find(names, c->kind == RENAME ? c->from : c->to);
    if (c->kind == LINK) put(names, c->to, c->node);
    if (c->kind == UNLINK && old && old->node == c->node) entry_free(old);
    if (c->kind != RENAME) return;
    if (old && old->node == c->node) entry_free(old);
    put(names, c->to, c->node);
    move_below(names, c->from, c->to);
}

static void change_free(struct name_change *c)
{
    list_remove(&c->link);
    node_drop(c->node);
    free(c->from);
    free(c->to);
    free(c);
}

static void change(enum name_kind kind, const char *from, const char *to, struct node *node)
{
    struct name_change *c = malloc(sizeof *c);
    ASSERT(c != NULL);
    *c = (struct name_change){
        .kind = kind, .node = node_ref(node), .from = from ? copy(from) : NULL, .to = copy(to)};
    list_append(&changes, &c->link);
    apply(&live, c);
}

/* ---- what the table of system calls asks for ---- */

static bool in_dir(const char *path, const char *dir)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    return strlen(dir) == n && strncmp(path, dir, n) == 0;
}

struct node *names_find(const char *path)
{
    struct entry *e = find(&live, path);
    return e ? e->node : NULL;
}

bool names_is_dir(const char *path)
{
    if (path[0] == 0) return true; /* the root */
    struct node *n = names_find(path);
    return n && !n->file;
}

bool names_parent_exists(const char *path)
{
    char *dir = copy(path), *slash = strrchr(dir, '/');
    if (slash) *slash = 0;
    bool ok = slash ? names_is_dir(dir) : true;
    free(dir);
    return ok;
}

bool names_empty(const char *dir)
{
    LIST_EACH(e, &live)
    {
        if (in_dir(CONTAINER(e, struct entry, link)->path, dir)) return false;
    }
    return true;
}

void names_link(const char *path, struct node *n)
{
    change(LINK, NULL, path, n);
}
void names_unlink(const char *path, struct node *n)
{
    change(UNLINK, NULL, path, n);
}
void names_rename(const char *from, const char *to, struct node *n)
{
    change(RENAME, from, to, n);
}

/* The list may change under fn: it sees the names of now. */
void names_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg)
{
    struct buf b;
    buf_init(&b, 0);
    LIST_EACH(e, &live)
    {
        const char *path = CONTAINER(e, struct entry, link)->path;
        if (!in_dir(path, dir)) continue;
        const char *slash = strrchr(path, '/');
        buf_cstr(&b, slash ? slash + 1 : path);
        buf_char(&b, 0);
    }
    for (size_t at = 0; at < b.n; at += strlen(b.p + at) + 1)
        if (!fn(arg, b.p + at)) break;
    buf_free(&b);
}

void names_sync(const char *dir)
{
    LIST_EACH(e, &changes)
    {
        struct name_change *c = CONTAINER(e, struct name_change, link);
        if (!in_dir(c->to, dir) && !(c->from && in_dir(c->from, dir))) continue;
        apply(&disk, c);
        change_free(c);
    }
}

/* ---- the power cut ---- */

/* Is the directory of this name there? */
static bool reachable(const char *path)
{
    char *dir = copy(path), *slash = strrchr(dir, '/');
    if (slash) *slash = 0;
    struct entry *e = slash && slash != dir ? find(&disk, dir) : NULL;
    bool there = !slash || slash == dir || (e && !e->node->file);
    free(dir);
    return there;
}

/* A name whose directory did not survive is not reachable. */
static void prune(void)
{
    for (bool again = true; again;) {
        again = false;
        LIST_EACH(it, &disk)
        {
            struct entry *e = CONTAINER(it, struct entry, link);
            if (reachable(e->path)) continue;
            entry_free(e);
            again = true;
            break;
        }
    }
}

/* Fibers that the power cut ended in the middle of a call never drop what they held. */
static void recount(void)
{
    LIST_EACH(e, &nodes) CONTAINER(e, struct node, link)->refs = 1;
    LIST_EACH(e, &live) CONTAINER(e, struct entry, link)->node->refs++;
    LIST_EACH(e, &disk) CONTAINER(e, struct entry, link)->node->refs++;
    LIST_EACH(e, &nodes) node_drop(CONTAINER(e, struct node, link));
}

void names_crash(void)
{
    enum { KEEP, LOSE, PREFIX, MIX } mood = (int)sim_below(4);
    uint64_t count = 0, i = 0;
    LIST_EACH(e, &changes) count++;
    uint64_t prefix = sim_below(count + 1);
    LIST_EACH(e, &changes)
    {
        struct name_change *c = CONTAINER(e, struct name_change, link);
        bool kept = mood == KEEP || (mood == PREFIX && i < prefix) || (mood == MIX && sim_below(2));
        if (kept) apply(&disk, c);
        change_free(c);
        i++;
    }
    prune();
    clear(&live);
    LIST_EACH(e, &disk)
    {
        struct entry *n = CONTAINER(e, struct entry, link);
        put(&live, n->path, n->node);
    }
    recount();
    LIST_EACH(e, &nodes)
    {
        struct node *n = CONTAINER(e, struct node, link);
        n->lock_fd = -1;
        if (n->file) sim_file_crash(n->file);
    }
}

void names_reset(void)
{
    while (!list_empty(&changes)) change_free(CONTAINER(changes.next, struct name_change, link));
    clear(&live);
    clear(&disk);
    recount();
    next_ino = 1;
}
