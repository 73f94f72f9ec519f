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

static bool select_within(const char *select, const char *other)
{
    struct str rest = str_c(select);
    while (rest.n) {
        struct str cond = str_cut(&rest, '&');
        if (cond.n > 0 && !select_has(other, cond)) return false;
    }
    return true;
}

static bool same_place(const struct api_row *a, const struct api_row *b)
{
    return a->method == b->method && a->scope == b->scope && (a->dialects & b->dialects);
}

/* Two rows are told apart when one asks for more than the other. When each asks for something of its own, a
 * request with both is refused by the router for what the chosen row leaves over. */
static bool rows_clash(const struct api_row *a, const struct api_row *b)
{
    return same_place(a, b) && select_within(a->select, b->select) && select_within(b->select, a->select);
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
            if (!rows_clash(r, &rows[k])) continue;
            snprintf(why, 160, "rows %s and %s match the same request", rows[k].name, r->name);
            return ERR_INTERNAL;
        }
    }
    return ERR_OK;
}
