/* MD5: the vectors of RFC 1321, and OpenSSL on random messages, alone and side by side, in pieces of any
 * length. */
#include "hash/internal.h"
#include "hash/md5.h"

#include <openssl/evp.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGES 11u
#define LONGEST  20000u

static uint64_t seed = 7;

static uint32_t number(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

static void by_openssl(const void *p, size_t n, uint8_t out[16])
{
    unsigned len = 0;
    assert_int_equal(EVP_Digest(p, n, out, &len, EVP_md5(), NULL), 1);
    assert_int_equal(len, 16);
}

static void hex(const uint8_t v[16], char out[33])
{
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", v[i]);
}

static void test_vectors(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct hash_value v;
        char text[33];
        hash_once(HASH_MD5, known[i][0], strlen(known[i][0]), &v);
        hex(v.b, text);
        assert_string_equal(text, known[i][1]);
    }
}

/* Every length around the borders of a block and of the padding. */
static void test_lengths(void **state)
{
    (void)state;
    uint8_t text[300], want[16];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)number(256);
    for (size_t n = 0; n <= sizeof text; n++) {
        struct hash_value v;
        by_openssl(text, n, want);
        hash_once(HASH_MD5, text, n, &v);
        assert_memory_equal(v.b, want, 16);
    }
}

struct message {
    uint8_t text[LONGEST];
    size_t n, at;
};

/* One round: some of the messages go on by pieces of random length, several at once. */
static void feed_some(struct message *m, struct md5 *ctx, unsigned count)
{
    struct md5_feed v[MESSAGES];
    size_t n = 0;
    for (unsigned i = 0; i < count; i++) {
        if (number(4) == 0) continue;
        size_t left = m[i].n - m[i].at, some = number(2) ? number(200) : number(6000);
        if (some > left) some = left;
        v[n++] = (struct md5_feed){&ctx[i], m[i].text + m[i].at, some};
        m[i].at += some;
    }
    md5_update_many(v, n);
}

static void test_side_by_side(void **state)
{
    (void)state;
    struct message *m = calloc(MESSAGES, sizeof *m);
    assert_non_null(m);
    for (int round = 0; round < 60; round++) {
        unsigned count = 1 + number(MESSAGES);
        struct md5 ctx[MESSAGES];
        for (unsigned i = 0; i < count; i++) {
            m[i].n = number(LONGEST + 1);
            m[i].at = 0;
            for (size_t k = 0; k < m[i].n; k++) m[i].text[k] = (uint8_t)number(256);
            md5_begin(&ctx[i]);
        }
        for (bool more = true; more;) {
            feed_some(m, ctx, count);
            more = false;
            for (unsigned i = 0; i < count; i++) more |= m[i].at < m[i].n;
        }
        for (unsigned i = 0; i < count; i++) {
            uint8_t got[16], want[16];
            md5_end(&ctx[i], got);
            by_openssl(m[i].text, m[i].n, want);
            assert_memory_equal(got, want, 16);
        }
    }
    free(m);
}

/* Sets with other algorithms beside MD5, and one without it. */
static void test_sets_together(void **state)
{
    (void)state;
    enum { BYTES = 70001 };
    uint8_t *text = malloc(BYTES);
    struct hash_set *set[HASH_FEEDS];
    struct hash_feed v[HASH_FEEDS];
    assert_non_null(text);
    for (size_t i = 0; i < BYTES; i++) text[i] = (uint8_t)number(256);
    for (unsigned i = 0; i < HASH_FEEDS; i++) {
        set[i] = hash_set_new(i == 3 ? HASH_BIT(HASH_CRC32C)
                                     : HASH_BIT(HASH_MD5) | HASH_BIT(HASH_CRC64XZ) | HASH_BIT(HASH_SHA1));
        assert_non_null(set[i]);
        v[i] = (struct hash_feed){set[i], str_of((char *)text, BYTES - 9000 * i)};
    }
    hash_set_update_many(v, HASH_FEEDS);
    for (unsigned i = 0; i < HASH_FEEDS; i++) {
        struct hash_value got, want;
        enum hash_alg alg = i == 3 ? HASH_CRC32C : HASH_MD5;
        hash_set_final(set[i], alg, &got);
        hash_once(alg, text, BYTES - 9000 * i, &want);
        assert_memory_equal(&got, &want, sizeof got);
        if (i == 3) continue;
        hash_set_final(set[i], HASH_SHA1, &got);
        hash_once(HASH_SHA1, text, BYTES - 9000 * i, &want);
        assert_memory_equal(&got, &want, sizeof got);
    }
    for (unsigned i = 0; i < HASH_FEEDS; i++) hash_set_free(set[i]);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_sets_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
