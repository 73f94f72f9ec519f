/* What a signature costs: the first example of AWS's documentation, from header to identity, and the same by
 * query. Prints nanoseconds a request, the best of some rounds.
 */
#include "../tests/unit/auth/fake_request.h"

#define ROUNDS 10
#define COUNT  20000

static const char header_form[] =
    "GET /test.txt\nHost: examplebucket.s3.amazonaws.com\nRange: bytes=0-9\n"
    "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
    "x-amz-date: 20130524T000000Z\nAuthorization: AWS4-HMAC-SHA256 "
    "Credential=" EXAMPLE_ACCESS "/20130524/us-east-1/s3/aws4_request,"
    "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
    "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\n\n";
static const char query_form[] =
    "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" EXAMPLE_ACCESS
    "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
    "&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404\n"
    "Host: examplebucket.s3.amazonaws.com\n\n";

static double measure(struct auth *auth, struct str text)
{
    double best = 1e9;
    struct arena *a = arena_new(0), *scratch = arena_new(0);
    struct api_request *rq = fake_request(a, text);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begun = sys_real.mono_ns();
        for (int i = 0; i < COUNT; i++) {
            rq->arena = scratch;
            if (auth_who(auth, rq)) return -1;
            arena_reset(scratch);
        }
        double ns = (double)(sys_real.mono_ns() - begun) / COUNT;
        if (ns < best) best = ns;
    }
    arena_free(a);
    arena_free(scratch);
    return best;
}

int main(void)
{
    fake_clock(EXAMPLE_NOW);
    struct auth *auth = fake_auth();
    if (!auth) return 1;
    printf("signature in the header  %6.0f ns\n", measure(auth, str_of(header_form, sizeof header_form - 1)));
    printf("signature in the query   %6.0f ns\n", measure(auth, str_of(query_form, sizeof query_form - 1)));
    auth_free(auth);
    return 0;
}
