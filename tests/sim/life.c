/* One history: lives of a server on one disk, each but the last ended by a power cut (or by an orderly end
 * with a cut in it), each begun by comparing all that is there with the model. */
#include "world.h"
#include "store/engine_int.h"
#include "store/log_int.h"
#include "sys/sys.h"
#include "view_model.h"

#include <string.h>

#define DIR "data"

enum phase { OPENING, WORKING, CLOSING, ENDED };

struct life {
    struct world *w;
    struct history *h;
    enum phase phase;
    uint64_t rng;
    bool faults, orderly, index_lost;
    uint64_t close_cut; /* calls from the beginning of the close to the cut; 0: none */
};

static uint64_t dice(struct life *l, uint64_t n)
{
    uint64_t z = l->rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}

/* ---- opening ---- */

static err open_store(struct life *l)
{
    struct engine_options o = {.dir = DIR,
                               .log_bytes = 384 << 10,
                               .segment_bytes = 128 << 10,
                               .archive_bytes = 48 << 10,
                               .extent_file_bytes = 512 << 10,
                               .inline_max = 4096,
                               .blob_cache = 64 << 10};
    char why[512] = "";
    err e = engine_open(&o, &l->w->store, why);
    if (!e) l->w->store_open = true;
    if (e && !l->faults && !l->index_lost) {
        fprintf(stderr, "seed %llu, life %llu: engine_open: %s\n", (unsigned long long)l->w->seed,
                (unsigned long long)l->h->lives, why);
        ASSERT(!e);
    }
    return e;
}

/* The folder of the index loses its file: RocksDB's damage, which no log of ours can undo. */
static void lose_index(struct life *l)
{
    l->index_lost = true;
    sys->unlink(DIR "/index/CURRENT");
    sys->fsync_dir(DIR "/index");
}

static bool recover_index(struct life *l)
{
    struct recover_options o = {.dir = DIR, .entry = objects_check_entry};
    struct recover_report r;
    char why[512] = "";
    err e = engine_recover(&o, &r, why);
    bool whole = !e && r.lost_records == 0;
    if (!whole)
        fprintf(stderr, "seed %llu: recover: %s\n%.*s", (unsigned long long)l->w->seed, why, (int)r.lines.n,
                r.lines.p ? r.lines.p : "");
    ASSERT(whole || l->faults);
    buf_free(&r.lines);
    l->h->recoveries++;
    return whole;
}

static bool start(struct life *l)
{
    struct world *w = l->w;
    struct objects_options o = {.store = &w->store, .min_part_size = MIN_PART};
    if (l->h->lives > 0 && !l->faults && dice(l, 30) == 0) lose_index(l);
    if (open_store(l) && !(l->index_lost && recover_index(l) && open_store(l) == ERR_OK)) return false;
    err e = objects_new(&o, &w->objects);
    ASSERT(!e || l->faults);
    if (e) return false;
    objects_start(w->objects);
    if (w->http) server_start(w);
    return true;
}

/* ---- working ---- */

static void client_life(void *arg)
{
    struct client *c = arg;
    for (unsigned i = 0; i < c->w->steps && !c->w->stop; i++) client_step(c);
    if (c->w->http) wire_close(c);
    rt_sem_give(&c->w->done, 1);
}

static void life_fiber(void *arg)
{
    struct life *l = arg;
    struct world *w = l->w;
    if (!start(l)) {
        rt_stop(w->rt);
        return;
    }
    l->phase = WORKING;
    l->index_lost = false;
    for (unsigned i = 0; i < CLIENTS && !w->stop; i++) client_settle_start(&w->client[i]);
    rt_sem_init(&w->done, 0);
    for (unsigned i = 0; i < CLIENTS; i++) ASSERT(rt_spawn(rt_self(), "client", client_life, &w->client[i]));
    ASSERT(rt_sem_take(&w->done, CLIENTS, RT_FOREVER));
    /* The last look of a life that ends in order: nobody waits for an answer any more. */
    for (unsigned i = 0; i < CLIENTS && l->orderly && !w->stop; i++) observe(&w->client[i], false);
    struct engine_stats st;
    engine_get_stats(&w->store, &st);
    ASSERT(st.corrupt_blocks == 0);
    /* What real workers hold is finished before rt_run returns; here only the log waits for such a job. */
    while (engine_of(&w->store)->log->preparing) rt_sleep(RT_MS);
    l->phase = w->stop ? WORKING : CLOSING;
    rt_stop(w->rt);
}

/* ---- the end ---- */

static void check_store(struct life *l)
{
    struct check_options o = {.dir = DIR, .deep = true, .entry = objects_check_entry};
    struct check_report r;
    char why[512] = "";
    if (l->close_cut) sim_crash_at(sim_disk_ops() + 1 + dice(l, 100));
    err e = engine_check(&o, &r, why);
    if (sim_crashed()) return;
    /* What a cut tore at the end of a file belongs to nothing, and is said so. */
    bool good = !e && !r.bad_records && !r.missing_blobs && !r.corrupt_blobs && !r.wrong_refcounts &&
                !r.unreferenced_blobs && !r.wrong_counters && !r.log_errors;
    if (!good)
        fprintf(stderr, "seed %llu: check: %s\n%.*s", (unsigned long long)l->w->seed, why, (int)r.lines.n,
                r.lines.p);
    ASSERT(good);
    l->h->checks++;
    buf_free(&r.lines);
}

/* As src/server: what stood on the loops is gone when the store closes. */
static void close_store(struct life *l)
{
    struct world *w = l->w;
    if (l->close_cut) sim_crash_at(sim_disk_ops() + l->close_cut);
    if (w->http) server_stop(w);
    objects_free(w->objects);
    struct engine *e = engine_of(&w->store);
    bool at_rest = !e->collecting && !extents_busy(e->extents); /* else it is what a crash would leave */
    engine_close(&w->store);
    if (sim_crashed()) return;
    l->phase = ENDED;
    if (!l->faults && at_rest) check_store(l);
}

static void choose_faults(struct life *l)
{
    struct sim_faults f = {.disk_eio = 0};
    l->faults = true;
    switch (dice(l, 12)) {
    case 0:
        f.disk_eio = 100 + (unsigned)dice(l, 400);
        break;
    case 1:
        f.disk_sync_eio = 100 + (unsigned)dice(l, 600);
        break;
    case 2:
        f.disk_bytes = (2u << 20) + dice(l, 4u << 20);
        break;
    case 3:
        f.disk_elsewhere = 500 + (unsigned)dice(l, 8000);
        break;
    default:
        l->faults = false;
        break;
    }
    if (dice(l, 6) == 0) f.disk_slow = 300;
    if (dice(l, 6) == 0) f.work_stuck = 60;
    if (l->w->http && dice(l, 3) == 0) f.net_drop = 100 + (unsigned)dice(l, 300);
    if (dice(l, 6) == 0) f.net_slow = 500;
    sim_set_faults(&f);
}

/* Where the power goes: in the opening, among requests, in the close, or not at all. */
static void choose_cut(struct life *l, bool last)
{
    uint64_t now = sim_disk_ops();
    l->orderly = last || dice(l, 8) == 0;
    l->close_cut = 0;
    if (!l->orderly)
        sim_crash_at(now + 1 + (dice(l, 10) < 3 ? dice(l, 120) : 60 + dice(l, 500)));
    else if (!last && dice(l, 3))
        l->close_cut = 1 + dice(l, 30);
    l->w->steps = 3 + (unsigned)dice(l, l->orderly ? 12 : 60);
}

static void live(struct life *l, bool last)
{
    struct world *w = l->w;
    w->stop = w->store_open = false;
    w->objects = NULL;
    w->server = NULL;
    l->phase = OPENING;
    choose_faults(l);
    if (last) sim_set_faults(&(struct sim_faults){.disk_eio = 0});
    if (last) l->faults = false;
    choose_cut(l, last);
    struct rt_options o = {.backend = RT_SIM, .seed = dice(l, UINT64_MAX), .watchdog_ns = -1};
    ASSERT(rt_new(&o, &w->rt) == ERR_OK);
    ASSERT(rt_spawn(rt_loop_at(w->rt, 0), "life", life_fiber, l));
    rt_run(w->rt);
    if (l->phase == CLOSING && w->store_open) close_store(l);
    ASSERT(!last || l->phase == ENDED);
    uint64_t trace = sim_trace_hash();
    l->h->hash = fold(l->h->hash, &trace, sizeof trace);
    rt_free(w->rt);
    sim_crash();
    view_model_crash();
    for (unsigned i = 0; i < CLIENTS; i++) w->client[i].wire = NULL;
    l->h->lives++;
}

void history_run(uint64_t seed, unsigned cuts, struct history *h)
{
    struct world *w = calloc(1, sizeof *w);
    struct life l = {.w = w, .h = h, .rng = seed * 0x2545f4914f6cdd1d + 1};
    ASSERT(w);
    *h = (struct history){.hash = 14695981039346656037u};
    w->seed = seed;
    w->http = seed % 4 == 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &w->client[i];
        *c = (struct client){.w = w, .i = i, .rng = seed * 1000 + i, .hash = 14695981039346656037u};
        snprintf(c->bucket_name, sizeof c->bucket_name, "sim-%u", i);
        buf_init(&c->a.body, 0);
        buf_init(&c->look.body, 0);
    }
    while (h->points < cuts) {
        live(&l, false);
        h->points += l.phase != ENDED;
        h->opening += l.phase == OPENING;
        h->working += l.phase == WORKING;
        h->closing += l.phase == CLOSING;
    }
    live(&l, true);
    for (unsigned i = 0; i < CLIENTS; i++)
        h->hash = fold(h->hash, &w->client[i].hash, sizeof w->client[i].hash);
    for (unsigned i = 0; i < OP_KINDS; i++) h->ops += h->did[i] = w->did[i];
    h->lost = w->lost;
}
