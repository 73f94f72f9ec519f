/* The layer above mends its own entries in the new index: see struct recover_edit. */
#include "store/recover_int.h"

static err edit_get(void *ctx, struct arena *a, struct str key, struct str *value)
{
    struct recover *r = ctx;
    struct view_pin pin;
    err e = view_get(r->e->view, key, &pin);
    if (e) return e;
    *value = arena_dup(a, pin.value);
    view_unpin(&pin);
    return value->p ? ERR_OK : ERR_NO_MEMORY;
}

static err edit_scan(void *ctx, const struct idx_range *range, idx_scan_fn *fn, void *arg)
{
    struct recover *r = ctx;
    return view_scan(r->e->view, range, true, fn, arg);
}

static err edit_put(void *ctx, struct str key, struct str value)
{
    struct recover *r = ctx;
    struct log_op put = {.kind = TXN_PUT, .key = key, .value = value}, freed;
    err e = apply_op(&r->apply, r->reached, &put, &freed);
    return e ? e : recover_write(r);
}

static void edit_say(void *ctx, const char *line)
{
    recover_line(ctx, "%s", line);
}

err recover_mend(struct recover *r)
{
    const struct recover_edit ed = {edit_get, edit_scan, edit_put, edit_say, r};
    return r->o->mend ? r->o->mend(r->o->arg, &ed) : ERR_OK;
}
