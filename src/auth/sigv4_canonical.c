/* The canonical request of SigV4 as S3 reads it: the path encoded once and never normalised, the query sorted
 * by its encoded bytes, header values trimmed with runs of blanks made one.
 *
 * Path and query are re-encoded from the raw target, byte by byte, so that "(" and "%28" sign alike. One
 * buffer from the arena holds it all; its size is known before, because an encoded byte takes three at most.
 */
#include "auth/internal.h"
#include "base/assert.h"
#include "base/codec.h"

#include <stdlib.h>

struct out {
    char *p, *end;
};

static void put(struct out *o, struct str s)
{
    ASSERT(s.n <= (size_t)(o->end - o->p));
    if (s.n) memcpy(o->p, s.p, s.n);
    o->p += s.n;
}

static void put_char(struct out *o, char c)
{
    ASSERT(o->p < o->end);
    *o->p++ = c;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

static bool unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

/* Decode one escape at a time and encode what it stands for. The router refused broken escapes before. */
static void put_encoded(struct out *o, struct str s, bool path)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%' && s.n - i > 2 && digit(s.p[i + 1]) >= 0 && digit(s.p[i + 2]) >= 0) {
            c = (char)(digit(s.p[i + 1]) << 4 | digit(s.p[i + 2]));
            i += 2;
        } else if (c == '+' && !path) {
            c = ' ';
        }
        if (unreserved(c) || (path && c == '/')) {
            put_char(o, c);
        } else {
            put_char(o, '%');
            put_char(o, hex[(uint8_t)c >> 4]);
            put_char(o, hex[(uint8_t)c & 15]);
        }
    }
}

/* ---- query ---- */

struct pair {
    struct str name, value; /* encoded */
};

static int pair_cmp(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    return c ? c : str_cmp(x->value, y->value);
}

static struct str encode_piece(struct out *o, struct str raw)
{
    char *from = o->p;
    put_encoded(o, raw, false);
    return str_of(from, (size_t)(o->p - from));
}

static void put_query(struct out *o, struct out *scratch, struct str raw, struct pair *pairs)
{
    size_t n = 0;
    while (raw.n) {
        struct str value = str_cut(&raw, '&');
        if (value.n == 0) continue;
        struct str name = str_cut(&value, '=');
        struct pair p = {encode_piece(scratch, name), encode_piece(scratch, value)};
        if (!str_eq(p.name, STR("X-Amz-Signature"))) pairs[n++] = p;
    }
    qsort(pairs, n, sizeof *pairs, pair_cmp);
    for (size_t i = 0; i < n; i++) {
        if (i) put_char(o, '&');
        put(o, pairs[i].name);
        put_char(o, '=');
        put(o, pairs[i].value);
    }
}

/* ---- headers ---- */

static void put_collapsed(struct out *o, struct str v)
{
    v = str_trim(v);
    for (size_t i = 0; i < v.n; i++) {
        bool blank = v.p[i] == ' ' || v.p[i] == '\t';
        if (blank && i > 0 && (v.p[i - 1] == ' ' || v.p[i - 1] == '\t')) continue;
        put_char(o, blank ? ' ' : v.p[i]);
    }
}

/* All values of that name, in order, joined by commas. The host is the one that the request was routed by. */
static void put_header(struct out *o, const struct http_exchange *x, struct str name)
{
    put(o, name);
    put_char(o, ':');
    if (str_eq(name, STR("host"))) {
        put_collapsed(o, x->host);
    } else {
        bool more = false;
        for (size_t i = 0; i < x->nheaders; i++) {
            if (!str_eq(x->headers[i].name, name)) continue;
            if (more) put_char(o, ',');
            put_collapsed(o, x->headers[i].value);
            more = true;
        }
    }
    put_char(o, '\n');
}

/* A name may stand only once in the list, so that the size below is a bound. */
static bool seen_before(struct str list, const char *upto, struct str name)
{
    struct str rest = str_of(list.p, (size_t)(upto - list.p));
    while (rest.n)
        if (str_eq(str_cut(&rest, ';'), name)) return true;
    return false;
}

static void put_headers(struct out *o, const struct http_exchange *x, struct str signed_headers)
{
    struct str rest = signed_headers;
    while (rest.n) {
        struct str name = str_cut(&rest, ';');
        if (!seen_before(signed_headers, name.p, name)) put_header(o, x, name);
    }
}

/* As many as the query can have; the router refused more than some. */
static size_t pieces(struct str query)
{
    size_t n = 1;
    for (size_t i = 0; i < query.n; i++) n += query.p[i] == '&';
    return n;
}

static size_t bound(const struct api_request *rq, const struct sigv4 *s)
{
    const struct http_exchange *x = rq->x;
    size_t n = x->method_name.n + 3 * x->path.n + 4 * x->query.n + 2 * s->signed_headers.n + s->payload.n +
               x->host.n;
    for (size_t i = 0; i < x->nheaders; i++) n += x->headers[i].value.n + 2;
    for (size_t i = 0; i < s->signed_headers.n; i++) n += s->signed_headers.p[i] == ';' ? 2 : 0;
    return n + 64;
}

struct str sigv4_canonical(const struct api_request *rq, const struct sigv4 *s)
{
    const struct http_exchange *x = rq->x;
    size_t size = bound(rq, s), scratch_size = 3 * x->query.n;
    char *p = arena_alloc_raw(rq->arena, size);
    char *q = scratch_size ? arena_alloc_raw(rq->arena, scratch_size) : p;
    struct pair *pairs = ARENA_ARRAY(rq->arena, struct pair, pieces(x->query));
    if (!p || !q || !pairs) return STR_NONE;
    struct out o = {p, p + size}, scratch = {q, q + scratch_size};
    put(&o, x->method_name);
    put_char(&o, '\n');
    put_encoded(&o, x->path, true);
    put_char(&o, '\n');
    put_query(&o, &scratch, x->query, pairs);
    put_char(&o, '\n');
    put_headers(&o, x, s->signed_headers);
    put_char(&o, '\n');
    put(&o, s->signed_headers);
    put_char(&o, '\n');
    put(&o, s->payload);
    return str_of(p, (size_t)(o.p - p));
}

struct str sigv4_string_to_sign(struct arena *a, const struct sigv4 *s, struct str canonical)
{
    struct hash_value h;
    char hex[SIGV4_SIG_SIZE + 1];
    hash_once(HASH_SHA256, canonical.p, canonical.n, &h);
    hex_encode(h.b, 32, hex);
    size_t size = sizeof SIGV4_ALGORITHM + sizeof s->date + s->scope.n + SIGV4_SIG_SIZE + 2;
    char *p = arena_alloc_raw(a, size);
    if (!p) return STR_NONE;
    struct out o = {p, p + size};
    put(&o, STR(SIGV4_ALGORITHM "\n"));
    put(&o, str_c(s->date));
    put_char(&o, '\n');
    put(&o, s->scope);
    put_char(&o, '\n');
    put(&o, str_of(hex, SIGV4_SIG_SIZE));
    return str_of(p, (size_t)(o.p - p));
}
