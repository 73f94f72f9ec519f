/* memory_map: an ordered map of byte strings in memory — a skip list. Not thread-safe. */
#ifndef STORE_MEMORY_MAP_H
#define STORE_MEMORY_MAP_H

#include "base/str.h"

struct memory_map;
struct memory_node { /* an entry; stays where it is until its key is removed */
    struct str key;
    void *value;
    unsigned levels;
    struct memory_node *next[];
};

struct memory_map *memory_map_new(void); /* NULL when memory is out */
/* free_value is called for each value left; may be NULL. */
void memory_map_free(struct memory_map *m, void (*free_value)(void *value));

/* NULL: absent. */
struct memory_node *memory_map_find(const struct memory_map *m, struct str key);
/* The entry of this key, made with a NULL value (and a copy of the key) if it was absent. NULL: memory is
 * out. */
struct memory_node *memory_map_make(struct memory_map *m, struct str key);
/* Frees the entry, not its value; the value is returned. NULL: absent. */
void *memory_map_remove(struct memory_map *m, struct str key);

struct memory_node *memory_map_seek(const struct memory_map *m, struct str key); /* the first entry >= key */
struct memory_node *memory_map_before(const struct memory_map *m, struct str key); /* the last entry < key */
static inline struct memory_node *memory_node_next(const struct memory_node *n)
{
    return n->next[0];
}

#endif
