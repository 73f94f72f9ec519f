/* TLS by OpenSSL: TLS 1.2 and newer, certificates chosen by SNI, replaced while serving. Thread-safe. */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include "base/errors.h"

struct http_tls;
struct http_tls_pair {
    struct str cert_file, key_file;
}; /* PEM; the first pair is the default */
/* why receives one line for the user on failure. */
err http_tls_new(const struct http_tls_pair *pairs, size_t n, struct http_tls **out, char why[256]);
/* Read the files again; on failure the old certificates stay. */
err http_tls_reload(struct http_tls *t, char why[256]);
void http_tls_free(struct http_tls *t);

#endif
