/* x-amz-copy-source: [/]bucket/key[?versionId=id], percent-encoded, '+' a blank.
 *
 * The version is cut off before decoding: "%3FversionId=" belongs to the key. Decoded once, here, for the
 * rule and for the handler alike.
 */
#include "api/table.h"
#include "base/codec.h"

static err bad_source(struct api_request *rq, struct str raw, const char *why)
{
    return api_bad_argument(rq, "x-amz-copy-source", raw, why);
}

err api_parse_source(struct api_request *rq, struct str raw)
{
    static const char form[] = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
    struct api_source *s = &rq->source;
    struct str path = raw, all;
    size_t at;
    if (str_find(raw, STR("?"), &at)) {
        path = str_slice(raw, 0, at);
        struct str query = str_slice(raw, at + 1, raw.n);
        if (!str_starts(query, STR("versionId=")))
            return bad_source(rq, raw, "Unsupported copy source parameter.");
        query = str_slice(query, 10, query.n);
        if (!form_decode(rq->arena, query, &s->version_id) || !utf8_valid(s->version_id) ||
            s->version_id.n == 0)
            return bad_source(rq, raw, "Version id cannot be the empty string");
    }
    if (!form_decode(rq->arena, path, &all) || !utf8_valid(all))
        return bad_source(rq, raw, "The copy source is not URL-encoded UTF-8.");
    if (all.n && all.p[0] == '/') all = str_slice(all, 1, all.n);
    s->bucket = str_cut(&all, '/');
    s->key = all;
    if (s->bucket.n == 0 || s->key.n == 0) return bad_source(rq, raw, form);
    if (!bucket_name_valid(s->bucket) || api_bucket_reserved(s->bucket))
        return bad_source(rq, raw, "Invalid copy source bucket name");
    if (s->key.n > OBJ_KEY_MAX) return ERR_KEY_TOO_LONG;
    return ERR_OK;
}
