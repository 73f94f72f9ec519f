/* One header field of a request: views into the connection's buffer. */
#ifndef HTTP_HEADER_H
#define HTTP_HEADER_H

#include "base/str.h"

struct http_header {
    struct str name;  /* lower-case */
    struct str value; /* trimmed; bytes as sent */
};

#endif
