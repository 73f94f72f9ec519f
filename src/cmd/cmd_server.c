#include "cmd/cmd.h"

#include "server/server.h"

static int run(const struct command *self, int argc, char **argv)
{
    int code;
    struct config *c = cmd_settings(self, NULL, 0, argc, argv, &code);
    if (!c) return code;
    struct config_args args = cmd_args(self, NULL, 0, argc, argv);
    code = server_run(c, &args);
    config_free(c);
    return code;
}

const struct command cmd_server = {
    .name = "server",
    .about = "serve a data directory over the S3 API",
    .examples =
        "Examples:\n"
        "  ingot server\n"
        "      serves ./data on http://127.0.0.1:9000; the first start prints the root credentials\n"
        "  ingot server --data /srv/ingot --listen :9000 --listen https://:9443 --tls cert.pem:key.pem\n"
        "      all addresses, plain and TLS\n"
        "  ingot server --listen unix:/run/ingot.sock --domain s3.example.com\n"
        "      a Unix socket; bucket.s3.example.com names a bucket too\n"
        "  INGOT_ACCESS_KEY=me INGOT_SECRET_KEY=at-least-8 ingot server\n"
        "      root credentials of your own\n"
        "\n"
        "Signals: TERM and INT finish what runs, within drain-time, and end; a second one ends at once. HUP "
        "reads\n"
        "settings and certificates again. Health: /-/live, /-/ready, /-/metrics (Prometheus), "
        "/-/debug/fibers.\n"
        "Exit codes: 0 drained, 1 cut, 2 wrong usage or setting, 3 could not start.\n",
    .takes = SETTING_FOR_SERVER,
    .all_settings = true,
    .run = run,
};
