/* iam: whether. Given who asks and the (action, resource) pairs that a request needs, says yes or no; the
 * policy engine drops in behind iam_allow. For now the root identities may all, anonymous nothing.
 */
#ifndef IAM_IAM_H
#define IAM_IAM_H

#include "auth/auth.h"

struct iam_need {
    const char *action;                 /* "s3:GetObject"; COS rows name the same actions */
    struct str bucket, key, version_id; /* resource; bucket n 0: the service */
};
#define IAM_NEEDS_MAX 8
struct iam_needs {
    struct iam_need v[IAM_NEEDS_MAX];
    unsigned n; /* 0 is denied */
};
/* ERR_OK or ERR_ACCESS_DENIED: every pair must be allowed. Fiber context. */
err iam_allow(const struct auth_identity *who, const struct iam_needs *needs);

#endif
