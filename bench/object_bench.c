/* What the object layer itself costs, over the store in memory: microseconds an operation, the best of some
 * rounds. The world is that of the unit tests; its assertions stop the program on any wrong answer. */
#include "../tests/unit/object/multi.h"

#define ROUNDS 5
#define KEYS   20000

static char data[4096];

static void fill(struct world *w)
{
    mk(w, "bkt");
    for (int i = 0; i < KEYS; i++) {
        char key[64];
        snprintf(key, sizeof key, "some/folder/key-%08d", i);
        CHECK(put_cond(w, "bkt", str_c(key), str_of(data, sizeof data), (struct obj_cond){0}, NULL) ==
              ERR_OK);
    }
}

static void get_one(struct world *w, struct arena *a, bool head)
{
    struct obj_get_in in = {.bucket = STR("bkt"), .key = STR("some/folder/key-00000003"), .head = head};
    struct obj_get_out g;
    struct str v = STR_NONE;
    CHECK(obj_get(w->o, a, &in, &g) == ERR_OK);
    while (!head && (v.p == NULL || v.n > 0)) {
        CHECK(body_next(g.body, &v) == ERR_OK);
        if (v.n == 0) break;
    }
    body_close(g.body);
}

static void do_get(struct world *w, struct arena *a)
{
    get_one(w, a, false);
}
static void do_head(struct world *w, struct arena *a)
{
    get_one(w, a, true);
}

static void do_put(struct world *w, struct arena *a)
{
    struct obj_put_in in = {.bucket = STR("bkt"),
                            .key = STR("some/folder/key-00000003"),
                            .owner = STR("me"),
                            .size = sizeof data};
    struct obj_info o;
    CHECK(obj_put(w->o, a, &in, body_of_bytes(a, str_of(data, sizeof data)), &o) == ERR_OK);
}

static void list(struct world *w, struct arena *a, bool versions, const char *delimiter, size_t want)
{
    struct obj_list_in in = {
        .bucket = STR("bkt"), .max = 1000, .versions = versions, .delimiter = str_c(delimiter)};
    struct obj_list_out l;
    CHECK(obj_list(w->o, a, &in, &l) == ERR_OK && l.n + l.nprefixes == want);
}

static void do_list(struct world *w, struct arena *a)
{
    list(w, a, false, NULL, 1000);
}
static void do_group(struct world *w, struct arena *a)
{
    list(w, a, false, "/", 1);
}
static void do_versions(struct world *w, struct arena *a)
{
    list(w, a, true, NULL, 1000);
}

static void measure(struct world *w, const char *name, void (*fn)(struct world *w, struct arena *a),
                    int count)
{
    double best = 1e9;
    struct arena *a = arena_new(0);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begun = sys_real.mono_ns();
        for (int i = 0; i < count; i++) {
            arena_reset(a);
            fn(w, a);
        }
        double us = (double)(sys_real.mono_ns() - begun) / 1000 / count;
        if (us < best) best = us;
    }
    printf("%-28s %8.2f us, %6zu bytes of the request's arena\n", name, best, arena_used(a));
    arena_free(a);
}

int main(void)
{
    struct world w;
    world_begin(&w);
    fill(&w);
    measure(&w, "HEAD", do_head, 50000);
    measure(&w, "GET 4 KiB", do_get, 50000);
    measure(&w, "PUT 4 KiB", do_put, 20000);
    measure(&w, "LIST 1000", do_list, 500);
    measure(&w, "LIST 20,000 in one prefix", do_group, 50000);
    measure(&w, "LIST VERSIONS 1000", do_versions, 500);
    world_end(&w);
    return 0;
}
