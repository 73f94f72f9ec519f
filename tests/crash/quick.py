"""A quick S3 client for loads: one connection kept open, signed by hand, no retries, nothing interpreted.

boto3 takes a millisecond of CPU a request and a tenth of a second to begin with; a storm of a thousand restarts wants less."""

import functools
import hashlib
import hmac
import html
import re
import socket
import time

EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/")


class Dead(Exception):
    """No answer: the request may have been done or not."""


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


@functools.lru_cache(maxsize=16)
def signing_key(secret, day, region):
    return mac(mac(mac(mac(b"AWS4" + secret.encode(), day), region), "s3"), "aws4_request")


def quote(text):
    return "".join(chr(c) if c in PLAIN else f"%{c:02X}" for c in text.encode())


def elements(body, name):
    """What stands in each element of that name; none of S3's listings nests one in itself."""
    return [e.decode() for e in re.findall(f"<{name}>(.*?)</{name}>".encode(), body, re.S)]


def inner(text, name):
    """The text of the first element of that name."""
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.S)
    return html.unescape(found.group(1)) if found else None


class Reply:
    __slots__ = ("status", "headers", "body")

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def field(self, name):
        return inner(self.body.decode(), name)

    @property
    def etag(self):
        return (self.headers.get("etag") or self.field("ETag")).strip('"')

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Quick:
    def __init__(self, address, access, secret, region="us-east-1", timeout=60):
        self.address, self.access, self.secret, self.region, self.timeout = address, access, secret, region, timeout
        self.host = "%s:%d" % address
        self.sock = self.file = None

    def close(self):
        if self.sock:
            self.file.close()
            self.sock.close()
        self.sock = self.file = None

    def connect(self):
        self.sock = socket.create_connection(self.address, timeout=self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def sign(self, method, path, query, headers):
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        h = {"host": self.host, "x-amz-content-sha256": UNSIGNED, "x-amz-date": date, **headers}
        names = sorted(h)
        signed = ";".join(names)
        canonical = "\n".join([method, path, query, "".join(f"{n}:{h[n]}\n" for n in names), signed, UNSIGNED])
        scope = f"{date[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        signature = mac(signing_key(self.secret, date[:8], self.region), text).hex()
        h["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={signed}, Signature={signature}"
        return h

    def call(self, method, path, query=None, body=b"", **headers):
        """path: /bucket/key, not yet encoded; query: a dict; headers: names with _ for -. Raises Dead without an answer."""
        path = quote(path)
        pairs = sorted((quote(k).replace("/", "%2F"), quote(str(v)).replace("/", "%2F")) for k, v in (query or {}).items())
        text = "&".join(f"{k}={v}" for k, v in pairs)
        h = self.sign(method, path, text, {k.replace("_", "-"): v for k, v in headers.items()})
        if body or method in ("PUT", "POST"):
            h["content-length"] = len(body)
        head = f"{method} {path}{'?' + text if text else ''} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in h.items()) + "\r\n"
        try:
            if self.sock is None:
                self.connect()
            self.sock.sendall(head.encode() + body if len(body) < 65536 else head.encode())
            if len(body) >= 65536:
                self.sock.sendall(body)
            return self.read(method)
        except (OSError, EOFError, ValueError) as e:
            self.close()
            raise Dead(f"{method} {path}: {e!r}") from e

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the connection ended")
        return line.rstrip(b"\r\n").decode("latin-1")

    def take(self, n):
        data = self.file.read(n)
        if len(data) != n:
            raise EOFError("the answer is cut off")
        return data

    def chunks(self):
        while size := int(self.line().split(";")[0], 16):
            yield self.take(size)
            self.line()
        while self.line():
            pass

    def read(self, method):
        status = int(self.line().split()[1])
        headers = {}
        while line := self.line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join(self.chunks())
        else:
            body = self.take(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Reply(status, headers, body)


def of(server, **options):
    """A client of a wire test's server."""
    return Quick(server.address, server.access_key, server.secret_key, **options)
