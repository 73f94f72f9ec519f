/* upload_int: what the files about multipart uploads share. */
#ifndef OBJECT_UPLOAD_INT_H
#define OBJECT_UPLOAD_INT_H

#include "object/internal.h"

#define PART_PIECES_MAX 4096u /* of one part */

struct upload {
    struct rec rec;
    struct vid id;
    bool has_checksum;
    enum hash_alg checksum;
    enum checksum_type type;
};
/* ERR_NO_SUCH_UPLOAD for any id that is not this key's. */
err upload_read(struct objects *o, struct arena *a, uint64_t bucket, struct str key, struct str upload_id,
                struct upload *out);
/* As above inside a change: the upload's key is checked. */
err upload_check(struct mut *m, struct str key, struct str upload_id, struct upload *out);
/* All parts in order after a number, at most max. Their memory is a's. */
err upload_scan_parts(struct objects *o, struct arena *a, uint64_t bucket, const struct vid *id,
                      unsigned after, size_t max, struct part **parts, size_t *n);
/* Every change of a part writes this key, blindly; Complete and Abort check it. So parts do not hinder each
 * other, and none slips past an end. */
void key_of_part_change(struct key *k, uint64_t bucket, const struct vid *id);
/* Put r as part `number` over what was there. */
err upload_put_part(struct mut *m, const struct vid *id, unsigned number, const struct rec *r);
/* Delete the upload and all its parts' records; references of those that `keep` does not hold are dropped. */
err upload_end(struct mut *m, struct str key, const struct vid *id, const struct part *parts, size_t n,
               const bool *keep);
/* The checksums that a part needs: what the upload declared, else AWS's default. */
unsigned upload_part_sums(const struct upload *u);
err part_info(struct arena *a, const struct part *p, struct obj_part_info *out);
void upload_info(const struct upload *u, struct str bucket, struct str key, struct str text,
                 struct obj_upload_info *out);
/* Reads the REC_UPLOAD_SUM field of u->rec. */
err upload_decode(struct upload *u);

#endif
