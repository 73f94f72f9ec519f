/* md5: RFC 1321, one message at a time or several side by side. MD5 is a chain of dependent steps, so one
 * message leaves most of a core idle; eight messages in the eight lanes of a vector take about as long as
 * one. Needs AVX2, asked at run time; elsewhere messages go one after the other.
 */
#ifndef HASH_MD5_H
#define HASH_MD5_H

#include <stddef.h>
#include <stdint.h>

#define MD5_LANES 8u

struct md5 {
    uint32_t state[4];
    uint64_t length; /* bytes so far; the last length % 64 of them wait in tail */
    uint8_t tail[64];
};
void md5_begin(struct md5 *m);
void md5_update(struct md5 *m, const void *p, size_t n);
void md5_end(struct md5 *m, uint8_t out[16]);

struct md5_feed {
    struct md5 *m; /* each once */
    const uint8_t *p;
    size_t n;
};
/* md5_update for each of v, side by side. Uses v. */
void md5_update_many(struct md5_feed *v, size_t n);

#endif
