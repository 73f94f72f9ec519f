/* What an index entry refers to and counts: for `ingot check`, and for emptying a deleted bucket's shard. */
#include "base/bytes.h"
#include "object/internal.h"

typedef void ref_fn(void *ctx, uint64_t blob, uint64_t min_size);
typedef void count_fn(void *ctx, struct str counter_key, unsigned i, int64_t delta);

struct entry {
    struct arena *a;
    struct str key, value;
    uint64_t shard;
    ref_fn *ref;
    count_fn *count;
    void *ctx;
};

static void add(const struct entry *en, unsigned i, int64_t delta)
{
    if (!en->count || delta == 0) return;
    struct key k;
    key_of_space(&k, en->shard, KEY_COUNTERS);
    en->count(en->ctx, key_str(&k), i, delta);
}

/* Counters that nothing counts towards must be zero: they are named, so that this is looked at. */
static bool counters_ok(const struct entry *en)
{
    if (en->count) en->count(en->ctx, en->key, 0, 0);
    return en->key.n == KEY_HEAD;
}

static void refer(const struct entry *en, const struct piece *v, size_t n)
{
    for (size_t i = 0; en->ref && i < n; i++) en->ref(en->ctx, v[i].blob, v[i].off + v[i].len);
}

static bool pieces_ok(const struct entry *en, const struct rec *r)
{
    struct piece *v;
    size_t n;
    uint64_t sum = 0;
    if (pieces_decode(en->a, r->f[REC_PIECES], &v, &n) != ERR_OK) return false;
    for (size_t i = 0; i < n; i++) sum += v[i].len;
    refer(en, v, n);
    return sum == r->size;
}

static bool version_ok(const struct entry *en, bool current)
{
    struct rec r;
    struct obj_checksums sums;
    struct obj_meta meta;
    struct table t;
    if (rec_decode(en->value, &r) != ERR_OK || (r.kind != REC_OBJECT && r.kind != REC_MARKER)) return false;
    if (sums_decode(r.f[REC_SUMS], &sums) != ERR_OK || rec_get_meta(en->a, &r, &meta) != ERR_OK) return false;
    add(en, CNT_VERSIONS, 1);
    add(en, CNT_BYTES, (int64_t)r.size);
    if (current && r.kind == REC_OBJECT) add(en, CNT_OBJECTS, 1);
    if (r.f[REC_TABLE].n) return table_decode(en->a, r.f[REC_TABLE], &t) == ERR_OK;
    return pieces_ok(en, &r);
}

static bool noncurrent_ok(const struct entry *en)
{
    struct str key;
    struct vid v;
    return key_split_version(en->key, &key, &v) && version_ok(en, false);
}

static bool table_ok(const struct entry *en)
{
    struct part *parts;
    size_t n;
    if (chunk_decode(en->a, en->value, &parts, &n) != ERR_OK) return false;
    for (size_t i = 0; i < n; i++) refer(en, parts[i].pieces, parts[i].npieces);
    return true;
}

static bool part_ok(const struct entry *en)
{
    struct rec r;
    if (en->key.n != KEY_HEAD + VID_SIZE + 2) return false;
    if (get_be16(en->key.p + KEY_HEAD + VID_SIZE) == 0) return true; /* the parts' change mark */
    return rec_decode(en->value, &r) == ERR_OK && r.kind == REC_PART && pieces_ok(en, &r);
}

static bool upload_ok(const struct entry *en)
{
    struct rec r;
    struct str key;
    struct vid id;
    if (!key_split_upload(en->key, &key, &id) || rec_decode(en->value, &r) != ERR_OK) return false;
    add(en, CNT_UPLOADS, 1);
    return r.kind == REC_UPLOAD;
}

static bool mark_ok(const struct entry *en)
{
    struct rec r;
    return en->key.n == KEY_HEAD + VID_SIZE && rec_decode(en->value, &r) == ERR_OK && r.kind == REC_DONE;
}

static bool system_ok(const struct entry *en)
{
    struct bucket_rec b;
    switch (key_space_of(en->key)) {
    case KEY_NAME:
        return bucket_rec_decode(en->value, &b) == ERR_OK;
    case KEY_LAST_ID:
        return en->value.n == 8;
    case KEY_DRAFT:
        return en->key.n == KEY_HEAD + 8 && en->value.n == 9;
    default:
        return false;
    }
}

static bool bucket_ok(const struct entry *en)
{
    struct guard g;
    switch (key_space_of(en->key)) {
    case KEY_GUARD:
        return guard_decode(en->value, &g) == ERR_OK;
    case KEY_COUNTERS:
        return counters_ok(en);
    case KEY_CONFIG:
        return true;
    case KEY_CURRENT:
        return version_ok(en, true);
    case KEY_VERSION:
        return noncurrent_ok(en);
    case KEY_TABLE:
        return table_ok(en);
    case KEY_UPLOAD:
        return upload_ok(en);
    case KEY_PART:
        return part_ok(en);
    case KEY_MARK:
        return mark_ok(en);
    case KEY_TIME:
        return en->key.n == KEY_HEAD + 8 + VID_SIZE;
    default:
        return false;
    }
}

bool objects_check_entry(void *arg, struct str key, struct str value,
                         void (*ref)(void *ctx, uint64_t blob, uint64_t min_size),
                         void (*count)(void *ctx, struct str counter_key, unsigned i, int64_t delta),
                         void *ctx)
{
    (void)arg;
    struct entry en = {.key = key, .value = value, .ref = ref, .count = count, .ctx = ctx};
    if (key.n < KEY_HEAD) return false;
    en.shard = get_be64(key.p);
    en.a = arena_new(0);
    if (!en.a) return false;
    bool ok = en.shard == 0 ? system_ok(&en) : bucket_ok(&en);
    arena_free(en.a);
    return ok;
}
