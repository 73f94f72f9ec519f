/* err: the one error enum, from the one table (errors.def). ERR_OK is 0. Functions that can fail return it;
 * "again" is never an error. */
#ifndef BASE_ERRORS_H
#define BASE_ERRORS_H

#include "base/str.h"

typedef enum err {
#define ERR(name, status, s3, cos, message) ERR_##name,
#include "base/errors.def"
#undef ERR
    ERR_COUNT
} err;

const char *err_name(err e); /* "NO_SUCH_KEY" */
int err_status(err e);       /* HTTP status */
struct str err_s3_code(err e);
struct str err_cos_code(err e);
struct str err_message(err e); /* for a client: rows marked internal give InternalError's text */
err err_of_errno(int e); /* ENOSPC, EDQUOT → NO_SPACE; ENOMEM → NO_MEMORY; ETIMEDOUT → TIMED_OUT; else IO */

#endif
