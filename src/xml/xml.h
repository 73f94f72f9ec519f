/* XML in and out. In: expat, DOCTYPE and entities refused, depth and size bounded, into a small tree in an
 * arena. Out: an escaping writer over a buf. Namespaces are stripped: element names are local names.
 */
#ifndef XML_XML_H
#define XML_XML_H

#include "base/arena.h"
#include "base/errors.h"

#define XML_MAX_DEPTH 32
#define XML_MAX_NODES 100000

struct xml_node {
    struct str name;
    struct str text; /* character data directly inside, concatenated, not trimmed */
    struct xml_node *first, *next, *parent;
};

/* ERR_MALFORMED_XML on anything that is not well-formed, is not UTF-8, has a DOCTYPE, or passes a bound;
 * ERR_NO_MEMORY when the arena is full. The caller bounds doc.n. The tree lives as long as the arena and
 * copies all it needs of doc. */
err xml_parse(struct arena *a, struct str doc, struct xml_node **root);
/* The first child of that name, or NULL. */
struct xml_node *xml_child(const struct xml_node *n, const char *name);
/* Its text, or STR_NONE where there is no such child. */
struct str xml_child_text(const struct xml_node *n, const char *name);

void xml_begin_doc(struct buf *b);                                           /* the XML declaration */
void xml_open_attrs(struct buf *b, const char *name, const char *raw_attrs); /* raw_attrs written as is */
void xml_text(struct buf *b, struct str s); /* escaped: & < > " and, as &#xN;, what XML cannot hold */
void xml_tag(struct buf *b, struct str begin, struct str name);
void xml_element(struct buf *b, struct str name, struct str value);
void xml_element_quoted(struct buf *b, struct str name, struct str value); /* "value", the marks escaped */
void xml_element_u64(struct buf *b, struct str name, uint64_t v);
void xml_element_time(struct buf *b, struct str name, int64_t ms); /* ISO 8601 with milliseconds */

/* Inline, so that the length of a literal name is a constant: a listing writes some ten thousand. */
static inline void xml_open(struct buf *b, const char *name)
{
    xml_tag(b, STR("<"), str_c(name));
}
static inline void xml_close(struct buf *b, const char *name)
{
    xml_tag(b, STR("</"), str_c(name));
}
static inline void xml_elem(struct buf *b, const char *name, struct str value)
{
    xml_element(b, str_c(name), value);
}
static inline void xml_elem_z(struct buf *b, const char *name, const char *value)
{
    xml_element(b, str_c(name), str_c(value));
}
static inline void xml_elem_u64(struct buf *b, const char *name, uint64_t v)
{
    xml_element_u64(b, str_c(name), v);
}
static inline void xml_elem_bool(struct buf *b, const char *name, bool v)
{
    xml_element(b, str_c(name), v ? STR("true") : STR("false"));
}
static inline void xml_elem_time(struct buf *b, const char *name, int64_t ms)
{
    xml_element_time(b, str_c(name), ms);
}

#endif
