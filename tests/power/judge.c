#include "power/judge_int.h"
#include "rt/rt.h"

#include <openssl/evp.h>
#include <stdarg.h>

#define FINDINGS_SHOWN 20

void judge_say(struct judge *j, const char *fmt, ...)
{
    va_list ap;
    if (j->findings++ >= FINDINGS_SHOWN) return;
    va_start(ap, fmt);
    fputs("    ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* ---- reading ---- */

static err digest_body(struct body *body, char hex[DIGEST_TEXT])
{
    unsigned char sum[32];
    struct str v;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (!c || !EVP_DigestInit_ex(c, EVP_sha256(), NULL)) abort();
    err e;
    while (!(e = body_next(body, &v)) && v.n > 0)
        if (!EVP_DigestUpdate(c, v.p, v.n)) abort();
    if (!EVP_DigestFinal_ex(c, sum, NULL)) abort();
    EVP_MD_CTX_free(c);
    for (size_t i = 0; i < sizeof sum; i++) snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return e;
}

err judge_digest(struct judge *j, const char *bucket, struct str key, struct str version,
                 char hex[DIGEST_TEXT], struct obj_info *info)
{
    struct obj_get_in in = {.bucket = str_c(bucket), .key = key, .version_id = version};
    struct obj_get_out out;
    hex[0] = '\0';
    err e = obj_get(j->objects, j->a, &in, &out);
    if (e) return e;
    *info = out.info;
    e = digest_body(out.body, hex);
    body_close(out.body);
    return e;
}

struct judge_list judge_list(struct judge *j, const char *bucket, bool versions)
{
    struct judge_list l = {0};
    struct obj_list_in in = {.bucket = str_c(bucket), .max = 1000, .versions = versions};
    struct obj_list_out out = {.truncated = true};
    while (out.truncated) {
        err e = obj_list(j->objects, j->a, &in, &out);
        struct obj_entry *v = e ? NULL : ARENA_ARRAY(j->a, struct obj_entry, l.n + out.n + 1);
        if (!v) {
            judge_say(j, "%s cannot be listed: %s", bucket, err_name(e ? e : ERR_NO_MEMORY));
            break;
        }
        if (l.n) memcpy(v, l.v, l.n * sizeof *v);
        if (out.n) memcpy(v + l.n, out.items, out.n * sizeof *v);
        l.v = v;
        l.n += out.n;
        in.after = out.next_key;
        in.after_version = out.next_version;
    }
    l.known = arena_alloc(j->a, l.n + 1);
    return l;
}

void judge_leftover(struct judge *j, const char *bucket, const struct judge_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (!l->known[i])
            judge_say(j, "%s/%.*s %.*s is listed, and nobody made it", bucket, STR_FMT(l->v[i].key),
                      STR_FMT(l->v[i].version_id));
}

/* ---- a bucket ---- */

static bool bucket_missing(struct judge *j, size_t from, size_t to)
{
    const struct op *v = j->o->history->v;
    struct bucket_info b;
    err e = bucket_get(j->objects, j->a, str_c(v[from].bucket), &b);
    if (!e) return false;
    for (size_t i = from; i < to; i++)
        if (history_at(&v[i], j->o->cut) == OP_DONE) {
            judge_say(j, "bucket %s was acknowledged and is not there: %s", v[i].bucket, err_name(e));
            return true;
        }
    return true;
}

static size_t bucket_end(const struct history *h, size_t from)
{
    size_t i = from;
    while (i < h->n && strcmp(h->v[i].bucket, h->v[from].bucket) == 0) i++;
    return i;
}

static bool has_versions(const struct history *h, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (h->v[i].kind == OP_VPUT) return true;
    return false;
}

static void look_at_bucket(struct judge *j, size_t from, size_t to)
{
    const struct history *h = j->o->history;
    if (bucket_missing(j, from, to)) return;
    bool versions = has_versions(h, from, to);
    struct judge_list l = judge_list(j, h->v[from].bucket, versions);
    for (size_t i = from; i < to;) {
        size_t end = history_key_end(h, i);
        if (!h->v[i].key[0]) {
            i = end; /* the bucket's own */
            continue;
        }
        if (versions)
            judge_versions(j, i, end, &l);
        else
            judge_key(j, i, end, &l);
        judge_uploads(j, i, end);
        i = end;
    }
    judge_leftover(j, h->v[from].bucket, &l);
}

/* ---- it goes on ---- */

static void write_probe(struct judge *j, const char *bucket, const char *key, size_t n)
{
    char *p = arena_alloc_raw(j->a, n);
    if (!p) abort();
    for (size_t i = 0; i < n; i++) p[i] = (char)(i * 31 + i / 251);
    struct obj_put_in in = {
        .bucket = str_c(bucket), .key = str_c(key), .owner = STR("probe"), .size = (int64_t)n};
    struct obj_info info;
    struct body *want = body_of_bytes(j->a, str_of(p, n));
    char wrote[DIGEST_TEXT], read[DIGEST_TEXT];
    err e = digest_body(want, wrote);
    if (!e) e = obj_put(j->objects, j->a, &in, body_of_bytes(j->a, str_of(p, n)), &info);
    if (!e) e = judge_digest(j, bucket, in.key, STR_NONE, read, &info);
    if (e || strcmp(wrote, read) != 0) judge_say(j, "a new object of %zu bytes fails: %s", n, err_name(e));
    struct obj_delete_in del = {.bucket = in.bucket, .key = in.key};
    struct obj_delete_out gone;
    if (!e && (e = obj_delete(j->objects, j->a, &del, &gone)))
        judge_say(j, "the new object cannot be deleted: %s", err_name(e));
}

static void go_on(struct judge *j)
{
    const char *name = "probe-of-power";
    if (bucket_create(j->objects, j->a, str_c(name), STR("probe"), STR("r")) != ERR_OK) {
        judge_say(j, "no bucket can be made");
        return;
    }
    write_probe(j, name, "small", 3000);
    write_probe(j, name, "large", 150000);
    err e = bucket_delete(j->objects, j->a, str_c(name));
    if (e) judge_say(j, "the new bucket cannot be deleted: %s", err_name(e));
}

/* ---- one look ---- */

static bool open_all(struct judge *j)
{
    char why[512] = "";
    struct engine_options eo = j->o->engine;
    eo.dir = j->o->dir;
    err e = engine_open(&eo, &j->store, why);
    struct objects_options oo = {.store = &j->store, .min_part_size = 1};
    if (e) {
        judge_say(j, "the store does not open: %s", why);
        return false;
    }
    e = objects_new(&oo, &j->objects);
    if (!e) return true;
    judge_say(j, "the objects do not open: %s", err_name(e));
    engine_close(&j->store);
    return false;
}

static void look(struct judge *j)
{
    const struct history *h = j->o->history;
    if (!open_all(j)) return;
    j->a = arena_new((size_t)1 << 30);
    if (!j->a) abort();
    for (size_t i = 0; i < h->n;) {
        size_t end = bucket_end(h, i);
        look_at_bucket(j, i, end);
        i = end;
    }
    go_on(j);
    arena_free(j->a);
    objects_free(j->objects);
    engine_close(&j->store);
}

struct judge_run {
    struct judge j;
    struct rt *rt;
};

static void looks(void *arg)
{
    struct judge_run *r = arg;
    look(&r->j);
    if (r->j.o->again && !r->j.findings) look(&r->j);
    rt_stop(r->rt);
}

static void check_deep(struct judge *j)
{
    struct check_options o = {.dir = j->o->dir, .deep = true, .entry = objects_check_entry};
    struct check_report r = {0};
    char why[512] = "";
    err e = engine_check(&o, &r, why);
    if (e) judge_say(j, "check --deep cannot run: %s", why);
    if (r.lines.n) judge_say(j, "check --deep: %.*s", (int)r.lines.n, r.lines.p);
    buf_free(&r.lines);
}

static void look_in_fiber(struct judge_run *r)
{
    struct rt_options ro = {.backend = RT_EPOLL, .loops = 1, .workers = 2, .watchdog_ns = -1};
    if (rt_new(&ro, &r->rt) || !rt_spawn(rt_loop_at(r->rt, 0), "judge", looks, r)) abort();
    rt_run(r->rt);
    rt_free(r->rt);
}

static void lose_index_and_recover(struct judge *j)
{
    char from[4096], to[4096], why[512] = "";
    struct recover_options o = {.dir = j->o->dir, .entry = objects_check_entry};
    struct recover_report r = {0};
    snprintf(from, sizeof from, "%s/index", o.dir);
    snprintf(to, sizeof to, "%s/../lost", o.dir);
    if (rename(from, to) < 0) abort();
    err e = engine_recover(&o, &r, why);
    if (e) judge_say(j, "recover: %s", why);
    if (r.lost_records) judge_say(j, "recover: %llu records lost", (unsigned long long)r.lost_records);
    buf_free(&r.lines);
}

unsigned judge(const struct judge_options *o)
{
    struct judge_run r = {.j = {.o = o}};
    look_in_fiber(&r);
    if (o->deep && !r.j.findings) check_deep(&r.j);
    if (!o->recover || r.j.findings) return r.j.findings;
    lose_index_and_recover(&r.j);
    if (!r.j.findings) look_in_fiber(&r);
    if (!r.j.findings) check_deep(&r.j);
    return r.j.findings;
}
