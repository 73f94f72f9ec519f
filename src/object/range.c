/* The Range header: one byte range. What is malformed, of another unit or a list means the whole object, as
 * in S3. */
#include "object/internal.h"

/* Digits alone; a number beyond 64 bits is as large as any can be. */
static bool offset(struct str s, uint64_t *out)
{
    if (str_to_u64(s, out)) return true;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    *out = UINT64_MAX;
    return s.n > 0;
}

err range_parse(struct str header, uint64_t size, bool *partial, uint64_t *first, uint64_t *length)
{
    *partial = false;
    *first = 0;
    *length = size;
    struct str spec = str_trim(header);
    if (spec.n < 6 || !str_ieq(str_slice(spec, 0, 6), STR("bytes="))) return ERR_OK;
    struct str to = str_slice(spec, 6, spec.n), from = str_cut(&to, '-');
    from = str_trim(from);
    to = str_trim(to);
    uint64_t a = 0, b = UINT64_MAX;
    bool has_a = from.n > 0, has_b = to.n > 0;
    if (!to.p || (!has_a && !has_b)) return ERR_OK;
    if ((has_a && !offset(from, &a)) || (has_b && !offset(to, &b))) return ERR_OK;
    if (has_a && has_b && b < a) return ERR_OK;
    if (!has_a) { /* the last b bytes */
        if (b == 0 || size == 0) return ERR_INVALID_RANGE;
        a = b < size ? size - b : 0;
        b = UINT64_MAX;
    }
    if (a >= size) return ERR_INVALID_RANGE;
    *partial = true;
    *first = a;
    *length = (b < size - 1 ? b : size - 1) - a + 1;
    return ERR_OK;
}
