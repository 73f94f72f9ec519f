#include "cmd/cmd.h"

#include "server/credentials.h"

static void describe(const struct config *c, const struct credentials *k, bool show, struct buf *out)
{
    if (k->from_settings)
        buf_fmt(out, "root credentials come from the setting access-key (%.*s), not from %s\n",
                STR_FMT(config_source(c, SET_ACCESS_KEY)), k->path);
    else
        buf_fmt(out, "root credentials are in %s\n", k->path);
    buf_fmt(out, "  access key  %s\n  secret key  %s\n", k->access_key,
            show ? k->secret_key : "(ingot keys --show prints it)");
    if (!show) return;
    size_t n;
    struct str address = config_list(c, SET_LISTEN, &n)[0];
    struct buf url;
    buf_init(&url, 4096);
    if (!str_starts(address, STR("https://"))) buf_cstr(&url, "http://");
    buf_str(&url, address);
    credentials_paste_lines(k, buf_view(&url), config_str(c, SET_REGION), out);
    buf_free(&url);
}

static int run(const struct command *self, int argc, char **argv)
{
    bool show = false, rotate = false;
    const struct config_option options[] = {
        {"show", &show, NULL, "print the secret key too, with lines to paste"},
        {"rotate", &rotate, NULL, "make a new pair; the running server takes it when it is started again"},
    };
    int code;
    struct config *c = cmd_settings(self, options, 2, argc, argv, &code);
    if (!c) return code;
    struct credentials k;
    char why[CREDENTIALS_WHY];
    err e = credentials_get(c, false, true, &k, why);
    if (!e && rotate && k.from_settings) {
        snprintf(why, sizeof why, "the key comes from the setting access-key (%s); change it there",
                 config_source(c, SET_ACCESS_KEY).p);
        e = ERR_INVALID_SETTING;
    } else if (!e && rotate) {
        e = credentials_rotate(c, &k, why);
    }
    if (e) {
        code = cmd_refuse(why, CMD_CANNOT);
    } else {
        struct buf out;
        buf_init(&out, 1u << 16);
        if (rotate) buf_cstr(&out, "rotated; start the server again so that the new pair holds\n");
        describe(c, &k, show || rotate, &out);
        cmd_print(&out);
    }
    credentials_wipe(&k);
    config_free(c);
    return code;
}

const struct command cmd_keys = {
    .name = "keys",
    .about = "show where the root credentials are, print or replace them",
    .examples = "Examples:\n"
                "  ingot keys\n"
                "      where they are, and the access key\n"
                "  ingot keys --data /srv/ingot --show\n"
                "      both keys of that data directory, with lines to paste\n"
                "  ingot keys --rotate\n"
                "      a new pair; the old one ends when the server is started again\n",
    .takes = SETTING_FOR_TOOLS,
    .run = run,
};
