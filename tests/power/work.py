"""The load of a recording: each worker owns its keys and does one operation after another. Every operation is written down with
the length of the block log before it was sent and after it was answered (history.h says how)."""

import hashlib
import random
import threading
import xml.sax.saxutils

import quick

PART = 60000  # the server is told that parts may be small
NEVER = "-"


class Clock:
    """The block log's length, as the recording disk maps it."""

    def __init__(self, path):
        import mmap
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8)

    def now(self):
        return int.from_bytes(self.map[:8], "little")


class History:
    def __init__(self, clock):
        self.clock, self.lines, self.lock, self.failure = clock, [], threading.Lock(), None

    def add(self, start, bucket, key, *what):
        end = self.clock.now()
        with self.lock:
            self.lines.append(" ".join(map(str, (start, end, bucket, key, *what))))

    def write(self, path):
        path.write_text("\n".join(self.lines) + "\n")


def expect(reply, *statuses):
    if reply.status not in statuses:
        raise AssertionError(f"unexpected answer {reply!r}")
    return reply


def make_buckets(client, history):
    for bucket in ("plain", "versioned"):
        start = history.clock.now()
        expect(client.call("PUT", f"/{bucket}"), 200)
        if bucket == "versioned":
            body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
            expect(client.call("PUT", f"/{bucket}", {"versioning": ""}, body), 200)
        history.add(start, bucket, "-", "bucket")


class Worker(threading.Thread):
    KINDS = {"put": 40, "large": 6, "delete": 10, "copy": 8, "multipart": 5, "upload": 3, "refused": 6,
             "version": 12, "unversion": 7, "mark": 3}

    def __init__(self, client, history, number, seed, steps):
        super().__init__(daemon=True)
        self.client, self.history, self.steps = client, history, steps
        self.rng = random.Random(seed * 100 + number)
        self.keys = [f"w{number}/{'deep/' * (i % 3)}k{i:03}" for i in range(30)]
        self.digest = {}     # key → of what it holds
        self.versions = []   # (key, version id)

    def run(self):
        try:
            for _ in range(self.steps):
                kind = self.rng.choices(list(self.KINDS), self.KINDS.values())[0]
                getattr(self, kind)(self.rng.choice(self.keys))
        except Exception as e:  # pylint: disable=broad-except
            self.history.failure = e

    def data(self, size):
        return self.rng.randbytes(size)

    def put(self, key, size=None):
        data = self.data(self.rng.choice([0, 1, 500, 4000, 4096, 15000, 40000]) if size is None else size)
        start = self.history.clock.now()
        expect(self.client.call("PUT", f"/plain/{key}", body=data), 200)
        self.settle(start, key, hashlib.sha256(data).hexdigest())

    def settle(self, start, key, digest):
        self.history.add(start, "plain", key, "put", digest)
        self.digest[key] = digest

    def large(self, key):
        self.put(key, self.rng.choice([70000, 130000, 300000, 1200000]))

    def delete(self, key):
        start = self.history.clock.now()
        expect(self.client.call("DELETE", f"/plain/{key}"), 204)
        self.history.add(start, "plain", key, "delete")
        self.digest.pop(key, None)

    def copy(self, key):
        source = self.rng.choice(self.keys)
        if source == key or source not in self.digest:
            return
        start = self.history.clock.now()
        expect(self.client.call("PUT", f"/plain/{key}", x_amz_copy_source=f"/plain/{source}"), 200)
        self.settle(start, key, self.digest[source])

    def begin_upload(self, key):
        start = self.history.clock.now()
        upload = expect(self.client.call("POST", f"/plain/{key}", {"uploads": ""}), 200).field("UploadId")
        self.history.add(start, "plain", key, "ucreate", upload)
        parts, whole = [], b""
        for number in range(1, self.rng.randint(2, 4)):
            data = self.data(PART + self.rng.randrange(30000))
            start = self.history.clock.now()
            reply = expect(self.client.call("PUT", f"/plain/{key}", {"partNumber": number, "uploadId": upload}, data), 200)
            self.history.add(start, "plain", key, "upart", upload, f"{number}:{reply.etag}")
            parts.append((number, reply.etag))
            whole += data
        return upload, parts, whole

    def multipart(self, key):
        upload, parts, whole = self.begin_upload(key)
        body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{xml.sax.saxutils.escape(e)}</ETag></Part>" for n, e in parts)
        start = self.history.clock.now()
        expect(self.client.call("POST", f"/plain/{key}", {"uploadId": upload},
                                f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode()), 200)
        self.history.add(start, "plain", key, "uend", upload)
        self.settle(start, key, hashlib.sha256(whole).hexdigest())

    def upload(self, key):
        """Left open, or aborted."""
        upload, _, _ = self.begin_upload(key)
        if self.rng.random() < 0.6:
            start = self.history.clock.now()
            expect(self.client.call("DELETE", f"/plain/{key}", {"uploadId": upload}), 204)
            self.history.add(start, "plain", key, "uend", upload)

    def refused(self, key):
        """What is refused leaves no trace, so nothing is written down."""
        data = self.data(self.rng.choice([300, 90000]))
        if key in self.digest and self.rng.random() < 0.5:
            expect(self.client.call("PUT", f"/plain/{key}", body=data, if_none_match="*"), 412)
        else:
            expect(self.client.call("PUT", f"/plain/{key}", body=data, content_md5="AAAAAAAAAAAAAAAAAAAAAA=="), 400)

    def version(self, key):
        data = self.data(self.rng.choice([0, 700, 9000, 100000]))
        start = self.history.clock.now()
        vid = expect(self.client.call("PUT", f"/versioned/{key}", body=data), 200).headers["x-amz-version-id"]
        self.history.add(start, "versioned", key, "vput", vid, hashlib.sha256(data).hexdigest())
        self.versions.append((key, vid))

    def mark(self, key):
        start = self.history.clock.now()
        vid = expect(self.client.call("DELETE", f"/versioned/{key}"), 204).headers["x-amz-version-id"]
        self.history.add(start, "versioned", key, "vmark", vid)
        self.versions.append((key, vid))

    def unversion(self, _):
        if not self.versions:
            return
        key, vid = self.versions.pop(self.rng.randrange(len(self.versions)))
        start = self.history.clock.now()
        expect(self.client.call("DELETE", f"/versioned/{key}", {"versionId": vid}), 204)
        self.history.add(start, "versioned", key, "vdel", vid)


def run(server, clock, seed, workers, steps):
    """The whole load; returns its history."""
    history = History(clock)
    make_buckets(quick.of(server), history)
    crowd = [Worker(quick.of(server), history, n, seed, steps) for n in range(workers)]
    for w in crowd:
        w.start()
    for w in crowd:
        w.join(600)
        if w.is_alive():
            raise AssertionError("the load hangs")
    if history.failure:
        raise history.failure
    return history
