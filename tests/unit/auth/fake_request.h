/* A request without a connection, from text: "GET /path?query\nname: value\n…\n\nbody". For tests and fuzz
 * targets. */
#ifndef TESTS_FAKE_REQUEST_H
#define TESTS_FAKE_REQUEST_H

#include "api/api.h"
#include "auth/auth.h"
#include "base/codec.h"
#include "sys/sys.h"

#define FAKE_HEADERS_MAX 200

static inline enum http_method fake_method(struct str m)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};
    for (int i = 0; i < 6; i++)
        if (str_eq(m, str_c(names[i]))) return (enum http_method)i;
    return HTTP_METHOD_OTHER;
}

static inline struct str fake_lower(struct arena *a, struct str s)
{
    struct str d = arena_dup(a, s);
    for (size_t i = 0; i < d.n; i++)
        if (d.p[i] >= 'A' && d.p[i] <= 'Z') ((char *)(uintptr_t)d.p)[i] = (char)(d.p[i] + 32);
    return d;
}

static inline struct http_exchange *fake_exchange(struct arena *a, struct str text)
{
    struct http_exchange *x = ARENA_NEW(a, struct http_exchange);
    struct str rest = arena_dup(a, text), line = str_cut(&rest, '\n');
    x->arena = a;
    x->method_name = str_cut(&line, ' ');
    x->method = fake_method(x->method_name);
    x->target = line;
    x->query = line;
    x->path = str_cut(&x->query, '?');
    if (x->path.n == 0 || x->path.p[0] != '/') x->path = STR("/");
    x->headers = ARENA_ARRAY(a, struct http_header, FAKE_HEADERS_MAX);
    x->content_length = -1;
    x->id = STR("0123456789ABCDEF");
    while (rest.n && x->nheaders < FAKE_HEADERS_MAX) {
        line = str_cut(&rest, '\n');
        if (line.n == 0) break;
        struct str value = line, name = fake_lower(a, str_cut(&value, ':'));
        x->headers[x->nheaders++] = (struct http_header){name, str_trim(value)};
    }
    x->host = http_header(x, "host");
    if (!str_to_i64(http_header(x, "content-length"), &x->content_length)) x->content_length = -1;
    x->has_body = rest.n > 0;
    x->body = body_of_bytes(a, rest.p ? rest : STR(""));
    return x;
}

/* As api does it before auth_who, but for the path: its bucket and key are nothing to auth. */
static inline struct api_request *fake_request(struct arena *a, struct str text)
{
    struct api_request *rq = ARENA_NEW(a, struct api_request);
    struct str rest;
    rq->x = fake_exchange(a, text);
    rq->arena = a;
    rq->op = API_OPS;
    rq->dialect = API_S3;
    rq->body = rq->x->body;
    rq->payload_length = rq->x->content_length;
    rq->params = ARENA_ARRAY(a, struct api_param, 100);
    rest = rq->x->query;
    while (rest.n && rq->nparams < 100) {
        struct str value = str_cut(&rest, '&'), name;
        if (value.n == 0) continue;
        name = str_cut(&value, '=');
        struct api_param *p = &rq->params[rq->nparams];
        p->has_value = value.p != NULL;
        if (!form_decode(a, name, &p->name)) continue;
        if (p->has_value && !form_decode(a, value, &p->value)) continue;
        rq->nparams++;
        if (str_eq(p->name, STR("X-Amz-Signature"))) rq->query_auth = true;
    }
    return rq;
}

/* ---- a clock that stands ---- */
static int64_t fake_now;
static struct sys_ops fake_sys;

static inline int64_t fake_real_ms(void)
{
    return fake_now;
}

static inline void fake_clock(int64_t ms)
{
    fake_now = ms;
    fake_sys = sys_real;
    fake_sys.real_ms = fake_real_ms;
    sys = &fake_sys;
}

/* ---- the credentials of AWS's documentation ---- */
#define EXAMPLE_ACCESS "AKIAIOSFODNN7EXAMPLE"
#define EXAMPLE_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EXAMPLE_NOW    INT64_C(1369353600000) /* 2013-05-24T00:00:00Z */

static inline struct auth *fake_auth(void)
{
    struct auth_key k = {.access_key = STR(EXAMPLE_ACCESS),
                         .secret_key = STR(EXAMPLE_SECRET),
                         .who = {.canonical_id = STR("c1"),
                                 .display_name = STR("root"),
                                 .account = STR("000000000001"),
                                 .root = true}};
    struct auth_options o = {.keys = &k, .nkeys = 1, .region = STR("us-east-1")};
    struct auth *a = NULL;
    return auth_new(&o, &a) ? NULL : a;
}

#endif
