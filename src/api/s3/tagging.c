/* GetObjectTagging, PutObjectTagging, DeleteObjectTagging. */
#include "api/s3/s3.h"

static err read_tag_set(struct api_request *rq, struct obj_meta *m)
{
    struct xml_node *root;
    err e = s3_read_xml(rq, S3_SMALL_DOC_MAX, false, "Tagging", &root);
    const struct xml_node *set = e ? NULL : xml_child(root, "TagSet");
    if (e || !set) return e ? e : ERR_MALFORMED_XML;
    for (const struct xml_node *n = set->first; n && !e; n = n->next) {
        struct obj_pair t = {xml_child_text(n, "Key"), xml_child_text(n, "Value")};
        if (!str_eq(n->name, STR("Tag")) || !t.name.p || !t.value.p) return ERR_MALFORMED_XML;
        e = s3_add_tag(rq, m, t);
    }
    return e;
}

static err set_tags(struct api_request *rq, const struct obj_meta *m, int status)
{
    struct obj_info out;
    struct str version;
    err e = s3_arg_version(rq, &version);
    if (!e) e = obj_set_tags(rq->objects, rq->arena, rq->bucket, rq->key, version, m->tags, m->ntags, &out);
    if (e) return e;
    s3_set_version(rq, out.version_id);
    return s3_reply_empty(rq, status);
}

err s3_put_object_tagging(struct api_request *rq)
{
    struct obj_meta m = {.ntags = 0};
    err e = read_tag_set(rq, &m);
    return e ? e : set_tags(rq, &m, 200);
}

err s3_delete_object_tagging(struct api_request *rq)
{
    const struct obj_meta none = {.ntags = 0};
    return set_tags(rq, &none, 204);
}

err s3_get_object_tagging(struct api_request *rq)
{
    struct obj_get_in in = {.bucket = rq->bucket, .key = rq->key, .head = true};
    struct obj_get_out out = {.body = NULL};
    struct buf b;
    err e = s3_arg_version(rq, &in.version_id);
    if (!e) e = obj_get(rq->objects, rq->arena, &in, &out);
    if (e) return e;
    s3_set_version(rq, out.info.version_id);
    s3_doc(&b, "Tagging");
    xml_open(&b, "TagSet");
    for (size_t i = 0; i < out.info.meta.ntags; i++) {
        xml_open(&b, "Tag");
        xml_elem(&b, "Key", out.info.meta.tags[i].name);
        xml_elem(&b, "Value", out.info.meta.tags[i].value);
        xml_close(&b, "Tag");
    }
    xml_close(&b, "TagSet");
    xml_close(&b, "Tagging");
    return s3_reply_doc(rq, &b);
}
