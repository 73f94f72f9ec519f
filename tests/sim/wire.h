/* What the two files of the HTTP transport share. */
#ifndef TESTS_SIM_WIRE_H
#define TESTS_SIM_WIRE_H

#include "world.h"

#include <stdarg.h>
#include <string.h>

struct wire {
    struct rt_sock *sock; /* NULL: not connected */
    char rx[64 << 10];
};

/* One answer as it comes in. */
struct reply {
    _Alignas(16) char parser[256]; /* llhttp's, whose names are not those of http.h */
    bool done, keep, head_method, in_value;
    int status;
    uint64_t length; /* as announced */
    char field[40], value[300];
    size_t nfield, nvalue;
    struct buf *body;
    char etag[ETAG_SIZE], version[ID_SIZE];
    bool marker;
    unsigned meta;
};
void wire_reply_init(struct reply *r, bool head_method, struct buf *body);
bool wire_reply_feed(struct reply *r, const char *p, size_t n); /* false: not HTTP */
/* What it says about op. */
void wire_reply_read(const struct reply *r, const struct op *op, struct answer *a);

#endif
