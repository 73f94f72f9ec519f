/* Any request head through authentication, with the clock standing at the date of AWS's examples (which are
 * among the seeds): an identity comes exactly with success, only a root key's signature makes one that is not
 * anonymous, and the body's filters end or fail and then stay so.
 */
#include "../unit/auth/fake_request.h"
#include "auth/internal.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(struct api_request *rq)
{
    struct str view;
    err e;
    while (!(e = body_next(rq->body, &view)) && view.n > 0) continue;
    if (e) ASSERT(body_next(rq->body, &view) == e);
    enum hash_alg alg;
    struct hash_value value;
    err sum;
    if (auth_trailer_declared(rq, &alg)) ASSERT(auth_trailer_checksum(rq, &alg, &value, &sum));
}

/* The canonical form of a canonical path and query is itself. */
static void check_canonical(struct api_request *rq)
{
    struct sigv4 s = {.signed_headers = STR("host"), .payload = STR("UNSIGNED-PAYLOAD")};
    struct str once = sigv4_canonical(rq, &s), rest = once;
    ASSERT(once.p != NULL);
    str_cut(&rest, '\n');
    rq->x->path = str_cut(&rest, '\n');
    rq->x->query = str_cut(&rest, '\n');
    ASSERT(str_eq(sigv4_canonical(rq, &s), once));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct auth *auth;
    if (size > 16384) return 0;
    if (!auth) {
        fake_clock(EXAMPLE_NOW);
        auth = fake_auth();
    }
    struct arena *a = arena_new(0);
    struct api_request *rq = fake_request(a, str_of((const char *)data, size));
    err e = auth_who(auth, rq);
    ASSERT((e == ERR_OK) <= (rq->who != NULL));
    if (!e) {
        ASSERT(rq->who->anonymous != rq->who->root);
        read_body(rq);
    } else {
        ASSERT(err_status(e) == 400 || err_status(e) == 403 || err_status(e) == 411);
    }
    if (rq->body != rq->x->body) body_close(rq->body);
    check_canonical(rq);
    arena_free(a);
    return 0;
}
