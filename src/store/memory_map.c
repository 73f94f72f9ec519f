#include "store/memory_map.h"

#define LEVELS 20

struct memory_map {
    struct memory_node *head; /* LEVELS high, below every key */
    size_t count;
    uint64_t random;
};

static struct memory_node *node_new(unsigned levels, struct str key)
{
    struct memory_node *n = calloc(1, sizeof *n + levels * sizeof n->next[0] + key.n);
    if (!n) return NULL;
    char *bytes = (char *)(void *)(n->next + levels);
    if (key.n) memcpy(bytes, key.p, key.n);
    n->key = str_of(bytes, key.n);
    n->levels = levels;
    return n;
}

struct memory_map *memory_map_new(void)
{
    struct memory_map *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->head = node_new(LEVELS, STR(""));
    m->random = 0x9e3779b97f4a7c15u;
    if (m->head) return m;
    free(m);
    return NULL;
}

void memory_map_free(struct memory_map *m, void (*free_value)(void *value))
{
    if (!m) return;
    for (struct memory_node *n = m->head, *next; n; n = next) {
        next = n->next[0];
        if (free_value && n->value) free_value(n->value);
        free(n);
    }
    free(m);
}

/* The last node below key on every level, highest level first. */
static struct memory_node *below(const struct memory_map *m, struct str key, struct memory_node *path[LEVELS])
{
    struct memory_node *n = m->head;
    for (unsigned i = LEVELS; i-- > 0;) {
        while (n->next[i] && str_cmp(n->next[i]->key, key) < 0) n = n->next[i];
        if (path) path[i] = n;
    }
    return n;
}

struct memory_node *memory_map_seek(const struct memory_map *m, struct str key)
{
    return below(m, key, NULL)->next[0];
}

struct memory_node *memory_map_before(const struct memory_map *m, struct str key)
{
    struct memory_node *n = below(m, key, NULL);
    return n == m->head ? NULL : n;
}

struct memory_node *memory_map_find(const struct memory_map *m, struct str key)
{
    struct memory_node *n = memory_map_seek(m, key);
    return n && str_eq(n->key, key) ? n : NULL;
}

/* A quarter of the nodes of one level reach the next. The stream is the map's own, so runs repeat. */
static unsigned random_levels(struct memory_map *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    unsigned levels = 1;
    for (uint64_t r = m->random >> 16; levels < LEVELS && (r & 3) == 0; r >>= 2) levels++;
    return levels;
}

struct memory_node *memory_map_make(struct memory_map *m, struct str key)
{
    struct memory_node *path[LEVELS];
    struct memory_node *n = below(m, key, path)->next[0];
    if (n && str_eq(n->key, key)) return n;
    n = node_new(random_levels(m), key);
    if (!n) return NULL;
    for (unsigned i = 0; i < n->levels; i++) {
        n->next[i] = path[i]->next[i];
        path[i]->next[i] = n;
    }
    m->count++;
    return n;
}

void *memory_map_remove(struct memory_map *m, struct str key)
{
    struct memory_node *path[LEVELS];
    struct memory_node *n = below(m, key, path)->next[0];
    if (!n || !str_eq(n->key, key)) return NULL;
    for (unsigned i = 0; i < n->levels; i++) path[i]->next[i] = n->next[i];
    void *value = n->value;
    free(n);
    m->count--;
    return value;
}
