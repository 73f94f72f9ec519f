/* The rows, and the check that they contradict neither each other nor the router. */
#include "api/table.h"

#include <stdio.h>

const struct api_row api_rows[API_OPS] = {
#define OP(id, name, method, scope, dialects, select, rule, handler)                                         \
    [API_OP_##id] = {name, method, scope, dialects, select, api_rule_##rule, handler},
#include "api/operations.def"
#undef OP
};

const char *api_op_name(enum api_op op)
{
    return op < API_OPS ? api_rows[op].name : "Unknown";
}

static bool select_has(const char *select, struct str cond)
{
    struct str rest = str_c(select);
    while (rest.n)
        if (str_eq(str_cut(&rest, '&'), cond)) return true;
    return false;
}

/* How many conditions of `select` are missing in `other`; a missing header is fatal for telling rows apart.
 */
static unsigned select_missing(const char *select, const char *other, bool *header)
{
    unsigned missing = 0;
    struct str rest = str_c(select);
    while (rest.n) {
        struct str cond = str_cut(&rest, '&');
        if (cond.n == 0 || select_has(other, cond)) continue;
        missing++;
        if (cond.p[0] == '@') *header = true;
    }
    return missing;
}

static bool same_place(const struct api_row *a, const struct api_row *b)
{
    return a->method == b->method && a->scope == b->scope && (a->dialects & b->dialects);
}

/* A row that asks for all that a and b ask for: it wins over both where both hold. */
static bool rows_joined(const struct api_row *rows, size_t n, const struct api_row *a,
                        const struct api_row *b)
{
    bool header;
    for (size_t i = 0; i < n; i++)
        if (same_place(&rows[i], a) && !select_missing(a->select, rows[i].select, &header) &&
            !select_missing(b->select, rows[i].select, &header))
            return true;
    return false;
}

/* Two rows are told apart when one asks for more than the other. When each asks for something of its own, a
 * request with both is refused by the router for the parameter that is left over; a header left over would go
 * unseen, so that there must be a row for both. */
static bool rows_clash(const struct api_row *rows, size_t n, const struct api_row *a, const struct api_row *b)
{
    if (!same_place(a, b)) return false;
    bool header = false;
    unsigned more_a = select_missing(a->select, b->select, &header);
    unsigned more_b = select_missing(b->select, a->select, &header);
    if (!more_a && !more_b) return true;
    return more_a && more_b && header && !rows_joined(rows, n, a, b);
}

err api_table_check(const struct api_row *rows, size_t n, char why[160])
{
    for (size_t i = 0; i < n; i++) {
        const struct api_row *r = &rows[i];
        if (!r->name || !r->rule || !r->handler || !r->select || !r->dialects) {
            snprintf(why, 160, "row %zu (%s) has no rule, handler or dialect", i, r->name ? r->name : "?");
            return ERR_INTERNAL;
        }
        for (size_t k = 0; k < i; k++) {
            if (!rows_clash(rows, n, r, &rows[k])) continue;
            snprintf(why, 160, "rows %s and %s match the same request", rows[k].name, r->name);
            return ERR_INTERNAL;
        }
    }
    return ERR_OK;
}
