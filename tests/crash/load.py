"""A mixed load whose every answer is known, so that after a crash the store can be held against it.

Each worker owns its keys and does one operation after another, so a key's acknowledged state is certain; only the operation
that was in flight when the server died may have happened or not. Bodies are random, so a digest names an operation."""

import hashlib
import random
import threading

import quick

ABSENT = None
MARK = "delete marker"
KEYS = 12          # of a worker
VERSIONS = 24      # that a worker lets stand
UPLOADS = 4
PART = 30000       # the server is told that parts may be small
SETTINGS = {"access_log": "false", "min_part_size": 1, "log_size": "16MiB", "log_segment_size": "4MiB", "index_buffer": "1MiB", "archive_size": "1MiB"}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def make_buckets(client):
    for path, query, body in (("/plain", None, b""), ("/versioned", None, b""),
                              ("/versioned", {"versioning": ""}, b"<VersioningConfiguration><Status>Enabled</Status>"
                               b"</VersioningConfiguration>")):
        expect(client.call("PUT", path, query, body), 200)


class Refused(AssertionError):
    """An answer that the load cannot explain: a finding."""


def expect(reply, *statuses):
    if reply.status not in statuses:
        raise Refused(repr(reply))
    return reply


class Book:
    """What a worker knows."""

    def __init__(self, number):
        self.keys = [f"w{number}/k{i}" for i in range(KEYS)]
        self.state = {k: ABSENT for k in self.keys}  # key → digest
        self.versions = {}   # (key, version id) → digest or MARK
        self.uploads = {}    # (key, upload id) → {part number: etag}
        self.flight = None   # (kind, …) of the operation that was not answered
        self.number = number


class Worker(threading.Thread):
    KINDS = {"put": 40, "large": 6, "overwrite": 10, "delete": 12, "copy": 10, "multipart": 6, "upload": 3, "abort": 2, "refused": 3,
             "version": 10, "mark": 3, "unversion": 6}

    def __init__(self, client, book, seed):
        super().__init__(daemon=True)
        self.client, self.book = client, book
        self.rng = random.Random(seed * 1000 + book.number)
        self.acknowledged = 0
        self.failure = None

    def run(self):
        try:
            while True:
                kind = self.rng.choices(list(self.KINDS), self.KINDS.values())[0]
                getattr(self, kind)(self.rng.choice(self.book.keys))
                self.book.flight = None
                self.acknowledged += 1
        except quick.Dead:
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e
        finally:
            self.client.close()

    def data(self, *sizes):
        return self.rng.randbytes(self.rng.choice(sizes))

    # ---- keys without versions ----
    def put(self, key, data=None):
        data = self.data(0, 1, 700, 4096, 20000, 70000) if data is None else data
        self.book.flight = ("key", key, digest(data))
        expect(self.client.call("PUT", f"/plain/{key}", body=data), 200)
        self.book.state[key] = digest(data)

    def large(self, key):
        self.put(key, self.data(300000, 1 << 20))

    def overwrite(self, key):
        for _ in range(3):
            self.put(key)

    def delete(self, key):
        self.book.flight = ("key", key, ABSENT)
        expect(self.client.call("DELETE", f"/plain/{key}"), 204)
        self.book.state[key] = ABSENT

    def copy(self, key):
        source = self.rng.choice(self.book.keys)
        if source == key or self.book.state[source] is ABSENT:
            return
        self.book.flight = ("key", key, self.book.state[source])
        expect(self.client.call("PUT", f"/plain/{key}", x_amz_copy_source=f"/plain/{source}"), 200)
        self.book.state[key] = self.book.state[source]

    def refused(self, key):
        """Leaves no trace, whether it is answered or not."""
        expect(self.client.call("PUT", f"/plain/{key}", body=self.data(500, 90000), content_md5="AAAAAAAAAAAAAAAAAAAAAA=="), 400)

    # ---- uploads ----
    def begin(self, key):
        upload = expect(self.client.call("POST", f"/plain/{key}", {"uploads": ""}), 200).field("UploadId")
        parts = self.book.uploads[key, upload] = {}
        whole = b""
        for number in range(1, self.rng.randint(2, 4)):
            data = self.data(PART, PART + 5000, 4 * PART)
            reply = expect(self.client.call("PUT", f"/plain/{key}", {"partNumber": number, "uploadId": upload}, data), 200)
            parts[number] = reply.etag
            whole += data
        return upload, parts, whole

    def multipart(self, key):
        upload, parts, whole = self.begin(key)
        body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in parts.items())
        self.book.flight = ("complete", key, digest(whole), upload)
        expect(self.client.call("POST", f"/plain/{key}", {"uploadId": upload},
                                f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode()), 200)
        self.book.state[key] = digest(whole)
        del self.book.uploads[key, upload]

    def upload(self, key):
        if len(self.book.uploads) < UPLOADS:
            self.begin(key)

    def abort(self, _):
        if self.book.uploads:
            key, upload = self.rng.choice(list(self.book.uploads))
            self.book.flight = ("abort", key, upload)
            expect(self.client.call("DELETE", f"/plain/{key}", {"uploadId": upload}), 204)
            del self.book.uploads[key, upload]

    # ---- versions ----
    def version(self, key):
        if len(self.book.versions) >= VERSIONS:
            return
        data = self.data(0, 500, 9000, 100000)
        self.book.flight = ("version", key, digest(data))
        vid = expect(self.client.call("PUT", f"/versioned/{key}", body=data), 200).headers["x-amz-version-id"]
        self.book.versions[key, vid] = digest(data)

    def mark(self, key):
        self.book.flight = ("version", key, MARK)
        vid = expect(self.client.call("DELETE", f"/versioned/{key}"), 204).headers["x-amz-version-id"]
        self.book.versions[key, vid] = MARK

    def unversion(self, _):
        if self.book.versions:
            key, vid = self.rng.choice(list(self.book.versions))
            self.book.flight = ("unversion", key, vid)
            expect(self.client.call("DELETE", f"/versioned/{key}", {"versionId": vid}), 204)
            del self.book.versions[key, vid]


# ---- after the crash ----

def listing(client, bucket, query, *elements):
    """Every entry of a whole listing as a tuple of fields; all of them fit one page."""
    reply = expect(client.call("GET", f"/{bucket}", query), 200)
    assert reply.field("IsTruncated") == "false", "the load keeps less than a page"
    found = []
    for element in elements:
        for text in quick.elements(reply.body, element):
            found.append((element, text))
    return found


def verify_keys(client, books):
    listed = {quick.inner(e, "Key"): (int(quick.inner(e, "Size")), quick.inner(e, "ETag"))
              for _, e in listing(client, "plain", {"list-type": 2}, "Contents")}
    for book in books:
        for key in book.keys:
            allowed = [book.state[key]]
            if book.flight and book.flight[0] in ("key", "complete") and book.flight[1] == key:
                allowed.append(book.flight[2])
            reply = expect(client.call("GET", f"/plain/{key}"), 200, 404)
            now = digest(reply.body) if reply.status == 200 else ABSENT
            assert now in allowed, f"{key} is {now}, acknowledged was {allowed}"
            assert (reply.status == 200) == (key in listed), f"{key}: GET says {reply.status}, listed is {key in listed}"
            if reply.status == 200:
                assert listed.pop(key)[0] == len(reply.body), f"{key} is listed with another size"
            book.state[key] = now
    assert not listed, f"objects that nobody wrote: {list(listed)[:5]}"


def verify_versions(client, books):
    found = {}
    for kind, e in listing(client, "versioned", {"versions": ""}, "Version", "DeleteMarker"):
        found[quick.inner(e, "Key"), quick.inner(e, "VersionId")] = kind
    for book in books:
        flight = book.flight or ("none",)
        for (key, vid), want in list(book.versions.items()):
            kind = found.pop((key, vid), None)
            if kind is None:
                assert flight == ("unversion", key, vid), f"{key} version {vid} is gone"
                del book.versions[key, vid]
            elif want == MARK:
                assert kind == "DeleteMarker", f"{key} version {vid} is no marker"
            else:
                data = expect(client.call("GET", f"/versioned/{key}", {"versionId": vid}), 200).body
                assert digest(data) == want, f"{key} version {vid} differs"
        if flight[0] == "version":
            for key, vid in [f for f in found if f[0] == flight[1]]:
                kind = found.pop((key, vid))
                data = None if kind == "DeleteMarker" else expect(client.call("GET", f"/versioned/{key}", {"versionId": vid}), 200).body
                book.versions[key, vid] = MARK if data is None else digest(data)
                assert book.versions[key, vid] == flight[2], f"{key} version {vid} is not what was in flight"
    assert not found, f"versions that nobody wrote: {list(found)[:5]}"


def verify_uploads(client, books):
    found = {(quick.inner(e, "Key"), quick.inner(e, "UploadId")) for _, e in listing(client, "plain", {"uploads": ""}, "Upload")}
    for book in books:
        flight = book.flight or ("none",)
        for (key, upload), parts in list(book.uploads.items()):
            if (key, upload) not in found:
                ended = flight == ("abort", key, upload) or flight[0] == "complete" and flight[3] == upload
                assert ended, f"{key} upload {upload} is gone"
                del book.uploads[key, upload]
                continue
            listed = {int(quick.inner(e, "PartNumber")): quick.inner(e, "ETag").strip('"')
                      for _, e in listing(client, "plain/" + key, {"uploadId": upload}, "Part")}
            for number, etag in parts.items():
                assert listed.get(number) == etag, f"{key} upload {upload} lost part {number}"
            parts.update(listed)
        # Begun and not answered, or answered by a crash: nobody knows its id.
        mine = {f for f in found if f[0] in book.keys} - set(book.uploads)
        for key, upload in mine:
            expect(client.call("DELETE", f"/plain/{key}", {"uploadId": upload}), 204)
        assert len(mine) <= 1, f"uploads that nobody began: {mine}"


def verify(client, books):
    """Every acknowledged state is there and whole, and nothing else is. What was in flight is known afterwards."""
    verify_keys(client, books)
    verify_versions(client, books)
    verify_uploads(client, books)
    for book in books:
        book.flight = None

