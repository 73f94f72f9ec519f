/* Any bytes as a continuation token: what is accepted is exactly what this server would have made; and any
 * key makes a token that reads back.
 */
#include "api/s3/s3.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_of((const char *)data, size), context = STR("bucket");
    struct s3_token t = {in, size & 1}, back;
    struct arena *a = arena_new(0);
    if (s3_token_read(a, context, in, &back)) ASSERT(str_eq(s3_token_make(a, context, &back), in));
    if (size > 0 && size <= OBJ_KEY_MAX) {
        struct str text = s3_token_make(a, context, &t);
        ASSERT(s3_token_read(a, context, text, &back));
        ASSERT(str_eq(back.after, in) && back.after_is_prefix == t.after_is_prefix);
        ASSERT(!s3_token_read(a, STR("other"), text, &back));
    }
    arena_free(a);
    return 0;
}
