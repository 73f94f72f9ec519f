#include "base/errors.h"
#include "base/assert.h"

#include <errno.h>

static const struct row {
    const char *name;
    int status;
    struct str s3, cos, message;
} rows[ERR_COUNT] = {
#define ERR(name, status, s3, cos, message)                                                                  \
    {#name, status, {s3, sizeof(s3) - 1}, {cos, sizeof(cos) - 1}, {message, sizeof(message) - 1}},
#include "base/errors.def"
#undef ERR
};

_Static_assert(ERR_OK == 0, "success is zero");

static const struct row *row_of(err e)
{
    ASSERT((unsigned)e < ERR_COUNT);
    return &rows[e];
}

const char *err_name(err e)
{
    return row_of(e)->name;
}

int err_status(err e)
{
    return row_of(e)->status;
}

struct str err_s3_code(err e)
{
    return row_of(e)->s3;
}

struct str err_cos_code(err e)
{
    return row_of(e)->cos;
}

struct str err_message(err e)
{
    const struct row *r = row_of(e);
    return str_starts(r->message, STR("internal:")) ? rows[ERR_INTERNAL].message : r->message;
}

err err_of_errno(int e)
{
    switch (e < 0 ? -e : e) {
    case 0:
        return ERR_OK;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case ETIMEDOUT:
        return ERR_TIMED_OUT;
    default:
        return ERR_IO;
    }
}
