/* Reason phrases of HTTP status codes. */
#ifndef HTTP_STATUS_H
#define HTTP_STATUS_H

#include "base/str.h"

struct str http_reason(int status);

#endif
