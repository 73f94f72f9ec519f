/* XML in: expat drives, a small tree comes out.
 *
 * What makes XML dangerous is refused as soon as it is seen: a DOCTYPE (and with it every entity but the five
 * built in ones), depth, numbers of elements, an encoding other than UTF-8. The caller bounds the bytes.
 */
#include "xml/xml.h"
#include "base/codec.h"

#include <expat.h>
#include <limits.h>

#define NAME_SEPARATOR '\n' /* between namespace and local name; expat refuses a namespace that has it */

struct reader {
    XML_Parser parser;
    struct arena *arena;
    err failed; /* latched: expat may call some handlers after it was told to stop */
    struct xml_node *root, *current;
    size_t depth, nodes;
    struct xml_node *last[XML_MAX_DEPTH + 1]; /* the newest child of the open element at each depth */
    struct buf text[XML_MAX_DEPTH + 1];       /* what each open element has so far */
};

static void stop(struct reader *r, err e)
{
    if (r->failed != ERR_OK) return;
    r->failed = e;
    XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int internal)
{
    (void)name, (void)system, (void)public, (void)internal;
    stop(arg, ERR_MALFORMED_XML);
}

static void XMLCALL on_declaration(void *arg, const XML_Char *version, const XML_Char *encoding,
                                   int standalone)
{
    (void)version, (void)standalone;
    struct str e = str_c(encoding);
    if (e.p && !str_ieq(e, STR("UTF-8")) && !str_ieq(e, STR("US-ASCII"))) stop(arg, ERR_MALFORMED_XML);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct reader *r = arg;
    if (r->failed != ERR_OK) return;
    if (r->depth == XML_MAX_DEPTH || r->nodes == XML_MAX_NODES) {
        stop(r, ERR_MALFORMED_XML);
        return;
    }
    const char *local = strrchr(name, NAME_SEPARATOR);
    struct xml_node *n = ARENA_NEW(r->arena, struct xml_node);
    if (n) n->name = arena_dup(r->arena, str_c(local ? local + 1 : name));
    if (!n || !n->name.p) {
        stop(r, ERR_NO_MEMORY);
        return;
    }
    n->parent = r->current;
    if (!r->current)
        r->root = n;
    else if (r->last[r->depth])
        r->last[r->depth]->next = n;
    else
        r->current->first = n;
    r->last[r->depth] = n;
    r->current = n;
    r->depth++;
    r->nodes++;
    r->last[r->depth] = NULL;
    buf_clear(&r->text[r->depth]);
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
    struct reader *r = arg;
    if (r->failed == ERR_OK) buf_add(&r->text[r->depth], s, (size_t)n);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
    (void)name;
    struct reader *r = arg;
    if (r->failed != ERR_OK) return;
    struct buf *text = &r->text[r->depth];
    r->current->text = text->overflow ? STR_NONE : arena_dup(r->arena, buf_view(text));
    if (!r->current->text.p) {
        stop(r, ERR_NO_MEMORY);
        return;
    }
    r->current = r->current->parent;
    r->depth--;
}

static err run(struct reader *r, struct str doc)
{
    XML_SetUserData(r->parser, r);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    XML_SetXmlDeclHandler(r->parser, on_declaration);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    enum XML_Status status = XML_Parse(r->parser, doc.p, (int)doc.n, XML_TRUE);
    if (r->failed != ERR_OK) return r->failed;
    if (status == XML_STATUS_OK) return ERR_OK;
    return XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY ? ERR_NO_MEMORY : ERR_MALFORMED_XML;
}

err xml_parse(struct arena *a, struct str doc, struct xml_node **root)
{
    /* expat knows UTF-16 by its NUL bytes, whatever encoding it was told. */
    if (doc.n == 0 || doc.n > INT_MAX || memchr(doc.p, 0, doc.n) || !utf8_valid(doc))
        return ERR_MALFORMED_XML;
    struct reader r = {.arena = a, .parser = XML_ParserCreateNS("UTF-8", NAME_SEPARATOR)};
    if (!r.parser) return ERR_NO_MEMORY;
    err e = run(&r, doc);
    XML_ParserFree(r.parser);
    for (size_t i = 0; i <= XML_MAX_DEPTH; i++) buf_free(&r.text[i]);
    if (e == ERR_OK) *root = r.root;
    return e;
}

struct xml_node *xml_child(const struct xml_node *n, const char *name)
{
    for (struct xml_node *c = n->first; c; c = c->next)
        if (str_eq(c->name, str_c(name))) return c;
    return NULL;
}

struct str xml_child_text(const struct xml_node *n, const char *name)
{
    struct xml_node *c = xml_child(n, name);
    return c ? c->text : STR_NONE;
}
