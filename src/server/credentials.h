/* credentials: the root account's key pair. From the settings access-key and secret-key when those are given,
 * else from DATA/credentials, which the first start makes: random, mode 0600, durable before it is shown.
 *
 * There is one root account a store; its canonical id is the same in every store and outlives any key, so
 * that a bucket keeps its owner when keys are rotated, set by hand or lost. Blocking file access: on a worker
 * or before serving.
 */
#ifndef SERVER_CREDENTIALS_H
#define SERVER_CREDENTIALS_H

#include "config/config.h"

#define CREDENTIALS_WHY 512

struct credentials {
    char access_key[129], secret_key[129];
    char path[3072];    /* DATA/credentials, whether it is used or not */
    bool from_settings; /* then the file was neither read nor made */
    bool created;       /* made by this call */
};

/* ERR_NOT_FOUND: there are none yet (and create is false). keep: a created pair goes to the file; false for a
 * store in memory. On failure why has one line. */
err credentials_get(const struct config *c, bool create, bool keep, struct credentials *out,
                    char why[CREDENTIALS_WHY]);
/* A new pair replaces the file's. */
err credentials_rotate(const struct config *c, struct credentials *out, char why[CREDENTIALS_WHY]);
void credentials_wipe(struct credentials *k);

/* The lines to paste into a shell or a program. */
void credentials_paste_lines(const struct credentials *k, struct str endpoint, struct str region,
                             struct buf *out);

#define ROOT_DISPLAY_NAME "root"
#define ROOT_ACCOUNT      "000000000001"
void root_canonical_id(char out[65]);

#endif
