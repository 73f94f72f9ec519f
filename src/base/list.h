/* An intrusive doubly linked list with a sentinel head. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};
#define LIST_INIT(h)          ((struct list){&(h), &(h)})
#define CONTAINER(p, type, m) ((type *)(void *)((char *)(p)-offsetof(type, m)))
#define LIST_EACH(it, h)                                                                                     \
    for (struct list *it = (h)->next, *it##_n = it->next; it != (h); it = it##_n, it##_n = it->next)

static inline void list_init(struct list *h)
{
    h->next = h->prev = h;
}
static inline bool list_empty(const struct list *h)
{
    return h->next == h;
}
static inline void list_insert_after(struct list *at, struct list *e)
{
    e->prev = at;
    e->next = at->next;
    at->next->prev = e;
    at->next = e;
}
static inline void list_push(struct list *h, struct list *e)
{
    list_insert_after(h, e);
} /* front */
static inline void list_append(struct list *h, struct list *e)
{
    list_insert_after(h->prev, e);
} /* back */
static inline void list_remove(struct list *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
    e->next = e->prev = e;
}
static inline struct list *list_pop(struct list *h)
{
    if (list_empty(h)) return NULL;
    struct list *e = h->next;
    list_remove(e);
    return e;
}

#endif
