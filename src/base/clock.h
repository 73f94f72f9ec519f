/* Dates as S3 writes and reads them. Times are milliseconds since 1970-01-01T00:00:00Z, UTC.
 * The current time comes from sys (sys/sys.h), so that simulation owns it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/str.h"

/* What is outside the years 0 to 9999 is printed as the nearest bound. */
#define TIME_HTTP_SIZE 30
#define TIME_ISO_SIZE  25
#define TIME_AMZ_SIZE  17
void time_http(int64_t ms, char out[TIME_HTTP_SIZE]); /* Sun, 06 Nov 1994 08:49:37 GMT */
void time_iso(int64_t ms, char out[TIME_ISO_SIZE]);   /* 1994-11-06T08:49:37.000Z */
void time_amz(int64_t ms, char out[TIME_AMZ_SIZE]);   /* 19941106T084937Z */
bool time_parse_http(struct str s,
                     int64_t *ms); /* RFC 9110: IMF-fixdate, RFC 850 (69..99 are 19xx), asctime */
bool time_parse_iso(struct str s, int64_t *ms); /* with or without fraction, Z or +hh:mm; date alone */
bool time_parse_amz(struct str s, int64_t *ms);

#endif
