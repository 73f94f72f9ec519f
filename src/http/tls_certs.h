/* One generation of loaded certificates. A connection holds the generation that it began with. */
#ifndef HTTP_TLS_CERTS_H
#define HTTP_TLS_CERTS_H

#include "http/tls.h"
#include <openssl/ssl.h>

struct tls_certs;
struct tls_certs *tls_certs_take(struct http_tls *t); /* the present generation, referenced */
void tls_certs_drop(struct tls_certs *c);
SSL *tls_certs_new_ssl(struct tls_certs *c); /* server side; NULL: no memory */

#endif
