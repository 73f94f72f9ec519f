#include "base/clock.h"

#include <stdio.h>

static const char days[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

#define DAY_MS INT64_C(86400000)
#define MIN_MS (INT64_C(-719528) * DAY_MS)     /* 0000-01-01T00:00:00.000Z */
#define MAX_MS (INT64_C(2932897) * DAY_MS - 1) /* 9999-12-31T23:59:59.999Z */

struct civil {
    int year, month, day, hour, minute, second, ms, weekday; /* month 1..12, weekday 0 = Sunday */
};

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar; years start in March here, so that the
 * leap day is the last of its year. */
static int64_t days_of(int64_t y, int m, int d)
{
    if (m <= 2) y--;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct civil civil_of(int64_t ms)
{
    ms = ms < MIN_MS ? MIN_MS : ms > MAX_MS ? MAX_MS : ms;
    int64_t day = ms / DAY_MS, in_day = ms % DAY_MS;
    if (in_day < 0) in_day += DAY_MS, day--;
    int64_t z = day + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int mp = (int)((5 * doy + 2) / 153);
    struct civil c = {.day = (int)(doy - (153 * mp + 2) / 5 + 1), .month = mp < 10 ? mp + 3 : mp - 9};
    c.year = (int)(yoe + era * 400 + (c.month <= 2));
    c.weekday = (int)(((day + 4) % 7 + 7) % 7);
    c.hour = (int)(in_day / 3600000);
    c.minute = (int)(in_day / 60000 % 60);
    c.second = (int)(in_day / 1000 % 60);
    c.ms = (int)(in_day % 1000);
    return c;
}

static char *put_digits(char *p, int v, int width)
{
    for (int i = width - 1; i >= 0; i--, v /= 10) p[i] = (char)('0' + v % 10);
    return p + width;
}

static char *put_text(char *p, const char *s, size_t n)
{
    memcpy(p, s, n);
    return p + n;
}

/* Write c as fmt says: the conversions are those of scan. */
static void print(char *p, const char *fmt, const struct civil *c)
{
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            *p++ = *fmt;
            continue;
        }
        switch (*++fmt) {
        case 'a':
            p = put_text(p, days[c->weekday], 3);
            break;
        case 'b':
            p = put_text(p, months[c->month - 1], 3);
            break;
        case 'Y':
            p = put_digits(p, c->year, 4);
            break;
        case 'm':
            p = put_digits(p, c->month, 2);
            break;
        case 'd':
            p = put_digits(p, c->day, 2);
            break;
        case 'H':
            p = put_digits(p, c->hour, 2);
            break;
        case 'M':
            p = put_digits(p, c->minute, 2);
            break;
        case 'S':
            p = put_digits(p, c->second, 2);
            break;
        }
    }
    *p = 0;
}

void time_http(int64_t ms, char out[TIME_HTTP_SIZE])
{
    struct civil c = civil_of(ms);
    print(out, "%a, %d %b %Y %H:%M:%S GMT", &c);
}

void time_iso(int64_t ms, char out[TIME_ISO_SIZE])
{
    struct civil c = civil_of(ms);
    char *p = put_digits(out, c.year, 4);
    *p++ = '-';
    p = put_digits(p, c.month, 2);
    *p++ = '-';
    p = put_digits(p, c.day, 2);
    *p++ = 'T';
    p = put_digits(p, c.hour, 2);
    *p++ = ':';
    p = put_digits(p, c.minute, 2);
    *p++ = ':';
    p = put_digits(p, c.second, 2);
    *p++ = '.';
    p = put_digits(p, c.ms, 3);
    memcpy(p, "Z", 2);
}

void time_amz(int64_t ms, char out[TIME_AMZ_SIZE])
{
    struct civil c = civil_of(ms);
    print(out, "%Y%m%dT%H%M%SZ", &c);
}

static bool take_digits(struct str *s, int width, int *out)
{
    if (s->n < (size_t)width) return false;
    int v = 0;
    for (int i = 0; i < width; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *out = v;
    *s = str_slice(*s, (size_t)width, s->n);
    return true;
}

/* Take one of count names; len 0: the whole name, else its first len letters. */
static bool take_name(struct str *s, const char *names, size_t stride, int count, size_t len, int *out)
{
    for (int i = 0; i < count; i++) {
        struct str name = str_c(names + (size_t)i * stride);
        if (len) name = str_slice(name, 0, len);
        if (!str_starts(*s, name)) continue;
        *s = str_slice(*s, name.n, s->n);
        *out = i;
        return true;
    }
    return false;
}

static bool take_one(struct str *s, char conversion, struct civil *c)
{
    switch (conversion) {
    case 'a':
        return take_name(s, days[0], sizeof days[0], 7, 3, &c->weekday);
    case 'A':
        return take_name(s, days[0], sizeof days[0], 7, 0, &c->weekday);
    case 'b':
        if (!take_name(s, months[0], sizeof months[0], 12, 3, &c->month)) return false;
        c->month++;
        return true;
    case 'Y':
        return take_digits(s, 4, &c->year);
    case 'y':
        if (!take_digits(s, 2, &c->year)) return false;
        c->year += c->year < 69 ? 2000 : 1900;
        return true;
    case 'm':
        return take_digits(s, 2, &c->month);
    case 'd':
        return take_digits(s, 2, &c->day);
    case 'e': /* padded by a blank */
        if (!s->n || s->p[0] != ' ') return take_digits(s, 2, &c->day);
        *s = str_slice(*s, 1, s->n);
        return take_digits(s, 1, &c->day);
    case 'H':
        return take_digits(s, 2, &c->hour);
    case 'M':
        return take_digits(s, 2, &c->minute);
    case 'S':
        return take_digits(s, 2, &c->second);
    default:
        return false;
    }
}

/* Take what fmt describes off the front of *s. */
static bool scan(struct str *s, const char *fmt, struct civil *c)
{
    for (; *fmt; fmt++) {
        if (*fmt == '%') {
            if (!take_one(s, *++fmt, c)) return false;
        } else if (!s->n || s->p[0] != *fmt) {
            return false;
        } else {
            *s = str_slice(*s, 1, s->n);
        }
    }
    return true;
}

static bool to_ms(const struct civil *c, int64_t *ms)
{
    static const int in_month[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (c->month < 1 || c->month > 12 || c->day < 1) return false;
    bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);
    if (c->day > in_month[c->month - 1] + (leap && c->month == 2)) return false;
    /* second 60 is a leap second: the first of the next minute. */
    if (c->hour > 23 || c->minute > 59 || c->second > 60) return false;
    int64_t day = days_of(c->year, c->month, c->day);
    *ms = day * DAY_MS + ((c->hour * 60 + c->minute) * 60 + c->second) * INT64_C(1000) + c->ms;
    return true;
}

static bool parse_whole(struct str s, const char *fmt, int64_t *ms)
{
    struct civil c = {0};
    return scan(&s, fmt, &c) && s.n == 0 && to_ms(&c, ms);
}

bool time_parse_http(struct str s, int64_t *ms)
{
    return parse_whole(s, "%a, %d %b %Y %H:%M:%S GMT", ms) ||
           parse_whole(s, "%A, %d-%b-%y %H:%M:%S GMT", ms) || parse_whole(s, "%a %b %e %H:%M:%S %Y", ms);
}

bool time_parse_amz(struct str s, int64_t *ms)
{
    return parse_whole(s, "%Y%m%dT%H%M%SZ", ms);
}

/* A fraction of a second, cut to milliseconds. */
static bool take_fraction(struct str *s, int *ms)
{
    *s = str_slice(*s, 1, s->n);
    int digits = 0, v = 0;
    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; digits++, *s = str_slice(*s, 1, s->n))
        if (digits < 3) v = v * 10 + (s->p[0] - '0');
    for (int i = digits; i < 3; i++) v *= 10;
    *ms = v;
    return digits > 0;
}

bool time_parse_iso(struct str s, int64_t *ms)
{
    struct civil c = {0};
    if (!scan(&s, "%Y-%m-%d", &c)) return false;
    if (s.n == 0) return to_ms(&c, ms);
    if (!scan(&s, "T%H:%M:%S", &c)) return false;
    if (s.n && s.p[0] == '.' && !take_fraction(&s, &c.ms)) return false;
    if (str_eq(s, STR("Z"))) return to_ms(&c, ms);
    struct civil zone = {0};
    int64_t sign = s.n && s.p[0] == '-' ? -1 : 1, local;
    if (!scan(&s, sign < 0 ? "-%H:%M" : "+%H:%M", &zone) || s.n || zone.hour > 23 || zone.minute > 59)
        return false;
    if (!to_ms(&c, &local)) return false;
    *ms = local - sign * (zone.hour * 60 + zone.minute) * INT64_C(60000);
    return true;
}
