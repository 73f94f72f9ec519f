/* What the parts of the judge share. */
#ifndef POWER_JUDGE_INT_H
#define POWER_JUDGE_INT_H

#include "object/object.h"
#include "power/judge.h"

#define DIGEST_TEXT 65

struct judge {
    const struct judge_options *o;
    struct store store;
    struct objects *objects;
    struct arena *a; /* of one look */
    unsigned findings;
};

void judge_say(struct judge *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* SHA-256 of what a GET gives; version "" is the current one. */
err judge_digest(struct judge *j, const char *bucket, struct str key, struct str version,
                 char hex[DIGEST_TEXT], struct obj_info *info);

/* Everything in a bucket: current objects, or all versions. Complains if the listing fails. */
struct judge_list {
    struct obj_entry *v;
    bool *known; /* set by whoever finds an item in the history */
    size_t n;
};
struct judge_list judge_list(struct judge *j, const char *bucket, bool versions);
/* What is left over was made by nobody. */
void judge_leftover(struct judge *j, const char *bucket, const struct judge_list *l);

/* ---- the operations h->v[from … to) of one key ---- */
void judge_key(struct judge *j, size_t from, size_t to, struct judge_list *listed);
void judge_versions(struct judge *j, size_t from, size_t to, struct judge_list *listed);
void judge_uploads(struct judge *j, size_t from, size_t to);

#endif
