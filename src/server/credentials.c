#include "server/credentials.h"

#include "base/codec.h"
#include "hash/hash.h"
#include "sys/sys.h"

#define FILE_MAX_BYTES 4096
#define ACCESS_PREFIX  "INGOT"
#define ACCESS_SIZE    20
#define SECRET_SIZE    40

/* n random characters of an alphabet whose size divides 256 unevenly at most where rejection evens it out. */
static void random_text(const char *alphabet, char *out, size_t n)
{
    size_t letters = strlen(alphabet), limit = 256 / letters * letters;
    for (size_t i = 0; i < n;) {
        uint8_t byte;
        sys->random(&byte, 1);
        if (byte < limit) out[i++] = alphabet[byte % letters];
    }
    out[n] = 0;
}

static void make_pair(struct credentials *k)
{
    const size_t prefix = sizeof ACCESS_PREFIX - 1;
    memcpy(k->access_key, ACCESS_PREFIX, prefix);
    random_text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k->access_key + prefix, ACCESS_SIZE - prefix);
    random_text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k->secret_key, SECRET_SIZE);
}

static err write_pair(const struct credentials *k, char why[CREDENTIALS_WHY])
{
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    buf_fmt(
        &text,
        "# Root credentials of this data directory. Keep this file to yourself; `ingot keys` explains it.\n"
        "access-key = %s\nsecret-key = %s\n",
        k->access_key, k->secret_key);
    err e = text.overflow ? ERR_NO_MEMORY : sys_replace_file(k->path, buf_view(&text), 0600);
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_free(&text);
    if (e) snprintf(why, CREDENTIALS_WHY, "%.400s cannot be written: %s", k->path, err_name(e));
    return e;
}

static bool keep_value(struct str value, char out[129])
{
    if (value.n == 0 || value.n > 128) return false;
    memcpy(out, value.p, value.n);
    out[value.n] = 0;
    return true;
}

static err parse_pair(struct str text, struct credentials *k, char why[CREDENTIALS_WHY])
{
    bool access = false, secret = false;
    while (text.p) {
        struct str value = str_cut(&text, '\n');
        struct str name = str_trim(str_cut(&value, '='));
        if (str_eq(name, STR("access-key"))) access = keep_value(str_trim(value), k->access_key);
        if (str_eq(name, STR("secret-key"))) secret = keep_value(str_trim(value), k->secret_key);
    }
    if (access && secret) return ERR_OK;
    snprintf(why, CREDENTIALS_WHY,
             "%.300s has no access-key and secret-key lines; restore it, or remove it and new ones are made",
             k->path);
    return ERR_INVALID_SETTING;
}

static err read_pair(struct credentials *k, char why[CREDENTIALS_WHY])
{
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    err e = sys_read_file(k->path, FILE_MAX_BYTES, &text);
    if (e == ERR_OK)
        e = parse_pair(buf_view(&text), k, why);
    else if (e != ERR_NOT_FOUND)
        snprintf(why, CREDENTIALS_WHY, "%.400s cannot be read: %s", k->path, err_name(e));
    else
        snprintf(why, CREDENTIALS_WHY, "%.400s does not exist yet; the first start of the server makes it",
                 k->path);
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_free(&text);
    return e;
}

static void set_path(const struct config *c, struct credentials *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->path, sizeof out->path, "%s/credentials", config_z(c, SET_DATA));
}

err credentials_get(const struct config *c, bool create, bool keep, struct credentials *out,
                    char why[CREDENTIALS_WHY])
{
    set_path(c, out);
    if (keep_value(config_str(c, SET_ACCESS_KEY), out->access_key)) {
        keep_value(config_str(c, SET_SECRET_KEY), out->secret_key);
        out->from_settings = true;
        return ERR_OK;
    }
    if (keep) {
        err e = read_pair(out, why);
        if (e != ERR_NOT_FOUND || !create) return e;
    }
    make_pair(out);
    out->created = true;
    return keep ? write_pair(out, why) : ERR_OK;
}

err credentials_rotate(const struct config *c, struct credentials *out, char why[CREDENTIALS_WHY])
{
    set_path(c, out);
    err e = read_pair(out, why);
    if (e) return e;
    make_pair(out);
    out->created = true;
    return write_pair(out, why);
}

void credentials_wipe(struct credentials *k)
{
    explicit_bzero(k->secret_key, sizeof k->secret_key);
}

void credentials_paste_lines(const struct credentials *k, struct str endpoint, struct str region,
                             struct buf *out)
{
    buf_fmt(out,
            "awscli:\n"
            "  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_DEFAULT_REGION=%.*s\n"
            "  aws --endpoint-url %.*s s3 mb s3://first\n"
            "  aws --endpoint-url %.*s s3 ls\n",
            k->access_key, k->secret_key, STR_FMT(region), STR_FMT(endpoint), STR_FMT(endpoint));
    buf_fmt(out,
            "boto3:\n"
            "  import boto3\n"
            "  s3 = boto3.client(\"s3\", endpoint_url=\"%.*s\", region_name=\"%.*s\",\n"
            "                    aws_access_key_id=\"%s\", aws_secret_access_key=\"%s\")\n"
            "  print(s3.list_buckets()[\"Buckets\"])\n",
            STR_FMT(endpoint), STR_FMT(region), k->access_key, k->secret_key);
    buf_fmt(out,
            "rclone:\n"
            "  rclone config create ingot s3 provider=Other endpoint=%.*s region=%.*s access_key_id=%s "
            "secret_access_key=%s\n"
            "  rclone lsd ingot:\n",
            STR_FMT(endpoint), STR_FMT(region), k->access_key, k->secret_key);
}

void root_canonical_id(char out[65])
{
    struct hash_value digest;
    struct str name = STR("ingot root account");
    hash_once(HASH_SHA256, name.p, name.n, &digest);
    hex_encode(digest.b, 32, out);
}
