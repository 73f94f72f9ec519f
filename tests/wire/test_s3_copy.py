"""CopyObject and UploadPartCopy."""

import base64
import datetime
import hashlib
import os

import pytest

from hostile import absent, error_of, raw, refused  # noqa: F401

op = pytest.mark.op


@pytest.fixture
def source(s3, bucket):
    s3.put_object(Bucket=bucket, Key="src", Body=b"source data", Metadata={"a": "1"}, ContentType="x/y",
                  CacheControl="private", Tagging="t=1", ChecksumAlgorithm="SHA1", StorageClass="STANDARD_IA")
    return {"Bucket": bucket, "Key": "src"}


@pytest.mark.smoke
@op("CopyObject")
def test_copy(s3, bucket, source):
    other = bucket + "-target"
    s3.create_bucket(Bucket=other)
    r = s3.copy_object(Bucket=other, Key="dst", CopySource=source)
    src = s3.head_object(Bucket=bucket, Key="src", ChecksumMode="ENABLED")
    dst = s3.get_object(Bucket=other, Key="dst", ChecksumMode="ENABLED")
    assert dst["Body"].read() == b"source data"
    assert r["CopyObjectResult"]["ETag"] == src["ETag"] == dst["ETag"]
    assert r["CopyObjectResult"]["LastModified"] == dst["LastModified"]
    assert dst["Metadata"] == {"a": "1"} and dst["ContentType"] == "x/y" and dst["CacheControl"] == "private"
    assert dst["TagCount"] == 1
    assert dst["ChecksumSHA1"] == src["ChecksumSHA1"] == r["CopyObjectResult"]["ChecksumSHA1"]
    assert "StorageClass" not in dst  # the class is the request's, not the source's
    s3.delete_object(Bucket=bucket, Key="src")
    assert s3.get_object(Bucket=other, Key="dst")["Body"].read() == b"source data"


@op("CopyObject")
def test_directives(s3, bucket, source, raw):
    s3.copy_object(Bucket=bucket, Key="d", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"},
                   ContentType="c/d", TaggingDirective="REPLACE", Tagging="x=1&y=2", StorageClass="ONEZONE_IA")
    r = s3.head_object(Bucket=bucket, Key="d")
    assert r["Metadata"] == {"b": "2"} and r["ContentType"] == "c/d" and "CacheControl" not in r
    assert r["StorageClass"] == "ONEZONE_IA" and r["TagCount"] == 2
    s3.copy_object(Bucket=bucket, Key="e", CopySource=source, Metadata={"b": "2"})  # COPY: what is given is not used
    assert s3.head_object(Bucket=bucket, Key="e")["Metadata"] == {"a": "1"}
    h = {"x-amz-copy-source": f"/{bucket}/src"}
    for name in ("x-amz-metadata-directive", "x-amz-tagging-directive"):
        refused(raw.call("PUT", f"/{bucket}/f", {**h, name: "MERGE"}), 400, "InvalidArgument")


@op("CopyObject")
def test_self_copy_with_a_change(s3, bucket, source, raw):
    for more in ({"StorageClass": "STANDARD_IA"}, {"MetadataDirective": "REPLACE", "Metadata": {"c": "3"}},
                 {"WebsiteRedirectLocation": "/x"}, {"ChecksumAlgorithm": "SHA256"}):
        s3.copy_object(Bucket=bucket, Key="src", CopySource=source, **more)
        assert s3.get_object(Bucket=bucket, Key="src")["Body"].read() == b"source data"
    assert s3.head_object(Bucket=bucket, Key="src", ChecksumMode="ENABLED")["ChecksumSHA256"]


@op("CopyObject")
def test_conditions_of_the_source(s3, bucket, source):
    etag = s3.head_object(Bucket=bucket, Key="src")["ETag"]
    hour = datetime.timedelta(hours=1)
    modified = s3.head_object(Bucket=bucket, Key="src")["LastModified"]
    good = ({"CopySourceIfMatch": etag}, {"CopySourceIfNoneMatch": '"x"'}, {"CopySourceIfModifiedSince": modified - hour},
            {"CopySourceIfUnmodifiedSince": modified + hour},
            {"CopySourceIfMatch": etag, "CopySourceIfUnmodifiedSince": modified - hour})
    bad = ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag}, {"CopySourceIfModifiedSince": modified + hour},
           {"CopySourceIfUnmodifiedSince": modified - hour},
           {"CopySourceIfNoneMatch": etag, "CopySourceIfModifiedSince": modified - hour})
    for more in bad:
        assert error_of(s3.copy_object, Bucket=bucket, Key="d", CopySource=source, **more) == (412, "PreconditionFailed")
    absent(s3, bucket, "d")
    for more in good:
        s3.copy_object(Bucket=bucket, Key="d", CopySource=source, **more)


@op("CopyObject")
def test_conditions_of_the_target(s3, bucket, source):
    s3.copy_object(Bucket=bucket, Key="d", CopySource=source, IfNoneMatch="*")
    assert error_of(s3.copy_object, Bucket=bucket, Key="d", CopySource=source, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert error_of(s3.copy_object, Bucket=bucket, Key="d", CopySource=source, IfMatch='"x"') == (412, "PreconditionFailed")


@op("CopyObject")
def test_versions(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    v1 = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    v2 = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
    r = s3.copy_object(Bucket=bucket, Key="d", CopySource={"Bucket": bucket, "Key": "k", "VersionId": v1})
    assert r["CopySourceVersionId"] == v1 and r["VersionId"]
    assert s3.get_object(Bucket=bucket, Key="d")["Body"].read() == b"one"
    r = s3.copy_object(Bucket=bucket, Key="d", CopySource={"Bucket": bucket, "Key": "k"})
    assert r["CopySourceVersionId"] == v2
    s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k", "VersionId": v1})  # bring it back
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    assert error_of(s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "k"}) == (404, "NoSuchKey")
    of_marker = {"Bucket": bucket, "Key": "k", "VersionId": marker}
    assert error_of(s3.copy_object, Bucket=bucket, Key="x", CopySource=of_marker)[0] == 400
    nowhere = {"Bucket": bucket, "Key": "k", "VersionId": v1[::-1]}
    assert error_of(s3.copy_object, Bucket=bucket, Key="x", CopySource=nowhere)[0] in (400, 404)


@op("CopyObject")
def test_missing_sources(s3, bucket, source):
    none = {"Bucket": bucket, "Key": "none"}
    assert error_of(s3.copy_object, Bucket=bucket, Key="d", CopySource=none) == (404, "NoSuchKey")
    nowhere = {"Bucket": bucket + "-none", "Key": "k"}
    assert error_of(s3.copy_object, Bucket=bucket, Key="d", CopySource=nowhere) == (404, "NoSuchBucket")
    assert error_of(s3.copy_object, Bucket=bucket + "-none", Key="d", CopySource=source) == (404, "NoSuchBucket")


@op("CopyObject")
def test_errors_name_the_source(raw, bucket, source):
    r = raw.call("PUT", f"/{bucket}/d", {"x-amz-copy-source": f"/{bucket}/none"})
    refused(r, 404, "NoSuchKey")
    assert r.field("Key") == "none"
    r = raw.call("PUT", f"/{bucket}/d", {"x-amz-copy-source": f"/{bucket}/src", "x-amz-copy-source-if-match": '"x"'})
    refused(r, 412, "PreconditionFailed")
    assert r.field("Condition") == "x-amz-copy-source-If-Match"


@op("CopyObject")
@pytest.mark.parametrize("key", ["a b", "a+b", "ü/é", "100%", "a?b", "a?versionId=x", "a&b=c", "//x/../y", "#"])
def test_odd_source_keys(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    s3.copy_object(Bucket=bucket, Key="d", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="d")["Body"].read() == key.encode()


@op("CopyObject")
@op("UploadPartCopy")
@op("GetObject")
def test_sources_above_five_gib(s3, raw, bucket):
    """Part copies share bytes, so that an object of 5 GiB and more costs 64 MiB of upload. Neither names a checksum, so that
    the parts' is the source's and nothing is read."""
    piece = os.urandom(1 << 20) * 64
    assert raw.call("PUT", f"/{bucket}/src", body=piece, sha="UNSIGNED-PAYLOAD").status == 200
    src = {"Bucket": bucket, "Key": "src"}
    up = raw.call("POST", f"/{bucket}/big?uploads").field("UploadId")
    parts = []
    for n in range(1, 82):
        r = s3.upload_part_copy(Bucket=bucket, Key="big", UploadId=up, PartNumber=n, CopySource=src)
        parts.append({"PartNumber": n, "ETag": r["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=up, MultipartUpload={"Parts": parts})
    size = 81 * len(piece)
    assert s3.head_object(Bucket=bucket, Key="big")["ContentLength"] == size > 5 << 30
    assert s3.list_objects_v2(Bucket=bucket, Prefix="big")["Contents"][0]["Size"] == size
    at = (5 << 30) - 10  # across the edge of parts and of 32 bits
    for first in (at, (4 << 30) - 10):
        r = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={first}-{first + 19}")
        assert r["Body"].read() == piece[-10:] + piece[:10] and r["ContentRange"] == f"bytes {first}-{first + 19}/{size}"
    assert s3.get_object(Bucket=bucket, Key="big", Range="bytes=-5")["Body"].read() == piece[-5:]
    r = raw.call("PUT", f"/{bucket}/copy", {"x-amz-copy-source": f"/{bucket}/big"})
    refused(r, 400, "InvalidRequest")
    text = f"The specified copy source is larger than the maximum allowable size for a copy source: {5 << 30}"
    assert r.field("Message") == text
    up = s3.create_multipart_upload(Bucket=bucket, Key="copy")["UploadId"]
    r = raw.call("PUT", f"/{bucket}/copy?partNumber=1&uploadId={up}", {"x-amz-copy-source": f"/{bucket}/big"})
    refused(r, 400, "InvalidRequest")
    assert r.field("Message") == text
    absent(s3, bucket, "copy")


@op("CopyObject")
def test_copy_of_a_multipart_object_keeps_its_parts(s3, bucket):
    parts, etags = [os.urandom(5 << 20), b"tail"], []
    up = s3.create_multipart_upload(Bucket=bucket, Key="src", ChecksumAlgorithm="SHA1")["UploadId"]
    for n, data in enumerate(parts, 1):
        r = s3.upload_part(Bucket=bucket, Key="src", UploadId=up, PartNumber=n, Body=data, ChecksumAlgorithm="SHA1")
        etags.append({"PartNumber": n, "ETag": r["ETag"], "ChecksumSHA1": r["ChecksumSHA1"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="src", UploadId=up, MultipartUpload={"Parts": etags})
    src = s3.head_object(Bucket=bucket, Key="src", ChecksumMode="ENABLED")
    r = s3.copy_object(Bucket=bucket, Key="dst", CopySource={"Bucket": bucket, "Key": "src"})["CopyObjectResult"]
    dst = s3.head_object(Bucket=bucket, Key="dst", ChecksumMode="ENABLED")
    assert r["ETag"] == dst["ETag"] == src["ETag"] and r["ChecksumSHA1"] == dst["ChecksumSHA1"] == src["ChecksumSHA1"]
    assert s3.get_object(Bucket=bucket, Key="dst", PartNumber=2)["Body"].read() == b"tail"
    # A checksum that is asked for is one of the whole.
    r = s3.copy_object(Bucket=bucket, Key="sum", CopySource={"Bucket": bucket, "Key": "src"}, ChecksumAlgorithm="SHA256")
    want = base64.b64encode(hashlib.sha256(b"".join(parts)).digest()).decode()
    assert r["CopyObjectResult"]["ChecksumSHA256"] == want
    assert s3.head_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")["ChecksumType"] == "FULL_OBJECT"


@op("UploadPartCopy")
def test_part_copy(s3, raw, bucket):
    data = os.urandom(11 << 20)
    s3.put_object(Bucket=bucket, Key="src", Body=data)
    src = {"Bucket": bucket, "Key": "src"}
    up = s3.create_multipart_upload(Bucket=bucket, Key="d")["UploadId"]
    edge = 5 << 20
    parts = []
    for n, (a, b) in enumerate(((0, edge - 1), (edge, 2 * edge - 1), (2 * edge, len(data) - 1)), 1):
        r = s3.upload_part_copy(Bucket=bucket, Key="d", UploadId=up, PartNumber=n, CopySource=src,
                                CopySourceRange=f"bytes={a}-{b}")["CopyPartResult"]
        assert r["LastModified"]
        parts.append({"PartNumber": n, "ETag": r["ETag"], **{k: v for k, v in r.items() if k.startswith("Checksum")}})
    for bad in ("bytes=0-", "0-5", "bytes=5-1", "bytes=x-y", f"bytes=0-{len(data)}"):
        assert error_of(s3.upload_part_copy, Bucket=bucket, Key="d", UploadId=up, PartNumber=4, CopySource=src,
                        CopySourceRange=bad) == (400, "InvalidArgument")
    assert error_of(s3.upload_part_copy, Bucket=bucket, Key="d", UploadId=up, PartNumber=4, CopySource=src,
                    CopySourceIfMatch='"x"') == (412, "PreconditionFailed")
    none = {"Bucket": bucket, "Key": "none"}
    assert error_of(s3.upload_part_copy, Bucket=bucket, Key="d", UploadId=up, PartNumber=4, CopySource=none) == (
        404, "NoSuchKey")
    assert error_of(s3.upload_part_copy, Bucket=bucket, Key="d", UploadId="nothing", PartNumber=4, CopySource=src) == (
        404, "NoSuchUpload")
    s3.complete_multipart_upload(Bucket=bucket, Key="d", UploadId=up, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key="d")["Body"].read() == data
