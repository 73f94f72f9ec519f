#include "auth/awschunked.h"
#include "base/assert.h"
#include "base/codec.h"
#include "base/list.h"

#include <openssl/crypto.h>

#define SIG_SIZE 64
static const char empty_sha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

enum state {
    CHUNK_LINE, /* size and signature */
    CHUNK_DATA,
    CHUNK_CR, /* behind the data */
    CHUNK_LF,
    TRAILERS, /* lines up to the empty one */
    REST,     /* nothing may follow */
    DONE
};

struct awschunked {
    struct body b;
    struct awschunked_in in;
    enum state state;
    err failed;
    struct str view;          /* of inner, not used yet */
    uint64_t left;            /* of this chunk */
    uint64_t passed;          /* decoded bytes of all chunks begun */
    bool small;               /* the chunk before was below the minimum: it must have been the last */
    struct hash_set *sha;     /* of this chunk, signed forms */
    char signature[SIG_SIZE]; /* of this chunk, as sent */
    char previous[SIG_SIZE];  /* chained into the next string to sign */
    char line[AWSCHUNKED_LINE_MAX];
    size_t line_n;
    char trailers[AWSCHUNKED_TRAILER_MAX]; /* canonical, "name:value\n" each: what is signed */
    size_t trailers_n;
    struct str trailer_value; /* in trailers */
    bool trailer_signed;
    bool blank; /* the one empty line that may stand before the trailers' signature */
    char date[32], scope[128];
};

/* ---- signatures ---- */

static void put(char **to, struct str s)
{
    memcpy(*to, s.p, s.n);
    *to += s.n;
}

/* HMAC over "<kind>\n<date>\n<scope>\n<previous>\n<hashes>" against `given`, which becomes the previous one.
 */
static err check_signature(struct awschunked *c, struct str kind, const char *empty_hash,
                           const struct hash_value *sha, struct str given)
{
    char text[512], hex[SIG_SIZE + 1], *to = text;
    uint8_t mac[32];
    put(&to, kind);
    *to++ = '\n';
    put(&to, c->in.date);
    *to++ = '\n';
    put(&to, c->in.scope);
    *to++ = '\n';
    put(&to, str_of(c->previous, SIG_SIZE));
    *to++ = '\n';
    if (empty_hash) {
        put(&to, str_of(empty_hash, SIG_SIZE));
        *to++ = '\n';
    }
    hex_encode(sha->b, 32, hex);
    put(&to, str_of(hex, SIG_SIZE));
    hmac_sha256(str_of((char *)c->in.key, sizeof c->in.key), str_of(text, (size_t)(to - text)), mac);
    hex_encode(mac, sizeof mac, hex);
    if (!str_eq_secret(str_of(hex, SIG_SIZE), given)) return ERR_SIGNATURE_MISMATCH;
    memcpy(c->previous, hex, SIG_SIZE);
    return ERR_OK;
}

static err begin_hash(struct awschunked *c)
{
    if (!c->in.has_signatures) return ERR_OK;
    c->sha = hash_set_new(HASH_BIT(HASH_SHA256));
    return c->sha ? ERR_OK : ERR_NO_MEMORY;
}

static err end_chunk(struct awschunked *c)
{
    if (!c->in.has_signatures) return ERR_OK;
    struct hash_value sha;
    hash_set_final(c->sha, HASH_SHA256, &sha);
    hash_set_free(c->sha);
    c->sha = NULL;
    return check_signature(c, STR("AWS4-HMAC-SHA256-PAYLOAD"), empty_sha256, &sha,
                           str_of(c->signature, SIG_SIZE));
}

/* ---- lines ---- */

/* Moves bytes of the view into the line until its LF. *whole: the line is complete, without its CR LF. */
static err take_line(struct awschunked *c, bool lone_lf, struct str *line, bool *whole)
{
    *whole = false;
    while (c->view.n) {
        char ch = c->view.p[0];
        c->view = str_slice(c->view, 1, c->view.n);
        if (ch == '\n') {
            size_t n = c->line_n;
            if (n && c->line[n - 1] == '\r')
                n--;
            else if (!lone_lf)
                return ERR_INVALID_REQUEST;
            *line = str_of(c->line, n);
            c->line_n = 0;
            *whole = true;
            return ERR_OK;
        }
        if (c->line_n == sizeof c->line) return ERR_INVALID_REQUEST;
        c->line[c->line_n++] = ch;
    }
    return ERR_OK;
}

static bool parse_size(struct str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0 || s.n > 16) return false;
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        unsigned d;
        if (ch >= '0' && ch <= '9')
            d = (unsigned)(ch - '0');
        else if ((ch | 32) >= 'a' && (ch | 32) <= 'f')
            d = (unsigned)((ch | 32) - 'a' + 10);
        else
            return false;
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

static bool is_signature(struct str s)
{
    uint8_t raw[32];
    return hex_decode(s, raw, sizeof raw);
}

static err chunk_line(struct awschunked *c, struct str line)
{
    struct str ext = line, size = str_cut(&ext, ';');
    uint64_t n;
    if (!parse_size(size, &n)) return ERR_INVALID_REQUEST;
    if (c->in.has_signatures) {
        if (!str_starts(ext, STR("chunk-signature="))) return ERR_SIGNATURE_MISMATCH;
        struct str sig = str_slice(ext, 16, ext.n);
        if (!is_signature(sig)) return ERR_SIGNATURE_MISMATCH;
        memcpy(c->signature, sig.p, SIG_SIZE);
    } else if (ext.p) {
        return ERR_INVALID_REQUEST;
    }
    if (n > c->in.decoded_length - c->passed) return ERR_INCOMPLETE_BODY;
    if (n > 0 && c->small) return ERR_INVALID_CHUNK_SIZE;
    c->small = n < AWSCHUNKED_MIN;
    c->left = n;
    c->passed += n;
    err e = begin_hash(c);
    if (e || n > 0) {
        c->state = CHUNK_DATA;
        return e;
    }
    if (c->passed != c->in.decoded_length) return ERR_INCOMPLETE_BODY;
    c->state = TRAILERS;
    return end_chunk(c);
}

/* ---- trailers ---- */

static bool trailer_name_ok(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char ch = name.p[i];
        if (!((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-')) return false;
    }
    return name.n > 0;
}

static err trailer_signature(struct awschunked *c, struct str given)
{
    struct hash_value sha;
    if (!is_signature(given)) return ERR_SIGNATURE_MISMATCH;
    hash_once(HASH_SHA256, c->trailers, c->trailers_n, &sha);
    err e = check_signature(c, STR("AWS4-HMAC-SHA256-TRAILER"), NULL, &sha, given);
    c->trailer_signed = !e;
    return e;
}

static err trailer_line(struct awschunked *c, struct str line)
{
    char lower[AWSCHUNKED_LINE_MAX];
    struct str value = line, raw = str_cut(&value, ':');
    if (!value.p || !c->in.has_trailers || c->trailer_signed) return ERR_MALFORMED_TRAILER;
    for (size_t i = 0; i < raw.n; i++)
        lower[i] = raw.p[i] >= 'A' && raw.p[i] <= 'Z' ? (char)(raw.p[i] + 32) : raw.p[i];
    struct str name = str_of(lower, raw.n);
    value = str_trim(value);
    if (!trailer_name_ok(name)) return ERR_MALFORMED_TRAILER;
    if (c->in.has_signatures && str_eq(name, STR("x-amz-trailer-signature")))
        return trailer_signature(c, value);
    if (!str_eq(name, c->in.trailer_name) || c->trailer_value.p) return ERR_MALFORMED_TRAILER;
    if (name.n + value.n + 2 > sizeof c->trailers - c->trailers_n) return ERR_MALFORMED_TRAILER;
    char *to = c->trailers + c->trailers_n;
    put(&to, name);
    *to++ = ':';
    c->trailer_value = str_of(to, value.n);
    put(&to, value);
    *to++ = '\n';
    c->trailers_n = (size_t)(to - c->trailers);
    return ERR_OK;
}

/* The empty line. Some clients end the last trailer by "\n\r\n", which shows as one more empty line before
 * the signature. */
static err trailers_end(struct awschunked *c)
{
    if (c->in.has_trailers && c->in.has_signatures && !c->trailer_signed) {
        bool again = c->blank;
        c->blank = true;
        if (c->trailer_value.p && !again) return ERR_OK;
        if (c->in.trailer_name.n) return ERR_MALFORMED_TRAILER;
    }
    if (c->in.trailer_name.n && !c->trailer_value.p) return ERR_MALFORMED_TRAILER;
    c->state = REST;
    return ERR_OK;
}

/* ---- the filter ---- */

static err data_view(struct awschunked *c, struct str *out)
{
    size_t n = c->view.n < c->left ? c->view.n : (size_t)c->left;
    *out = str_of(c->view.p, n);
    c->view = str_slice(c->view, n, c->view.n);
    c->left -= n;
    if (c->in.has_signatures) hash_set_update(c->sha, out->p, n);
    if (c->left > 0) return ERR_OK;
    c->state = CHUNK_CR;
    return end_chunk(c);
}

static err step(struct awschunked *c)
{
    struct str line;
    bool whole;
    switch (c->state) {
    case CHUNK_LINE: {
        err e = take_line(c, false, &line, &whole);
        return e || !whole ? e : chunk_line(c, line);
    }
    case CHUNK_CR:
    case CHUNK_LF:
        if (c->view.p[0] != (c->state == CHUNK_CR ? '\r' : '\n')) return ERR_INVALID_REQUEST;
        c->view = str_slice(c->view, 1, c->view.n);
        c->state = c->state == CHUNK_CR ? CHUNK_LF : CHUNK_LINE;
        return ERR_OK;
    case TRAILERS: {
        err e = take_line(c, true, &line, &whole);
        if (e) return ERR_MALFORMED_TRAILER;
        if (!whole) return ERR_OK;
        return line.n ? trailer_line(c, line) : trailers_end(c);
    }
    case REST:
        return ERR_INVALID_REQUEST;
    case CHUNK_DATA:
    case DONE:
        break;
    }
    UNREACHABLE();
}

static err advance(struct awschunked *c, struct str *out)
{
    while (c->state != DONE) {
        if (c->view.n == 0) {
            err e = body_next(c->b.inner, &c->view);
            if (e) return e;
            if (c->view.n == 0) {
                if (c->state == TRAILERS && c->blank) return ERR_MALFORMED_TRAILER; /* no signature came */
                if (c->state != REST) return ERR_INCOMPLETE_BODY;
                c->state = DONE;
                break;
            }
        }
        if (c->state == CHUNK_DATA) return data_view(c, out);
        err e = step(c);
        if (e) return e;
    }
    *out = STR_NONE;
    return ERR_OK;
}

static err chunked_next(struct body *b, struct str *out)
{
    struct awschunked *c = CONTAINER(b, struct awschunked, b);
    *out = STR_NONE;
    if (!c->failed) c->failed = advance(c, out);
    if (c->failed) *out = STR_NONE;
    return c->failed;
}

static void chunked_close(struct body *b)
{
    struct awschunked *c = CONTAINER(b, struct awschunked, b);
    if (c->sha) hash_set_free(c->sha);
    c->sha = NULL;
    OPENSSL_cleanse(c->in.key, sizeof c->in.key);
    if (!c->failed && c->state != DONE) c->failed = ERR_CLOSED;
}

static const struct body_ops chunked_ops = {"aws-chunked", chunked_next, chunked_close, NULL};

static struct str keep(char *to, size_t cap, struct str s)
{
    ASSERT(s.n <= cap);
    if (s.n) memcpy(to, s.p, s.n);
    return str_of(to, s.n);
}

struct awschunked *awschunked_new(struct arena *a, struct body *inner, const struct awschunked_in *in)
{
    struct awschunked *c = ARENA_NEW(a, struct awschunked);
    if (!c) return NULL;
    c->b = (struct body){.ops = &chunked_ops, .inner = inner, .length = (int64_t)in->decoded_length};
    c->in = *in;
    if (in->has_signatures) {
        c->in.date = keep(c->date, sizeof c->date, in->date);
        c->in.scope = keep(c->scope, sizeof c->scope, in->scope);
        ASSERT(in->seed.n == SIG_SIZE);
        memcpy(c->previous, in->seed.p, SIG_SIZE);
    }
    return c;
}

struct body *awschunked_body(struct awschunked *c)
{
    return &c->b;
}

struct str awschunked_trailer(const struct awschunked *c)
{
    return c->state == DONE && !c->failed ? c->trailer_value : STR_NONE;
}
