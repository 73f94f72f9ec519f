/* After damage, what is kept twice is made to agree with the entries: reference counts, counters, live bytes.
 */
#include "base/bytes.h"
#include "store/recover_int.h"

#define BATCH 256u

/* ---- the census of the new index ---- */

static void lost_blob(void *arg, struct str key)
{
    (void)key;
    recover_line(arg, "an entry of the blob table does not decode: ingot check names it");
}

static void lost_entry(void *arg, struct str key)
{
    struct census_key text;
    recover_line(arg, "entry %s: the record does not decode", census_key_text(key, &text));
}

static void lost_bytes(void *arg, struct str key, uint64_t blob)
{
    struct census_key text;
    recover_line(arg, "entry %s: refers to blob %llx, which is lost", census_key_text(key, &text),
                 (unsigned long long)blob);
}

static void count_progress(void *arg, uint64_t done)
{
    recover_progress(arg, "count what is there", done, "entries");
}

err recover_census(struct recover *r, struct census *c)
{
    const struct census_watch w = {lost_blob, lost_entry, lost_bytes, count_progress, r};
    const struct check_options o = {.entry = r->o->entry, .arg = r->o->arg};
    census_init(c);
    err e = c->e ? c->e : census_blobs(c, r->e->view, &w);
    return e ? e : census_entries(c, r->e->view, &o, &w);
}

/* ---- making it so ---- */

struct count {
    struct recover *r;
    struct census census;
    size_t at;
    unsigned pending;
    uint64_t unreferenced;
};

static err add(struct count *c, const struct log_op *op)
{
    struct log_op freed;
    err e = apply_op(&c->r->apply, c->r->reached, op, &freed);
    if (e || ++c->pending < BATCH) return e;
    c->pending = 0;
    return recover_write(c->r);
}

/* Nothing is let go here: a blob without references stays for check to judge. */
static err count_blob(void *arg, const struct blob_entry *b)
{
    struct count *c = arg;
    const struct census *n = &c->census;
    while (c->at < n->nblobs && n->id[c->at] < b->id) c->at++;
    if (c->at == n->nblobs || n->id[c->at] != b->id) return ERR_OK;
    uint64_t refs = n->refs[c->at] & CENSUS_REFS_MAX;
    if (refs == 0) c->unreferenced++;
    if (refs == 0 || refs == CENSUS_REFS_MAX || refs == b->refs) return ERR_OK;
    struct log_op op = {.kind = LOG_REFS, .blob = b->id, .refs = refs};
    return add(c, &op);
}

static err count_counter(struct count *c, const struct memory_node *n)
{
    const int64_t *want = n->value;
    struct view_pin pin = {.value = STR("")};
    char bytes[8 * IDX_COUNTERS_MAX];
    size_t used = 0;
    err e = view_get(c->r->e->view, n->key, &pin);
    if (e && e != ERR_NOT_FOUND) return e;
    bool wrong = census_counter_wrong(n, pin.value);
    view_unpin(&pin);
    if (!wrong) return ERR_OK;
    for (size_t i = 0; i < IDX_COUNTERS_MAX; i++) {
        put_le64(bytes + 8 * i, (uint64_t)want[i]);
        if (want[i]) used = i + 1;
    }
    struct log_op op = {.kind = used ? TXN_PUT : TXN_DEL, .key = n->key, .value = str_of(bytes, 8 * used)};
    return add(c, &op);
}

static err count_counters(struct count *c)
{
    err e = ERR_OK;
    struct memory_node *n = memory_map_seek(c->census.counters, STR(""));
    for (; n && !e; n = memory_node_next(n)) e = count_counter(c, n);
    return e;
}

/* Over every file that either the blob table or the counts know. */
static err count_live(struct count *c)
{
    struct engine *e = c->r->e;
    struct view_batch *b = c->r->apply.batch;
    char key[INNER_KEY_MAX], value[8];
    size_t n = c->census.nlive > e->nlive ? c->census.nlive : e->nlive;
    for (size_t f = 0; f < n; f++) {
        uint64_t want = f < c->census.nlive ? c->census.live[f] : 0, have = f < e->nlive ? e->live[f] : 0;
        if (want == have) continue;
        put_le64(value, want);
        struct str k = inner_key(key, INNER_FILE, f);
        if (want)
            view_batch_put(b, k, c->r->reached, str_of(value, 8));
        else
            view_batch_del(b, k);
    }
    return recover_write(c->r);
}

err recover_count(struct recover *r)
{
    struct count c = {.r = r};
    err e = recover_census(r, &c.census);
    if (!e) e = blob_table_walk(r->e->view, count_blob, &c);
    if (!e) e = count_counters(&c);
    if (!e) e = recover_write(r);
    if (!e) e = count_live(&c);
    if (c.unreferenced)
        recover_line(r, "%llu blobs that no record refers to were kept; ingot check --repair frees them",
                     (unsigned long long)c.unreferenced);
    census_free(&c.census);
    return e;
}
