/* Preconditions: RFC 9110's rules for reads, AWS's for writes and copies. Times compare in whole seconds, as
 * headers do. */
#include "object/internal.h"
#include "base/clock.h"

static struct str unquote(struct str s)
{
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') return str_slice(s, 1, s.n - 1);
    return s;
}

bool etag_same(struct str a, struct str b)
{
    return str_eq(unquote(str_trim(a)), unquote(str_trim(b)));
}

/* Is etag in a list as sent? weak: W/ prefixes do not matter (If-None-Match); else a weak tag never matches.
 */
static bool listed(struct str list, struct str etag, bool weak)
{
    list = str_trim(list);
    if (str_eq(list, STR("*"))) return true;
    while (list.p && list.n > 0) {
        struct str one = str_trim(str_cut(&list, ','));
        bool is_weak = str_starts(one, STR("W/"));
        if (is_weak && !weak) continue;
        if (is_weak) one = str_slice(one, 2, one.n);
        if (one.n > 0 && etag_same(one, etag)) return true;
    }
    return false;
}

static int64_t seconds(int64_t ms)
{
    return ms / 1000;
}

err cond_read(const struct obj_cond *c, struct str etag, int64_t modified_ms)
{
    if (c->if_match.n) {
        if (!listed(c->if_match, etag, false)) return ERR_PRECONDITION_FAILED;
    } else if (c->if_unmodified_since && seconds(modified_ms) > seconds(c->if_unmodified_since)) {
        return ERR_PRECONDITION_FAILED;
    }
    if (c->if_none_match.n) return listed(c->if_none_match, etag, true) ? ERR_NOT_MODIFIED : ERR_OK;
    if (c->if_modified_since && seconds(modified_ms) <= seconds(c->if_modified_since))
        return ERR_NOT_MODIFIED;
    return ERR_OK;
}

bool cond_if_range(struct str v, struct str etag, int64_t modified_ms)
{
    int64_t ms;
    v = str_trim(v);
    if (v.n && (v.p[0] == '"' || str_starts(v, STR("W/")))) return v.p[0] == '"' && etag_same(v, etag);
    return time_parse_http(v, &ms) ? seconds(ms) == seconds(modified_ms) : etag_same(v, etag);
}

err cond_source(const struct obj_cond *c, struct str etag, int64_t modified_ms)
{
    err e = cond_read(c, etag, modified_ms);
    return e == ERR_NOT_MODIFIED ? ERR_PRECONDITION_FAILED : e;
}

err cond_write(const struct obj_cond *c, const struct rec *current)
{
    if (!current) return c->if_match.n ? ERR_NO_SUCH_KEY : ERR_OK;
    char text[ETAG_TEXT];
    struct str etag = str_of(text, etag_text(current->md5, current->parts, text));
    if (c->if_match.n && !listed(c->if_match, etag, false)) return ERR_PRECONDITION_FAILED;
    if (c->if_none_match.n && listed(c->if_none_match, etag, true)) return ERR_PRECONDITION_FAILED;
    if (c->has_size && c->size != current->size) return ERR_PRECONDITION_FAILED;
    if (c->last_modified && seconds(c->last_modified) != seconds(current->modified_ms))
        return ERR_PRECONDITION_FAILED;
    return ERR_OK;
}
