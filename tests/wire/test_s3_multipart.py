"""Multipart uploads and their checksums."""

import base64
import hashlib
import os

import pytest

from hostile import absent, error_of, raw, refused  # noqa: F401
from ingot import Server
from rawsign import SIGNED_TRAILER, UNSIGNED_TRAILER

op = pytest.mark.op
MIB = 1 << 20


def etag_of(parts):
    return f'"{hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest()}-{len(parts)}"'


def upload(s3, bucket, key, parts, **create):
    """(upload id, parts for Complete)"""
    up = s3.create_multipart_upload(Bucket=bucket, Key=key, **create)["UploadId"]
    done = []
    for n, data in enumerate(parts, 1):
        r = s3.upload_part(Bucket=bucket, Key=key, UploadId=up, PartNumber=n, Body=data,
                           **({"ChecksumAlgorithm": create["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in create else {}))
        done.append({"PartNumber": n, "ETag": r["ETag"], **{k: v for k, v in r.items() if k.startswith("Checksum")}})
    return up, done


@pytest.mark.smoke
@op("CreateMultipartUpload")
@op("UploadPart")
@op("CompleteMultipartUpload")
@op("GetObject")
def test_upload(s3, bucket):
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), os.urandom(1000)]
    up, done = upload(s3, bucket, "dir/k", parts, Metadata={"a": "1"}, ContentType="x/y", StorageClass="STANDARD_IA",
                      Tagging="t=1")
    absent(s3, bucket, "dir/k")
    r = s3.complete_multipart_upload(Bucket=bucket, Key="dir/k", UploadId=up, MultipartUpload={"Parts": done})
    assert r["ETag"] == etag_of(parts) and r["Bucket"] == bucket and r["Key"] == "dir/k"
    assert r["Location"].endswith(f"/{bucket}/dir/k")
    got = s3.get_object(Bucket=bucket, Key="dir/k")
    assert got["Body"].read() == b"".join(parts)
    assert got["ETag"] == etag_of(parts) and got["Metadata"] == {"a": "1"} and got["ContentType"] == "x/y"
    assert got["StorageClass"] == "STANDARD_IA" and got["TagCount"] == 1
    for n, data in enumerate(parts, 1):
        r = s3.get_object(Bucket=bucket, Key="dir/k", PartNumber=n)
        assert r["Body"].read() == data and r["PartsCount"] == 3
        assert r["ResponseMetadata"]["HTTPStatusCode"] == 206 and r["ContentRange"].startswith("bytes ")
        assert s3.head_object(Bucket=bucket, Key="dir/k", PartNumber=n)["ContentLength"] == len(data)
    assert error_of(s3.get_object, Bucket=bucket, Key="dir/k", PartNumber=4) == (416, "InvalidPartNumber")
    edge = 5 * MIB
    r = s3.get_object(Bucket=bucket, Key="dir/k", Range=f"bytes={edge - 10}-{edge + 9}")
    assert r["Body"].read() == parts[0][-10:] + parts[1][:10]
    assert error_of(s3.list_parts, Bucket=bucket, Key="dir/k", UploadId=up) == (404, "NoSuchUpload")


@op("AbortMultipartUpload")
def test_abort(s3, bucket):
    up, _ = upload(s3, bucket, "k", [b"data"])
    assert s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=up)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error_of(s3.abort_multipart_upload, Bucket=bucket, Key="k", UploadId=up) == (404, "NoSuchUpload")
    assert error_of(s3.upload_part, Bucket=bucket, Key="k", UploadId=up, PartNumber=1, Body=b"x") == (404, "NoSuchUpload")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)


@op("ListParts")
def test_list_parts(s3, raw, bucket):
    up, done = upload(s3, bucket, "k", [b"one", b"two", b"three"], StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
    r = s3.list_parts(Bucket=bucket, Key="k", UploadId=up)
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in r["Parts"]] == [
        (d["PartNumber"], s, d["ETag"]) for d, s in zip(done, (3, 3, 5))]
    assert all(p["LastModified"] for p in r["Parts"])
    assert [p["ChecksumSHA256"] for p in r["Parts"]] == [d["ChecksumSHA256"] for d in done]
    assert r["StorageClass"] == "STANDARD_IA" and r["Owner"]["ID"] == r["Initiator"]["ID"] and not r["IsTruncated"]
    assert (r["ChecksumAlgorithm"], r["ChecksumType"]) == ("SHA256", "COMPOSITE")
    r = s3.list_parts(Bucket=bucket, Key="k", UploadId=up, MaxParts=2)
    assert r["IsTruncated"] and r["NextPartNumberMarker"] == 2 and r["MaxParts"] == 2
    r = s3.list_parts(Bucket=bucket, Key="k", UploadId=up, PartNumberMarker=2)
    assert [p["PartNumber"] for p in r["Parts"]] == [3] and r["PartNumberMarker"] == 2
    for bad in ("max-parts=-1", "max-parts=x", "part-number-marker=x"):
        refused(raw.call("GET", f"/{bucket}/k?uploadId={up}&{bad}"), 400, "InvalidArgument")
    # A part may be uploaded again: the last one counts.
    again = s3.upload_part(Bucket=bucket, Key="k", UploadId=up, PartNumber=2, Body=b"other", ChecksumAlgorithm="SHA256")
    r = s3.list_parts(Bucket=bucket, Key="k", UploadId=up)
    assert [p["ETag"] for p in r["Parts"]] == [done[0]["ETag"], again["ETag"], done[2]["ETag"]]


@op("ListMultipartUploads")
def test_list_uploads(s3, raw, bucket):
    ids = {}
    for key in ("a", "b/1", "b/2", "c"):
        ids[key] = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    twice = sorted([ids["a"], s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]])
    r = s3.list_multipart_uploads(Bucket=bucket)
    assert [u["Key"] for u in r["Uploads"]] == ["a", "a", "b/1", "b/2", "c"]
    assert sorted(u["UploadId"] for u in r["Uploads"][:2]) == twice
    assert all(u["Initiated"] and len(u["Owner"]["ID"]) == 64 and u["StorageClass"] == "STANDARD" for u in r["Uploads"])
    r = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [u["Key"] for u in r["Uploads"]] == ["a", "a", "c"] and [p["Prefix"] for p in r["CommonPrefixes"]] == ["b/"]
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")["Uploads"]] == ["b/1", "b/2"]
    got, more = [], {}
    while True:
        r = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=1, **more)
        got += [u["UploadId"] for u in r["Uploads"]]
        if not r["IsTruncated"]:
            break
        more = {"KeyMarker": r["NextKeyMarker"], "UploadIdMarker": r["NextUploadIdMarker"]}
        assert len(got) < 9
    assert sorted(got[:2]) == twice and got[2:] == [ids["b/1"], ids["b/2"], ids["c"]]
    for bad in ("max-uploads=-1", "max-uploads=x", "encoding-type=x"):
        refused(raw.call("GET", f"/{bucket}?uploads&{bad}"), 400, "InvalidArgument")


@op("CompleteMultipartUpload")
def test_complete_keeps_only_named_parts(s3, bucket):
    parts = [os.urandom(5 * MIB), b"dropped", b"last"]
    up, done = upload(s3, bucket, "k", parts)
    r = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=up, MultipartUpload={"Parts": [done[0], done[2]]})
    assert r["ETag"] == etag_of([parts[0], parts[2]])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == parts[0] + parts[2]
    assert s3.get_object(Bucket=bucket, Key="k", PartNumber=3)["Body"].read() == parts[2]


@op("CompleteMultipartUpload")
def test_conditional_complete(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    up, done = upload(s3, bucket, "k", [b"new"])
    whole = {"Bucket": bucket, "Key": "k", "UploadId": up, "MultipartUpload": {"Parts": done}}
    assert error_of(s3.complete_multipart_upload, IfNoneMatch="*", **whole) == (412, "PreconditionFailed")
    assert error_of(s3.complete_multipart_upload, IfMatch='"x"', **whole) == (412, "PreconditionFailed")
    assert error_of(s3.complete_multipart_upload, MpuObjectSize=4, **whole)[0] == 400
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
    etag = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    s3.complete_multipart_upload(IfMatch=etag, MpuObjectSize=3, **whole)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"


@op("CompleteMultipartUpload")
def test_versions(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    up, done = upload(s3, bucket, "k", [b"data"])
    r = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=up, MultipartUpload={"Parts": done})
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == r["VersionId"]


# ---- checksums ----

SIZES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}


@op("PutObject")
@op("HeadObject")
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_of_plain_objects(raw, s3, bucket, algorithm):
    known = {"CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgoPeZo=", "SHA1": "98O8HYCOBHMq1eYZozZKYH1fxxE=",
             "SHA256": base64.b64encode(hashlib.sha256(b"123456789").digest()).decode()}
    known["SHA1"] = base64.b64encode(hashlib.sha1(b"123456789").digest()).decode()
    known["CRC64NVME"] = base64.b64encode(0xAE8B14860A799888.to_bytes(8, "big")).decode()
    name = f"x-amz-checksum-{algorithm.lower()}"
    r = raw.call("PUT", f"/{bucket}/k", {name: known[algorithm]}, b"123456789")
    assert r.status == 200 and r.headers[name] == known[algorithm] and r.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    r = raw.call("GET", f"/{bucket}/k", {"x-amz-checksum-mode": "ENABLED"})
    assert r.headers[name] == known[algorithm] and r.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert name not in raw.call("GET", f"/{bucket}/k").headers
    r = raw.call("GET", f"/{bucket}/k", {"x-amz-checksum-mode": "ENABLED", "range": "bytes=1-2"})
    assert name not in r.headers and r.body == b"23"
    wrong = base64.b64encode(b"\0" * SIZES[algorithm]).decode()
    refused(raw.call("PUT", f"/{bucket}/bad", {name: wrong}, b"123456789"), 400, "BadDigest")
    absent(s3, bucket, "bad")


@op("PutObject")
def test_a_checksum_is_always_kept(raw, bucket):
    assert raw.call("PUT", f"/{bucket}/k", body=b"123456789").status == 200
    r = raw.call("HEAD", f"/{bucket}/k", {"x-amz-checksum-mode": "ENABLED"})
    assert r.headers["x-amz-checksum-crc64nvme"] == base64.b64encode(0xAE8B14860A799888.to_bytes(8, "big")).decode()


def crc(data, width, polynomial):
    """A reflected CRC with all ones before and after."""
    ones = (1 << width) - 1
    value = ones
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return (value ^ ones).to_bytes(width // 8, "big")


DIGESTS = {"CRC32": lambda d: crc(d, 32, 0xEDB88320), "CRC32C": lambda d: crc(d, 32, 0x82F63B78),
           "CRC64NVME": lambda d: crc(d, 64, 0x9A6C9329AC4BC9B5), "SHA1": lambda d: hashlib.sha1(d).digest(),
           "SHA256": lambda d: hashlib.sha256(d).digest()}


def text(digest):
    return base64.b64encode(digest).decode()


@pytest.fixture(scope="module")
def small_parts():
    """A server that takes parts of any size, so that slow checksums in Python are enough."""
    server = Server(min_part_size=1)
    try:
        server.start()
        server.client().create_bucket(Bucket="small-parts")
        yield server.client()
        server.stop()
    finally:
        server.remove()


@op("CreateMultipartUpload")
@op("UploadPart")
@op("CompleteMultipartUpload")
@op("GetObjectAttributes")
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("algorithm,kind", [("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("CRC32C", "COMPOSITE"),
                                            ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"),
                                            ("SHA1", "COMPOSITE"), ("SHA256", "COMPOSITE")])
def test_checksums_of_uploads(small_parts, algorithm, kind, declared):
    s3, where = small_parts, {"Bucket": "small-parts", "Key": f"{algorithm}-{kind}-{declared}"}
    parts = [os.urandom(1000), os.urandom(33), b"tail"]
    field, digest = "Checksum" + algorithm, DIGESTS[algorithm]
    create = s3.create_multipart_upload(ChecksumAlgorithm=algorithm, ChecksumType=kind, **where)
    assert (create["ChecksumAlgorithm"], create["ChecksumType"]) == (algorithm, kind)
    up, done = create["UploadId"], []
    for n, data in enumerate(parts, 1):
        # Given by the client, or computed by the server because the upload declared it.
        given = {field: text(digest(data))} if declared or algorithm not in ("CRC32", "SHA1", "SHA256") else {
            "ChecksumAlgorithm": algorithm}
        r = s3.upload_part(UploadId=up, PartNumber=n, Body=data, **given, **where)
        assert r[field] == text(digest(data))
        done.append({"PartNumber": n, "ETag": r["ETag"], field: r[field]})
    if kind == "COMPOSITE":
        want = text(digest(b"".join(digest(p) for p in parts))) + "-3"
    else:
        want = text(digest(b"".join(parts)))
    r = s3.complete_multipart_upload(UploadId=up, MultipartUpload={"Parts": done}, ChecksumType=kind, **{field: want}, **where)
    assert (r[field], r["ChecksumType"]) == (want, kind)
    head = s3.head_object(ChecksumMode="ENABLED", **where)
    assert (head[field], head["ChecksumType"]) == (want, kind)
    assert s3.head_object(ChecksumMode="ENABLED", PartNumber=1, **where)[field] == done[0][field]
    a = s3.get_object_attributes(ObjectAttributes=["Checksum", "ObjectParts"], MaxParts=2, **where)
    assert a["Checksum"] == {field: want, "ChecksumType": kind}
    assert a["ObjectParts"]["TotalPartsCount"] == 3 and a["ObjectParts"]["IsTruncated"]
    assert [p["PartNumber"] for p in a["ObjectParts"]["Parts"]] == [1, 2]
    assert a["ObjectParts"]["Parts"][0] == {"PartNumber": 1, "Size": 1000, field: done[0][field]}
    a = s3.get_object_attributes(ObjectAttributes=["ObjectParts"], PartNumberMarker=2, **where)
    assert [p["PartNumber"] for p in a["ObjectParts"]["Parts"]] == [3] and not a["ObjectParts"]["IsTruncated"]
    assert a["ObjectParts"]["NextPartNumberMarker"] == 3
    listed = s3.list_objects_v2(Bucket="small-parts", Prefix=where["Key"])["Contents"][0]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ([algorithm], kind)


@op("UploadPart")
@op("CompleteMultipartUpload")
def test_an_upload_without_an_algorithm_takes_any(small_parts):
    s3, where = small_parts, {"Bucket": "small-parts", "Key": "any"}
    up = s3.create_multipart_upload(**where)["UploadId"]
    data = [os.urandom(100), os.urandom(100), os.urandom(100)]
    parts = []
    for n, given in enumerate(({"ChecksumCRC32": text(DIGESTS["CRC32"](data[0]))},
                               {"ChecksumSHA256": text(DIGESTS["SHA256"](data[1]))},
                               {"ChecksumCRC64NVME": text(DIGESTS["CRC64NVME"](data[2]))}), 1):
        r = s3.upload_part(UploadId=up, PartNumber=n, Body=data[n - 1], **given, **where)
        assert {k: v for k, v in r.items() if k.startswith("Checksum")} == given
        parts.append({"PartNumber": n, "ETag": r["ETag"]})
    r = s3.complete_multipart_upload(UploadId=up, MultipartUpload={"Parts": parts}, **where)
    assert r["ChecksumCRC64NVME"] == text(DIGESTS["CRC64NVME"](b"".join(data))) and r["ChecksumType"] == "FULL_OBJECT"


@op("PutObject")
@op("UploadPart")
@op("CopyObject")
@pytest.mark.parametrize("form", [SIGNED_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize("algorithm", sorted(DIGESTS))
def test_checksums_as_trailers(raw, s3, bucket, algorithm, form):
    """Of objects and of parts: kept and given back when right, nothing stored when wrong; and asked of a copy."""
    data, name = os.urandom(3000), f"x-amz-checksum-{algorithm.lower()}"
    right, wrong = text(DIGESTS[algorithm](data)), text(DIGESTS[algorithm](data + b"x"))
    create = {"x-amz-checksum-algorithm": algorithm}
    up = raw.call("POST", f"/{bucket}/mp?uploads", create).field("UploadId")
    for target in (f"/{bucket}/k", f"/{bucket}/mp?partNumber=1&uploadId={up}"):
        refused(raw.put_chunked(target, [data], form, trailers=[(name, wrong)]), 400, "BadDigest")
        refused(raw.put_chunked(target, [data], form, trailers=[(name, "AAAA")]), 400, "InvalidRequest")
    absent(s3, bucket, "k")
    assert b"<Part>" not in raw.call("GET", f"/{bucket}/mp?uploadId={up}").body
    for target in (f"/{bucket}/k", f"/{bucket}/mp?partNumber=1&uploadId={up}"):
        r = raw.put_chunked(target, [data], form, trailers=[(name, right)])
        assert r.status == 200 and r.headers[name] == right, r
    r = raw.call("HEAD", f"/{bucket}/k", {"x-amz-checksum-mode": "ENABLED"})
    assert (r.headers[name], r.headers["x-amz-checksum-type"]) == (right, "FULL_OBJECT")
    assert raw.call("GET", f"/{bucket}/mp?uploadId={up}").field(f"Checksum{algorithm}") == right
    assert raw.call("PUT", f"/{bucket}/plain", body=data).status == 200
    r = raw.call("PUT", f"/{bucket}/copy", {"x-amz-copy-source": f"/{bucket}/plain", **create})
    assert r.field(f"Checksum{algorithm}") == right, r
    assert raw.call("HEAD", f"/{bucket}/copy", {"x-amz-checksum-mode": "ENABLED"}).headers[name] == right


@op("CreateMultipartUpload")
@pytest.mark.parametrize("headers", [{"x-amz-checksum-algorithm": "MD5"}, {"x-amz-checksum-type": "COMPOSITE"},
                                     {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT"},
                                     {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"},
                                     {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "HALF"}])
def test_impossible_checksums(raw, s3, bucket, headers):
    refused(raw.call("POST", f"/{bucket}/k?uploads", headers), 400, "InvalidRequest")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@op("UploadPart")
@op("CompleteMultipartUpload")
def test_part_checksums_must_fit(s3, raw, bucket):
    up, done = upload(s3, bucket, "k", [b"data"], ChecksumAlgorithm="SHA256")
    r = raw.call("PUT", f"/{bucket}/k?partNumber=2&uploadId={up}", {"x-amz-checksum-crc32": "AAAAAA=="}, b"")
    refused(r, 400, "InvalidRequest")
    whole = {"Bucket": bucket, "Key": "k", "UploadId": up}
    bare = [{"PartNumber": 1, "ETag": done[0]["ETag"]}]
    assert error_of(s3.complete_multipart_upload, MultipartUpload={"Parts": bare}, **whole) == (400, "InvalidRequest")
    wrong = [{**bare[0], "ChecksumSHA256": base64.b64encode(b"\0" * 32).decode()}]
    assert error_of(s3.complete_multipart_upload, MultipartUpload={"Parts": wrong}, **whole) == (400, "InvalidPart")
    assert error_of(s3.complete_multipart_upload, MultipartUpload={"Parts": done}, ChecksumType="FULL_OBJECT", **whole) == (
        400, "InvalidRequest")
    wrong_whole = base64.b64encode(b"\0" * 32).decode() + "-1"
    assert error_of(s3.complete_multipart_upload, MultipartUpload={"Parts": done}, ChecksumSHA256=wrong_whole,
                    **whole) == (400, "BadDigest")
    s3.complete_multipart_upload(MultipartUpload={"Parts": done}, **whole)


@op("UploadPart")
def test_part_digests(raw, bucket):
    up = raw.call("POST", f"/{bucket}/k?uploads").field("UploadId")
    target = f"/{bucket}/k?partNumber=1&uploadId={up}"
    refused(raw.call("PUT", target, {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, b"data"), 400, "BadDigest")
    refused(raw.call("PUT", target, {"content-md5": "x"}, b"data"), 400, "InvalidDigest")
    refused(raw.call("PUT", target, body=b"data", sha="0" * 64), 400, "XAmzContentSHA256Mismatch")
    assert b"<Part>" not in raw.call("GET", f"/{bucket}/k?uploadId={up}").body


@pytest.mark.slow
@op("CompleteMultipartUpload")
def test_ten_thousand_parts(start_server):
    from concurrent.futures import ThreadPoolExecutor
    server = start_server(min_part_size=1)
    s3 = server.client()
    s3.create_bucket(Bucket="many-parts")
    up = s3.create_multipart_upload(Bucket="many-parts", Key="k")["UploadId"]

    def one(n):
        r = s3.upload_part(Bucket="many-parts", Key="k", UploadId=up, PartNumber=n, Body=b"%05d" % n)
        return {"PartNumber": n, "ETag": r["ETag"], "ChecksumCRC32": r["ChecksumCRC32"]}

    with ThreadPoolExecutor(16) as pool:
        parts = list(pool.map(one, range(1, 10001)))
    r = s3.complete_multipart_upload(Bucket="many-parts", Key="k", UploadId=up, MultipartUpload={"Parts": parts})
    assert r["ETag"].endswith('-10000"')
    assert s3.get_object(Bucket="many-parts", Key="k")["Body"].read() == b"".join(b"%05d" % n for n in range(1, 10001))
    assert s3.get_object(Bucket="many-parts", Key="k", PartNumber=10000)["Body"].read() == b"10000"
