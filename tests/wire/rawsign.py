"""A small S3 client over a raw socket that signs by hand, so that tests can send what no SDK would send.

    raw = Raw(server)
    r = raw.call("PUT", "/bucket/key", body=b"x")            signed in the header
    r = raw.call("GET", "/bucket", sign=False)               anonymous
    r = raw.get_url(raw.presign("GET", "/bucket/key"))       signed in the query
    r = raw.put_chunked("/bucket/key", [b"..."], ...)        aws-chunked

Paths are sent as they are given. Every part of a signature can be replaced.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import re
import socket
import urllib.parse
import zlib

EMPTY = hashlib.sha256(b"").hexdigest()
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def amz_date(when):
    return when.strftime("%Y%m%dT%H%M%SZ")


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def quote(s, safe="-_.~"):
    return urllib.parse.quote(s, safe=safe)


def canonical_path(path):
    return quote(urllib.parse.unquote_to_bytes(path), safe="/-_.~")


def canonical_query(query):
    pairs = []
    for piece in query.split("&") if query else []:
        name, _, value = piece.partition("=")
        pairs.append((quote(urllib.parse.unquote_to_bytes(name.replace("+", " "))),
                      quote(urllib.parse.unquote_to_bytes(value.replace("+", " ")))))
    return "&".join(f"{n}={v}" for n, v in sorted(pairs))


class Reply:
    def __init__(self, response, sock=None):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = response.read()
        self.sock = sock

    def field(self, name):
        found = re.search(f"<{name}>(.*?)</{name}>".encode(), self.body, re.S)
        return found.group(1).decode() if found else None

    @property
    def code(self):
        return self.field("Code")

    def __repr__(self):
        return f"<{self.status} {self.code} {self.body[:300]!r}>"


class Raw:
    def __init__(self, server):
        self.server = server
        self.address = server.address
        self.host = "%s:%d" % server.address
        self.access, self.secret, self.region = server.access_key, server.secret_key, "us-east-1"

    # ---- signatures ----
    def key(self, day, secret=None):
        k = mac(b"AWS4" + (secret or self.secret).encode(), day)
        return mac(mac(mac(k, self.region), "s3"), "aws4_request")

    def scope(self, date):
        return f"{date[:8]}/{self.region}/s3/aws4_request"

    def signature(self, method, target, headers, names, payload, date, secret=None):
        path, _, query = target.partition("?")
        lines = "".join(f"{n}:{' '.join(str(headers[n]).split())}\n" for n in names)
        canonical = "\n".join([method, canonical_path(path), canonical_query(query), lines, ";".join(names), payload])
        text = "\n".join(["AWS4-HMAC-SHA256", date, self.scope(date), sha256(canonical.encode())])
        return mac(self.key(date[:8], secret), text).hex()

    def signed_headers(self, method, target, headers=None, body=b"", sha=None, when=None, secret=None, access=None,
                       leave_out=()):
        """The headers with Authorization. leave_out: sent, but not signed."""
        date = amz_date(when or now())
        h = {"host": self.host, "x-amz-date": date, "x-amz-content-sha256": sha or sha256(body)}
        h.update({k.lower(): v for k, v in (headers or {}).items()})
        names = sorted(n for n in h if n not in leave_out and n not in ("content-length", "expect", "connection"))
        s = self.signature(method, target, h, names, h["x-amz-content-sha256"], date, secret)
        h["authorization"] = (f"AWS4-HMAC-SHA256 Credential={access or self.access}/{self.scope(date)}, "
                              f"SignedHeaders={';'.join(names)}, Signature={s}")
        return h

    def presign(self, method, target, expires=60, when=None, headers=None, replace=None, drop=(), secret=None):
        """The target with a signed query. replace: parameters changed before signing; drop: parameters left out."""
        date = amz_date(when or now())
        h = {"host": self.host, **{k.lower(): v for k, v in (headers or {}).items()}}
        names = sorted(h)
        parameters = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.access}/{self.scope(date)}",
                      "X-Amz-Date": date, "X-Amz-Expires": str(expires), "X-Amz-SignedHeaders": ";".join(names)}
        parameters.update(replace or {})
        extra = "&".join(f"{k}={quote(v)}" for k, v in parameters.items() if k not in drop)
        target += ("&" if "?" in target else "?") + extra
        s = self.signature(method, target, h, names, "UNSIGNED-PAYLOAD", date, secret)
        return target + ("" if "X-Amz-Signature" in drop else f"&X-Amz-Signature={s}")

    # ---- sending ----
    def connect(self, timeout=30):
        return socket.create_connection(self.address, timeout=timeout)

    @staticmethod
    def head(method, target, headers):
        return (f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode(
            "utf-8", "surrogateescape")

    @staticmethod
    def read_reply(sock, method="GET"):
        response = http.client.HTTPResponse(sock, method=method)
        response.begin()
        return Reply(response, sock)

    def send(self, data, method="GET", timeout=30):
        """Send bytes, read one reply, close."""
        with self.connect(timeout) as s:
            try:
                s.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was sent: the answer is there
            return self.read_reply(s, method)

    def call(self, method, target, headers=None, body=b"", sign=True, **how):
        """One request. With sign=False the headers go as they are."""
        h = dict(headers or {})
        if sign:
            h = self.signed_headers(method, target, h, body, **how)
        h = {k: v for k, v in h.items() if v is not None}
        if not any(k.lower() == "host" for k in h):
            h["host"] = self.host
        if not any(k.lower() in ("content-length", "transfer-encoding") for k in h) and (body or method in ("PUT", "POST")):
            h["content-length"] = len(body)
        return self.send(self.head(method, target, h) + body, method)

    def get_url(self, target, method="GET", headers=None, body=b""):
        h = {"host": self.host, **(headers or {})}
        if body or method in ("PUT", "POST"):
            h["content-length"] = len(body)
        return self.send(self.head(method, target, h) + body, method)

    # ---- aws-chunked ----
    def chunk_signature(self, kind, date, previous, *hashes):
        text = "\n".join([kind, date, self.scope(date), previous, *hashes])
        return mac(self.key(date[:8]), text).hex()

    def put_chunked(self, target, pieces, form=UNSIGNED_TRAILER, headers=None, decoded=None, trailers=None, declare=None,
                    damage=None, body_cut=None, raw_body=None, sign_trailers=True):
        """PUT with an aws-chunked body. trailers: [(name, value)]; declare: x-amz-trailer (their names by default).
        damage(i, data, signature) → (data, signature) changes chunk i after it was signed. body_cut: only so many bytes
        of the body are sent, and announced. raw_body: this instead of a built body."""
        trailers = trailers or []
        total = sum(map(len, pieces)) if decoded is None else decoded
        h = {"content-encoding": "aws-chunked", **(headers or {})}
        if total is not False:
            h["x-amz-decoded-content-length"] = str(total)
        names = ",".join(n for n, _ in trailers) if declare is None else declare
        if names:
            h["x-amz-trailer"] = names
        when = now()
        date = amz_date(when)
        h = self.signed_headers("PUT", target, h, sha=form, when=when)
        previous = h["authorization"].rsplit("Signature=", 1)[1]
        body = b""
        for i, data in enumerate([*pieces, b""]):
            line = b"%x" % len(data)
            if form in (SIGNED, SIGNED_TRAILER):
                previous = self.chunk_signature("AWS4-HMAC-SHA256-PAYLOAD", date, previous, EMPTY, sha256(data))
                signature = previous
                if damage:
                    data, signature = damage(i, data, signature)
                line += b";chunk-signature=" + signature.encode()
            body += line + b"\r\n" + data + (b"\r\n" if i < len(pieces) else b"")
        for name, value in trailers:
            body += f"{name}:{value}\r\n".encode()
        if form == SIGNED_TRAILER and sign_trailers:
            canonical = "".join(f"{n}:{v}\n" for n, v in trailers)
            s = self.chunk_signature("AWS4-HMAC-SHA256-TRAILER", date, previous, sha256(canonical.encode()))
            body += f"x-amz-trailer-signature:{s}\r\n".encode()
        body += b"\r\n"
        if raw_body is not None:
            body = raw_body
        if body_cut is not None:
            body = body[:body_cut]
        h["content-length"] = len(body)
        return self.send(self.head("PUT", target, h) + body, "PUT")
