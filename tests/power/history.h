/* history: what a client asked for and was told, each with the positions of the block log before the request
 * was sent and after the answer had come. At a cut, an operation answered before it holds; one asked for
 * before it and not answered may hold; all others do not.
 *
 * A text file, one operation a line: START END BUCKET KEY KIND [NAME [VALUE]], words without blanks, "-" for
 * what is not known (END: never answered). The kinds:
 *
 *   bucket                 the bucket was made             (KEY "-")
 *   put DIGEST             the key's bytes have this SHA-256, in hexadecimal (PUT, copy, Complete)
 *   delete                 the key is gone
 *   vput VERSION DIGEST    a version was made
 *   vmark VERSION          a delete marker was made
 *   vdel VERSION           a version or marker was removed
 *   ucreate UPLOAD         an upload was begun
 *   upart UPLOAD N:ETAG    a part of it was stored
 *   uend UPLOAD            it was completed or aborted
 */
#ifndef POWER_HISTORY_H
#define POWER_HISTORY_H

#include <stddef.h>
#include <stdint.h>

enum op_kind { OP_BUCKET, OP_PUT, OP_DELETE, OP_VPUT, OP_VMARK, OP_VDEL, OP_UCREATE, OP_UPART, OP_UEND };

#define HISTORY_NEVER UINT64_MAX

struct op {
    uint64_t start, end;
    enum op_kind kind;
    char *bucket, *key, *name, *value; /* name, value: "" when not given or not known */
    size_t line;
};

struct history {
    struct op *v; /* by bucket and key, then in the order of the file */
    size_t n;
};

/* 0, or -1 with the reason printed. */
int history_load(const char *path, struct history *h);

/* The operations of v[from].bucket and .key: returns the index behind the last. */
size_t history_key_end(const struct history *h, size_t from);

enum op_state { OP_DONE, OP_MAYBE, OP_NOT };
enum op_state history_at(const struct op *o, uint64_t cut);

#endif
