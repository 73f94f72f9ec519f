"""Hostile inputs, rows 1 to 10: framing, limits, time-outs, unknown sub-resources."""

import socket
import time

import pytest

from hostile import absent, raw, refused  # noqa: F401 (raw is a fixture)
from rawsign import Raw


def send_put(raw, target, framing, body):
    """A signed PUT whose framing headers are given as raw lines."""
    h = raw.signed_headers("PUT", target, sha="UNSIGNED-PAYLOAD")
    lines = "".join(f"{k}: {v}\r\n" for k, v in h.items()) + "".join(f"{line}\r\n" for line in framing)
    return raw.send(f"PUT {target} HTTP/1.1\r\n{lines}\r\n".encode() + body, "PUT")


def test_row_01_length_and_transfer_encoding(raw, s3, bucket):
    r = send_put(raw, f"/{bucket}/k", ["Content-Length: 5", "Transfer-Encoding: chunked"], b"0\r\n\r\n")
    assert r.status == 400 and r.headers["connection"] == "close"
    absent(s3, bucket, "k")


def test_row_02_two_lengths(raw, s3, bucket):
    r = send_put(raw, f"/{bucket}/k", ["Content-Length: 5", "Content-Length: 6"], b"hello!")
    assert r.status == 400 and r.headers["connection"] == "close"
    absent(s3, bucket, "k")


@pytest.mark.parametrize("value", ["-1", "", "+5", "5x", "0x5", "99999999999999999999999", "5, 6"])
def test_row_03_bad_length(raw, s3, bucket, value):
    r = send_put(raw, f"/{bucket}/k", [f"Content-Length: {value}"], b"hello")
    assert r.status == 400
    absent(s3, bucket, "k")


@pytest.mark.op("PutObject")
def test_row_04_put_without_length(raw, s3, bucket):
    r = send_put(raw, f"/{bucket}/k", [], b"")
    refused(r, 411, "MissingContentLength")
    absent(s3, bucket, "k")
    # A chunked body is one with an end.
    r = send_put(raw, f"/{bucket}/k", ["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n")
    assert r.status == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"hello"


def test_row_05_header_section_too_large(raw, bucket):
    r = raw.call("GET", f"/{bucket}", {"x-large": "v" * 20000})
    refused(r, 400, "RequestHeaderSectionTooLarge")
    r = raw.call("GET", f"/{bucket}", {f"x-h{i}": "v" for i in range(300)})
    refused(r, 400, "RequestHeaderSectionTooLarge")


@pytest.mark.op("PutObject")
def test_row_06_user_metadata_too_large(raw, s3, bucket):
    r = raw.call("PUT", f"/{bucket}/fits", {"x-amz-meta-a": "v" * 2047}, b"x")
    assert r.status == 200, r
    r = raw.call("PUT", f"/{bucket}/k", {"x-amz-meta-a": "v" * 2048}, b"x")
    refused(r, 400, "MetadataTooLarge")
    r = raw.call("PUT", f"/{bucket}/k", {f"x-amz-meta-{i:02}": "v" * 100 for i in range(21)}, b"x")
    refused(r, 400, "MetadataTooLarge")
    absent(s3, bucket, "k")


def test_row_07_no_continue_for_bad_authorization(raw, s3, bucket):
    def send(**how):
        h = raw.signed_headers("PUT", f"/{bucket}/k", {"expect": "100-continue"}, b"hello", **how)
        h["content-length"] = 5
        s = raw.connect()
        s.sendall(raw.head("PUT", f"/{bucket}/k", h))
        return s

    with send(secret="wrong") as s:
        first = s.recv(4096)
        assert first.startswith(b"HTTP/1.1 403"), first
    absent(s3, bucket, "k")
    with send() as s:  # and a good one does get it
        first = s.recv(4096)
        assert first.startswith(b"HTTP/1.1 100"), first
        s.sendall(b"hello")
        assert raw.read_reply(s, "PUT").status == 200


def test_row_08_slow_headers(start_server):
    raw = Raw(start_server(header_timeout="1s"))
    with raw.connect() as s:
        begun = time.monotonic()
        s.settimeout(0.2)
        data = b""
        for c in b"GET / HTTP/1.1\r\nHost: " + b"x" * 200:
            try:
                s.sendall(bytes([c]))
                got = s.recv(4096)
                data += got
                if not got:
                    break
            except socket.timeout:
                pass
            except OSError:
                break
            assert time.monotonic() - begun < 10
        assert time.monotonic() - begun >= 0.9


@pytest.mark.op("PutObject")
def test_row_09_body_stalls(start_server):
    server = start_server(body_timeout="1s")
    raw, s3 = Raw(server), server.client()
    s3.create_bucket(Bucket="stall")
    h = raw.signed_headers("PUT", "/stall/k", body=b"hello")
    h["content-length"] = 5
    with raw.connect() as s:
        s.sendall(raw.head("PUT", "/stall/k", h) + b"hel")
        refused(raw.read_reply(s, "PUT"), 400, "RequestTimeout")
    absent(s3, "stall", "k")


SUB_RESOURCES = ["acl", "policy", "cors", "lifecycle", "tagging", "object-lock", "website", "notification", "replication",
                 "encryption", "requestPayment", "logging", "inventory", "metrics", "analytics", "intelligent-tiering",
                 "ownershipControls", "publicAccessBlock", "policyStatus", "accelerate", "metadataTable", "session",
                 "unheard-of"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_row_10_unknown_subresource_of_a_bucket(raw, s3, bucket, method):
    for name in SUB_RESOURCES:
        refused(raw.call(method, f"/{bucket}?{name}"), 501, "NotImplemented")
        refused(raw.call(method, f"/{bucket}?prefix=a&{name}="), 501, "NotImplemented")
    s3.head_bucket(Bucket=bucket)


@pytest.mark.parametrize("name", ["acl", "retention", "legal-hold", "torrent", "restore", "select"])
def test_row_10_unknown_subresource_of_an_object(raw, s3, bucket, name):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    for method in ("GET", "PUT", "DELETE", "POST"):
        refused(raw.call(method, f"/{bucket}/k?{name}"), 501, "NotImplemented")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
