"""Expect: 100-continue. Who asks sees the 100 first, or a final answer that closes the connection."""

import hashlib
import signal
import time

import pytest

from hostile import raw  # noqa: F401 (a fixture)
from rawsign import Raw

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def put_head(raw, target, length, body=None, **how):
    h = raw.signed_headers("PUT", target, {"expect": "100-continue"}, sha=None if body is not None else "UNSIGNED-PAYLOAD",
                           body=body or b"", **how)
    h["content-length"] = length
    return raw.head("PUT", target, h)


def receive(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        assert more, data
        data += more
    return data


def etag(data):
    return f'"{hashlib.md5(data).hexdigest()}"'


def test_regression_0006_empty_body(raw, bucket):
    """botocore before 1.44 took the status of a 200 that came in place of the 100 for that of its next request on the
    connection, and lost that one's headers: an UploadPart without ETag."""
    with raw.connect() as s:
        for _ in range(3):
            s.sendall(put_head(raw, f"/{bucket}/empty", 0))
            assert receive(s, len(CONTINUE)) == CONTINUE
            r = raw.read_reply(s, "PUT")
            assert (r.status, r.headers["etag"]) == (200, etag(b"")) and "connection" not in r.headers
            s.sendall(put_head(raw, f"/{bucket}/full", 5))
            assert receive(s, len(CONTINUE)) == CONTINUE
            s.sendall(b"hello")
            r = raw.read_reply(s, "PUT")
            assert (r.status, r.headers["etag"]) == (200, etag(b"hello"))


@pytest.mark.parametrize("length", [0, 5, 5 << 30])
def test_regression_0006_refused(raw, bucket, length):
    with raw.connect() as s:
        s.sendall(put_head(raw, f"/{bucket}/k", length, secret="wrong"))
        r = raw.read_reply(s, "PUT")
        assert (r.status, r.headers["connection"]) == (403, "close")
        s.sendall(raw.head("GET", f"/{bucket}", raw.signed_headers("GET", f"/{bucket}")))
        assert s.recv(1) == b"", "what follows a refusal was taken for a request"
    with raw.connect() as s:
        s.sendall(put_head(raw, f"/no-{bucket}/k", length))
        r = raw.read_reply(s, "PUT")
        assert (r.status, r.code, r.headers["connection"]) == (404, "NoSuchBucket", "close")


def test_body_sent_along(raw, bucket):
    """The client did not wait: no 100, and the connection goes on."""
    with raw.connect() as s:
        for i in range(3):
            s.sendall(put_head(raw, f"/{bucket}/k{i}", 5) + b"hello")
            assert receive(s, 12) == b"HTTP/1.1 200"
            rest = b""
            while b"\r\n\r\n" not in rest:
                rest += s.recv(4096)
            assert etag(b"hello").encode() in rest


@pytest.mark.parametrize("size", [0, 1, 100_000, 3 << 20])
def test_impatient_client(start_server, size):
    """The server stands still for longer than clients wait for the 100: between head and 100, and within the body."""
    server = start_server()
    raw, s3 = Raw(server), server.client()
    s3.create_bucket(Bucket="box")
    data = bytes(i % 251 for i in range(size))
    cut = min(size, 20_000)  # fits the socket's buffers while the server stands
    socks = [raw.connect() for _ in range(16)]
    server.signal(signal.SIGSTOP)
    try:
        for i, s in enumerate(socks):
            s.sendall(put_head(raw, f"/box/k{i}", size))
        time.sleep(1.1)
        for i, s in enumerate(socks):
            if i % 2:
                s.sendall(data[:cut])
    finally:
        server.signal(signal.SIGCONT)
    for i, s in enumerate(socks):
        s.sendall(data[cut:] if i % 2 else data)
    for i, s in enumerate(socks):
        r = raw.read_reply(s, "PUT")  # skips a 100 that came late
        assert (r.status, r.headers["etag"]) == (200, etag(data)), (i, r)
        s.sendall(put_head(raw, f"/box/again{i}", 2) + b"ok")
        r = raw.read_reply(s, "PUT")
        assert (r.status, r.headers["etag"]) == (200, etag(b"ok")), (i, r)
        s.close()
    for i in range(16):
        assert s3.get_object(Bucket="box", Key=f"k{i}")["Body"].read() == data
