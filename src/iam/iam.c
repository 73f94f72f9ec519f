#include "iam/iam.h"

err iam_allow(const struct auth_identity *who, const struct iam_needs *needs)
{
    if (!who || who->anonymous || !who->root) return ERR_ACCESS_DENIED;
    if (needs->n == 0 || needs->n > IAM_NEEDS_MAX) return ERR_ACCESS_DENIED;
    for (unsigned i = 0; i < needs->n; i++)
        if (!needs->v[i].action || !needs->v[i].action[0]) return ERR_ACCESS_DENIED;
    return ERR_OK;
}
