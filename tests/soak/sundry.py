"""The operations that neither `ingot bench` nor the load of tests/crash performs, each pass on a bucket of its own that is emptied and
deleted at the end, with an upload left in it, so that the server purges it."""

import base64
import hashlib
import threading
import time

import quick
from load import expect

KEYS = 400         # of a pass
PART = 5 << 20
VERSIONING = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
WAYS = ({"list-type": 2}, {}, {"list-type": 2, "delimiter": "/"}, {"versions": ""}, {"uploads": ""})  # to list


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


class Sundry(threading.Thread):
    def __init__(self, client, number, until, big):
        super().__init__(daemon=True)
        self.client, self.number, self.until, self.big = client, number, until, big
        self.done = 0
        self.failure = None

    def run(self):
        try:
            passes = 0
            while time.monotonic() < self.until:
                self.one_pass(f"sundry-{self.number}-{passes}", versioned=passes % 2 == 1)
                passes += 1
        except (AssertionError, quick.Dead) as e:
            self.failure = e
        finally:
            self.client.close()

    def ask(self, method, path, query=None, body=b"", statuses=(200,), **headers):
        self.done += 1
        return expect(self.client.call(method, path, query, body, **headers), *statuses)

    def one_pass(self, bucket, versioned):
        self.ask("PUT", f"/{bucket}")
        if versioned:
            self.ask("PUT", f"/{bucket}", {"versioning": ""}, VERSIONING)
        for query in ({"versioning": ""}, {"location": ""}):
            self.ask("GET", f"/{bucket}", query)
        self.ask("HEAD", f"/{bucket}")
        self.ask("GET", "/")
        for i in range(KEYS):
            self.ask("PUT", f"/{bucket}/d{i % 7}/k{i}", body=b"x" * (i % 3 * 700))
        self.of_objects(bucket)
        self.of_uploads(bucket)
        self.of_listings(bucket)
        self.empty(bucket)
        self.ask("DELETE", f"/{bucket}", statuses=(204,))

    def of_objects(self, bucket):
        path = f"/{bucket}/d1/k1"
        self.ask("PUT", path, {"tagging": ""}, TAGS)
        self.ask("GET", path, {"tagging": ""})
        self.ask("DELETE", path, {"tagging": ""}, statuses=(204,))
        self.ask("GET", path, {"attributes": ""}, x_amz_object_attributes="ETag,ObjectSize")
        etag = self.ask("HEAD", path).etag
        self.ask("GET", path, range="bytes=10-99", statuses=(206,))
        self.ask("GET", path, if_none_match=etag, statuses=(304,))
        self.ask("PUT", path, body=b"no", if_none_match="*", statuses=(412,))
        self.ask("PUT", f"/{bucket}/copy", x_amz_copy_source=path)

    def of_uploads(self, bucket):
        path = f"/{bucket}/whole"
        upload = self.ask("POST", path, {"uploads": ""}).field("UploadId")
        first = self.ask("PUT", path, {"uploadId": upload, "partNumber": 1}, bytes(PART)).etag
        second = self.ask("PUT", path, {"uploadId": upload, "partNumber": 2}, x_amz_copy_source=f"/{bucket}/copy").etag
        self.ask("GET", path, {"uploadId": upload})
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in ((1, first), (2, second)))
        self.ask("POST", path, {"uploadId": upload}, f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode())
        self.ask("GET", path, {"partNumber": 2}, statuses=(206,))
        left = self.ask("POST", f"/{bucket}/left", {"uploads": ""}).field("UploadId")
        self.ask("PUT", f"/{bucket}/left", {"uploadId": left, "partNumber": 1}, bytes(100000))
        other = self.ask("POST", path, {"uploads": ""}).field("UploadId")
        self.ask("DELETE", path, {"uploadId": other}, statuses=(204,))

    def of_listings(self, bucket):
        for query in WAYS:
            self.ask("GET", f"/{bucket}", query)
            self.ask("GET", f"/{self.big}", query, statuses=(200, 404))  # it may be gone by now

    def empty(self, bucket):
        """Deletes every version in few requests."""
        while True:
            listed = self.ask("GET", f"/{bucket}", {"versions": ""}).body
            found = [e for kind in ("Version", "DeleteMarker") for e in quick.elements(listed, kind)]
            if not found:
                return
            names = "".join(f"<Object><Key>{quick.inner(e, 'Key')}</Key><VersionId>{quick.inner(e, 'VersionId')}</VersionId></Object>"
                            for e in found)
            body = f"<Delete><Quiet>true</Quiet>{names}</Delete>".encode()
            reply = self.ask("POST", f"/{bucket}", {"delete": ""}, body, content_md5=md5(body))
            assert b"<Error>" not in reply.body, reply.body
