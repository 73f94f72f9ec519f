/* TLS: versions, names, reload, bodies both ways, and clients that do it wrong. */
#include "unit/http/serve.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define REQ(line) STR(line " HTTP/1.1\r\nHost: h\r\n\r\n")

static char dir[64];

static const char *path_of(const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *p = path[next++ % 8];
    snprintf(p, 128, "%s/%s", dir, name);
    return p;
}

/* NAME.crt and NAME.key for these DNS names. */
static void make_cert(const char *name, const char *names)
{
    char cmd[1024];
    snprintf(cmd, sizeof cmd,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=%s "
             "-addext subjectAltName=%s -keyout %s/%s.key -out %s/%s.crt 2>/dev/null",
             name, names, dir, name, dir, name);
    assert_int_equal(system(cmd), 0);
}

static void move_cert(const char *from, const char *to)
{
    char a[128], b[128];
    const char *ends[] = {"crt", "key"};
    for (int i = 0; i < 2; i++) {
        snprintf(a, sizeof a, "%s/%s.%s", dir, from, ends[i]);
        snprintf(b, sizeof b, "%s/%s.%s", dir, to, ends[i]);
        assert_int_equal(rename(a, b), 0);
    }
}

static struct http_tls_pair pair_of(const char *name)
{
    char crt[64], key[64];
    snprintf(crt, sizeof crt, "%s.crt", name);
    snprintf(key, sizeof key, "%s.key", name);
    return (struct http_tls_pair){str_c(path_of(crt)), str_c(path_of(key))};
}

static struct http_tls *load(void)
{
    struct http_tls_pair pairs[] = {pair_of("first"), pair_of("wild"), pair_of("exact")};
    struct http_tls *t;
    char why[256];
    assert_int_equal(http_tls_new(pairs, 3, &t, why), ERR_OK);
    return t;
}

/* ---- a client ---- */
static int shake_reason; /* why the last handshake failed */

static SSL *shake(int fd, const char *name, int version, bool *ok)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(ctx, version ? version : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_fd(ssl, fd);
    if (name) SSL_set_tlsext_host_name(ssl, name);
    *ok = SSL_connect(ssl) == 1;
    shake_reason = ERR_GET_REASON(ERR_peek_last_error());
    ERR_clear_error();
    return ssl;
}

static SSL *dial_tls(const struct server *s, const char *name, int version)
{
    bool ok;
    SSL *ssl = shake(dial(s), name, version, &ok);
    assert_true(ok);
    return ssl;
}

static void hang_up(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    ERR_clear_error();
    close(fd);
}

static void assert_cn(SSL *ssl, const char *want)
{
    X509 *cert = SSL_get1_peer_certificate(ssl);
    char cn[64];
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof cn);
    X509_free(cert);
    assert_string_equal(cn, want);
}

static void say_tls(SSL *ssl, struct str s)
{
    size_t n;
    assert_int_equal(SSL_write_ex(ssl, s.p, s.n, &n), 1);
}

/* One answer with a length. Returns the status; 0 when the connection ended; *body is initialised here. */
static int hear_tls(SSL *ssl, struct buf *body)
{
    struct buf head;
    buf_init(&head, 0);
    buf_init(body, 0);
    char c;
    size_t n;
    while (!str_ends(buf_view(&head), STR("\r\n\r\n"))) {
        if (SSL_read_ex(ssl, &c, 1, &n) != 1) {
            buf_free(&head);
            return 0;
        }
        buf_char(&head, c);
    }
    struct answer a = {.head = head};
    uint64_t status, length = 0;
    assert_true(str_to_u64(str_slice(buf_view(&head), 9, 12), &status));
    str_to_u64(answer_field(&a, "Content-Length"), &length);
    while (body->n < length) {
        char t[4096];
        size_t want = length - body->n < sizeof t ? (size_t)length - body->n : sizeof t;
        if (SSL_read_ex(ssl, t, want, &n) != 1) break;
        buf_add(body, t, n);
    }
    buf_free(&head);
    return (int)status;
}

static void assert_answer_tls(SSL *ssl, int status, const char *text)
{
    struct buf b;
    assert_int_equal(hear_tls(ssl, &b), status);
    if (text) assert_true(str_eq(buf_view(&b), str_c(text)));
    buf_free(&b);
}

/* ---- tests ---- */
static void both_versions(void **state)
{
    (void)state;
    struct http_tls *t = load();
    struct server *s = server_start(NULL, t, NULL);
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        SSL *ssl = dial_tls(s, NULL, versions[i]);
        assert_int_equal(SSL_version(ssl), versions[i]);
        for (int k = 0; k < 20; k++) {
            say_tls(ssl, REQ("GET /"));
            assert_answer_tls(ssl, 200, "hello");
        }
        say_tls(ssl, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /made?3 HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_answer_tls(ssl, 200, "hello");
        assert_answer_tls(ssl, 200, NULL);
        say_tls(ssl, REQ("GET /close"));
        assert_answer_tls(ssl, 200, "bye");
        char c;
        assert_int_equal(SSL_get_error(ssl, SSL_read(ssl, &c, 1)), SSL_ERROR_ZERO_RETURN); /* a clean end */
        hang_up(ssl);
    }
    server_stop(s);
    http_tls_free(t);
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    struct http_tls *t = load();
    struct server *s = server_start(NULL, t, NULL);
    const int versions[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (int i = 0; i < 2; i++) {
        bool ok;
        SSL *ssl = shake(dial(s), NULL, versions[i], &ok);
        assert_false(ok);
        assert_int_equal(shake_reason, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
        hang_up(ssl);
    }
    SSL *ssl = dial_tls(s, NULL, TLS1_2_VERSION);
    say_tls(ssl, REQ("GET /"));
    assert_answer_tls(ssl, 200, "hello");
    hang_up(ssl);
    server_stop(s);
    http_tls_free(t);
}

static void names_choose_certificates(void **state)
{
    (void)state;
    struct http_tls *t = load();
    struct server *s = server_start(NULL, t, NULL);
    const struct {
        const char *name, *cn;
    } rows[] = {{NULL, "first"},
                {"first.example", "first"},
                {"a.wild.example", "wild"},
                {"B.Wild.Example", "wild"},
                {"exact.wild.example", "exact"},
                {"a.b.wild.example", "first"},
                {"unknown.example", "first"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SSL *ssl = dial_tls(s, rows[i].name, 0);
        assert_cn(ssl, rows[i].cn);
        say_tls(ssl, REQ("GET /"));
        assert_answer_tls(ssl, 200, "hello");
        hang_up(ssl);
    }
    server_stop(s);
    http_tls_free(t);
}

static void reload_replaces_certificates(void **state)
{
    (void)state;
    struct http_tls *t = load();
    struct server *s = server_start(NULL, t, NULL);
    char why[256];
    SSL *old = dial_tls(s, "a.wild.example", 0);
    say_tls(old, REQ("GET /"));
    assert_answer_tls(old, 200, "hello");
    make_cert("second", "DNS:first.example");
    move_cert("first", "kept");
    move_cert("second", "first");
    assert_int_equal(http_tls_reload(t, why), ERR_OK);
    SSL *ssl = dial_tls(s, NULL, 0);
    assert_cn(ssl, "second");
    hang_up(ssl);
    say_tls(old, REQ("GET /")); /* what was open lives on */
    assert_answer_tls(old, 200, "hello");
    /* a bad file changes nothing */
    move_cert("first", "gone");
    assert_int_equal(http_tls_reload(t, why), ERR_INVALID_SETTING);
    assert_non_null(strstr(why, "first.crt"));
    ssl = dial_tls(s, NULL, 0);
    assert_cn(ssl, "second");
    hang_up(ssl);
    hang_up(old);
    move_cert("kept", "first");
    server_stop(s);
    http_tls_free(t);
}

static void bad_pairs_are_named(void **state)
{
    (void)state;
    struct http_tls *t;
    char why[256];
    struct http_tls_pair wrong = {pair_of("first").cert_file, pair_of("wild").key_file};
    assert_int_equal(http_tls_new(&wrong, 1, &t, why), ERR_INVALID_SETTING);
    assert_non_null(strstr(why, "wild.key"));
    assert_null(t);
    struct http_tls_pair absent = {STR("/nonexistent/x.crt"), STR("/nonexistent/x.key")};
    assert_int_equal(http_tls_new(&absent, 1, &t, why), ERR_INVALID_SETTING);
    assert_non_null(strstr(why, "/nonexistent/x.crt"));
    assert_null(strchr(why, '\n'));
}

static void large_bodies(void **state)
{
    (void)state;
    struct http_tls *t = load();
    struct server *s = server_start(NULL, t, NULL);
    SSL *ssl = dial_tls(s, NULL, 0);
    size_t n = 5 << 20;
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++) p[i] = pattern(i);
    struct buf b, want;
    buf_init(&want, 0);
    buf_fmt(&want, "%zu %08x", n, crc32c(0, p, n));
    buf_char(&want, 0);
    say_tls(ssl,
            STR("PUT /sum HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5242880\r\n\r\n"));
    assert_answer_tls(ssl, 100, NULL);
    say_tls(ssl, str_of(p, n));
    assert_answer_tls(ssl, 200, want.p);
    const char *paths[] = {"GET /made?5242880", "GET /bits?300000", "GET /made?16384", "GET /made?40000"};
    const size_t sizes[] = {5242880, 300000, 16384, 40000};
    for (size_t i = 0; i < 4; i++) {
        struct buf r;
        buf_init(&r, 0);
        buf_fmt(&r, "%s HTTP/1.1\r\nHost: h\r\n\r\n", paths[i]);
        say_tls(ssl, buf_view(&r));
        assert_int_equal(hear_tls(ssl, &b), 200);
        assert_int_equal(b.n, sizes[i]);
        assert_true(is_pattern(buf_view(&b)));
        buf_free(&b);
        buf_free(&r);
    }
    struct http_stats st;
    http_get_stats(s->http, &st);
    assert_true(st.memory < 1 << 20);
    buf_free(&want);
    free(p);
    hang_up(ssl);
    server_stop(s);
    http_tls_free(t);
}

/* A record a byte: the parser sees the request in the smallest pieces. */
static void tiny_records(void **state)
{
    (void)state;
    struct http_tls *t = load();
    struct server *s = server_start(NULL, t, NULL);
    SSL *ssl = dial_tls(s, NULL, 0);
    struct str in = STR("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde");
    for (size_t i = 0; i < in.n; i++) say_tls(ssl, str_slice(in, i, i + 1));
    assert_answer_tls(ssl, 200, "abcde");
    hang_up(ssl);
    server_stop(s);
    http_tls_free(t);
}

/* A body that broke is not followed by close_notify. */
static void cuts_are_seen(void **state)
{
    (void)state;
    struct http_tls *t = load();
    struct server *s = server_start(NULL, t, NULL);
    SSL *ssl = dial_tls(s, NULL, 0);
    struct buf b;
    say_tls(ssl, REQ("GET /breaks?50000"));
    hear_tls(ssl, &b);
    assert_true(b.n < 100000);
    char c;
    assert_int_not_equal(SSL_get_error(ssl, SSL_read(ssl, &c, 1)), SSL_ERROR_ZERO_RETURN);
    buf_free(&b);
    hang_up(ssl);
    server_stop(s);
    http_tls_free(t);
}

static void clients_that_do_it_wrong(void **state)
{
    (void)state;
    struct http_tls *t = load();
    struct http_limits l = {.header_ns = 400 * RT_MS, .idle_ns = 5 * RT_SEC};
    struct server *s = server_start(&l, t, NULL);
    int plain = dial(s);
    say(plain, REQ("GET /"));
    char junk[512];
    while (recv(plain, junk, sizeof junk, 0) > 0) continue; /* an alert at most, then the end */
    close(plain);
    int slow[8]; /* a handshake that stops costs no fiber and has the time of a head */
    int64_t from = now_ms();
    for (int i = 0; i < 8; i++) {
        slow[i] = dial(s);
        say(slow[i], STR("\x16\x03\x01\x01\x00"));
    }
    usleep(100000);
    struct rt_stats st;
    rt_get_stats(s->rt, &st);
    assert_int_equal(st.fibers_live, 0);
    for (int i = 0; i < 8; i++) {
        assert_ended(slow[i]);
        close(slow[i]);
    }
    int64_t took = now_ms() - from;
    assert_true(took >= 390 && took < 2500);
    SSL *ssl = dial_tls(s, NULL, 0);
    say_tls(ssl, REQ("GET /"));
    assert_answer_tls(ssl, 200, "hello");
    hang_up(ssl);
    assert_int_equal(s->handled, 1);
    server_stop(s);
    http_tls_free(t);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(names_choose_certificates),
        cmocka_unit_test(reload_replaces_certificates),
        cmocka_unit_test(bad_pairs_are_named),
        cmocka_unit_test(large_bodies),
        cmocka_unit_test(tiny_records),
        cmocka_unit_test(cuts_are_seen),
        cmocka_unit_test(clients_that_do_it_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/ingot-tls-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    make_cert("first", "DNS:first.example");
    make_cert("wild", "DNS:*.wild.example");
    make_cert("exact", "DNS:exact.wild.example");
    int failed = run_on_backends(run);
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd) != 0 || failed;
}
