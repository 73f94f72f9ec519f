#include "http/status.h"

struct str http_reason(int status)
{
    static const struct {
        int status;
        struct str text;
    } reasons[] = {
#define R(n, s)                                                                                              \
    {                                                                                                        \
        n,                                                                                                   \
        {                                                                                                    \
            s, sizeof(s) - 1                                                                                 \
        }                                                                                                    \
    }
        R(200, "OK"),
        R(201, "Created"),
        R(202, "Accepted"),
        R(204, "No Content"),
        R(206, "Partial Content"),
        R(301, "Moved Permanently"),
        R(302, "Found"),
        R(303, "See Other"),
        R(304, "Not Modified"),
        R(307, "Temporary Redirect"),
        R(308, "Permanent Redirect"),
        R(400, "Bad Request"),
        R(401, "Unauthorized"),
        R(403, "Forbidden"),
        R(404, "Not Found"),
        R(405, "Method Not Allowed"),
        R(406, "Not Acceptable"),
        R(408, "Request Timeout"),
        R(409, "Conflict"),
        R(410, "Gone"),
        R(411, "Length Required"),
        R(412, "Precondition Failed"),
        R(413, "Content Too Large"),
        R(415, "Unsupported Media Type"),
        R(416, "Range Not Satisfiable"),
        R(417, "Expectation Failed"),
        R(429, "Too Many Requests"),
        R(500, "Internal Server Error"),
        R(501, "Not Implemented"),
        R(502, "Bad Gateway"),
        R(503, "Service Unavailable"),
        R(507, "Insufficient Storage"),
#undef R
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].text;
    return STR("Unknown");
}
