"""The exact words of errors: message, elements, headers, as AWS's answers show them."""

import html

import pytest

from hostile import absent, raw, refused  # noqa: F401
from rawsign import crc32, md5, quote, sha256

op = pytest.mark.op


def fields(r, **want):
    """The elements of the error document."""
    got = {name: r.field(name) and html.unescape(r.field(name)) for name in want}
    assert got == want, r


@op("PutObject")
def test_digests_that_do_not_match(raw, s3, bucket):
    r = raw.call("PUT", f"/{bucket}/k", {"content-md5": md5(b"other")}, b"data")
    refused(r, 400, "BadDigest")
    fields(r, Message="The Content-MD5 you specified did not match what we received.",
           ExpectedDigest="795f3202b17cb6bc3d4b771d8c6c9eaf", CalculatedDigest=md5(b"data"))
    r = raw.call("PUT", f"/{bucket}/k", {"x-amz-checksum-crc32": crc32(b"other")}, b"data")
    refused(r, 400, "BadDigest")
    fields(r, Message="The CRC32 you specified did not match the calculated checksum.")
    r = raw.put_chunked(f"/{bucket}/k", [b"data"], trailers=[("x-amz-checksum-crc32", crc32(b"other"))])
    fields(r, Code="BadDigest", Message="The CRC32 you specified did not match the calculated checksum.")
    r = raw.call("PUT", f"/{bucket}/k", body=b"data", sha=sha256(b"other"))
    refused(r, 400, "XAmzContentSHA256Mismatch")
    fields(r, Message="The provided 'x-amz-content-sha256' header does not match what was computed.",
           ClientComputedContentSHA256=sha256(b"other"), S3ComputedContentSHA256=sha256(b"data"))
    r = raw.call("PUT", f"/{bucket}/k", {"content-md5": "short"}, b"data")
    refused(r, 400, "InvalidDigest")
    fields(r, **{"Content-MD5": "short"})
    absent(s3, bucket, "k")


@op("DeleteObjects")
def test_digest_of_a_document(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    r = raw.call("POST", f"/{bucket}?delete", {"x-amz-checksum-crc32": crc32(b"other")}, body)
    fields(r, Code="BadDigest", Message="The CRC32 you specified did not match the calculated checksum.")
    s3.head_object(Bucket=bucket, Key="k")


@op("UploadPart")
@op("CompleteMultipartUpload")
def test_uploads(raw, bucket):
    up = raw.call("POST", f"/{bucket}/k?uploads").field("UploadId")
    target = f"/{bucket}/k?uploadId={up}"
    etags = [raw.call("PUT", f"{target}&partNumber={n}", body=b"small").headers["etag"].strip('"') for n in (1, 2)]

    def complete(*parts, headers=None):
        body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in parts)
        return raw.call("POST", target, headers, f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode())

    r = complete((1, etags[0]), (2, etags[1]))
    refused(r, 400, "EntityTooSmall")
    fields(r, Message="Your proposed upload is smaller than the minimum allowed size", ProposedSize="5",
           MinSizeAllowed=str(5 << 20), PartNumber="1", ETag=etags[0])
    for part in ((1, "0" * 32), (7, etags[0])):
        r = complete(part)
        refused(r, 400, "InvalidPart")
        fields(r, UploadId=up, PartNumber=str(part[0]), ETag=part[1])
    r = complete((1, etags[0]), headers={"x-amz-mp-object-size": "6"})
    refused(r, 400, "InvalidRequest")
    fields(r, Message="The provided 'x-amz-mp-object-size' header value 6 does not match what was computed: 5")
    r = complete((1, etags[0]), headers={"x-amz-mp-object-size": "-1"})
    refused(r, 400, "InvalidRequest")
    r = complete((1, etags[0]), headers={"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="})
    fields(r, Code="BadDigest", Message="The crc64nvme you specified did not match the calculated checksum.")
    for method, more in (("GET", ""), ("PUT", "&partNumber=1"), ("DELETE", ""), ("POST", "")):
        body = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>"
        r = raw.call(method, f"/{bucket}/k?uploadId=nothing{more}", body=body if method == "POST" else b"")
        refused(r, 404, "NoSuchUpload")
        fields(r, UploadId="nothing")
    h = raw.signed_headers("PUT", f"{target}&partNumber=1", sha="UNSIGNED-PAYLOAD")
    h["content-length"] = (5 << 30) + 1
    with raw.connect() as s:
        s.sendall(raw.head("PUT", f"{target}&partNumber=1", h))
        r = raw.read_reply(s, "PUT")
    refused(r, 400, "EntityTooLarge")
    fields(r, ProposedSize=str((5 << 30) + 1), MaxSizeAllowed=str(5 << 30))


@op("CreateMultipartUpload")
@op("UploadPart")
@op("CompleteMultipartUpload")
def test_checksums_of_uploads(raw, bucket):
    r = raw.call("POST", f"/{bucket}/k?uploads", {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT"})
    fields(r, Code="InvalidRequest",
           Message="The FULL_OBJECT checksum type cannot be used with the sha256 checksum algorithm.")
    up = raw.call("POST", f"/{bucket}/k?uploads", {"x-amz-checksum-algorithm": "SHA256"}).field("UploadId")
    target = f"/{bucket}/k?uploadId={up}"
    r = raw.call("PUT", f"{target}&partNumber=1", {"x-amz-checksum-crc32": crc32(b"x")}, b"x")
    fields(r, Code="InvalidRequest",
           Message="Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: crc32")
    etag = raw.call("PUT", f"{target}&partNumber=1", body=b"x").headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    r = raw.call("POST", target, body=f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode())
    fields(r, Code="InvalidRequest",
           Message="The upload was created using a sha256 checksum. The complete request must include the checksum for each "
                   "part. It was missing for part 1 in the request.")


@op("PutObject")
def test_a_part_without_an_upload(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    for h in ({}, {"x-amz-copy-source": f"/{bucket}/k"}):
        r = raw.call("PUT", f"/{bucket}/k?partNumber=1", h, b"" if h else b"part")
        refused(r, 400, "InvalidArgument")
        fields(r, Message="This operation does not accept partNumber without uploadId", ArgumentName="partNumber",
               ArgumentValue="partNumber")
    assert raw.call("PUT", f"/{bucket}/k?uploadId=x", body=b"part").status in (400, 405)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"


@op("GetObject")
def test_sub_resources_of_a_bucket_asked_of_a_key(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    r = raw.call("GET", f"/{bucket}/k?versions")
    refused(r, 400, "InvalidRequest")
    fields(r, Message="There is no such thing as the ?versions sub-resource for a key")
    r = raw.call("GET", f"/{bucket}/k?uploads")
    refused(r, 400, "InvalidRequest")
    fields(r, Message="Key is not expected for the GET method ?uploads subresource")


def test_methods(raw, bucket):
    for target, kind, allow in (("/", "SERVICE", "GET"), (f"/{bucket}", "BUCKET", "GET, HEAD, PUT, POST, DELETE"),
                                (f"/{bucket}/k", "OBJECT", "GET, HEAD, PUT, POST, DELETE")):
        for method in ("PATCH", "OPTIONS", "POST"):
            if (method, kind) == ("POST", "SERVICE"):
                continue
            r = raw.call(method, target, sign=False)
            refused(r, 405, "MethodNotAllowed")
            fields(r, Method=method, ResourceType=kind)
            assert r.headers["allow"] == allow


@op("GetObject")
def test_versions_that_do_not_exist(raw, s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    v = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    other = ("0" if v[0] != "0" else "1") + v[1:]
    r = raw.call("GET", f"/{bucket}/k?versionId={other}")
    refused(r, 404, "NoSuchVersion")
    fields(r, Message="The specified version does not exist.", Key="k", VersionId=other)
    for method in ("GET", "DELETE"):
        r = raw.call(method, f"/{bucket}/k?versionId=nonsense")
        refused(r, 400, "InvalidArgument")
        fields(r, Message="Invalid version id specified", ArgumentName="versionId", ArgumentValue="nonsense")
    r = raw.call("DELETE", f"/{bucket}")
    refused(r, 409, "BucketNotEmpty")
    fields(r, Message="The bucket you tried to delete is not empty. You must delete all versions in the bucket.")


@op("CopyObject")
@op("UploadPartCopy")
def test_copies(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="src", Body=b"12345")
    r = raw.call("PUT", f"/{bucket}/k", {"x-amz-copy-source": "/never-made-at-all/k"})
    refused(r, 404, "NoSuchBucket")
    fields(r, BucketName="never-made-at-all")
    r = raw.call("PUT", "/never-made-at-all/k", {"x-amz-copy-source": f"/{bucket}/src"})
    refused(r, 404, "NoSuchBucket")
    fields(r, BucketName="never-made-at-all")
    r = raw.call("PUT", f"/{bucket}/src", {"x-amz-copy-source": f"/{bucket}/src"})
    refused(r, 400, "InvalidRequest")
    assert r.field("Message").startswith("This copy request is illegal because it is trying to copy an object to itself")
    up = raw.call("POST", f"/{bucket}/m?uploads").field("UploadId")
    part = f"/{bucket}/m?partNumber=1&uploadId={up}"
    r = raw.call("PUT", part, {"x-amz-copy-source": f"/{bucket}/src", "x-amz-copy-source-range": "bytes=0-5"})
    refused(r, 400, "InvalidArgument")
    fields(r, Message="Range specified is not valid for source object of size: 5", ArgumentName="x-amz-copy-source-range",
           ArgumentValue="bytes=0-5")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    marker = s3.delete_object(Bucket=bucket, Key="src")["VersionId"]
    for target in (f"/{bucket}/k", part):
        r = raw.call("PUT", target, {"x-amz-copy-source": f"/{bucket}/src?versionId={marker}"})
        refused(r, 400, "InvalidRequest")
        fields(r, Message="The source of a copy request may not specifically refer to a delete marker by version id.")
        r = raw.call("PUT", target, {"x-amz-copy-source": f"/{bucket}/src?versionId=nonsense"})
        refused(r, 400, "InvalidArgument")
        fields(r, ArgumentName="x-amz-copy-source", ArgumentValue="nonsense")


@op("CopyObject")
@op("UploadPartCopy")
def test_a_copy_has_no_body(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="src", Body=b"12345")
    up = raw.call("POST", f"/{bucket}/m?uploads").field("UploadId")
    source = {"x-amz-copy-source": f"/{bucket}/src"}
    for target in (f"/{bucket}/k", f"/{bucket}/m?partNumber=1&uploadId={up}"):
        r = raw.call("PUT", target, source, b"body")
        refused(r, 400, "InvalidRequest")
        fields(r, Message="The request included a body. Requests of this type must not include a non-empty body.")
        for chunked, status in ((b"4\r\nbody\r\n0\r\n\r\n", 400), (b"0\r\n\r\n", 200)):
            h = raw.signed_headers("PUT", target, source, sha="UNSIGNED-PAYLOAD")
            r = raw.send(raw.head("PUT", target, {**h, "transfer-encoding": "chunked"}) + chunked, "PUT")
            assert r.status == status, r
        assert raw.call("PUT", target, source).status == 200


@op("GetObject")
def test_ranges_and_parts(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    r = raw.call("GET", f"/{bucket}/k", {"range": "bytes=50-"})
    refused(r, 416, "InvalidRange")
    fields(r, Message="The requested range is not satisfiable", RangeRequested="bytes=50-", ActualObjectSize="10")
    r = raw.call("GET", f"/{bucket}/k?partNumber=2")
    refused(r, 416, "InvalidPartNumber")
    fields(r, PartNumberRequested="2", ActualPartCount="1")


@op("PutObject")
def test_tags(raw, bucket):
    r = raw.call("PUT", f"/{bucket}/k", {"x-amz-tagging": "aws:x=1"}, b"x")
    refused(r, 400, "InvalidTag")
    fields(r, TagKey="aws:x", TagValue="1")


@op("ListMultipartUploads")
def test_upload_id_marker(raw, bucket):
    r = raw.call("GET", f"/{bucket}?uploads&key-marker=a&upload-id-marker=x")
    refused(r, 400, "InvalidArgument")
    fields(r, Message="Invalid uploadId marker", ArgumentName="upload-id-marker", ArgumentValue="x")


@op("GetObjectAttributes")
def test_attributes(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    r = raw.call("GET", f"/{bucket}/k?attributes")
    refused(r, 400, "InvalidRequest")
    r = raw.call("GET", f"/{bucket}/k?attributes", {"x-amz-object-attributes": "ETag,Nope"})
    refused(r, 400, "InvalidArgument")
    fields(r, Message="Invalid attribute name specified.", ArgumentName="x-amz-object-attributes", ArgumentValue="Nope")
    h = {"x-amz-object-attributes": "ObjectSize", "x-amz-max-parts": "many", "x-amz-part-number-marker": "-3"}
    assert raw.call("GET", f"/{bucket}/k?attributes", h).field("ObjectSize") == "1"  # what is no number does not count


def test_signatures(raw, bucket):
    r = raw.call("GET", f"/{bucket}", secret="wrong")
    refused(r, 403, "SignatureDoesNotMatch")
    assert r.field("AWSAccessKeyId") == raw.access and r.field("SignatureProvided")
    assert html.unescape(r.field("StringToSign")).startswith("AWS4-HMAC-SHA256\n")
    assert html.unescape(r.field("CanonicalRequest")).startswith(f"GET\n/{bucket}\n\nhost:")
    r = raw.call("GET", f"/{bucket}", access="AKIANOBODY")
    fields(r, Code="InvalidAccessKeyId", Message="The AWS Access Key Id you provided does not exist in our records.",
           AWSAccessKeyId="AKIANOBODY")
    r = raw.call("GET", f"/{bucket}", {"authorization": "garbage"}, sign=False)
    fields(r, Code="InvalidArgument", Message="Unsupported Authorization Type", ArgumentName="Authorization")
    r = raw.get_url(raw.presign("GET", f"/{bucket}", 0))
    fields(r, Code="AccessDenied", Message="Request has expired", **{"X-Amz-Expires": "0"})
    assert r.field("Expires") and r.field("ServerTime")
    for replace, message in (
            ({"X-Amz-Algorithm": "AWS4-HMAC-SHA1"}, 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"'),
            ({"X-Amz-Date": "2024-01-01"}, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""),
            ({"X-Amz-Expires": "-1"}, "X-Amz-Expires must be non-negative"),
            ({"X-Amz-Expires": "x"}, "X-Amz-Expires should be a number"),
            ({"X-Amz-Expires": "604801"}, "X-Amz-Expires must be less than a week (in seconds); that is, the given "
                                          "X-Amz-Expires must be less than 604800 seconds")):
        r = raw.get_url(raw.presign("GET", f"/{bucket}", replace=replace))
        refused(r, 400, "AuthorizationQueryParametersError")
        fields(r, Message=message)
    raw.region = "eu-west-9"
    r = raw.call("GET", f"/{bucket}")
    refused(r, 400, "AuthorizationHeaderMalformed")
    fields(r, Message="The authorization header is malformed; the region 'eu-west-9' is wrong; expecting 'us-east-1'",
           Region="us-east-1")


@op("PutObject")
def test_key_and_metadata_bounds(raw, bucket):
    r = raw.call("PUT", f"/{bucket}/" + "k" * 1025, body=b"x")
    fields(r, Code="KeyTooLongError", Message="Your key is too long.", Size="1025", MaxSizeAllowed="1024")
    r = raw.call("PUT", f"/{bucket}/k", {"x-amz-meta-a": "v" * 2048}, b"x")
    fields(r, Code="MetadataTooLarge", Size="2049", MaxSizeAllowed="2048")
    r = raw.call("PUT", f"/{bucket}/k", {"x-amz-storage-class": "COLD"}, b"x")
    fields(r, Code="InvalidStorageClass", StorageClassRequested="COLD")


@op("DeleteObjects")
def test_errors_of_keys_escape_their_names(raw, bucket):
    body = "<Delete><Object><Key>&lt;&amp;&gt;</Key><VersionId>nonsense</VersionId></Object></Delete>".encode()
    r = raw.call("POST", f"/{bucket}?delete", {"content-md5": md5(body)}, body)
    assert r.status == 200 and b"<Key>&lt;&amp;&gt;</Key><VersionId>nonsense</VersionId><Code>InvalidArgument</Code>" in r.body


def test_not_found_names_what_was_asked(raw, bucket):
    key = "a b/é&<x>"
    r = raw.call("GET", f"/{bucket}/{quote(key, safe='/')}")
    fields(r, Code="NoSuchKey", Message="The specified key does not exist.", Key=key)
    r = raw.call("GET", "/never-made-at-all?list-type=2")
    fields(r, Code="NoSuchBucket", Message="The specified bucket does not exist", BucketName="never-made-at-all")
