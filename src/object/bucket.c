/* Buckets: names in the system shard, everything else in a shard of their own. No transaction spans the two,
 * so creation writes the guard first and the name last, deletion kills the guard first and the name last;
 * what lies between is a bucket that does not exist. A draft entry in the system shard remembers shards that
 * a crash may have left. */
#include "base/bytes.h"
#include "object/bucket_int.h"
#include "sys/sys.h"

struct str draft_encode(struct arena *a, enum draft_state state)
{
    char *p = arena_alloc_raw(a, DRAFT_SIZE);
    if (!p) return STR_NONE;
    p[0] = (char)state;
    put_le64(p + 1, (uint64_t)sys->real_ms());
    return str_of(p, DRAFT_SIZE);
}

void key_of_draft(struct key *k, uint64_t id)
{
    char be[8];
    put_be64(be, id);
    key_of(k, 0, KEY_DRAFT, str_of(be, 8));
}

/* ---- creation ---- */

struct creation {
    struct str name, owner, region;
    uint64_t id;
};

static err take_id(struct mut *m, void *arg)
{
    struct creation *c = arg;
    struct key k, draft;
    struct str value;
    key_of_space(&k, 0, KEY_LAST_ID);
    idx_txn_check(m->t, key_str(&k));
    err e = idx_get(m->o->idx, m->a, key_str(&k), &value, NULL);
    if (e && e != ERR_NOT_FOUND) return e;
    if (!e && value.n != 8) return ERR_CORRUPT;
    c->id = (e ? 0 : get_le64(value.p)) + 1;
    char le[8];
    put_le64(le, c->id);
    mut_put(m, &k, str_of(le, 8));
    key_of_draft(&draft, c->id);
    mut_put(m, &draft, draft_encode(m->a, DRAFT_CREATING));
    return ERR_OK;
}

static err put_guard(struct mut *m, void *arg)
{
    (void)arg;
    struct key k;
    struct guard g = {.versioning = VERSIONING_OFF};
    key_of_space(&k, m->bucket, KEY_GUARD);
    mut_put(m, &k, guard_encode(m->a, &g));
    return ERR_OK;
}

/* The moment of creation: the name, if nobody living has it. */
static err put_name(struct mut *m, void *arg)
{
    struct creation *c = arg;
    struct key k, draft;
    struct str value;
    struct bucket_rec old;
    key_of(&k, 0, KEY_NAME, c->name);
    key_of_draft(&draft, c->id);
    idx_txn_check(m->t, key_str(&k));
    idx_txn_check(m->t, key_str(&draft));
    err e = idx_get(m->o->idx, m->a, key_str(&draft), &value, NULL);
    if (e || value.n != DRAFT_SIZE || value.p[0] != DRAFT_CREATING)
        return e && e != ERR_NOT_FOUND ? e : ERR_OPERATION_ABORTED;
    e = bucket_read(m->o, m->a, c->name, &old, NULL);
    if (e == ERR_OK) return str_eq(old.owner, c->owner) ? ERR_BUCKET_OWNED : ERR_BUCKET_EXISTS;
    if (e != ERR_NO_SUCH_BUCKET) return e;
    if (old.id != 0) { /* a name whose bucket is dead: its shard is still to be emptied */
        struct key dead;
        key_of_draft(&dead, old.id);
        mut_put(m, &dead, draft_encode(m->a, DRAFT_PURGE));
    }
    struct bucket_rec b = {.id = c->id, .owner = c->owner, .region = c->region, .created_ms = sys->real_ms()};
    mut_put(m, &k, bucket_rec_encode(m->a, &b));
    idx_txn_del(m->t, key_str(&draft));
    return ERR_OK;
}

err bucket_create(struct objects *o, struct arena *a, struct str name, struct str owner, struct str region)
{
    CHECK_MAGIC(o, OBJECTS_MAGIC);
    struct bucket_rec old;
    if (!bucket_name_valid(name)) return ERR_INVALID_BUCKET_NAME;
    err e = bucket_read(o, a, name, &old, NULL);
    if (e == ERR_OK) return str_eq(old.owner, owner) ? ERR_BUCKET_OWNED : ERR_BUCKET_EXISTS;
    if (e != ERR_NO_SUCH_BUCKET) return e;
    struct creation c = {.name = name, .owner = owner, .region = region};
    e = mut_run_shard(o, 0, take_id, &c, NULL);
    if (!e) e = mut_run_shard(o, c.id, put_guard, NULL, NULL);
    if (!e) e = mut_run_shard(o, 0, put_name, &c, NULL);
    if (e && e != ERR_OPERATION_ABORTED && c.id) bucket_discard(o, c.id);
    bucket_forget(o, name);
    return e;
}

/* ---- deletion ---- */

static err kill_guard(struct mut *m, void *arg)
{
    uint64_t *id = arg;
    struct key k, counters;
    struct str value;
    *id = m->bucket;
    key_of_space(&counters, m->bucket, KEY_COUNTERS);
    idx_txn_check_zero(m->t, key_str(&counters), CNT_VERSIONS);
    err e = idx_get(m->o->idx, m->a, key_str(&counters), &value, NULL);
    if (e && e != ERR_NOT_FOUND) return e;
    if (!e && value.n >= 8 * (CNT_VERSIONS + 1) && get_le64(value.p + 8 * CNT_VERSIONS) != 0)
        return ERR_BUCKET_NOT_EMPTY;
    struct guard g = m->guard;
    g.deleted = true;
    g.epoch++;
    m->gives_back = true;
    key_of_space(&k, m->bucket, KEY_GUARD);
    mut_put(m, &k, guard_encode(m->a, &g));
    return ERR_OK;
}

struct removal {
    struct str name;
    uint64_t id;
};

static err drop_name(struct mut *m, void *arg)
{
    const struct removal *r = arg;
    struct key k, draft;
    struct str value;
    struct bucket_rec b;
    key_of(&k, 0, KEY_NAME, r->name);
    key_of_draft(&draft, r->id);
    idx_txn_check(m->t, key_str(&k));
    err e = idx_get(m->o->idx, m->a, key_str(&k), &value, NULL);
    if (!e) e = bucket_rec_decode(value, &b);
    if (e && e != ERR_NOT_FOUND) return e;
    m->nothing = e == ERR_NOT_FOUND || b.id != r->id; /* somebody else finished it */
    if (m->nothing) return ERR_OK;
    m->gives_back = true;
    idx_txn_del(m->t, key_str(&k));
    mut_put(m, &draft, draft_encode(m->a, DRAFT_PURGE));
    return ERR_OK;
}

err bucket_drop_name(struct objects *o, struct str name, uint64_t id)
{
    struct removal r = {.name = name, .id = id};
    err e = mut_run_shard(o, 0, drop_name, &r, NULL);
    bucket_forget(o, name);
    return e;
}

err bucket_delete(struct objects *o, struct arena *a, struct str name)
{
    (void)a;
    uint64_t id = 0;
    err e = mut_run(o, name, kill_guard, &id, NULL);
    if (e) return e;
    bucket_forget(o, name);
    /* From here on the bucket is gone. What fails below is finished by the sweeper. */
    if (bucket_drop_name(o, name, id) == ERR_OK) bucket_purge(o, id);
    return ERR_OK;
}

/* ---- reading and configuring ---- */

static err read_counters(struct objects *o, struct arena *a, uint64_t id, struct bucket_info *out)
{
    struct key k;
    struct str value;
    uint64_t v[CNT_N] = {0};
    key_of_space(&k, id, KEY_COUNTERS);
    err e = idx_get(o->idx, a, key_str(&k), &value, NULL);
    if (e) return e == ERR_NOT_FOUND ? ERR_OK : e;
    for (unsigned i = 0; i < CNT_N && value.n >= 8 * (i + 1); i++) v[i] = get_le64(value.p + 8 * i);
    out->objects = v[CNT_OBJECTS];
    out->versions = v[CNT_VERSIONS];
    out->bytes = v[CNT_BYTES];
    return ERR_OK;
}

err bucket_get(struct objects *o, struct arena *a, struct str name, struct bucket_info *out)
{
    CHECK_MAGIC(o, OBJECTS_MAGIC);
    struct bucket_rec b;
    struct guard g;
    err e = bucket_read(o, a, name, &b, &g);
    if (e) return e;
    *out = (struct bucket_info){.name = name,
                                .id = b.id,
                                .owner = b.owner,
                                .region = b.region,
                                .created_ms = b.created_ms,
                                .versioning = g.versioning};
    return read_counters(o, a, b.id, out);
}

static err put_new_guard(struct mut *m, struct guard g)
{
    struct key k;
    g.epoch++;
    key_of_space(&k, m->bucket, KEY_GUARD);
    mut_put(m, &k, guard_encode(m->a, &g));
    return ERR_OK;
}

static err change_versioning(struct mut *m, void *arg)
{
    enum versioning v = *(enum versioning *)arg;
    struct guard g = m->guard;
    if (v == VERSIONING_OFF && g.versioning != VERSIONING_OFF) return ERR_ILLEGAL_VERSIONING;
    m->nothing = g.versioning == v;
    g.versioning = v;
    return put_new_guard(m, g);
}

err bucket_set_versioning(struct objects *o, struct arena *a, struct str name, enum versioning v)
{
    (void)a;
    err e = mut_run(o, name, change_versioning, &v, NULL);
    bucket_forget(o, name);
    return e;
}

struct config_change {
    struct str kind, doc;
};

static err change_config(struct mut *m, void *arg)
{
    const struct config_change *c = arg;
    struct key k;
    key_of(&k, m->bucket, KEY_CONFIG, c->kind);
    if (c->doc.p)
        mut_put(m, &k, c->doc);
    else
        idx_txn_del(m->t, key_str(&k));
    return put_new_guard(m, m->guard);
}

err bucket_set_config(struct objects *o, struct arena *a, struct str name, const char *kind, struct str doc)
{
    (void)a;
    struct config_change c = {.kind = str_c(kind), .doc = doc};
    ASSERT(c.kind.n > 0 && c.kind.n <= 64);
    if (doc.n > IDX_VALUE_MAX) return ERR_MAX_MESSAGE_LENGTH;
    err e = mut_run(o, name, change_config, &c, NULL);
    bucket_forget(o, name);
    return e;
}

err bucket_get_config(struct objects *o, struct arena *a, struct str name, const char *kind, struct str *out)
{
    struct bref b;
    struct key k;
    err e = bucket_find(o, name, &b);
    if (e) return e;
    key_of(&k, b.id, KEY_CONFIG, str_c(kind));
    return idx_get(o->idx, a, key_str(&k), out, NULL);
}
