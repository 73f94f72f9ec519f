/* Multipart uploads: their beginning, their parts, their abort. */
#include "object/upload_int.h"
#include "base/bytes.h"

unsigned upload_part_sums(const struct upload *u)
{
    return HASH_BIT(u->has_checksum ? u->checksum : HASH_CRC64NVME);
}

void key_of_part_change(struct key *k, uint64_t bucket, const struct vid *id)
{
    key_of_part(k, bucket, id, 0);
}

err upload_decode(struct upload *u)
{
    if (u->rec.kind != REC_UPLOAD) return ERR_CORRUPT;
    u->id = u->rec.vid;
    u->has_checksum = u->rec.f[REC_UPLOAD_SUM].n > 0;
    return u->has_checksum ? upload_sum_decode(u->rec.f[REC_UPLOAD_SUM], &u->checksum, &u->type) : ERR_OK;
}

void upload_info(const struct upload *u, struct str bucket, struct str key, struct str text,
                 struct obj_upload_info *out)
{
    struct str owner = u->rec.f[REC_OWNER], initiator = u->rec.f[REC_INITIATOR];
    *out = (struct obj_upload_info){.bucket = bucket,
                                    .key = key,
                                    .upload_id = text,
                                    .owner = owner,
                                    .initiator = initiator.n ? initiator : owner,
                                    .storage_class = u->rec.f[REC_STORAGE_CLASS],
                                    .initiated_ms = u->rec.modified_ms,
                                    .has_checksum = u->has_checksum,
                                    .checksum = u->checksum,
                                    .checksum_type = u->type};
}

err upload_read(struct objects *o, struct arena *a, uint64_t bucket, struct str key, struct str upload_id,
                struct upload *out)
{
    struct key k;
    struct str value;
    struct vid id;
    err e = key_check(key);
    if (e) return e;
    if (!vid_parse(upload_id, &id)) return ERR_NO_SUCH_UPLOAD;
    key_of_upload(&k, bucket, key, &id);
    e = idx_get(o->idx, a, key_str(&k), &value, NULL);
    if (e) return e == ERR_NOT_FOUND ? ERR_NO_SUCH_UPLOAD : e;
    *out = (struct upload){.has_checksum = false};
    e = rec_decode(value, &out->rec);
    return e ? e : upload_decode(out);
}

err upload_check(struct mut *m, struct str key, struct str upload_id, struct upload *out)
{
    struct key k;
    struct vid id;
    err e = key_check(key);
    if (e) return e;
    if (!vid_parse(upload_id, &id)) return ERR_NO_SUCH_UPLOAD;
    key_of_upload(&k, m->bucket, key, &id);
    idx_txn_check(m->t, key_str(&k));
    return upload_read(m->o, m->a, m->bucket, key, upload_id, out);
}

/* ---- beginning ---- */

struct creation {
    struct str key;
    struct rec rec;
};

static err create(struct mut *m, void *arg)
{
    struct creation *c = arg;
    struct key k;
    key_of_upload(&k, m->bucket, c->key, &c->rec.vid);
    mut_put(m, &k, rec_encode(m->a, &c->rec));
    m->count[CNT_UPLOADS]++;
    return ERR_OK;
}

/* Which type an algorithm can have for the whole: CRCs combine, digests do not; AWS has CRC64NVME as full
 * object alone. */
static bool type_possible(enum hash_alg alg, enum checksum_type type)
{
    if (type == CHECKSUM_COMPOSITE) return alg != HASH_CRC64NVME;
    return alg == HASH_CRC32 || alg == HASH_CRC32C || alg == HASH_CRC64NVME;
}

err upload_create(struct objects *o, struct arena *a, const struct obj_upload_in *in,
                  struct obj_upload_info *out)
{
    struct obj_put_in bounds = {.key = in->key, .meta = in->meta};
    struct creation c = {.key = in->key, .rec = {.kind = REC_UPLOAD}};
    struct upload u;
    char *text = arena_alloc_raw(a, VID_TEXT + 1);
    err e = put_check(&bounds);
    if (!e && in->has_checksum && !type_possible(in->checksum, in->checksum_type)) e = ERR_INVALID_REQUEST;
    if (!e && !text) e = ERR_NO_MEMORY;
    if (e) return e;
    version_stamp(&c.rec);
    c.rec.f[REC_OWNER] = in->owner.n ? in->owner : STR_NONE;
    if (in->has_checksum) c.rec.f[REC_UPLOAD_SUM] = upload_sum_encode(a, in->checksum, in->checksum_type);
    e = rec_set_meta(a, &c.rec, &in->meta);
    if (!e) e = mut_run(o, in->bucket, create, &c, NULL);
    if (e) return e;
    vid_text(&c.rec.vid, text);
    u = (struct upload){.rec = c.rec};
    e = upload_decode(&u);
    upload_info(&u, in->bucket, in->key, str_of(text, VID_TEXT), out);
    return e;
}

err upload_get(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str upload_id,
               struct obj_upload_info *out)
{
    struct bref b;
    struct upload u;
    err e = bucket_find(o, bucket, &b);
    if (!e) e = upload_read(o, a, b.id, key, upload_id, &u);
    if (!e) upload_info(&u, bucket, key, upload_id, out);
    return e;
}

/* ---- parts ---- */

err part_info(struct arena *a, const struct part *p, struct obj_part_info *out)
{
    struct rec r = {.kind = REC_PART};
    memcpy(r.md5, p->md5, sizeof r.md5);
    *out = (struct obj_part_info){
        .number = p->number, .size = p->size, .modified_ms = p->modified_ms, .etag = etag_dup(a, &r)};
    return out->etag.p ? sums_decode(p->sums, &out->sums) : ERR_NO_MEMORY;
}

err upload_put_part(struct mut *m, const struct vid *id, unsigned number, const struct rec *r)
{
    struct key k, change;
    struct str value;
    struct rec old;
    key_of_part(&k, m->bucket, id, number);
    key_of_part_change(&change, m->bucket, id);
    idx_txn_check(m->t, key_str(&k));
    err e = idx_get(m->o->idx, m->a, key_str(&k), &value, NULL);
    if (!e) e = rec_decode(value, &old);
    if (!e) e = version_release(m, m->bucket, &old);
    if (e && e != ERR_NOT_FOUND) return e;
    mut_put(m, &k, rec_encode(m->a, r));
    mut_put(m, &change, STR("1"));
    return ERR_OK;
}

struct part_put {
    struct str key, upload_id;
    unsigned number;
    struct ingest *data;
    struct rec rec;
};

static err put_part(struct mut *m, void *arg)
{
    struct part_put *p = arg;
    struct upload u;
    err e = upload_check(m, p->key, p->upload_id, &u);
    if (e) return e;
    if (p->data->writer) idx_txn_publish(m->t, p->data->writer);
    return upload_put_part(m, &u.id, p->number, &p->rec);
}

static err seal_part(struct arena *a, uint64_t bucket, const struct vid *id, const struct part_put *p)
{
    struct key k;
    if (!p->data->writer) return ERR_OK;
    key_of_part(&k, bucket, id, p->number);
    return blob_seal(p->data->writer, owner_bytes(a, &k, rec_encode(a, &p->rec)));
}

/* What clients may send beside the declared algorithm: nothing. */
static err check_algorithm(const struct upload *u, const struct obj_put_in *in)
{
    unsigned given = (in->want_sums | in->expect_bits) & HASH_S3_SUMS;
    return u->has_checksum && (given & ~HASH_BIT(u->checksum)) ? ERR_INVALID_REQUEST : ERR_OK;
}

err upload_part(struct objects *o, struct arena *a, struct str upload_id, unsigned number,
                struct obj_put_in *in, struct body *body, struct obj_part_info *out)
{
    struct bref b;
    struct upload u;
    struct ingest g;
    struct part_put p = {.key = in->key, .upload_id = upload_id, .number = number, .data = &g};
    if (number < 1 || number > OBJ_PART_MAX_NUMBER) return ERR_INVALID_ARGUMENT;
    err e = bucket_find(o, in->bucket, &b);
    if (!e) e = upload_read(o, a, b.id, in->key, upload_id, &u);
    if (!e) e = check_algorithm(&u, in);
    if (e) return e;
    in->want_sums |= upload_part_sums(&u);
    e = ingest(o, in, body, OBJ_PART_MAX_SIZE, &g);
    if (e) return e;
    e = ingest_record(a, REC_PART, &g, &p.rec);
    if (!e) e = seal_part(a, b.id, &u.id, &p);
    if (!e) e = mut_run(o, in->bucket, put_part, &p, NULL);
    if (e) {
        ingest_drop(&g);
        return e;
    }
    struct part made = {
        .number = number, .size = g.size, .modified_ms = p.rec.modified_ms, .sums = p.rec.f[REC_SUMS]};
    memcpy(made.md5, g.md5, sizeof made.md5);
    return part_info(a, &made, out);
}

struct part_walk {
    struct arena *a;
    struct part *v;
    size_t n, cap, max;
    err e;
};

static err take_part(struct part_walk *w, struct str key, struct str value)
{
    struct rec r;
    struct str kept = arena_dup(w->a, value);
    if (!kept.p) return ERR_NO_MEMORY;
    err e = rec_decode(kept, &r);
    if (e) return e;
    if (r.kind != REC_PART || key.n < 2) return ERR_CORRUPT;
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 16;
        struct part *v = arena_alloc_raw(w->a, cap * sizeof *v);
        if (!v) return ERR_NO_MEMORY;
        if (w->n) memcpy(v, w->v, w->n * sizeof *v);
        w->v = v;
        w->cap = cap;
    }
    struct part *p = &w->v[w->n];
    *p = (struct part){.number = get_be16(key.p + key.n - 2),
                       .size = r.size,
                       .crc64xz = r.crc64xz,
                       .modified_ms = r.modified_ms,
                       .sums = r.f[REC_SUMS]};
    memcpy(p->md5, r.md5, sizeof p->md5);
    w->n++;
    return pieces_decode(w->a, r.f[REC_PIECES], &p->pieces, &p->npieces);
}

static enum idx_step on_part(void *arg, struct str key, struct str value, uint64_t seq, struct str *seek)
{
    struct part_walk *w = arg;
    (void)seq;
    (void)seek;
    w->e = take_part(w, key, value);
    return w->e || w->n == w->max ? IDX_STOP : IDX_NEXT;
}

err upload_scan_parts(struct objects *o, struct arena *a, uint64_t bucket, const struct vid *id,
                      unsigned after, size_t max, struct part **parts, size_t *n)
{
    struct key lo, hi;
    struct part_walk w = {.a = a, .max = max};
    *n = 0;
    *parts = NULL;
    if (max == 0 || after >= OBJ_PART_MAX_NUMBER) return ERR_OK;
    key_of_part(&lo, bucket, id, after + 1);
    key_of_part(&hi, bucket, id, OBJ_PART_MAX_NUMBER + 1);
    struct idx_range r = {.lo = key_str(&lo), .hi = key_str(&hi)};
    err e = idx_scan(o->idx, &r, on_part, &w);
    *parts = w.v;
    *n = w.n;
    return e ? e : w.e;
}

/* ---- ending ---- */

err upload_end(struct mut *m, struct str key, const struct vid *id, const struct part *parts, size_t n,
               const bool *keep)
{
    struct key k;
    for (size_t i = 0; i < n; i++) {
        key_of_part(&k, m->bucket, id, parts[i].number);
        idx_txn_del(m->t, key_str(&k));
        for (size_t p = 0; !(keep && keep[i]) && p < parts[i].npieces; p++)
            mut_ref(m, parts[i].pieces[p].blob, -1);
    }
    key_of_part_change(&k, m->bucket, id);
    idx_txn_check(m->t, key_str(&k));
    idx_txn_del(m->t, key_str(&k));
    key_of_upload(&k, m->bucket, key, id);
    idx_txn_del(m->t, key_str(&k));
    m->count[CNT_UPLOADS]--;
    return ERR_OK;
}

struct abortion {
    struct str key, upload_id;
};

static err abort_upload(struct mut *m, void *arg)
{
    const struct abortion *ab = arg;
    struct upload u;
    struct part *parts;
    size_t n;
    err e = upload_check(m, ab->key, ab->upload_id, &u);
    if (!e) e = upload_scan_parts(m->o, m->a, m->bucket, &u.id, 0, SIZE_MAX, &parts, &n);
    return e ? e : upload_end(m, ab->key, &u.id, parts, n, NULL);
}

err upload_abort(struct objects *o, struct arena *a, struct str bucket, struct str key, struct str upload_id)
{
    (void)a;
    struct abortion ab = {.key = key, .upload_id = upload_id};
    return mut_run(o, bucket, abort_upload, &ab, NULL);
}
