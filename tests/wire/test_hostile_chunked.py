"""Hostile inputs, rows 21 to 28: aws-chunked and digests."""

import hashlib

import pytest

from hostile import absent, raw, refused  # noqa: F401
from rawsign import SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, crc32, md5

pytestmark = pytest.mark.op("PutObject")
BIG = bytes(range(256)) * 256  # 64 KiB
FORMS = [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER]


@pytest.mark.parametrize("form", FORMS)
def test_good_ones_are_stored(raw, s3, bucket, form):
    trailers = [] if form == SIGNED else [("x-amz-checksum-crc32", crc32(BIG + BIG + b"end"))]
    r = raw.put_chunked(f"/{bucket}/k", [BIG, BIG, b"end"], form, trailers=trailers,
                        headers={"content-encoding": "gzip, aws-chunked"})
    assert r.status == 200, r
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == BIG + BIG + b"end"
    assert got["ContentEncoding"] == "gzip"
    if trailers:
        assert got["ChecksumCRC32"] == trailers[0][1]
    assert raw.put_chunked(f"/{bucket}/empty", [], form).status == 200
    assert s3.head_object(Bucket=bucket, Key="empty")["ContentLength"] == 0


def test_one_chunk_of_many_megabytes(raw, s3, bucket):
    data = BIG * 128
    assert raw.put_chunked(f"/{bucket}/k", [data], SIGNED).status == 200
    assert hashlib.md5(s3.get_object(Bucket=bucket, Key="k")["Body"].read()).digest() == hashlib.md5(data).digest()


@pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("what", ["data", "signature", "none"])
def test_row_21_bad_chunk_signature(raw, s3, bucket, form, which, what):
    def damage(i, data, signature):
        if i == which and what == "data":
            data = bytes([data[0] ^ 1]) + data[1:] if data else b""
            signature = signature if data else "0" * 64
        elif i == which:
            signature = "0" * 64 if what == "signature" else ""
        return data, signature

    r = raw.put_chunked(f"/{bucket}/k", [BIG, b"end"], form, damage=damage)
    refused(r, 403, "SignatureDoesNotMatch")
    absent(s3, bucket, "k")


@pytest.mark.parametrize("form", FORMS)
def test_row_22_small_chunk_before_the_last(raw, s3, bucket, form):
    refused(raw.put_chunked(f"/{bucket}/k", [b"x" * 8191, b"y"], form), 400, "InvalidChunkSizeError")
    absent(s3, bucket, "k")
    assert raw.put_chunked(f"/{bucket}/k", [b"x" * 8192, b"y"], form).status == 200


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("left", [0, 1, 50, 65000, -1, -2, -3])
def test_row_23_truncated(raw, s3, bucket, form, left):
    refused(raw.put_chunked(f"/{bucket}/k", [BIG], form, body_cut=left), 400, "IncompleteBody")
    absent(s3, bucket, "k")


def test_row_23_connection_ends_early(raw, s3, bucket):
    h = raw.signed_headers("PUT", f"/{bucket}/k", body=b"hello")
    h["content-length"] = 5
    with raw.connect() as s:
        s.sendall(raw.head("PUT", f"/{bucket}/k", h) + b"hel")
    absent(s3, bucket, "k")


@pytest.mark.parametrize("form", FORMS)
def test_row_24_decoded_length(raw, s3, bucket, form):
    refused(raw.put_chunked(f"/{bucket}/k", [BIG], form, decoded=False), 411, "MissingContentLength")
    for wrong in (len(BIG) - 1, len(BIG) + 1, 0):
        refused(raw.put_chunked(f"/{bucket}/k", [BIG], form, decoded=wrong), 400, "IncompleteBody")
    for bad in ("-1", "abc", "", "99999999999999999999"):
        r = raw.put_chunked(f"/{bucket}/k", [BIG], form, decoded=False, headers={"x-amz-decoded-content-length": bad})
        assert r.status == 400, r
    absent(s3, bucket, "k")


def test_row_24_more_than_one_put_may_have(raw, s3, bucket):
    r = raw.put_chunked(f"/{bucket}/k", [BIG], SIGNED, decoded=(5 << 30) + 1)
    refused(r, 400, "EntityTooLarge")
    absent(s3, bucket, "k")


SUM = "x-amz-checksum-crc32"


def test_row_25_trailers(raw, s3, bucket):
    good = (SUM, crc32(b"data"))
    for trailers, declare in (([good, good], SUM), ([("x-amz-checksum-sha1", "AA==")], SUM), ([], SUM), ([good], ""),
                              ([good, ("x-amz-meta-a", "b")], SUM), ([("bad name", "x")], SUM)):
        for form in (UNSIGNED_TRAILER, SIGNED_TRAILER):
            r = raw.put_chunked(f"/{bucket}/k", [b"data"], form, trailers=trailers, declare=declare)
            refused(r, 400, "MalformedTrailerError")
    for tail in (b"no colon\r\n\r\n", b":\r\n\r\n", SUM.encode() + b":" + b"A" * 5000 + b"\r\n\r\n"):
        r = raw.put_chunked(f"/{bucket}/k", [b"data"], raw_body=b"4\r\ndata\r\n0\r\n" + tail, declare=SUM)
        refused(r, 400, "MalformedTrailerError")
    r = raw.put_chunked(f"/{bucket}/k", [b"data"], SIGNED, trailers=[good])
    refused(r, 400, "MalformedTrailerError")
    r = raw.put_chunked(f"/{bucket}/k", [b"data"], SIGNED_TRAILER, trailers=[good], sign_trailers=False)
    refused(r, 400, "MalformedTrailerError")
    absent(s3, bucket, "k")


def test_row_26_checksums(raw, s3, bucket):
    r = raw.put_chunked(f"/{bucket}/k", [b"data"], trailers=[(SUM, crc32(b"other"))])
    refused(r, 400, "BadDigest")
    r = raw.put_chunked(f"/{bucket}/k", [b"data"], trailers=[(SUM, "not base64")])
    refused(r, 400, "InvalidRequest")
    r = raw.put_chunked(f"/{bucket}/k", [b"data"], trailers=[(SUM, crc32(b"data"))],
                        headers={"x-amz-checksum-crc32c": "AAAAAA=="})
    refused(r, 400, "InvalidRequest")
    r = raw.call("PUT", f"/{bucket}/k", {SUM: crc32(b"data"), "x-amz-checksum-crc32c": "AAAAAA=="}, b"data")
    refused(r, 400, "InvalidRequest")
    refused(raw.call("PUT", f"/{bucket}/k", {SUM: crc32(b"other")}, b"data"), 400, "BadDigest")
    refused(raw.call("PUT", f"/{bucket}/k", {SUM: "AAAA"}, b"data"), 400, "InvalidRequest")
    refused(raw.call("PUT", f"/{bucket}/k", {"x-amz-checksum-crc16": "AAA="}, b"data"), 400, "InvalidRequest")
    r = raw.call("PUT", f"/{bucket}/k", {"x-amz-sdk-checksum-algorithm": "CRC32"}, b"data")
    refused(r, 400, "InvalidRequest")
    refused(raw.put_chunked(f"/{bucket}/k", [b"data"], trailers=[("x-amz-checksum-crc16", "AAA=")]), 400, "InvalidRequest")
    absent(s3, bucket, "k")
    assert raw.call("PUT", f"/{bucket}/k", {SUM: crc32(b"data")}, b"data").status == 200


@pytest.mark.parametrize("size", ["ffffffffffffffff", "7fffffffffffffff", "8000000000000000", "1" + "0" * 16, "-5", "", "xyz"])
def test_row_27_chunk_size(raw, s3, bucket, size):
    r = raw.put_chunked(f"/{bucket}/k", [b"data"], raw_body=size.encode() + b"\r\ndata\r\n0\r\n\r\n")
    assert r.status == 400, r
    absent(s3, bucket, "k")


def test_row_28_content_md5(raw, s3, bucket):
    for bad in ("not base64", "AAAA", "", "d41d8cd98f00b204e9800998ecf8427e"):
        refused(raw.call("PUT", f"/{bucket}/k", {"content-md5": bad}, b"data"), 400, "InvalidDigest")
    refused(raw.call("PUT", f"/{bucket}/k", {"content-md5": md5(b"other")}, b"data"), 400, "BadDigest")
    absent(s3, bucket, "k")
    assert raw.call("PUT", f"/{bucket}/k", {"content-md5": md5(b"data")}, b"data").status == 200
