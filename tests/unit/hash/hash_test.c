#include "hash/hash.h"
#include "base/codec.h"
#include "hash/internal.h"

#include <openssl/hmac.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const enum hash_alg crcs[] = {HASH_CRC32, HASH_CRC32C, HASH_CRC64NVME, HASH_CRC64XZ};

static uint64_t seed = 88172645463325252u;
static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(next_random() >> 32);
}

static void expect(enum hash_alg alg, struct str in, const char *hex)
{
    struct hash_value v;
    char got[2 * HASH_MAX_SIZE + 1];
    hash_once(alg, in.p, in.n, &v);
    hex_encode(v.b, hash_size(alg), got);
    assert_string_equal(got, hex);
    for (size_t i = hash_size(alg); i < sizeof v.b; i++) assert_int_equal(v.b[i], 0);
}

static void published_check_values(void **state)
{
    (void)state;
    struct str nine = STR("123456789");
    expect(HASH_CRC32, nine, "cbf43926");
    expect(HASH_CRC32C, nine, "e3069283");
    expect(HASH_CRC64XZ, nine, "995dc9bbdf1939fa");
    expect(HASH_CRC64NVME, nine, "ae8b14860a799888");
    expect(HASH_MD5, STR("abc"), "900150983cd24fb0d6963f7d28e17f72");
    expect(HASH_SHA1, STR("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    expect(HASH_SHA256, STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(HASH_CRC32, STR_NONE, "00000000");
    expect(HASH_CRC32C, STR_NONE, "00000000");
    expect(HASH_CRC64XZ, STR_NONE, "0000000000000000");
    expect(HASH_CRC64NVME, STR_NONE, "0000000000000000");
    expect(HASH_MD5, STR_NONE, "d41d8cd98f00b204e9800998ecf8427e");
    expect(HASH_SHA256, STR_NONE, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_true(crc64xz(0, "123456789", 9) == UINT64_C(11051210869376104954));
}

static void names(void **state)
{
    (void)state;
    enum hash_alg alg;
    for (int i = 0; i < HASH_ALGS; i++) {
        bool s3 = i != HASH_MD5 && i != HASH_CRC64XZ;
        assert_non_null(hash_name((enum hash_alg)i));
        assert_int_equal(hash_by_name(str_c(hash_name((enum hash_alg)i)), &alg), s3);
        if (s3) assert_int_equal(alg, i);
    }
    assert_true(hash_by_name(STR("crc64nvme"), &alg));
    assert_int_equal(alg, HASH_CRC64NVME);
    assert_false(hash_by_name(STR("CRC3"), &alg));
    assert_false(hash_by_name(STR(""), &alg));
    assert_false(hash_by_name(STR_NONE, &alg));
}

/* The definition, bit by bit. */
static uint64_t slow_crc(uint64_t poly, uint64_t ones, const uint8_t *p, size_t n)
{
    uint64_t v = ones;
    for (size_t i = 0; i < n; i++) {
        v ^= p[i];
        for (int k = 0; k < 8; k++) v = v & 1 ? v >> 1 ^ poly : v >> 1;
    }
    return v ^ ones;
}

static void crcs_agree_with_the_definition(void **state)
{
    (void)state;
    static const uint64_t poly[] = {0xedb88320, 0x82f63b78, 0x9a6c9329ac4bc9b5, 0xc96c5795d7870f42};
    uint8_t data[1100];
    fill(data, sizeof data);
    for (size_t n = 0; n <= 1024; n++) {
        size_t at = next_random() % 64;
        for (int i = 0; i < 4; i++) {
            uint64_t want = slow_crc(poly[i], i < 2 ? UINT32_MAX : UINT64_MAX, data + at, n);
            if (crc_update(crcs[i], 0, data + at, n) != want) fail_msg("%s of %zu", hash_name(crcs[i]), n);
        }
    }
}

static void folding_agrees_with_tables_and_isal(void **state)
{
    (void)state;
    static uint8_t data[300000];
    fill(data, sizeof data);
    for (int i = 0; i < 2000; i++) {
        size_t at = next_random() % 100, n = next_random() % (i % 10 ? 2000 : 250000);
        uint64_t start = next_random();
        uint64_t want = crc64nvme_by_table(start, data + at, n);
        if (crc64nvme(start, data + at, n) != want || crc64nvme_by_fold(start, data + at, n) != want ||
            crc64xz(start, data + at, n) != crc64xz_by_isal(start, data + at, n))
            fail_msg("at %zu, %zu", at, n);
    }
#if defined(__x86_64__)
    if (!crc64nvme_folds()) print_message("this CPU has no PCLMULQDQ: the table was compared with itself\n");
    if (!crc64_wide()) print_message("this CPU has no VPCLMULQDQ: nothing was multiplied two at once\n");
#endif
}

static void a_set_equals_its_members_however_it_is_fed(void **state)
{
    (void)state;
    static uint8_t data[400000];
    fill(data, sizeof data);
    for (int round = 0; round < 40; round++) {
        unsigned bits = round ? (unsigned)next_random() % HASH_BIT(HASH_ALGS) : HASH_BIT(HASH_ALGS) - 1;
        size_t n = round == 1 ? 0 : next_random() % sizeof data;
        struct hash_set *h = hash_set_new(bits);
        for (size_t done = 0; done < n;) {
            size_t len = next_random() % (round % 2 ? 200000 : 3000);
            if (len > n - done) len = n - done;
            hash_set_update(h, data + done, len);
            done += len;
        }
        for (int i = 0; i < HASH_ALGS; i++) {
            if (!(bits & HASH_BIT(i))) continue;
            struct hash_value got, want;
            hash_set_final(h, (enum hash_alg)i, &got);
            hash_once((enum hash_alg)i, data, n, &want);
            assert_memory_equal(&got, &want, sizeof got);
        }
        hash_set_free(h);
    }
    hash_set_free(NULL);
}

static void combine_equals_direct_at_any_split(void **state)
{
    (void)state;
    static uint8_t data[70000];
    fill(data, sizeof data);
    for (int i = 0; i < 400; i++) {
        size_t n = next_random() % sizeof data;
        size_t split = i == 0 ? 0 : i == 1 ? n : next_random() % (n + 1);
        for (int k = 0; k < 4; k++) {
            struct hash_value a, b, want;
            hash_once(crcs[k], data, split, &a);
            hash_once(crcs[k], data + split, n - split, &b);
            hash_once(crcs[k], data, n, &want);
            hash_combine(crcs[k], &a, &b, n - split);
            assert_memory_equal(&a, &want, sizeof a);
        }
    }
}

/* More than 4 GiB: directly where the CRC is fast, else by associativity over lengths up to 2^63. */
static void combine_knows_long_lengths(void **state)
{
    (void)state;
    static uint8_t zeros[1 << 20];
    const uint64_t len = (UINT64_C(4) << 30) + 12345;
    uint32_t direct = crc32c(0, "head", 4), tail = 0;
    for (uint64_t done = 0; done < len;) {
        size_t n = len - done < sizeof zeros ? (size_t)(len - done) : sizeof zeros;
        direct = crc32c(direct, zeros, n);
        tail = crc32c(tail, zeros, n);
        done += n;
    }
    struct hash_value a, b;
    crc_store(HASH_CRC32C, crc32c(0, "head", 4), &a);
    crc_store(HASH_CRC32C, tail, &b);
    hash_combine(HASH_CRC32C, &a, &b, len);
    assert_true(crc_load(HASH_CRC32C, &a) == direct);
    for (int i = 0; i < 200; i++) {
        for (int k = 0; k < 4; k++) {
            struct hash_value x, y, z, left, right;
            uint64_t y_len = next_random() >> (1 + next_random() % 40),
                     z_len = next_random() >> (1 + next_random() % 40);
            crc_store(crcs[k], next_random(), &x);
            crc_store(crcs[k], next_random(), &y);
            crc_store(crcs[k], next_random(), &z);
            left = x;
            hash_combine(crcs[k], &left, &y, y_len);
            hash_combine(crcs[k], &left, &z, z_len);
            right = y;
            hash_combine(crcs[k], &right, &z, z_len);
            hash_combine(crcs[k], &x, &right, y_len + z_len);
            assert_true(crc_load(crcs[k], &x) == crc_load(crcs[k], &left));
        }
    }
}

static void hmac_follows_the_rfcs(void **state)
{
    (void)state;
    uint8_t out[32], want[32], key[200], msg[300];
    char hex[65];
    hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), out); /* RFC 4231, case 2 */
    hex_encode(out, 32, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hmac_sha1(STR("Jefe"), STR("what do ya want for nothing?"), out); /* RFC 2202, case 2 */
    hex_encode(out, 20, hex);
    assert_string_equal(hex, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    fill(key, sizeof key);
    fill(msg, sizeof msg);
    for (size_t n = 0; n <= sizeof key; n++) {
        size_t m = next_random() % sizeof msg;
        struct str k = str_of((char *)key, n), t = str_of((char *)msg, m);
        hmac_sha256(k, t, out);
        HMAC(EVP_sha256(), key, (int)n, msg, m, want, NULL);
        assert_memory_equal(out, want, 32);
        hmac_sha1(k, t, out);
        HMAC(EVP_sha1(), key, (int)n, msg, m, want, NULL);
        assert_memory_equal(out, want, 20);
    }
    hmac_sha256(STR_NONE, STR_NONE, out);
    HMAC(EVP_sha256(), "", 0, (const uint8_t *)"", 0, want, NULL);
    assert_memory_equal(out, want, 32);
}

static void *hash_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        struct hash_set *h = hash_set_new(HASH_BIT(HASH_SHA256) | HASH_BIT(HASH_MD5));
        struct hash_set *abandoned = hash_set_new(HASH_BIT(HASH_SHA256));
        struct hash_value v;
        hash_set_update(abandoned, "dirt", 4); /* its context goes back without its end */
        hash_set_free(abandoned);
        hash_once(HASH_SHA256, "abc", 3, &v);
        hash_set_update(h, "abc", 3);
        struct hash_value w;
        hash_set_final(h, HASH_SHA256, &w);
        hash_set_free(h);
        if (memcmp(&v, &w, sizeof v) != 0 || v.b[0] != 0xba) return (void *)1;
    }
    return NULL;
}

static void threads_share_nothing_but_the_algorithms(void **state)
{
    (void)state;
    pthread_t t[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, hash_many, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_check_values),
        cmocka_unit_test(names),
        cmocka_unit_test(crcs_agree_with_the_definition),
        cmocka_unit_test(folding_agrees_with_tables_and_isal),
        cmocka_unit_test(a_set_equals_its_members_however_it_is_fed),
        cmocka_unit_test(combine_equals_direct_at_any_split),
        cmocka_unit_test(combine_knows_long_lengths),
        cmocka_unit_test(hmac_follows_the_rfcs),
        cmocka_unit_test(threads_share_nothing_but_the_algorithms),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
