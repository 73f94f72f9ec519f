/* Names and sizes, and the set of algorithms that are fed together. */
#include "hash/internal.h"
#include "base/assert.h"
#include "base/spares.h"
#include "hash/md5.h"

#define SLICE      ((size_t)64 << 10) /* stays in the L2 cache while each algorithm reads it */
#define THIN_SLICE ((size_t)16 << 10) /* the same, of HASH_FEEDS sets together */

static const struct {
    const char *name;
    size_t size;
} kinds[HASH_ALGS] = {
    [HASH_CRC32] = {"CRC32", 4},     [HASH_CRC32C] = {"CRC32C", 4},  [HASH_CRC64NVME] = {"CRC64NVME", 8},
    [HASH_SHA1] = {"SHA1", 20},      [HASH_SHA256] = {"SHA256", 32}, [HASH_MD5] = {"MD5", 16},
    [HASH_CRC64XZ] = {"CRC64XZ", 8},
};

size_t hash_size(enum hash_alg alg)
{
    ASSERT((unsigned)alg < HASH_ALGS);
    return kinds[alg].size;
}

const char *hash_name(enum hash_alg alg)
{
    ASSERT((unsigned)alg < HASH_ALGS);
    return kinds[alg].name;
}

bool hash_by_name(struct str name, enum hash_alg *alg)
{
    for (int i = 0; i < HASH_ALGS; i++) {
        if (i == HASH_MD5 || i == HASH_CRC64XZ || !str_ieq(name, str_c(kinds[i].name))) continue;
        *alg = (enum hash_alg)i;
        return true;
    }
    return false;
}

#define SET_MAGIC 0x4a545e70u

struct hash_set {
    unsigned magic;
    unsigned bits;
    uint64_t crc[HASH_ALGS];
    struct md5 md5;
    struct digest sha1, sha256;
};

static struct spares spare_sets = SPARES_NONE;

struct hash_set *hash_set_new(unsigned bits)
{
    ASSERT(bits < HASH_BIT(HASH_ALGS));
    struct hash_set *h = spares_take(&spare_sets);
    if (!h && !(h = malloc(sizeof *h))) return NULL;
    *h = (struct hash_set){.magic = SET_MAGIC, .bits = bits};
    md5_begin(&h->md5);
    digest_begin(HASH_SHA1, &h->sha1);
    digest_begin(HASH_SHA256, &h->sha256);
    return h;
}

void hash_set_free(struct hash_set *h)
{
    if (!h) return;
    CHECK_MAGIC(h, SET_MAGIC);
    h->magic = 0;
    if (!spares_give(&spare_sets, h)) free(h);
}

/* Everything but MD5. */
static void update_others(struct hash_set *h, const void *p, size_t n)
{
    if (h->bits & HASH_BIT(HASH_SHA1)) digest_feed(&h->sha1, p, n);
    if (h->bits & HASH_BIT(HASH_SHA256)) digest_feed(&h->sha256, p, n);
    for (int i = 0; i < HASH_ALGS; i++)
        if ((h->bits & HASH_BIT(i)) && hash_is_crc((enum hash_alg)i))
            h->crc[i] = crc_update((enum hash_alg)i, h->crc[i], p, n);
}

void hash_set_update(struct hash_set *h, const void *p, size_t n)
{
    CHECK_MAGIC(h, SET_MAGIC);
    for (const uint8_t *at = p; n > 0;) {
        size_t len = n < SLICE ? n : SLICE;
        update_others(h, at, len);
        if (h->bits & HASH_BIT(HASH_MD5)) md5_update(&h->md5, at, len);
        at += len;
        n -= len;
    }
}

/* One slice of each; false when nothing was left. */
static bool slices(struct hash_feed *v, size_t n)
{
    struct md5_feed md5[HASH_FEEDS];
    size_t nmd5 = 0;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        struct hash_set *h = v[i].set;
        size_t len = v[i].bytes.n < THIN_SLICE ? v[i].bytes.n : THIN_SLICE;
        if (len == 0) continue;
        CHECK_MAGIC(h, SET_MAGIC);
        update_others(h, v[i].bytes.p, len);
        if (h->bits & HASH_BIT(HASH_MD5))
            md5[nmd5++] = (struct md5_feed){&h->md5, (const uint8_t *)v[i].bytes.p, len};
        v[i].bytes = str_slice(v[i].bytes, len, v[i].bytes.n);
        any = true;
    }
    md5_update_many(md5, nmd5);
    return any;
}

void hash_set_update_many(struct hash_feed *v, size_t n)
{
    ASSERT(n <= HASH_FEEDS);
    while (slices(v, n)) {
    }
}

void hash_set_final(struct hash_set *h, enum hash_alg alg, struct hash_value *out)
{
    CHECK_MAGIC(h, SET_MAGIC);
    ASSERT((unsigned)alg < HASH_ALGS && (h->bits & HASH_BIT(alg)));
    memset(out, 0, sizeof *out);
    if (alg == HASH_MD5)
        md5_end(&h->md5, out->b);
    else if (hash_is_crc(alg))
        crc_store(alg, h->crc[alg], out);
    else
        digest_end(alg == HASH_SHA1 ? &h->sha1 : &h->sha256, out->b);
}

void hash_once(enum hash_alg alg, const void *p, size_t n, struct hash_value *out)
{
    memset(out, 0, sizeof *out);
    if (alg == HASH_MD5) {
        struct md5 m;
        md5_begin(&m);
        md5_update(&m, p, n);
        md5_end(&m, out->b);
        return;
    }
    if (hash_is_crc(alg)) {
        crc_store(alg, crc_update(alg, 0, p, n), out);
        return;
    }
    struct digest d;
    digest_begin(alg, &d);
    digest_feed(&d, p, n);
    digest_end(&d, out->b);
}
