#include "xml/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define assert_str(s, lit) assert_true(str_eq((s), STR(lit)))

static struct arena *a;
static int make_arena(void **state)
{
    (void)state;
    return (a = arena_new(0)) ? 0 : -1;
}
static int drop_arena(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static struct xml_node *parse(struct str doc)
{
    struct xml_node *root = NULL;
    assert_int_equal(xml_parse(a, doc, &root), ERR_OK);
    assert_non_null(root);
    return root;
}

static void refused(struct str doc)
{
    struct xml_node *root = NULL;
    if (xml_parse(a, doc, &root) != ERR_MALFORMED_XML)
        fail_msg("accepted: %.*s", (int)(doc.n < 200 ? doc.n : 200), doc.p);
    assert_null(root);
}

static void tree_has_names_text_and_order(void **state)
{
    (void)state;
    struct xml_node *r =
        parse(STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
                  "<Object><Key>a&amp;b</Key></Object><!-- c --><Object><Key/></Object></Delete>"));
    assert_str(r->name, "Delete");
    assert_null(r->parent);
    assert_str(xml_child_text(r, "Quiet"), "true");
    struct xml_node *o = xml_child(r, "Object");
    assert_str(xml_child_text(o, "Key"), "a&b");
    assert_ptr_equal(o->parent, r);
    o = o->next;
    assert_str(o->name, "Object");
    assert_non_null(xml_child_text(o, "Key").p); /* there, and empty */
    assert_int_equal(xml_child_text(o, "Key").n, 0);
    assert_null(xml_child_text(o, "VersionId").p); /* not there */
    assert_null(o->next);
}

static void text_is_concatenated_and_kept(void **state)
{
    (void)state;
    struct xml_node *r = parse(STR("<a> x<b>y</b><![CDATA[<&>]]]]><c/>&#x41;&#66; \t</a>"));
    assert_str(r->text, " x<&>]]AB \t");
    assert_str(xml_child_text(r, "b"), "y");
    r = parse(STR("<a>\xe2\x82\xac&#x20ac;&lt;&gt;&quot;&apos;</a>"));
    assert_str(r->text, "\xe2\x82\xac\xe2\x82\xac<>\"'");
    r = parse(STR("\xef\xbb\xbf<a>after a byte order mark</a>"));
    assert_str(r->text, "after a byte order mark");
}

static void namespaces_are_stripped(void **state)
{
    (void)state;
    struct xml_node *r = parse(STR("<s:a xmlns:s=\"u:x\"><s:b>1</s:b><c xmlns=\"v\">2</c></s:a>"));
    assert_str(r->name, "a");
    assert_str(xml_child_text(r, "b"), "1");
    assert_str(xml_child_text(r, "c"), "2");
    refused(STR("<s:a xmlns:s=\"u:&#10;x\"/>"));
}

static void malformed_documents(void **state)
{
    (void)state;
    const struct str bad[] = {STR_NONE,
                              STR(""),
                              STR(" \n"),
                              STR("<?xml version=\"1.0\"?>"),
                              STR("text"),
                              STR("<a>"),
                              STR("<a></b>"),
                              STR("<a/><b/>"),
                              STR("<a/>x"),
                              STR("<a>&undefined;</a>"),
                              STR("<a>&#0;</a>"),
                              STR("<a>&#x1;</a>"),
                              STR("<a>\x01</a>"),
                              STR("<a>\0</a>"),
                              STR("<a>]]></a>"),
                              STR("<a b=1/>"),
                              STR("<a b='1' b='2'/>"),
                              STR("<s:a/>"),
                              STR("<a>\xff</a>"),
                              STR("<a>\xed\xa0\x80</a>"),
                              STR("<a>\xc0\xbc</a>"),
                              STR("<a>\xef\xbf\xbf</a>"),
                              STR("{\"json\": true}")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refused(bad[i]);
}

static void only_utf8(void **state)
{
    (void)state;
    refused(STR("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe4</a>"));
    refused(STR("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xc3\xa4</a>"));
    refused(STR("<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>"));
    refused(STR("\xff\xfe<\0a\0/\0>\0"));
    refused(STR("\xfe\xff\0<\0a\0/\0>"));
    refused(STR("<\0a\0/\0>\0"));
    parse(STR("<?xml version=\"1.0\" encoding=\"utf-8\"?><a/>"));
    parse(STR("<?xml version='1.0' encoding='US-ASCII' standalone='yes'?><a/>"));
}

static void doctype_and_entities_are_refused_flat(void **state)
{
    (void)state;
    const struct str bombs[] = {
        STR("<!DOCTYPE a><a/>"),
        STR("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"),
        STR("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>"),
        STR("<!DOCTYPE a [<!ENTITY % p SYSTEM \"http://127.0.0.1:1/\">%p;]><a/>"),
        STR("<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b "
            "\"&a;&a;&a;&a;&a;&a;&a;&a;\">"
            "<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d "
            "\"&c;&c;&c;&c;&c;&c;&c;&c;\">]><l>&d;&d;&d;</l>"),
    };
    size_t before = arena_used(a);
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) refused(bombs[i]);
    assert_int_equal(arena_used(a), before); /* stopped before the first element */
}

static struct str nested(size_t depth, struct buf *b)
{
    for (size_t i = 0; i < depth; i++) buf_cstr(b, "<d>");
    for (size_t i = 0; i < depth; i++) buf_cstr(b, "</d>");
    return buf_view(b);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    struct xml_node *n = parse(nested(XML_MAX_DEPTH, &b));
    size_t depth = 1;
    for (; n->first; n = n->first) depth++;
    assert_int_equal(depth, XML_MAX_DEPTH);
    buf_clear(&b);
    refused(nested(XML_MAX_DEPTH + 1, &b));
    buf_clear(&b);
    size_t before = arena_used(a);
    refused(nested(100000, &b));
    assert_true(arena_used(a) - before < 8192);
    buf_free(&b);
}

static void number_of_elements_is_bounded(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    buf_cstr(&b, "<r>");
    for (int i = 1; i < XML_MAX_NODES; i++) buf_cstr(&b, "<e/>");
    buf_cstr(&b, "</r>");
    struct xml_node *n = parse(buf_view(&b))->first;
    int count = 0;
    for (; n; n = n->next) count++;
    assert_int_equal(count, XML_MAX_NODES - 1);
    b.n -= 4;
    buf_cstr(&b, "<e/></r>");
    refused(buf_view(&b));
    buf_free(&b);
}

static void a_full_arena_is_no_memory(void **state)
{
    (void)state;
    struct arena *small = arena_new(100);
    struct xml_node *root = NULL;
    assert_int_equal(xml_parse(small, STR("<a><b/><c/></a>"), &root), ERR_NO_MEMORY);
    assert_null(root);
    arena_reset(small);
    assert_int_equal(
        xml_parse(small, STR("<a>01234567890123456789012345678901234567890123456789</a>"), &root),
        ERR_NO_MEMORY);
    arena_free(small);
}

static void writer_escapes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    xml_text(&b, STR("a]]>&<\"'\x01\x1f\x7f\n\r\t\0\xc3\xa4\xef\xbf\xbf!"));
    assert_str(buf_view(&b), "a]]&gt;&amp;&lt;&quot;'&#x1;&#x1F;&#x7F;&#xA;&#xD;&#x9;&#x0;\xc3\xa4&#xFFFF;!");
    buf_clear(&b);
    xml_text(&b, STR("\xff ok \xe2\x82"));
    assert_str(buf_view(&b), "\xef\xbf\xbd ok \xef\xbf\xbd\xef\xbf\xbd");
    buf_clear(&b);
    xml_text(&b, STR_NONE);
    assert_int_equal(b.n, 0);
    buf_free(&b);
}

static void writer_writes_elements(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    xml_begin_doc(&b);
    xml_open_attrs(&b, "R", "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"");
    xml_open(&b, "C");
    xml_elem(&b, "Key", STR("a<b"));
    xml_elem_z(&b, "None", NULL);
    xml_elem_u64(&b, "Size", UINT64_MAX);
    xml_elem_bool(&b, "Last", false);
    xml_elem_time(&b, "LastModified", 0);
    xml_close(&b, "C");
    xml_close(&b, "R");
    assert_str(buf_view(&b),
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
               "<R xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><C><Key>a&lt;b</Key><None></None>"
               "<Size>18446744073709551615</Size><Last>false</Last>"
               "<LastModified>1970-01-01T00:00:00.000Z</LastModified></C></R>");
    struct xml_node *c = xml_child(parse(buf_view(&b)), "C");
    assert_str(xml_child_text(c, "Key"), "a<b");
    buf_free(&b);
}

/* Whatever XML can hold comes back as it went out. */
static void written_text_reads_back(void **state)
{
    (void)state;
    struct buf b, text;
    buf_init(&b, 0);
    buf_init(&text, 0);
    for (char c = 0x20; c < 0x7f; c++) buf_char(&text, c);
    buf_str(&text, STR("\t\n\r\r\n\x7f\xc2\x85\xe2\x80\xa8\xf0\x9f\x98\x80]]>"));
    xml_elem(&b, "t", buf_view(&text));
    assert_true(str_eq(parse(buf_view(&b))->text, buf_view(&text)));
    buf_free(&b);
    buf_free(&text);
}

/* Text is looked at by eight bytes: each byte, at each place among plain ones, comes out as it does by
 * itself. */
static void every_byte_at_every_place(void **state)
{
    (void)state;
    struct buf b, by_one;
    char text[19] = "abcdefghijklmnopqr";
    buf_init(&b, 0);
    buf_init(&by_one, 0);
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 18; at++) {
            char was = text[at];
            text[at] = (char)byte;
            buf_clear(&b);
            buf_clear(&by_one);
            xml_elem(&b, "t", str_of(text, 18));
            buf_cstr(&by_one, "<t>");
            for (size_t i = 0; i < 18; i++) xml_text(&by_one, str_of(text + i, 1));
            buf_cstr(&by_one, "</t>");
            assert_true(str_eq(buf_view(&b), buf_view(&by_one)));
            text[at] = was;
        }
    }
    buf_clear(&b);
    xml_element_quoted(&b, STR("E"), STR("0123456789"));
    xml_element_quoted(&b, STR("E"), STR("a<b"));
    assert_str(buf_view(&b), "<E>&quot;0123456789&quot;</E><E>&quot;a&lt;b&quot;</E>");
    buf_free(&b);
    buf_free(&by_one);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(tree_has_names_text_and_order),
        T(text_is_concatenated_and_kept),
        T(namespaces_are_stripped),
        T(malformed_documents),
        T(only_utf8),
        T(doctype_and_entities_are_refused_flat),
        T(depth_is_bounded),
        T(number_of_elements_is_bounded),
        T(a_full_arena_is_no_memory),
        T(writer_escapes),
        T(writer_writes_elements),
        T(written_text_reads_back),
        T(every_byte_at_every_place),
    };
    return cmocka_run_group_tests_name("xml", tests, NULL, NULL);
}
