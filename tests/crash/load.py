"""A mixed load whose every answer is known, so that after a crash the store can be held against it.

Each worker owns its keys and does one operation after another, so a key's acknowledged state is certain; only the operation
that was in flight when the server died may have happened or not."""

import hashlib
import random
import threading

import botocore.config
import botocore.exceptions

ABSENT = None
DEAD = (botocore.exceptions.HTTPClientError, botocore.exceptions.EndpointConnectionError,
        botocore.exceptions.ConnectionClosedError, ConnectionError, OSError)
PART = 5 << 20


def content(key, stamp, size):
    """Bytes that name their key and operation, and differ everywhere: a torn or foreign body cannot equal them."""
    seed = hashlib.sha256(f"{key}/{stamp}/{size}".encode()).digest()
    return random.Random(seed).randbytes(size)


class Worker(threading.Thread):
    def __init__(self, server, number, seed, keys=12, state=None):
        super().__init__(daemon=True)
        self.s3 = server.client(connect_timeout=5, read_timeout=30)
        self.rng = random.Random(seed * 1000 + number)
        self.keys = [f"w{number}/k{i}" for i in range(keys)]
        self.state = state if state is not None else {k: ABSENT for k in self.keys}  # key → (stamp, size) or ABSENT
        self.versions = {}     # (key, version id) → (stamp, size), acknowledged in bucket `versioned`
        self.flight = None     # (key, state that it would have)
        self.acknowledged = 0
        self.stamp = seed * 1000000
        self.failure = None

    def run(self):
        try:
            while True:
                self.step()
                self.acknowledged += 1
        except DEAD:
            pass
        except Exception as e:  # an answer that the load cannot explain is a finding
            self.failure = e

    def step(self):
        key = self.rng.choice(self.keys)
        self.stamp += 1
        kind = self.rng.choices(["put", "big", "delete", "copy", "multipart", "version"], [50, 8, 15, 12, 3, 12])[0]
        getattr(self, kind)(key)

    def settle(self, key, state):
        self.state[key] = state
        self.flight = None

    def put(self, key, size=None):
        size = self.rng.choice([0, 1, 700, 4096, 20000, 70000]) if size is None else size
        new = (self.stamp, size)
        self.flight = (key, new)
        self.s3.put_object(Bucket="plain", Key=key, Body=content(key, *new))
        self.settle(key, new)

    def big(self, key):
        self.put(key, self.rng.choice([300000, 1 << 20, 3 << 20]))

    def delete(self, key):
        self.flight = (key, ABSENT)
        self.s3.delete_object(Bucket="plain", Key=key)
        self.settle(key, ABSENT)

    def copy(self, key):
        """Onto a key of its own, whose content is that of the source: kept as ("copy", source key, stamp, size)."""
        state = self.state[key]
        if state is ABSENT:
            return self.put(key)
        origin = state if state[0] == "copy" else ("copy", key, *state)
        target = self.rng.choice(self.keys)
        if target == key:
            return None
        self.flight = (target, origin)
        self.s3.copy_object(Bucket="plain", Key=target, CopySource={"Bucket": "plain", "Key": key})
        return self.settle(target, origin)

    def multipart(self, key):
        new = (self.stamp, PART + self.rng.randrange(1, 1 << 20))
        data = content(key, *new)
        up = self.s3.create_multipart_upload(Bucket="plain", Key=key)["UploadId"]
        parts = []
        for number, at in enumerate(range(0, len(data), PART), 1):
            tag = self.s3.upload_part(Bucket="plain", Key=key, UploadId=up, PartNumber=number, Body=data[at:at + PART])["ETag"]
            parts.append({"PartNumber": number, "ETag": tag})
        self.flight = (key, new)
        self.s3.complete_multipart_upload(Bucket="plain", Key=key, UploadId=up, MultipartUpload={"Parts": parts})
        self.settle(key, new)

    def version(self, key):
        new = (self.stamp, self.rng.choice([0, 500, 9000, 100000]))
        vid = self.s3.put_object(Bucket="versioned", Key=key, Body=content(key, *new))["VersionId"]
        self.versions[key, vid] = new


def bytes_of(key, state):
    return content(state[1], state[2], state[3]) if state[0] == "copy" else content(key, *state)


def verify(s3, workers):
    """Every acknowledged state is there and whole, and nothing else is."""
    listed = {o["Key"]: o["Size"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="plain")
              for o in page.get("Contents", [])}
    for w in workers:
        for key in w.keys:
            allowed = [w.state[key]]
            if w.flight and w.flight[0] == key:
                allowed.append(w.flight[1])
            if key in listed:
                data = s3.get_object(Bucket="plain", Key=key)["Body"].read()
                assert len(data) == listed[key], f"{key}: listed with {listed[key]} bytes, read {len(data)}"
                now = [a for a in allowed if a is not ABSENT and bytes_of(key, a) == data]
                assert now, f"{key}: {len(data)} bytes that are none of {allowed}"
                w.state[key] = now[0]
            else:
                assert ABSENT in allowed, f"{key}: acknowledged as {allowed} and gone"
                w.state[key] = ABSENT
            listed.pop(key, None)
        for (key, vid), state in w.versions.items():
            data = s3.get_object(Bucket="versioned", Key=key, VersionId=vid)["Body"].read()
            assert data == content(key, *state), f"{key} version {vid} differs"
        w.flight = None
    assert not listed, f"objects that nobody wrote: {list(listed)[:5]}"
