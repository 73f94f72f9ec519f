/* Continuation tokens: opaque, checked, bound to the bucket (or service) that they continue.
 *
 *   byte 0     version, 1
 *   byte 1     1: `after` is a common prefix
 *   ...        `after`
 *   last 4     CRC32C over the context and all before
 *
 * in base64 with '-' and '_'. The checksum keeps a damaged token from starting a listing elsewhere; a token
 * grants nothing that start-after does not.
 */
#include "api/s3/s3.h"
#include "base/bytes.h"

#define VERSION  1
#define RAW_MAX  (2 + OBJ_KEY_MAX + 4)
#define TEXT_MAX ((RAW_MAX + 2) / 3 * 4)

static uint32_t checksum(struct str context, const uint8_t *p, size_t n)
{
    return crc32c(crc32c(0, context.p, context.n), p, n);
}

static void translate(char *p, size_t n, const char *from, const char *to)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == from[0])
            p[i] = to[0];
        else if (p[i] == from[1])
            p[i] = to[1];
    }
}

struct str s3_token_make(struct arena *a, struct str context, const struct s3_token *t)
{
    uint8_t raw[RAW_MAX];
    char text[TEXT_MAX + 1];
    struct str after = str_slice(t->after, 0, OBJ_KEY_MAX);
    raw[0] = VERSION;
    raw[1] = t->after_is_prefix;
    if (after.n) memcpy(raw + 2, after.p, after.n);
    size_t n = 2 + after.n;
    put_be32(raw + n, checksum(context, raw, n));
    base64_encode(raw, n + 4, text);
    size_t m = base64_size(n + 4);
    translate(text, m, "+/", "-_");
    return arena_dup(a, str_of(text, m));
}

bool s3_token_read(struct arena *a, struct str context, struct str text, struct s3_token *t)
{
    uint8_t raw[RAW_MAX];
    char plain[TEXT_MAX];
    size_t n;
    if (text.n == 0 || text.n > TEXT_MAX) return false;
    memcpy(plain, text.p, text.n);
    if (memchr(plain, '+', text.n) || memchr(plain, '/', text.n)) return false;
    translate(plain, text.n, "-_", "+/");
    if (!base64_decode(str_of(plain, text.n), raw, sizeof raw, &n) || n < 7) return false;
    n -= 4;
    if (get_be32(raw + n) != checksum(context, raw, n) || raw[0] != VERSION || raw[1] > 1) return false;
    t->after = arena_dup(a, str_of((char *)raw + 2, n - 2));
    t->after_is_prefix = raw[1];
    return t->after.p != NULL;
}
