/* S3's rules for names of general purpose buckets. */
#include "object/object.h"

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n > 0;
}

/* Formatted as an IPv4 address: 192.168.5.4 */
static bool like_address(struct str name)
{
    unsigned fields = 0;
    while (name.p) {
        struct str f = str_cut(&name, '.');
        if (!all_digits(f) || f.n > 3) return false;
        fields++;
    }
    return fields == 4;
}

bool bucket_name_valid(struct str name)
{
    if (name.n < 3 || name.n > 63) return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool edge = i == 0 || i == name.n - 1;
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alnum && (edge || (c != '.' && c != '-'))) return false;
        /* Labels of DNS: not empty, no '-' at an edge. A '.' is never at an edge of the name. */
        if (c == '.' && (name.p[i + 1] == '.' || name.p[i + 1] == '-' || name.p[i - 1] == '-')) return false;
    }
    if (str_starts(name, STR("xn--")) || str_starts(name, STR("sthree-")) ||
        str_starts(name, STR("amzn-s3-demo-")))
        return false;
    if (str_ends(name, STR("-s3alias")) || str_ends(name, STR("--ol-s3")) || str_ends(name, STR(".mrap")) ||
        str_ends(name, STR("--x-s3")) || str_ends(name, STR("--table-s3")))
        return false;
    return !like_address(name);
}
