"""Hostile inputs, rows 29 to 51: names, XML, ranges, conditions, copies, multipart uploads."""

import re
import threading

import pytest

from hostile import absent, error_of, raw, refused  # noqa: F401
from rawsign import md5, quote

# ---- names ----


def test_row_29_key_length(raw, s3, bucket):
    refused(raw.call("PUT", f"/{bucket}/" + "k" * 1025, body=b"x"), 400, "KeyTooLongError")
    refused(raw.call("GET", f"/{bucket}/" + "k" * 1025), 400, "KeyTooLongError")
    refused(raw.call("PUT", f"/{bucket}/" + quote("é" * 512 + "a"), body=b"x"), 400, "KeyTooLongError")
    for key in ("k" * 1024, "é" * 512):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"x"


@pytest.mark.op("PutObject")
def test_row_29_long_keys_of_odd_characters(raw, s3, bucket):
    """1,024 bytes each: they are put, listed as they are, read, copied and deleted."""
    keys = ["\x01\x1f\x7f" * 341 + "k", "+%2F ?&=#;" * 102 + "abcd", "/" * 1024, "../" * 341 + "x", "\U0001f600" * 256,
            "\u2028\ufffe" * 170 + "abcd"]
    for key in keys:
        assert len(key.encode()) == 1024
        assert raw.call("PUT", f"/{bucket}/{quote(key, safe='/')}", body=key.encode()).status == 200, key
        refused(raw.call("PUT", f"/{bucket}/{quote(key + 'x', safe='/')}", body=b"x"), 400, "KeyTooLongError")
    assert sorted(o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]) == sorted(keys)
    for key in keys:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
        assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == key.encode()
        assert s3.delete_object(Bucket=bucket, Key=key)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copy"]


def test_row_30_keys_are_opaque(raw, s3, bucket):
    other = bucket + "-other"
    s3.create_bucket(Bucket=other)
    keys = {f"../{other}/a": "..%2f" + other + "%2fa", "%2e%2e/b": "%252e%252e/b", "../../etc/passwd": "../../etc/passwd",
            "a\\..\\b": "a%5c..%5cb", "./c": "./c", "d/./e/../f": "d/./e/../f", "//g//": "//g//", "..": "%2e%2e",
            ".": ".", "h/": "h/"}
    for key, path in keys.items():
        assert raw.call("PUT", f"/{bucket}/{path}", body=key.encode()).status == 200, key
    assert sorted(o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]) == sorted(keys)
    assert "Contents" not in s3.list_objects_v2(Bucket=other)
    for key, path in keys.items():
        assert raw.call("GET", f"/{bucket}/{path}").body == key.encode()


@pytest.mark.parametrize("bad", ["%00", "a%00b", "%ZZ", "%", "%4", "%FF", "%C3%28", "%ED%A0%80", "%C0%AF"])
def test_row_31_bad_escapes(raw, s3, bucket, bad):
    for method in ("GET", "PUT", "HEAD", "DELETE"):
        r = raw.call(method, f"/{bucket}/{bad}", sign=False)
        assert r.status == 400 and (method == "HEAD" or r.code == "InvalidURI"), r
    assert raw.call("GET", f"/{bad}/k", sign=False).code == "InvalidURI"
    assert raw.call("GET", f"/{bucket}?prefix={bad}", sign=False).code == "InvalidURI"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("name", ["ingot-internal-system", "xn--abc", "sthree-abc", "abc-s3alias", "abc--ol-s3", "abc--x-s3",
                                  ".ingot", ".ingot.sys", "..", "."])
def test_row_32_reserved_names(raw, name):
    for method in ("GET", "PUT", "HEAD", "DELETE", "POST"):
        for target in (f"/{name}", f"/{name}/key", f"/{name}?uploads"):
            r = raw.call(method, target)
            assert r.status == 400 and (method == "HEAD" or r.code == "InvalidBucketName"), r
    r = raw.call("PUT", "/some-bucket/key", {"x-amz-copy-source": f"/{name}/key"})
    assert r.status == 400, r


@pytest.mark.op("CreateBucket")
@pytest.mark.parametrize("name", ["Upper", "192.168.5.4", "a" * 64, "ab", "a..b", "a_b", "-abc", "abc-", "a%20b", "a%2Fb"])
def test_row_33_bucket_names(raw, name):
    refused(raw.call("PUT", f"/{name}"), 400, "InvalidBucketName")


def test_row_34_key_and_key_below_it(s3, bucket):
    keys = ["a", "a/", "a/b", "a/b/c", "a/b/c/d"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == keys
    for key in keys:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [o["Key"] for o in page["Contents"]] == ["a"]
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["a/"]
    s3.delete_object(Bucket=bucket, Key="a")
    assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"a/b"


# ---- XML ----

BOMB = ('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(8))
        + "]><VersioningConfiguration><Status>&i;</Status></VersioningConfiguration>")


def documents(raw, bucket, body):
    """The body to every row that reads XML."""
    d = {"content-md5": md5(body)}
    return [raw.call("PUT", f"/{bucket}?versioning", body=body), raw.call("POST", f"/{bucket}?delete", d, body),
            raw.call("PUT", f"/{bucket}-new", body=body), raw.call("POST", f"/{bucket}/k?uploadId=x", body=body)]


def test_row_35_doctype(raw, server, bucket):
    before = server.rss_bytes()
    for text in (BOMB, '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', '<!DOCTYPE a><VersioningConfiguration/>'):
        for r in documents(raw, bucket, text.encode()):
            refused(r, 400, "MalformedXML")
    assert server.rss_bytes() - before < 64 << 20


def test_row_36_depth(raw, bucket):
    body = b"<a>" * 20000
    for r in documents(raw, bucket, body):
        refused(r, 400, "MalformedXML")
    deep = b"<a>" * 100000 + b"</a>" * 100000
    refused(raw.call("POST", f"/{bucket}?delete", {"content-md5": md5(deep)}, deep), 400, "MalformedXML")


@pytest.mark.parametrize("body", [b"", b"<", b"not xml", b"<a></b>", b"<Other/>", b"\xff\xfe", b"<Delete>&#0;</Delete>",
                                  b"<Delete/><Delete/>"])
def test_row_36_not_well_formed(raw, bucket, body):
    refused(raw.call("PUT", f"/{bucket}?versioning", body=body), 400, "MalformedXML")
    refused(raw.call("POST", f"/{bucket}?delete", {"content-md5": md5(body)}, body), 400, "MalformedXML")


@pytest.mark.op("DeleteObjects")
def test_row_37_too_many_keys(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k0", Body=b"x")

    def delete(n):
        body = "<Delete>" + "".join(f"<Object><Key>k{i}</Key></Object>" for i in range(n)) + "</Delete>"
        return raw.call("POST", f"/{bucket}?delete", {"content-md5": md5(body.encode())}, body.encode())

    refused(delete(1001), 400, "MalformedXML")
    refused(delete(0), 400, "MalformedXML")
    s3.head_object(Bucket=bucket, Key="k0")
    assert delete(1000).status == 200


def test_row_38_huge_document(raw, server, bucket):
    before = server.rss_bytes()
    for method, target in (("PUT", f"/{bucket}?versioning"), ("POST", f"/{bucket}?delete"), ("PUT", f"/{bucket}-new"),
                           ("POST", f"/{bucket}/k?uploadId=x")):
        h = raw.signed_headers(method, target, {"content-md5": md5(b"")} if "delete" in target else {}, sha="UNSIGNED-PAYLOAD")
        h["content-length"] = 100 << 20
        with raw.connect() as s:
            s.sendall(raw.head(method, target, h) + b"<a>")  # no more is needed to be refused
            refused(raw.read_reply(s, method), 400, "MaxMessageLengthExceeded")
        h = raw.signed_headers(method, target, {"content-md5": md5(b"")} if "delete" in target else {}, sha="UNSIGNED-PAYLOAD")
        h["transfer-encoding"] = "chunked"
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        with raw.connect() as s:
            try:
                s.sendall(raw.head(method, target, h))
                for _ in range(1600):
                    s.sendall(piece)
            except OSError:
                pass
            refused(raw.read_reply(s, method), 400, "MaxMessageLengthExceeded")
    assert server.rss_bytes() - before < 64 << 20


def test_row_39_keys_that_xml_cannot_hold(raw, s3, bucket):
    keys = ["]]>", "<&>\"'", "\x01", "tab\there", "new\nline", "return\rhere", "\ufffe", "é \u2028"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    listed = s3.list_objects_v2(Bucket=bucket)  # boto3 asks for encoding-type=url
    assert sorted(o["Key"] for o in listed["Contents"]) == sorted(keys)
    body = raw.call("GET", f"/{bucket}").body
    assert b"<Key>]]&gt;</Key>" in body and b"<Key>&lt;&amp;&gt;" in body and b"&#x1;" in body.lower()
    assert b"\x01" not in body and b"<Key>return\r" not in body
    body = raw.call("GET", f"/{bucket}?encoding-type=url").body
    assert b"<Key>%01</Key>" in body and b"<Key>%5D%5D%3E</Key>" in body
    r = raw.call("GET", f"/{bucket}/%01missing")
    assert r.status == 404 and b"\x01" not in r.body


# ---- ranges and conditions ----

@pytest.mark.op("GetObject")
def test_row_40_unsatisfiable_range(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    for value in ("bytes=-0", "bytes=10-", "bytes=10-20", "bytes=99999999999999999999-"):
        refused(raw.call("GET", f"/{bucket}/k", {"range": value}), 416, "InvalidRange")
    refused(raw.call("GET", f"/{bucket}/empty", {"range": "bytes=0-"}), 416, "InvalidRange")
    assert raw.call("GET", f"/{bucket}/k", {"range": "bytes=9-99999999999999999999"}).body == b"9"
    assert raw.call("GET", f"/{bucket}/k", {"range": "bytes=-99999999999999999999"}).body == b"0123456789"


@pytest.mark.op("GetObject")
@pytest.mark.parametrize("value", ["bytes=a-b", "bytes=5-1", "bytes", "bytes=", "bytes=-", "items=0-1", "bytes=0-1,3-4",
                                   "bytes=0-1, 5-", "bytes=1-2-3", "", "bytes=+1-2"])
def test_row_41_malformed_or_multiple_range(raw, s3, bucket, value):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    r = raw.call("GET", f"/{bucket}/k", {"range": value})
    assert (r.status, r.body) == (200, b"0123456789"), r


@pytest.mark.op("GetObject")
def test_row_42_range_and_part_number(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    refused(raw.call("GET", f"/{bucket}/k?partNumber=1", {"range": "bytes=0-1"}), 400, "InvalidRequest")


@pytest.mark.op("PutObject")
def test_row_43_conditions(raw, s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    refused(raw.call("PUT", f"/{bucket}/k", {"if-none-match": "*"}, b"two"), 412, "PreconditionFailed")
    refused(raw.call("PUT", f"/{bucket}/none", {"if-match": etag}, b"two"), 404, "NoSuchKey")
    refused(raw.call("PUT", f"/{bucket}/k", {"if-match": '"0123"'}, b"two"), 412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"
    assert raw.call("PUT", f"/{bucket}/k", {"if-match": etag}, b"two").status == 200
    assert raw.call("PUT", f"/{bucket}/new", {"if-none-match": "*"}, b"x").status == 200


# ---- copies ----

@pytest.mark.op("CopyObject")
@pytest.mark.parametrize("source", ["", "/", "bucket", "/bucket/", "bucket/%00", "bucket/%ZZ", "bucket/k?versionId="])
def test_row_44_bad_copy_source(raw, s3, bucket, source):
    refused(raw.call("PUT", f"/{bucket}/k", {"x-amz-copy-source": source}), 400, "InvalidArgument")
    absent(s3, bucket, "k")


@pytest.mark.op("CopyObject")
def test_row_45_self_copy_without_change(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", Metadata={"a": "b"})
    refused(raw.call("PUT", f"/{bucket}/k", {"x-amz-copy-source": f"/{bucket}/k"}), 400, "InvalidRequest")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
    h = {"x-amz-copy-source": f"/{bucket}/k", "x-amz-metadata-directive": "REPLACE", "x-amz-meta-a": "c"}
    assert raw.call("PUT", f"/{bucket}/k", h).status == 200
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"data" and got["Metadata"] == {"a": "c"}


@pytest.mark.op("CopyObject")
def test_row_46_encoded_question_mark_in_the_source(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"plain")
    s3.put_object(Bucket=bucket, Key="k?versionId=null", Body=b"odd")
    r = raw.call("PUT", f"/{bucket}/copy", {"x-amz-copy-source": f"/{bucket}/k%3FversionId=null"})
    assert r.status == 200, r
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"odd"
    s3.delete_object(Bucket=bucket, Key="k?versionId=null")
    refused(raw.call("PUT", f"/{bucket}/copy2", {"x-amz-copy-source": f"/{bucket}/k%3FversionId=null"}), 404, "NoSuchKey")
    absent(s3, bucket, "copy2")


def test_anonymous_copy_reads_nothing(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    refused(raw.call("PUT", f"/{bucket}/copy", {"x-amz-copy-source": f"/{bucket}/k"}, sign=False), 403, "AccessDenied")
    absent(s3, bucket, "copy")


# ---- multipart ----

PART = b"p" * (5 << 20)


def upload(s3, bucket, key="k"):
    return s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]


def complete(raw, bucket, key, upload_id, parts):
    body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in parts)
    body = f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode()
    return raw.call("POST", f"/{bucket}/{key}?uploadId={upload_id}", body=body)


def put_part(raw, bucket, key, upload_id, number, data):
    r = raw.call("PUT", f"/{bucket}/{key}?partNumber={number}&uploadId={upload_id}", body=data)
    assert r.status == 200, r
    return number, r.headers["etag"]


@pytest.fixture
def plain_upload(raw, bucket):
    """An upload without a declared checksum."""
    r = raw.call("POST", f"/{bucket}/k?uploads")
    assert r.status == 200, r
    return r.field("UploadId")


@pytest.mark.op("CompleteMultipartUpload")
def test_row_47_bad_completions(raw, s3, bucket, plain_upload):
    one = put_part(raw, bucket, "k", plain_upload, 1, b"small")
    two = put_part(raw, bucket, "k", plain_upload, 2, b"small")
    refused(complete(raw, bucket, "k", plain_upload, [two, one]), 400, "InvalidPartOrder")
    refused(complete(raw, bucket, "k", plain_upload, [two, two, one]), 400, "InvalidPartOrder")
    refused(complete(raw, bucket, "k", plain_upload, [(1, '"00000000000000000000000000000000"')]), 400, "InvalidPart")
    refused(complete(raw, bucket, "k", plain_upload, [one, (3, one[1])]), 400, "InvalidPart")
    refused(complete(raw, bucket, "k", plain_upload, [one, two]), 400, "EntityTooSmall")
    refused(complete(raw, bucket, "k", plain_upload, []), 400, "MalformedXML")
    refused(raw.call("POST", f"/{bucket}/k?uploadId={plain_upload}", body=b""), 400, "MalformedXML")
    absent(s3, bucket, "k")
    # a part listed twice is no fault: its last line counts
    assert complete(raw, bucket, "k", plain_upload, [(1, '"00000000000000000000000000000000"'), one]).status == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"small"


@pytest.mark.op("UploadPart")
@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "", "99999999999999999999"])
def test_row_48_part_numbers(raw, bucket, plain_upload, number):
    refused(raw.call("PUT", f"/{bucket}/k?partNumber={number}&uploadId={plain_upload}", body=b"x"), 400, "InvalidArgument")


def test_row_49_upload_ids(raw, s3, bucket, plain_upload):
    other = upload(s3, bucket, "other")
    for bad in ("../../x", other, "", "x" * 2000, plain_upload[:-1], plain_upload + "A", "%00"):
        target = f"/{bucket}/k?uploadId={quote(bad) if bad != '%00' else bad}"
        for r in (raw.call("PUT", target + "&partNumber=1", body=b"x"), raw.call("GET", target), raw.call("DELETE", target),
                  complete(raw, bucket, "k", quote(bad) if bad != "%00" else bad, [(1, '"a"')])):
            if bad == "%00":
                assert r.code == "InvalidURI"
            else:
                refused(r, 404, "NoSuchUpload")
    refused(raw.call("GET", f"/{bucket}/other?uploadId={plain_upload}"), 404, "NoSuchUpload")


@pytest.mark.op("CompleteMultipartUpload")
def test_row_50_complete_against_abort_and_upload(raw, server, bucket):
    for _ in range(5):
        r = raw.call("POST", f"/{bucket}/race?uploads")
        upload_id = r.field("UploadId")
        part = put_part(raw, bucket, "race", upload_id, 1, b"first")
        results = {}

        def run(name, call):
            results[name] = call()

        threads = [
            threading.Thread(target=run, args=("complete", lambda: complete(raw, bucket, "race", upload_id, [part]))),
            threading.Thread(target=run, args=("abort", lambda: raw.call("DELETE", f"/{bucket}/race?uploadId={upload_id}"))),
            threading.Thread(target=run, args=("part", lambda: raw.call(
                "PUT", f"/{bucket}/race?partNumber=1&uploadId={upload_id}", body=b"second"))),
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        got = raw.call("GET", f"/{bucket}/race")
        if results["complete"].status == 200:
            assert got.status == 200 and got.body == b"first", (results, got)
        else:
            assert results["complete"].code in ("NoSuchUpload", "InvalidPart"), results
            assert got.status == 404
        raw.call("DELETE", f"/{bucket}/race?uploadId={upload_id}")
        raw.call("DELETE", f"/{bucket}/race")
        assert raw.call("GET", f"/{bucket}/race?uploadId={upload_id}").code == "NoSuchUpload"


@pytest.mark.op("CompleteMultipartUpload")
def test_row_51_complete_twice(raw, s3, bucket, plain_upload):
    part = put_part(raw, bucket, "k", plain_upload, 1, b"data")
    first = complete(raw, bucket, "k", plain_upload, [part])
    again = complete(raw, bucket, "k", plain_upload, [part])
    assert first.status == 200
    assert (again.status == 200 and again.field("ETag") == first.field("ETag")) or again.code == "NoSuchUpload"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
