/* Reading answers: headers and the few elements of XML that the model compares. */
#include "wire.h"

#include "base/str.h"

#include <llhttp.h>

_Static_assert(ID_SIZE > 99, "ids that are read fit");
_Static_assert(sizeof(llhttp_t) <= sizeof((struct reply){0}.parser), "the parser fits");

/* ---- HTTP ---- */

static void take_header(struct reply *r)
{
    r->field[r->nfield < sizeof r->field ? r->nfield : sizeof r->field - 1] = 0;
    r->value[r->nvalue < sizeof r->value ? r->nvalue : sizeof r->value - 1] = 0;
    struct str name = str_c(r->field), value = str_c(r->value);
    if (str_ieq(name, STR("etag"))) {
        struct str bare = value.n >= 2 && value.p[0] == '"' ? str_slice(value, 1, value.n - 1) : value;
        snprintf(r->etag, sizeof r->etag, "%.*s", STR_FMT(bare));
    }
    if (str_ieq(name, STR("x-amz-version-id"))) snprintf(r->version, ID_SIZE, "%.99s", r->value);
    if (str_ieq(name, STR("x-amz-delete-marker"))) r->marker = str_eq(value, STR("true"));
    if (str_ieq(name, STR("x-amz-meta-m"))) r->meta = (unsigned)strtoul(r->value, NULL, 10);
    if (str_ieq(name, STR("content-length"))) r->length = strtoull(r->value, NULL, 10);
    r->nfield = r->nvalue = 0;
    r->in_value = false;
}

static int on_field(llhttp_t *h, const char *p, size_t n)
{
    struct reply *r = h->data;
    if (r->in_value) take_header(r);
    if (r->nfield + n < sizeof r->field) memcpy(r->field + r->nfield, p, n);
    r->nfield += n;
    return 0;
}

static int on_value(llhttp_t *h, const char *p, size_t n)
{
    struct reply *r = h->data;
    r->in_value = true;
    if (r->nvalue + n < sizeof r->value) memcpy(r->value + r->nvalue, p, n);
    r->nvalue += n;
    return 0;
}

static int on_headers(llhttp_t *h)
{
    struct reply *r = h->data;
    if (r->in_value) take_header(r);
    r->status = h->status_code;
    return r->head_method ? 1 : 0;
}

static int on_body(llhttp_t *h, const char *p, size_t n)
{
    struct reply *r = h->data;
    buf_add(r->body, p, n);
    return 0;
}

static int on_complete(llhttp_t *h)
{
    struct reply *r = h->data;
    r->done = true;
    r->keep = llhttp_should_keep_alive(h);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {.on_header_field = on_field,
                                           .on_header_value = on_value,
                                           .on_headers_complete = on_headers,
                                           .on_body = on_body,
                                           .on_message_complete = on_complete};

void wire_reply_init(struct reply *r, bool head_method, struct buf *body)
{
    *r = (struct reply){.head_method = head_method, .body = body};
    buf_clear(body);
    llhttp_t *h = (llhttp_t *)(void *)r->parser;
    llhttp_init(h, HTTP_RESPONSE, &settings);
    h->data = r;
}

bool wire_reply_feed(struct reply *r, const char *p, size_t n)
{
    llhttp_errno_t e = llhttp_execute((llhttp_t *)(void *)r->parser, p, n);
    return e == HPE_OK || e == HPE_PAUSED;
}

/* ---- XML ---- */

/* The text of the first <name> in s; *rest is what follows it. */
static bool element(struct str s, const char *name, struct str *text, struct str *rest)
{
    char tag[64];
    size_t at, end;
    int n = snprintf(tag, sizeof tag, "<%s>", name);
    if (!str_find(s, str_of(tag, (size_t)n), &at)) return false;
    struct str tail = str_slice(s, at + (size_t)n, s.n);
    n = snprintf(tag, sizeof tag, "</%s>", name);
    if (!str_find(tail, str_of(tag, (size_t)n), &end)) return false;
    *text = str_slice(tail, 0, end);
    if (rest) *rest = str_slice(tail, end, tail.n);
    return true;
}

static void text_of(struct str s, const char *name, char *to, size_t size)
{
    struct str t;
    to[0] = 0;
    if (!element(s, name, &t, NULL)) return;
    size_t quote;
    while (str_find(t, STR("&quot;"), &quote)) t = quote ? str_slice(t, 0, quote) : str_slice(t, 6, t.n);
    if (t.n >= 2 && t.p[0] == '"') t = str_slice(t, 1, t.n - 1);
    snprintf(to, size, "%.*s", STR_FMT(t));
}

static uint64_t number_of(struct str s, const char *name)
{
    char text[24];
    text_of(s, name, text, sizeof text);
    return strtoull(text, NULL, 10);
}

static bool says(struct str s, const char *text)
{
    size_t at;
    return str_find(s, str_c(text), &at);
}

static struct item *next_item(struct answer *a)
{
    ASSERT(a->n < sizeof a->item / sizeof *a->item);
    struct item *i = &a->item[a->n++];
    *i = (struct item){.kind = ITEM_KEY};
    return i;
}

static void read_item(struct answer *a, int kind, struct str s)
{
    struct item *i = next_item(a);
    i->kind = kind;
    text_of(s,
            kind == ITEM_PREFIX   ? "Prefix"
            : kind == ITEM_BUCKET ? "Name"
                                  : "Key",
            i->name, sizeof i->name);
    text_of(s, kind == ITEM_UPLOAD ? "UploadId" : "VersionId", i->id, ID_SIZE);
    text_of(s, "ETag", i->etag, ETAG_SIZE);
    i->size = number_of(s, "Size");
    i->latest = says(s, "<IsLatest>true<");
    i->number = (unsigned)number_of(s, "PartNumber");
}

static void read_items(struct answer *a, const char *name, int kind, struct str s)
{
    struct str text;
    while (element(s, name, &text, &s)) read_item(a, kind, text);
}

/* Versions and markers stand among one another. */
static void read_versions(struct answer *a, struct str s)
{
    for (;;) {
        size_t v = s.n, m = s.n;
        bool version = str_find(s, STR("<Version>"), &v), marker = str_find(s, STR("<DeleteMarker>"), &m);
        struct str text;
        if (!version && !marker) return;
        bool first = v < m;
        ASSERT(element(s, first ? "Version" : "DeleteMarker", &text, &s));
        read_item(a, first ? ITEM_KEY : ITEM_MARKER, text);
    }
}

static void read_many(struct answer *a, const struct op *op, struct str s)
{
    for (unsigned i = 0; i < op->nmany; i++) {
        struct str rest = s, text = STR_NONE;
        char key[64];
        bool found = false;
        a->many[i] = ERR_OK;
        while (!found && element(rest, "Deleted", &text, &rest)) {
            text_of(text, "Key", key, sizeof key);
            found = strcmp(key, key_names[op->many[i]]) == 0;
        }
        if (!found) a->many[i] = ERR_IO; /* else it stands among the errors */
        if (found) text_of(text, "DeleteMarkerVersionId", a->many_version[i], ID_SIZE);
        ASSERT(found || says(s, "<Error>"));
    }
}

/* ---- the answer ---- */

static err error_of(const struct reply *r, struct str s)
{
    char code[64];
    text_of(s, "Code", code, sizeof code);
    for (unsigned e = 1; e < ERR_COUNT; e++)
        if (err_status((err)e) == r->status && (r->head_method || str_eq(err_s3_code((err)e), str_c(code))))
            return (err)e;
    fprintf(stderr, "status %d, code %s\n", r->status, code);
    ASSERT(!"an answer that no row of the table gives");
    return ERR_IO;
}

static void read_list(const struct op *op, struct answer *a, struct str s)
{
    read_items(a, "Contents", ITEM_KEY, s);
    read_items(a, "CommonPrefixes", ITEM_PREFIX, s);
    a->truncated = says(s, "<IsTruncated>true<");
    if (op->kind == OP_LIST_V2) text_of(s, "NextContinuationToken", a->next, sizeof a->next);
}

static void read_document(const struct op *op, struct answer *a, struct str s)
{
    switch (op->kind) {
    case OP_LIST_V1:
    case OP_LIST_V2:
        read_list(op, a, s);
        break;
    case OP_LIST_VERSIONS:
        read_versions(a, s);
        a->truncated = says(s, "<IsTruncated>true<");
        break;
    case OP_LIST_UPLOADS:
        read_items(a, "Upload", ITEM_UPLOAD, s);
        break;
    case OP_LIST_PARTS:
        read_items(a, "Part", ITEM_PART, s);
        break;
    case OP_LIST_BUCKETS:
        read_items(a, "Bucket", ITEM_BUCKET, s);
        break;
    case OP_DELETE_MANY:
        read_many(a, op, s);
        break;
    case OP_GET_VERSIONING:
        a->versioning = says(s, ">Enabled<")     ? VERSIONING_ENABLED
                        : says(s, ">Suspended<") ? VERSIONING_SUSPENDED
                                                 : VERSIONING_OFF;
        break;
    case OP_GET_TAGS:
        a->tag = (unsigned)number_of(s, "Value");
        break;
    case OP_CREATE_UPLOAD:
        text_of(s, "UploadId", a->upload, ID_SIZE);
        break;
    case OP_ATTRIBUTES:
        text_of(s, "ETag", a->etag, ETAG_SIZE);
        a->size = number_of(s, "ObjectSize");
        break;
    case OP_COPY:
    case OP_UPLOAD_PART_COPY:
    case OP_COMPLETE:
        text_of(s, "ETag", a->etag, ETAG_SIZE);
        break;
    default:
        break;
    }
}

void wire_reply_read(const struct reply *r, const struct op *op, struct answer *a)
{
    struct str s = buf_view(r->body);
    bool late = op->kind != OP_GET && op->kind != OP_DELETE_MANY && r->status == 200 && says(s, "<Error>");
    snprintf(a->etag, ETAG_SIZE, "%s", r->etag);
    snprintf(a->version, ID_SIZE, "%s", r->version);
    a->marker = r->marker;
    a->meta = r->meta;
    a->size = r->length;
    if (r->status < 300 && !late) {
        read_document(op, a, s);
        return;
    }
    struct reply as = *r;
    if (late) as.status = 500;
    a->e = error_of(&as, s);
}
