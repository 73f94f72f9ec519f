/* PutObject. */
#include "object/internal.h"

static err check_meta(const struct obj_meta *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->nuser; i++) n += m->user[i].name.n + m->user[i].value.n;
    return n > OBJ_USER_META_MAX ? ERR_METADATA_TOO_LARGE : ERR_OK;
}

err put_check(const struct obj_put_in *in)
{
    err e = key_check(in->key);
    return e ? e : check_meta(&in->meta);
}

/* A precondition that fails already needs no body; one that holds now is looked at again when it counts. */
static err early_cond(struct objects *o, struct arena *a, const struct bref *b, const struct obj_put_in *in)
{
    struct found f;
    if (!cond_any(&in->cond)) return ERR_OK;
    err e = version_find(o, a, b->id, in->key, STR_NONE, &f);
    if (e && e != ERR_NO_SUCH_KEY) return e;
    return cond_write(&in->cond, !e && f.rec.kind == REC_OBJECT ? &f.rec : NULL);
}

struct put {
    const struct obj_put_in *in;
    struct ingest *data;
    struct rec rec;
    enum versioning versioning;
};

static err build(struct mut *m, void *arg)
{
    struct put *p = arg;
    struct found cur;
    err e = version_current(m, p->in->key, &cur);
    if (e) return e;
    e = cond_write(&p->in->cond, cur.value.p && cur.rec.kind == REC_OBJECT ? &cur.rec : NULL);
    if (e) return e;
    p->versioning = m->guard.versioning;
    if (p->data->writer) idx_txn_publish(m->t, p->data->writer);
    return version_push(m, p->in->key, &cur, &p->rec);
}

static err make_record(struct arena *a, const struct obj_put_in *in, const struct ingest *g, struct rec *r)
{
    err e = ingest_record(a, REC_OBJECT, g, r);
    r->f[REC_OWNER] = in->owner.n ? in->owner : STR_NONE;
    return e ? e : rec_set_meta(a, r, &in->meta);
}

/* The bytes say whose they are: the record as it is about to be written. */
static err seal(struct arena *a, const struct bref *b, const struct obj_put_in *in, struct ingest *g,
                const struct rec *r)
{
    struct key k;
    if (!g->writer) return ERR_OK;
    struct rec copy = *r;
    if (b->versioning != VERSIONING_ENABLED) copy.flags |= REC_NULL;
    key_of_current(&k, b->id, in->key);
    return blob_seal(g->writer, owner_bytes(a, &k, rec_encode(a, &copy)));
}

err obj_put(struct objects *o, struct arena *a, struct obj_put_in *in, struct body *body,
            struct obj_info *out)
{
    struct bref b;
    struct ingest g;
    struct put p = {.in = in, .data = &g};
    struct found made = {.current = true};
    err e = bucket_find(o, in->bucket, &b);
    if (!e) e = put_check(in);
    if (!e) e = early_cond(o, a, &b, in);
    if (!e) e = ingest(o, in, body, OBJ_PUT_MAX_SIZE, &g);
    if (e) return e;
    e = make_record(a, in, &g, &p.rec);
    if (!e) e = seal(a, &b, in, &g, &p.rec);
    if (!e) e = mut_run(o, in->bucket, build, &p, &made.seq);
    if (e) {
        ingest_drop(&g);
        return e;
    }
    made.rec = p.rec;
    return info_fill(a, in->bucket, in->key, &made, p.versioning, out);
}
