/* str: a view of bytes that someone else owns. Not NUL-terminated; may hold any byte.
 * buf: a growable byte string with a ceiling. Neither is thread-safe.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit)   ((struct str){("" lit), sizeof(lit) - 1})
#define STR_NONE   ((struct str){NULL, 0})
#define STR_FMT(s) (int)(s).n, (s).p /* for "%.*s" */
static inline struct str str_of(const char *p, size_t n)
{
    return (struct str){p, n};
}
static inline struct str str_c(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}

bool str_eq(struct str a, struct str b);
bool str_ieq(struct str a, struct str b); /* ASCII case-insensitive */
int str_cmp(struct str a, struct str b);  /* bytewise order, shorter first */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_find(struct str s, struct str needle, size_t *at);
struct str str_slice(struct str s, size_t from, size_t to); /* clamped to s */
struct str str_trim(struct str s);                          /* spaces and tabs at both ends */
/* Cut s at the first sep: returns what is before it, leaves what is after it in *s. When there is no
 * sep, returns all of *s and leaves STR_NONE (p NULL). */
struct str str_cut(struct str *s, char sep);
bool str_to_u64(struct str s, uint64_t *out); /* decimal digits alone, no overflow, not empty */
bool str_to_i64(struct str s, int64_t *out);
/* Equality in time that depends on the lengths alone. */
bool str_eq_secret(struct str a, struct str b);

struct buf {
    char *p;
    size_t n, cap;
    size_t max;    /* ceiling in bytes; 0 = BUF_MAX_DEFAULT */
    bool overflow; /* latched: once set, every append is ignored; check once at the end */
};
#define BUF_MAX_DEFAULT ((size_t)256 << 20)

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);
void buf_clear(struct buf *b);              /* keeps the memory, clears the latch */
char *buf_reserve(struct buf *b, size_t n); /* room for n more bytes, or NULL (latched) */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_cstr(struct buf *b, const char *z);
void buf_char(struct buf *b, char c);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_u64(struct buf *b, uint64_t v); /* decimal */
static inline struct str buf_view(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

#endif
