#include "server/accounts.h"

#include "base/codec.h"
#include "sys/sys.h"

#include <jansson.h>

#define FILE_MAX_BYTES (1u << 20)

static void add_root(const struct credentials *root, struct arena *a, struct accounts *out)
{
    char canonical[65];
    root_canonical_id(canonical);
    out->key[out->n++] = (struct auth_key){
        .access_key = str_c(root->access_key),
        .secret_key = str_c(root->secret_key),
        .who = {.access_key = str_c(root->access_key),
                .canonical_id = arena_dup(a, str_c(canonical)),
                .display_name = STR(ROOT_DISPLAY_NAME),
                .account = STR(ROOT_ACCOUNT),
                .root = true},
    };
}

static struct str member(struct arena *a, const json_t *row, const char *name)
{
    const json_t *v = json_object_get(row, name);
    return json_is_string(v) ? arena_dup(a, str_of(json_string_value(v), json_string_length(v))) : STR("");
}

/* NULL, or what is wrong with the row. */
static const char *add_row(const json_t *row, struct arena *a, struct accounts *out)
{
    if (out->n == ACCOUNTS_MAX) return "there are too many accounts";
    struct auth_key *k = &out->key[out->n];
    k->access_key = member(a, row, "access-key");
    k->secret_key = member(a, row, "secret-key");
    k->who = (struct auth_identity){.access_key = k->access_key,
                                    .canonical_id = member(a, row, "canonical-id"),
                                    .display_name = member(a, row, "display-name"),
                                    .account = member(a, row, "account"),
                                    .root = true};
    uint8_t id[32];
    uint64_t number;
    if (k->access_key.n < 3 || k->access_key.n > 128) return "access-key must have 3 to 128 characters";
    if (k->secret_key.n < 8 || k->secret_key.n > 128) return "secret-key must have 8 to 128 characters";
    if (!hex_decode(k->who.canonical_id, id, sizeof id)) return "canonical-id must be 64 hex digits";
    if (k->who.account.n != 12 || !str_to_u64(k->who.account, &number)) return "account must be 12 digits";
    for (size_t i = 0; i < out->n; i++)
        if (str_eq(out->key[i].access_key, k->access_key)) return "access-key is there twice";
    out->n++;
    return NULL;
}

static err add_rows(const char *path, struct str text, struct arena *a, struct accounts *out,
                    char why[CREDENTIALS_WHY])
{
    json_error_t at;
    json_t *rows = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &at);
    const char *bad = NULL;
    size_t i = 0;
    if (!rows)
        snprintf(why, CREDENTIALS_WHY, "test-accounts: %.300s:%d: %s", path, at.line, at.text);
    else if (!json_is_array(rows))
        bad = "the file must hold an array";
    for (; rows && !bad && i < json_array_size(rows); i++) bad = add_row(json_array_get(rows, i), a, out);
    if (bad) snprintf(why, CREDENTIALS_WHY, "test-accounts: %.300s: account %zu: %s", path, i, bad);
    err e = !rows || bad ? ERR_INVALID_SETTING : ERR_OK;
    json_decref(rows);
    return e;
}

err accounts_load(const struct config *c, const struct credentials *root, struct arena *a,
                  struct accounts *out, char why[CREDENTIALS_WHY])
{
    out->n = 0;
    add_root(root, a, out);
    const char *path = config_z(c, SET_TEST_ACCOUNTS);
    if (!*path) return ERR_OK;
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    err e = sys_read_file(path, FILE_MAX_BYTES, &text);
    if (e)
        snprintf(why, CREDENTIALS_WHY, "test-accounts: %.400s cannot be read: %s", path, err_name(e));
    else
        e = add_rows(path, buf_view(&text), a, out, why);
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_free(&text);
    return e ? ERR_INVALID_SETTING : ERR_OK;
}
