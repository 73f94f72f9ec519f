/* Any bytes: parsed or refused. What was parsed is written, parsed again, and must be the same tree. */
#include "xml/xml.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_tree(struct arena *a, struct buf *b, const struct xml_node *n)
{
    const char *name = arena_dup(a, n->name).p;
    xml_open(b, name);
    xml_text(b, n->text);
    for (const struct xml_node *c = n->first; c; c = c->next) write_tree(a, b, c);
    xml_close(b, name);
}

static void same_tree(const struct xml_node *a, const struct xml_node *b)
{
    ASSERT(str_eq(a->name, b->name) && str_eq(a->text, b->text));
    const struct xml_node *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next) {
        ASSERT(x->parent == a && y->parent == b);
        same_tree(x, y);
    }
    ASSERT(!x && !y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct xml_node *root = NULL, *again = NULL;
    err e = xml_parse(a, str_of((const char *)data, size), &root);
    ASSERT(e == ERR_OK || e == ERR_MALFORMED_XML || e == ERR_NO_MEMORY);
    if (e == ERR_OK) {
        struct buf b;
        buf_init(&b, 0);
        xml_begin_doc(&b);
        write_tree(a, &b, root);
        ASSERT(xml_parse(a, buf_view(&b), &again) == ERR_OK);
        same_tree(root, again);
        buf_free(&b);
    }
    arena_free(a);
    return 0;
}
