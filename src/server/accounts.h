/* accounts: who may come in — the root account, and those of the setting test-accounts. */
#ifndef SERVER_ACCOUNTS_H
#define SERVER_ACCOUNTS_H

#include "auth/auth.h"
#include "config/config.h"
#include "server/credentials.h"

#define ACCOUNTS_MAX 64
struct accounts {
    struct auth_key key[ACCOUNTS_MAX];
    size_t n;
};
/* Everything points into the arena or into root, which must outlive *out. why: one line. Blocking file
 * access. */
err accounts_load(const struct config *c, const struct credentials *root, struct arena *a,
                  struct accounts *out, char why[CREDENTIALS_WHY]);

#endif
