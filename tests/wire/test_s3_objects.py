"""Objects: put, get, head, delete, many deletes, attributes."""

import base64
import datetime
import email.utils
import hashlib
import os
import threading

import pytest

from hostile import absent, error_of, raw, refused  # noqa: F401

op = pytest.mark.op


@pytest.mark.smoke
@op("PutObject")
@op("GetObject")
@op("HeadObject")
@op("DeleteObject")
@pytest.mark.parametrize("size", [0, 1, 4096, 65537, (5 << 20) + 1])
def test_round_trip(s3, bucket, size):
    data = os.urandom(size)
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    r = s3.put_object(Bucket=bucket, Key="k", Body=data)
    assert r["ETag"] == etag
    for call in (s3.head_object, s3.get_object):
        r = call(Bucket=bucket, Key="k")
        assert (r["ETag"], r["ContentLength"], r["AcceptRanges"]) == (etag, size, "bytes")
        assert r["ContentType"] == "binary/octet-stream" and r["Metadata"] == {}
        assert abs((datetime.datetime.now(datetime.timezone.utc) - r["LastModified"]).total_seconds()) < 60
    assert r["Body"].read() == data
    assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error_of(s3.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
    assert error_of(s3.head_object, Bucket=bucket, Key="k") == (404, "404")
    assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204


HEADERS = {"CacheControl": "no-cache", "ContentDisposition": 'attachment; filename="a b"', "ContentEncoding": "gzip",
           "ContentLanguage": "de", "ContentType": "text/plain; charset=utf-8",
           "WebsiteRedirectLocation": "/elsewhere", "StorageClass": "STANDARD_IA"}


@op("PutObject")
@op("HeadObject")
def test_headers_come_back(s3, raw, bucket):
    when = datetime.datetime(2030, 1, 2, 3, 4, 5)
    meta = {"a": "1", "with-dash": "two words", "empty": "", "upper-Case": "V"}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata=meta, Expires=when, Tagging="k1=v1&k2=", **HEADERS)
    for call in (s3.head_object, s3.get_object):
        r = call(Bucket=bucket, Key="k")
        assert {k: r[k] for k in HEADERS} == HEADERS
        assert r["Metadata"] == {k.lower(): v for k, v in meta.items()}
        assert r["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT"
        assert r.get("TagCount") == 2
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")  # all of it is replaced
    r = s3.head_object(Bucket=bucket, Key="k")
    assert r["Metadata"] == {} and not set(r) & {"CacheControl", "ContentEncoding", "StorageClass", "TagCount"}


@op("PutObject")
def test_repeated_metadata_is_one_list(raw, s3, bucket):
    h = raw.signed_headers("PUT", f"/{bucket}/k", {"x-amz-meta-a": "1,2"}, b"x")
    head = raw.head("PUT", f"/{bucket}/k", {**h, "content-length": 1}).replace(
        b"x-amz-meta-a: 1,2\r\n", b"x-amz-meta-a: 1\r\nx-amz-meta-a: 2\r\n")
    assert raw.send(head + b"x", "PUT").status == 200
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "1,2"}


@op("PutObject")
@op("HeadObject")
def test_metadata_that_is_not_ascii(raw, s3, bucket):
    word = lambda s: "=?UTF-8?B?" + base64.b64encode(s.encode()).decode() + "?="  # noqa: E731
    h = raw.signed_headers("PUT", f"/{bucket}/k", {"x-amz-meta-a": "Grüße 日本", "x-amz-meta-b": word("Grüße"),
                                                  "x-amz-meta-c": "plain ~"}, b"x")
    assert raw.call("PUT", f"/{bucket}/k", {**h, "content-length": 1}, b"x", sign=False).status == 200
    for method in ("GET", "HEAD"):
        r = raw.call(method, f"/{bucket}/k")
        assert (r.headers["x-amz-meta-a"], r.headers["x-amz-meta-b"], r.headers["x-amz-meta-c"]) == (
            word("Grüße 日本"), word("Grüße"), "plain ~")
    url = raw.presign("PUT", f"/{bucket}/q?x-amz-meta-a=%C3%A9")
    assert raw.get_url(url, "PUT", body=b"x").status == 200
    assert raw.call("HEAD", f"/{bucket}/q").headers["x-amz-meta-a"] == word("é")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    assert raw.call("HEAD", f"/{bucket}/copy").headers["x-amz-meta-a"] == word("Grüße 日本")


@op("PutObject")
@pytest.mark.parametrize("query", ["x-amz-meta-a%20b=1", "x-amz-meta-a%3A=1", "x-amz-meta-%C3%BC=1", "x-amz-meta-a=%01",
                                   "x-amz-meta-a=%7F", "x-amz-website-redirect-location=/%01"])
def test_what_no_header_can_hold_is_not_stored(raw, s3, bucket, query):
    r = raw.get_url(raw.presign("PUT", f"/{bucket}/k?{query}"), "PUT", body=b"x")
    assert r.status == 400, r
    absent(s3, bucket, "k")


@op("GetObject")
def test_overrides_hold_no_control_characters(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for bad in ("%01", "%0a", "%7f"):
        refused(raw.call("GET", f"/{bucket}/k?response-content-type=a{bad}"), 400, "InvalidArgument")


@op("PutObject")
def test_aws_chunked_is_stripped_token_by_token(raw, s3, bucket):
    for sent, kept in (("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked, br", "gzip,br"),
                       ("AWS-Chunked , x", "x"), ("gzip", "gzip"), ("a, b", "a, b")):
        assert raw.call("PUT", f"/{bucket}/k", {"content-encoding": sent}, b"x").status == 200
        assert s3.head_object(Bucket=bucket, Key="k").get("ContentEncoding") == kept


@op("PutObject")
@pytest.mark.parametrize("name,value,status,code", [
    ("x-amz-storage-class", "NOT_A_CLASS", 400, "InvalidStorageClass"),
    ("x-amz-storage-class", "GLACIER", 501, "NotImplemented"),
    ("x-amz-acl", "public-read", 501, "NotImplemented"),
    ("x-amz-acl", "nonsense", 400, "InvalidArgument"),
    ("x-amz-grant-full-control", 'id="a"', 501, "NotImplemented"),
    ("x-amz-server-side-encryption", "AES256", 501, "NotImplemented"),
    ("x-amz-server-side-encryption-customer-algorithm", "AES256", 501, "NotImplemented"),
    ("x-amz-object-lock-mode", "GOVERNANCE", 501, "NotImplemented"),
    ("x-amz-object-lock-legal-hold", "ON", 501, "NotImplemented"),
    ("x-amz-write-offset-bytes", "1", 501, "NotImplemented"),
    ("x-amz-website-redirect-location", "elsewhere", 400, "InvalidRedirectLocation"),
    ("if-modified-since", "Sat, 29 Oct 1994 19:43:31 GMT", 501, "NotImplemented"),
    ("x-amz-tagging", "=v", 400, "InvalidTag"),
    ("x-amz-tagging", "a=1&a=2", 400, "InvalidTag"),
    ("x-amz-tagging", "aws:x=1", 400, "InvalidTag"),
    ("x-amz-tagging", "k" * 129 + "=1", 400, "InvalidTag"),
    ("x-amz-tagging", "k=" + "v" * 257, 400, "InvalidTag"),
    ("x-amz-tagging", "k=%ZZ", 400, "InvalidArgument"),
    ("x-amz-tagging", "&".join(f"k{i}=v" for i in range(11)), 400, "BadRequest"),
])
def test_put_refuses(raw, s3, bucket, name, value, status, code):
    r = raw.call("PUT", f"/{bucket}/k", {name: value}, b"x")
    refused(r, status, code)
    if status == 501:
        assert r.field("Header").lower() == name
    absent(s3, bucket, "k")


@op("PutObject")
def test_acls_that_change_nothing(s3, bucket):
    for acl in ("private", "bucket-owner-full-control"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL=acl)


@op("PutObject")
def test_too_large_before_a_byte_is_sent(raw, bucket):
    h = raw.signed_headers("PUT", f"/{bucket}/k", sha="UNSIGNED-PAYLOAD")
    h["content-length"] = (5 << 30) + 1
    with raw.connect() as s:
        s.sendall(raw.head("PUT", f"/{bucket}/k", h))
        r = raw.read_reply(s, "PUT")
    refused(r, 400, "EntityTooLarge")
    assert r.field("MaxSizeAllowed") == str(5 << 30)


@op("PutObject")
def test_no_such_bucket(s3, bucket):
    assert error_of(s3.put_object, Bucket=bucket + "-none", Key="k", Body=b"x") == (404, "NoSuchBucket")
    assert error_of(s3.get_object, Bucket=bucket + "-none", Key="k") == (404, "NoSuchBucket")
    assert error_of(s3.delete_object, Bucket=bucket + "-none", Key="k") == (404, "NoSuchBucket")


@op("PutObject")
def test_conditions_of_writes(s3, bucket):
    put = lambda **c: s3.put_object(Bucket=bucket, Key="k", Body=b"x", **c)  # noqa: E731
    etag = put()["ETag"]
    for bad in ({"IfNoneMatch": "*"}, {"IfNoneMatch": etag}, {"IfNoneMatch": f'"a", {etag}'}, {"IfMatch": '"a"'},
                {"IfMatch": etag, "IfNoneMatch": etag}):
        assert error_of(put, **bad) == (412, "PreconditionFailed")
    for good in ({"IfNoneMatch": '"a"'}, {"IfMatch": etag}, {"IfMatch": "*"}, {"IfMatch": etag, "IfNoneMatch": '"a"'}):
        put(**good)
    s3.delete_object(Bucket=bucket, Key="k")
    assert error_of(put, IfMatch="*") == (404, "NoSuchKey")
    put(IfNoneMatch=etag)


@op("PutObject")
def test_racing_creations(s3, bucket):
    results = []

    def put(i):
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % i, IfNoneMatch="*")
            results.append(i)
        except s3.exceptions.ClientError as e:
            assert e.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"), e

    threads = [threading.Thread(target=put, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 1
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"%d" % results[0]


# ---- reading ----

@op("GetObject")
def test_ranges(s3, bucket):
    data = os.urandom(300000)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    for text, a, b in (("0-0", 0, 1), ("0-99", 0, 100), ("65535-65536", 65535, 65537), ("299999-", 299999, 300000),
                       ("-1", 299999, 300000), ("-400000", 0, 300000), ("100-400000", 100, 300000)):
        r = s3.get_object(Bucket=bucket, Key="k", Range="bytes=" + text)
        assert r["Body"].read() == data[a:b]
        assert r["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert r["ContentRange"] == f"bytes {a}-{b - 1}/300000" and r["ContentLength"] == b - a
        r = s3.head_object(Bucket=bucket, Key="k", Range="bytes=" + text)
        assert r["ContentLength"] == b - a


@op("GetObject")
@op("HeadObject")
def test_conditions_of_reads(s3, raw, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    day = datetime.timedelta(days=1)
    http = lambda t: email.utils.formatdate(t.timestamp(), usegmt=True)  # noqa: E731
    for name, value, status in (
            ("if-match", etag, 200), ("if-match", "*", 200), ("if-match", f'"x", {etag}', 200), ("if-match", '"x"', 412),
            ("if-none-match", etag, 304), ("if-none-match", "*", 304), ("if-none-match", '"x"', 200),
            ("if-modified-since", http(modified), 304), ("if-modified-since", http(modified - day), 200),
            ("if-unmodified-since", http(modified), 200), ("if-unmodified-since", http(modified - day), 412),
            ("if-modified-since", "no date", 200)):
        for method in ("GET", "HEAD"):
            r = raw.call(method, f"/{bucket}/k", {name: value})
            assert r.status == status, (name, value, r)
            if status == 304:
                assert r.headers["etag"] == etag and r.headers["last-modified"] and r.body == b""
            if status == 412 and method == "GET":
                assert (r.code, r.field("Condition").lower()) == ("PreconditionFailed", name)
    r = raw.call("GET", f"/{bucket}/k", {"if-match": etag, "if-unmodified-since": http(modified - day)})
    assert r.status == 200
    r = raw.call("GET", f"/{bucket}/k", {"if-none-match": '"x"', "if-modified-since": http(modified)})
    assert r.status == 200


@op("GetObject")
@op("HeadObject")
def test_if_range(s3, raw, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    http = lambda t: email.utils.formatdate(t.timestamp(), usegmt=True)  # noqa: E731
    hour = datetime.timedelta(hours=1)
    for value, status in ((etag, 206), (http(modified), 206), ('"other"', 200), ("W/" + etag, 200),
                          (http(modified - hour), 200), (http(modified + hour), 200)):
        for method in ("GET", "HEAD"):
            r = raw.call(method, f"/{bucket}/k", {"range": "bytes=2-3", "if-range": value})
            assert (r.status, r.headers["content-length"]) == (status, "2" if status == 206 else "10"), (value, r)
    # A range that is not looked at cannot be unsatisfiable.
    assert raw.call("GET", f"/{bucket}/k", {"range": "bytes=50-", "if-range": '"other"'}).status == 200
    assert raw.call("GET", f"/{bucket}/k", {"range": "bytes=50-", "if-range": etag}).status == 416


@op("GetObject")
def test_precedence_of_conditions(s3, raw, bucket):
    """RFC 9110 section 13.2.2, and what S3 says of the pairs."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["ETag"]
    past, future = "Mon, 02 Jan 2006 15:04:05 GMT", "Tue, 01 Jan 2097 00:00:00 GMT"
    for headers, status in (
            ({"if-match": etag, "if-unmodified-since": past}, 200), ({"if-match": '"x"', "if-unmodified-since": future}, 412),
            ({"if-none-match": etag, "if-modified-since": past}, 304), ({"if-none-match": '"x"', "if-modified-since": future}, 200),
            ({"if-match": '"x"', "if-none-match": etag}, 412), ({"if-match": etag, "if-none-match": etag}, 304),
            ({"if-unmodified-since": past, "if-none-match": etag}, 412),
            ({"if-unmodified-since": future, "if-modified-since": future}, 304),
            ({"if-match": "W/" + etag}, 412), ({"if-none-match": "W/" + etag}, 304),
            ({"if-match": '"x"', "range": "bytes=50-"}, 412), ({"if-none-match": etag, "range": "bytes=50-"}, 304),
            ({"if-match": etag, "range": "bytes=0-1"}, 206), ({"if-match": etag.strip('"')}, 200)):
        for method in ("GET", "HEAD"):
            r = raw.call(method, f"/{bucket}/k", headers)
            assert r.status == status, (method, headers, r)
    for date in ("Sunday, 01-Jan-68 00:00:00 GMT", "Tue Jan  1 00:00:00 2097", future):  # the three forms of HTTP
        assert raw.call("GET", f"/{bucket}/k", {"if-modified-since": date}).status == 304
    assert raw.call("GET", f"/{bucket}/none", {"if-match": "*"}).code == "NoSuchKey"


@op("GetObject")
def test_response_overrides(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="a/b", CacheControl="private")
    r = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="c/d", ResponseCacheControl="no-store",
                      ResponseContentDisposition="attachment", ResponseContentEncoding="e", ResponseContentLanguage="f",
                      ResponseExpires=datetime.datetime(2030, 1, 1))
    assert (r["ContentType"], r["CacheControl"], r["ContentDisposition"], r["ContentEncoding"], r["ContentLanguage"]) == (
        "c/d", "no-store", "attachment", "e", "f")
    assert r["ExpiresString"] == "Tue, 01 Jan 2030 00:00:00 GMT"
    assert raw.call("GET", f"/{bucket}/k?response-content-type=").headers["content-type"] == "a/b"
    url = raw.presign("GET", f"/{bucket}/k?response-content-type=text%2Fhtml")
    r = raw.get_url(url)
    assert r.headers["content-type"] == "text/html" and r.headers["cache-control"] == "private"


@op("GetObject")
def test_presigned_by_boto3(s3, raw, bucket):
    import urllib.request
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b/ü+~", "ContentType": "x/y"})
    q = urllib.request.Request(url, data=b"data", method="PUT", headers={"content-type": "x/y"})
    assert urllib.request.urlopen(q).status == 200
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/ü+~"}, ExpiresIn=60)
    with urllib.request.urlopen(url) as r:
        assert r.read() == b"data" and r.headers["content-type"] == "x/y"


@op("PutObject")
def test_presigned_query_stands_for_headers(raw, s3, bucket):
    url = raw.presign("PUT", f"/{bucket}/k?x-amz-meta-Color=blue&x-amz-storage-class=STANDARD_IA&x-amz-tagging=a%3Db")
    assert raw.get_url(url, "PUT", body=b"x").status == 200
    r = s3.head_object(Bucket=bucket, Key="k")
    assert r["Metadata"] == {"color": "blue"} and r["StorageClass"] == "STANDARD_IA" and r["TagCount"] == 1
    s3.put_object(Bucket=bucket, Key="src", Body=b"source")
    url = raw.presign("PUT", f"/{bucket}/copy?x-amz-copy-source=%2F{bucket}%2Fsrc")
    assert raw.get_url(url, "PUT").status == 200
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"source"
    url = raw.presign("PUT", f"/{bucket}/sse?x-amz-server-side-encryption=AES256")
    refused(raw.get_url(url, "PUT", body=b"x"), 501, "NotImplemented")


@op("GetObject")
def test_part_number_of_a_plain_object(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    r = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert r["Body"].read() == b"0123456789" and "PartsCount" not in r
    refused(raw.call("GET", f"/{bucket}/k?partNumber=2"), 416, "InvalidPartNumber")
    for bad in ("0", "x", "10001"):
        refused(raw.call("GET", f"/{bucket}/k?partNumber={bad}"), 400, "InvalidArgument")


@op("GetObject")
@op("HeadObject")
def test_keep_alive_serves_many(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 100)
    with raw.connect() as s:
        for i in range(50):
            method = "GET" if i % 2 else "HEAD"
            s.sendall(raw.head(method, f"/{bucket}/k", raw.signed_headers(method, f"/{bucket}/k")))
            r = raw.read_reply(s, method)
            assert r.status == 200 and r.headers["content-length"] == "100"


# ---- deleting ----

@op("DeleteObject")
def test_conditional_delete(s3, raw, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"data")["ETag"]
    assert error_of(s3.delete_object, Bucket=bucket, Key="k", IfMatch='"x"') == (412, "PreconditionFailed")
    assert error_of(s3.delete_object, Bucket=bucket, Key="k", IfMatchSize=3) == (412, "PreconditionFailed")
    when = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert error_of(s3.delete_object, Bucket=bucket, Key="k",
                    IfMatchLastModifiedTime=when - datetime.timedelta(hours=1)) == (412, "PreconditionFailed")
    s3.head_object(Bucket=bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag, IfMatchSize=4)
    absent(s3, bucket, "k")
    assert raw.call("DELETE", f"/{bucket}/k", {"x-amz-bypass-governance-retention": "true"}).status == 204


@pytest.mark.smoke
@op("DeleteObjects")
def test_delete_many(s3, bucket):
    keys = [f"k{i}" for i in range(20)] + ["a b", "ü", "<&>"]
    for k in keys:
        s3.put_object(Bucket=bucket, Key=k, Body=b"x")
    r = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in [*keys, "never-there"]]})
    assert sorted(d["Key"] for d in r["Deleted"]) == sorted([*keys, "never-there"]) and "Errors" not in r
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.put_object(Bucket=bucket, Key="q", Body=b"x")
    r = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "q"}], "Quiet": True})
    assert "Deleted" not in r and "Errors" not in r
    absent(s3, bucket, "q")


@op("DeleteObjects")
def test_concurrent_deletes_of_many(s3, bucket):
    from concurrent.futures import ThreadPoolExecutor
    keys = [f"k{i:04}" for i in range(1000)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda k: s3.put_object(Bucket=bucket, Key=k, Body=b"x"), keys))
        r = list(pool.map(lambda _: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys]}), range(4)))
    for one in r:
        assert [d["Key"] for d in one["Deleted"]] == keys and "Errors" not in one  # in the order of the request
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@op("DeleteObjects")
def test_delete_many_errors_are_per_key(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="good", Body=b"x")
    s3.put_object(Bucket=bucket, Key="kept", Body=b"x")
    r = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k" * 1025}, {"Key": "good"},
                                                             {"Key": "kept", "ETag": '"other"'},
                                                             {"Key": "kept", "VersionId": "not-a-version"}]})
    assert [d["Key"] for d in r["Deleted"]] == ["good"]
    assert sorted(e["Code"] for e in r["Errors"]) == ["InvalidArgument", "KeyTooLongError", "PreconditionFailed"]
    s3.head_object(Bucket=bucket, Key="kept")
    body = b"<Delete><Object><Key>kept</Key></Object></Delete>"
    refused(raw.call("POST", f"/{bucket}?delete", body=body), 400, "InvalidRequest")  # no digest
    refused(raw.call("POST", f"/{bucket}?delete", {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, body), 400, "BadDigest")
    s3.head_object(Bucket=bucket, Key="kept")
    assert error_of(s3.delete_objects, Bucket=bucket + "-none", Delete={"Objects": [{"Key": "k"}]}) == (404, "NoSuchBucket")


# ---- attributes ----

@op("GetObjectAttributes")
def test_attributes(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm="SHA256", StorageClass="STANDARD_IA")
    everything = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    r = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=everything)
    assert r["ETag"] == hashlib.md5(b"data").hexdigest()
    assert r["ObjectSize"] == 4 and r["StorageClass"] == "STANDARD_IA" and "ObjectParts" not in r
    assert r["Checksum"]["ChecksumSHA256"] and r["Checksum"]["ChecksumType"] == "FULL_OBJECT"
    assert r["LastModified"]
    r = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
    assert r["ObjectSize"] == 4 and "ETag" not in r
    refused(raw.call("GET", f"/{bucket}/k?attributes", {"x-amz-object-attributes": "Nonsense"}), 400, "InvalidArgument")
    refused(raw.call("GET", f"/{bucket}/k?attributes"), 400, "InvalidRequest")
    assert error_of(s3.get_object_attributes, Bucket=bucket, Key="none", ObjectAttributes=["ETag"]) == (404, "NoSuchKey")
