#include "http/head.h"
#include <llhttp.h>

bool head_is_token(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/* ---- finding the end ---- */

/* One line without its LF. true: it ended the section. */
static bool scan_line(struct head_scan *s, const char *line, size_t n, unsigned max_fields, err *why)
{
    *why = ERR_BAD_REQUEST;
    if (n == 0 || line[n - 1] != '\r') return true; /* a bare LF */
    n--;
    if (memchr(line, '\r', n) || memchr(line, 0, n)) return true;
    if (n > 0 && (line[0] == ' ' || line[0] == '\t')) return true; /* a folded line */
    if (n > 0 && s->lines == 0 && !head_is_token((unsigned char)line[0])) return true;
    *why = ERR_OK;
    if (n == 0) return s->lines > 0;
    if (++s->lines > max_fields + 1) *why = ERR_HEADERS_TOO_LARGE;
    return *why != ERR_OK;
}

enum head_step head_scan(struct head_scan *s, const char *p, size_t n, size_t max_bytes, unsigned max_fields,
                         size_t *end, err *why)
{
    *why = ERR_OK;
    const char *lf;
    while (s->seen < n && (lf = memchr(p + s->seen, '\n', n - s->seen)) != NULL) {
        size_t at = (size_t)(lf - p);
        bool stop = scan_line(s, p + s->line, at - s->line, max_fields, why);
        s->seen = s->line = at + 1;
        if (s->line > max_bytes) *why = ERR_HEADERS_TOO_LARGE;
        if (*why) return HEAD_BAD;
        if (stop) {
            *end = s->line;
            return HEAD_DONE;
        }
        /* RFC 9112 2.2: a server ignores an empty line before the request line. */
        if (s->lines == 0) s->start = s->line;
    }
    s->seen = n;
    if (n >= max_bytes) {
        *why = ERR_HEADERS_TOO_LARGE;
        return HEAD_BAD;
    }
    /* What cannot become a request, TLS on a plain port for one, is not waited for. */
    if (s->lines == 0 && n > s->line && p[s->line] != '\r' && !head_is_token((unsigned char)p[s->line])) {
        *why = ERR_BAD_REQUEST;
        return HEAD_BAD;
    }
    return HEAD_MORE;
}

/* ---- the fields, as llhttp hands them over ---- */
struct parse {
    struct head *h;
    size_t cap; /* of h->headers */
    bool full;
    bool done;
};

/* llhttp may hand a value over in pieces: they adjoin, for the section is one piece of memory. */
static void extend(struct str *s, const char *at, size_t n)
{
    if (!s->p) s->p = at;
    s->n = (size_t)(at + n - s->p);
}

static int on_url(llhttp_t *l, const char *at, size_t n)
{
    struct parse *ps = l->data;
    extend(&ps->h->target, at, n);
    return 0;
}

static int on_field(llhttp_t *l, const char *at, size_t n)
{
    struct parse *ps = l->data;
    if (ps->h->nheaders == ps->cap) {
        ps->full = true;
        return -1;
    }
    extend(&ps->h->headers[ps->h->nheaders].name, at, n);
    return 0;
}

static int on_value(llhttp_t *l, const char *at, size_t n)
{
    struct parse *ps = l->data;
    extend(&ps->h->headers[ps->h->nheaders].value, at, n);
    return 0;
}

static int on_value_complete(llhttp_t *l)
{
    struct parse *ps = l->data;
    struct http_header *f = &ps->h->headers[ps->h->nheaders++];
    if (f->name.n == 0) return -1; /* llhttp lets ": value" pass */
    f->value = f->value.p ? str_trim(f->value) : STR("");
    return 0;
}

static int on_headers_complete(llhttp_t *l)
{
    struct parse *ps = l->data;
    ps->done = true;
    return HPE_PAUSED; /* bodies are framed by reqbody.c */
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
};

/* ---- llhttp over the section ---- */
static bool is_known_method(struct str m)
{
    static const struct str known[] = {{"GET", 3},  {"HEAD", 4},   {"PUT", 3},
                                       {"POST", 4}, {"DELETE", 6}, {"OPTIONS", 7}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(m, known[i])) return true;
    return false;
}

static err run_llhttp(struct parse *ps, const char *p, size_t n)
{
    llhttp_t l;
    llhttp_init(&l, HTTP_REQUEST, &settings);
    l.data = ps;
    llhttp_errno_t e = HPE_OK;
    size_t skip = 0;
    if (!is_known_method(ps->h->method)) {
        /* llhttp has a fixed list of methods, some with a grammar of their own. Any token is a method here,
         * and all have the grammar of GET: the layer above says what is allowed. */
        skip = ps->h->method.n;
        e = llhttp_execute(&l, "GET", 3);
    }
    if (e == HPE_OK) e = llhttp_execute(&l, p + skip, n - skip);
    ps->h->minor = l.http_minor;
    if (e == HPE_PAUSED && ps->done && l.error_pos == p + n && l.http_major == 1 && l.http_minor <= 1)
        return ERR_OK;
    if (ps->full) return ERR_HEADERS_TOO_LARGE;
    if (e == HPE_INVALID_URL) return ERR_INVALID_URI;
    if (e == HPE_INVALID_TRANSFER_ENCODING && !(l.flags & F_CONTENT_LENGTH)) return ERR_NOT_IMPLEMENTED;
    return ERR_BAD_REQUEST;
}

/* ---- what the fields mean ---- */

/* Digits alone, and below 2^63. */
static err take_content_length(struct head *h, struct str v)
{
    uint64_t n;
    if (h->content_length >= 0 || !str_to_u64(v, &n) || n > INT64_MAX) return ERR_BAD_REQUEST;
    h->content_length = (int64_t)n;
    return ERR_OK;
}

static err take_transfer_encoding(struct head *h, struct str v)
{
    if (h->minor == 0 || h->chunked) return ERR_BAD_REQUEST;
    if (!str_ieq(v, STR("chunked"))) return ERR_NOT_IMPLEMENTED;
    h->chunked = true;
    return ERR_OK;
}

static void take_connection(struct head *h, struct str v, bool *close)
{
    while (v.p) {
        struct str token = str_trim(str_cut(&v, ','));
        if (str_ieq(token, STR("close"))) *close = true;
        if (h->minor == 0 && str_ieq(token, STR("keep-alive"))) h->keep_alive = true;
    }
}

static bool valid_authority(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("/?#@\\,<>\"{}|^`", c)) return false;
    }
    return true;
}

static void lower(struct str s)
{
    char *p = (char *)(uintptr_t)s.p; /* the section is the caller's, and writable */
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z') p[i] |= 0x20;
}

static err take_fields(struct head *h)
{
    bool close = false;
    for (size_t i = 0; i < h->nheaders; i++) {
        struct str name = h->headers[i].name, v = h->headers[i].value;
        err e = ERR_OK;
        lower(name);
        if (str_eq(name, STR("host"))) {
            if (h->host.p || !valid_authority(v)) e = ERR_BAD_REQUEST;
            h->host = v;
        } else if (str_eq(name, STR("content-length"))) {
            e = take_content_length(h, v);
        } else if (str_eq(name, STR("transfer-encoding"))) {
            e = take_transfer_encoding(h, v);
        } else if (str_eq(name, STR("connection"))) {
            take_connection(h, v, &close);
        } else if (str_eq(name, STR("expect"))) {
            h->expect_continue = h->minor > 0 && str_ieq(v, STR("100-continue"));
        }
        if (e) return e;
    }
    if (h->chunked && h->content_length >= 0) return ERR_BAD_REQUEST;
    if (h->minor > 0 && !h->host.p) return ERR_BAD_REQUEST;
    if (close) h->keep_alive = false;
    return ERR_OK;
}

/* ---- the target ---- */
static bool cut_scheme(struct str *s)
{
    static const struct str schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (!str_ieq(str_slice(*s, 0, schemes[i].n), schemes[i])) continue;
        *s = str_slice(*s, schemes[i].n, s->n);
        return true;
    }
    return false;
}

/* Origin-form, absolute-form (whose authority replaces Host: RFC 9112 3.2.2) or "*" of OPTIONS. */
static err split_target(struct head *h)
{
    struct str t = h->target;
    h->path = STR("/");
    if (t.n == 0 || memchr(t.p, '#', t.n)) return ERR_INVALID_URI;
    if (str_eq(t, STR("*"))) return str_eq(h->method, STR("OPTIONS")) ? ERR_OK : ERR_INVALID_URI;
    if (t.p[0] != '/') {
        if (!cut_scheme(&t)) return ERR_INVALID_URI;
        size_t n = 0;
        while (n < t.n && t.p[n] != '/' && t.p[n] != '?') n++;
        h->host = str_slice(t, 0, n);
        if (n == 0 || !valid_authority(h->host)) return ERR_INVALID_URI;
        t = str_slice(t, n, t.n);
    }
    struct str path = str_cut(&t, '?');
    if (path.n > 0) h->path = path;
    h->query = t;
    return ERR_OK;
}

err head_parse(struct arena *a, char *p, size_t n, unsigned lines, struct head *out)
{
    *out = (struct head){.content_length = -1, .path = STR("/"), .minor = 1};
    size_t m = 0;
    while (m < n && head_is_token((unsigned char)p[m])) m++;
    if (m == 0 || m > 64 || m == n || p[m] != ' ') return ERR_BAD_REQUEST;
    out->method = str_of(p, m);

    struct parse ps = {.h = out, .cap = lines};
    out->headers = ARENA_ARRAY(a, struct http_header, ps.cap);
    if (!out->headers) return ERR_NO_MEMORY;
    err e = run_llhttp(&ps, p, n);
    out->keep_alive = out->minor > 0;
    err te = out->target.p ? split_target(out) : ERR_BAD_REQUEST;
    struct str authority = out->host;
    out->host = STR_NONE;
    if (!e) e = take_fields(out);
    if (!e) e = te;
    if (authority.p) out->host = authority;
    return e;
}
