/* keys: where everything lives in the index. Every key starts with its shard, 8 bytes big-endian: 0 is the
 * system shard, else a bucket's id. Then a space tag, then:
 *
 *   system   'n' name                        bucket record            'i'                  last bucket id
 * given out 'd' id BE64                     shard to purge or a bucket being created bucket   'g' guard 'c'
 * counters 'k' kind                        configuration document 'o' key                         current
 * version: GET and HEAD are point reads, LIST walks these alone 'v' key NUL ~order BE64 rand    noncurrent
 * versions, newest first 't' id chunk BE16               part table of a multipart object, in chunks 'u' key
 * NUL id                  uploads in progress, oldest first 'p' id number BE16              parts of an
 * upload; number 0 is written by every change of any part 'm' id                          result of a
 * completed upload 'x' time BE64 id                when that result may be forgotten
 *
 * An id is 16 bytes: order BE64, 8 random bytes. Object keys hold no NUL, so that NUL ends them below every
 * byte.
 */
#ifndef OBJECT_KEYS_H
#define OBJECT_KEYS_H

#include "store/index.h"

enum key_space {
    KEY_NAME = 'n',
    KEY_LAST_ID = 'i',
    KEY_DRAFT = 'd',
    KEY_GUARD = 'g',
    KEY_COUNTERS = 'c',
    KEY_CONFIG = 'k',
    KEY_CURRENT = 'o',
    KEY_VERSION = 'v',
    KEY_TABLE = 't',
    KEY_UPLOAD = 'u',
    KEY_PART = 'p',
    KEY_MARK = 'm',
    KEY_TIME = 'x',
};

#define KEY_HEAD 9 /* shard and space */

/* Of a version, an upload or a part table. order grows with time; all 0: none. */
struct vid {
    uint64_t order;
    uint8_t rand[8];
};
#define VID_SIZE 16
#define VID_TEXT 32

struct key {
    size_t n;
    char b[IDX_KEY_MAX];
};
static inline struct str key_str(const struct key *k)
{
    return (struct str){k->b, k->n};
}

/* Time-based, above after.order, with fresh random bytes. */
struct vid vid_new(uint64_t after);
bool vid_eq(const struct vid *a, const struct vid *b);
bool vid_none(const struct vid *v);
void vid_put(const struct vid *v, void *out /* VID_SIZE */);
struct vid vid_get(const void *p /* VID_SIZE */);
void vid_text(const struct vid *v, char out[VID_TEXT + 1]); /* lower-case hex: what clients see */
bool vid_parse(struct str text, struct vid *out);

/* ERR_OK; ERR_INVALID_URI when empty or with a NUL; ERR_KEY_TOO_LONG. */
err key_check(struct str key);

void key_of_space(struct key *k, uint64_t shard, char space); /* the space's first key */
void key_of(struct key *k, uint64_t shard, char space, struct str rest);
void key_of_current(struct key *k, uint64_t shard, struct str key);
void key_of_version(struct key *k, uint64_t shard, struct str key, const struct vid *v);
void key_of_versions(struct key *k, uint64_t shard, struct str key); /* the prefix of all versions of key */
void key_of_upload(struct key *k, uint64_t shard, struct str key, const struct vid *id);
void key_of_part(struct key *k, uint64_t shard, const struct vid *id, unsigned number);
void key_of_table(struct key *k, uint64_t shard, const struct vid *id, unsigned chunk);
void key_of_mark(struct key *k, uint64_t shard, const struct vid *id);
void key_of_time(struct key *k, uint64_t shard, uint64_t ms, const struct vid *id);
/* Appends; asserts that it fits. */
void key_add(struct key *k, const void *p, size_t n);
/* The first key beyond all that start with k; false when there is none (all bytes 0xff). */
bool key_beyond(struct key *k);

/* Parts of a stored key. */
static inline char key_space_of(struct str k)
{
    return k.n >= KEY_HEAD ? k.p[8] : 0;
}
static inline struct str key_rest(struct str k)
{
    return (struct str){k.p + KEY_HEAD, k.n - KEY_HEAD};
}
/* Of 'v' and 'u' keys; false when malformed. */
bool key_split_version(struct str k, struct str *key, struct vid *v);
bool key_split_upload(struct str k, struct str *key, struct vid *id);

#endif
