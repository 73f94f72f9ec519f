#include "object/keys.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/codec.h"
#include "object/object.h"
#include "sys/sys.h"

#include <stdatomic.h>

#define NS_OF_MS 1000000u

/* Ids of one millisecond ascend: what a write is sealed with is then what it is committed with, unless it
 * lost a race. */
struct vid vid_new(uint64_t after)
{
    static _Atomic uint64_t last;
    struct vid v;
    uint64_t now = (uint64_t)sys->real_ms() * NS_OF_MS, seen = atomic_load(&last);
    do {
        v.order = seen / NS_OF_MS == now / NS_OF_MS ? seen + 1 : now;
        if (v.order <= after) v.order = after + 1;
    } while (!atomic_compare_exchange_weak(&last, &seen, v.order));
    sys->random(v.rand, sizeof v.rand);
    return v;
}

bool vid_eq(const struct vid *a, const struct vid *b)
{
    return a->order == b->order && memcmp(a->rand, b->rand, sizeof a->rand) == 0;
}

bool vid_none(const struct vid *v)
{
    return v->order == 0;
}

void vid_put(const struct vid *v, void *out)
{
    put_be64(out, v->order);
    memcpy((char *)out + 8, v->rand, 8);
}

struct vid vid_get(const void *p)
{
    struct vid v = {.order = get_be64(p)};
    memcpy(v.rand, (const char *)p + 8, 8);
    return v;
}

void vid_text(const struct vid *v, char out[VID_TEXT + 1])
{
    char raw[VID_SIZE];
    vid_put(v, raw);
    hex_encode(raw, sizeof raw, out);
}

bool vid_parse(struct str text, struct vid *out)
{
    char raw[VID_SIZE], again[VID_TEXT + 1];
    if (text.n != VID_TEXT || !hex_decode(text, raw, sizeof raw)) return false;
    *out = vid_get(raw);
    vid_text(out, again); /* one spelling alone, so that an id has one name everywhere */
    return str_eq(text, str_of(again, VID_TEXT)) && !vid_none(out);
}

err key_check(struct str key)
{
    if (key.n == 0) return ERR_INVALID_URI;
    if (key.n > OBJ_KEY_MAX) return ERR_KEY_TOO_LONG;
    return memchr(key.p, 0, key.n) ? ERR_INVALID_URI : ERR_OK;
}

void key_add(struct key *k, const void *p, size_t n)
{
    ASSERT(n <= sizeof k->b - k->n);
    if (n) memcpy(k->b + k->n, p, n);
    k->n += n;
}

void key_of_space(struct key *k, uint64_t shard, char space)
{
    put_be64(k->b, shard);
    k->b[8] = space;
    k->n = KEY_HEAD;
}

void key_of(struct key *k, uint64_t shard, char space, struct str rest)
{
    key_of_space(k, shard, space);
    key_add(k, rest.p, rest.n);
}

void key_of_current(struct key *k, uint64_t shard, struct str key)
{
    key_of(k, shard, KEY_CURRENT, key);
}

void key_of_versions(struct key *k, uint64_t shard, struct str key)
{
    ASSERT(!key.n || !memchr(key.p, 0, key.n));
    key_of(k, shard, KEY_VERSION, key);
    key_add(k, "", 1);
}

void key_of_version(struct key *k, uint64_t shard, struct str key, const struct vid *v)
{
    char raw[VID_SIZE];
    key_of_versions(k, shard, key);
    put_be64(raw, ~v->order);
    memcpy(raw + 8, v->rand, 8);
    key_add(k, raw, sizeof raw);
}

static void add_vid(struct key *k, const struct vid *v)
{
    char raw[VID_SIZE];
    vid_put(v, raw);
    key_add(k, raw, sizeof raw);
}

void key_of_upload(struct key *k, uint64_t shard, struct str key, const struct vid *id)
{
    ASSERT(!key.n || !memchr(key.p, 0, key.n));
    key_of(k, shard, KEY_UPLOAD, key);
    key_add(k, "", 1);
    add_vid(k, id);
}

static void key_of_numbered(struct key *k, uint64_t shard, char space, const struct vid *id, unsigned n)
{
    char number[2];
    ASSERT(n <= UINT16_MAX);
    put_be16(number, (uint16_t)n);
    key_of_space(k, shard, space);
    add_vid(k, id);
    key_add(k, number, 2);
}

void key_of_part(struct key *k, uint64_t shard, const struct vid *id, unsigned number)
{
    key_of_numbered(k, shard, KEY_PART, id, number);
}

void key_of_table(struct key *k, uint64_t shard, const struct vid *id, unsigned chunk)
{
    key_of_numbered(k, shard, KEY_TABLE, id, chunk);
}

void key_of_mark(struct key *k, uint64_t shard, const struct vid *id)
{
    key_of_space(k, shard, KEY_MARK);
    add_vid(k, id);
}

void key_of_time(struct key *k, uint64_t shard, uint64_t ms, const struct vid *id)
{
    char be[8];
    put_be64(be, ms);
    key_of(k, shard, KEY_TIME, str_of(be, 8));
    add_vid(k, id);
}

bool key_beyond(struct key *k)
{
    while (k->n > 0) {
        unsigned char last = (unsigned char)k->b[k->n - 1];
        if (last != 0xff) {
            k->b[k->n - 1] = (char)(last + 1);
            return true;
        }
        k->n--;
    }
    return false;
}

static bool split(struct str k, struct str *key, const char **tail)
{
    if (k.n < KEY_HEAD + 1 + 1 + VID_SIZE) return false;
    *key = str_of(k.p + KEY_HEAD, k.n - KEY_HEAD - 1 - VID_SIZE);
    *tail = k.p + k.n - VID_SIZE;
    return (*tail)[-1] == 0 && !memchr(key->p, 0, key->n);
}

bool key_split_version(struct str k, struct str *key, struct vid *v)
{
    const char *tail;
    if (!split(k, key, &tail)) return false;
    *v = vid_get(tail);
    v->order = ~v->order;
    return true;
}

bool key_split_upload(struct str k, struct str *key, struct vid *id)
{
    const char *tail;
    if (!split(k, key, &tail)) return false;
    *id = vid_get(tail);
    return true;
}
