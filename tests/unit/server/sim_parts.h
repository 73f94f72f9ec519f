/* The parts of a server put together in a simulated process, as src/server does it. */
#ifndef SIM_PARTS_H
#define SIM_PARTS_H

#include "api/api.h"
#include "auth/auth.h"
#include "base/log.h"
#include "sim_client.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define ACCESS STR("SIMULATEDKEY")
#define SECRET STR("simulated-secret")
#define REGION STR("us-east-1")
#define HOST   "127.0.0.1:9000"

struct parts {
    struct world *w;
    struct rt *rt;
    const char *dir; /* of the engine; NULL: the store is in memory */
    struct store store;
    struct objects *objects;
    struct auth *auth;
    struct api *api;
    struct http_server *http;
};

static inline void open_store(struct parts *p)
{
    char why[512];
    struct engine_options o = {.dir = p->dir};
    CHECK((p->dir ? engine_open(&o, &p->store, why) : store_memory_new(&p->store, 0)) == ERR_OK);
}

static inline void assemble(struct parts *p)
{
    struct auth_key key = {.access_key = ACCESS,
                           .secret_key = SECRET,
                           .who = {.canonical_id = STR("c1"),
                                   .display_name = STR("root"),
                                   .account = STR("000000000001"),
                                   .root = true}};
    struct rt_addr want, bound;
    open_store(p);
    CHECK(auth_new(&(struct auth_options){.keys = &key, .nkeys = 1, .region = REGION}, &p->auth) == ERR_OK);
    CHECK(objects_new(&(struct objects_options){.store = &p->store}, &p->objects) == ERR_OK);
    objects_start(p->objects);
    struct api_options o = {.rt = p->rt, .objects = p->objects, .auth = p->auth, .region = REGION};
    CHECK(api_new(&o, &p->api) == ERR_OK);
    struct http_callbacks cb = {api_handle, api_refuse, api_done, p->api};
    CHECK(http_server_new(p->rt, &(struct http_limits){0}, &cb, &p->http) == ERR_OK);
    CHECK(rt_addr_parse(STR(HOST), &want) == ERR_OK);
    CHECK(http_server_listen(p->http, &want, NULL, &bound) == ERR_OK);
    p->w->bench.addr = bound;
}

static inline void take_apart(struct parts *p)
{
    http_server_free(p->http);
    api_free(p->api);
    auth_free(p->auth);
    objects_free(p->objects);
    if (p->dir) engine_close(&p->store);
    if (!p->dir) store_memory_free(&p->store);
    rt_free(p->rt);
}

/* Ask until there is an answer; after a lost one, `again` is as good as `status`. */
static inline void insist(struct client *c, const char *method, const char *path, int status, int again)
{
    int got;
    unsigned lost = c->lost;
    while (!ask(c, method, path, "", STR(""), SIGNED, &got)) rt_sleep(300 * RT_SEC);
    CHECK(got == status || (c->lost > lost && got == again));
}

/* Nothing but the models' objects is there: when they are gone, the bucket is empty and can go. */
static inline void empty(struct world *w)
{
    char path[64];
    struct client *c = &w->client[0];
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned k = 0; k < OWN_KEYS; k++) {
            if (w->client[i].own[k] == 0) continue;
            insist(c, "DELETE", "/simulated", 409, 409);
            own_path(&w->client[i], k, path);
            insist(c, "DELETE", path, 204, 204);
        }
    for (unsigned k = 0; k < SHARED_KEYS; k++) {
        snprintf(path, sizeof path, "/simulated/shared/%u", k);
        insist(c, "DELETE", path, 204, 204);
    }
    insist(c, "DELETE", "/simulated", 204, 404);
    insist(c, "GET", "/simulated", 404, 404);
    CHECK(said(c, "<Code>NoSuchBucket</Code>"));
    conn_close(&c->conn);
}

#endif
