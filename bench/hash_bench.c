/* What digests and checksums cost: gigabytes a second of one core, the best of some rounds. MD5 is one
 * message or several side by side; the last lines are what a body of an upload takes, MD5 and both 64-bit
 * CRCs. */
#include "base/bytes.h"
#include "hash/hash.h"
#include "hash/md5.h"
#include "sys/sys.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE  ((size_t)16 << 10) /* of each message in turn, as a lane's buffer gives them */
#define LENGTH ((size_t)1 << 20)  /* of a message */
#define ROUNDS 20

static uint8_t *data[MD5_LANES];

static double rate(uint64_t begun, size_t bytes)
{
    return (double)bytes / (double)(sys_real.mono_ns() - begun);
}

static double md5_of(unsigned messages)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct md5 m[MD5_LANES];
        struct md5_feed feed[MD5_LANES];
        uint64_t begun = sys_real.mono_ns();
        for (unsigned i = 0; i < messages; i++) md5_begin(&m[i]);
        for (size_t at = 0; at < LENGTH; at += PIECE) {
            for (unsigned i = 0; i < messages; i++) feed[i] = (struct md5_feed){&m[i], data[i] + at, PIECE};
            md5_update_many(feed, messages);
        }
        double now = rate(begun, messages * LENGTH);
        if (now > best) best = now;
    }
    return best;
}

static double set_of(unsigned bits, unsigned messages)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct hash_feed feed[MD5_LANES];
        for (unsigned i = 0; i < messages; i++) feed[i].set = hash_set_new(bits);
        uint64_t begun = sys_real.mono_ns();
        for (size_t at = 0; at < LENGTH; at += PIECE) {
            for (unsigned i = 0; i < messages; i++) feed[i].bytes = str_of((char *)data[i] + at, PIECE);
            hash_set_update_many(feed, messages);
        }
        double now = rate(begun, messages * LENGTH);
        for (unsigned i = 0; i < messages; i++) hash_set_free(feed[i].set);
        if (now > best) best = now;
    }
    return best;
}

int main(void)
{
    for (unsigned i = 0; i < MD5_LANES; i++) {
        data[i] = malloc(LENGTH);
        if (!data[i]) return 1;
        memset(data[i], (int)i + 1, LENGTH);
    }
    for (unsigned n = 1; n <= MD5_LANES; n++) printf("MD5, %u at once           %6.2f GB/s\n", n, md5_of(n));
    for (int alg = 0; alg < HASH_ALGS; alg++)
        printf("%-24s  %6.2f GB/s\n", hash_name(alg), set_of(HASH_BIT(alg), 1));
    const unsigned upload = HASH_BIT(HASH_MD5) | HASH_BIT(HASH_CRC64NVME) | HASH_BIT(HASH_CRC64XZ);
    for (unsigned n = 1; n <= MD5_LANES; n *= 2)
        printf("MD5 and CRCs, %u at once  %6.2f GB/s\n", n, set_of(upload, n));
    for (unsigned i = 0; i < MD5_LANES; i++) free(data[i]);
    return 0;
}
