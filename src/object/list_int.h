/* list_int: what the listings share. */
#ifndef OBJECT_LIST_INT_H
#define OBJECT_LIST_INT_H

#include "base/bytes.h"
#include "object/internal.h"

#define LIST_MAX 1000u /* entries of a page at most */

/* The common prefix that key belongs to: up to and with the first delimiter behind prefix. */
bool list_group(struct str key, struct str prefix, struct str delimiter, struct str *group);
/* The keys of a space that a listing can show; false: none. */
bool list_range(uint64_t bucket, char space, const struct obj_list_in *in, struct key *lo, struct key *hi);
bool list_possible(const struct obj_list_in *in);
struct obj_list_in list_bounded(const struct obj_list_in *in);
err list_versions(struct objects *o, struct arena *a, uint64_t bucket, const struct obj_list_in *in,
                  struct obj_list_out *out);

static inline unsigned rec_kind_of(struct str value)
{
    return value.n > 1 ? (unsigned char)value.p[1] : 0;
}

#endif
