"""Every operation of the table as something to ask of a bucket of its own: how the bucket is prepared, what is asked, and what
the whole bucket looks like to a client before and after."""

import hashlib
import re

SMALL, LARGE, STREAM = b"s" * 500, b"L" * 200_000, b"T" * 1_300_000  # in the log; one extent; a streamed extent
PART = b"P" * 90_000


class Full(AssertionError):
    """507 where nothing fails: what failed a moment ago may still be noticed, and is over within a second."""


def must(reply, *statuses):
    if reply.status == 507 and 507 not in statuses:
        raise Full(reply)
    assert reply.status in (statuses or (200, 204)), reply
    return reply


def put(raw, path, body=SMALL, **headers):
    return must(raw.call("PUT", path, {k.replace("_", "-"): v for k, v in headers.items()}, body))


def bucket(raw, b):
    must(raw.call("PUT", f"/{b}"))
    return {}


def versioned(raw, b):
    bucket(raw, b)
    must(raw.call("PUT", f"/{b}?versioning", body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"))
    return {}


def with_objects(*bodies, of=bucket):
    """Keys k0, k1 … with these bodies; twice each where versions are kept."""
    def prepare(raw, b):
        of(raw, b)
        for i, body in enumerate(bodies):
            for _ in range(2 if of is versioned else 1):
                put(raw, f"/{b}/k{i}", body, x_amz_meta_a="b", x_amz_tagging="t=1")
        return {}
    return prepare


def with_upload(parts):
    def prepare(raw, b):
        with_objects(SMALL, LARGE)(raw, b)
        upload = must(raw.call("POST", f"/{b}/k0?uploads")).field("UploadId")
        tags = [put(raw, f"/{b}/k0?partNumber={n}&uploadId={upload}", PART).headers["etag"] for n in range(1, parts + 1)]
        listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
        return {"u": upload, "complete": f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()}
    return prepare


def ask(method, path, body=b"", **headers):
    """path and headers with {b} for the bucket and {u} for the upload; a body may be the name of something prepared."""
    headers = {k.replace("_", "-"): v for k, v in headers.items()}

    def call(raw, b, made):
        fill = {"b": b, **{k: v for k, v in made.items() if isinstance(v, str)}}
        data = made[body] if isinstance(body, str) else body
        return raw.call(method, path.format(**fill), {k: v.format(**fill) for k, v in headers.items()}, data)
    return call


DELETE_ONE = b"<Delete><Object><Key>k0</Key></Object></Delete>"
VERSIONING = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
TAGGING = b"<Tagging><TagSet><Tag><Key>new</Key><Value>v</Value></Tag></TagSet></Tagging>"
SOURCE = {"x_amz_copy_source": "/{b}/k1"}
two = with_objects(SMALL, LARGE)

# (operation, variant) → (prepare, ask)
SCENARIOS = {
    ("ListBuckets", ""): (bucket, ask("GET", "/")),
    ("CreateBucket", ""): (lambda raw, b: {}, ask("PUT", "/{b}")),
    ("HeadBucket", ""): (bucket, ask("HEAD", "/{b}")),
    ("DeleteBucket", ""): (bucket, ask("DELETE", "/{b}")),
    ("GetBucketLocation", ""): (bucket, ask("GET", "/{b}?location")),
    ("GetBucketVersioning", ""): (versioned, ask("GET", "/{b}?versioning")),
    ("PutBucketVersioning", ""): (bucket, ask("PUT", "/{b}?versioning", VERSIONING)),
    ("ListObjects", ""): (two, ask("GET", "/{b}")),
    ("ListObjectsV2", ""): (two, ask("GET", "/{b}?list-type=2")),
    ("ListObjectVersions", ""): (with_objects(SMALL, of=versioned), ask("GET", "/{b}?versions")),
    ("ListMultipartUploads", ""): (with_upload(1), ask("GET", "/{b}?uploads")),
    ("DeleteObjects", ""): (two, ask("POST", "/{b}?delete", DELETE_ONE, content_md5="S98cGfwIS+pkk9NVw3TzSA==")),
    ("PutObject", "small"): (bucket, ask("PUT", "/{b}/k", SMALL)),
    ("PutObject", "large"): (bucket, ask("PUT", "/{b}/k", LARGE)),
    ("PutObject", "stream"): (bucket, ask("PUT", "/{b}/k", STREAM)),
    ("PutObject", "overwrite"): (with_objects(LARGE), ask("PUT", "/{b}/k0", SMALL)),
    ("PutObject", "version"): (with_objects(LARGE, of=versioned), ask("PUT", "/{b}/k0", LARGE[1:])),
    ("PutObject", "if absent"): (bucket, ask("PUT", "/{b}/k", SMALL, if_none_match="*")),
    ("CopyObject", ""): (two, ask("PUT", "/{b}/copy", **SOURCE)),
    ("CopyObject", "overwrite"): (two, ask("PUT", "/{b}/k0", **SOURCE)),
    ("GetObject", "small"): (with_objects(SMALL), ask("GET", "/{b}/k0")),
    ("GetObject", "large"): (with_objects(LARGE), ask("GET", "/{b}/k0")),
    ("GetObject", "stream"): (with_objects(STREAM), ask("GET", "/{b}/k0")),
    ("GetObject", "range"): (with_objects(STREAM), ask("GET", "/{b}/k0", range="bytes=700000-900000")),
    ("HeadObject", ""): (two, ask("HEAD", "/{b}/k1")),
    ("DeleteObject", "small"): (two, ask("DELETE", "/{b}/k0")),
    ("DeleteObject", "large"): (two, ask("DELETE", "/{b}/k1")),
    ("DeleteObject", "marker"): (with_objects(LARGE, of=versioned), ask("DELETE", "/{b}/k0")),
    ("GetObjectAttributes", ""): (two, ask("GET", "/{b}/k1?attributes", x_amz_object_attributes="ETag,ObjectSize,StorageClass")),
    ("GetObjectTagging", ""): (two, ask("GET", "/{b}/k1?tagging")),
    ("PutObjectTagging", ""): (two, ask("PUT", "/{b}/k1?tagging", TAGGING)),
    ("DeleteObjectTagging", ""): (two, ask("DELETE", "/{b}/k1?tagging")),
    ("CreateMultipartUpload", ""): (bucket, ask("POST", "/{b}/k?uploads")),
    ("UploadPart", ""): (with_upload(1), ask("PUT", "/{b}/k0?partNumber=2&uploadId={u}", PART)),
    ("UploadPart", "again"): (with_upload(1), ask("PUT", "/{b}/k0?partNumber=1&uploadId={u}", PART[1:])),
    ("UploadPartCopy", ""): (with_upload(1), ask("PUT", "/{b}/k0?partNumber=2&uploadId={u}", **SOURCE)),
    ("CompleteMultipartUpload", ""): (with_upload(2), ask("POST", "/{b}/k0?uploadId={u}", "complete")),
    ("AbortMultipartUpload", ""): (with_upload(2), ask("DELETE", "/{b}/k0?uploadId={u}")),
    ("ListParts", ""): (with_upload(2), ask("GET", "/{b}/k0?uploadId={u}")),
}


def blocks(body, name):
    return re.findall(rf"<{name}>(.*?)</{name}>", body.decode(), re.S)


def field(text, name):
    found = re.search(rf"<{name}>(.*?)</{name}>", text, re.S)
    return found.group(1) if found else None


def snapshot(raw, b):
    """All that clients can see of the bucket; None: there is none."""
    versioning = raw.call("GET", f"/{b}?versioning")
    if versioning.status == 404 and versioning.code == "NoSuchBucket":
        return None
    must(versioning)
    listing = must(raw.call("GET", f"/{b}?versions")).body
    versions = []
    for text in blocks(listing, "Version"):
        key, vid = field(text, "Key"), field(text, "VersionId")
        got = must(raw.call("GET", f"/{b}/{key}?versionId={vid}"))
        tags = must(raw.call("GET", f"/{b}/{key}?tagging&versionId={vid}")).body
        assert len(got.body) == int(field(text, "Size")), (key, vid)
        versions.append((key, vid, field(text, "LastModified"), field(text, "IsLatest"), field(text, "ETag"), len(got.body),
                         hashlib.md5(got.body).hexdigest(), got.headers.get("x-amz-meta-a"), tuple(blocks(tags, "Tag"))))
    markers = [(field(t, "Key"), field(t, "VersionId"), field(t, "LastModified"), field(t, "IsLatest"))
               for t in blocks(listing, "DeleteMarker")]
    current = [(field(t, "Key"), field(t, "ETag"), field(t, "Size")) for t in blocks(must(raw.call("GET", f"/{b}")).body, "Contents")]
    uploads = []
    for text in blocks(must(raw.call("GET", f"/{b}?uploads")).body, "Upload"):
        key, upload = field(text, "Key"), field(text, "UploadId")
        parts = must(raw.call("GET", f"/{b}/{key}?uploadId={upload}")).body
        uploads.append((key, upload, field(text, "Initiated"),
                        tuple((field(p, "PartNumber"), field(p, "ETag"), field(p, "Size")) for p in blocks(parts, "Part"))))
    return (field(versioning.body.decode(), "Status"), tuple(versions), tuple(markers), tuple(current), tuple(uploads))


def shape(seen):
    """A snapshot without what differs from one run to the next: ids and times."""
    if seen is None:
        return None
    status, versions, markers, current, uploads = seen
    return (status, tuple((v[0], *v[3:]) for v in versions), tuple((m[0], m[3]) for m in markers), current,
            tuple((u[0], u[3]) for u in uploads))


VARIES = re.compile(r"<(LastModified|VersionId|VersionIdMarker|NextVersionIdMarker|UploadIdMarker|NextUploadIdMarker|UploadId|RequestId|CreationDate|Initiated|DeleteMarkerVersionId)>"
                    r".*?</\1>")


def shape_of_reply(reply, b):
    """An answer without what differs from one run to the next."""
    text = re.sub(r"http://127.0.0.1:\d+", "", VARIES.sub("", reply.body.decode())).replace(b, "B")
    if "<ListAllMyBucketsResult" in text:
        text = str("<Name>B</Name>" in text)  # other buckets come and go
    return (reply.status, text, reply.headers.get("etag"), reply.headers.get("x-amz-meta-a"),
            reply.headers.get("content-range"), reply.headers.get("x-amz-tagging-count"))
