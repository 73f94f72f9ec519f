/* What a client stores with an object: content headers, user metadata, storage class, redirect, tags. */
#include "api/s3/s3.h"

#define USER_PREFIX "x-amz-meta-"
#define TAGS_MAX    10
#define TAG_KEY_MAX 128 /* characters */
#define TAG_VAL_MAX 256

/* What came by query may hold what no header can: stored, it would make an object that nobody can read. */
static bool header_safe(struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = (uint8_t)v.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

/* A token of RFC 9110. */
static bool name_safe(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return name.n > 0;
}

/* ---- content headers ---- */

static bool is_aws_chunked(struct str token)
{
    return str_ieq(str_trim(token), STR("aws-chunked"));
}

/* "aws-chunked" is the transfer's, not the object's: taken out token by token. */
static struct str strip_aws_chunked(struct arena *a, struct str v)
{
    bool found = false;
    for (struct str rest = v; rest.n;) found = is_aws_chunked(str_cut(&rest, ',')) || found;
    if (!found) return v;
    char *to = arena_alloc_raw(a, v.n + 1);
    size_t n = 0;
    if (!to) return STR_NONE;
    while (v.n) {
        struct str token = str_trim(str_cut(&v, ','));
        if (token.n == 0 || is_aws_chunked(token)) continue;
        if (n) to[n++] = ',';
        memcpy(to + n, token.p, token.n);
        n += token.n;
    }
    return str_of(to, n);
}

err s3_read_storage_class(struct api_request *rq, struct str *out)
{
    static const char *const here[] = {"STANDARD",   "REDUCED_REDUNDANCY",  "STANDARD_IA",
                                       "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"};
    static const char *const archives[] = {"GLACIER", "DEEP_ARCHIVE"};
    struct str v = api_header(rq, "x-amz-storage-class");
    *out = STR_NONE;
    if (!v.p) return ERR_OK;
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        if (!str_eq(v, str_c(here[i]))) continue;
        if (i > 0) *out = v;
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof archives / sizeof *archives; i++)
        if (str_eq(v, str_c(archives[i]))) return api_not_there(rq, STR("x-amz-storage-class"));
    api_error_add(rq, "StorageClassRequested", v);
    return ERR_INVALID_STORAGE_CLASS;
}

static err read_redirect(struct api_request *rq, struct str *out)
{
    struct str v = api_header(rq, "x-amz-website-redirect-location");
    *out = v;
    if (!v.p) return ERR_OK;
    bool ok = str_starts(v, STR("/")) || str_starts(v, STR("http://")) || str_starts(v, STR("https://"));
    return ok && v.n <= 2048 && header_safe(v) ? ERR_OK : ERR_INVALID_REDIRECT;
}

/* ---- user metadata ---- */

/* A name may come in several headers: their values are one list. */
static err add_user(struct api_request *rq, struct obj_meta *m, struct str name, struct str value,
                    size_t *bytes)
{
    if (!header_safe(value) || !name_safe(name))
        return api_error(rq, ERR_INVALID_ARGUMENT,
                         "User metadata holds a name or value that no header may have.");
    *bytes += name.n + value.n;
    if (*bytes > OBJ_USER_META_MAX) {
        api_error_add(rq, "Size", arena_fmt(rq->arena, "%zu", *bytes));
        api_error_add(rq, "MaxSizeAllowed", arena_fmt(rq->arena, "%d", OBJ_USER_META_MAX));
        return ERR_METADATA_TOO_LARGE;
    }
    for (size_t i = 0; i < m->nuser; i++) {
        if (!str_eq(m->user[i].name, name)) continue;
        struct str old = m->user[i].value;
        m->user[i].value = arena_fmt(rq->arena, "%.*s,%.*s", STR_FMT(old), STR_FMT(value));
        return ERR_OK;
    }
    m->user[m->nuser++] = (struct obj_pair){name, value};
    return ERR_OK;
}

static struct str lower(struct arena *a, struct str s)
{
    struct str d = arena_dup(a, s);
    for (size_t i = 0; d.p && i < d.n; i++)
        if (d.p[i] >= 'A' && d.p[i] <= 'Z') ((char *)d.p)[i] = (char)(d.p[i] + 32);
    return d;
}

static bool is_user(struct str name)
{
    size_t n = sizeof USER_PREFIX - 1;
    return name.n > n && str_ieq(str_slice(name, 0, n), STR(USER_PREFIX));
}

static err read_user(struct api_request *rq, struct obj_meta *m)
{
    size_t n = 0, bytes = 0, skip = sizeof USER_PREFIX - 1;
    for (size_t i = 0; i < rq->x->nheaders; i++) n += is_user(rq->x->headers[i].name);
    for (size_t i = 0; rq->query_auth && i < rq->nparams; i++) n += is_user(rq->params[i].name);
    if (n == 0) return ERR_OK;
    m->user = ARENA_ARRAY(rq->arena, struct obj_pair, n);
    if (!m->user) return ERR_NO_MEMORY;
    for (size_t i = 0; i < rq->x->nheaders; i++) {
        const struct http_header *h = &rq->x->headers[i];
        if (!is_user(h->name)) continue;
        err e = add_user(rq, m, str_slice(h->name, skip, h->name.n), h->value, &bytes);
        if (e) return e;
    }
    for (size_t i = 0; rq->query_auth && i < rq->nparams; i++) {
        const struct api_param *p = &rq->params[i];
        if (!is_user(p->name)) continue;
        struct str name = lower(rq->arena, str_slice(p->name, skip, p->name.n));
        err e = name.p ? add_user(rq, m, name, p->value, &bytes) : ERR_NO_MEMORY;
        if (e) return e;
    }
    return ERR_OK;
}

/* ---- tags ---- */

static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
    return n;
}

/* Letters, digits and spaces of any script, and + - = . _ : / @. Of ASCII only these; others are taken as
 * letters. */
static bool tag_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum =
            (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (uint8_t)c >= 0x80;
        if (!alnum && !memchr("+-=._:/@ ", c, 9)) return false;
    }
    return true;
}

static err check_tag(struct api_request *rq, const struct obj_meta *m, struct obj_pair t)
{
    const char *why = NULL;
    if (t.name.n == 0 || characters(t.name) > TAG_KEY_MAX || !tag_text(t.name))
        why = "The TagKey you have provided is invalid";
    else if (characters(t.value) > TAG_VAL_MAX || !tag_text(t.value))
        why = "The TagValue you have provided is invalid";
    else if (str_starts(t.name, STR("aws:")))
        why = "System tags cannot be added/updated by requester";
    for (size_t i = 0; i < m->ntags && !why; i++)
        if (str_eq(m->tags[i].name, t.name)) why = "Cannot provide multiple Tags with the same key";
    if (!why) return ERR_OK;
    api_error_add(rq, "TagKey", t.name);
    api_error_add(rq, "TagValue", t.value);
    return api_error(rq, ERR_INVALID_TAG, "%s", why);
}

static void insert_sorted(struct obj_meta *m, struct obj_pair t)
{
    size_t at = m->ntags++;
    for (; at > 0 && str_cmp(m->tags[at - 1].name, t.name) > 0; at--) m->tags[at] = m->tags[at - 1];
    m->tags[at] = t;
}

err s3_add_tag(struct api_request *rq, struct obj_meta *m, struct obj_pair t)
{
    if (!m->tags) m->tags = ARENA_ARRAY(rq->arena, struct obj_pair, TAGS_MAX);
    if (!m->tags) return ERR_NO_MEMORY;
    if (m->ntags == TAGS_MAX)
        return api_error(rq, ERR_BAD_REQUEST, "Object tags cannot be greater than %d", TAGS_MAX);
    err e = check_tag(rq, m, t);
    if (!e) insert_sorted(m, t);
    return e;
}

err s3_read_tags(struct api_request *rq, struct obj_meta *m)
{
    struct str v = api_header(rq, "x-amz-tagging");
    m->tags = NULL;
    m->ntags = 0;
    while (v.n) {
        struct str value = str_cut(&v, '&');
        struct str name = str_cut(&value, '=');
        struct obj_pair t;
        if (!form_decode(rq->arena, name, &t.name) || !form_decode(rq->arena, value, &t.value) ||
            !utf8_valid(t.name) || !utf8_valid(t.value))
            return api_bad_argument(
                rq, "x-amz-tagging", api_header(rq, "x-amz-tagging"),
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
                "parameters without tag name duplicates.");
        err e = s3_add_tag(rq, m, t);
        if (e) return e;
    }
    return ERR_OK;
}

/* ---- all of it ---- */

err s3_read_meta(struct api_request *rq, bool tags, struct obj_meta *m)
{
    *m = (struct obj_meta){
        .content_type = http_header(rq->x, "content-type"),
        .cache_control = http_header(rq->x, "cache-control"),
        .content_disposition = http_header(rq->x, "content-disposition"),
        .content_encoding = strip_aws_chunked(rq->arena, http_header(rq->x, "content-encoding")),
        .content_language = http_header(rq->x, "content-language"),
        .expires = http_header(rq->x, "expires"),
    };
    err e = read_redirect(rq, &m->website_redirect);
    if (!e) e = s3_read_storage_class(rq, &m->storage_class);
    if (!e) e = read_user(rq, m);
    if (!e && tags) e = s3_read_tags(rq, m);
    return e;
}
